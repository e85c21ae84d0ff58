//! The three image patches of a region: where they lie, how they are cut. Training cuts the same way.

use crate::error::Result;
use pleura_lungs::{SliceEdge, slice_edge};
use pleura_nets::{InputRecipe, PatchRecipe};
use pleura_volume::{Geometry, Mask, Volume, VoxelBox, resample_mean, resample_nearest};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// What lies beyond the scan counts as air.
const BEYOND_HU: i16 = -1024;

/// The centre of a patch in voxels of the oriented grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PatchSite {
    /// Along x; whole numbers at voxel centres.
    pub x: f64,
    /// Along y.
    pub y: f64,
    /// Axial slice.
    pub slice: usize,
}

/// The caudal, centre and cranial patch of a box of voxels.
///
/// All lie at the box's centre in the axial plane; the centre patch in the slice nearest to the
/// box's centre (of two, the cranial one), its neighbours in the slices nearest to plus and minus
/// max(slice spacing, `neighbour_mm`), at the scan's ends in the last slice there is.
pub fn patch_sites(geometry: &Geometry, b: &VoxelBox, recipe: &PatchRecipe) -> [PatchSite; 3] {
    let centre = |a: usize| (b.min[a] + b.max[a]) as f64 / 2.0 - 0.5;
    let last = geometry.size[2].saturating_sub(1);
    let spacing = geometry.spacing_mm[2];
    let away = ((f64::from(recipe.neighbour_mm) / spacing).round() as usize).max(1);
    let slice = ((b.min[2] + b.max[2]) / 2).min(last);
    [slice.saturating_sub(away), slice, (slice + away).min(last)].map(|slice| PatchSite {
        x: centre(0),
        y: centre(1),
        slice,
    })
}

/// Cuts one patch: the network's input `[slab, y, x]`, `slab * pixels * pixels` values.
///
/// `pixels` pixels over `edge_mm` around the site; area-weighted mean where the patch is coarser
/// than the scan, linear where it is not. Along z a single image is the slice itself; the images of
/// a slab lie `slab_step_mm` apart around it. Beyond the scan is air. Window and lung mask follow
/// the recipe.
///
/// # Errors
/// None in practice: the mask is made on the same grid.
pub fn cut_patch(
    volume: &Volume<i16>,
    lungs: &Mask,
    site: PatchSite,
    input: &InputRecipe,
    recipe: &PatchRecipe,
) -> Result<Vec<f32>> {
    let from = &volume.geometry;
    let pixel = f64::from(recipe.edge_mm) / recipe.pixels.max(1) as f64;
    let step_z = if recipe.slab > 1 { f64::from(recipe.slab_step_mm) } else { from.spacing_mm[2] };
    let size = [recipe.pixels, recipe.pixels, recipe.slab];
    let spacing_mm = [pixel, pixel, step_z];
    let centre = [site.x, site.y, site.slice as f64];
    let first = std::array::from_fn(|a| {
        centre[a] - (size[a] as f64 - 1.0) / 2.0 * spacing_mm[a] / from.spacing_mm[a]
    });
    let grid = Geometry { size, origin_mm: from.to_lps(first), spacing_mm, axes: from.axes };
    let patch = resample_mean(volume, &grid, BEYOND_HU);
    Ok(input.apply(&patch, Some(&resample_nearest(lungs, &grid)))?)
}

