//! Consolidated lung that touches the pleura, and so is not enclosed by air.

use crate::air::Air;
use crate::airway::Airway;
use crate::cavity::Cavity;
use crate::coarse::Coarse;
use pleura_volume::{Connectivity, Mask, Structuring, connected_components, dilate, open};
use rayon::prelude::*;

/// Airless lung lies in this range, HU.
const TISSUE_HU: std::ops::Range<i16> = -300..130;
/// Air bronchograms are darker than this, HU; fat is not.
const BRONCHUS_HU: i16 = -160;
/// Pieces of gas larger than this are bowel, ml.
const BOWEL_ML: f64 = 3.0;
/// How far the blurred edge of the lung reaches, mm.
const LUNG_EDGE_MM: f64 = 4.0;
/// What a ball of this radius does not fit into is no consolidation but a mismatch of surfaces, mm.
const BALL_MM: f64 = 9.0;
/// With less aerated lung than this the scan shows no chest to expect a cavity in, ml.
const AERATED_ML: f64 = 500.0;
/// How far the thin rims around a consolidation reach, mm: recesses, the angle to the spine.
const CORNER_MM: f64 = 20.0;
/// Smallest consolidation that is added, ml, and the gas that its bronchi hold at least.
const LEAST_ML: f64 = 60.0;
const GAS_ML: f64 = 0.25;
/// What is as large as a lobe needs less.
const LOBE_ML: f64 = 300.0;
const LOBE_GAS_ML: f64 = 0.06;
/// Gas below the floor that tells of a lower lobe without air, ml.
const SUNK_GAS_ML: f64 = 0.04;
/// Gas this close to the main bronchi says nothing about the lobes, mm.
const HILUM_MM: f64 = 8.0;

/// Adds airless lung: what the chest cavity holds and the aerated lung does not fill, where it is
/// thick and holds bronchi with air in them. Tells whether it added any.
pub(crate) fn recover(
    coarse: &Coarse,
    air: &Air,
    lungs: &mut Mask,
    blocked: &[&Mask],
    middle_x: f64,
    airway: &Airway,
) -> bool {
    let trachea = airway.trachea;
    let airway = &airway.mask;
    let aerated = lungs.data.par_iter().filter(|&&v| v != 0).count();
    if (aerated as f64) * coarse.voxel_ml() < AERATED_ML {
        return false;
    }
    let gas = bronchi(coarse, air, lungs, blocked, airway);
    let Some(first) = Cavity::new(coarse, lungs, middle_x, trachea, [false; 2]) else { return false };
    let polar = first.polar_plane();
    let plane = polar.len();
    let within = |&i: &usize| gas[i] && first.is_core(i / plane, &polar[i % plane]);
    if ((0..gas.len()).into_par_iter().filter(within).count() as f64) * coarse.voxel_ml() < GAS_ML {
        return false;
    }
    let sunk = sunk_sides(&first, &gas, coarse.voxel_ml());
    let cavity = if sunk.contains(&true) {
        let Some(c) = Cavity::new(coarse, lungs, middle_x, trachea, sunk) else { return false };
        c
    } else {
        first
    };
    let empty: Vec<u8> = (0..lungs.data.len())
        .into_par_iter()
        .map(|i| {
            let fits = lungs.data[i] == 0
                && TISSUE_HU.contains(&coarse.hu.data[i]) | gas[i]
                && blocked.iter().all(|b| b.data[i] == 0)
                && cavity.holds(i % plane, i / plane, &polar[i % plane]);
            u8::from(fits)
        })
        .collect();
    let gas_within = empty.iter().zip(&gas).filter(|&(&e, &g)| e != 0 && g).count();
    if (gas_within as f64) * coarse.voxel_ml() < GAS_ML {
        return false;
    }
    let empty = coarse.mask(empty);
    let thick = open(&empty, Structuring::Ball { radius_mm: BALL_MM });
    let parts = connected_components(&thick, Connectivity::Six);
    let mut with_gas = vec![0usize; parts.sizes.len()];
    for (&l, &g) in parts.labels.data.iter().zip(&gas) {
        with_gas[l as usize] += usize::from(g);
    }
    let keep: Vec<bool> = (0..parts.sizes.len())
        .map(|l| {
            let [ml, gas_ml] = [parts.sizes[l], with_gas[l]].map(|n| n as f64 * coarse.voxel_ml());
            let least = if ml >= LOBE_ML { LOBE_GAS_ML } else { GAS_ML };
            l > 0 && ml >= LEAST_ML && gas_ml >= least
        })
        .collect();
    let kept = parts.labels.map(|l| u8::from(keep[l as usize]));
    if kept.data.iter().all(|&v| v == 0) {
        return false;
    }
    // Back out into the corners that the ball left.
    let grown = dilate(&kept, Structuring::Ball { radius_mm: CORNER_MM });
    for (i, v) in lungs.data.iter_mut().enumerate() {
        if grown.data[i] != 0 && empty.data[i] != 0 {
            *v = Cavity::label(&polar[i % plane]);
        }
    }
    true
}

/// Gas in small pieces that is neither lung nor trachea.
fn bronchi(coarse: &Coarse, air: &Air, lungs: &Mask, blocked: &[&Mask], airway: &Mask) -> Vec<bool> {
    let dark: Vec<u8> = (0..lungs.data.len())
        .into_par_iter()
        .map(|i| {
            let free = lungs.data[i] == 0 && blocked.iter().all(|b| b.data[i] == 0);
            u8::from(free && air.outside.data[i] == 0 && coarse.hu.data[i] < BRONCHUS_HU)
        })
        .collect();
    let pieces = connected_components(&coarse.mask(dark), Connectivity::TwentySix);
    let most = (BOWEL_ML / coarse.voxel_ml()) as usize;
    // The blurred edge of the lung is dark too: gas has soft tissue all around.
    let near = |mask: &Mask, mm: f64| {
        let voxels = coarse.hu.geometry.spacing_mm.map(|s| 2 * (mm / s).round().max(1.0) as usize + 1);
        dilate(&mask.map(|v| u8::from(v != 0)), Structuring::Box { voxels })
    };
    let (near_lung, hilum) = (near(lungs, LUNG_EDGE_MM), near(airway, HILUM_MM));
    pieces
        .labels
        .data
        .par_iter()
        .enumerate()
        .map(|(i, &l)| {
            l > 0 && pieces.sizes[l as usize] <= most && near_lung.data[i] == 0 && hilum.data[i] == 0
        })
        .collect()
}

/// Sides whose bronchi hold air below what both lungs' floors say.
fn sunk_sides(cavity: &Cavity, gas: &[bool], voxel_ml: f64) -> [bool; 2] {
    let polar = cavity.polar_plane();
    let plane = polar.len();
    let mut below = [0usize; 2];
    for (i, _) in gas.iter().enumerate().filter(|&(_, &g)| g) {
        let (z, i) = (i / plane, i % plane);
        let p = &polar[i];
        if cavity.is_core(z, p) && (z as f32) < cavity.floor_at(i, p) {
            below[Cavity::side(p)] += 1;
        }
    }
    below.map(|n| n as f64 * voxel_ml >= SUNK_GAS_ML)
}
