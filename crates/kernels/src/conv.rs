//! Convolution in 3D (2D with depth 1), forward and its gradient with respect to the input.

use crate::isa::{Isa, LANES};
use crate::place::place;
use crate::rows::{Block, Row, compute};
use crate::{Shape, weight_gradient};
use rayon::prelude::*;

/// Output channels of a full block: two vectors.
const BLOCK: usize = 2 * LANES;

/// What follows the sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Act<'a> {
    /// Nothing.
    None,
    /// max(x, 0).
    Relu,
    /// x, or the channel's slope times x where negative.
    PRelu(&'a [f32]),
}

impl Act<'_> {
    #[inline(always)]
    fn of(&self, channel: usize, v: f32) -> f32 {
        match self {
            Act::None => v,
            Act::Relu => v.max(0.0),
            Act::PRelu(slope) => {
                if v < 0.0 {
                    v * slope[channel]
                } else {
                    v
                }
            }
        }
    }
}

/// A convolution; triples are depth, height, width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
    /// Kernel size.
    pub kernel: [usize; 3],
    /// Step.
    pub stride: [usize; 3],
    /// Zeros on each side.
    pub pad: [usize; 3],
}

/// Weights in the order in which the forward kernel reads them:
/// for each block of output channels `[kd][kh][kw][in][block]`.
#[derive(Debug, Clone)]
pub struct Packed {
    values: Vec<f32>,
    /// Products of one result: taps times input channels.
    rows: usize,
    /// Output channels.
    columns: usize,
    /// (first channel, vectors, offset in `values`).
    blocks: Vec<(usize, usize, usize)>,
}

impl Conv {
    /// Multiply-adds, counted as two operations, of the forward pass.
    pub fn flops(&self, xs: Shape) -> f64 {
        2.0 * self.output(xs).len() as f64 * (self.taps() * self.c_in) as f64
    }

    /// Shape of the result. Panics when the padded input is smaller than the kernel.
    pub fn output(&self, xs: Shape) -> Shape {
        let x = xs.space();
        let along = |a: usize| {
            let padded = x[a] + 2 * self.pad[a];
            assert!(padded >= self.kernel[a], "the input is smaller than the kernel");
            (padded - self.kernel[a]) / self.stride[a] + 1
        };
        xs.with(std::array::from_fn(along), self.c_out)
    }

    /// The same places in rows as long as a tile likes, where the kernel sees one place at a time.
    pub(crate) fn merged(&self, mut xs: Shape) -> Shape {
        const LONG: usize = 64;
        if (self.kernel, self.stride, self.pad) == ([1; 3], [1; 3], [0; 3]) && !xs.is_empty() {
            for axis in [&mut xs.h, &mut xs.d, &mut xs.n] {
                if xs.w < LONG {
                    let count = std::mem::replace(axis, 1);
                    xs.w = xs.w.saturating_mul(count);
                }
            }
        }
        xs
    }

    /// Kernel positions.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Packs weights `[out, in, kd, kh, kw]`.
    pub fn pack(&self, weight: &[f32]) -> Packed {
        assert_eq!(weight.len(), self.c_out * self.c_in * self.taps(), "weights do not fit the convolution");
        let (taps, c_in) = (self.taps(), self.c_in);
        pack(taps * c_in, self.c_out, |k, o| weight[(o * c_in + k % c_in) * taps + k / c_in])
    }

    /// `y = act(conv(x) + bias)`, or with a residual `(r, scale)`: `y = act(r + scale * (conv(x) + bias))`.
    #[allow(clippy::too_many_arguments)] // one call a layer: naming each operand beats a builder
    pub fn forward(
        &self,
        x: &[f32],
        xs: Shape,
        weights: &Packed,
        bias: Option<&[f32]>,
        residual: Option<(&[f32], f32)>,
        act: Act,
        y: &mut [f32],
    ) {
        self.forward_on(Isa::best(), x, xs, weights, bias, residual, act, y);
    }

