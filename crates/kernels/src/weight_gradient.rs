//! The gradient of a convolution with respect to its weights.

use crate::isa::{Isa, LANES, Vector};
use crate::place::place;
use crate::{Conv, Shape};
use rayon::prelude::*;

/// Rows of the weight matrix in a register tile.
const TILE: usize = 6;
/// Parts that the rows of the result are cut into, each with sums of its own.
const PARTS: usize = 16;

/// See [`Conv::weight_gradient`].
pub(crate) fn weight_gradient(
    isa: Isa,
    conv: &Conv,
    x: &[f32],
    xs: Shape,
    gy: &[f32],
    gw: &mut [f32],
    gbias: Option<&mut [f32]>,
) {
    let ys = conv.output(xs);
    let taps = conv.taps();
    assert_eq!(xs.c, conv.c_in, "channels do not fit the convolution");
    assert_eq!(gy.len(), ys.len(), "the gradient does not fit the result");
    assert_eq!(gw.len(), conv.c_out * conv.c_in * taps, "weights do not fit the convolution");
    let size = std::array::from_fn(|a| xs.space()[a] + 2 * conv.pad[a]);
    let padded = place(x, xs, [1; 3], conv.pad, size);
    let job = Job {
        x: &padded,
        xs: xs.with(size, xs.c),
        kernel: conv.kernel,
        stride: conv.stride,
        ys,
        gy,
        lanes: ys.c.next_multiple_of(LANES),
    };
    let sums = job.run(isa);
    gw.par_chunks_mut(conv.c_in * taps).enumerate().for_each(|(o, gw)| {
        for (k, gw) in gw.iter_mut().enumerate() {
            let (i, t) = (k / taps, k % taps);
            *gw = sums[(t * conv.c_in + i) * job.lanes + o];
        }
    });
    if let Some(gbias) = gbias {
        channel_sums(gy, ys.c, gbias);
    }
}

/// Sum over all places of each channel, added in parts of a fixed size.
pub(crate) fn channel_sums(values: &[f32], channels: usize, sums: &mut [f32]) {
    assert_eq!(sums.len(), channels);
    let parts: Vec<Vec<f64>> = values
        .par_chunks(channels * 4096)
        .map(|part| {
            let mut sums = vec![0.0f64; channels];
            for place in part.chunks_exact(channels) {
                sums.iter_mut().zip(place).for_each(|(s, v)| *s += f64::from(*v));
            }
            sums
        })
        .collect();
    for (c, sum) in sums.iter_mut().enumerate() {
        *sum = parts.iter().map(|p| p[c]).sum::<f64>() as f32;
    }
}

struct Job<'a> {
    x: &'a [f32],
    xs: Shape,
    kernel: [usize; 3],
    stride: [usize; 3],
    ys: Shape,
    gy: &'a [f32],
    /// Output channels, rounded up to whole vectors.
    lanes: usize,
}

impl Job<'_> {
    /// The matrix `[taps * in][lanes]`.
    fn run(&self, isa: Isa) -> Vec<f32> {
        let rows = self.ys.n * self.ys.d * self.ys.h;
        let each = rows.div_ceil(PARTS).max(1);
        let len = self.kernel.iter().product::<usize>() * self.xs.c * self.lanes;
        let parts: Vec<Vec<f32>> = (0..rows.div_ceil(each))
            .into_par_iter()
            .map(|p| {
                let mut sums = vec![0.0f32; len];
                (p * each..((p + 1) * each).min(rows)).for_each(|r| self.row(isa, r, &mut sums));
                sums
            })
            .collect();
        let mut total = vec![0.0f32; len];
        total.par_chunks_mut(4096).enumerate().for_each(|(i, total)| {
            for part in &parts {
                total.iter_mut().zip(&part[i * 4096..]).for_each(|(t, v)| *t += v);
            }
        });
        total
    }

    /// Adds what one row of the result gives.
    fn row(&self, isa: Isa, r: usize, sums: &mut [f32]) {
        let (xs, ys) = (self.xs, self.ys);
        let (oh, od, n) = (r % ys.h, r / ys.h % ys.d, r / (ys.h * ys.d));
        let g = &self.gy[r * ys.w * ys.c..][..ys.w * ys.c];
        let widened;
        let g = if self.lanes == ys.c {
            g
        } else {
            widened = widen(g, ys.c, self.lanes);
            &widened
        };
        let run = self.kernel[2] * xs.c;
        for (t, sums) in sums.chunks_exact_mut(run * self.lanes).enumerate() {
            let (kd, kh) = (t / self.kernel[1], t % self.kernel[1]);
            let start =
                ((n * xs.d + od * self.stride[0] + kd) * xs.h + oh * self.stride[1] + kh) * xs.w * xs.c;
            let x = &self.x[start..start + xs.w * xs.c];
            outer(isa, x, self.stride[2] * xs.c, run, g, self.lanes, ys.w, sums);
        }
    }
}

