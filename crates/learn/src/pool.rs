//! Cases kept in memory for training: made once, cropped to their lungs.

use crate::data::Labelled;
use crate::rng::Rng;
use crate::truth;
use crate::{Error, Result};
use pleura_lungs::{LungOptions, Lungs};
use pleura_nets::InputRecipe;
use pleura_screen::{analysable, detector_grid};
use pleura_volume::{
    Box3, Mask, NoProgress, Progress, Structuring, Volume, dilate, resample_mean, resample_nearest,
};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// Flag of a voxel in the lungs as they were found, never as they truly are.
pub(crate) const LUNG: u8 = 1;
/// Flag of a truly infected voxel.
pub(crate) const INFECTED: u8 = 2;
/// Flag of a voxel the network gets to see: the lungs grown by the recipe's margin.
pub(crate) const SEEN: u8 = 4;

/// What lies beyond a scan counts as air.
const BEYOND_HU: i16 = -1024;

/// Places remembered of each kind, to centre crops on.
const PLACES: usize = 512;
/// Lung brighter than this without infection: vessels, bronchi's walls, scars, nodules, HU.
const BRIGHT_HU: i16 = -500;

/// One case on the detector's grid, cropped to the box of its lungs.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    pub hu: Volume<i16>,
    /// Flags, on the same grid.
    pub flags: Mask,
    /// Whether the infected voxels were traced; else the voxel head is not judged by them.
    pub traced: bool,
    /// Truth regions, LPS mm; those too small to be asked for as well.
    pub regions: Vec<Box3>,
    /// Volume of each region, ml.
    pub region_ml: Vec<f64>,
    /// Share of each region's infected voxels that lies in the lungs found.
    pub visible: Vec<f64>,
    /// Offsets of bright uninfected lung voxels.
    pub bright: Vec<u32>,
    /// Offsets of any lung voxels.
    pub inside: Vec<u32>,
}

/// Runs `make` for each of `count` cases on all cores, reporting how many are done, and keeps the
/// order. `None` results are left out.
pub(crate) fn each_case<T: Send>(
    count: usize,
    stage: &str,
    progress: &dyn Progress,
    make: impl Fn(usize) -> Result<Option<T>> + Sync,
) -> Result<Vec<T>> {
    progress.stage(stage, count as u64);
    let done = AtomicU64::new(0);
    let one = |i| {
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        let made = make(i)?;
        progress.done(done.fetch_add(1, Ordering::Relaxed) + 1);
        Ok(made)
    };
    let made: Result<Vec<Option<T>>> = (0..count).into_par_iter().with_max_len(1).map(one).collect();
    Ok(made?.into_iter().flatten().collect())
}

/// The lungs as screening finds them.
pub(crate) fn find_lungs(volume: &Volume<i16>) -> Result<Lungs> {
    pleura_lungs::find(volume, &LungOptions::default(), &NoProgress).map_err(|_| Error::Cancelled)
}

impl Scan {
    /// Finds the lungs of a case and keeps what training needs, on a grid of `spacing_mm`. `None` when
    /// screening would not look into them, or nothing is known of where the case is infected.
    pub fn new(case: Labelled, recipe: &InputRecipe, spacing_mm: f64, place: u64) -> Result<Option<Self>> {
        let Some(infection) = &case.infection else { return Ok(None) };
        let lungs = find_lungs(&case.volume)?;
        if !analysable(&lungs) {
            return Ok(None);
        }
        // What screening keeps around them.
        let Some(grid) = detector_grid(&lungs.mask, [spacing_mm; 3], [1; 3]) else { return Ok(None) };
        let hu = resample_mean(&case.volume, &grid, BEYOND_HU);
        let (found, infection) = (resample_nearest(&lungs.mask, &grid), resample_nearest(infection, &grid));
        let edge = 2 * recipe.mask_margin + 1;
        let seen = dilate(&found, Structuring::Box { voxels: [edge; 3] });
        let flag = |((&l, &i), &s): ((&u8, &u8), &u8)| {
            (u8::from(l != 0) * LUNG) | (u8::from(i != 0) * INFECTED) | (u8::from(s != 0) * SEEN)
        };
        let data = found.data.iter().zip(&infection.data).zip(&seen.data).map(flag).collect();
        let flags = Mask { geometry: hu.geometry.clone(), data };
        let mut rng = Rng::at(case.seed, &[place]);
        let inside = places(&flags, &mut rng, |f, _| f & LUNG != 0, &hu);
        let bright = places(&flags, &mut rng, |f, v| f & (LUNG | INFECTED) == LUNG && v > BRIGHT_HU, &hu);
        let regions = truth::regions(&infection);
        let visible = regions.iter().map(|r| visible_share(&flags, &r.box_mm)).collect();
        Ok(Some(Self {
            hu,
            flags,
            traced: case.traced,
            regions: regions.iter().map(|r| r.box_mm).collect(),
            region_ml: regions.iter().map(|r| r.volume_ml).collect(),
            visible,
            bright,
            inside,
        }))
    }
}

/// Up to [`PLACES`] offsets of voxels for which `wanted` holds, evenly drawn.
fn places(flags: &Mask, rng: &mut Rng, wanted: impl Fn(u8, i16) -> bool, hu: &Volume<i16>) -> Vec<u32> {
    let fits = |i: &usize| wanted(flags.data[*i], hu.data[*i]);
    let all: Vec<u32> = (0..flags.data.len()).filter(fits).map(|i| i as u32).collect();
    if all.len() <= PLACES {
        return all;
    }
    (0..PLACES).map(|_| all[rng.below(all.len())]).collect()
}

/// Share of the infected voxels of a box that lies in the lungs found; 0 where there is none.
fn visible_share(flags: &Mask, region: &Box3) -> f64 {
    let b = flags.geometry.voxel_box(region);
    let (mut all, mut seen) = (0u64, 0u64);
    for &f in flags.cropped(&b).data.iter().filter(|f| **f & INFECTED != 0) {
        all += 1;
        seen += u64::from(f & LUNG != 0);
    }
    if all == 0 { 0.0 } else { seen as f64 / all as f64 }
}
