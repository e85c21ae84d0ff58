//! Candidate regions and infected voxels: the detector on the lungs' box.

use crate::error::{Error, Result};
use crate::models::LoadedDetector;
use pleura_lungs::RIGHT;
use pleura_nets::boxes::{proposals, sigmoid};
use pleura_nets::specs::{OBJECTNESS, OFFSETS, VOXEL};
use pleura_nets::{InputRecipe, NetsError, Tensor};
use pleura_volume::{
    Box3, Geometry, Mask, Progress, Volume, VoxelBox, resample_linear_f32, resample_mean, resample_nearest,
};
use rayon::prelude::*;
use std::collections::HashSet;

/// The lungs' box is grown by this on each side before it is resampled, mm.
pub const MARGIN_MM: f64 = 16.0;

/// What lies beyond the scan counts as air.
const BEYOND_HU: i16 = -1024;

/// Most bytes of buffers the detector may hold.
const DETECTOR_BYTES: usize = 600 << 20;

/// Most cells of the detector's grid: at some 16 bytes a cell for input, mask, output and its
/// probability this is 1 GB. The largest chest at 1 mm takes 50 million.
const MOST_CELLS: u128 = 64 << 20;

/// Voxels seen beyond a tile, where the lungs do not fit into one.
const HALO: [usize; 3] = [32; 3];

/// A proposal whose centre lies outside the lungs is kept when this share of its box is lung.
const LEAST_LUNG_SHARE: f64 = 0.25;

/// A candidate region inside the lungs.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Box in LPS mm at the outer faces of `box_voxels`.
    pub box_mm: Box3,
    /// Box in voxels of the oriented grid, clipped to the lung voxels in it.
    pub box_voxels: VoxelBox,
    /// Objectness, 0 to 1.
    pub score: f64,
    /// Whether most of its lung voxels are of the right lung.
    pub right: bool,
    /// Infected volume inside the box, ml.
    pub volume_ml: f64,
    /// Mean HU of its lung voxels.
    pub mean_hu: f64,
}

/// What the detector says of a scan.
#[derive(Debug, Clone)]
pub struct Detection {
    /// Candidates, best score first.
    pub candidates: Vec<Candidate>,
    /// Infected voxels (1) within the lungs, on the grid of the scan.
    pub infection: Mask,
}

/// The detector's grid over the box of the lungs: `spacing_mm` kept exactly, the box grown by
/// [`MARGIN_MM`] and then to a multiple of `step` voxels (x, y, z) along each axis. `None` without
/// lungs.
pub fn detector_grid(lungs: &Mask, spacing_mm: [f64; 3], step: [usize; 3]) -> Option<Geometry> {
    let geometry = &lungs.geometry;
    let found = lungs.bounding_box(|v| v != 0)?;
    let margin = geometry.spacing_mm.map(|s| (MARGIN_MM / s).ceil() as usize);
    let about = geometry.cropped(&found.grown(margin, geometry.size)).resampled(spacing_mm);
    let size: [usize; 3] = std::array::from_fn(|a| about.size[a].next_multiple_of(step[a].max(1)));
    // Grown evenly: by half of the added voxels before the first one.
    let first = std::array::from_fn(|a| -(((size[a] - about.size[a]) / 2) as f64));
    Some(Geometry { size, origin_mm: about.to_lps(first), ..about })
}

/// The detector's input channel `[z, y, x]` on `grid`: the area-weighted mean of the scan where the
/// grid is coarser, trilinear where it is not; then window and mask of the recipe.
///
/// # Errors
/// None in practice: the mask is made on the same grid.
pub fn detector_input(
    volume: &Volume<i16>,
    lungs: &Mask,
    grid: &Geometry,
    input: &InputRecipe,
) -> Result<Vec<f32>> {
    let scan = resample_mean(volume, grid, BEYOND_HU);
    Ok(input.apply(&scan, Some(&resample_nearest(lungs, grid)))?)
}

/// Runs the detector on a scan whose lungs are known.
///
/// Proposals come from the region proposal head alone. Kept are those whose centre lies in the
/// lungs or of whose box a quarter is lung (ours); they are clipped to the lung voxels inside. The
/// voxel head gives the infected voxels.
///
/// # Errors
/// [`Error::TooLarge`] where the detector's grid would not fit into memory; [`Error::Network`] when
/// the network does not fit its manifest; [`Error::Cancelled`].
pub fn detect(
    volume: &Volume<i16>,
    lungs: &Mask,
    detector: &LoadedDetector,
    progress: &dyn Progress,
) -> Result<Detection> {
    let [sz, sy, sx] = detector.executor.spec().total_stride()?;
    let nothing = || Mask::filled(volume.geometry.clone(), 0);
    let Some(grid) = detector_grid(lungs, detector.spacing_mm, [sx, sy, sz]) else {
        return Ok(Detection { candidates: Vec::new(), infection: nothing() });
    };
    let cells = grid.size.iter().map(|&n| n as u128).product();
    if cells > MOST_CELLS {
        return Err(Error::TooLarge { cells, most: MOST_CELLS });
    }
    let channel = detector_input(volume, lungs, &grid, &detector.input)?;
    let [nx, ny, nz] = grid.size;
    let size = [nz, ny, nx];
    let tiling = detector.executor.fitting_tile(size, HALO, DETECTOR_BYTES)?;
    let outputs = detector.executor.run_tiled(&channel, size, tiling, progress)?;
    drop(channel);
    let names = &detector.executor.spec().outputs;
    let output = |name: &str| named(names, &outputs, name);
    let boxes = proposals(&output(OBJECTNESS)?.data, &output(OFFSETS)?.data, &detector.proposals, &grid)?;
    let voxels =
        Volume { geometry: grid, data: output(VOXEL)?.data.par_iter().map(|&v| sigmoid(v)).collect() };
    let infection = infected(lungs, &voxels, detector.proposals.voxel_threshold);
    let candidates = candidates(volume, lungs, &infection, &boxes);
    Ok(Detection { candidates, infection })
}

