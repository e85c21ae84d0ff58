//! Candidate regions and infected voxels: the detector on the lungs' box.

use crate::error::{Error, Result};
use crate::models::LoadedDetector;
use pleura_lungs::RIGHT;
use pleura_nets::boxes::{proposals, sigmoid};
use pleura_nets::specs::{OBJECTNESS, OFFSETS, VOXEL};
use pleura_nets::{InputRecipe, Interpolation, Wanted};
use pleura_volume::{
    Box3, Geometry, Mask, Progress, Structuring, Volume, VoxelBox, dilate, resample_linear_f32,
    resample_mean, resample_nearest,
};
use rayon::prelude::*;

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

/// Candidates overlap by at most this IoU. Thinned proposals overlap less; what trims them to the
/// same infected voxels brings them together.
const MOST_OVERLAP: f64 = 0.5;

/// A proposal whose centre lies outside the lungs is kept when this share of its box is lung.
const LEAST_LUNG_SHARE: f64 = 0.25;

/// A candidate region inside the lungs.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Box in LPS mm at the outer faces of `box_voxels`.
    pub box_mm: Box3,
    /// Box in voxels of the oriented grid, as [`kept_boxes`] leaves it.
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

/// The detector's input channel `[z, y, x]` on `grid`: the scan sampled as its model file says, then
/// window and mask of the recipe.
///
/// # Errors
/// None in practice: the mask is made on the same grid.
pub fn detector_input(
    volume: &Volume<i16>,
    lungs: &Mask,
    grid: &Geometry,
    interpolation: Interpolation,
    input: &InputRecipe,
) -> Result<Vec<f32>> {
    let scan = match interpolation {
        Interpolation::AreaMean => resample_mean(volume, grid, BEYOND_HU),
    };
    Ok(input.apply(&scan, Some(&resample_nearest(lungs, grid)))?)
}

/// What the network says of a scan, before anything is left out.
#[derive(Debug, Clone)]
pub struct DetectorOutput {
    /// Proposals of at least the recipe's score, thinned, best first; anywhere in the lungs' box.
    pub proposals: Vec<(Box3, f32)>,
    /// Box offsets of every anchor, in the order of `pleura_nets::boxes::anchor_boxes`.
    pub offsets: Vec<f32>,
    /// Probability of infection on the detector's grid; 0 in tiles that hold no lung.
    pub infection: Volume<f32>,
}

/// Runs the detector on the box of the lungs; `None` without lungs.
///
/// # Errors
/// As [`detect`].
pub fn run_detector(
    volume: &Volume<i16>,
    lungs: &Mask,
    detector: &LoadedDetector,
    progress: &dyn Progress,
) -> Result<Option<DetectorOutput>> {
    let Some(grid) = grid(lungs, detector)? else { return Ok(None) };
    // Infection is looked for in the lungs only.
    let near = on_grid(lungs, &grid);
    let heads = [everywhere(OBJECTNESS), everywhere(OFFSETS), Wanted { output: VOXEL, mask: Some(&near) }];
    let [objectness, offsets, voxels] = run(volume, lungs, detector, &grid, heads, progress)?;
    let proposals = proposals(&objectness, &offsets, &detector.proposals, &grid)?;
    let infection = Volume { geometry: grid, data: voxels.into_par_iter().map(sigmoid).collect() };
    Ok(Some(DetectorOutput { proposals, offsets, infection }))
}

/// The detector's grid, not larger than fits into memory; `None` without lungs.
fn grid(lungs: &Mask, detector: &LoadedDetector) -> Result<Option<Geometry>> {
    let [sz, sy, sx] = detector.executor.spec().total_stride()?;
    let grid = detector_grid(lungs, detector.spacing_mm, [sx, sy, sz]);
    let cells = grid.iter().flat_map(|g| g.size).map(|n| n as u128).product();
    if grid.is_some() && cells > MOST_CELLS {
        return Err(Error::TooLarge { cells, most: MOST_CELLS });
    }
    Ok(grid)
}

/// Cells of the grid that hold lung or lie next to it: the map of the voxel head is interpolated there.
fn on_grid(lungs: &Mask, grid: &Geometry) -> Vec<u8> {
    dilate(&resample_nearest(lungs, grid), Structuring::Box { voxels: [3; 3] }).data
}

fn everywhere(output: &str) -> Wanted<'_> {
    Wanted { output, mask: None }
}

