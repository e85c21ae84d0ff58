//! Winograd's minimal filtering F(4 x 4, 3 x 3) over height and width, direct along depth.
//!
//! Four times four results come of 6 x 6 products where the direct sum takes 144 (Lavin & Gray, "Fast
//! Algorithms for Convolutional Neural Networks", 2016). The input is transformed tile by tile, each of
//! the 36 points is a product of matrices, and the products are transformed back. The error is about
//! twice that of the direct sum, see [`transform`].

mod back;
mod forth;
mod gradient;
mod job;
mod transform;

pub(crate) use gradient::Layer as Gradient;
pub(crate) use job::{convolve, room, seen_rows};

use crate::isa::{Isa, Loops};
use crate::panels::{Blank, Panels};
use crate::{Conv, Shape};
use transform::{KERNELS, POINTS, SIDE, kernel_points};

/// Results of a tile along one axis.
const TILE: usize = 4;

/// Whether the points' products and the transforms cost less than the direct sum.
///
/// Counted in multiply-adds: by the number of vector operations, the transforms of a tile cost about 150
/// for each channel.
pub(crate) fn pays(conv: &Conv, xs: Shape) -> bool {
    if conv.kernel[1..] != [3, 3] || conv.stride != [1; 3] || xs.is_empty() {
        return false;
    }
    let ys = conv.output(xs);
    let (c_in, c_out) = (conv.c_in, conv.c_out.next_multiple_of(8));
    let tiles = (ys.n * ys.d) as f64 * (ys.h.div_ceil(TILE) * ys.w.div_ceil(TILE)) as f64;
    let points = (POINTS * conv.kernel[0] * c_in * c_out + 150 * (c_in.next_multiple_of(8) + c_out)) as f64;
    let direct = ys.places() as f64 * (conv.taps() * c_in * c_out) as f64;
    tiles * points < 0.9 * direct
}

/// The points of all kernels: for each panel of output channels `[36][kd][in][width]`;
/// `at(tap, input channel, output channel)` is a weight.
pub(crate) fn pack(conv: &Conv, at: impl Fn(usize, usize, usize) -> f32 + Sync) -> Panels {
    Panels::filled(POINTS * conv.kernel[0] * conv.c_in, conv.c_out, |first, columns, panel| {
        Isa::best().run_loops(Points { conv, at: &at, first, columns, panel });
    })
}

/// Makes the points of a panel's kernels, in double precision.
struct Points<'a, 'b, F> {
    conv: &'a Conv,
    at: &'a F,
    /// First output channel, and how many.
    first: usize,
    columns: usize,
    panel: &'a mut Blank<'b>,
}

impl<F: Fn(usize, usize, usize) -> f32> Loops for Points<'_, '_, F> {
    #[inline(always)]
    fn run(self) {
        let rows = self.conv.kernel[0] * self.conv.c_in;
        for (row, o) in (0..rows).flat_map(|row| (0..self.columns).step_by(KERNELS).map(move |o| (row, o))) {
            let (z, i) = (row / self.conv.c_in, row % self.conv.c_in);
            let count = KERNELS.min(self.columns - o);
            let mut kernels = [[[0.0; KERNELS]; 3]; 3];
            for (tap, kernels) in kernels.as_flattened_mut().iter_mut().enumerate() {
                for (k, weight) in kernels.iter_mut().enumerate().take(count) {
                    *weight = f64::from((self.at)(z * 9 + tap, i, self.first + o + k));
                }
            }
            // Handed over by reference: arrays of this size are copied by calls.
            let mut lines = [[[0.0; KERNELS]; SIDE]; 3];
            kernels.iter().zip(&mut lines).for_each(|(kernel, line)| kernel_points(kernel.each_ref(), line));
            let mut points = [[0.0; KERNELS]; SIDE];
            for w in 0..SIDE {
                kernel_points(lines.each_ref().map(|line| &line[w]), &mut points);
                for (h, points) in points.iter().enumerate() {
                    self.panel.set((h * SIDE + w) * rows + row, o, points.map(|v| v as f32));
                }
            }
        }
    }
}

/// Floats that the work of one thread on a layer takes, at most.
const NEAR: usize = 1 << 17;
/// Positions of a product of matrices at most: its results stay in a core's cache.
const POSITIONS: usize = 48;
/// Positions of a job at least, room permitting: each weight that is fetched is used that often.
const OFTEN: usize = 64;
/// Floats of a whole transformed input that several threads share.
const WHOLE: usize = 1 << 20;
/// Slices of a sample's result in a job at most, unless the whole layer is one job.
const SLICES: usize = 12;

/// How a layer is cut into jobs; by its shape alone, so that results do not depend on threads.
///
/// The slices of a job's samples go in turns: the first of each, then the second of each. So all positions of a
/// depth lie side by side, and those one deeper behind them.
#[derive(Clone, Copy)]
struct Cut {
    /// Tiles of a slice: rows, columns.
    tiles: [usize; 2],
    /// Samples, slices of each sample's result, and rows of tiles, in a job.
    samples: usize,
    slices: usize,
    rows: usize,
    /// Samples and slices of the whole result.
    all: [usize; 2],
}

impl Cut {
    fn new(conv: &Conv, ys: Shape) -> Self {
        let tiles = [ys.h.div_ceil(TILE), ys.w.div_ceil(TILE)];
        let (more, all) = (conv.kernel[0] - 1, [ys.n, ys.d]);
        let row = POINTS * tiles[1] * conv.c_in;
        if row * tiles[0] * ys.n * (ys.d + more) <= WHOLE {
            return Self { tiles, samples: ys.n, slices: ys.d, rows: tiles[0], all };
        }
        // Weights are fetched once a job: the more of them, the more positions.
        let near = NEAR.max(POINTS * conv.c_in * OFTEN);
        let fit = near / row;
        // Without depth whole slices go together, with it as many as can be, each seen by several.
        let least = if more == 0 { tiles[0] } else { 1 };
        let (samples, slices) = match fit / ((ys.d + more) * least) {
            samples if samples > 0 && ys.d <= SLICES => (samples.min(ys.n), ys.d),
            _ => (1, (fit / least).saturating_sub(more).clamp(1, SLICES.min(ys.d))),
        };
        let rows = (fit / (samples * (slices + more))).clamp(1, tiles[0]);
        Self { tiles, samples, slices, rows, all }
    }

    fn jobs(&self) -> usize {
        let [samples, slices] = self.all;
        samples.div_ceil(self.samples) * slices.div_ceil(self.slices) * self.tiles[0].div_ceil(self.rows)
    }
}
