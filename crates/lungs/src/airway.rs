//! Trachea and main bronchi: air that is not lung.

use crate::air::{Air, Patch};
use crate::coarse::Coarse;
use pleura_volume::{Mask, Structuring, VoxelBox, dilate, open};

/// Cross-section of a trachea, mm2 (partial volume and a child's included).
const TRACHEA_MM2: [f64; 2] = [60.0, 800.0];
/// How far its centre may move per mm of height, and at least per slice, mm.
const DRIFT: f64 = 0.8;
const DRIFT_SLICE_MM: f64 = 4.0;
/// A chain of cross-sections shorter than this is no trachea, mm.
const CHAIN_MM: f64 = 20.0;
/// Steps of the threshold above the trachea's own air, HU.
const STEPS_HU: [f64; 8] = [50.0, 75.0, 100.0, 125.0, 150.0, 200.0, 250.0, 300.0];
/// What the bronchi may add to the trachea, ml, and what one step of the threshold may.
const BRONCHI_ML: f64 = 60.0;
const LEAK_ML: f64 = 10.0;
/// Bronchi narrower than twice this belong to the lung, mm.
const MAIN_RADIUS_MM: f64 = 3.0;
/// Thickness of the airway's wall, with its blurred edge, mm.
const WALL_MM: f64 = 2.0;

/// The airway that is not lung, with its wall: 1 on the reduced grid.
pub(crate) struct Airway {
    pub mask: Mask,
    /// Slices from the lowest to the highest cross-section of the trachea.
    pub trachea: Option<[usize; 2]>,
}

/// Finds the trachea as the longest upright chain of round dark cross-sections, grows it down
/// into the bronchi as long as it does not leak into the lung, and keeps what is wide.
pub(crate) fn find(coarse: &Coarse, air: &Air) -> Airway {
    let chain = trachea(coarse, air);
    let mut mask = coarse.mask(vec![0; coarse.hu.data.len()]);
    let (Some(&first), Some(&last)) = (chain.first(), chain.last()) else {
        return Airway { mask, trachea: None };
    };
    let slices = [air.patches[last].z, air.patches[first].z];
    let is_chain = {
        let mut set = vec![false; air.patches.len()];
        chain.iter().for_each(|&l| set[l] = true);
        set
    };
    let seeds: Vec<usize> =
        (0..mask.data.len()).filter(|&i| is_chain[air.pieces.labels.data[i] as usize]).collect();
    for i in grow_without_leak(coarse, air, &seeds, slices[1]) {
        mask.data[i] = 1;
    }
    keep_wide(&mut mask, &seeds);
    Airway { mask, trachea: Some(slices) }
}

/// Labels of the trachea's cross-sections from the head down; empty when there is none.
fn trachea(coarse: &Coarse, air: &Air) -> Vec<usize> {
    let [_, _, nz] = coarse.hu.size();
    let [dx, dy, dz] = coarse.hu.geometry.spacing_mm;
    let middle = body_middles(coarse, air);
    let round = |p: &Patch| {
        let mm2 = p.pixels as f64 * coarse.pixel_mm2();
        let (w, h) = ((p.max[0] - p.min[0] + 1) as f64 * dx, (p.max[1] - p.min[1] + 1) as f64 * dy);
        let [mid, width] = middle[p.z];
        (TRACHEA_MM2[0]..TRACHEA_MM2[1]).contains(&mm2)
            && w.max(h) <= 2.2 * w.min(h)
            && mm2 >= 0.6 * w * h
            && p.mean_hu() < air.level_hu + 300.0
            && (p.centre()[0] - mid).abs() < 0.15 * width
    };
    let mut in_slice: Vec<Vec<usize>> = vec![Vec::new(); nz];
    for (label, p) in air.patches.iter().enumerate().skip(1) {
        if p.pixels > 0 && round(p) {
            in_slice[p.z].push(label);
        }
    }
    // Longest chain, built from the head down: (length so far, label above).
    let mut best: Vec<(usize, usize)> = vec![(0, 0); air.patches.len()];
    let reach = (DRIFT * dz).max(DRIFT_SLICE_MM);
    for z in (0..nz).rev() {
        for &label in &in_slice[z] {
            let here = air.patches[label].centre();
            let above = in_slice.get(z + 1).into_iter().flatten().filter(|&&other| {
                let there = air.patches[other].centre();
                ((here[0] - there[0]) * dx).hypot((here[1] - there[1]) * dy) <= reach
            });
            let (length, from) = above.map(|&o| (best[o].0, o)).max().unwrap_or((0, 0));
            best[label] = (length + 1, from);
        }
    }
    let Some(end) = (1..best.len()).max_by_key(|&l| best[l].0) else { return Vec::new() };
    if (best[end].0 as f64) * dz < CHAIN_MM {
        return Vec::new();
    }
    let mut chain = Vec::new();
    let mut label = end;
    while label > 0 {
        chain.push(label);
        label = best[label].1;
    }
    chain.reverse();
    chain
}

