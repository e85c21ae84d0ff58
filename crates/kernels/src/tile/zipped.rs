//! Products for eight channels on AVX-512: the floats of two neighbouring positions lie in turns, and so do their
//! sums.
//!
//! A vector holds the eight channels of both, each product takes two floats, and nothing is to be added up at the end.

use super::Tap;
use crate::isa::Isa;
use crate::panels::Panel;

/// Whether the processor can, and the set allows it.
pub(crate) fn at_hand(isa: Isa) -> bool {
    isa.at_hand() == Isa::Avx512
}

/// Positions of which sums are `[positions / 2][8][2]`; steps and runs of the taps, `[run][2]`, are those of a
/// position. Panics where [`at_hand`] is false, or operands do not fit.
pub(crate) fn multiply(taps: &[Tap], panel: Panel, sums: &mut [f32]) {
    let pairs = sums.len() / 16;
    assert!(at_hand(Isa::best()) && panel.width == 8 && sums.len() == pairs * 16);
    for tap in taps {
        let reach = pairs.checked_mul(2).and_then(|n| n.checked_mul(tap.step));
        assert!(tap.run <= tap.step && reach.is_some_and(|r| r <= tap.x.len()), "a run lies outside");
    }
    let rows: usize = taps.iter().map(|t| t.run).sum();
    assert_eq!(panel.weights.len(), rows * 8, "weights do not fit the runs");
    // SAFETY: the set is at hand; the asserts bound every access.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        x86::run(taps, panel.weights, sums.as_mut_ptr(), pairs);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Tap;
    use std::arch::x86_64::*;

    /// # Safety
    /// Each tap holds `pairs` pairs of positions, `weights` eight lanes for each float of a position's runs, `sums`
    /// sixteen floats a pair; the processor has AVX-512 Foundation, AVX2 and FMA.
    #[target_feature(enable = "avx512f,avx2,fma")]
    pub(super) unsafe fn run(taps: &[Tap], weights: &[f32], sums: *mut f32, pairs: usize) {
        let all = |step: usize| taps.iter().all(|t| t.step == step);
        // A step known beforehand needs no arithmetic of addresses, which would take as long as the products.
        // SAFETY: the caller's promise; the steps are those of the taps.
        unsafe {
            if all(8) {
                rows::<8>(taps, weights, sums, pairs);
            } else if all(16) {
                rows::<16>(taps, weights, sums, pairs);
            } else {
                rows::<0>(taps, weights, sums, pairs);
            }
        }
    }

    /// # Safety
    /// As [`run`]; `STEP` is the step of every tap, or 0.
    #[inline]
    #[target_feature(enable = "avx512f,avx2,fma")]
    unsafe fn rows<const STEP: usize>(taps: &[Tap], weights: &[f32], sums: *mut f32, pairs: usize) {
        let mut p = 0;
        // SAFETY: pairs p.. up to the tile's height are within the rows.
        unsafe {
            while p + 24 <= pairs {
                tile::<STEP, 24>(taps, weights, sums, p);
                p += 24;
            }
            while p + 12 <= pairs {
                tile::<STEP, 12>(taps, weights, sums, p);
                p += 12;
            }
            while p + 4 <= pairs {
                tile::<STEP, 4>(taps, weights, sums, p);
                p += 4;
            }
            while p < pairs {
                tile::<STEP, 1>(taps, weights, sums, p);
                p += 1;
            }
        }
    }

    /// # Safety
    /// As [`rows`], for the pairs `first..first + P`.
    #[inline]
    #[target_feature(enable = "avx512f,avx2,fma")]
    unsafe fn tile<const STEP: usize, const P: usize>(
        taps: &[Tap],
        weights: &[f32],
        to: *mut f32,
        first: usize,
    ) {
        let twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
        let mut sums = [_mm512_setzero_ps(); P];
        let mut w = weights.as_ptr();
        // SAFETY: offsets stay within what the caller promises: eight weights and two floats at a time.
        unsafe {
            for tap in taps {
                let step = 2 * if STEP > 0 { STEP } else { tap.step };
                let x = tap.x.as_ptr().add(first * step);
                for k in 0..tap.run {
                    let weights = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(_mm256_loadu_ps(w)));
                    for (p, sum) in sums.iter_mut().enumerate() {
                        debug_assert!((first + p) * step + 2 * k + 1 < tap.x.len());
                        let two = x.add(p * step + 2 * k).cast::<f64>().read_unaligned();
                        let two = _mm512_castpd_ps(_mm512_set1_pd(two));
                        *sum = _mm512_fmadd_ps(two, weights, *sum);
                    }
                    w = w.add(8);
                }
            }
            debug_assert_eq!(w, weights.as_ptr_range().end);
            for (p, sum) in sums.into_iter().enumerate() {
                _mm512_storeu_ps(to.add((first + p) * 16), sum);
            }
        }
    }
}
