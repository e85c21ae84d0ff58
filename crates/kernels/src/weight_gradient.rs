//! The gradient of a convolution with respect to its weights.

use crate::isa::{Isa, Job, Vector};
use crate::map::{Map, Source};
use crate::place::place;
use crate::window::Slide;
use crate::winograd::Gradient;
use crate::{Conv, Method, Shape};
use rayon::prelude::*;
use std::borrow::Cow;

/// Lanes of the narrowest vector.
const LANES: usize = 8;
/// Parts that the rows of the result are cut into, each with sums of its own.
pub(crate) const PARTS: usize = 16;
/// Floats that the sums of all parts may take; large matrices get fewer parts.
const SUMS: usize = 1 << 19;
/// Rows of the weight matrix that one job holds, a multiple of a tile's twelve.
const PIECE: usize = 96;
/// Output channels whose sums are put in their places together: a line of the cache.
const TOGETHER: usize = 16;
/// Floats of input and gradient that are gone through at once: a share of the second-level cache.
const NEAR: usize = 1 << 14;

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
    let xs = merged(conv, xs);
    let ys = conv.output(xs);
    assert_eq!(xs.c, conv.c_in, "channels do not fit the convolution");
    assert_eq!(gy.len(), ys.len(), "the gradient does not fit the result");
    assert_eq!(gw.len(), conv.c_out * conv.c_in * conv.taps(), "weights do not fit the convolution");
    assert_eq!(x.len(), xs.len(), "values do not fit their shape");
    let lanes = ys.c.next_multiple_of(LANES);
    let g = if lanes == ys.c { Cow::Borrowed(gy) } else { widen(gy, ys.c, lanes).into() };
    match conv.method(xs) {
        Method::Winograd => {
            let [x, g] = [(x, xs.c, xs), (&g, lanes, ys)]
                .map(|(v, c, s)| Source::new(isa, Map::Values(v, c), s, None));
            put(conv, &Gradient { isa, conv, x, xs, ys, g, lanes }.run(), lanes, gw)
        }
        Method::Direct => put(conv, &Layer { x, xs, conv, ys, g: &g, lanes }.run(isa), lanes, gw),
    }
    if let Some(gbias) = gbias {
        channel_sums(gy, ys.c, gbias);
    }
}

/// Puts sums `[taps * in][lanes]` in the places of the weights `[out, in, kd, kh, kw]`.
fn put(conv: &Conv, sums: &[f32], lanes: usize, gw: &mut [f32]) {
    let taps = conv.taps();
    // The sums lie by tap, input, output channel, the weights by output, input channel, tap. One output channel
    // after the other, each float would come from a page of its own.
    let row = conv.c_in * taps;
    gw.par_chunks_mut(TOGETHER * row).enumerate().for_each(|(block, gw)| {
        for (k, sums) in sums.chunks_exact(lanes).enumerate() {
            let (tap, input) = (k / conv.c_in, k % conv.c_in);
            let to = gw[input * taps + tap..].iter_mut().step_by(row);
            to.zip(&sums[block * TOGETHER..]).for_each(|(to, sum)| *to = *sum);
        }
    });
}

/// Adds the sums of parts to `total`, in their order.
pub(crate) fn add_parts<'a>(total: &mut [f32], parts: impl Iterator<Item = &'a [f32]> + Clone + Sync) {
    const RUN: usize = 4096;
    total.par_chunks_mut(RUN).enumerate().for_each(|(i, total)| {
        for part in parts.clone() {
            total.iter_mut().zip(&part[i * RUN..]).for_each(|(t, v)| *t += v);
        }
    });
}

/// The same places in rows as long as a tile likes, where the kernel sees one place at a time.
fn merged(conv: &Conv, mut xs: Shape) -> Shape {
    const LONG: usize = 64;
    if conv.is_pointwise() && !xs.is_empty() {
        for axis in [&mut xs.h, &mut xs.d, &mut xs.n] {
            if xs.w < LONG {
                let count = std::mem::replace(axis, 1);
                xs.w = xs.w.saturating_mul(count);
            }
        }
    }
    xs
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

struct Layer<'a> {
    x: &'a [f32],
    xs: Shape,
    conv: &'a Conv,
    ys: Shape,
    /// The gradient of the result, its channels padded to whole vectors.
    g: &'a [f32],
    lanes: usize,
}

