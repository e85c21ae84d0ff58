//! The steps of the executor, each ready to run.

use crate::Shape;
use crate::fold::{self, Read, Step, Work};
use pleura_kernels::{self as kernels, Act, Finish, Isa, Map, Packed, PackedUp, Pointwise, Stored};
use rayon::prelude::*;

/// What one step reads.
pub(crate) struct Call<'a> {
    pub(crate) inputs: &'a [(Stored<'a>, Shape)],
    pub(crate) residual: Option<Stored<'a>>,
    pub(crate) relu: bool,
}

/// A step with its weights in the order in which it reads them.
pub(crate) enum Ready {
    Conv { conv: Conv, reads: Vec<Reading> },
    UpConv { up: kernels::UpConv, packed: PackedUp, bias: Vec<f32> },
    Linear { linear: kernels::Linear, packed: Packed, bias: Vec<f32> },
    Affine { scale: Vec<f32>, shift: Vec<f32> },
    Relu,
    PRelu(Vec<f32>),
    Add { scale: f32 },
    Concat,
    MaxPool { kernel: [usize; 3], stride: [usize; 3], pad: [usize; 3] },
    GlobalAvgPool,
}

/// A convolution with what is folded into it.
pub(crate) struct Conv {
    conv: kernels::Conv,
    packed: Packed,
    bias: Vec<f32>,
}

/// A map that a convolution reads; as [`Read`].
pub(crate) enum Reading {
    Map,
    Pointwise { conv: Box<Conv>, relu: bool, maps: usize },
}

/// Packs the weights of a step.
pub(crate) fn prepare(step: &Step) -> Ready {
    match &step.work {
        Work::Conv { conv, reads } => {
            let reading = |read: &Read| match read {
                Read::Map => Reading::Map,
                Read::Pointwise { conv, relu, maps } => {
                    Reading::Pointwise { conv: Box::new(Conv::new(conv)), relu: *relu, maps: *maps }
                }
            };
            Ready::Conv { conv: Conv::new(conv), reads: reads.iter().map(reading).collect() }
        }
        Work::UpConv { channels, out, dense } => {
            let (weight, bias) = dense.single();
            let up = kernels::UpConv { c_in: *channels, c_out: *out };
            Ready::UpConv { packed: up.pack(&weight), up, bias }
        }
        Work::Linear { channels, out, dense } => {
            let (weight, bias) = dense.single();
            let linear = kernels::Linear { c_in: *channels, c_out: *out };
            Ready::Linear { packed: linear.pack(&weight), linear, bias }
        }
        Work::Affine { scale, shift } => Ready::Affine { scale: scale.clone(), shift: shift.clone() },
        Work::Relu => Ready::Relu,
        Work::PRelu(slope) => Ready::PRelu(slope.clone()),
        Work::Add { scale } => Ready::Add { scale: *scale },
        Work::Concat => Ready::Concat,
        Work::MaxPool { kernel, stride, pad } => {
            Ready::MaxPool { kernel: *kernel, stride: *stride, pad: *pad }
        }
        Work::GlobalAvgPool => Ready::GlobalAvgPool,
    }
}

/// Shape of the whole batch `x` of maps.
fn batch(x: &[f32], [d, h, w]: [usize; 3], c: usize) -> kernels::Shape {
    kernels::Shape { n: x.len() / (d * h * w * c), d, h, w, c }
}

/// What ends a step that has a bias.
fn finish<'a>(bias: &'a [f32], call: &Call<'a>) -> Finish<'a> {
    Finish { bias: Some(bias), residual: call.residual.map(|r| (r, 1.0)), act: act(call.relu) }
}

fn act<'a>(relu: bool) -> Act<'a> {
    if relu { Act::Relu } else { Act::None }
}

fn space(shape: Shape) -> [usize; 3] {
    match shape {
        Shape::Map { size, .. } => size,
        Shape::Flat(_) => [1; 3],
    }
}

/// Places of the input that tap `k` of output place `o` reads along one axis.
fn source(o: usize, k: usize, stride: usize, pad: usize, size: usize) -> Option<usize> {
    (o * stride + k).checked_sub(pad).filter(|&i| i < size)
}