/// Middle and width of the body in each slice, pixels along x.
fn body_middles(coarse: &Coarse, air: &Air) -> Vec<[f64; 2]> {
    let [nx, ny, nz] = coarse.hu.size();
    let slice = |z: usize| {
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for y in 0..ny {
            let row = &air.outside.slice(z)[y * nx..(y + 1) * nx];
            for (x, _) in row.iter().enumerate().filter(|&(_, &o)| o == 0) {
                n += 1.0;
                sum += x as f64;
                squares += (x * x) as f64;
            }
        }
        let mean: f64 = sum / f64::max(n, 1.0);
        // A uniform strip is as wide as its standard deviation times the root of 12.
        [mean, (12.0 * (squares / f64::max(n, 1.0) - mean * mean)).max(0.0).sqrt()]
    };
    (0..nz).map(slice).collect()
}

/// Grows the seeds through dark air at rising thresholds and keeps the last that did not leak.
fn grow_without_leak(coarse: &Coarse, air: &Air, seeds: &[usize], top: usize) -> Vec<usize> {
    let mut dark: Vec<i16> = seeds.iter().map(|&i| coarse.hu.data[i]).collect();
    dark.sort_unstable();
    let own = f64::from(dark[dark.len() / 4]);
    let limit = seeds.len() + (BRONCHI_ML / coarse.voxel_ml()) as usize;
    let mut kept: Vec<usize> = seeds.to_vec();
    for (step, above) in STEPS_HU.into_iter().enumerate() {
        let grown = grow(coarse, air, seeds, (own + above) as i16, top, limit);
        let added = (grown.len() - kept.len().min(grown.len())) as f64 * coarse.voxel_ml();
        if grown.len() >= limit || (step > 0 && added > LEAK_ML) {
            break;
        }
        kept = grown;
    }
    kept
}

/// Voxels of inner air darker than `below` that are face-connected to the seeds, at most `limit`.
fn grow(coarse: &Coarse, air: &Air, seeds: &[usize], below: i16, top: usize, limit: usize) -> Vec<usize> {
    let [nx, ny, nz] = coarse.hu.size();
    let mut seen = vec![false; coarse.hu.data.len()];
    let mut queue = seeds.to_vec();
    queue.iter().for_each(|&i| seen[i] = true);
    let mut next = 0;
    while next < queue.len() && queue.len() < limit {
        let i = queue[next];
        next += 1;
        let (x, y, z) = (i % nx, i / nx % ny, i / (nx * ny));
        let around = [
            (x > 0).then(|| i - 1),
            (x + 1 < nx).then_some(i + 1),
            (y > 0).then(|| i - nx),
            (y + 1 < ny).then_some(i + nx),
            (z > 0).then(|| i - nx * ny),
            (z + 1 < nz && z < top).then_some(i + nx * ny),
        ];
        for j in around.into_iter().flatten() {
            if !seen[j] && air.inner.data[j] != 0 && coarse.hu.data[j] < below {
                seen[j] = true;
                queue.push(j);
            }
        }
    }
    queue
}

/// Drops the narrow bronchi and adds the wall.
fn keep_wide(mask: &mut Mask, seeds: &[usize]) {
    let Some(found) = mask.bounding_box(|v| v != 0) else { return };
    let spacing = mask.geometry.spacing_mm;
    let margin = spacing.map(|s| (WALL_MM / s) as usize + 1);
    let around: VoxelBox = found.grown(margin, mask.size());
    let wide = open(&mask.cropped(&around), Structuring::Ball { radius_mm: MAIN_RADIUS_MM });
    mask.data.fill(0);
    paste(&wide, &around, mask);
    seeds.iter().for_each(|&i| mask.data[i] = 1);
    let walled = dilate(&mask.cropped(&around), Structuring::Ball { radius_mm: WALL_MM });
    paste(&walled, &around, mask);
}

fn paste(part: &Mask, at: &VoxelBox, whole: &mut Mask) {
    let [width, height, depth] = part.size();
    for z in 0..depth {
        for y in 0..height {
            let to = whole.offset([at.min[0], at.min[1] + y, at.min[2] + z]);
            let from = part.offset([0, y, z]);
            whole.data[to..to + width].copy_from_slice(&part.data[from..from + width]);
        }
    }
}