    /// [`Conv::forward`] on a given instruction set.
    #[allow(clippy::too_many_arguments)]
    pub fn forward_on(
        &self,
        isa: Isa,
        x: &[f32],
        xs: Shape,
        weights: &Packed,
        bias: Option<&[f32]>,
        residual: Option<(&[f32], f32)>,
        act: Act,
        y: &mut [f32],
    ) {
        assert_eq!(xs.c, self.c_in, "channels do not fit the convolution");
        let xs = self.merged(xs);
        let ys = self.output(xs);
        let size = std::array::from_fn(|a| xs.space()[a] + 2 * self.pad[a]);
        let padded = place(x, xs, [1; 3], self.pad, size);
        let finish = Finish { bias, residual, act };
        slide(isa, &padded, xs.with(size, xs.c), self.kernel, self.stride, weights, ys, &finish, y);
    }

    /// Gradient with respect to the input: `gx` from the gradient `gy` of the result.
    ///
    /// A convolution of `gy`, spread by the stride, with the kernel turned around. Panics when the
    /// padding is not smaller than the kernel.
    pub fn input_gradient(&self, gy: &[f32], xs: Shape, weight: &[f32], gx: &mut [f32]) {
        self.input_gradient_on(Isa::best(), gy, xs, weight, gx);
    }

    /// [`Conv::input_gradient`] on a given instruction set.
    pub fn input_gradient_on(&self, isa: Isa, gy: &[f32], xs: Shape, weight: &[f32], gx: &mut [f32]) {
        let xs = self.merged(xs);
        let ys = self.output(xs);
        assert_eq!(weight.len(), self.c_out * self.c_in * self.taps(), "weights do not fit the convolution");
        let (taps, c_in, c_out) = (self.taps(), self.c_in, self.c_out);
        // Element (k = (tap, out), in) of the turned kernel.
        let turned = |k: usize, i: usize| weight[((k % c_out) * c_in + i) * taps + taps - 1 - k / c_out];
        let none = Finish { bias: None, residual: None, act: Act::None };
        if self.kernel == self.stride && self.pad == [0; 3] && taps > 1 {
            return self.spread_patches(isa, gy, xs, weight, gx);
        }
        let offset = std::array::from_fn(|a| {
            assert!(self.pad[a] < self.kernel[a], "padding must be smaller than the kernel");
            self.kernel[a] - 1 - self.pad[a]
        });
        let size = std::array::from_fn(|a| xs.space()[a] + self.kernel[a] - 1);
        let spread = place(gy, ys, self.stride, offset, size);
        let weights = pack(taps * c_out, c_in, turned);
        slide(isa, &spread, ys.with(size, c_out), self.kernel, [1; 3], &weights, xs, &none, gx);
    }

    /// The input gradient where patches do not overlap: each output place makes its own patch.
    fn spread_patches(&self, isa: Isa, gy: &[f32], xs: Shape, weight: &[f32], gx: &mut [f32]) {
        let (taps, c_in) = (self.taps(), self.c_in);
        let wide = taps * c_in;
        let weights = pack(self.c_out, wide, |o, k| weight[(o * c_in + k % c_in) * taps + k / c_in]);
        let finish = Finish { bias: None, residual: None, act: Act::None };
        spread(isa, gy, self.output(xs), self.kernel, &weights, xs, &finish, gx);
    }

    /// Gradient with respect to the weights `[out, in, kd, kh, kw]`, and to the bias when asked for.
    pub fn weight_gradient(
        &self,
        x: &[f32],
        xs: Shape,
        gy: &[f32],
        gw: &mut [f32],
        gbias: Option<&mut [f32]>,
    ) {
        weight_gradient::weight_gradient(Isa::best(), self, x, xs, gy, gw, gbias);
    }

