//! Layers made of burn's own operations: what a [`Net`](crate::Net) runs on any device but the CPU.
//!
//! Maps are `[n, c, d, h, w]` here, as burn's convolutions want them. Gradients are burn's own.

use crate::net::{LayerParams, Value};
use crate::{Error, Result};
use burn::module::Param;
use burn::tensor::module::{batch_norm, batch_norm_train, conv3d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Tensor, activation};
use pleura_nets::Op;

/// Mean and variance (divided by one less than the number of places) of each channel over a batch.
pub(crate) struct Batch {
    pub mean: Tensor<1>,
    pub unbiased: Tensor<1>,
}

/// From `[n, d, h, w, c]`, as nets are fed.
pub(crate) fn channels_first(x: Tensor<5>) -> Tensor<5> {
    x.permute([0, 4, 1, 2, 3])
}

/// To `[n, d, h, w, c]`, as nets answer.
pub(crate) fn channels_last(value: Value) -> Value {
    match value {
        Value::Map(t) => Value::Map(t.permute([0, 2, 3, 4, 1])),
        flat => flat,
    }
}

fn tensor<const D: usize>(p: &Option<Param<Tensor<D>>>) -> Result<Tensor<D>> {
    p.as_ref().map(Param::val).ok_or_else(|| Error::Input("a layer lacks a tensor".into()))
}

/// Applies `f` to a map or to rows.
macro_rules! either {
    ($value:expr, $t:ident => $result:expr) => {
        match $value {
            Value::Map($t) => Value::Map($result),
            Value::Flat($t) => Value::Flat($result),
        }
    };
}

fn map(value: Value) -> Result<Tensor<5>> {
    match value {
        Value::Map(t) => Ok(t),
        Value::Flat(_) => Err(Error::Input("a layer wants a map and gets rows".into())),
    }
}

/// The result of a layer, `train` with the moments of the batch, which go to `seen`. Rectifiers are layers of
/// their own here.
pub(crate) fn layer(
    op: &Op,
    p: &LayerParams,
    mut inputs: Vec<Value>,
    train: bool,
    seen: &mut Option<Batch>,
) -> Result<Value> {
    let missing = || Error::Input("a layer has no input".into());
    if matches!(op, Op::Add { .. } | Op::Concat) {
        return join(op, inputs);
    }
    let x = inputs.pop().ok_or_else(missing)?;
    Ok(match op {
        Op::Conv { stride, pad, .. } => {
            let bias = p.bias.as_ref().map(Param::val);
            let options = ConvOptions::new(*stride, *pad, [1; 3], 1);
            Value::Map(conv3d(map(x)?, tensor(&p.kernel)?, bias, options))
        }
        Op::UpConv { .. } => Value::Map(up_conv(map(x)?, tensor(&p.kernel)?, tensor(&p.bias)?)),
        Op::BatchNorm { eps } => {
            let (weight, bias) = (tensor(&p.scale)?, tensor(&p.bias)?);
            let x = map(x)?;
            if !train {
                let (mean, var) = (tensor(&p.running_mean)?, tensor(&p.running_var)?);
                return Ok(Value::Map(batch_norm(x, weight, bias, mean, var, *eps)));
            }
            let [n, _, d, h, w] = x.dims();
            let places = (n * d * h * w) as f32;
            let done = batch_norm_train(x, weight, bias, *eps);
            let unbiased = done.variance * (places / (places - 1.0).max(1.0));
            *seen = Some(Batch { mean: done.mean, unbiased });
            Value::Map(done.output)
        }
        Op::Relu => either!(x, t => activation::relu(t)),
        Op::PRelu => {
            let slope = tensor(&p.scale)?;
            either!(x, t => activation::prelu(t, slope))
        }
        Op::MaxPool { kernel, stride, pad } => Value::Map(max_pool(map(x)?, *kernel, *stride, *pad)),
        Op::GlobalAvgPool => {
            let x = map(x)?;
            let [n, c, ..] = x.dims();
            Value::Flat(x.reshape([n as i32, c as i32, -1]).mean_dim(2).reshape([n, c]))
        }
        Op::Linear { .. } => {
            let Value::Flat(rows) = x else { return Err(Error::Input("a layer wants rows".into())) };
            Value::Flat(rows.matmul(tensor(&p.matrix)?.transpose()) + tensor(&p.bias)?.unsqueeze())
        }
        Op::Add { .. } | Op::Concat => return Err(missing()),
    })
}