/// `g` with each place's channels padded by zeros.
fn widen(g: &[f32], channels: usize, lanes: usize) -> Vec<f32> {
    let mut out = vec![0.0; g.len() / channels * lanes];
    for (out, g) in out.chunks_exact_mut(lanes).zip(g.chunks_exact(channels)) {
        out[..channels].copy_from_slice(g);
    }
    out
}

/// `sums[k][l] += sum over positions p of x[p * step + k] * g[p][l]`.
#[allow(clippy::too_many_arguments)]
fn outer(
    isa: Isa,
    x: &[f32],
    step: usize,
    run: usize,
    g: &[f32],
    lanes: usize,
    positions: usize,
    sums: &mut [f32],
) {
    assert!(positions > 0 && (positions - 1) * step + run <= x.len());
    assert_eq!(g.len(), positions * lanes);
    assert_eq!(sums.len(), run * lanes);
    let job = Outer { x: x.as_ptr(), step, g: g.as_ptr(), lanes, positions, sums: sums.as_mut_ptr() };
    // SAFETY: the asserts bound every access of `Outer::all`; `checked` is a set the processor has.
    unsafe {
        match isa.checked() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(&job, run),
            _ => job.all::<[f32; LANES]>(run),
        }
    }
}

/// # Safety
/// As [`Outer::all`], and the processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(job: &Outer, run: usize) {
    // SAFETY: the caller's promise.
    unsafe { job.all::<std::arch::x86_64::__m256>(run) }
}

struct Outer {
    x: *const f32,
    step: usize,
    g: *const f32,
    lanes: usize,
    positions: usize,
    sums: *mut f32,
}

impl Outer {
    /// # Safety
    /// `x`, `g` and `sums` are valid for all rows `0..run`, positions and lanes.
    #[inline(always)]
    unsafe fn all<V: Vector>(&self, run: usize) {
        let mut lane = 0;
        // SAFETY: lane + vectors * LANES never passes `lanes`, a multiple of LANES.
        unsafe {
            while lane + 2 * LANES <= self.lanes {
                self.columns::<V, 2>(run, lane);
                lane += 2 * LANES;
            }
            if lane < self.lanes {
                self.columns::<V, 1>(run, lane);
            }
        }
    }

    /// # Safety
    /// As [`Outer::all`], for the lanes `lane..lane + B * LANES`.
    #[inline(always)]
    unsafe fn columns<V: Vector, const B: usize>(&self, run: usize, lane: usize) {
        let mut k = 0;
        // SAFETY: rows k.. up to the tile's height are within the run.
        unsafe {
            while k + TILE <= run {
                self.tile::<V, B, TILE>(k, lane);
                k += TILE;
            }
            match run - k {
                1 => self.tile::<V, B, 1>(k, lane),
                2 => self.tile::<V, B, 2>(k, lane),
                3 => self.tile::<V, B, 3>(k, lane),
                4 => self.tile::<V, B, 4>(k, lane),
                5 => self.tile::<V, B, 5>(k, lane),
                _ => {}
            }
        }
    }

    /// # Safety
    /// As [`Outer::columns`], for the rows `k..k + R`.
    #[inline(always)]
    unsafe fn tile<V: Vector, const B: usize, const R: usize>(&self, k: usize, lane: usize) {
        // SAFETY: offsets stay within what the caller promises.
        unsafe {
            let at = |r: usize, b: usize| self.sums.add((k + r) * self.lanes + lane + b * LANES);
            let mut sums: [[V; B]; R] = std::array::from_fn(|r| std::array::from_fn(|b| V::load(at(r, b))));
            for p in 0..self.positions {
                let g = self.g.add(p * self.lanes + lane);
                let g: [V; B] = std::array::from_fn(|b| V::load(g.add(b * LANES)));
                let x = self.x.add(p * self.step + k);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let value = V::splat(*x.add(r));
                    for (sum, g) in sums.iter_mut().zip(g) {
                        *sum = sum.add_product(value, g);
                    }
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                for (b, sum) in sums.into_iter().enumerate() {
                    sum.store(at(r, b));
                }
            }
        }
    }
}