    /// [`Conv::weight_gradient`] on a given instruction set.
    pub fn weight_gradient_on(
        &self,
        isa: Isa,
        x: &[f32],
        xs: Shape,
        gy: &[f32],
        gw: &mut [f32],
        gbias: Option<&mut [f32]>,
    ) {
        weight_gradient::weight_gradient(isa, self, x, xs, gy, gw, gbias);
    }
}

/// Packs a matrix of `rows` (tap and input channel) by `columns` (output channel).
pub(crate) fn pack(rows: usize, columns: usize, at: impl Fn(usize, usize) -> f32) -> Packed {
    let (mut values, mut blocks) = (Vec::new(), Vec::new());
    let mut first = 0;
    while first < columns {
        let vectors = if columns - first > LANES { 2 } else { 1 };
        blocks.push((first, vectors, values.len()));
        for row in 0..rows {
            let lanes = first..first + vectors * LANES;
            values.extend(lanes.map(|c| if c < columns { at(row, c) } else { 0.0 }));
        }
        first += vectors * LANES;
    }
    Packed { values, rows, columns, blocks }
}

/// What happens to a sum before it is stored.
pub(crate) struct Finish<'a> {
    pub bias: Option<&'a [f32]>,
    pub residual: Option<(&'a [f32], f32)>,
    pub act: Act<'a>,
}

impl Finish<'_> {
    /// Panics unless every operand is as long as the result's shape asks.
    fn check(&self, ys: Shape) {
        if let Some(bias) = self.bias {
            assert_eq!(bias.len(), ys.c, "the bias does not fit the result");
        }
        if let Some((residual, _)) = self.residual {
            assert_eq!(residual.len(), ys.len(), "the residual does not fit the result");
        }
        if let Act::PRelu(slope) = self.act {
            assert_eq!(slope.len(), ys.c, "the slopes do not fit the result");
        }
    }

    /// Stores the first channels of `sums` `[positions][lanes]` into `y` `[positions][channels]` from
    /// channel `first` on; `at` is the offset of `y` in the whole result.
    fn store(&self, sums: &[f32], lanes: usize, y: &mut [f32], channels: usize, first: usize, at: usize) {
        let count = lanes.min(channels - first);
        let bias = self.bias.map(|b| &b[first..first + count]);
        for (p, (sums, y)) in sums.chunks_exact(lanes).zip(y.chunks_exact_mut(channels)).enumerate() {
            let (sums, y) = (&sums[..count], &mut y[first..first + count]);
            match bias {
                Some(bias) => y.iter_mut().zip(sums).zip(bias).for_each(|((y, s), b)| *y = s + b),
                None => y.copy_from_slice(sums),
            }
            if let Some((residual, scale)) = self.residual {
                let residual = &residual[at + p * channels + first..][..count];
                y.iter_mut().zip(residual).for_each(|(y, r)| *y = r + scale * *y);
            }
            match self.act {
                Act::None => {}
                Act::Relu => y.iter_mut().for_each(|y| *y = y.max(0.0)),
                Act::PRelu(_) => y.iter_mut().enumerate().for_each(|(i, y)| *y = self.act.of(first + i, *y)),
            }
        }
    }
}

/// Slides the kernel over an input that is padded already.
#[allow(clippy::too_many_arguments)]
pub(crate) fn slide(
    isa: Isa,
    x: &[f32],
    xs: Shape,
    kernel: [usize; 3],
    stride: [usize; 3],
    weights: &Packed,
    ys: Shape,
    finish: &Finish,
    y: &mut [f32],
) {
    assert_eq!(y.len(), ys.len(), "the result does not fit its shape");
    finish.check(ys);
    let taps = kernel[0] * kernel[1] * kernel[2];
    assert_eq!((weights.rows, weights.columns), (taps * xs.c, ys.c), "weights packed for another layer");
    let (run, row_len) = (kernel[2] * xs.c, xs.w * xs.c);
    let out_row = ys.w * ys.c;
    if out_row == 0 {
        return;
    }
    // Short rows go several to a job.
    y.par_chunks_mut(out_row).enumerate().with_min_len((4096 / out_row).max(1)).for_each_init(
        || vec![0.0f32; ys.w * BLOCK],
        |sums, (r, y)| {
            let (oh, od, n) = (r % ys.h, r / ys.h % ys.d, r / (ys.h * ys.d));
            let start = |kd: usize, kh: usize| {
                ((n * xs.d + od * stride[0] + kd) * xs.h + oh * stride[1] + kh) * row_len
            };
            let starts: Vec<usize> =
                (0..kernel[0] * kernel[1]).map(|t| start(t / kernel[1], t % kernel[1])).collect();
            let row = Row { x, starts: &starts, run, step: stride[2] * xs.c, positions: ys.w };
            row_of_results(isa, &row, weights, finish, r * out_row, sums, y);
        },
    );
}

