//! Transposed convolution 2 x 2 x 2 with stride 2: doubles each axis.

use crate::direct::spread;
use crate::finish::{Finish, Shared};
use crate::isa::Isa;
use crate::panels::Panels;
use crate::weight_gradient::channel_sums;
use crate::{Conv, Shape};

const KERNEL: [usize; 3] = [2; 3];
const TAPS: usize = 8;
/// Taps along depth and height; the two along width are side by side in each matrix.
const MATRICES: usize = 4;

/// A transposed convolution with kernel and stride 2 along every axis: no two of its patches overlap.
/// Its gradients are those of the convolution that it transposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpConv {
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
}

/// Weights of an up-convolution in the order in which it reads them: a matrix for each tap along depth and height.
#[derive(Debug, Clone)]
pub struct PackedUp(Vec<Panels>);

impl UpConv {
    /// Shape of the result.
    pub fn output(&self, xs: Shape) -> Shape {
        xs.with(xs.space().map(|s| s.saturating_mul(2)), self.c_out)
    }

    /// Packs weights `[in, out, 2, 2, 2]`.
    pub fn pack(&self, weight: &[f32]) -> PackedUp {
        self.check(weight);
        let (out, wide) = (self.c_out, KERNEL[2]);
        let at = |t: usize, i: usize, column: usize| {
            weight[(i * out + column % out) * TAPS + t * wide + column / out]
        };
        PackedUp((0..MATRICES).map(|t| Panels::new(self.c_in, wide * out, |i, o| at(t, i, o))).collect())
    }

    fn check(&self, weight: &[f32]) {
        assert_eq!(weight.len(), self.c_in * self.c_out * TAPS, "weights do not fit the up-convolution");
    }

    /// The convolution that this is the transpose of.
    fn down(&self) -> Conv {
        Conv { c_in: self.c_out, c_out: self.c_in, kernel: KERNEL, stride: KERNEL, pad: [0; 3] }
    }

    /// The up-convolution of `x` into `y`, ended by `finish`.
    pub fn forward(
        &self,
        isa: Isa,
        x: &[f32],
        xs: Shape,
        weights: &PackedUp,
        finish: &Finish,
        y: &mut [f32],
    ) {
        assert_eq!(xs.c, self.c_in, "channels do not fit the up-convolution");
        let ys = self.output(xs);
        assert_eq!(y.len(), ys.len(), "the result does not fit its shape");
        let end = finish.prepare_together(ys, KERNEL[2]);
        spread(isa, (x, xs), KERNEL, &weights.0, (Shared::new(y), ys), &end);
    }

    /// Gradient with respect to the input.
    pub fn input_gradient(&self, isa: Isa, gy: &[f32], xs: Shape, weight: &[f32], gx: &mut [f32]) {
        self.check(weight);
        assert_eq!(xs.c, self.c_in, "channels do not fit the up-convolution");
        let down = self.down();
        down.forward(isa, gy, self.output(xs), &down.pack(weight), &Finish::default(), gx);
    }

    /// Gradient with respect to the weights `[in, out, 2, 2, 2]`, and to the bias when asked for.
    pub fn weight_gradient(
        &self,
        isa: Isa,
        x: &[f32],
        xs: Shape,
        gy: &[f32],
        gw: &mut [f32],
        gbias: Option<&mut [f32]>,
    ) {
        self.check(gw);
        self.down().weight_gradient(isa, gy, self.output(xs), x, gw, None);
        if let Some(gbias) = gbias {
            channel_sums(gy, self.c_out, gbias);
        }
    }
}
