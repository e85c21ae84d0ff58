//! Full connections and the mean over space.

use crate::{Conv, Finish, Isa, Packed, Shape};

/// A full connection `[n, in] -> [n, out]`: a 1 x 1 x 1 convolution over a row of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    /// Input features.
    pub c_in: usize,
    /// Output features.
    pub c_out: usize,
}

impl Linear {
    fn point(&self) -> Conv {
        Conv { c_in: self.c_in, c_out: self.c_out, kernel: [1; 3], stride: [1; 3], pad: [0; 3] }
    }

    fn shape(&self, n: usize) -> Shape {
        Shape { n: 1, d: 1, h: 1, w: n, c: self.c_in }
    }

    /// Packs weights `[out, in]`.
    pub fn pack(&self, weight: &[f32]) -> Packed {
        self.point().pack(weight)
    }

    /// `x W^T` for `n` samples, ended by `finish`.
    pub fn forward(&self, isa: Isa, x: &[f32], n: usize, weights: &Packed, finish: &Finish, y: &mut [f32]) {
        self.point().forward(isa, x, self.shape(n), weights, finish, y);
    }

    /// Gradient with respect to the input.
    pub fn input_gradient(&self, isa: Isa, gy: &[f32], n: usize, weight: &[f32], gx: &mut [f32]) {
        self.point().input_gradient(isa, gy, self.shape(n), weight, gx);
    }

    /// Gradient with respect to the weights `[out, in]`, and to the bias when asked for.
    pub fn weight_gradient(
        &self,
        isa: Isa,
        x: &[f32],
        n: usize,
        gy: &[f32],
        gw: &mut [f32],
        gbias: Option<&mut [f32]>,
    ) {
        self.point().weight_gradient(isa, x, self.shape(n), gy, gw, gbias);
    }
}

/// Mean over depth, height and width: `[n, d, h, w, c] -> [n, c]`.
pub fn global_avg_pool(x: &[f32], xs: Shape, y: &mut [f32]) {
    assert_eq!((x.len(), y.len()), (xs.len(), xs.n * xs.c), "sizes do not fit");
    let sample = (xs.len() / xs.n.max(1)).max(1);
    let share = 1.0 / (xs.d * xs.h * xs.w) as f32;
    for (x, y) in x.chunks_exact(sample).zip(y.chunks_exact_mut(xs.c)) {
        y.fill(0.0);
        for place in x.chunks_exact(xs.c) {
            y.iter_mut().zip(place).for_each(|(y, v)| *y += v);
        }
        y.iter_mut().for_each(|y| *y *= share);
    }
}

/// Gradient of [`global_avg_pool`] with respect to its input.
pub fn global_avg_pool_gradient(gy: &[f32], xs: Shape, gx: &mut [f32]) {
    assert_eq!((gx.len(), gy.len()), (xs.len(), xs.n * xs.c), "sizes do not fit");
    let sample = (xs.len() / xs.n.max(1)).max(1);
    let share = 1.0 / (xs.d * xs.h * xs.w) as f32;
    for (gx, gy) in gx.chunks_exact_mut(sample).zip(gy.chunks_exact(xs.c)) {
        for place in gx.chunks_exact_mut(xs.c) {
            place.iter_mut().zip(gy).for_each(|(g, v)| *g = v * share);
        }
    }
}
