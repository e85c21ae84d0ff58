//! The burn module against the executor, against finite differences, and against PyTorch.

#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Tensor, TensorData};
use pleura_nets::{Executor, Layer, NetSpec, Op, Weights, specs};
use pleura_nets_burn::{Net, Value};

/// Evenly spread values in -1..1, the same each time.
fn spread(n: usize, salt: u64) -> Vec<f32> {
    let at = |i: usize| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt << 32);
    let mixed = |i| (at(i) ^ (at(i) >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
    (0..n).map(|i| mixed(i) as f32 / (1u64 << 23) as f32 - 1.0).collect()
}

fn image(values: &[f32], shape: [usize; 5], device: &Device) -> Tensor<5> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// Weights with running statistics away from 0 and 1.
fn weights(spec: &NetSpec) -> Weights {
    let mut w = Weights::init(spec, 7).unwrap();
    for (i, (name, t)) in w.0.iter_mut().enumerate() {
        let moved = spread(t.data.len(), i as u64);
        let share = if name.ends_with("running_var") { 0.5 } else { 0.1 };
        t.data.iter_mut().zip(moved).for_each(|(v, m)| *v += share * m);
    }
    w
}

#[test]
fn evaluation_equals_the_executor_for_all_networks_in_all_forms() {
    let cases = [
        (specs::vnet_ir_rpn(&[4, 6, 8, 10], 2), [1, 16, 8, 16, 1]),
        (specs::vnet_ir_rpn(&[8, 9, 16], 1), [2, 4, 20, 12, 1]),
        (specs::vnet_ir_rpn(&[4, 6, 8, 10, 12], 3), [1, 16, 48, 16, 1]),
        (specs::resnet18(3, 1), [2, 1, 32, 32, 1]),
        (specs::resnet18(2, 3), [1, 5, 29, 31, 1]),
        (specs::location_attention(3, 1), [3, 1, 33, 47, 1]),
        (specs::location_attention(3, 3), [1, 3, 32, 32, 1]),
        (every_op(), [2, 4, 6, 10, 2]),
    ];
    for (spec, shape) in cases {
        let w = weights(&spec);
        let x = spread(shape.iter().product(), 1);
        let f = spread(shape[0] * spec.features, 2);
        let device = Device::flex();
        let net = Net::from_weights(&spec, &w, &device).unwrap();
        let features = (spec.features > 0)
            .then(|| Tensor::from_data(TensorData::new(f.clone(), [shape[0], spec.features]), &device));
        let ours = net.forward(image(&x, shape, &device), features).unwrap();
        let size = [shape[0], shape[1], shape[2], shape[3]];
        let theirs =
            Executor::new(&spec, &w).unwrap().run(&x, size, (!f.is_empty()).then_some(&f[..])).unwrap();
        for (a, b) in ours.iter().zip(&theirs) {
            let top = b.data.iter().fold(0f32, |t, v| t.max(v.abs()));
            for (a, b) in a.to_vec().unwrap().iter().zip(&b.data) {
                assert!((a - b).abs() <= 1e-4 * top, "{}: {a} {b}", spec.name);
            }
        }
        assert_eq!(net.to_weights().unwrap(), w);
    }
}

/// Every operation, with a map output and a row output.
fn every_op() -> NetSpec {
    let conv =
        |out, k: [usize; 3], stride, bias| Op::Conv { out, kernel: k, stride, pad: k.map(|k| k / 2), bias };
    let layers: Vec<(&str, Op, Vec<&str>)> = vec![
        ("a", conv(4, [3, 3, 3], [1; 3], true), vec!["x"]),
        ("an", Op::BatchNorm { eps: 1e-3 }, vec!["a"]),
        ("ar", Op::Relu, vec!["an"]),
        ("down", Op::Conv { out: 3, kernel: [2; 3], stride: [2; 3], pad: [0; 3], bias: false }, vec!["ar"]),
        ("dn", Op::BatchNorm { eps: 1e-3 }, vec!["down"]),
        ("dp", Op::PRelu, vec!["dn"]),
        ("up", Op::UpConv { out: 4 }, vec!["dp"]),
        ("sum", Op::Add { scale: 0.3 }, vec!["ar", "up"]),
        ("sumr", Op::Relu, vec!["sum"]),
        ("point", conv(2, [1; 3], [1; 3], false), vec!["sumr"]),
        ("cat", Op::Concat, vec!["point", "sumr", "a", "x", "ar"]),
        ("map", conv(2, [1, 3, 3], [1; 3], true), vec!["cat"]),
        ("pool", Op::MaxPool { kernel: [1, 3, 3], stride: [1, 2, 2], pad: [0, 1, 1] }, vec!["cat"]),
        ("plain", Op::Add { scale: 0.5 }, vec!["pool", "pool"]),
        ("mean", Op::GlobalAvgPool, vec!["plain"]),
        ("both", Op::Concat, vec!["mean", "f"]),
        ("fc", Op::Linear { out: 5 }, vec!["both"]),
        ("fcr", Op::Relu, vec!["fc"]),
        ("out", Op::Linear { out: 3 }, vec!["fcr"]),
    ];
    let layer = |(name, op, inputs): (&str, Op, Vec<&str>)| Layer {
        name: name.into(),
        inputs: inputs.into_iter().map(String::from).collect(),
        op,
    };
    NetSpec {
        name: "every-op".into(),
        channels: 2,
        features: 2,
        layers: layers.into_iter().map(layer).collect(),
        outputs: vec!["map".into(), "out".into()],
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
