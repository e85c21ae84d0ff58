//! The executor against PyTorch 2.15 in double precision: `bench/peers/run.sh fixtures` writes
//! `fixtures/twin.json` with a network that is built from the graph in the model file.
#![allow(clippy::unwrap_used)]

mod common;

use common::{difference, features, formula_weights, image, networks};
use pleura_nets::{Executor, Tensor};
use serde_json::Value;

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect()
}

fn agrees(name: &str, net: &Executor, case: &Value) {
    let spec = net.spec();
    let size: Vec<usize> = numbers(&case["size"]).iter().map(|&v| v as usize).collect();
    let size: [usize; 4] = size.try_into().unwrap();
    let x = image(size.iter().product::<usize>() * spec.channels);
    let f = features(size[0] * spec.features);
    let f = (spec.features > 0).then_some(&f[..]);
    let got = net.run(&x, size, f).unwrap();
    let tensor = |o: &String| Tensor {
        shape: numbers(&case["outputs"][o]["shape"]).iter().map(|&v| v as usize).collect(),
        data: numbers(&case["outputs"][o]["data"]).iter().map(|&v| v as f32).collect(),
    };
    let want: Vec<Tensor> = spec.outputs.iter().map(tensor).collect();
    let far = difference(&got, &want);
    assert!(far < 2e-5, "{name} at {size:?}: {far}");
}

/// Every network in each of its forms and a graph of every operation, at even and odd sizes.
#[test]
fn pytorch_computes_the_same_networks() {
    let all: Value = serde_json::from_str(include_str!("fixtures/twin.json")).unwrap();
    for (name, spec) in networks() {
        let cases = all[name].as_array().unwrap();
        assert!(!cases.is_empty());
        let net = Executor::new(&spec, &formula_weights(&spec)).unwrap();
        cases.iter().for_each(|case| agrees(name, &net, case));
    }
}