/// The layers of several inputs.
fn join(op: &Op, inputs: Vec<Value>) -> Result<Value> {
    let (mut maps, mut rows) = (Vec::new(), Vec::new());
    for value in inputs {
        match value {
            Value::Map(t) => maps.push(t),
            Value::Flat(t) => rows.push(t),
        }
    }
    fn joined<const D: usize>(op: &Op, mut parts: Vec<Tensor<D>>) -> Option<Tensor<D>> {
        let Op::Add { scale } = op else { return Some(Tensor::cat(parts, 1)) };
        let second = parts.pop()?;
        Some(parts.pop()? + second * *scale)
    }
    let value = match (maps.is_empty(), rows.is_empty()) {
        (false, true) => joined(op, maps).map(Value::Map),
        (true, false) => joined(op, rows).map(Value::Flat),
        _ => None,
    };
    value.ok_or_else(|| Error::Input("a layer gets inputs that do not go together".into()))
}

/// The transposed convolution 2 x 2 x 2 of stride 2, weight `[in, out, 2, 2, 2]`: one of 1 x 1 x 1 to eight
/// times the channels, which are then laid out as the eight places that each place becomes.
fn up_conv(x: Tensor<5>, weight: Tensor<5>, bias: Tensor<1>) -> Tensor<5> {
    let [n, c, d, h, w] = x.dims();
    let out = weight.dims()[1];
    let weight = weight.reshape([c, 8 * out]).transpose().reshape([8 * out, c, 1, 1, 1]);
    let y = conv3d(x, weight, None, ConvOptions::new([1; 3], [0; 3], [1; 3], 1));
    let y: Tensor<8> = y.reshape([n, out, 2, 2, 2, d, h, w]).permute([0, 1, 5, 2, 6, 3, 7, 4]);
    y.reshape([n, out, 2 * d, 2 * h, 2 * w]) + bias.reshape([1, out, 1, 1, 1])
}

/// The maximum over windows: first in each slice, then over slices. Padding never wins.
fn max_pool(x: Tensor<5>, kernel: [usize; 3], stride: [usize; 3], pad: [usize; 3]) -> Tensor<5> {
    let pool = |x: Tensor<4>, axes: [usize; 2]| {
        let pick = |from: [usize; 3]| axes.map(|a| if a < 3 { from[a] } else { 1 });
        let nothing = axes.map(|a| if a < 3 { pad[a] } else { 0 });
        max_pool2d(x, MaxPoolOptions::new(pick(kernel)).with_stride(pick(stride)).with_padding(nothing))
    };
    let [n, c, d, h, w] = x.dims();
    let plane = pool(x.reshape([n, c * d, h, w]), [1, 2]);
    let [_, _, h, w] = plane.dims();
    let y = pool(plane.reshape([n, c, d, h * w]), [0, 3]);
    let d = y.dims()[2];
    y.reshape([n, c, d, h, w])
}

#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;

#[cfg(test)]
mod tests {
    use super::common::{close, every_op, features, image, networks, spread, weights};
    use crate::Net;
    use burn::tensor::Device;
    use pleura_nets::NetSpec;

    /// The network on our kernels, and on burn's own operations.
    fn both(spec: &NetSpec, device: &Device) -> [Net; 2] {
        let net = || Net::from_weights(spec, &weights(spec), device).unwrap();
        let mut plain = net();
        plain.plain = true;
        [net(), plain]
    }

    #[test]
    fn burns_own_operations_give_what_our_kernels_give() {
        let device = Device::flex();
        for (spec, shape) in networks() {
            let x = image(&spread(shape.iter().product(), 1), shape, &device);
            let [ours, burns] = both(&spec, &device)
                .map(|net| net.forward(x.clone(), features(&spec, shape[0], &device)).unwrap());
            for (a, b) in burns.iter().zip(&ours) {
                close(&a.to_vec().unwrap(), &b.to_vec().unwrap(), 1e-4, &spec.name);
            }
        }
    }

    #[test]
    fn a_training_step_by_them_has_the_same_gradients_and_statistics() {
        let (spec, device) = (every_op(), Device::flex().autodiff());
        let step = |mut net: Net| {
            let x = image(&spread(256, 3), [2, 4, 4, 4, 2], &device);
            let outputs = net.forward_train(x, features(&spec, 2, &device), 0.1).unwrap();
            let salt = |(i, n): (usize, usize)| spread(n, 50 + i as u64);
            let sizes = outputs.iter().map(|o| o.to_vec().unwrap().len()).enumerate();
            let gradients = net.backward(&outputs, sizes.map(salt).collect()).unwrap();
            (net.gradients(gradients).unwrap(), net.to_weights().unwrap())
        };
        let [(ours, ours_after), (burns, burns_after)] = both(&spec, &device).map(step);
        assert_eq!(burns.len(), ours.len());
        for (name, gradient) in &ours {
            close(&burns[name], gradient, 1e-4, name);
        }
        for (name, tensor) in &ours_after.0 {
            close(&burns_after.0[name].data, &tensor.data, 1e-5, name);
        }
    }
}