impl Layer<'_> {
    /// The matrix `[taps * in][lanes]`.
    fn run(&self, isa: Isa) -> Vec<f32> {
        let len = self.conv.taps() * self.xs.c * self.lanes;
        if self.ys.is_empty() {
            return vec![0.0; len];
        }
        let mut parts = match SUMS / len.max(1) {
            PARTS.. => self.parts(isa, len),
            few => self.shared_parts(isa, len, few.max(1)),
        }
        .into_iter();
        let mut total = parts.next().unwrap_or_else(|| vec![0.0; len]);
        add_parts(&mut total, parts.as_slice().iter().map(Vec::as_slice));
        total
    }

    /// The matrices of [`PARTS`] parts of the result, each made by one thread that goes through its
    /// rows once.
    fn parts(&self, isa: Isa, len: usize) -> Vec<Vec<f32>> {
        let ys = self.ys;
        let x = Source::Values(self.x, self.xs.c);
        let slide = Slide::new(self.conv, &x, self.xs, ys);
        let chunks = ys.h.div_ceil(slide.rows);
        let jobs = ys.n * ys.d * chunks;
        let each = jobs.div_ceil(PARTS);
        let job = |i: usize, sums: &mut [f32]| {
            let (slice, first) = (i / chunks, i % chunks * slide.rows);
            let rows = first..(first + slide.rows).min(ys.h);
            let g = &self.g[(slice * ys.h + first) * ys.w * self.lanes..];
            let of_taps = sums.chunks_exact_mut(self.conv.kernel[2] * self.xs.c * self.lanes);
            slide.window(slice, rows.clone(), |window| {
                let starts: Vec<usize> = (0..rows.len()).map(|r| r * window.step(&slide)).collect();
                for (x, sums) in window.tap_rests(&slide).zip(of_taps) {
                    self.rows(isa, x, &starts, g, sums);
                }
            });
        };
        let part = |p: usize| {
            let mut sums = vec![0.0f32; len];
            (p * each..((p + 1) * each).min(jobs)).for_each(|i| job(i, &mut sums));
            sums
        };
        (0..jobs.div_ceil(each)).into_par_iter().map(part).collect()
    }

    /// The matrices of a few parts of the result, each made by threads that have some of its rows.
    fn shared_parts(&self, isa: Isa, len: usize, parts: usize) -> Vec<Vec<f32>> {
        let (ys, kernel, stride) = (self.ys, self.conv.kernel, self.conv.stride);
        let size: [usize; 3] = std::array::from_fn(|a| self.xs.space()[a] + 2 * self.conv.pad[a]);
        let placed;
        let padded = if self.conv.pad == [0; 3] {
            self.x
        } else {
            placed = place(self.x, self.xs, [1; 3], self.conv.pad, size);
            &placed
        };
        let row = size[2] * self.xs.c;
        // Where the input of each row of the result begins.
        let start = |r: usize| {
            let (oh, od, n) = (r % ys.h, r / ys.h % ys.d, r / (ys.h * ys.d));
            ((n * size[0] + od * stride[0]) * size[1] + oh * stride[1]) * row
        };
        let starts: Vec<usize> = (0..ys.n * ys.d * ys.h).map(start).collect();
        let (run, wide) = (kernel[2] * self.xs.c, ys.w * self.lanes);
        let each = starts.len().div_ceil(parts);
        let near = (NEAR / (row + wide).max(1)).max(1);
        let part = |(p, starts): (usize, &[usize])| {
            let mut sums = vec![0.0f32; len];
            let g = &self.g[p * each * wide..];
            sums.par_chunks_mut(run * self.lanes).enumerate().for_each(|(t, sums)| {
                let tap = (t / kernel[1] * size[1] + t % kernel[1]) * row;
                sums.par_chunks_mut(PIECE * self.lanes).enumerate().for_each(|(k, sums)| {
                    // Several rows go together: each tile of sums is fetched once for all of them, which
                    // is what counts where rows are short and matrices large.
                    for (starts, g) in starts.chunks(near).zip(g.chunks(near * wide)) {
                        self.rows(isa, &padded[tap + k * PIECE..], starts, g, sums);
                    }
                });
            });
            sums
        };
        starts.par_chunks(each).enumerate().map(part).collect()
    }

    /// Adds to some rows of the matrix what the rows of the result at `starts` give.
    fn rows(&self, isa: Isa, x: &[f32], starts: &[usize], g: &[f32], sums: &mut [f32]) {
        let (step, positions) = (self.conv.stride[2] * self.xs.c, self.ys.w);
        let rows = Rows { x, starts, step, run: sums.len() / self.lanes, positions };
        outer(isa, &rows, &g[..starts.len() * positions * self.lanes], self.lanes, sums, false);
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

/// Runs of input floats, for rows of neighbouring positions.
pub(crate) struct Rows<'a> {
    pub x: &'a [f32],
    /// Where each row begins.
    pub starts: &'a [usize],
    /// Floats between positions of a row.
    pub step: usize,
    /// Floats of a run.
    pub run: usize,
    pub positions: usize,
}

