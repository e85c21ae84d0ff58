//! A burn module made from a network graph.

use crate::extension::{Raw, run};
use crate::node::{Node, Statistics};
use crate::plain::{self, Batch};
use crate::pool::{self, Kept};
use crate::{Error, Result};
use burn::module::{Module, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use pleura_nets::{NetSpec, Op, Source, Weights};
use std::collections::BTreeMap;

/// What flows between layers: a map `[n, d, h, w, c]` or rows `[n, c]`.
#[derive(Debug, Clone)]
pub enum Value {
    /// A map, channels last.
    Map(Tensor<5>),
    /// One row a sample.
    Flat(Tensor<2>),
}

impl Value {
    fn into_raw(self) -> Raw {
        match self {
            Self::Map(t) => t.into_dispatch(),
            Self::Flat(t) => t.into_dispatch(),
        }
    }

    /// The values, last axis fastest.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        match self {
            Self::Map(t) => values(t.clone()),
            Self::Flat(t) => values(t.clone()),
        }
    }

    /// The sum over all values of value times `weight`: backward from it carries `weight` as the
    /// gradient of this value.
    fn weighed(&self, weight: Vec<f32>) -> Tensor<1> {
        match self {
            Self::Map(t) => {
                let w = Tensor::<5>::from_data(TensorData::new(weight, t.dims()), &t.device());
                (t.clone() * w).sum()
            }
            Self::Flat(t) => {
                let w = Tensor::<2>::from_data(TensorData::new(weight, t.dims()), &t.device());
                (t.clone() * w).sum()
            }
        }
    }
}

/// Moments of the batch, by the layer that normalised with them.
type Seen = Vec<(usize, Moments)>;

enum Moments {
    /// Of our own kernel.
    Here(Statistics),
    /// On another device.
    There(Box<Batch>),
}

/// Parameters of one layer; which ones there are follows from its operation.
#[derive(Module, Debug)]
pub(crate) struct LayerParams {
    pub(crate) kernel: Option<Param<Tensor<5>>>,
    pub(crate) matrix: Option<Param<Tensor<2>>>,
    pub(crate) scale: Option<Param<Tensor<1>>>,
    pub(crate) bias: Option<Param<Tensor<1>>>,
    pub(crate) running_mean: Option<Param<Tensor<1>>>,
    pub(crate) running_var: Option<Param<Tensor<1>>>,
}

/// The graph as it is run: where inputs come from, and which rectifier is done by its producer.
#[derive(Debug, Clone)]
struct Plan {
    spec: NetSpec,
    sources: Vec<Vec<Source>>,
    outputs: Vec<usize>,
    /// The ReLU after this layer is its only reader and is applied by it.
    rectified: Vec<bool>,
    /// This ReLU was applied by its producer.
    done: Vec<bool>,
}

impl Plan {
    fn new(spec: &NetSpec) -> Result<Self> {
        let (sources, outputs) = (spec.sources()?, spec.output_places()?);
        let n = spec.layers.len();
        let mut readers = vec![0usize; n];
        for from in sources.iter().flatten() {
            if let Source::Layer(i) = *from {
                readers[i] += 1;
            }
        }
        let (mut rectified, mut done) = (vec![false; n], vec![false; n]);
        for (i, layer) in spec.layers.iter().enumerate() {
            let (Op::Relu, [Source::Layer(from)]) = (&layer.op, sources[i].as_slice()) else { continue };
            let fits = matches!(spec.layers[*from].op, Op::BatchNorm { .. } | Op::Add { .. });
            if fits && readers[*from] == 1 && !outputs.contains(from) {
                (rectified[*from], done[i]) = (true, true);
            }
        }
        Ok(Self { spec: spec.clone(), sources, outputs, rectified, done })
    }
}