fn named<'a>(names: &[String], outputs: &'a [Tensor], name: &str) -> Result<&'a Tensor> {
    let found = names.iter().position(|n| n == name).and_then(|i| outputs.get(i));
    Ok(found.ok_or_else(|| NetsError::Input(format!("the network has no output `{name}`")))?)
}

/// Lung voxels whose interpolated probability of infection reaches the threshold.
fn infected(lungs: &Mask, probability: &Volume<f32>, threshold: f32) -> Mask {
    let mut mask = Mask::filled(lungs.geometry.clone(), 0);
    let Some(found) = lungs.bounding_box(|v| v != 0) else { return mask };
    let [nx, ny, _] = lungs.size();
    // Slice by slice: the interpolated map of a whole scan would take four times its memory.
    mask.data.par_chunks_mut((nx * ny).max(1)).enumerate().for_each(|(z, slice)| {
        if !(found.min[2]..found.max[2]).contains(&z) {
            return;
        }
        let part =
            VoxelBox { min: [found.min[0], found.min[1], z], max: [found.max[0], found.max[1], z + 1] };
        let here = resample_linear_f32(probability, &lungs.geometry.cropped(&part), 0.0);
        let lung = lungs.slice(z);
        let width = part.size()[0];
        for (row, values) in here.data.chunks(width.max(1)).enumerate() {
            let start = (part.min[1] + row) * nx + part.min[0];
            for (x, &p) in values.iter().enumerate() {
                slice[start + x] = u8::from(lung[start + x] != 0 && p >= threshold);
            }
        }
    });
    mask
}

/// The proposals that lie in the lungs, best first, each box of voxels once.
fn candidates(volume: &Volume<i16>, lungs: &Mask, infection: &Mask, boxes: &[(Box3, f32)]) -> Vec<Candidate> {
    let found: Vec<Option<Candidate>> = boxes
        .par_iter()
        .map(|(b, score)| candidate(volume, lungs, infection, b, f64::from(*score)))
        .collect();
    let mut seen = HashSet::new();
    found.into_iter().flatten().filter(|c| seen.insert(c.box_voxels)).collect()
}

/// One proposal clipped to its lung voxels; `None` when it does not lie in the lungs.
fn candidate(
    volume: &Volume<i16>,
    lungs: &Mask,
    infection: &Mask,
    proposal: &Box3,
    score: f64,
) -> Option<Candidate> {
    let geometry = &lungs.geometry;
    let whole = geometry.voxel_box(proposal);
    if whole.is_empty() {
        return None;
    }
    let inside = tally(volume, lungs, infection, &whole)?;
    let share = inside.lung as f64 / whole.size().iter().product::<usize>() as f64;
    if share < LEAST_LUNG_SHARE && !holds(lungs, geometry.to_index(proposal.center())) {
        return None;
    }
    Some(Candidate {
        box_mm: geometry.box_mm(&inside.extent),
        box_voxels: inside.extent,
        score,
        right: 2 * inside.right >= inside.lung,
        volume_ml: inside.infected as f64 * geometry.voxel_ml(),
        mean_hu: inside.sum_hu as f64 / inside.lung as f64,
    })
}

/// Whether the voxel that holds a point is lung.
fn holds(lungs: &Mask, index: [f64; 3]) -> bool {
    let at = index.map(|i| (i + 0.5).floor());
    let size = lungs.size();
    (0..3).all(|a| at[a] >= 0.0 && at[a] < size[a] as f64) && lungs.at(at.map(|i| i as usize)) != 0
}

/// The lung voxels of a box.
struct Tally {
    lung: usize,
    right: usize,
    infected: usize,
    sum_hu: i64,
    extent: VoxelBox,
}

