//! The executor against PyTorch 2.15 in double precision (`fixtures/twin.py`, which builds its
//! network from the graph in the model file; see `examples/formula_model.rs`).
#![allow(clippy::unwrap_used)]

mod common;

use common::{difference, features, formula_weights, image};
use pleura_nets::{Executor, NetSpec, Tensor, specs};
use serde_json::Value;

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect()
}

fn agrees(name: &str, spec: &NetSpec) {
    let all: Value = serde_json::from_str(include_str!("fixtures/twin.json")).unwrap();
    let case = &all[name];
    let size: Vec<usize> = numbers(&case["size"]).iter().map(|&v| v as usize).collect();
    let size: [usize; 4] = size.try_into().unwrap();
    let x = image(size.iter().product());
    let f = features(size[0] * spec.features);
    let f = (spec.features > 0).then_some(&f[..]);
    let net = Executor::new(spec, &formula_weights(spec)).unwrap();
    let got = net.run(&x, size, f).unwrap();
    let tensor = |o: &String| Tensor {
        shape: numbers(&case["outputs"][o]["shape"]).iter().map(|&v| v as usize).collect(),
        data: numbers(&case["outputs"][o]["data"]).iter().map(|&v| v as f32).collect(),
    };
    let want: Vec<Tensor> = spec.outputs.iter().map(tensor).collect();
    let far = difference(&got, &want);
    assert!(far < 2e-5, "{name}: {far}");
}

#[test]
fn pytorch_computes_the_same_detector() {
    agrees("detector", &specs::vnet_ir_rpn(&[4, 6, 8, 10], 2));
}

#[test]
fn pytorch_computes_the_same_classifiers() {
    agrees("resnet", &specs::resnet18(3, 1));
    agrees("location", &specs::location_attention(3, 1));
    agrees("location-slab", &specs::location_attention(3, 3));
}