/// A network as a burn module. Tensors are kept channels last, as the kernels want them.
#[derive(Module, Debug)]
pub struct Net {
    layers: Vec<LayerParams>,
    #[module(skip)]
    plan: Plan,
    /// Whether the layers are burn's own operations, as on any device but the CPU.
    #[module(skip)]
    pub(crate) plain: bool,
    #[module(skip)]
    kept: Kept,
}

fn parameter<const D: usize>(
    weights: &Weights,
    layer: &str,
    name: &str,
    trained: bool,
    device: &Device,
) -> Result<Option<Param<Tensor<D>>>> {
    let Some(t) = weights.0.get(&format!("{layer}.{name}")) else { return Ok(None) };
    if t.shape.len() != D {
        return Ok(None);
    }
    let data = TensorData::new(t.data.clone(), t.shape.clone());
    let value = Tensor::<D>::from_data(data, device);
    Ok(Some(Param::from_tensor(value).set_require_grad(trained)))
}

impl Net {
    /// The network `spec` with `weights` on `device`; `Device::flex().autodiff()` to train,
    /// `Device::flex()` to run. On any other device than the CPU its layers are burn's own operations.
    ///
    /// # Errors
    /// [`Error::Net`] when the graph is invalid or the weights are not its.
    pub fn from_weights(spec: &NetSpec, weights: &Weights, device: &Device) -> Result<Self> {
        weights.check(spec)?;
        let plan = Plan::new(spec)?;
        let of = |name: &str| -> Result<LayerParams> {
            Ok(LayerParams {
                kernel: parameter(weights, name, "weight", true, device)?,
                matrix: parameter(weights, name, "weight", true, device)?,
                scale: parameter(weights, name, "weight", true, device)?,
                bias: parameter(weights, name, "bias", true, device)?,
                running_mean: parameter(weights, name, "running_mean", false, device)?,
                running_var: parameter(weights, name, "running_var", false, device)?,
            })
        };
        let layers = spec.layers.iter().map(|l| of(&l.name)).collect::<Result<_>>()?;
        let plain = device.clone().without_autodiff() != Device::flex();
        Ok(Self { layers, plan, plain, kept: Kept::new() })
    }

    /// The graph.
    pub fn spec(&self) -> &NetSpec {
        &self.plan.spec
    }

    /// The parameters and running statistics under the graph's names.
    ///
    /// # Errors
    /// [`Error::Values`] when a tensor cannot be read.
    pub fn to_weights(&self) -> Result<Weights> {
        fn put<const D: usize>(
            all: &mut BTreeMap<String, pleura_nets::Tensor>,
            layer: &str,
            name: &str,
            param: &Option<Param<Tensor<D>>>,
        ) -> Result<()> {
            let Some(param) = param else { return Ok(()) };
            let t = param.val();
            let shape = t.dims().to_vec();
            all.insert(format!("{layer}.{name}"), pleura_nets::Tensor { shape, data: values(t)? });
            Ok(())
        }
        let mut all = BTreeMap::new();
        for (layer, p) in self.plan.spec.layers.iter().zip(&self.layers) {
            put(&mut all, &layer.name, "weight", &p.kernel)?;
            put(&mut all, &layer.name, "weight", &p.matrix)?;
            put(&mut all, &layer.name, "weight", &p.scale)?;
            put(&mut all, &layer.name, "bias", &p.bias)?;
            put(&mut all, &layer.name, "running_mean", &p.running_mean)?;
            put(&mut all, &layer.name, "running_var", &p.running_var)?;
        }
        Ok(Weights(all))
    }

    /// Runs the network with the running statistics. `image` is `[n, d, h, w, c]`, `features`
    /// `[n, f]` where the graph has a feature input. Gives the outputs in the graph's order.
    ///
    /// # Errors
    /// [`Error::Input`] when an input is missing or a layer gets the wrong kind of value.
    pub fn forward(&self, image: Tensor<5>, features: Option<Tensor<2>>) -> Result<Vec<Value>> {
        Ok(self.run(image, features, false)?.0)
    }

