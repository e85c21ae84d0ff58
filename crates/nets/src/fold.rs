//! From a graph to the steps that run it: batch normalisation folded into convolutions, ReLU and
//! residual sums fused into the layer before them.

use crate::{NetSpec, Op, Result, Source, Weights, pointwise};
use pleura_kernels as kernels;

/// One fused step. Its value goes by the place of the last layer fused into it.
pub(crate) struct Step {
    /// Place of the last layer of the chain in the spec.
    pub(crate) value: usize,
    /// Inputs; never a layer that was fused away. Several for a convolution: side by side along
    /// channels.
    pub(crate) inputs: Vec<Source>,
    /// Added before the ReLU.
    pub(crate) residual: Option<Source>,
    /// Whether max(x, 0) ends the step.
    pub(crate) relu: bool,
    /// What is computed.
    pub(crate) work: Work,
}

/// What a step computes. Weights are as in [`Op`], batch normalisation folded in.
pub(crate) enum Work {
    Conv {
        conv: Conv,
        /// What it reads, side by side along channels; filled by [`pointwise::join`].
        reads: Vec<Read>,
    },
    UpConv {
        channels: usize,
        out: usize,
        dense: Dense,
    },
    Linear {
        channels: usize,
        out: usize,
        dense: Dense,
    },
    Affine {
        scale: Vec<f32>,
        shift: Vec<f32>,
    },
    Relu,
    PRelu(Vec<f32>),
    Add {
        scale: f32,
    },
    Concat,
    MaxPool {
        kernel: [usize; 3],
        stride: [usize; 3],
        pad: [usize; 3],
    },
    GlobalAvgPool,
}

/// A convolution with its weights.
pub(crate) struct Conv {
    pub(crate) conv: kernels::Conv,
    pub(crate) dense: Dense,
}

/// A map that a convolution reads.
pub(crate) enum Read {
    /// The next input.
    Map,
    /// What a 1 x 1 x 1 convolution, with a ReLU or none, makes of the next `maps` inputs.
    Pointwise { conv: Conv, relu: bool, maps: usize },
}

/// Weights and bias of a layer that mixes channels, in double precision until all is folded in.
pub(crate) struct Dense {
    weight: Vec<f64>,
    bias: Vec<f64>,
    /// Output channel of `weight[i]` is `i / inner % out`.
    inner: usize,
}

impl Dense {
    fn new(weights: &Weights, name: &str, out: usize, inner: usize) -> Result<Self> {
        let weight = weights.get(&format!("{name}.weight"))?.data.iter().map(|&v| f64::from(v)).collect();
        let bias = match weights.0.get(&format!("{name}.bias")) {
            Some(b) => b.data.iter().map(|&v| f64::from(v)).collect(),
            None => vec![0.0; out],
        };
        Ok(Self { weight, bias, inner })
    }

    /// y becomes `scale` y + `shift`, per output channel.
    fn then(&mut self, scale: &[f64], shift: &[f64]) {
        let out = self.bias.len();
        for (i, w) in self.weight.iter_mut().enumerate() {
            *w *= scale[i / self.inner % out];
        }
        for ((b, scale), shift) in self.bias.iter_mut().zip(scale).zip(shift) {
            *b = *b * scale + shift;
        }
    }

    /// Weight and bias in single precision.
    pub(crate) fn single(&self) -> (Vec<f32>, Vec<f32>) {
        let cast = |v: &[f64]| v.iter().map(|&v| v as f32).collect();
        (cast(&self.weight), cast(&self.bias))
    }
}

/// Scale and shift of a batch normalisation.
fn affine(weights: &Weights, name: &str, eps: f64) -> Result<(Vec<f64>, Vec<f64>)> {
    let tensor = |t: &str| weights.get(&format!("{name}.{t}")).map(|t| &t.data);
    let (gamma, beta) = (tensor("weight")?, tensor("bias")?);
    let (mean, var) = (tensor("running_mean")?, tensor("running_var")?);
    let scale: Vec<f64> =
        gamma.iter().zip(var).map(|(&g, &v)| f64::from(g) / (f64::from(v) + eps).sqrt()).collect();
    let shift = (0..scale.len()).map(|c| f64::from(beta[c]) - f64::from(mean[c]) * scale[c]).collect();
    Ok((scale, shift))
}

/// The steps of a valid graph with checked weights, in an order in which they can be run.
pub(crate) fn steps(spec: &NetSpec, weights: &Weights) -> Result<Vec<Step>> {
    let graph = Graph::new(spec, weights)?;
    let mut fused: Vec<bool> = (0..spec.layers.len()).map(|c| graph.joined_by_its_reader(c)).collect();
    let mut steps = Vec::new();
    for place in 0..spec.layers.len() {
        if fused[place] {
            continue;
        }
        let step = graph.chain(place, &mut fused)?;
        steps.push(step);
    }
    // A chain needs what its last layer needs, so it runs in that layer's place.
    steps.sort_by_key(|s| s.value);
    Ok(pointwise::join(steps, &spec.output_places()?))
}

struct Graph<'a> {
    spec: &'a NetSpec,
    weights: &'a Weights,
    sources: Vec<Vec<Source>>,
    /// Channels of the first input of each layer.
    channels: Vec<usize>,
    /// The one layer that takes a layer's result, when there is just one and it is no output.
    next: Vec<Option<usize>>,
}

