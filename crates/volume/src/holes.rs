//! Filling what a mask encloses.

use crate::Mask;
use crate::runs::{Neighbours, RunComponents};
use rayon::prelude::*;

/// The mask and its cavities: background that is not 6-connected to a face of the grid becomes 1.
/// Equals `scipy.ndimage.binary_fill_holes`.
pub fn fill_holes(mask: &Mask) -> Mask {
    fill(mask, true)
}

/// As [`fill_holes`], in each axial slice on its own: background that is not 4-connected to an
/// edge of the slice becomes 1.
pub fn fill_holes_slices(mask: &Mask) -> Mask {
    fill(mask, false)
}

fn fill(mask: &Mask, across_slices: bool) -> Mask {
    let [nx, ny, nz] = mask.geometry.size;
    let neighbours = Neighbours { diagonal: false, across_slices };
    let background = RunComponents::new(&mask.data, mask.geometry.size, neighbours, |v| v == 0);
    let mut open = vec![false; background.count + 1];
    for z in 0..nz {
        for y in 0..ny {
            let at_face = y == 0 || y + 1 == ny || (across_slices && (z == 0 || z + 1 == nz));
            for (run, label) in background.row(z * ny + y) {
                if at_face || run.start == 0 || run.end as usize == nx {
                    open[label as usize] = true;
                }
            }
        }
    }
    let mut out = Mask::filled(mask.geometry.clone(), 1);
    out.data.par_chunks_mut((nx * ny).max(1)).enumerate().for_each(|(z, slice)| {
        for (y, row) in slice.chunks_mut(nx).enumerate() {
            for (run, _) in background.row(z * ny + y).filter(|&(_, label)| open[label as usize]) {
                row[run.start as usize..run.end as usize].fill(0);
            }
        }
    });
    out
}
