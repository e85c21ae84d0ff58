//! The burn module against the executor, against finite differences, and against PyTorch.

#![allow(clippy::unwrap_used)]

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use common::{close, every_op, features, image, networks, spread, weights};
use pleura_nets::{Executor, Layer, NetSpec, Op, Weights};
use pleura_nets_burn::{Net, Value};

#[test]
fn evaluation_equals_the_executor_for_all_networks_in_all_forms() {
    for (spec, shape) in networks() {
        let w = weights(&spec);
        let (x, device) = (spread(shape.iter().product(), 1), Device::flex());
        let net = Net::from_weights(&spec, &w, &device).unwrap();
        let ours = net.forward(image(&x, shape, &device), features(&spec, shape[0], &device)).unwrap();
        let (f, [n, d, h, w_, _]) = (spread(shape[0] * spec.features, 2), shape);
        let executor = Executor::new(&spec, &w).unwrap();
        let theirs = executor.run(&x, [n, d, h, w_], (!f.is_empty()).then_some(&f[..])).unwrap();
        for (a, b) in ours.iter().zip(&theirs) {
            close(&a.to_vec().unwrap(), &b.data, 1e-4, &spec.name);
        }
        assert_eq!(net.to_weights().unwrap(), w);
    }
}

const SHAPE: [usize; 5] = [2, 4, 4, 4, 2];

fn run(w: &Weights, train: bool) -> (Net, Vec<Value>) {
    let device = Device::flex().autodiff();
    let mut net = Net::from_weights(&every_op(), w, &device).unwrap();
    let x = image(&spread(256, 3), SHAPE, &device);
    let f = Some(Tensor::from_data(TensorData::new(spread(4, 4), [2, 2]), &device));
    let outputs = if train { net.forward_train(x, f, 0.1) } else { net.forward(x, f) };
    (net, outputs.unwrap())
}

fn output_gradients(outputs: &[Value]) -> Vec<Vec<f32>> {
    outputs.iter().enumerate().map(|(i, o)| spread(o.to_vec().unwrap().len(), 50 + i as u64)).collect()
}

/// Sum over the outputs of value times a fixed gradient, in double precision.
fn loss(w: &Weights, train: bool) -> f64 {
    let (_, outputs) = run(w, train);
    let dot = |(o, g): (&Value, Vec<f32>)| {
        o.to_vec().unwrap().iter().zip(g).map(|(o, g)| f64::from(*o) * f64::from(g)).sum::<f64>()
    };
    outputs.iter().zip(output_gradients(&outputs)).map(dot).sum()
}

fn gradients_match_finite_differences(train: bool) {
    let w = weights(&every_op());
    let (net, outputs) = run(&w, train);
    let gradients = net.backward(&outputs, output_gradients(&outputs)).unwrap();
    let gradients = net.gradients(gradients).unwrap();
    let middle = loss(&w, train);
    let (mut checked, mut kinks) = (0, 0);
    for (name, gradient) in &gradients {
        let every = (gradient.len() / 24).max(1);
        for i in (0..gradient.len()).step_by(every) {
            let step = 4e-3f32;
            let at = |d: f32| {
                let mut moved = w.clone();
                moved.0.get_mut(name).unwrap().data[i] += d;
                loss(&moved, train)
            };
            let (up, down) = ((at(step) - middle) / f64::from(step), (middle - at(-step)) / f64::from(step));
            let tolerance = 0.02 + 0.02 * f64::from(gradient[i]).abs();
            // A rectifier or a maximum that changes hands bends the loss: no derivative to compare.
            if (up - down).abs() > 0.08 + 0.05 * up.abs() {
                kinks += 1;
                continue;
            }
            checked += 1;
            let numeric = (up + down) / 2.0;
            assert!(
                (numeric - f64::from(gradient[i])).abs() < tolerance + 0.5 * (up - down).abs(),
                "{name}[{i}]: {numeric} {}",
                gradient[i]
            );
        }
    }
    let trained = w.0.keys().filter(|n| !n.contains("running")).count();
    assert_eq!(gradients.len(), trained, "a tensor has no gradient");
    assert!(checked > 8 * kinks && checked > 150, "{checked} checked, {kinks} kinks");
}

#[test]
fn training_gradients_match_finite_differences_through_every_operation() {
    gradients_match_finite_differences(true);
}

#[test]
fn evaluation_gradients_match_finite_differences_through_every_operation() {
    gradients_match_finite_differences(false);
}