/// Computes one row of results, which begins at `at` of the whole; `sums` is room to work in.
fn row_of_results(
    isa: Isa,
    row: &Row,
    weights: &Packed,
    finish: &Finish,
    at: usize,
    sums: &mut [f32],
    y: &mut [f32],
) {
    for &(first, vectors, from) in &weights.blocks {
        let lanes = vectors * LANES;
        let block = Block { weights: &weights.values[from..][..weights.rows * lanes], vectors };
        let sums = &mut sums[..row.positions * lanes];
        compute(isa, row, &block, sums);
        finish.store(sums, lanes, y, weights.columns, first, at);
    }
}

/// The reverse of a convolution whose patches do not overlap: each place of `x` makes its own patch
/// `[kd][kh][kw][c]` of the result; what no patch covers becomes zero. `finish` is per value of a
/// patch and has no residual.
#[allow(clippy::too_many_arguments)]
pub(crate) fn spread(
    isa: Isa,
    x: &[f32],
    xs: Shape,
    kernel: [usize; 3],
    weights: &Packed,
    ys: Shape,
    finish: &Finish,
    y: &mut [f32],
) {
    assert_eq!((x.len(), y.len()), (xs.len(), ys.len()), "values do not fit their shapes");
    let (wide, piece) = (kernel.iter().product::<usize>() * ys.c, kernel[2] * ys.c);
    assert_eq!((weights.rows, weights.columns), (xs.c, wide), "weights packed for another layer");
    finish.check(xs.with(xs.space(), wide));
    let (line, sample) = (ys.w * ys.c, ys.len() / ys.n.max(1));
    if ys.is_empty() {
        return;
    }
    // The planes of the result that one plane of places fills, and within them its rows.
    let planes = |n: usize, d: usize, y: &mut [f32]| {
        let (mut patches, mut sums) = (vec![0.0f32; xs.w * wide], vec![0.0f32; xs.w * BLOCK]);
        for h in 0..ys.h.div_ceil(kernel[1]) {
            let covered = d < xs.d && h < xs.h;
            if covered {
                let starts = [((n * xs.d + d) * xs.h + h) * xs.w * xs.c];
                let row = Row { x, starts: &starts, run: xs.c, step: xs.c, positions: xs.w };
                row_of_results(isa, &row, weights, finish, 0, &mut sums, &mut patches);
            }
            for (z, plane) in y.chunks_exact_mut(ys.h * line).enumerate() {
                let lines = plane.chunks_exact_mut(line).skip(h * kernel[1]).take(kernel[1]);
                for (t, line) in lines.enumerate() {
                    let from = (z * kernel[1] + t) * piece;
                    let (places, rest) = line.split_at_mut(if covered { xs.w * piece } else { 0 });
                    rest.fill(0.0);
                    for (out, patch) in places.chunks_exact_mut(piece).zip(patches.chunks_exact(wide)) {
                        out.copy_from_slice(&patch[from..from + piece]);
                    }
                }
            }
        }
    };
    y.par_chunks_mut(sample).enumerate().for_each(|(n, y)| {
        y.par_chunks_mut(kernel[0] * ys.h * line).enumerate().for_each(|(d, y)| planes(n, d, y));
    });
}
