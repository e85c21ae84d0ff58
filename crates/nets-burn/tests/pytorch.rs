//! Gradients of a training step against PyTorch 2.15 in double precision, for every network and through every
//! operation: `bench/peers/run.sh fixtures` writes `gradients.json` with networks that are built from the graphs in the
//! model files.
#![allow(clippy::unwrap_used)]

#[path = "../../nets/tests/common/mod.rs"]
mod twins;

use burn::tensor::{Device, Tensor, TensorData};
use pleura_nets::NetSpec;
use pleura_nets_burn::Net;
use serde_json::Value as Json;

fn numbers<const N: usize>(v: &Json) -> [f64; N] {
    let all: Vec<f64> = v.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect();
    all.try_into().unwrap()
}

/// The images and the features that the script makes.
fn inputs(spec: &NetSpec, [n, d, h, w]: [usize; 4], device: &Device) -> (Tensor<5>, Option<Tensor<2>>) {
    let shape = [n, d, h, w, spec.channels];
    let x = TensorData::new(twins::image(shape.iter().product()), shape);
    let f = TensorData::new(twins::features(n * spec.features), [n, spec.features]);
    let f = (spec.features > 0).then(|| Tensor::from_data(f, device));
    (Tensor::from_data(x, device), f)
}

fn agrees(name: &str, spec: &NetSpec, case: &Json) {
    let device = Device::flex().autodiff();
    let mut net = Net::from_weights(spec, &twins::formula_weights(spec), &device).unwrap();
    let (x, f) = inputs(spec, numbers(&case["size"]).map(|v| v as usize), &device);
    let outputs = net.forward_train(x, f, 0.1).unwrap();
    let values: Vec<Vec<f32>> = outputs.iter().map(|o| o.to_vec().unwrap()).collect();
    let square = |v: &Vec<f32>| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / v.len() as f64;
    let (loss, want) = (values.iter().map(|v| 0.5 * square(v)).sum::<f64>(), case["loss"].as_f64().unwrap());
    assert!((loss / want - 1.0).abs() < 1e-5, "{name}: loss {loss} for {want}");

    let of_loss = |v: &Vec<f32>| v.iter().map(|value| value / v.len() as f32).collect();
    let gradients = net.backward(&outputs, values.iter().map(of_loss).collect()).unwrap();
    let gradients = net.gradients(gradients).unwrap();
    let expected = case["tensors"].as_object().unwrap();
    assert_eq!(gradients.len(), expected.len(), "{name}");
    // A bias before a batch normalisation has a gradient of nothing but rounding.
    let longest = expected.values().map(|v| numbers::<2>(v)[0]).fold(0.0, f64::max);
    let mut differences = Vec::new();
    for (tensor, gradient) in &gradients {
        let [length, product] = numbers(&expected[tensor]);
        let wide = |f: &dyn Fn(usize, f64) -> f64| {
            gradient.iter().enumerate().map(|(i, g)| f(i, f64::from(*g))).sum::<f64>()
        };
        let got = [wide(&|_, g| g * g).sqrt(), wide(&|i, g| g * (twins::unit(3000, i) - 0.5))];
        let far = (got[0] - length).abs().max((got[1] - product).abs());
        // One value of some hundred thousand that rounding takes past a rectifier's bend moves the gradients of all
        // layers before it by some thousandths.
        assert!(far <= 1e-2 * length + 1e-6 * longest, "{name} {tensor}: {got:?} for {length} and {product}");
        differences.push(far / length.max(1e-6 * longest));
    }
    differences.sort_by(f64::total_cmp);
    let middle = differences[differences.len() / 2];
    assert!(middle < 1e-3, "{name}: half of the tensors differ by more than {middle}");
}

#[test]
fn pytorch_computes_the_same_gradients() {
    let all: Json = serde_json::from_str(include_str!("gradients.json")).unwrap();
    for (name, spec) in twins::networks() {
        agrees(name, &spec, &all[name]);
    }
}