    /// Runs the network with the statistics of the batch, and moves the running statistics by
    /// `momentum` towards them (variances unbiased, as PyTorch does).
    ///
    /// # Errors
    /// As [`Net::forward`].
    pub fn forward_train(
        &mut self,
        image: Tensor<5>,
        features: Option<Tensor<2>>,
        momentum: f32,
    ) -> Result<Vec<Value>> {
        let (outputs, seen) = self.run(image, features, true)?;
        for (i, seen) in seen {
            let p = &mut self.layers[i];
            let seen = match &seen {
                Moments::Here(seen) => seen.get(),
                Moments::There(batch) => {
                    for (running, batch) in
                        [(&mut p.running_mean, &batch.mean), (&mut p.running_var, &batch.unbiased)]
                    {
                        let Some(param) = running else { continue };
                        let moved = param.val() * (1.0 - momentum) + batch.clone() * momentum;
                        *param = Param::initialized(param.id, moved.detach());
                    }
                    None
                }
            };
            let Some(seen) = seen else { continue };
            for (running, batch) in
                [(&mut p.running_mean, seen.mean()), (&mut p.running_var, seen.unbiased())]
            {
                change(running, false, |_, values| {
                    for (r, b) in values.iter_mut().zip(batch) {
                        *r += momentum * (b - *r);
                    }
                })?;
            }
        }
        Ok(outputs)
    }

    /// Backward from the gradients of the loss by each output.
    ///
    /// # Errors
    /// [`Error::Input`] when there is not one gradient of the right length for each output.
    pub fn backward(&self, outputs: &[Value], gradients: Vec<Vec<f32>>) -> Result<Gradients> {
        let fits = |(v, g): (&Value, &Vec<f32>)| match v {
            Value::Map(t) => t.dims().iter().product::<usize>() == g.len(),
            Value::Flat(t) => t.dims().iter().product::<usize>() == g.len(),
        };
        if outputs.len() != gradients.len() || !outputs.iter().zip(&gradients).all(fits) {
            return Err(Error::Input("gradients do not fit the outputs".into()));
        }
        let parts = outputs.iter().zip(gradients).map(|(v, g)| v.weighed(g));
        let total = parts.reduce(|a, b| a + b);
        total.map(|t| t.backward()).ok_or_else(|| Error::Input("the network has no output".into()))
    }

    /// The gradient of each trained tensor, by name; a tensor that had no part is left out.
    ///
    /// # Errors
    /// [`Error::Values`] when a tensor cannot be read.
    pub fn gradients(&self, mut gradients: Gradients) -> Result<BTreeMap<String, Vec<f32>>> {
        let mut all = BTreeMap::new();
        for (layer, p) in self.plan.spec.layers.iter().zip(&self.layers) {
            let weight = format!("{}.weight", layer.name);
            take(&p.kernel, &weight, &mut gradients, &mut all)?;
            take(&p.matrix, &weight, &mut gradients, &mut all)?;
            take(&p.scale, &weight, &mut gradients, &mut all)?;
            take(&p.bias, &format!("{}.bias", layer.name), &mut gradients, &mut all)?;
        }
        Ok(all)
    }

    /// Takes back gradients that are done with: the next step's are written there.
    pub fn give_back(&self, gradients: BTreeMap<String, Vec<f32>>) {
        gradients.into_values().for_each(pool::give);
    }

    /// Calls `f` with the name, number of axes and values of each trained tensor, in the graph's
    /// order, and stores the values back.
    ///
    /// # Errors
    /// [`Error::Values`] when a tensor cannot be read; the net is of no use then.
    pub fn update(&mut self, mut f: impl FnMut(&str, usize, &mut [f32])) -> Result<()> {
        for (layer, p) in self.plan.spec.layers.iter().zip(&mut self.layers) {
            let (weight, bias) = (format!("{}.weight", layer.name), format!("{}.bias", layer.name));
            change(&mut p.kernel, true, |axes, values| f(&weight, axes, values))?;
            change(&mut p.matrix, true, |axes, values| f(&weight, axes, values))?;
            change(&mut p.scale, true, |axes, values| f(&weight, axes, values))?;
            change(&mut p.bias, true, |axes, values| f(&bias, axes, values))?;
        }
        Ok(())
    }

