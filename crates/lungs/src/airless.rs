//! Which soft tissue of the chest is lung without air.
//!
//! The expected surfaces of the chest cavity are guesses where the lung beside them is airless, so
//! they only weigh in: together with HU, learned in each scan from what lies around air
//! bronchograms and from what lies well outside the lungs, they are the prior of a random walker,
//! which finds the fat along heart and diaphragm and the change of HU where there is none.

use crate::cavity::Cavity;
use crate::coarse::Coarse;
use crate::recover::{TISSUE_HU, within_box};
use crate::walker::Field;
use pleura_volume::{Mask, Structuring, Volume, VoxelBox, dilate};
use rayon::prelude::*;

/// How sure the expected surfaces are: distance over which the odds change by a factor of e, mm.
/// Ribs show the wall, the midline bounds the mediastinum, of the diaphragm least is known (ours).
const SURE_MM: [f32; 3] = [3.0, 6.0, 20.0];
/// Log odds below which nothing is looked for.
const LEAST_ODDS: f32 = -6.0;
/// Log odds by place beyond which tissue shows the HU of lung and of what is not lung.
const INSIDE_ODDS: f32 = 0.5;
const OUTSIDE_ODDS: f32 = -2.0;
/// Consolidation shows its HU this close to the gas of its bronchi, mm.
const BY_GAS_MM: f64 = 12.0;
/// HU are averaged this far around a voxel, mm: the fat along the diaphragm is hardly thicker.
const MEAN_MM: f64 = 2.0;
/// HU tell less than they seem to, as neighbours are alike: weight of their log odds.
const HU_WEIGHT: f32 = 0.7;
/// Bins of the histograms, HU, and how many.
const BIN_HU: f32 = 5.0;
const BINS: usize = 86;
/// Share of each histogram that is spread over all bins: what was not seen may still occur.
const UNSEEN: f32 = 0.002;

/// Voxels of the reduced grid, within the box given with them, that are rather lung than not;
/// `free` are those that may be, `gas` the voxels of air in bronchi.
pub(crate) fn find(
    coarse: &Coarse,
    cavity: &Cavity,
    free: &[bool],
    gas: &[usize],
) -> Option<(Mask, VoxelBox)> {
    let odds = by_place(coarse, cavity, free);
    let at = odds.bounding_box(f32::is_finite)?;
    // One voxel more, as what lies beyond the grid wears nothing off.
    let at = at.grown([1; 3], odds.size());
    let odds = odds.cropped(&at);
    let hu = local_means(&coarse.hu.cropped(&at), &odds);
    let mut near_gas = Mask::filled(odds.geometry.clone(), 0);
    for &i in gas {
        if let Some(i) = within_box(i, coarse.hu.size(), &at) {
            let i = near_gas.offset(i);
            near_gas.data[i] = 1;
        }
    }
    let near_gas = dilate(&near_gas, Structuring::Ball { radius_mm: BY_GAS_MM });
    let shows = odds.data.iter().zip(&hu);
    let inside = shows.clone().zip(&near_gas.data).filter(|&((&o, _), &g)| o > INSIDE_ODDS && g != 0);
    let inside = histogram(inside.map(|((_, &hu), _)| hu));
    let outside = histogram(shows.filter(|&(&o, _)| o < OUTSIDE_ODDS).map(|(_, &hu)| hu));
    let prior = |(&odds, &hu): (&f32, &f32)| {
        let by_hu = (inside[bin(hu)] / outside[bin(hu)]).ln();
        if hu.is_finite() { 1.0 / (1.0 + (-odds - HU_WEIGHT * by_hu).exp()) } else { 0.0 }
    };
    let prior = odds.data.par_iter().zip(&hu).map(prior).collect();
    let field = Field { geometry: odds.geometry.clone(), hu, prior };
    let data = field.walk().into_iter().map(|p| u8::from(p > 0.5)).collect();
    Some((Mask { geometry: field.geometry, data }, at))
}

/// Log odds of lung by the place of each voxel alone; NaN where there is no free soft tissue or
/// next to no chance.
fn by_place(coarse: &Coarse, cavity: &Cavity, free: &[bool]) -> Volume<f32> {
    let plane = cavity.polar().len();
    let odds = |i: usize| {
        if !free[i] || !TISSUE_HU.contains(&coarse.hu.data[i]) {
            return f32::NAN;
        }
        let (z, k) = (i / plane, i % plane);
        let margins = cavity.margins_mm(k, z, &cavity.polar()[k]);
        let odds = margins.into_iter().zip(SURE_MM).map(|(mm, sure)| mm / sure).fold(-LEAST_ODDS, f32::min);
        if odds >= LEAST_ODDS { odds } else { f32::NAN }
    };
    let data = (0..free.len()).into_par_iter().map(odds).collect();
    Volume { geometry: coarse.hu.geometry.clone(), data }
}

/// Mean HU of the finite voxels of `odds` around each of them; NaN elsewhere.
fn local_means(hu: &Volume<i16>, odds: &Volume<f32>) -> Vec<f32> {
    let [nx, ny, nz] = hu.size();
    let reach: [usize; 3] = hu.geometry.spacing_mm.map(|s| (MEAN_MM / s).round() as usize);
    let around = |v: usize, a: usize, n: usize| v.saturating_sub(reach[a])..(v + reach[a] + 1).min(n);
    let mean = |i: usize| {
        if odds.data[i].is_nan() {
            return f32::NAN;
        }
        let (mut sum, mut n) = (0i32, 0i32);
        for z in around(i / (nx * ny), 2, nz) {
            for y in around(i / nx % ny, 1, ny) {
                let columns = around(i % nx, 0, nx);
                let row = (z * ny + y) * nx;
                let row = row + columns.start..row + columns.end;
                for (&hu, _) in
                    hu.data[row.clone()].iter().zip(&odds.data[row]).filter(|(_, o)| o.is_finite())
                {
                    sum += i32::from(hu);
                    n += 1;
                }
            }
        }
        sum as f32 / n as f32
    };
    (0..odds.data.len()).into_par_iter().map(mean).collect()
}

fn bin(hu: f32) -> usize {
    (((hu - f32::from(TISSUE_HU.start)) / BIN_HU) as usize).min(BINS - 1)
}

/// Shares of the bins, smoothed over two to each side; all alike where there is nothing to count.
fn histogram(hu: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut counts = [0f32; BINS];
    hu.for_each(|v| counts[bin(v)] += 1.0);
    let total = counts.iter().sum::<f32>().max(1.0);
    let share = |k: usize| {
        let around = &counts[k.saturating_sub(2)..(k + 3).min(BINS)];
        UNSEEN + around.iter().sum::<f32>() / around.len() as f32 / total
    };
    (0..BINS).map(share).collect()
}
