//! The micro-kernel for eight channels on AVX-512: half a vector for each of two products at a time.

use super::{Product, Store};
use crate::isa::Vector;
use std::arch::x86_64::*;

/// Whether this kernel is made for a product.
pub(super) fn fits<S>(product: &Product<S>) -> bool {
    product.panel.width == 8
}

/// # Safety
/// As [`Product::columns`] for a panel of 8 lanes; [`fits`]; the processor has AVX-512 Foundation,
/// AVX2 and FMA.
#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) unsafe fn run<S: Store>(product: &Product<S>) {
    let all = |step: usize| product.taps.iter().all(|t| t.step == step);
    // A step known beforehand needs no arithmetic of addresses, which would take as long as the products.
    // SAFETY: the caller's promise; the steps are those of the taps.
    unsafe {
        if all(1) {
            rows::<S, 1>(product)
        } else if all(8) {
            rows::<S, 8>(product)
        } else if all(16) {
            rows::<S, 16>(product)
        } else {
            rows::<S, 0>(product)
        }
    }
}

/// # Safety
/// As [`run`]; `STEP` is the step of every tap, or 0.
#[inline]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn rows<S: Store, const STEP: usize>(product: &Product<S>) {
    let mut p = 0;
    // SAFETY: positions p.. up to the tile's height are within the row.
    unsafe {
        while p + 12 <= product.positions {
            tile::<S, STEP, 12>(product, p);
            p += 12;
        }
        while p + 4 <= product.positions {
            tile::<S, STEP, 4>(product, p);
            p += 4;
        }
        while p < product.positions {
            tile::<S, STEP, 1>(product, p);
            p += 1;
        }
    }
}

/// # Safety
/// As [`rows`], for the positions `first..first + P`.
#[inline]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn tile<S: Store, const STEP: usize, const P: usize>(product: &Product<S>, first: usize) {
    // Row k in the even lanes, row k + 1 in the odd ones.
    let apart = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
    let mut sums = [_mm512_setzero_ps(); P];
    let mut w = product.panel.weights.as_ptr();
    // SAFETY: offsets stay within what the caller promises: two rows of weights and two floats of a run
    // at a time.
    unsafe {
        for tap in product.taps {
            let step = if STEP > 0 { STEP } else { tap.step };
            let x = tap.x.as_ptr().add(first * step);
            for k in (0..tap.run & !1).step_by(2) {
                let weights = _mm512_permutexvar_ps(apart, _mm512_loadu_ps(w));
                for (p, sum) in sums.iter_mut().enumerate() {
                    debug_assert!((first + p) * step + k + 1 < tap.x.len());
                    let two = x.add(p * step + k).cast::<f64>().read_unaligned();
                    let two = _mm512_castpd_ps(_mm512_set1_pd(two));
                    *sum = _mm512_fmadd_ps(two, weights, *sum);
                }
                w = w.add(16);
            }
            if tap.run % 2 == 1 {
                // The last one by itself, in the even lanes.
                let weights = _mm512_permutexvar_ps(apart, _mm512_castps256_ps512(_mm256_loadu_ps(w)));
                for (p, sum) in sums.iter_mut().enumerate() {
                    debug_assert!((first + p) * step + tap.run <= tap.x.len());
                    let one = _mm512_set1_ps(*x.add(p * step + tap.run - 1));
                    *sum = _mm512_mask3_fmadd_ps(one, weights, *sum, 0x5555);
                }
                w = w.add(8);
            }
        }
        // In a short loop by itself, which is unrolled: so the sums lie in registers.
        let mut done = [_mm512_setzero_ps(); P];
        for p in 0..P.div_ceil(2) {
            let (a, b) = (sums[2 * p], sums[(2 * p + 1).min(P - 1)]);
            let [even, odd] = a.unzip(b);
            done[p] = even.add(odd);
        }
        debug_assert_eq!(w, product.panel.weights.as_ptr_range().end);
        product.store.put_twos(first, &done[..P / 2]);
        if P % 2 == 1 {
            product.store.put(first + P - 1, 0, Vector::low(done[P / 2]));
        }
    }
}
