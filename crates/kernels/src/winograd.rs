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
pub(crate) use job::{convolve, room};

use crate::panels::Panels;
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
    let tiles = (virtual_slices(conv, ys) - (conv.kernel[0] - 1)) as f64
        * (ys.h.div_ceil(TILE) * ys.w.div_ceil(TILE)) as f64;
    let points = (POINTS * conv.kernel[0] * c_in * c_out + 150 * (c_in.next_multiple_of(8) + c_out)) as f64;
    let direct = ys.places() as f64 * (conv.taps() * c_in * c_out) as f64;
    tiles * points < 0.9 * direct
}

/// Slices of the input that all samples see, padding along depth included.
fn virtual_slices(conv: &Conv, ys: Shape) -> usize {
    ys.n * (ys.d + conv.kernel[0] - 1)
}

/// The points of all kernels: for each panel of output channels `[36][kd][in][width]`;
/// `at(tap, input channel, output channel)` is a weight.
pub(crate) fn pack(conv: &Conv, at: impl Fn(usize, usize, usize) -> f32 + Sync) -> Panels {
    let rows = conv.kernel[0] * conv.c_in;
    Panels::filled(POINTS * rows, conv.c_out, |first, columns, panel| {
        for (row, o) in (0..rows).flat_map(|row| (0..columns).step_by(KERNELS).map(move |o| (row, o))) {
            let (z, i, count) = (row / conv.c_in, row % conv.c_in, KERNELS.min(columns - o));
            let mut kernels = [[[0.0; KERNELS]; 3]; 3];
            for (tap, kernels) in kernels.as_flattened_mut().iter_mut().enumerate() {
                for (k, weight) in kernels.iter_mut().enumerate().take(count) {
                    *weight = f64::from(at(z * 9 + tap, i, first + o + k));
                }
            }
            // Handed over by reference: arrays of this size are copied by calls.
            let mut lines = [[[0.0; KERNELS]; SIDE]; 3];
            kernels.iter().zip(&mut lines).for_each(|(kernel, line)| kernel_points(kernel.each_ref(), line));
            let mut points = [[0.0; KERNELS]; SIDE];
            for w in 0..SIDE {
                kernel_points(lines.each_ref().map(|line| &line[w]), &mut points);
                for (h, points) in points.iter().enumerate() {
                    panel.set((h * SIDE + w) * rows + row, o, points.map(|v| v as f32));
                }
            }
        }
    })
}

/// Floats that the work of one thread on a layer takes, at most.
const NEAR: usize = 1 << 17;
/// Positions of a product of matrices at most: its results stay in a core's cache.
const POSITIONS: usize = 48;
/// Positions of a job at least, room permitting: each weight that is fetched is used that often.
const OFTEN: usize = 64;
/// Floats of a whole transformed input that several threads share.
const WHOLE: usize = 1 << 20;
/// Slices of a job.
const SLICES: usize = 12;

/// How a layer is cut into jobs; by its shape alone, so that results do not depend on threads.
#[derive(Clone, Copy)]
struct Cut {
    /// Tiles of a slice: rows, columns.
    tiles: [usize; 2],
    /// Slices of the result, and rows of tiles, in a job.
    slices: usize,
    rows: usize,
    /// Virtual slices of the result, padding between samples included.
    total: usize,
}

impl Cut {
    fn new(conv: &Conv, ys: Shape) -> Self {
        let tiles = [ys.h.div_ceil(TILE), ys.w.div_ceil(TILE)];
        let more = conv.kernel[0] - 1;
        let total = virtual_slices(conv, ys) - more;
        let row = POINTS * tiles[1] * conv.c_in;
        if row * tiles[0] * (total + more) <= WHOLE {
            return Self { tiles, slices: total, rows: tiles[0], total };
        }
        // Weights are fetched once a job: the more of them, the more positions.
        let near = NEAR.max(POINTS * conv.c_in * OFTEN);
        let fit = (near / row).saturating_sub(more);
        let slices = if more == 0 { fit / tiles[0] } else { fit.min(SLICES) }.clamp(1, total);
        let rows = (near / (row * (slices + more))).clamp(1, tiles[0]);
        Self { tiles, slices, rows, total }
    }

    fn jobs(&self) -> usize {
        self.total.div_ceil(self.slices) * self.tiles[0].div_ceil(self.rows)
    }
}