/// One batch normalisation with a rectifier: values of torch 2 (tests/batch_norm.py).
#[test]
fn batch_normalisation_equals_pytorch() {
    let expected = include_str!("batch_norm.txt");
    let row = |name: &str| -> Vec<f32> {
        let line = expected.lines().find_map(|l| l.strip_prefix(name)).unwrap();
        line.split_whitespace().map(|v| v.parse().unwrap()).collect()
    };
    let spec = NetSpec {
        name: "norm".into(),
        channels: 3,
        features: 0,
        layers: vec![
            Layer { name: "n".into(), inputs: vec!["x".into()], op: Op::BatchNorm { eps: 1e-3 } },
            Layer { name: "r".into(), inputs: vec!["n".into()], op: Op::Relu },
        ],
        outputs: vec!["r".into()],
    };
    let mut w = Weights::init(&spec, 1).unwrap();
    w.0.get_mut("n.weight").unwrap().data = row("weight:");
    w.0.get_mut("n.bias").unwrap().data = row("bias:");
    let device = Device::flex().autodiff();
    let mut net = Net::from_weights(&spec, &w, &device).unwrap();
    let y = net.forward_train(image(&row("x:"), [2, 1, 2, 3, 3], &device), None, 0.1).unwrap();
    let gradients = net.backward(&y, vec![row("dy:")]).unwrap();
    let gradients = net.gradients(gradients).unwrap();
    let now = net.to_weights().unwrap();
    let pairs = [
        ("y:", y[0].to_vec().unwrap()),
        ("d_weight:", gradients["n.weight"].clone()),
        ("d_bias:", gradients["n.bias"].clone()),
        ("running_mean:", now.0["n.running_mean"].data.clone()),
        ("running_var:", now.0["n.running_var"].data.clone()),
    ];
    for (name, ours) in pairs {
        let theirs = row(name);
        assert_eq!(ours.len(), theirs.len());
        for (a, b) in ours.iter().zip(theirs) {
            assert!((a - b).abs() < 2e-5, "{name} {a} {b}");
        }
    }
}

#[test]
fn a_step_gives_the_same_bits_on_any_number_of_threads() {
    let w = weights(&every_op());
    let step = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (net, outputs) = run(&w, true);
            let g = net.backward(&outputs, output_gradients(&outputs)).unwrap();
            (net.gradients(g).unwrap(), net.to_weights().unwrap())
        })
    };
    assert_eq!(step(1), step(3));
}

/// Two convolutions, the second with weights enough to be kept from step to step, and what is added up of them.
fn sums(adds: &[(&str, [&str; 2])], outputs: &[&str]) -> NetSpec {
    let conv = Op::Conv { out: 32, kernel: [3; 3], stride: [1; 3], pad: [1; 3], bias: true };
    let layer = |name: &str, op: Op, inputs: &[&str]| Layer {
        name: name.into(),
        inputs: inputs.iter().map(|i| i.to_string()).collect(),
        op,
    };
    let mut layers = vec![layer("a", conv.clone(), &["x"]), layer("b", conv, &["a"])];
    layers.extend(adds.iter().map(|(name, inputs)| layer(name, Op::Add { scale: 1.0 }, inputs)));
    NetSpec {
        name: "sums".into(),
        channels: 2,
        features: 0,
        layers,
        outputs: outputs.iter().map(|o| o.to_string()).collect(),
    }
}

#[test]
fn branches_of_a_sum_share_its_gradient_and_the_next_step_may_write_where_the_last_one_did() {
    let (device, size) = (Device::flex().autodiff(), [1, 3, 4, 5, 2]);
    let (x, dy) = (spread(120, 1), spread(60 * 32, 2));
    let step = |spec: &NetSpec, dy: Vec<Vec<f32>>, times: usize| {
        let mut net = Net::from_weights(spec, &weights(&sums(&[], &["b"])), &device).unwrap();
        let mut steps = Vec::new();
        for _ in 0..times {
            let outputs = net.forward_train(image(&x, size, &device), None, 0.1).unwrap();
            let gradients = net.backward(&outputs, dy.clone()).unwrap();
            let gradients = net.gradients(gradients).unwrap();
            steps.push(gradients.clone());
            net.give_back(gradients);
        }
        steps
    };
    // b + b + a: the one tensor twice, then beside another one.
    let summed = sums(&[("two", ["b", "b"]), ("all", ["two", "a"])], &["all"]);
    let steps = step(&summed, vec![dy.clone()], 3);
    assert!(steps[0] == steps[1] && steps[0] == steps[2]);
    let twice = dy.iter().map(|d| 2.0 * d).collect();
    let apart = step(&sums(&[], &["b", "a"]), vec![twice, dy], 1);
    for (name, gradient) in &steps[0] {
        close(gradient, &apart[0][name], 1e-5, name);
    }
}
