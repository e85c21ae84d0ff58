//! Whether the patient lies in the scan as its header says.
//!
//! A wrong patient position turns front to back, mostly right to left with it, or head to foot, and all
//! that is said of sides and places is then wrong. The spine and the windpipe tell (ours).

use crate::airway::Airway;
use crate::coarse::Coarse;
use pleura_volume::{Mask, VoxelBox};
use rayon::prelude::*;

/// Denser than this is bone, or vessels full of contrast medium, HU.
const BONE_HU: i16 = 200;
/// Half the width of the strip in the middle of the body that holds spine and breastbone, mm.
const STRIP_MM: f64 = 45.0;
/// Bone in the rear half of the strip below this mean area is no spine, mm2: spines of real scans have some
/// 1000, breastbones 100 to 200 ...
const SPINE_MM2: f64 = 350.0;
/// ... where the front half holds this many times as much, and at least the area of a spine.
const TIMES: f64 = 2.0;
/// Depth of the strip along a lung's edge that is searched for the spine, mm.
const SPINE_MM: f64 = 35.0;
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
    let bone = |z: usize| {
        let hu = coarse.hu.slice(z);
        let count = |y: usize| hu[y * nx..][strip.clone()].iter().filter(|&&v| v > BONE_HU).count();
        ((centre..ny).map(count).sum::<usize>(), (0..centre).map(count).sum::<usize>())
    };
    let by_slice: Vec<(usize, usize)> = slices.into_par_iter().map(bone).collect();
    let mean = |part: &[(usize, usize)], of: fn(&(usize, usize)) -> usize| {
        part.iter().map(of).sum::<usize>() as f64 * coarse.pixel_mm2() / part.len() as f64
    };
    let parts = || by_slice.chunks(by_slice.len().div_ceil(PARTS));
    let least = |of| parts().map(|part| mean(part, of)).fold(f64::INFINITY, f64::min);
    [least(|n| n.0), least(|n| n.1)]
}

/// The middle of the body, pixels along x, of a picture that shows one lung: on the side where the picture
/// cuts through the body, or where it does so on both, on the side of the spine. None where it shows the
/// body whole.
pub(crate) fn middle_beside(coarse: &Coarse, outside: &Mask, b: &VoxelBox) -> Option<f64> {
    let [nx, ..] = coarse.hu.size();
    let inside = |x: usize| {
        let row = |z: usize, y: usize| usize::from(outside.slice(z)[y * nx + x] == 0);
        (b.min[2]..b.max[2]).map(|z| (b.min[1]..b.max[1]).map(|y| row(z, y)).sum::<usize>()).sum::<usize>()
    };
    let half = b.size()[1] * b.size()[2] / 2;
    match (inside(0), inside(nx - 1)) {
        (low, high) if low > half && high > half => spine_edge(coarse, b),
        (low, high) if low > half && low > 2 * high => Some(0.0),
        (low, high) if high > half && high > 2 * low => Some(nx as f64),
        _ => None,
    }
}

/// The edge of one lung's box that lies by the spine: there is more bone beside it in the rear half. None
/// where neither edge has much more.
fn spine_edge(coarse: &Coarse, b: &VoxelBox) -> Option<f64> {
    let [nx, ny, _] = coarse.hu.size();
    let rows = (b.min[1] + b.max[1]) / 2..ny;
    let width = ((SPINE_MM / coarse.hu.geometry.spacing_mm[0]) as usize).clamp(1, b.size()[0]);
    let bone = |columns: std::ops::Range<usize>| {
        let of_slice = |z: usize| {
            let row = |y: usize| &coarse.hu.slice(z)[y * nx..][columns.clone()];
            rows.clone().map(|y| row(y).iter().filter(|&&v| v > BONE_HU).count()).sum::<usize>()
        };
        (b.min[2]..b.max[2]).into_par_iter().map(of_slice).sum::<usize>() as f64
    };
    let (low, high) = (bone(b.min[0]..b.min[0] + width), bone(b.max[0] - width..b.max[0]));
    match () {
        () if low > TIMES * high => Some(b.min[0] as f64),
        () if high > TIMES * low => Some(b.max[0] as f64),
        () => None,
    }
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
