//! Consolidated lung that touches the pleura, and so is not enclosed by air.

use crate::air::Air;
use crate::airless;
use crate::airway::Airway;
use crate::cavity::Cavity;
use crate::coarse::Coarse;
use crate::judge::count;
use pleura_volume::{Connectivity, Mask, Structuring, Volume, VoxelBox, connected_components, dilate, erode};
use rayon::prelude::*;
use std::ops::Range;

/// Airless lung lies in this range, HU.
pub(crate) const TISSUE_HU: Range<i16> = -300..130;
/// Air bronchograms are darker than this, HU; fat is not.
const BRONCHUS_HU: i16 = -160;
/// Every piece of gas is darker than this somewhere, HU; noise in fat is not.
const GAS_HU: i16 = -220;
/// Airless lung, its bronchi's blurred edges too, is mostly brighter than this, HU; fat is mostly not.
const FAT_HU: i16 = -85;
/// Gas that has mostly fat around it, as far as this, is noise, mm.
const ABOUT_GAS_MM: f64 = 6.0;
/// Smaller pieces of gas may be noise, ml.
const PIECE_ML: f64 = 0.064;
/// Pieces of gas larger than this that are somewhere wider than a bronchus are bowel, ml and mm.
const BOWEL_ML: f64 = 3.0;
const BRONCHUS_MM: f64 = 8.0;
/// How far the blurred edge of the lung reaches, mm.
const LUNG_EDGE_MM: f64 = 4.0;
/// What a ball of this radius does not fit into is no consolidation but a mismatch of surfaces, mm.
const BALL_MM: f64 = 9.0;
/// With less aerated lung than this the scan shows no chest to expect a cavity in, ml.
const AERATED_ML: f64 = 500.0;
/// How far the thin rims around a consolidation reach, mm: recesses, the angle to the spine.
const CORNER_MM: f64 = 12.0;
/// Smallest consolidation that is added, ml, and the gas that its bronchi hold at least.
const LEAST_ML: f64 = 60.0;
const GAS_ML: f64 = 0.25;
/// What is as large as a lobe needs less.
const LOBE_ML: f64 = 300.0;
const LOBE_GAS_ML: f64 = 0.15;
/// Gas below the floor that tells of a lower lobe without air, ml.
const SUNK_GAS_ML: f64 = 0.04;
/// Gas this close to the main bronchi says nothing about the lobes, mm.
const HILUM_MM: f64 = 8.0;
/// No lung comes closer to the air around the body than this, mm; a part of which more does, ml, is
/// muscle that the expected surfaces took in, as when the patient lies turned.
const SKIN_MM: f64 = 6.0;
const AT_SKIN_ML: f64 = 0.5;

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
    let aerated = lungs.data.par_chunks(1 << 16).map(|part| part.len() - count(part, 0)).sum::<usize>();
    if (aerated as f64) * coarse.voxel_ml() < AERATED_ML {
        return false;
    }
    let ml = |voxels: usize| voxels as f64 * coarse.voxel_ml();
    let gas = bronchi(coarse, air, lungs, blocked, &airway.mask);
    if ml(gas.len()) < GAS_ML {
        return false;
    }
    let Some(mut cavity) = Cavity::new(coarse, lungs, middle_x, airway.trachea) else { return false };
    let plane = cavity.polar().len();
    let in_core = |&&i: &&usize| cavity.is_core(i / plane, &cavity.polar()[i % plane]);
    if ml(gas.iter().filter(in_core).count()) < GAS_ML {
        return false;
    }
    let sunk = sunk_sides(&cavity, &gas, coarse.voxel_ml());
    cavity.settle(sunk);
    let holds = |i: usize| cavity.holds(i % plane, i / plane, &cavity.polar()[i % plane]);
    let gas: Vec<usize> = gas.into_iter().filter(|&i| holds(i)).collect();
    if ml(gas.len()) < GAS_ML {
        return false;
    }
    let free = |i: usize| lungs.data[i] == 0 && blocked.iter().all(|b| b.data[i] == 0);
    let free: Vec<bool> = (0..lungs.data.len()).into_par_iter().map(free).collect();
    let fits = |i: usize| u8::from(free[i] && TISSUE_HU.contains(&coarse.hu.data[i]) && holds(i));
    let expected = coarse.mask((0..free.len()).into_par_iter().map(fits).collect());
    let Some(at) = expected.bounding_box(|v| v != 0) else { return false };
    // One voxel more, as what lies beyond the grid wears nothing off.
    let at = at.grown([1; 3], expected.size());
    // Only where the expected surfaces leave room for a consolidation is it worth a closer look.
    if consolidation(expected.cropped(&at), &gas, lungs.size(), &at).is_none() {
        return false;
    }
    let Some((tissue, at)) = airless::find(coarse, &cavity, &free, &gas) else { return false };
    let Some(mut found) = consolidation(tissue, &gas, lungs.size(), &at) else { return false };
    if !drop_at_skin(&mut found, air, &at) {
        return false;
    }
    for z in 0..found.size()[2] {
        for y in 0..found.size()[1] {
            let from = found.offset([0, y, z]);
            let to = lungs.offset([at.min[0], at.min[1] + y, at.min[2] + z]);
            for x in 0..found.size()[0] {
                if found.data[from + x] != 0 {
                    lungs.data[to + x] = Cavity::label(&cavity.polar()[(to + x) % plane]);
                }
            }
        }
    }
    true
}

