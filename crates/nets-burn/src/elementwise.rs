//! Nodes that touch each value once: rectifiers, residual sums, concatenation, affine maps.
//!
//! Work is cut into pieces of fixed size, and sums over pieces are added in order, so results do
//! not depend on the number of threads.

use crate::pool::take;
use pleura_kernels::{Isa, Loops};
use rayon::prelude::*;

/// Values a piece of work holds.
const PIECE: usize = 1 << 14;

/// One result per value of `a`.
pub(crate) fn map(a: &[f32], f: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    zip(a, a, |a, _| f(a))
}

/// One result per pair of values.
pub(crate) fn zip(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    let mut out = take(a.len());
    out.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE).zip(b.par_chunks(PIECE))).for_each(|(out, (a, b))| {
        Isa::best().run_loops(Pairs { out, a, b, f: &f });
    });
    out
}

struct Pairs<'a, F> {
    out: &'a mut [f32],
    a: &'a [f32],
    b: &'a [f32],
    f: &'a F,
}

impl<F: Fn(f32, f32) -> f32> Loops for Pairs<'_, F> {
    #[inline(always)]
    fn run(self) {
        for (out, (&a, &b)) in self.out.iter_mut().zip(self.a.iter().zip(self.b)) {
            *out = (self.f)(a, b);
        }
    }
}

/// Rows of `c` channels that a piece of work holds.
fn rows(c: usize) -> usize {
    (PIECE / c.max(1)).max(1)
}

/// One result per value of a map with `c` channels (last axis); `f` also gets the channel.
pub(crate) fn map_channels(a: &[f32], c: usize, f: impl Fn(f32, usize) -> f32 + Sync) -> Vec<f32> {
    let mut out = take(a.len());
    let piece = rows(c) * c;
    out.par_chunks_mut(piece).zip(a.par_chunks(piece)).for_each(|(out, a)| {
        for (out, a) in out.chunks_exact_mut(c).zip(a.chunks_exact(c)) {
            for (k, (out, &a)) in out.iter_mut().zip(a).enumerate() {
                *out = f(a, k);
            }
        }
    });
    out
}

/// Per channel, the sum over all rows of `f(a, b, channel)`; pieces in single, their total in
/// double precision.
pub(crate) fn sum_channels(
    a: &[f32],
    b: &[f32],
    c: usize,
    f: impl Fn(f32, f32, usize) -> f32 + Sync,
) -> Vec<f32> {
    let piece = rows(c) * c;
    let parts: Vec<Vec<f32>> = a
        .par_chunks(piece)
        .zip(b.par_chunks(piece))
        .map(|(a, b)| {
            let mut sum = vec![0.0f32; c];
            for (a, b) in a.chunks_exact(c).zip(b.chunks_exact(c)) {
                for (k, (sum, (&a, &b))) in sum.iter_mut().zip(a.iter().zip(b)).enumerate() {
                    *sum += f(a, b, k);
                }
            }
            sum
        })
        .collect();
    let mut total = vec![0.0f64; c];
    for part in parts {
        for (total, v) in total.iter_mut().zip(part) {
            *total += f64::from(v);
        }
    }
    total.into_iter().map(|v| v as f32).collect()
}

/// Copies the few channels of a place: in whole vectors where they are so many, which is cheaper than a call.
fn copy(to: &mut [f32], from: &[f32]) {
    match (to.as_chunks_mut::<8>(), from.as_chunks::<8>()) {
        ((to, []), (from, [])) => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
        _ => to.copy_from_slice(from),
    }
}

/// Maps of the given channel counts side by side.
pub(crate) fn concat(parts: &[(&[f32], usize)]) -> Vec<f32> {
    let c: usize = parts.iter().map(|p| p.1).sum();
    let n = parts.first().map_or(0, |p| p.0.len() / p.1.max(1));
    let mut out = take(n * c);
    let piece = rows(c);
    out.par_chunks_mut(piece * c).enumerate().for_each(|(i, out)| {
        for (r, out) in out.chunks_exact_mut(c).enumerate() {
            let mut at = 0;
            for &(values, width) in parts {
                let row = (i * piece + r) * width;
                copy(&mut out[at..at + width], &values[row..row + width]);
                at += width;
            }
        }
    });
    out
}

/// The channels `from..from + width` of a map with `c` channels.
pub(crate) fn channels(values: &[f32], c: usize, from: usize, width: usize) -> Vec<f32> {
    let mut out = take(values.len() / c.max(1) * width);
    let piece = rows(c);
    out.par_chunks_mut(piece * width).zip(values.par_chunks(piece * c)).for_each(|(out, values)| {
        for (out, row) in out.chunks_exact_mut(width).zip(values.chunks_exact(c)) {
            copy(out, &row[from..from + width]);
        }
    });
    out
}
