//! Batch normalisation with the statistics of the batch (Ioffe and Szegedy 2015), with the
//! rectifier after it in the same pass. Maps are `[rows, c]`, channels last.

use crate::pool::take;
use pleura_kernels::{Isa, Loops};
use rayon::prelude::*;

/// Values a piece of work holds.
const PIECE: usize = 1 << 14;

/// Mean and variance of each channel over a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    mean: Vec<f32>,
    /// Biased: divided by the number of rows.
    var: Vec<f32>,
    rows: usize,
}

impl Moments {
    /// Means.
    pub fn mean(&self) -> Vec<f32> {
        self.mean.clone()
    }

    /// Variances divided by one less than the number of rows, as kept in running statistics.
    pub fn unbiased(&self) -> Vec<f32> {
        let factor = self.rows as f32 / self.rows.saturating_sub(1).max(1) as f32;
        self.var.iter().map(|v| v * factor).collect()
    }
}

/// Per-channel numbers repeated, so that one run of the inner loop is long whatever `c` is.
fn repeated(v: &[f32]) -> Vec<f32> {
    v.repeat((512 / v.len().max(1)).max(1))
}

/// Adds up the repeats of per-channel sums.
fn folded(sums: &[f32], c: usize) -> Vec<f64> {
    let mut out = vec![0.0f64; c];
    for part in sums.chunks(c) {
        out.iter_mut().zip(part).for_each(|(o, &s)| *o += f64::from(s));
    }
    out
}

/// Values of a piece: a multiple of the repeated period.
fn piece(period: usize) -> usize {
    (PIECE / period).max(1) * period
}

/// Mean and biased variance of each channel: two passes over each piece, pieces merged in order
/// in double precision (Chan, Golub and LeVeque 1983).
pub(crate) fn moments(x: &[f32], c: usize) -> Moments {
    let period = repeated(&vec![0.0; c]).len();
    let parts: Vec<(usize, Vec<f64>, Vec<f64>)> = x
        .par_chunks(piece(period))
        .map(|x| {
            let rows = x.len() / c;
            let mut sums = vec![0.0f32; period];
            Isa::best().run_loops(Sums { sums: &mut sums, x });
            let mean: Vec<f64> = folded(&sums, c).into_iter().map(|s| s / rows as f64).collect();
            let centre = repeated(&mean.iter().map(|&m| m as f32).collect::<Vec<_>>());
            let mut squares = vec![0.0f32; period];
            Isa::best().run_loops(Squares { sums: &mut squares, x, centre: &centre });
            (rows, mean, folded(&squares, c))
        })
        .collect();
    let (mut rows, mut mean, mut squares) = (0usize, vec![0.0f64; c], vec![0.0f64; c]);
    for (n, m, s) in parts {
        let (before, all) = (rows as f64, (rows + n) as f64);
        for k in 0..c {
            let d = m[k] - mean[k];
            squares[k] += s[k] + d * d * before * n as f64 / all;
            mean[k] += d * n as f64 / all;
        }
        rows += n;
    }
    let var = squares.iter().map(|s| (s / rows.max(1) as f64) as f32).collect();
    Moments { mean: mean.iter().map(|&m| m as f32).collect(), var, rows }
}

/// Factor and shift of each channel such that y = x * factor + shift.
fn coefficients(m: &Moments, weight: &[f32], bias: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let factor: Vec<f32> = m.var.iter().zip(weight).map(|(v, w)| w / (v + eps).sqrt()).collect();
    let shift = bias.iter().zip(&m.mean).zip(&factor).map(|((b, m), f)| b - m * f).collect();
    (factor, shift)
}

/// x * factor + shift per channel, rectified when `relu`.
pub(crate) fn affine(x: &[f32], factor: &[f32], shift: &[f32], relu: bool) -> Vec<f32> {
    let (factor, shift) = (repeated(factor), repeated(shift));
    let least = if relu { 0.0 } else { f32::NEG_INFINITY };
    let mut y = take(x.len());
    let size = piece(factor.len());
    y.par_chunks_mut(size).zip(x.par_chunks(size)).for_each(|(y, x)| {
        Isa::best().run_loops(Affine { y, x, factor: &factor, shift: &shift, least });
    });
    y
}

/// Forward: the result and the moments used.
pub(crate) fn forward(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, relu: bool) -> (Vec<f32>, Moments) {
    let m = moments(x, weight.len());
    let (factor, shift) = coefficients(&m, weight, bias, eps);
    (affine(x, &factor, &shift, relu), m)
}

/// Gradients by input, weight and bias; `m` are the moments of the forward pass.
pub(crate) fn backward(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    m: &Moments,
    eps: f32,
    relu: bool,
    dy: &[f32],
) -> [Vec<f32>; 3] {
    let c = weight.len();
    let (factor, shift) = coefficients(m, weight, bias, eps);
    let inverse: Vec<f32> = m.var.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
    let (f, s, mu) = (repeated(&factor), repeated(&shift), repeated(&m.mean));
    let sums = gradient_sums(x, dy, [&f, &s, &mu], c, relu);
    let n = m.rows.max(1) as f64;
    let d_bias: Vec<f32> = sums.iter().map(|s| s.0 as f32).collect();
    let d_weight: Vec<f32> = sums.iter().zip(&inverse).map(|(s, &r)| (s.1 * f64::from(r)) as f32).collect();
    // dx = factor (dy - mean(dy) - xhat mean(dy xhat)), written as factor dy + x slope + level.
    let slope: Vec<f32> = (0..c)
        .map(|k| (-f64::from(factor[k]) * sums[k].1 * f64::from(inverse[k]).powi(2) / n) as f32)
        .collect();
    let level: Vec<f32> = (0..c).map(|k| (-f64::from(factor[k]) * sums[k].0 / n) as f32).collect();
    let (slope, level) = (repeated(&slope), repeated(&level));
    let channel = [&f, &s, &mu, &slope, &level].map(Vec::as_slice);
    let mut dx = take(x.len());
    let size = piece(f.len());
    dx.par_chunks_mut(size).zip(x.par_chunks(size).zip(dy.par_chunks(size))).for_each(|(dx, (x, dy))| {
        if relu {
            Isa::best().run_loops(InputGradient::<true> { dx, x, dy, channel });
        } else {
            Isa::best().run_loops(InputGradient::<false> { dx, x, dy, channel });
        }
    });
    [dx, d_weight, d_bias]
}

