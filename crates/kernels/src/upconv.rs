//! Transposed convolution 2 x 2 x 2 with stride 2: doubles each axis.

use crate::conv::{Finish, pack, slide, spread};
use crate::isa::Isa;
use crate::weight_gradient::channel_sums;
use crate::{Act, Conv, Packed, Shape};

const KERNEL: [usize; 3] = [2; 3];
const TAPS: usize = 8;

/// A transposed convolution with kernel and stride 2 along every axis: no two of its patches overlap.
/// Its gradients are those of the convolution that it transposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpConv {
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
}

impl UpConv {
    /// Shape of the result.
    pub fn output(&self, xs: Shape) -> Shape {
        xs.with(xs.space().map(|s| 2 * s), self.c_out)
    }

    /// Packs weights `[in, out, 2, 2, 2]`.
    pub fn pack(&self, weight: &[f32]) -> Packed {
        self.check(weight);
        let c_out = self.c_out;
        pack(self.c_in, TAPS * c_out, |i, k| weight[(i * c_out + k % c_out) * TAPS + k / c_out])
    }

    fn check(&self, weight: &[f32]) {
        assert_eq!(weight.len(), self.c_in * self.c_out * TAPS, "weights do not fit the up-convolution");
    }

    /// The convolution that this is the transpose of.
    fn down(&self) -> Conv {
        Conv { c_in: self.c_out, c_out: self.c_in, kernel: KERNEL, stride: KERNEL, pad: [0; 3] }
    }

    /// `y = act(upconv(x) + bias)`.
    pub fn forward(
        &self,
        x: &[f32],
        xs: Shape,
        weights: &Packed,
        bias: Option<&[f32]>,
        act: Act,
        y: &mut [f32],
    ) {
        self.forward_on(Isa::best(), x, xs, weights, bias, act, y);
    }

    /// [`UpConv::forward`] on a given instruction set.
    #[allow(clippy::too_many_arguments)]
    pub fn forward_on(
        &self,
        isa: Isa,
        x: &[f32],
        xs: Shape,
        weights: &Packed,
        bias: Option<&[f32]>,
        act: Act,
        y: &mut [f32],
    ) {
        let bias = bias.map(|b| b.repeat(TAPS));
        let slope;
        let act = match act {
            Act::PRelu(s) => {
                slope = s.repeat(TAPS);
                Act::PRelu(&slope)
            }
            other => other,
        };
        let finish = Finish { bias: bias.as_deref(), residual: None, act };
        spread(isa, x, xs, KERNEL, weights, self.output(xs), &finish, y);
    }

    /// Gradient with respect to the input.
    pub fn input_gradient(&self, gy: &[f32], xs: Shape, weight: &[f32], gx: &mut [f32]) {
        self.input_gradient_on(Isa::best(), gy, xs, weight, gx);
    }

    /// [`UpConv::input_gradient`] on a given instruction set.
    pub fn input_gradient_on(&self, isa: Isa, gy: &[f32], xs: Shape, weight: &[f32], gx: &mut [f32]) {
        self.check(weight);
        assert_eq!(xs.c, self.c_in, "channels do not fit the up-convolution");
        let c_out = self.c_out;
        let weights =
            pack(TAPS * c_out, self.c_in, |k, i| weight[(i * c_out + k % c_out) * TAPS + k / c_out]);
        let finish = Finish { bias: None, residual: None, act: Act::None };
        let ys = self.output(xs);
        assert_eq!(gy.len(), ys.len(), "the gradient does not fit the result");
        slide(isa, gy, ys, KERNEL, KERNEL, &weights, xs, &finish, gx);
    }

    /// Gradient with respect to the weights `[in, out, 2, 2, 2]`, and to the bias when asked for.
    pub fn weight_gradient(
        &self,
        x: &[f32],
        xs: Shape,
        gy: &[f32],
        gw: &mut [f32],
        gbias: Option<&mut [f32]>,
    ) {
        self.weight_gradient_on(Isa::best(), x, xs, gy, gw, gbias);
    }

    /// [`UpConv::weight_gradient`] on a given instruction set.
    pub fn weight_gradient_on(
        &self,
        isa: Isa,
        x: &[f32],
        xs: Shape,
        gy: &[f32],
        gw: &mut [f32],
        gbias: Option<&mut [f32]>,
    ) {
        self.check(gw);
        self.down().weight_gradient_on(isa, gy, self.output(xs), x, gw, None);
        if let Some(gbias) = gbias {
            channel_sums(gy, self.c_out, gbias);
        }
    }
}
