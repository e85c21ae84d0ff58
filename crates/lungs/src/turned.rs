//! Whether the patient lies in the scan as its header says.
//!
//! A wrong patient position turns front to back, mostly right to left with it, or head to foot, and all
//! that is said of sides and places is then wrong. The spine and the windpipe tell (ours).

use crate::airway::Airway;
use crate::coarse::Coarse;
use pleura_volume::{Mask, VoxelBox};
use rayon::prelude::*;
use std::ops::Range;

/// Denser than this is bone, or vessels full of contrast medium, HU.
const BONE_HU: i16 = 200;
/// Half the width of the strip in the middle of the body that holds spine and breastbone, mm.
const STRIP_MM: f64 = 45.0;
/// Bone in the rear half of the strip below this mean area is no spine, mm2: spines of real scans have some
/// 1000, breastbones 100 to 200 ...
const SPINE_MM2: f64 = 350.0;
/// ... where the front half holds this many times as much, and at least the area of a spine.
const TIMES: f64 = 2.0;
/// An edge of the picture where the body is this deep, as a share of where it is deepest, cuts it in its middle.
const CUT_DEPTH: f64 = 0.8;
/// Parts of the lungs' height, each of which shows the spine: a heart full of contrast medium is lower.
const PARTS: usize = 4;
/// Lungs lower than this in the scan are not judged, mm.
const LEAST_MM: f64 = 100.0;
/// A chain of cross-sections of the windpipe that is judged, mm.
const WINDPIPE_MM: f64 = 30.0;
/// The windpipe ends above this share of the lungs' height, from the base.
const WINDPIPE_ABOVE: f64 = 0.45;

/// Why the patient lies otherwise than the header says; empty where nothing speaks for it. `middle` is
/// the midline, pixels along x.
pub(crate) fn reasons(coarse: &Coarse, lungs: &Mask, airway: &Airway, middle: f64) -> Vec<String> {
    let Some(b) = lungs.bounding_box(|v| v != 0) else { return Vec::new() };
    let dz = coarse.hu.geometry.spacing_mm[2];
    if b.size()[2] as f64 * dz < LEAST_MM {
        return Vec::new();
    }
    let mut out = Vec::new();
    let [rear, front] = bone(coarse, lungs, &b, middle);
    if rear < SPINE_MM2 && front >= SPINE_MM2 && front > TIMES * rear {
        out.push(
            "The spine lies in front of the lungs: the scan's header has the patient's position wrong, and \
             perhaps the sides."
                .to_owned(),
        );
    }
    if airway.trachea.is_some_and(|ends| is_low(ends, &b, dz)) {
        out.push(
            "The windpipe lies at the foot end of the lungs: the scan is upside down, or its header wrong."
                .to_owned(),
        );
    }
    out
}

/// Whether a chain of cross-sections long enough for the windpipe ends in the lower part of the lungs.
fn is_low([low, high]: [usize; 2], lungs: &VoxelBox, dz: f64) -> bool {
    let top = (high as f64 - lungs.min[2] as f64) / lungs.size()[2] as f64;
    (high + 1 - low) as f64 * dz >= WINDPIPE_MM && top < WINDPIPE_ABOVE
}

/// Area of bone in the middle of the body, behind and in front of the lungs' mean depth, mm2: the mean in
/// that part of the height that shows least.
fn bone(coarse: &Coarse, lungs: &Mask, b: &VoxelBox, middle: f64) -> [f64; 2] {
    let [nx, ny, _] = coarse.hu.size();
    let half = STRIP_MM / coarse.hu.geometry.spacing_mm[0];
    let strip = (middle - half).max(0.0) as usize..((middle + half).max(0.0) as usize).min(nx);
    let depth = |z: usize| {
        let rows = lungs.slice(z).chunks(nx).enumerate();
        let count = |row: &[u8]| row.iter().filter(|&&v| v != 0).count();
        rows.fold((0usize, 0usize), |(n, sum), (y, row)| (n + count(row), sum + y * count(row)))
    };
    let slices = b.min[2]..b.max[2];
    let add = |a: (usize, usize), b: (usize, usize)| (a.0 + b.0, a.1 + b.1);
    let (n, sum) = slices.clone().into_par_iter().map(depth).reduce(|| (0, 0), add);
    // Rows run from front to back.
    let centre = (sum / n.max(1)).min(ny);
    let bone = |z: usize| (count(coarse, z, centre..ny, &strip), count(coarse, z, 0..centre, &strip));
    let by_slice: Vec<(usize, usize)> = slices.into_par_iter().map(bone).collect();
    let mean = |part: &[(usize, usize)], of: fn(&(usize, usize)) -> usize| {
        part.iter().map(of).sum::<usize>() as f64 * coarse.pixel_mm2() / part.len() as f64
    };
    let parts = || by_slice.chunks(by_slice.len().div_ceil(PARTS));
    let least = |of| parts().map(|part| mean(part, of)).fold(f64::INFINITY, f64::min);
    [least(|n| n.0), least(|n| n.1)]
}

/// The middle of the body, pixels along x, of a picture that shows one lung and cuts through the body's
/// middle: the deeper edge, where the body is about as deep as anywhere. None where it shows the body whole.
pub(crate) fn middle_beside(outside: &Mask, b: &VoxelBox) -> Option<f64> {
    let nx = outside.size()[0];
    let depths = |z: usize| {
        let mut depths = vec![0usize; nx];
        for row in outside.slice(z).chunks(nx) {
            depths.iter_mut().zip(row).for_each(|(n, &o)| *n += usize::from(o == 0));
        }
        depths
    };
    let add = |a: Vec<usize>, b: Vec<usize>| a.iter().zip(b).map(|(a, b)| a + b).collect();
    let depths = (b.min[2]..b.max[2]).into_par_iter().map(depths).reduce(|| vec![0; nx], add);
    let (low, high) = (depths[0], depths[nx - 1]);
    let most = depths.into_iter().max().unwrap_or(0);
    if (low.max(high) as f64) < CUT_DEPTH * most as f64 {
        return None;
    }
    Some(if low > high { 0.0 } else { nx as f64 })
}

/// Pixels of bone in some rows and columns of a slice.
fn count(coarse: &Coarse, z: usize, rows: Range<usize>, columns: &Range<usize>) -> usize {
    let nx = coarse.hu.size()[0];
    let row = |y: usize| &coarse.hu.slice(z)[y * nx..][columns.clone()];
    rows.map(|y| row(y).iter().filter(|&&v| v > BONE_HU).count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_windpipe_belongs_above_the_middle_of_the_lungs() {
        let lungs = VoxelBox { min: [0, 0, 10], max: [9, 9, 110] };
        assert!(!is_low([70, 105], &lungs, 2.0));
        assert!(is_low([12, 50], &lungs, 2.0), "at the foot end");
        assert!(!is_low([12, 25], &lungs, 2.0), "too short to be the windpipe");
        assert!(is_low([0, 40], &lungs, 2.0), "reaching below the lungs");
        assert!(!is_low([0, 5], &VoxelBox { min: [0, 0, 20], max: [9, 9, 60] }, 2.0));
    }
}