/// `sums[k][l] += sum over rows r and positions p of x[starts[r] + p * step + k] * g[r][p][l]`; the `first` such
/// call sets the sums, whatever they were.
pub(crate) fn outer(isa: Isa, x: &Rows, g: &[f32], lanes: usize, sums: &mut [f32], first: bool) {
    assert!(x.positions > 0 && lanes.is_multiple_of(LANES));
    let reach = (x.positions - 1).checked_mul(x.step).and_then(|r| r.checked_add(x.run));
    let fits = |s: &usize| reach.and_then(|r| r.checked_add(*s)).is_some_and(|end| end <= x.x.len());
    assert!(x.starts.iter().all(fits), "a run lies outside of its input");
    assert_eq!(g.len(), x.starts.len() * x.positions * lanes);
    assert_eq!(sums.len(), x.run * lanes);
    let job = Outer { x, g: g.as_ptr(), lanes, sums: sums.as_mut_ptr(), first };
    // SAFETY: the asserts bound every access of `Outer::run`.
    unsafe { isa.run(&job) }
}

struct Outer<'a> {
    x: &'a Rows<'a>,
    /// `[rows][positions][lanes]`.
    g: *const f32,
    lanes: usize,
    /// `[run][lanes]`.
    sums: *mut f32,
    first: bool,
}

impl Job for Outer<'_> {
    // Needs: every run of `x` lies in its slice; `g` and `sums` are valid for their sizes; `lanes` is
    // a multiple of 8.
    #[inline(always)]
    unsafe fn run<V: Vector>(&self) {
        let mut lane = 0;
        // SAFETY: lane and vectors never pass `lanes`; what V does not divide is 8, Half's lanes.
        unsafe {
            while lane + 2 * V::LANES <= self.lanes {
                self.columns::<V, 2>(lane);
                lane += 2 * V::LANES;
            }
            if lane + V::LANES <= self.lanes {
                self.columns::<V, 1>(lane);
                lane += V::LANES;
            }
            if lane < self.lanes {
                self.columns::<V::Half, 1>(lane);
            }
        }
    }
}

impl Outer<'_> {
    /// # Safety
    /// As [`Job::run`], for `B` vectors from `lane` on.
    #[inline(always)]
    unsafe fn columns<V: Vector, const B: usize>(&self, lane: usize) {
        let (mut k, run) = (0, self.x.run);
        // SAFETY: rows k.. up to the tile's height are within the run.
        unsafe {
            // Twelve rows where there is room for their sums, the gradient and a factor.
            if 13 * B < V::REGISTERS {
                // Sixteen are two times eight: four alone would wait for one another.
                while k + 12 <= run && run - k != 16 {
                    self.tile::<V, B, 12>(k, lane);
                    k += 12;
                }
            }
            if 9 * B < V::REGISTERS {
                while k + 8 <= run {
                    self.tile::<V, B, 8>(k, lane);
                    k += 8;
                }
            }
            while k + 6 <= run {
                self.tile::<V, B, 6>(k, lane);
                k += 6;
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
            let at = |r: usize, b: usize| self.sums.add((k + r) * self.lanes + lane + b * V::LANES);
            let mut sums = [[V::splat(0.0); B]; R];
            if !self.first {
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (b, sum) in sums.iter_mut().enumerate() {
                        *sum = V::load(at(r, b));
                    }
                }
            }
            let (step, lanes, positions) = (self.x.step, self.lanes, self.x.positions);
            for (row, start) in self.x.starts.iter().enumerate() {
                let x = self.x.x.as_ptr().add(start + k);
                let g = self.g.add(row * positions * lanes + lane);
                for p in 0..positions {
                    let g: [V; B] = std::array::from_fn(|b| V::load(g.add(p * lanes + b * V::LANES)));
                    for (r, sums) in sums.iter_mut().enumerate() {
                        debug_assert!(start + k + p * step + r < self.x.x.len());
                        let value = V::splat(*x.add(p * step + r));
                        for (sum, g) in sums.iter_mut().zip(g) {
                            *sum = sum.add_product(value, g);
                        }
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
