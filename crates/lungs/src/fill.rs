//! Vessels, nodules and bronchial walls belong to the lung.

use crate::coarse::Coarse;
use crate::{LEFT, LungOptions, RIGHT};
use pleura_volume::{Geometry, Mask, VoxelBox, close_slices, connected_components_2d, fill_holes};

/// Closes each lung slice by slice, then fills what it encloses.
///
/// Holes within a slice are filled only up to `hole_mm2`, larger ones only where the lung
/// surrounds them in 3D: so masses are filled and the diaphragm's dome and the heart are not.
pub(crate) fn fill(coarse: &Coarse, lungs: &mut Mask, blocked: &[&Mask], options: &LungOptions) {
    let spacing = lungs.geometry.spacing_mm;
    let margin = [spacing[0], spacing[1]].map(|s| (options.closing_mm / s) as usize + 2);
    for side in [RIGHT, LEFT] {
        let Some(found) = lungs.bounding_box(|v| v == side) else { continue };
        let lung = framed(lungs, &found, side, margin);
        let mut filled = close_slices(&lung, options.closing_mm);
        fill_small(&mut filled, options.hole_mm2 / coarse.pixel_mm2());
        // A single slice is its own top and bottom: nothing is enclosed in 3D.
        let filled = if coarse.hu.size()[2] > 1 { fill_holes(&filled) } else { filled };
        let [width, height, depth] = found.size();
        let inner =
            VoxelBox { min: [margin[0], margin[1], 0], max: [margin[0] + width, margin[1] + height, depth] };
        add(lungs, &filled.cropped(&inner), &found, side, blocked);
    }
}

/// One lung in its box with an empty margin along x and y, so that the closing is not disturbed
/// by the edge of the grid.
fn framed(lungs: &Mask, b: &VoxelBox, side: u8, margin: [usize; 2]) -> Mask {
    let [width, height, depth] = b.size();
    let size = [width + 2 * margin[0], height + 2 * margin[1], depth];
    let grid = Geometry::axis_aligned(size, [0.0; 3], lungs.geometry.spacing_mm);
    let mut out = Mask::filled(grid, 0);
    for z in 0..depth {
        for y in 0..height {
            let from = lungs.offset([b.min[0], b.min[1] + y, b.min[2] + z]);
            let to = out.offset([margin[0], margin[1] + y, z]);
            let row = out.data[to..to + width].iter_mut().zip(&lungs.data[from..from + width]);
            row.for_each(|(o, &v)| *o = u8::from(v == side));
        }
    }
    out
}

fn fill_small(mask: &mut Mask, pixels: f64) {
    let holes = connected_components_2d(&mask.map(|v| u8::from(v == 0)), false);
    for (m, &l) in mask.data.iter_mut().zip(&holes.labels.data) {
        if l > 0 && holes.sizes[l as usize] as f64 <= pixels {
            *m = 1;
        }
    }
}

/// Labels free voxels of `part` as `side`.
pub(crate) fn add(lungs: &mut Mask, part: &Mask, at: &VoxelBox, side: u8, blocked: &[&Mask]) {
    let [width, height, depth] = part.size();
    for z in 0..depth {
        for y in 0..height {
            let to = lungs.offset([at.min[0], at.min[1] + y, at.min[2] + z]);
            let from = part.offset([0, y, z]);
            for x in 0..width {
                let (i, on) = (to + x, part.data[from + x] != 0);
                if on && lungs.data[i] == 0 && blocked.iter().all(|b| b.data[i] == 0) {
                    lungs.data[i] = side;
                }
            }
        }
    }
}