/// Relative distance-from-edge of each site (see [`slice_edge`]), in order.
pub fn distances_from_edge(lungs: &Mask, sites: &[PatchSite]) -> Vec<f64> {
    let mut slices: Vec<usize> = sites.iter().map(|s| s.slice).collect();
    slices.sort_unstable();
    slices.dedup();
    let edges: BTreeMap<usize, SliceEdge> =
        slices.into_par_iter().map(|z| (z, slice_edge(lungs, z))).collect();
    sites.iter().map(|s| edges.get(&s.slice).map_or(0.0, |e| e.relative(s.x, s.y))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> PatchRecipe {
        PatchRecipe {
            edge_mm: 8.0,
            pixels: 8,
            slab: 1,
            slab_step_mm: 2.0,
            neighbour_mm: 2.5,
            distance_scale: 10.0,
        }
    }

    fn input() -> InputRecipe {
        InputRecipe { low_hu: -1000.0, high_hu: 0.0, outside_hu: Some(0.0), mask_margin: 0 }
    }

    fn slices(spacing: f64, size: usize, min: usize, max: usize) -> [usize; 3] {
        let g = Geometry::axis_aligned([30, 30, size], [0.0; 3], [1.0, 1.0, spacing]);
        let b = VoxelBox { min: [4, 10, min], max: [9, 20, max] };
        let sites = patch_sites(&g, &b, &recipe());
        // Voxels 4 to 8 have their centre at 6, voxels 10 to 19 at 14.5.
        assert!(sites.iter().all(|s| s.x == 6.0 && s.y == 14.5));
        sites.map(|s| s.slice)
    }

    #[test]
    fn neighbours_lie_at_the_slices_nearest_to_the_larger_of_spacing_and_2_5_mm() {
        // Thick slices: the next ones. 1 mm: 2.5 rounds away from zero to 3. 2 mm: 1.25 rounds to 1.
        assert_eq!(slices(5.0, 40, 10, 21), [14, 15, 16]);
        assert_eq!(slices(1.0, 40, 10, 21), [12, 15, 18]);
        assert_eq!(slices(2.0, 40, 10, 20), [14, 15, 16]);
    }

    #[test]
    fn at_the_ends_of_the_scan_neighbours_stay_inside() {
        assert_eq!(slices(1.0, 40, 0, 2), [0, 1, 4]);
        assert_eq!(slices(1.0, 40, 38, 40), [36, 39, 39]);
    }

    #[test]
    fn a_patch_on_the_scans_own_grid_is_the_scan_windowed_and_masked() {
        let geometry = Geometry::axis_aligned([20, 20, 5], [3.0, -7.0, 11.0], [1.0, 1.0, 4.0]);
        let data = (0..2000).map(|i| -1000 + (i % 400) as i16).collect();
        let volume = Volume { geometry: geometry.clone(), data };
        let mut lungs = Mask::filled(geometry, 1);
        let hole = lungs.offset([7, 6, 2]);
        lungs.data[hole] = 0;
        // Eight pixels around 9.5: voxels 6 to 13.
        let site = PatchSite { x: 9.5, y: 9.5, slice: 2 };
        let patch = cut_patch(&volume, &lungs, site, &input(), &recipe()).unwrap();
        for y in 0..8 {
            for x in 0..8 {
                let hu = f32::from(volume.at([x + 6, y + 6, 2]));
                let want = if (x, y) == (1, 0) { 1.0 } else { (hu + 1000.0) / 1000.0 };
                assert!((patch[8 * y + x] - want).abs() < 1e-6, "{x} {y}");
            }
        }
    }

    #[test]
    fn a_slab_holds_slices_around_the_site() {
        let geometry = Geometry::axis_aligned([20, 20, 9], [0.0; 3], [1.0, 1.0, 2.0]);
        let data = (0..3600).map(|i| -1000 + 100 * (i / 400) as i16).collect();
        let volume = Volume { geometry: geometry.clone(), data };
        let recipe = PatchRecipe { slab: 3, ..recipe() };
        let site = PatchSite { x: 10.0, y: 10.0, slice: 4 };
        let lungs = Mask::filled(geometry, 1);
        let patch = cut_patch(&volume, &lungs, site, &input(), &recipe).unwrap();
        assert_eq!(patch.len(), 3 * 64);
        for (k, want) in [0.3, 0.4, 0.5].into_iter().enumerate() {
            assert!(patch[64 * k..64 * (k + 1)].iter().all(|&v| (v - want).abs() < 1e-6));
        }
    }

    #[test]
    fn distances_follow_their_sites() {
        let geometry = Geometry::axis_aligned([9, 9, 3], [0.0; 3], [1.0; 3]);
        let mut lungs = Mask::filled(geometry, 0);
        for y in 1..8 {
            let i = lungs.offset([1, y, 1]);
            lungs.data[i..i + 7].fill(1);
        }
        let site = |x, y, slice| PatchSite { x, y, slice };
        let d = distances_from_edge(&lungs, &[site(4.0, 4.0, 1), site(4.0, 4.0, 0), site(1.0, 4.0, 1)]);
        // A square of 7 mm: its centre is 3.5 mm from the edge, the diagonal 7 sqrt 2.
        let diagonal = 7.0 * 2f64.sqrt();
        for (d, want) in d.iter().zip([3.5 / diagonal, 0.0, 0.5 / diagonal]) {
            assert!((d - want).abs() < 1e-6, "{d} {want}");
        }
    }
}