    fn run(&self, image: Tensor<5>, features: Option<Tensor<2>>, train: bool) -> Result<(Vec<Value>, Seen)> {
        let plan = &self.plan;
        let image = if self.plain { plain::channels_first(image) } else { image };
        let mut seen = Seen::new();
        let mut left = self.readers();
        let mut values: Vec<Option<Value>> = vec![None; plan.spec.layers.len()];
        for i in 0..plan.spec.layers.len() {
            let mut inputs = Vec::with_capacity(plan.sources[i].len());
            for from in &plan.sources[i] {
                inputs.push(match *from {
                    Source::Image => Value::Map(image.clone()),
                    Source::Features => {
                        let missing = || Error::Input("the network wants features".into());
                        Value::Flat(features.clone().ok_or_else(missing)?)
                    }
                    Source::Layer(j) => {
                        left[j] -= 1;
                        let value = if left[j] == 0 { values[j].take() } else { values[j].clone() };
                        value.ok_or_else(|| Error::Input("a layer reads a later one".into()))?
                    }
                });
            }
            values[i] = Some(if self.plain {
                let mut batch = None;
                let value =
                    plain::layer(&plan.spec.layers[i].op, &self.layers[i], inputs, train, &mut batch)?;
                seen.extend(batch.map(|b| (i, Moments::There(Box::new(b)))));
                value
            } else {
                self.layer(i, inputs, train, &mut seen)?
            });
        }
        let last = |v: Value| if self.plain { plain::channels_last(v) } else { v };
        let outputs = plan.outputs.iter().map(|&i| values[i].clone().map(last));
        let outputs: Option<Vec<Value>> = outputs.collect();
        Ok((outputs.ok_or_else(|| Error::Input("an output is missing".into()))?, seen))
    }

