//! One node of the graph on plain slices: forward, and the gradients of its inputs.

use crate::batch_norm::{self, Moments};
use crate::elementwise as each;
use std::sync::{Arc, OnceLock};

/// A dense tensor, last axis fastest.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Lengths of the axes.
    pub shape: &'a [usize],
    /// Values; empty in a backward pass when the node did not ask to keep them.
    pub values: &'a [f32],
}

impl View<'_> {
    /// Length of the last axis.
    pub(crate) fn channels(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}

/// Where a batch normalisation leaves the moments of its batch during a forward pass.
#[derive(Debug, Clone, Default)]
pub struct Statistics(Arc<OnceLock<Moments>>);

impl Statistics {
    /// The moments, once the node has run.
    pub fn get(&self) -> Option<&Moments> {
        self.0.get()
    }
}

/// What a node computes. Inputs are in the order of the comment; maps are `[n, d, h, w, c]`,
/// weights as in [`pleura_nets::Op`].
#[derive(Debug, Clone)]
pub enum Node {
    /// Map, weight, and bias if there is one.
    Conv {
        /// Step along depth, height, width.
        stride: [usize; 3],
        /// Zeros on each side.
        pad: [usize; 3],
    },
    /// Map, weight, bias: transposed convolution 2 x 2 x 2 of stride 2.
    UpConv,
    /// Map, weight, bias: normalisation by the batch's moments.
    BatchNorm {
        /// Added to the variance.
        eps: f32,
        /// Whether a rectifier follows.
        relu: bool,
        /// Receives the moments.
        seen: Statistics,
    },
    /// Map, factor, shift per channel.
    Affine {
        /// Whether a rectifier follows.
        relu: bool,
    },
    /// Any tensor.
    Relu,
    /// Any tensor, slope per channel where negative.
    PRelu,
    /// Two tensors: the first plus `scale` times the second.
    Add {
        /// Factor of the second.
        scale: f32,
        /// Whether a rectifier follows.
        relu: bool,
    },
    /// One to four tensors side by side along the last axis.
    Concat,
    /// A map.
    MaxPool {
        /// Window.
        kernel: [usize; 3],
        /// Step.
        stride: [usize; 3],
        /// Cells on each side; they never win.
        pad: [usize; 3],
    },
    /// A map to rows.
    GlobalAvgPool,
    /// Rows, weight `[out, in]`, bias.
    Linear,
}

/// Values and shape of a result.
pub(crate) type Dense = (Vec<f32>, Vec<usize>);

fn rectified(v: f32, relu: bool) -> f32 {
    if relu { v.max(0.0) } else { v }
}

impl Node {
    /// Whether the backward pass reads the values of input `i`.
    pub(crate) fn keeps_input(&self, i: usize) -> bool {
        match self {
            Self::Relu | Self::Add { .. } | Self::Concat | Self::GlobalAvgPool => false,
            Self::Conv { .. } | Self::UpConv | Self::Linear => i < 2,
            Self::BatchNorm { .. } | Self::Affine { .. } | Self::PRelu | Self::MaxPool { .. } => true,
        }
    }

    /// Whether the backward pass reads the result.
    pub(crate) fn keeps_output(&self) -> bool {
        matches!(self, Self::Relu | Self::Add { relu: true, .. } | Self::Affine { relu: true })
    }

    /// The result.
    pub(crate) fn forward(&self, inputs: &[View]) -> Dense {
        let x = inputs[0];
        let same = |values: Vec<f32>| (values, x.shape.to_vec());
        match self {
            Self::BatchNorm { eps, relu, seen } => {
                let (y, m) = batch_norm::forward(x.values, inputs[1].values, inputs[2].values, *eps, *relu);
                // Set once: a node object belongs to a single forward pass.
                let _ = seen.0.set(m);
                same(y)
            }
            Self::Affine { relu } => {
                same(batch_norm::affine(x.values, inputs[1].values, inputs[2].values, *relu))
            }
            Self::Relu => same(each::map(x.values, |v| v.max(0.0))),
            Self::PRelu => {
                let slope = inputs[1].values;
                same(each::map_channels(
                    x.values,
                    x.channels(),
                    |v, k| if v < 0.0 { v * slope[k] } else { v },
                ))
            }
            Self::Add { scale, relu } => {
                same(each::zip(x.values, inputs[1].values, |a, b| rectified(a + scale * b, *relu)))
            }
            Self::Concat => {
                let parts: Vec<(&[f32], usize)> = inputs.iter().map(|v| (v.values, v.channels())).collect();
                let mut shape = x.shape.to_vec();
                if let Some(last) = shape.last_mut() {
                    *last = parts.iter().map(|p| p.1).sum();
                }
                (each::concat(&parts), shape)
            }
            _ => self.kernel_forward(inputs),
        }
    }

    /// Whether all inputs have the same gradient, of which [`Node::backward`] then gives one.
    pub(crate) fn gradients_are_alike(&self) -> bool {
        matches!(self, Self::Add { scale: 1.0, .. })
    }

    /// The gradient of each needed input, given the gradient `dy` of the result. `inputs` hold
    /// values only where [`Node::keeps_input`], `y` only where [`Node::keeps_output`].
    pub(crate) fn backward(
        &self,
        inputs: &[View],
        y: &[f32],
        dy: &[f32],
        needed: &[bool],
    ) -> Vec<Option<Vec<f32>>> {
        let x = inputs[0];
        let c = x.channels();
        let through = |relu: bool| {
            if relu { each::zip(dy, y, |d, y| if y > 0.0 { d } else { 0.0 }) } else { dy.to_vec() }
        };
        match self {
            Self::BatchNorm { eps, relu, seen } => {
                let (w, b) = (inputs[1].values, inputs[2].values);
                let measured;
                let m = match seen.get() {
                    Some(m) => m,
                    None => {
                        measured = batch_norm::moments(x.values, c);
                        &measured
                    }
                };
                batch_norm::backward(x.values, w, b, m, *eps, *relu, dy).map(Some).into()
            }
            Self::Affine { relu } => {
                let dy = through(*relu);
                let factor = inputs[1].values;
                let dx = needed[0].then(|| each::map_channels(&dy, c, |d, k| d * factor[k]));
                let d_factor = needed[1].then(|| each::sum_channels(&dy, x.values, c, |d, x, _| d * x));
                let d_shift = needed[2].then(|| each::sum_channels(&dy, &dy, c, |d, _, _| d));
                vec![dx, d_factor, d_shift]
            }
            Self::Relu => vec![Some(through(true))],
            Self::PRelu => {
                let slope = inputs[1].values;
                let local = each::map_channels(x.values, c, |v, k| if v < 0.0 { slope[k] } else { 1.0 });
                let dx = each::zip(dy, &local, |d, s| d * s);
                let d_slope = each::sum_channels(dy, x.values, c, |d, v, _| d * v.min(0.0));
                vec![Some(dx), Some(d_slope)]
            }
            Self::Add { scale, relu } => {
                let first = through(*relu);
                let second = (!self.gradients_are_alike()).then(|| each::map(&first, |d| d * scale));
                vec![Some(first), second]
            }
            Self::Concat => {
                let widths: Vec<usize> = inputs.iter().map(View::channels).collect();
                let c = widths.iter().sum();
                let mut from = 0;
                let mut parts = Vec::with_capacity(widths.len());
                for (&width, &needed) in widths.iter().zip(needed) {
                    parts.push(needed.then(|| each::channels(dy, c, from, width)));
                    from += width;
                }
                parts
            }
            _ => self.kernel_backward(inputs, dy, needed),
        }
    }
}
