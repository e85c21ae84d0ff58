//! Passes along y and z that see a volume as lists of rows, without copying it.

use rayon::prelude::*;

/// Calls `f` on every axial slice as the list of its rows (index y), in parallel.
pub(crate) fn along_y<T: Send>(data: &mut [T], size: [usize; 3], f: impl Fn(&mut [&mut [T]]) + Sync + Send) {
    let [nx, ny, _] = size;
    if data.is_empty() {
        return;
    }
    data.par_chunks_mut(nx * ny).for_each(|slice| {
        let mut rows: Vec<&mut [T]> = slice.chunks_mut(nx).collect();
        f(&mut rows);
    });
}

/// Calls `f`, for every y, on the list of the rows with that y (index z), in parallel.
pub(crate) fn along_z<T: Send>(data: &mut [T], size: [usize; 3], f: impl Fn(&mut [&mut [T]]) + Sync + Send) {
    let [nx, ny, nz] = size;
    if data.is_empty() {
        return;
    }
    let mut planes: Vec<Vec<&mut [T]>> = (0..ny).map(|_| Vec::with_capacity(nz)).collect();
    for (row, values) in data.chunks_mut(nx).enumerate() {
        planes[row % ny].push(values);
    }
    planes.par_iter_mut().for_each(|rows| f(rows));
}