impl<'a> Graph<'a> {
    fn new(spec: &'a NetSpec, weights: &'a Weights) -> Result<Self> {
        let sources = spec.sources()?;
        let mut users: Vec<Vec<usize>> = vec![Vec::new(); sources.len()];
        for (i, from) in sources.iter().enumerate() {
            for source in from {
                if let Source::Layer(j) = *source {
                    users[j].push(i);
                }
            }
        }
        let outputs = spec.output_places()?;
        let sole = |(i, users): (usize, &Vec<usize>)| match users[..] {
            [only] if !outputs.contains(&i) => Some(only),
            _ => None,
        };
        let next = users.iter().enumerate().map(sole).collect();
        Ok(Self { spec, weights, channels: spec.input_channels()?, sources, next })
    }

    /// Whether the layer at `place` is a `Concat` that is read by one 1 x 1 x 1 convolution alone:
    /// that one gathers its inputs a block at a time, and the joined map is never made.
    fn joined_by_its_reader(&self, place: usize) -> bool {
        let is_pointwise = |reader: usize| match self.spec.layers[reader].op {
            Op::Conv { out, kernel, stride, pad, .. } => {
                kernels::Conv { c_in: self.channels[reader], c_out: out, kernel, stride, pad }.is_pointwise()
            }
            _ => false,
        };
        self.next[place].is_some_and(is_pointwise) && self.spec.layers[place].op == Op::Concat
    }

    /// What the layer at `place` reads.
    fn inputs(&self, place: usize) -> Vec<Source> {
        match self.sources[place][..] {
            [Source::Layer(c)] if self.joined_by_its_reader(c) => self.sources[c].clone(),
            _ => self.sources[place].clone(),
        }
    }

    /// The step that starts at `place`, with all that can be fused into it.
    fn chain(&self, place: usize, fused: &mut [bool]) -> Result<Step> {
        let layer = &self.spec.layers[place];
        let inputs = self.inputs(place);
        let work = self.work(place)?;
        let mut step = Step { value: place, inputs, residual: None, relu: false, work };
        if matches!(layer.op, Op::Relu | Op::PRelu | Op::Concat | Op::MaxPool { .. } | Op::GlobalAvgPool) {
            return Ok(step);
        }
        while let Some(next) = self.next[step.value] {
            if step.relu || fused[next] || !self.absorb(&mut step, next)? {
                break;
            }
            fused[next] = true;
            step.value = next;
        }
        Ok(step)
    }

    /// Fuses the layer at `next` into `step`; false when it cannot be.
    fn absorb(&self, step: &mut Step, next: usize) -> Result<bool> {
        let layer = &self.spec.layers[next];
        let is_conv = matches!(step.work, Work::Conv { .. });
        let dense = match &mut step.work {
            Work::Conv { conv: Conv { dense, .. }, .. }
            | Work::UpConv { dense, .. }
            | Work::Linear { dense, .. } => Some(dense),
            _ => None,
        };
        match (&layer.op, dense) {
            (Op::Relu, _) => step.relu = true,
            (Op::BatchNorm { eps }, Some(dense)) if step.residual.is_none() => {
                let (scale, shift) = affine(self.weights, &layer.name, *eps)?;
                dense.then(&scale, &shift);
            }
            (Op::Add { scale }, Some(dense)) if is_conv && step.residual.is_none() => {
                let mine = Source::Layer(step.value);
                match self.sources[next][..] {
                    [other, second] if second == mine => {
                        let out = dense.bias.len();
                        dense.then(&vec![*scale; out], &vec![0.0; out]);
                        step.residual = Some(other);
                    }
                    [_, other] if *scale == 1.0 => step.residual = Some(other),
                    _ => return Ok(false),
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn work(&self, place: usize) -> Result<Work> {
        let layer = &self.spec.layers[place];
        let channels = self.channels[place];
        let dense = |out, inner| Dense::new(self.weights, &layer.name, out, inner);
        Ok(match layer.op {
            Op::Conv { out, kernel, stride, pad, .. } => {
                let conv = kernels::Conv { c_in: channels, c_out: out, kernel, stride, pad };
                let dense = dense(out, channels * conv.taps())?;
                Work::Conv { conv: Conv { conv, dense }, reads: Vec::new() }
            }
            Op::UpConv { out } => Work::UpConv { channels, out, dense: dense(out, 8)? },
            Op::Linear { out } => Work::Linear { channels, out, dense: dense(out, channels)? },
            Op::BatchNorm { eps } => {
                let (scale, shift) = affine(self.weights, &layer.name, eps)?;
                let cast = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
                Work::Affine { scale: cast(scale), shift: cast(shift) }
            }
            Op::Relu => Work::Relu,
            Op::PRelu => Work::PRelu(self.weights.get(&format!("{}.weight", layer.name))?.data.clone()),
            Op::Add { scale } => Work::Add { scale: scale as f32 },
            Op::Concat => Work::Concat,
            Op::MaxPool { kernel, stride, pad } => Work::MaxPool { kernel, stride, pad },
            Op::GlobalAvgPool => Work::GlobalAvgPool,
        })
    }
}
