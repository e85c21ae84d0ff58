//! Nodes that are kernels of `pleura-kernels`.

use crate::node::{Dense, Node, View};
use crate::pool;
use pleura_kernels::{
    Conv, Finish, Isa, Linear, MaxPool, Shape, UpConv, global_avg_pool, global_avg_pool_gradient,
};

/// A gradient where it is needed.
type Gradients = Vec<Option<Vec<f32>>>;

/// Sizes of a map `[n, d, h, w, c]`.
fn map(v: &View) -> Shape {
    let at = |i: usize| v.shape.get(i).copied().unwrap_or(1);
    Shape { n: at(0), d: at(1), h: at(2), w: at(3), c: at(4) }
}

fn axes(s: Shape) -> Vec<usize> {
    vec![s.n, s.d, s.h, s.w, s.c]
}

/// The convolution of a weight `[out, in, kd, kh, kw]`.
fn conv(weight: &View, stride: [usize; 3], pad: [usize; 3]) -> Conv {
    let s = map(weight);
    Conv { c_out: s.n, c_in: s.d, kernel: [s.h, s.w, s.c], stride, pad }
}

/// The up-convolution of a weight `[in, out, 2, 2, 2]`.
fn up_conv(weight: &View) -> UpConv {
    UpConv { c_in: weight.shape[0], c_out: weight.shape[1] }
}

/// The full connection of a weight `[out, in]`.
fn linear(weight: &View) -> Linear {
    Linear { c_out: weight.shape[0], c_in: weight.shape[1] }
}

/// Runs `f`, which overwrites all, on a vector of `n` floats.
fn filled(n: usize, f: impl FnOnce(&mut [f32])) -> Vec<f32> {
    let mut out = pool::take(n);
    f(&mut out);
    out
}

/// Weight and bias gradients by `f`, where the node has a bias and where they are needed.
fn parameters(
    inputs: &[View],
    needed: &[bool],
    outputs: usize,
    f: impl FnOnce(&mut [f32], Option<&mut [f32]>),
) -> Gradients {
    let has_bias = inputs.len() > 2;
    let wants_bias = has_bias && needed[2];
    if !needed[1] && !wants_bias {
        return vec![None; inputs.len() - 1];
    }
    let mut bias = vec![0.0; if wants_bias { outputs } else { 0 }];
    let own = wants_bias.then_some(bias.as_mut_slice());
    let weight = filled(inputs[1].values.len(), |weight| f(weight, own));
    let mut all = vec![None];
    if needed[1] {
        all[0] = Some(weight);
    } else {
        pool::give(weight);
    }
    if has_bias {
        all.push(wants_bias.then_some(bias));
    }
    all
}

impl Node {
    /// The result of a node that is a kernel.
    pub(crate) fn kernel_forward(&self, inputs: &[View]) -> Dense {
        let (x, xs) = (inputs[0].values, map(&inputs[0]));
        let finish = Finish { bias: inputs.get(2).map(|b| b.values), ..Finish::default() };
        let isa = Isa::best();
        match self {
            Self::Conv { stride, pad } => {
                let conv = conv(&inputs[1], *stride, *pad);
                let (weight, ys) = (inputs[1].values, conv.output(xs));
                let y = filled(ys.len(), |y| conv.forward_once(isa, x, xs, weight, &finish, y));
                (y, axes(ys))
            }
            Self::UpConv => {
                let up = up_conv(&inputs[1]);
                let (packed, ys) = (up.pack(inputs[1].values), up.output(xs));
                (filled(ys.len(), |y| up.forward(isa, x, xs, &packed, &finish, y)), axes(ys))
            }
            Self::MaxPool { kernel, stride, pad } => {
                let pool = MaxPool { kernel: *kernel, stride: *stride, pad: *pad };
                let ys = pool.output(xs);
                let mut winners = vec![0; ys.len()];
                (filled(ys.len(), |y| pool.forward(x, xs, y, &mut winners)), axes(ys))
            }
            Self::GlobalAvgPool => (filled(xs.n * xs.c, |y| global_avg_pool(x, xs, y)), vec![xs.n, xs.c]),
            _ => {
                let (linear, n) = (linear(&inputs[1]), xs.n);
                let packed = linear.pack(inputs[1].values);
                let y = filled(n * linear.c_out, |y| linear.forward(isa, x, n, &packed, &finish, y));
                (y, vec![n, linear.c_out])
            }
        }
    }

    /// The gradients of a node that is a kernel.
    pub(crate) fn kernel_backward(&self, inputs: &[View], dy: &[f32], needed: &[bool]) -> Gradients {
        let (x, xs) = (inputs[0].values, map(&inputs[0]));
        let weight = inputs.get(1).map_or(&[][..], |w| w.values);
        let isa = Isa::best();
        let by_input = |f: &dyn Fn(&mut [f32])| needed[0].then(|| filled(xs.len(), f));
        match self {
            Self::Conv { stride, pad } => {
                let conv = conv(&inputs[1], *stride, *pad);
                let mut all = vec![by_input(&|dx| conv.input_gradient(isa, dy, xs, weight, dx))];
                all.extend(parameters(inputs, needed, conv.c_out, |dw, db| {
                    conv.weight_gradient(isa, x, xs, dy, dw, db);
                }));
                all
            }
            Self::UpConv => {
                let up = up_conv(&inputs[1]);
                let mut all = vec![by_input(&|dx| up.input_gradient(isa, dy, xs, weight, dx))];
                all.extend(parameters(inputs, needed, up.c_out, |dw, db| {
                    up.weight_gradient(isa, x, xs, dy, dw, db);
                }));
                all
            }
            Self::MaxPool { kernel, stride, pad } => {
                let pool = MaxPool { kernel: *kernel, stride: *stride, pad: *pad };
                let n = pool.output(xs).len();
                let mut winners = vec![0; n];
                filled(n, |y| pool.forward(x, xs, y, &mut winners));
                vec![by_input(&|dx| pool.gradient(dy, xs, &winners, dx))]
            }
            Self::GlobalAvgPool => vec![by_input(&|dx| global_avg_pool_gradient(dy, xs, dx))],
            _ => {
                let (linear, n) = (linear(&inputs[1]), xs.n);
                let rows = needed[0]
                    .then(|| filled(n * linear.c_in, |dx| linear.input_gradient(isa, dy, n, weight, dx)));
                let mut all = vec![rows];
                all.extend(parameters(inputs, needed, linear.c_out, |dw, db| {
                    linear.weight_gradient(isa, x, n, dy, dw, db);
                }));
                all
            }
        }
    }
}