/// Where the `i`-th voxel of a grid of some size lies within a box of it; `None` outside.
pub(crate) fn within_box(i: usize, [nx, ny, _]: [usize; 3], at: &VoxelBox) -> Option<[usize; 3]> {
    let v = [i % nx, i / nx % ny, i / (nx * ny)];
    at.contains(v).then(|| [0, 1, 2].map(|a| v[a] - at.min[a]))
}

/// The thick parts of what airless lung may fill, gas included, that hold enough gas, with their
/// thin rims; `empty` is the box `at` of a grid of size `whole`, on which `gas` is counted.
fn consolidation(mut empty: Mask, gas: &[usize], whole: [usize; 3], at: &VoxelBox) -> Option<Mask> {
    let gas: Vec<usize> =
        gas.iter().filter_map(|&i| within_box(i, whole, at)).map(|v| empty.offset(v)).collect();
    gas.iter().for_each(|&i| empty.data[i] = 1);
    let voxel_ml = empty.geometry.voxel_ml();
    let core = erode(&empty, Structuring::Ball { radius_mm: BALL_MM });
    // Enough gas may not lie near thick parts at all, and then there is no need to look closer.
    let reach = empty.geometry.spacing_mm.map(|s| (BALL_MM / s) as usize + 1);
    let least = (LOBE_GAS_ML / voxel_ml).ceil() as usize;
    if gas.iter().filter(|&&i| meets(&core, i, reach)).take(least).count() < least {
        return None;
    }
    let thick = dilate(&core, Structuring::Ball { radius_mm: BALL_MM });
    let parts = connected_components(&thick, Connectivity::Six);
    let mut with_gas = vec![0usize; parts.sizes.len()];
    gas.iter().for_each(|&i| with_gas[parts.labels.data[i] as usize] += 1);
    let keep: Vec<bool> = (0..parts.sizes.len())
        .map(|l| {
            let [ml, gas_ml] = [parts.sizes[l], with_gas[l]].map(|n| n as f64 * voxel_ml);
            let least = if ml >= LOBE_ML { LOBE_GAS_ML } else { GAS_ML };
            l > 0 && ml >= LEAST_ML && gas_ml >= least
        })
        .collect();
    if !keep.contains(&true) {
        return None;
    }
    let kept = parts.labels.map(|l| u8::from(keep[l as usize]));
    // Back out into the corners that the ball left.
    let mut grown = dilate(&kept, Structuring::Ball { radius_mm: CORNER_MM });
    grown.data.iter_mut().zip(&empty.data).for_each(|(v, &e)| *v &= e);
    Some(grown)
}

/// Takes parts out that reach the skin; tells whether any is left. `found` is the box `at` of the grid.
fn drop_at_skin(found: &mut Mask, air: &Air, at: &VoxelBox) -> bool {
    let reach = found.geometry.spacing_mm.map(|s| (SKIN_MM / s).round().max(1.0) as usize);
    let size = found.size();
    let parts = connected_components(found, Connectivity::Six);
    let near = |i: usize| {
        let v = [i % size[0], i / size[0] % size[1], i / (size[0] * size[1])];
        meets(&air.outside, air.outside.offset([0, 1, 2].map(|a| at.min[a] + v[a])), reach)
    };
    let labelled = parts.labels.data.par_iter().enumerate().filter(|&(i, &l)| l > 0 && near(i));
    let mut at_skin = vec![0usize; parts.sizes.len()];
    labelled.map(|(_, &l)| l).collect::<Vec<u32>>().into_iter().for_each(|l| at_skin[l as usize] += 1);
    let most = (AT_SKIN_ML / found.geometry.voxel_ml()) as usize;
    let kept = |l: u32| l > 0 && at_skin[l as usize] <= most;
    found.data.par_iter_mut().zip(&parts.labels.data).for_each(|(v, &l)| *v &= u8::from(kept(l)));
    found.data.par_iter().any(|&v| v != 0)
}