    /// How often each layer's value is read; an output once more, so that it is kept.
    fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.plan.spec.layers.len()];
        for from in self.plan.sources.iter().flatten() {
            if let Source::Layer(j) = *from {
                readers[j] += 1;
            }
        }
        self.plan.outputs.iter().for_each(|&i| readers[i] += 1);
        readers
    }

    fn layer(&self, i: usize, mut inputs: Vec<Value>, train: bool, seen: &mut Seen) -> Result<Value> {
        let (layer, p) = (&self.plan.spec.layers[i], &self.layers[i]);
        let relu = self.plan.rectified[i];
        let flat = inputs.iter().all(|v| matches!(v, Value::Flat(_)));
        if self.plan.done[i] {
            return inputs.pop().ok_or_else(|| Error::Input("a rectifier has no input".into()));
        }
        let raw: Vec<Raw> = inputs.into_iter().map(Value::into_raw).collect();
        let missing = || Error::Input(format!("layer `{}` lacks a tensor", layer.name));
        let param1 = |p: &Option<Param<Tensor<1>>>| Ok::<_, Error>(p.as_ref().ok_or_else(missing)?.val());
        let with = |mut raw: Vec<Raw>, more: Vec<Option<Raw>>| {
            raw.extend(more.into_iter().flatten());
            raw
        };
        let kernel = p.kernel.as_ref().map(|w| w.val().into_dispatch());
        let matrix = p.matrix.as_ref().map(|w| w.val().into_dispatch());
        let scale = p.scale.as_ref().map(|w| w.val().into_dispatch());
        let bias = p.bias.as_ref().map(|w| w.val().into_dispatch());
        Ok(match &layer.op {
            Op::Conv { stride, pad, .. } => {
                let node = Node::Conv { stride: *stride, pad: *pad };
                Value::Map(run(node, with(raw, vec![kernel, bias])))
            }
            Op::UpConv { .. } => Value::Map(run(Node::UpConv, with(raw, vec![kernel, bias]))),
            Op::BatchNorm { eps } if train => {
                let statistics = Statistics::default();
                seen.push((i, Moments::Here(statistics.clone())));
                let node = Node::BatchNorm { eps: *eps as f32, relu, seen: statistics };
                Value::Map(run(node, with(raw, vec![scale, bias])))
            }
            Op::BatchNorm { eps } => {
                let std = (param1(&p.running_var)? + *eps as f32).sqrt();
                let scale = param1(&p.scale)? / std;
                let shift = param1(&p.bias)? - param1(&p.running_mean)? * scale.clone();
                let more = vec![Some(scale.into_dispatch()), Some(shift.into_dispatch())];
                Value::Map(run(Node::Affine { relu }, with(raw, more)))
            }
            Op::Relu if flat => Value::Flat(run(Node::Relu, raw)),
            Op::Relu => Value::Map(run(Node::Relu, raw)),
            Op::PRelu if flat => Value::Flat(run(Node::PRelu, with(raw, vec![scale]))),
            Op::PRelu => Value::Map(run(Node::PRelu, with(raw, vec![scale]))),
            Op::Add { scale } => {
                let node = Node::Add { scale: *scale as f32, relu };
                if flat { Value::Flat(run(node, raw)) } else { Value::Map(run(node, raw)) }
            }
            Op::Concat => {
                let mut parts = raw.into_iter();
                let first: Vec<Raw> = parts.by_ref().take(4).collect();
                join(first, parts.collect(), flat)
            }
            Op::MaxPool { kernel, stride, pad } => {
                let node = Node::MaxPool { kernel: *kernel, stride: *stride, pad: *pad };
                Value::Map(run(node, raw))
            }
            Op::GlobalAvgPool => Value::Flat(run(Node::GlobalAvgPool, raw)),
            Op::Linear { .. } => Value::Flat(run(Node::Linear, with(raw, vec![matrix, bias]))),
        })
    }
}

/// Concatenation of any number of parts, four at a time.
fn join(first: Vec<Raw>, rest: Vec<Raw>, flat: bool) -> Value {
    let value =
        if flat { Value::Flat(run(Node::Concat, first)) } else { Value::Map(run(Node::Concat, first)) };
    if rest.is_empty() {
        return value;
    }
    let mut parts = rest.into_iter();
    let mut next = vec![value.into_raw()];
    next.extend(parts.by_ref().take(3));
    join(next, parts.collect(), flat)
}

/// The values of a tensor; those that nobody else holds are not copied.
fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor.into_data().try_into_vec::<f32>().map_err(|e| Error::Values(format!("{e:?}")))
}

fn take<const D: usize>(
    param: &Option<Param<Tensor<D>>>,
    name: &str,
    gradients: &mut Gradients,
    all: &mut BTreeMap<String, Vec<f32>>,
) -> Result<()> {
    let Some(gradient) = param.as_ref().and_then(|p| p.val().grad_remove(gradients)) else { return Ok(()) };
    all.insert(name.to_string(), values(gradient)?);
    Ok(())
}

/// Calls `f` with the number of axes and the values of a parameter, and stores the values back; `trained`: whether it
/// is to have gradients.
fn change<const D: usize>(
    param: &mut Option<Param<Tensor<D>>>,
    trained: bool,
    f: impl FnOnce(usize, &mut [f32]),
) -> Result<()> {
    let Some(own) = param.take() else { return Ok(()) };
    // Taken, not read, so that nothing is copied.
    let (id, value) = (own.id, own.into_value());
    let (shape, device) = (value.dims(), value.device());
    let mut values = values(value)?;
    f(D, &mut values);
    let value = Tensor::from_data(TensorData::new(values, shape), &device);
    *param = Some(Param::initialized(id, value.set_require_grad(trained)));
    Ok(())
}