/// The gradient where the rectifier let the value through, else 0. Whether there is one is a type, so that the loops
/// have no branch and become vector instructions.
#[inline(always)]
fn passed<const RELU: bool>(x: f32, dy: f32, factor: f32, shift: f32) -> f32 {
    if !RELU || x * factor + shift > 0.0 { dy } else { 0.0 }
}

/// Adds runs of values to their sums.
struct Sums<'a> {
    sums: &'a mut [f32],
    x: &'a [f32],
}

impl Loops for Sums<'_> {
    #[inline(always)]
    fn run(self) {
        for run in self.x.chunks(self.sums.len()) {
            self.sums.iter_mut().zip(run).for_each(|(s, &v)| *s += v);
        }
    }
}

/// Adds runs of squared distances from the `centre` to their sums.
struct Squares<'a> {
    sums: &'a mut [f32],
    x: &'a [f32],
    centre: &'a [f32],
}

impl Loops for Squares<'_> {
    #[inline(always)]
    fn run(self) {
        for run in self.x.chunks(self.sums.len()) {
            for ((s, &v), &m) in self.sums.iter_mut().zip(run).zip(self.centre) {
                *s += (v - m) * (v - m);
            }
        }
    }
}

/// `x * factor + shift`, and `least` where that is less.
struct Affine<'a> {
    y: &'a mut [f32],
    x: &'a [f32],
    factor: &'a [f32],
    shift: &'a [f32],
    least: f32,
}

impl Loops for Affine<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { y, x, factor, shift, least } = self;
        for (y, x) in y.chunks_mut(factor.len()).zip(x.chunks(factor.len())) {
            for (((y, &x), &f), &s) in y.iter_mut().zip(x).zip(factor).zip(shift) {
                *y = (x * f + s).max(least);
            }
        }
    }
}

/// The input's gradient: `channel` is factor, shift, mean, slope and level, see [`backward`].
struct InputGradient<'a, const RELU: bool> {
    dx: &'a mut [f32],
    x: &'a [f32],
    dy: &'a [f32],
    channel: [&'a [f32]; 5],
}

impl<const RELU: bool> Loops for InputGradient<'_, RELU> {
    #[inline(always)]
    fn run(self) {
        let period = self.channel[0].len();
        let runs = self.x.chunks(period).zip(self.dy.chunks(period));
        for (dx, (x, dy)) in self.dx.chunks_mut(period).zip(runs) {
            let n = dx.len();
            let (x, dy, [f, s, mu, a, b]) = (&x[..n], &dy[..n], self.channel.map(|c| &c[..n]));
            for i in 0..n {
                dx[i] = f[i] * passed::<RELU>(x[i], dy[i], f[i], s[i]) + (x[i] - mu[i]) * a[i] + b[i];
            }
        }
    }
}

/// Adds runs to the sums of dy, and of dy times (x - mean); `fsm` is factor, shift and mean.
struct GradientSums<'a, const RELU: bool> {
    plain: &'a mut [f32],
    centred: &'a mut [f32],
    x: &'a [f32],
    dy: &'a [f32],
    fsm: [&'a [f32]; 3],
}

impl<const RELU: bool> Loops for GradientSums<'_, RELU> {
    #[inline(always)]
    fn run(self) {
        let period = self.plain.len();
        for (x, dy) in self.x.chunks(period).zip(self.dy.chunks(period)) {
            let n = x.len();
            let (plain, centred) = (&mut self.plain[..n], &mut self.centred[..n]);
            let (dy, [f, s, mu]) = (&dy[..n], self.fsm.map(|c| &c[..n]));
            for i in 0..n {
                let d = passed::<RELU>(x[i], dy[i], f[i], s[i]);
                plain[i] += d;
                centred[i] += d * (x[i] - mu[i]);
            }
        }
    }
}

/// Per channel: the sum of dy and of dy times (x - mean), where the rectifier let it through.
fn gradient_sums(x: &[f32], dy: &[f32], fsm: [&[f32]; 3], c: usize, relu: bool) -> Vec<(f64, f64)> {
    let period = fsm[0].len();
    let parts: Vec<(Vec<f64>, Vec<f64>)> = x
        .par_chunks(piece(period))
        .zip(dy.par_chunks(piece(period)))
        .map(|(x, dy)| {
            let (mut plain, mut centred) = (vec![0.0f32; period], vec![0.0f32; period]);
            let (to_plain, to_centred, best) = (&mut plain[..], &mut centred[..], Isa::best());
            if relu {
                best.run_loops(GradientSums::<true> { plain: to_plain, centred: to_centred, x, dy, fsm });
            } else {
                best.run_loops(GradientSums::<false> { plain: to_plain, centred: to_centred, x, dy, fsm });
            }
            (folded(&plain, c), folded(&centred, c))
        })
        .collect();
    let mut total = vec![(0.0, 0.0); c];
    for (plain, centred) in parts {
        for (t, (p, q)) in total.iter_mut().zip(plain.into_iter().zip(centred)) {
            t.0 += p;
            t.1 += q;
        }
    }
    total
}