/// Whether any voxel of the mask lies in the box of `reach` voxels around the `i`-th.
fn meets(mask: &Mask, i: usize, reach: [usize; 3]) -> bool {
    around(mask.size(), i, reach).any(|row| mask.data[row].iter().any(|&v| v != 0))
}

/// The rows of voxels that the box of `reach` voxels around the `i`-th holds.
fn around([nx, ny, nz]: [usize; 3], i: usize, reach: [usize; 3]) -> impl Iterator<Item = Range<usize>> {
    let about = |v: usize, a: usize, n: usize| v.saturating_sub(reach[a])..(v + reach[a] + 1).min(n);
    let (columns, rows) = (about(i % nx, 0, nx), about(i / nx % ny, 1, ny));
    about(i / (nx * ny), 2, nz).flat_map(move |z| {
        let columns = columns.clone();
        rows.clone().map(move |y| {
            let row = (z * ny + y) * nx;
            row + columns.start..row + columns.end
        })
    })
}

/// Voxels of gas that is neither lung nor trachea nor bowel.
fn bronchi(coarse: &Coarse, air: &Air, lungs: &Mask, blocked: &[&Mask], airway: &Mask) -> Vec<usize> {
    let reach = |mm: f64| coarse.hu.geometry.spacing_mm.map(|s| (mm / s).round().max(1.0) as usize);
    let (edge, hilum, narrow) = (reach(LUNG_EDGE_MM), reach(HILUM_MM), reach(BRONCHUS_MM / 2.0));
    let is_dark = |i: usize| {
        let free = lungs.data[i] == 0 && blocked.iter().all(|b| b.data[i] == 0);
        // The blurred edge of the lung is dark too, and would join all bronchi that end at it.
        coarse.hu.data[i] < BRONCHUS_HU
            && free
            && air.outside.data[i] == 0
            && !meets(lungs, i, edge)
            && !meets(airway, i, hilum)
    };
    let dark = (0..lungs.data.len()).into_par_iter().map(|i| u8::from(is_dark(i))).collect();
    let dark = coarse.mask(dark);
    // Face to face: what noise strews hangs together over edges and corners.
    let pieces = connected_components(&dark, Connectivity::Six);
    let least = (PIECE_ML / coarse.voxel_ml()).round() as u64;
    let most = (BOWEL_ML / coarse.voxel_ml()) as usize;
    let labelled = || pieces.labels.data.par_iter().enumerate().filter(|&(_, &l)| l > 0);
    let wide = labelled().filter(|&(i, &l)| pieces.sizes[l as usize] > most && fills(&dark, i, narrow));
    let wide: Vec<u32> = wide.map(|(_, &l)| l).collect();
    let mut bronchus = vec![false; pieces.sizes.len()];
    let gas: Vec<u32> = labelled().filter(|&(i, _)| coarse.hu.data[i] < GAS_HU).map(|(_, &l)| l).collect();
    gas.into_iter().for_each(|l| bronchus[l as usize] = pieces.sizes[l as usize] as u64 >= least);
    wide.into_iter().for_each(|l| bronchus[l as usize] = false);
    // Sharp kernels and streaks make fat as dark as a narrow bronchus, here and there.
    let about = reach(ABOUT_GAS_MM);
    let in_tissue = |i: usize| airless_surplus(&coarse.hu, i, about) > 0;
    labelled().filter(|&(i, &l)| bronchus[l as usize] && in_tissue(i)).map(|(i, _)| i).collect()
}

/// How many more voxels around the `i`-th are airless tissue than fat; gas is neither.
fn airless_surplus(hu: &Volume<i16>, i: usize, reach: [usize; 3]) -> i64 {
    let tissue = around(hu.size(), i, reach).flat_map(|row| &hu.data[row]).filter(|&&v| v >= BRONCHUS_HU);
    tissue.map(|&v| if v > FAT_HU { 1 } else { -1 }).sum()
}

/// Whether all voxels in the box of `reach` voxels around the `i`-th are in the mask.
fn fills(mask: &Mask, i: usize, reach: [usize; 3]) -> bool {
    around(mask.size(), i, reach).all(|row| mask.data[row].iter().all(|&v| v != 0))
}

/// Sides whose bronchi hold air below what both lungs' floors say.
fn sunk_sides(cavity: &Cavity, gas: &[usize], voxel_ml: f64) -> [bool; 2] {
    let plane = cavity.polar().len();
    let mut below = [0usize; 2];
    for &i in gas {
        let (z, i) = (i / plane, i % plane);
        let p = &cavity.polar()[i];
        if cavity.is_core(z, p) && (z as f32) < cavity.floor_at(i, p) {
            below[Cavity::side(p)] += 1;
        }
    }
    below.map(|n| n as f64 * voxel_ml >= SUNK_GAS_ML)
}