impl Ready {
    /// What the step takes at most, beside its inputs, its result and its weights, for `n` samples.
    pub(crate) fn room(&self, input: Shape, n: usize) -> kernels::Room {
        match (self, input) {
            (Self::Conv { conv, reads }, Shape::Map { size: [d, h, w], .. }) => {
                let xs = kernels::Shape { n, d, h, w, c: conv.conv.c_in };
                conv.conv.room(xs, rayon::current_num_threads(), reads.iter().map(Reading::computed).sum())
            }
            _ => kernels::Room::default(),
        }
    }

    /// Computes the step's value into `y`, `n` samples one after the other.
    pub(crate) fn run(&self, call: &Call, y: &mut [f32]) {
        let Some(&(stored, shape)) = call.inputs.first() else { return };
        let x = array(stored);
        let [d, h, w] = space(shape);
        match self {
            Self::Conv { conv, reads } => return conv.run(reads, call, [d, h, w], y),
            Self::UpConv { up, packed, bias } => {
                let xs = batch(x, [d, h, w], up.c_in);
                return up.forward(Isa::best(), x, xs, packed, &finish(bias, call), y);
            }
            Self::Linear { linear, packed, bias } => {
                let n = x.len() / linear.c_in;
                return linear.forward(Isa::best(), x, n, packed, &finish(bias, call), y);
            }
            Self::Affine { scale, shift } => {
                begin(call, y);
                y.par_chunks_mut(scale.len()).for_each(|y| {
                    for ((y, s), t) in y.iter_mut().zip(scale).zip(shift) {
                        *y = *y * s + t;
                    }
                });
            }
            Self::Relu => {
                begin(call, y);
                relu(y);
            }
            Self::PRelu(slope) => {
                begin(call, y);
                y.par_chunks_mut(slope.len()).for_each(|y| {
                    for (y, s) in y.iter_mut().zip(slope) {
                        *y = if *y < 0.0 { *y * s } else { *y };
                    }
                });
            }
            Self::Add { scale } => {
                begin(call, y);
                let second = call.inputs.get(1).map_or(&[][..], |i| array(i.0));
                y.par_iter_mut().zip(second).for_each(|(y, b)| *y += scale * b);
            }
            Self::Concat => {
                let total: usize = call.inputs.iter().map(|i| i.1.channels()).sum();
                let blocks = y.par_chunks_mut(BLOCK * total).enumerate();
                blocks.for_each(|(block, y)| concat(call.inputs, block * BLOCK, y));
            }
            Self::MaxPool { kernel, stride, pad } => {
                max_pool(x, [d, h, w], shape.channels(), (kernel, stride, pad), y)
            }
            Self::GlobalAvgPool => {
                let c = shape.channels();
                let share = 1.0 / (d * h * w) as f64;
                y.par_chunks_mut(c).zip(x.par_chunks(c * d * h * w)).for_each(|(y, x)| {
                    for (i, y) in y.iter_mut().enumerate() {
                        let sum: f64 = x.iter().skip(i).step_by(c).map(|&v| f64::from(v)).sum();
                        *y = (sum * share) as f32;
                    }
                });
            }
        }
        if call.relu {
            relu(y);
        }
    }
}

impl Reading {
    /// How many of the step's inputs it takes.
    fn inputs(&self) -> usize {
        match self {
            Self::Map => 1,
            Self::Pointwise { maps, .. } => *maps,
        }
    }

    /// Channels of the map, where it is computed.
    fn computed(&self) -> usize {
        match self {
            Self::Map => 0,
            Self::Pointwise { conv, .. } => conv.conv.c_out,
        }
    }
}

impl Conv {
    fn new(work: &fold::Conv) -> Self {
        let (weight, bias) = work.dense.single();
        Self { packed: work.conv.pack(&weight), conv: work.conv, bias }
    }

