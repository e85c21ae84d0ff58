//! Binary morphology.
//!
//! What lies outside the grid is background for dilation and foreground for erosion (scipy's
//! `border_value` 0 and 1): the edge of the grid neither grows nor eats a mask, so that opening
//! never adds and closing never removes a voxel.

use crate::Mask;
use crate::distance::squared_distances;
use crate::rows::{along_y, along_z};
use rayon::prelude::*;

/// The shape a mask is dilated or eroded with, centred on each voxel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Structuring {
    /// The voxels whose centres lie within `radius_mm` (a negative radius counts as 0).
    Ball {
        /// Radius in mm, faces included.
        radius_mm: f64,
    },
    /// A box of `voxels` edges along x, y, z; an even edge counts as the next odd one, 0 as 1.
    Box {
        /// Edges in voxels.
        voxels: [usize; 3],
    },
}

/// The voxels whose shape meets the mask.
pub fn dilate(mask: &Mask, shape: Structuring) -> Mask {
    let data = match shape {
        Structuring::Ball { radius_mm } => near(mask, |v| v != 0, radius_mm, true),
        Structuring::Box { voxels } => in_box(mask, |v| v != 0, voxels),
    };
    Mask { geometry: mask.geometry.clone(), data }
}

/// The voxels whose whole shape lies in the mask.
pub fn erode(mask: &Mask, shape: Structuring) -> Mask {
    let background = match shape {
        Structuring::Ball { radius_mm } => near(mask, |v| v == 0, radius_mm, true),
        Structuring::Box { voxels } => in_box(mask, |v| v == 0, voxels),
    };
    complement(mask, background)
}

/// Erosion, then dilation: what the shape fits into.
pub fn open(mask: &Mask, shape: Structuring) -> Mask {
    dilate(&erode(mask, shape), shape)
}

/// Dilation, then erosion: gaps the shape does not fit into are closed.
pub fn close(mask: &Mask, shape: Structuring) -> Mask {
    erode(&dilate(mask, shape), shape)
}

/// [`dilate`] by a disc of `radius_mm` in each axial slice.
pub fn dilate_slices(mask: &Mask, radius_mm: f64) -> Mask {
    let data = near(mask, |v| v != 0, radius_mm, false);
    Mask { geometry: mask.geometry.clone(), data }
}

/// [`erode`] by a disc of `radius_mm` in each axial slice.
pub fn erode_slices(mask: &Mask, radius_mm: f64) -> Mask {
    complement(mask, near(mask, |v| v == 0, radius_mm, false))
}

/// [`open`] by a disc of `radius_mm` in each axial slice.
pub fn open_slices(mask: &Mask, radius_mm: f64) -> Mask {
    dilate_slices(&erode_slices(mask, radius_mm), radius_mm)
}

/// [`close`] by a disc of `radius_mm` in each axial slice.
pub fn close_slices(mask: &Mask, radius_mm: f64) -> Mask {
    erode_slices(&dilate_slices(mask, radius_mm), radius_mm)
}

fn complement(mask: &Mask, mut data: Vec<u8>) -> Mask {
    data.par_chunks_mut(1 << 16).for_each(|part| part.iter_mut().for_each(|v| *v ^= 1));
    Mask { geometry: mask.geometry.clone(), data }
}

/// 1 within `radius_mm` of the voxels for which `from` holds.
fn near(mask: &Mask, from: impl Fn(u8) -> bool + Sync, radius_mm: f64, across_slices: bool) -> Vec<u8> {
    // A little more, so that a voxel exactly on the ball's surface counts whatever the spacing.
    let limit = (radius_mm.max(0.0).powi(2) * (1.0 + 1e-5)) as f32;
    let squared = squared_distances(&mask.data, &mask.geometry, from, limit, across_slices);
    squared.par_iter().map(|&d| u8::from(d <= limit)).collect()
}

/// 1 where the box of `voxels` edges meets the voxels for which `from` holds.
fn in_box(mask: &Mask, from: impl Fn(u8) -> bool + Sync, voxels: [usize; 3]) -> Vec<u8> {
    let size = mask.geometry.size;
    let reach = voxels.map(|edge| edge / 2);
    let mut data: Vec<u8> = mask.data.par_iter().map(|&v| u8::from(from(v))).collect();
    data.par_chunks_mut(size[0].max(1)).for_each(|row| spread_row(row, reach[0]));
    along_y(&mut data, size, |rows| spread_columns(rows, reach[1]));
    along_z(&mut data, size, |rows| spread_columns(rows, reach[2]));
    data
}

/// Lets the ones of a row reach `reach` voxels to each side.
fn spread_row(row: &mut [u8], reach: usize) {
    let mut left = 0;
    for v in row.iter_mut() {
        left = if *v == 1 { reach + 1 } else { left };
        // Bit 1 marks what was reached: bit 0 stays as it was for the way back.
        *v |= u8::from(left > 0) << 1;
        left = left.saturating_sub(1);
    }
    left = 0;
    for v in row.iter_mut().rev() {
        left = if *v & 1 == 1 { reach + 1 } else { left };
        *v = *v >> 1 | u8::from(left > 0);
        left = left.saturating_sub(1);
    }
}

/// Lets the ones of each column (one value a row) reach `reach` rows to each side.
fn spread_columns(rows: &mut [&mut [u8]], reach: usize) {
    if reach == 0 {
        return;
    }
    let before: Vec<Vec<u8>> = rows.iter().map(|row| row.to_vec()).collect();
    let mut ones = vec![0u32; before.first().map_or(0, Vec::len)];
    for row in before.iter().take(reach) {
        ones.iter_mut().zip(row).for_each(|(n, &v)| *n += u32::from(v));
    }
    for (i, out) in rows.iter_mut().enumerate() {
        if let Some(row) = before.get(i + reach) {
            ones.iter_mut().zip(row).for_each(|(n, &v)| *n += u32::from(v));
        }
        if let Some(row) = i.checked_sub(reach + 1).and_then(|k| before.get(k)) {
            ones.iter_mut().zip(row).for_each(|(n, &v)| *n -= u32::from(v));
        }
        out.iter_mut().zip(&ones).for_each(|(v, &n)| *v = u8::from(n > 0));
    }
}
