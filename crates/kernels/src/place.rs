//! Copies of activations into larger, zeroed arrays: padding, and the spreading of strides.

use crate::Shape;
use crate::kept::{Kept, Lent};
use rayon::prelude::*;

/// `x` with its places put at `offset + stride * place` of an array of the space `size`, zero elsewhere.
pub(crate) fn place(x: &[f32], xs: Shape, stride: [usize; 3], offset: [usize; 3], size: [usize; 3]) -> Lent {
    assert_eq!(x.len(), xs.len(), "values do not fit their shape");
    let to = xs.with(size, xs.c);
    let mut out = Kept::Spread.take(to.len());
    let (row, slab) = (size[2] * xs.c, size[1] * size[2] * xs.c);
    if slab == 0 {
        return out;
    }
    out.par_chunks_mut(slab).enumerate().for_each(|(i, slab)| {
        slab.fill(0.0);
        let (n, z) = (i / size[0], i % size[0]);
        let Some(sz) = source(z, offset[0], stride[0], xs.d) else { return };
        for (y, out) in slab.chunks_mut(row).enumerate() {
            let Some(sy) = source(y, offset[1], stride[1], xs.h) else { continue };
            let from = &x[((n * xs.d + sz) * xs.h + sy) * xs.w * xs.c..][..xs.w * xs.c];
            if stride[2] == 1 {
                out[offset[2] * xs.c..][..from.len()].copy_from_slice(from);
            } else {
                for (w, values) in from.chunks_exact(xs.c).enumerate() {
                    out[(offset[2] + w * stride[2]) * xs.c..][..xs.c].copy_from_slice(values);
                }
            }
        }
    });
    out
}

/// The place that lands on `to`, if any.
fn source(to: usize, offset: usize, stride: usize, size: usize) -> Option<usize> {
    let along = to.checked_sub(offset)?;
    (along % stride == 0 && along / stride < size).then_some(along / stride)
}
