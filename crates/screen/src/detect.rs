//! The detector on the lungs' box: proposals, infected voxels, candidate regions.

use crate::candidates::{Candidate, candidates};
use crate::error::{Error, Result};
use crate::models::LoadedDetector;
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
/// The voxel head gives the infected voxels; they and the proposals make the candidates that
/// [`candidate_boxes`] names, from the recipe's score on.
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
    let candidates = candidates(volume, lungs, &infection, &found, &detector.proposals);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 x 20 x 20 voxels of 2 mm; right lung x 4..8, left lung x 12..16, both y 5..15, z 5..15.
    fn lungs() -> Mask {
        let mut lungs = Mask::filled(Geometry::axis_aligned([20; 3], [-19.0, -19.0, 100.0], [2.0; 3]), 0);
        for z in 5..15 {
            for y in 5..15 {
                for (from, label) in [(4, 1), (12, 2)] {
                    let start = lungs.offset([from, y, z]);
                    lungs.data[start..start + 4].fill(label);
                }
            }
        }
        lungs
    }

    #[test]
    fn the_grid_covers_the_lungs_with_its_margin_in_whole_steps() {
        let lungs = lungs();
        let grid = detector_grid(&lungs, [2.0; 3], [8; 3]).unwrap();
        // Lungs x 4..16 plus 8 voxels a side, cut to the scan's 20 voxels, rounded up to 24.
        assert_eq!(grid.size, [24; 3]);
        assert_eq!(grid.origin_mm, [-19.0 - 4.0, -19.0 - 4.0, 100.0 - 4.0]);
        assert!(detector_grid(&Mask::filled(lungs.geometry, 0), [2.0; 3], [8; 3]).is_none());
    }

    #[test]
    fn infected_voxels_are_those_of_the_voxel_head_within_the_lungs() {
        let lungs = lungs();
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