fn tally(volume: &Volume<i16>, lungs: &Mask, infection: &Mask, b: &VoxelBox) -> Option<Tally> {
    let nowhere = VoxelBox { min: [usize::MAX; 3], max: [0; 3] };
    let mut t = Tally { lung: 0, right: 0, infected: 0, sum_hu: 0, extent: nowhere };
    for z in b.min[2]..b.max[2] {
        for y in b.min[1]..b.max[1] {
            let start = lungs.offset([0, y, z]);
            for x in b.min[0]..b.max[0] {
                let label = lungs.data[start + x];
                if label == 0 {
                    continue;
                }
                t.lung += 1;
                t.right += usize::from(label == RIGHT);
                t.infected += usize::from(infection.data[start + x] != 0);
                t.sum_hu += i64::from(volume.data[start + x]);
                for (a, v) in [x, y, z].into_iter().enumerate() {
                    t.extent.min[a] = t.extent.min[a].min(v);
                    t.extent.max[a] = t.extent.max[a].max(v + 1);
                }
            }
        }
    }
    (t.lung > 0).then_some(t)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 x 20 x 20 voxels of 2 mm; right lung x 4..8, left lung x 12..16, both y 5..15, z 5..15.
    fn chest() -> (Volume<i16>, Mask) {
        let geometry = Geometry::axis_aligned([20; 3], [-19.0, -19.0, 100.0], [2.0; 3]);
        let mut lungs = Mask::filled(geometry.clone(), 0);
        for z in 5..15 {
            for y in 5..15 {
                for (from, label) in [(4, 1), (12, 2)] {
                    let start = lungs.offset([from, y, z]);
                    lungs.data[start..start + 4].fill(label);
                }
            }
        }
        let volume =
            Volume { geometry, data: lungs.data.iter().map(|&l| if l == 0 { 40 } else { -800 }).collect() };
        (volume, lungs)
    }

    #[test]
    fn a_proposal_is_clipped_to_the_lung_voxels_inside_and_measured() {
        let (mut volume, lungs) = chest();
        let mut infection = Mask::filled(lungs.geometry.clone(), 0);
        for x in 4..6 {
            let i = lungs.offset([x, 9, 9]);
            infection.data[i] = 1;
            volume.data[i] = -300;
        }
        // Voxels x 2..8, y 8..12, z 8..12: lung from x 4 on.
        let b = lungs.geometry.box_mm(&VoxelBox { min: [2, 8, 8], max: [8, 12, 12] });
        let found = candidates(&volume, &lungs, &infection, &[(b, 0.75), (b, 0.5)]);
        assert_eq!(found.len(), 1, "the same box once");
        let c = &found[0];
        assert_eq!(c.box_voxels, VoxelBox { min: [4, 8, 8], max: [8, 12, 12] });
        assert_eq!(c.box_mm, lungs.geometry.box_mm(&c.box_voxels));
        assert!(c.right);
        assert_eq!(c.score, 0.75);
        // Two voxels of 8 cubic mm; 62 voxels at -800 and 2 at -300.
        assert!((c.volume_ml - 0.016).abs() < 1e-12);
        assert_eq!(c.mean_hu, -(62.0 * 800.0 + 600.0) / 64.0);
    }

    #[test]
    fn proposals_outside_the_lungs_are_dropped() {
        let (volume, lungs) = chest();
        let infection = Mask::filled(lungs.geometry.clone(), 0);
        let outside = lungs.geometry.box_mm(&VoxelBox { min: [9, 8, 8], max: [11, 12, 12] });
        // A fifth is lung, the centre is not.
        let mostly = lungs.geometry.box_mm(&VoxelBox { min: [7, 8, 8], max: [12, 12, 12] });
        let beyond = Box3::cube([1000.0; 3], 20.0);
        assert!(
            candidates(&volume, &lungs, &infection, &[(outside, 0.9), (mostly, 0.9), (beyond, 0.9)])
                .is_empty()
        );
    }

    #[test]
    fn the_grid_covers_the_lungs_with_its_margin_in_whole_steps() {
        let (_, lungs) = chest();
        let grid = detector_grid(&lungs, [2.0; 3], [8; 3]).unwrap();
        // Lungs x 4..16 plus 8 voxels a side, cut to the scan's 20 voxels, rounded up to 24.
        assert_eq!(grid.size, [24; 3]);
        assert_eq!(grid.origin_mm, [-19.0 - 4.0, -19.0 - 4.0, 100.0 - 4.0]);
        assert!(detector_grid(&Mask::filled(lungs.geometry, 0), [2.0; 3], [8; 3]).is_none());
    }

    #[test]
    fn infected_voxels_are_those_of_the_voxel_head_within_the_lungs() {
        let (_, lungs) = chest();
        // The same grid: interpolation gives the values back.
        let mut p = Volume::filled(lungs.geometry.clone(), 0.0f32);
        for x in 0..20 {
            let i = p.offset([x, 9, 9]);
            p.data[i] = 0.6;
        }
        let mask = infected(&lungs, &p, 0.5);
        assert_eq!(mask.data.iter().filter(|&&v| v == 1).count(), 8);
        assert_eq!(mask.at([4, 9, 9]), 1);
        assert_eq!(mask.at([9, 9, 9]), 0);
        assert!(infected(&lungs, &p, 0.7).data.iter().all(|&v| v == 0));
    }
}
