//! Networks, weights and values for the tests.

#![allow(clippy::unwrap_used)]
#![allow(dead_code, reason = "not every test needs all")]

use burn::tensor::{Device, Tensor, TensorData};
use pleura_nets::{Layer, NetSpec, Op, Weights, specs};

/// Evenly spread values in -1..1, the same each time.
pub fn spread(n: usize, salt: u64) -> Vec<f32> {
    let at = |i: usize| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt << 32);
    let mixed = |i| (at(i) ^ (at(i) >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
    (0..n).map(|i| mixed(i) as f32 / (1u64 << 23) as f32 - 1.0).collect()
}

pub fn image(values: &[f32], shape: [usize; 5], device: &Device) -> Tensor<5> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// Weights with running statistics away from 0 and 1.
pub fn weights(spec: &NetSpec) -> Weights {
    let mut w = Weights::init(spec, 7).unwrap();
    for (i, (name, t)) in w.0.iter_mut().enumerate() {
        let moved = spread(t.data.len(), i as u64);
        let share = if name.ends_with("running_var") { 0.5 } else { 0.1 };
        t.data.iter_mut().zip(moved).for_each(|(v, m)| *v += share * m);
    }
    w
}

/// Every operation, with a map output and a row output.
pub fn every_op() -> NetSpec {
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

/// Every form of every network, and every operation, with a size `[n, d, h, w, c]` to run it on.
pub fn networks() -> Vec<(NetSpec, [usize; 5])> {
    vec![
        (specs::vnet_ir_rpn(&[4, 6, 8, 10], 2), [1, 16, 8, 16, 1]),
        (specs::vnet_ir_rpn(&[8, 9, 16], 1), [2, 4, 20, 12, 1]),
        (specs::vnet_ir_rpn(&[4, 6, 8, 10, 12], 3), [1, 16, 48, 16, 1]),
        (specs::resnet18(3, 1), [2, 1, 32, 32, 1]),
        (specs::resnet18(2, 3), [1, 5, 29, 31, 1]),
        (specs::location_attention(3, 1), [3, 1, 33, 47, 1]),
        (specs::location_attention(3, 3), [1, 3, 32, 32, 1]),
        (every_op(), [2, 4, 6, 10, 2]),
    ]
}

/// Rows of features for a batch, where the network takes them.
pub fn features(spec: &NetSpec, n: usize, device: &Device) -> Option<Tensor<2>> {
    let values = spread(n * spec.features, 2);
    (spec.features > 0).then(|| Tensor::from_data(TensorData::new(values, [n, spec.features]), device))
}

/// Whether values differ by at most this share of the largest.
pub fn close(got: &[f32], want: &[f32], share: f32, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let top = want.iter().fold(0f32, |t, v| t.max(v.abs()));
    for (a, b) in got.iter().zip(want) {
        assert!((a - b).abs() <= share * top, "{what}: {a} for {b}, largest {top}");
    }
}
