//! Copies of activations into larger, zeroed arrays: padding, and the spreading of strides.

use crate::Shape;
use rayon::prelude::*;
use std::borrow::Cow;

/// `x` with its places put at `offset + stride * place` of an array of the space `size`, zero elsewhere.
/// Borrowed when that is `x` itself.
pub(crate) fn place<'a>(
    x: &'a [f32],
    xs: Shape,
    stride: [usize; 3],
    offset: [usize; 3],
    size: [usize; 3],
) -> Cow<'a, [f32]> {
    assert_eq!(x.len(), xs.len(), "values do not fit their shape");
    if stride == [1; 3] && offset == [0; 3] && size == xs.space() {
        return Cow::Borrowed(x);
    }
    let to = xs.with(size, xs.c);
    let mut out = vec![0.0f32; to.len()];
    let (row, slab) = (size[2] * xs.c, size[1] * size[2] * xs.c);
    if slab == 0 {
        return Cow::Owned(out);
    }
    out.par_chunks_mut(slab).enumerate().for_each(|(i, slab)| {
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
    Cow::Owned(out)
}

/// The place that lands on `to`, if any.
fn source(to: usize, offset: usize, stride: usize, size: usize) -> Option<usize> {
    let along = to.checked_sub(offset)?;
    (along % stride == 0 && along / stride < size).then_some(along / stride)
}
