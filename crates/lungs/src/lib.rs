//! Finding the lungs in a chest CT.
//!
//! [`find`] works on an oriented grid (x to the patient's left, y to the back, z to the head) of
//! any spacing, from one slice to a whole chest. The method is ours: air inside the body, less
//! trachea and main bronchi, less what is not lung-like, parted into right and left, closed over
//! vessels and nodules, grown over consolidation; shapes are found on a reduced grid and the edge
//! is then set at the scan's own resolution.
//!
//! [`slice_edge`] measures the paper's relative distance-from-edge.

mod air;
mod airless;
mod airway;
mod cavity;
mod coarse;
mod costal;
mod edge;
mod fill;
mod judge;
mod options;
mod recover;
mod refine;
mod sides;
mod turned;
mod walker;

pub use edge::{SliceEdge, slice_edge};
pub use options::LungOptions;

use coarse::Coarse;
use judge::Judgement;
use pleura_volume::{Cancelled, Mask, Progress, Volume};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Label of the patient's right lung in [`Lungs::mask`].
pub const RIGHT: u8 = 1;
/// Label of the patient's left lung in [`Lungs::mask`].
pub const LEFT: u8 = 2;

/// How far the lung mask can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LungStatus {
    /// Two whole lungs of plausible shape.
    Ok,
    /// Some lung was found, but not two whole ones; [`Lungs::reasons`] says what is wrong.
    Partial,
    /// Nothing that can be called lung, or too little of it for a chest CT.
    NotFound,
}

/// The lungs of one scan.
#[derive(Debug, Clone)]
pub struct Lungs {
    /// [`RIGHT`], [`LEFT`] or 0 a voxel, on the grid of the volume. The best guess, whatever the
    /// status.
    pub mask: Mask,
    /// How far to trust the mask.
    pub status: LungStatus,
    /// Plain sentences that say why the status is not `Ok`; empty when it is.
    pub reasons: Vec<String>,
    /// Those of the reasons for which these cannot be taken for a patient's lungs: nothing should
    /// be concluded from them. Empty where they can, and where none were found.
    pub implausible: Vec<String>,
}

/// Finds the lungs of a CT in HU on the oriented grid.
///
/// The mask is the best one there is, also where the status is not `Ok`. Padding outside the
/// scanner's field of view (below -1500 HU, or a constant lowest value) counts as nothing.
///
/// # Errors
/// [`Cancelled`] when `progress` says so.
pub fn find(
    volume: &Volume<i16>,
    options: &LungOptions,
    progress: &dyn Progress,
) -> Result<Lungs, Cancelled> {
    const STEPS: u64 = 5;
    progress.stage("lungs", STEPS);
    if volume.geometry.is_empty() || volume.data.len() != volume.geometry.len() {
        let mask = Mask::filled(volume.geometry.clone(), 0);
        let Judgement { status, reasons, implausible } =
            Judgement::not_found("The scan holds no voxels.".into());
        return Ok(Lungs { mask, status, reasons, implausible });
    }
    let step = |n: u64| {
        progress.done(n);
        if progress.cancelled() { Err(Cancelled) } else { Ok(()) }
    };
    let coarse = Coarse::new(volume, options.grid_mm);
    step(1)?;
    let air = air::find(&coarse, options.air_below_hu);
    step(2)?;
    let airway = airway::find(&coarse, &air);
    step(3)?;
    let (mut lungs, middle) = sides::label_lungs(&coarse, &air, &airway.mask, options);
    let blocked = [&airway.mask, &air.outside];
    fill::fill(&coarse, &mut lungs, &blocked, options);
    if options.recover_consolidation {
        costal::close_dents(&coarse, &mut lungs, &blocked, middle);
    }
    if options.recover_consolidation && recover::recover(&coarse, &air, &mut lungs, &blocked, middle, &airway)
    {
        fill::fill(&coarse, &mut lungs, &blocked, options);
    }
    step(4)?;
    let cut_at_side =
        lungs.data.iter().zip(&air.pieces.labels.data).any(|(&v, &l)| v != 0 && air.cut[l as usize]);
    let mask = refine::refine(volume, &coarse, &lungs, options.air_below_hu);
    let turned = turned::reasons(&coarse, &lungs, &airway, middle);
    let Judgement { status, reasons, implausible } = judge::judge(&mask, cut_at_side, turned, options);
    step(STEPS)?;
    Ok(Lungs { mask, status, reasons, implausible })
}

/// Volumes of the right and the left lung of a mask labelled [`RIGHT`] and [`LEFT`], ml.
pub fn volumes_ml(mask: &Mask) -> [f64; 2] {
    let count =
        |label: u8| mask.data.par_chunks(1 << 16).map(|part| judge::count(part, label)).sum::<usize>();
    [RIGHT, LEFT].map(|label| count(label) as f64 * mask.geometry.voxel_ml())
}