/// Runs the layers that some heads of the detector need.
fn run<const N: usize>(
    volume: &Volume<i16>,
    lungs: &Mask,
    detector: &LoadedDetector,
    grid: &Geometry,
    heads: [Wanted; N],
    progress: &dyn Progress,
) -> Result<[Vec<f32>; N]> {
    let channel = detector_input(volume, lungs, grid, detector.interpolation, &detector.input)?;
    let [nx, ny, nz] = grid.size;
    let size = [nz, ny, nx];
    let tiling = detector.executor.fitting_tile(size, HALO, DETECTOR_BYTES)?;
    let outputs = detector.executor.run_tiled(&channel, size, tiling, &heads, progress)?;
    let mut outputs = outputs.into_iter().map(|t| t.data);
    Ok(std::array::from_fn(|_| outputs.next().unwrap_or_default()))
}

/// Runs the detector on a scan whose lungs are known.
///
/// Proposals come from the region proposal head alone. Kept are those that [`kept_boxes`] keeps,
/// as it leaves them. The voxel head gives the infected voxels.
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
    let Some(found) = run_detector(volume, lungs, detector, progress)? else {
        let infection = Mask::filled(volume.geometry.clone(), 0);
        return Ok(Detection { candidates: Vec::new(), infection });
    };
    let infection = infected_voxels(lungs, &found.infection, detector.proposals.voxel_threshold);
    let candidates = candidates(volume, lungs, &infection, &found.proposals);
    Ok(Detection { candidates, infection })
}

