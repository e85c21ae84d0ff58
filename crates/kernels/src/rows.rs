//! The forward micro-kernel: one row of outputs, a tile of positions by channels in registers.

use crate::isa::{Isa, LANES, Vector};

/// Positions of a tile; with two vectors of channels that is 12 accumulators of 16 registers.
const TILE: usize = 6;

/// The weights of one block of output channels.
pub(crate) struct Block<'a> {
    /// `[taps][run][vectors * LANES]`.
    pub weights: &'a [f32],
    /// 1 or 2 vectors of output channels.
    pub vectors: usize,
}

/// One row of outputs to compute.
pub(crate) struct Row<'a> {
    /// The padded input.
    pub x: &'a [f32],
    /// Offset in `x` of the first position's run, for each tap along depth and height.
    pub starts: &'a [usize],
    /// Contiguous floats of a tap: kernel width times input channels.
    pub run: usize,
    /// Floats between the runs of neighbouring positions.
    pub step: usize,
    /// Number of positions.
    pub positions: usize,
}

/// Sums products into `out` `[positions][vectors * LANES]`.
pub(crate) fn compute(isa: Isa, row: &Row, block: &Block, out: &mut [f32]) {
    let lanes = block.vectors * LANES;
    assert!((1..=2).contains(&block.vectors));
    assert_eq!(out.len(), row.positions * lanes);
    assert_eq!(block.weights.len(), row.starts.len() * row.run * lanes);
    if row.positions == 0 {
        return;
    }
    let reach = (row.positions - 1) * row.step + row.run;
    assert!(row.starts.iter().all(|s| s + reach <= row.x.len()));
    // SAFETY: the asserts above bound every read and write of `tiles`; `checked` is a set that the
    // processor has.
    unsafe {
        match (isa.checked(), block.vectors) {
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, 1) => avx2::<1>(row, block, out),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, _) => avx2::<2>(row, block, out),
            (_, 1) => tiles::<[f32; LANES], 1>(row, block, out),
            _ => tiles::<[f32; LANES], 2>(row, block, out),
        }
    }
}

/// # Safety
/// As [`tiles`], and the processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const B: usize>(row: &Row, block: &Block, out: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { tiles::<std::arch::x86_64::__m256, B>(row, block, out) }
}

/// # Safety
/// Every run of every position lies in `row.x`; `block.weights` and `out` are as long as the row and
/// `B` ask; the processor has the vector's instruction set.
#[inline(always)]
unsafe fn tiles<V: Vector, const B: usize>(row: &Row, block: &Block, out: &mut [f32]) {
    let mut p = 0;
    // SAFETY: positions p.. up to the tile's width are within the row.
    unsafe {
        while p + TILE <= row.positions {
            tile::<V, B, TILE>(row, block, p, out);
            p += TILE;
        }
        match row.positions - p {
            1 => tile::<V, B, 1>(row, block, p, out),
            2 => tile::<V, B, 2>(row, block, p, out),
            3 => tile::<V, B, 3>(row, block, p, out),
            4 => tile::<V, B, 4>(row, block, p, out),
            5 => tile::<V, B, 5>(row, block, p, out),
            _ => {}
        }
    }
}

/// # Safety
/// As [`tiles`], for positions `first..first + P`.
#[inline(always)]
unsafe fn tile<V: Vector, const B: usize, const P: usize>(
    row: &Row,
    block: &Block,
    first: usize,
    out: &mut [f32],
) {
    // SAFETY: offsets stay within what the caller promises.
    unsafe {
        let mut sums = [[V::zero(); B]; P];
        let mut w = block.weights.as_ptr();
        for &start in row.starts {
            let x = row.x.as_ptr().add(start + first * row.step);
            for k in 0..row.run {
                let weights: [V; B] = std::array::from_fn(|b| V::load(w.add(b * LANES)));
                for (p, sums) in sums.iter_mut().enumerate() {
                    let value = V::splat(*x.add(p * row.step + k));
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = sum.add_product(value, weight);
                    }
                }
                w = w.add(B * LANES);
            }
        }
        let y = out.as_mut_ptr().add(first * B * LANES);
        for (p, sums) in sums.into_iter().enumerate() {
            for (b, sum) in sums.into_iter().enumerate() {
                sum.store(y.add((p * B + b) * LANES));
            }
        }
    }
}