    /// The convolution of some maps (values, channels), to be computed where it is read.
    fn pointwise<'a>(&'a self, maps: &'a [(Stored<'a>, usize)], relu: bool) -> Pointwise<'a> {
        let finish = Finish { bias: Some(&self.bias), residual: None, act: act(relu) };
        Pointwise { conv: &self.conv, maps, weights: &self.packed, finish }
    }

    /// Convolves what it reads of the inputs, side by side along channels.
    fn run(&self, reads: &[Reading], call: &Call, [d, h, w]: [usize; 3], y: &mut [f32]) {
        let finish = finish(&self.bias, call);
        let xs = kernels::Shape { n: y.len() / self.out(d, h, w), d, h, w, c: self.conv.c_in };
        let inputs: Vec<(Stored, usize)> = call.inputs.iter().map(|(x, s)| (*x, s.channels())).collect();
        let (mut maps, mut rest) = (Vec::with_capacity(reads.len()), &inputs[..]);
        for read in reads {
            let (own, behind) = rest.split_at(read.inputs());
            rest = behind;
            maps.push(match read {
                Reading::Map => Map::Values(array(own[0].0), own[0].1),
                Reading::Pointwise { conv, relu, .. } => Map::Pointwise(conv.pointwise(own, *relu)),
            });
        }
        self.conv.forward_of(Isa::best(), &maps, xs, &self.packed, &finish, y);
    }

    /// Values of the result of one sample.
    fn out(&self, d: usize, h: usize, w: usize) -> usize {
        self.conv.output(kernels::Shape { n: 1, d, h, w, c: self.conv.c_in }).len()
    }
}

/// The values of an input, none where it lies in the place of the result.
fn array(stored: Stored<'_>) -> &[f32] {
    match stored {
        Stored::Array(x) => x,
        Stored::InPlace => &[],
    }
}

/// Brings the first input of an elementwise step into its buffer, unless it is there.
fn begin(call: &Call, y: &mut [f32]) {
    if let Some((Stored::Array(x), _)) = call.inputs.first() {
        y.copy_from_slice(x);
    }
}

fn relu(y: &mut [f32]) {
    y.par_iter_mut().for_each(|v| *v = v.max(0.0));
}

/// Cells that are joined at a time: some channels of them stay in a core's cache.
const BLOCK: usize = 1024;

/// Puts the cells of `inputs` from `first` on side by side into `y`.
fn concat(inputs: &[(Stored, Shape)], first: usize, y: &mut [f32]) {
    let total: usize = inputs.iter().map(|i| i.1.channels()).sum();
    let mut offset = 0;
    for (x, shape) in inputs {
        let c = shape.channels();
        for (y, x) in y.chunks_mut(total).zip(array(*x)[first * c..].chunks(c)) {
            y[offset..offset + c].copy_from_slice(x);
        }
        offset += c;
    }
}

type Window<'a> = (&'a [usize; 3], &'a [usize; 3], &'a [usize; 3]);

fn max_pool(x: &[f32], [d, h, w]: [usize; 3], c: usize, (kernel, stride, pad): Window, y: &mut [f32]) {
    let o: [usize; 3] = std::array::from_fn(|a| ([d, h, w][a] + 2 * pad[a] - kernel[a]) / stride[a] + 1);
    y.par_chunks_mut(c).enumerate().for_each(|(cell, y)| {
        let (ox, oy, oz) = (cell % o[2], cell / o[2] % o[1], cell / (o[1] * o[2]) % o[0]);
        let n = cell / (o[0] * o[1] * o[2]);
        y.fill(f32::NEG_INFINITY);
        for iz in (0..kernel[0]).filter_map(|k| source(oz, k, stride[0], pad[0], d)) {
            for iy in (0..kernel[1]).filter_map(|k| source(oy, k, stride[1], pad[1], h)) {
                for ix in (0..kernel[2]).filter_map(|k| source(ox, k, stride[2], pad[2], w)) {
                    let x = &x[(((n * d + iz) * h + iy) * w + ix) * c..][..c];
                    y.iter_mut().zip(x).for_each(|(y, x)| *y = y.max(*x));
                }
            }
        }
    });
}