/// Lung voxels (1) whose interpolated probability of infection reaches the threshold; on the grid of
/// the lungs.
pub fn infected_voxels(lungs: &Mask, probability: &Volume<f32>, threshold: f32) -> Mask {
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

/// The boxes of proposals that screening keeps, in order: clipped to the lungs ([`clip_to_lungs`]),
/// then trimmed to the infected voxels inside where there are any (ours: the proposal head says
/// where to look, the voxel head how far it goes). A box that overlaps an earlier one with an IoU
/// above [`MOST_OVERLAP`] is the same finding again and left out. With each the place of its box in
/// `proposals`; these are LPS mm, best first.
pub fn kept_boxes(lungs: &Mask, infection: &Mask, proposals: &[Box3]) -> Vec<(usize, VoxelBox)> {
    let tight = |b: &Box3| {
        let clipped = clip_to_lungs(lungs, b)?;
        Some(extent(infection, &clipped).map_or(clipped, |(_, inner)| inner))
    };
    let tight: Vec<Option<VoxelBox>> = proposals.par_iter().map(tight).collect();
    let mut kept: Vec<(usize, VoxelBox)> = Vec::new();
    for (i, b) in tight.into_iter().enumerate().filter_map(|(i, b)| Some((i, b?))) {
        let mm = |b: &VoxelBox| lungs.geometry.box_mm(b);
        if kept.iter().all(|(_, k)| mm(k).iou(&mm(&b)) <= MOST_OVERLAP) {
            kept.push((i, b));
        }
    }
    kept
}

/// Number and bounding box of the marked voxels in a box; `None` where there is none.
fn extent(mask: &Mask, b: &VoxelBox) -> Option<(usize, VoxelBox)> {
    let (mut found, mut count) = (VoxelBox { min: [usize::MAX; 3], max: [0; 3] }, 0usize);
    each_marked_voxel(mask, b, |at, _, _| {
        count += 1;
        for (a, &i) in at.iter().enumerate() {
            found.min[a] = found.min[a].min(i);
            found.max[a] = found.max[a].max(i + 1);
        }
    });
    (count > 0).then_some((count, found))
}

/// The voxel box of a proposal, clipped to the lung voxels in it; `None` when it does not lie in
/// the lungs: its centre is no lung and less than a quarter of its box is (ours).
///
/// `proposal` in LPS mm. Whatever screening classifies went through here, and so does every box
/// that a classifier is taught or judged on.
pub fn clip_to_lungs(lungs: &Mask, proposal: &Box3) -> Option<VoxelBox> {
    let geometry = &lungs.geometry;
    let whole = geometry.voxel_box(proposal);
    let (lung, inner) = extent(lungs, &whole)?;
    let share = lung as f64 / whole.size().iter().product::<usize>() as f64;
    let inside = share >= LEAST_LUNG_SHARE || holds(lungs, geometry.to_index(proposal.center()));
    inside.then_some(inner)
}

/// The proposals that lie in the lungs, best first, measured.
fn candidates(volume: &Volume<i16>, lungs: &Mask, infection: &Mask, boxes: &[(Box3, f32)]) -> Vec<Candidate> {
    let proposed: Vec<Box3> = boxes.iter().map(|b| b.0).collect();
    let measured = |(i, b): (usize, VoxelBox)| candidate(volume, lungs, infection, b, f64::from(boxes[i].1));
    kept_boxes(lungs, infection, &proposed).into_par_iter().map(measured).collect()
}

/// Measures a box that holds lung voxels.
fn candidate(
    volume: &Volume<i16>,
    lungs: &Mask,
    infection: &Mask,
    box_voxels: VoxelBox,
    score: f64,
) -> Candidate {
    let (mut lung, mut right, mut infected, mut sum_hu) = (0usize, 0usize, 0usize, 0i64);
    each_marked_voxel(lungs, &box_voxels, |_, offset, label| {
        lung += 1;
        right += usize::from(label == RIGHT);
        infected += usize::from(infection.data[offset] != 0);
        sum_hu += i64::from(volume.data[offset]);
    });
    Candidate {
        box_mm: lungs.geometry.box_mm(&box_voxels),
        box_voxels,
        score,
        right: 2 * right >= lung,
        volume_ml: infected as f64 * lungs.geometry.voxel_ml(),
        mean_hu: sum_hu as f64 / lung as f64,
    }
}

/// Whether the voxel that holds a point is lung.
fn holds(lungs: &Mask, index: [f64; 3]) -> bool {
    let at = index.map(|i| (i + 0.5).floor());
    let size = lungs.size();
    (0..3).all(|a| at[a] >= 0.0 && at[a] < size[a] as f64) && lungs.at(at.map(|i| i as usize)) != 0
}

/// Calls `with` place, offset and label of each marked voxel of a box.
fn each_marked_voxel(mask: &Mask, b: &VoxelBox, mut with: impl FnMut([usize; 3], usize, u8)) {
    for z in b.min[2]..b.max[2] {
        for y in b.min[1]..b.max[1] {
            let start = mask.offset([0, y, z]);
            for x in b.min[0]..b.max[0] {
                let label = mask.data[start + x];
                if label != 0 {
                    with([x, y, z], start + x, label);
                }
            }
        }
    }
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
    fn a_proposal_is_trimmed_to_the_infected_voxels_inside_and_measured() {
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
        // Infected voxels x 4..6, y 9, z 9.
        assert_eq!(c.box_voxels, VoxelBox { min: [4, 9, 9], max: [6, 10, 10] });
        assert_eq!(c.box_mm, lungs.geometry.box_mm(&c.box_voxels));
        assert!(c.right);
        assert_eq!(c.score, 0.75);
        // Two voxels of 8 cubic mm, both at -300.
        assert!((c.volume_ml - 0.016).abs() < 1e-12);
        assert_eq!(c.mean_hu, -300.0);
    }

    #[test]
    fn without_infected_voxels_a_proposal_is_clipped_to_the_lung_voxels_alone() {
        let (volume, lungs) = chest();
        let infection = Mask::filled(lungs.geometry.clone(), 0);
        let b = lungs.geometry.box_mm(&VoxelBox { min: [2, 8, 8], max: [8, 12, 12] });
        let found = candidates(&volume, &lungs, &infection, &[(b, 0.75), (b, 0.5)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].box_voxels, VoxelBox { min: [4, 8, 8], max: [8, 12, 12] });
        assert_eq!((found[0].volume_ml, found[0].mean_hu), (0.0, -800.0));
    }

    #[test]
    fn proposals_trimmed_to_the_same_infection_are_one_candidate() {
        let (volume, lungs) = chest();
        let mut infection = Mask::filled(lungs.geometry.clone(), 0);
        for z in 8..11 {
            let i = lungs.offset([5, 9, z]);
            infection.data[i] = 1;
        }
        let mm = |min, max| lungs.geometry.box_mm(&VoxelBox { min, max });
        let (below, above) = (mm([4, 8, 6], [8, 12, 11]), mm([4, 8, 8], [8, 12, 13]));
        assert!(below.iou(&above) < 0.5);
        let found = candidates(&volume, &lungs, &infection, &[(below, 0.9), (above, 0.8)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].box_voxels, VoxelBox { min: [5, 9, 8], max: [6, 10, 11] });
        assert_eq!(found[0].score, f64::from(0.9f32));
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
        let mask = infected_voxels(&lungs, &p, 0.5);
        assert_eq!(mask.data.iter().filter(|&&v| v == 1).count(), 8);
        assert_eq!(mask.at([4, 9, 9]), 1);
        assert_eq!(mask.at([9, 9, 9]), 0);
        assert!(infected_voxels(&lungs, &p, 0.7).data.iter().all(|&v| v == 0));
    }
}
