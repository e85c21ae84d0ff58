//! What several tests share: weights and inputs from a formula that `bench/peers/fixtures.py` repeats,
//! and a plain interpreter of graphs in double precision that knows no folding, no fusion and no
//! buffer reuse.
#![allow(dead_code, clippy::unwrap_used)]

use pleura_nets::{
    AnchorSpec, FORMAT, InputRecipe, Interpolation, Layer, ModelManifest, NetSpec, Op, Preprocessing,
    ProposalRecipe, Shape, Source, Tensor, Weights, specs,
};

/// A number in 0..1 from a stream and a place in it (a Murmur-style mixer on 32 bits).
pub fn unit(stream: u32, i: usize) -> f64 {
    let mut h = (i as u32)
        .wrapping_mul(2_654_435_761)
        .wrapping_add(stream.wrapping_mul(2_246_822_519))
        .wrapping_add(12_345);
    h = (h ^ (h >> 15)).wrapping_mul(2_246_822_519);
    h = (h ^ (h >> 13)).wrapping_mul(3_266_489_917);
    f64::from(h ^ (h >> 16)) / 4_294_967_296.0
}

/// `n` values of the image input.
pub fn image(n: usize) -> Vec<f32> {
    (0..n).map(|i| unit(1000, i) as f32).collect()
}

/// `n` values of the feature input.
pub fn features(n: usize) -> Vec<f32> {
    (0..n).map(|i| unit(2000, i) as f32).collect()
}

/// Weights that exercise everything: biases, means and variances away from their neutral values.
pub fn formula_weights(spec: &NetSpec) -> Weights {
    let one = |(t, (name, shape)): (usize, (String, Vec<usize>))| {
        let up = spec
            .layers
            .iter()
            .any(|l| matches!(l.op, Op::UpConv { .. }) && name == format!("{}.weight", l.name));
        let fan_in: usize = if up { shape[0] } else { shape[1..].iter().product() };
        let value = |u: f64| match name.rsplit('.').next() {
            Some("weight") if shape.len() > 1 => (2.0 * u - 1.0) * (6.0 / fan_in as f64).sqrt(),
            Some("bias") => 0.2 * u - 0.1,
            Some("running_mean") => 0.4 * u - 0.2,
            _ => 0.5 + u,
        };
        let n = shape.iter().product();
        let data = (0..n).map(|i| value(unit(t as u32, i)) as f32).collect();
        (name.clone(), Tensor { shape, data })
    };
    Weights(spec.tensors().unwrap().into_iter().enumerate().map(one).collect())
}

struct Map {
    size: [usize; 3],
    c: usize,
    data: Vec<f64>,
}

impl Map {
    fn at(&self, n: usize, [z, y, x]: [usize; 3], c: usize) -> f64 {
        self.data[(((n * self.size[0] + z) * self.size[1] + y) * self.size[2] + x) * self.c + c]
    }
}

fn fill(n: usize, shape: Shape, mut f: impl FnMut(usize, [usize; 3], usize) -> f64) -> Map {
    let (size, c) = match shape {
        Shape::Map { channels, size } => (size, channels),
        Shape::Flat(c) => ([1; 3], c),
    };
    let mut data = Vec::new();
    for i in 0..n {
        for z in 0..size[0] {
            for y in 0..size[1] {
                for x in 0..size[2] {
                    data.extend((0..c).map(|c| f(i, [z, y, x], c)));
                }
            }
        }
    }
    Map { size, c, data }
}

/// Input places read by the taps of output place `o`: `(tap, place)`, those in the padding left out.
fn window(
    o: [usize; 3],
    k: [usize; 3],
    s: [usize; 3],
    p: [usize; 3],
    size: [usize; 3],
) -> Vec<(usize, [usize; 3])> {
    let mut all = Vec::new();
    for t in 0..k.iter().product::<usize>() {
        let tap = [t / (k[1] * k[2]), t / k[2] % k[1], t % k[2]];
        let at: [isize; 3] = std::array::from_fn(|a| (o[a] * s[a] + tap[a]) as isize - p[a] as isize);
        if (0..3).all(|a| at[a] >= 0 && (at[a] as usize) < size[a]) {
            all.push((t, at.map(|v| v as usize)));
        }
    }
    all
}

/// All outputs of `spec`, layer by layer as [`Op`] describes them.
pub fn interpret(
    spec: &NetSpec,
    weights: &Weights,
    x: &[f32],
    [n, d, h, w]: [usize; 4],
    f: Option<&[f32]>,
) -> Vec<Tensor> {
    let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let image = Map { size: [d, h, w], c: spec.channels, data: wide(x) };
    let row = Map { size: [1; 3], c: spec.features, data: wide(f.unwrap_or(&[])) };
    let shapes = spec.shapes([d, h, w]).unwrap();
    let sources = spec.sources().unwrap();
    let mut values: Vec<Map> = Vec::new();
    for (i, layer) in spec.layers.iter().enumerate() {
        let inputs: Vec<&Map> = sources[i]
            .iter()
            .map(|s| match *s {
                Source::Image => &image,
                Source::Features => &row,
                Source::Layer(l) => &values[l],
            })
            .collect();
        let a = inputs[0];
        let tensor = |t: &str| {
            weights.0.get(&format!("{}.{t}", layer.name)).map(|t| wide(&t.data)).unwrap_or_default()
        };
        let weight = tensor("weight");
        let bias = tensor("bias");
        let value = match layer.op {
            Op::Conv { kernel, stride, pad, .. } => {
                let taps = kernel.iter().product::<usize>();
                fill(n, shapes[i], |n, o, m| {
                    let places = window(o, kernel, stride, pad, a.size);
                    let one = |c: usize| {
                        places
                            .iter()
                            .map(|(t, p)| weight[(m * a.c + c) * taps + t] * a.at(n, *p, c))
                            .sum::<f64>()
                    };
                    bias.get(m).copied().unwrap_or(0.0) + (0..a.c).map(one).sum::<f64>()
                })
            }
            Op::UpConv { out } => fill(n, shapes[i], |n, o, m| {
                let t = (o[0] % 2 * 2 + o[1] % 2) * 2 + o[2] % 2;
                let one = |c: usize| weight[(c * out + m) * 8 + t] * a.at(n, o.map(|v| v / 2), c);
                bias[m] + (0..a.c).map(one).sum::<f64>()
            }),
            Op::BatchNorm { eps } => {
                let (mean, var) = (tensor("running_mean"), tensor("running_var"));
                fill(n, shapes[i], |n, o, c| {
                    (a.at(n, o, c) - mean[c]) / (var[c] + eps).sqrt() * weight[c] + bias[c]
                })
            }
            Op::Relu => fill(n, shapes[i], |n, o, c| a.at(n, o, c).max(0.0)),
            Op::PRelu => fill(n, shapes[i], |n, o, c| {
                let v = a.at(n, o, c);
                if v < 0.0 { weight[c] * v } else { v }
            }),
            Op::Add { scale } => fill(n, shapes[i], |n, o, c| a.at(n, o, c) + scale * inputs[1].at(n, o, c)),
            Op::Concat => fill(n, shapes[i], |n, o, mut c| {
                let mut k = 0;
                while c >= inputs[k].c {
                    c -= inputs[k].c;
                    k += 1;
                }
                inputs[k].at(n, o, c)
            }),
            Op::MaxPool { kernel, stride, pad } => fill(n, shapes[i], |n, o, c| {
                let places = window(o, kernel, stride, pad, a.size);
                places.iter().map(|(_, p)| a.at(n, *p, c)).fold(f64::NEG_INFINITY, f64::max)
            }),
            Op::GlobalAvgPool => fill(n, shapes[i], |n, _, c| {
                let cells = a.size.iter().product::<usize>();
                (0..cells).map(|k| a.data[(n * cells + k) * a.c + c]).sum::<f64>() / cells as f64
            }),
            Op::Linear { .. } => fill(n, shapes[i], |n, _, m| {
                bias[m] + (0..a.c).map(|c| weight[m * a.c + c] * a.at(n, [0; 3], c)).sum::<f64>()
            }),
        };
        values.push(value);
    }
    let out = |p: usize| Tensor {
        shape: shapes[p].batched(n),
        data: values[p].data.iter().map(|&v| v as f32).collect(),
    };
    spec.output_places().unwrap().into_iter().map(out).collect()
}

/// Largest difference, relative to the largest value expected.
pub fn difference(a: &[Tensor], b: &[Tensor]) -> f32 {
    assert_eq!(a.len(), b.len());
    let mut worst = 0.0f32;
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a.shape, b.shape);
        let scale = b.data.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
        let far = a.data.iter().zip(&b.data).map(|(a, b)| (a - b).abs());
        // What is no number is further off than any.
        let far = far.fold(0.0, |m: f32, far| if far.is_nan() { f32::INFINITY } else { m.max(far) });
        worst = worst.max(far / scale);
    }
    worst
}

/// The networks that `fixtures/twin.json` has PyTorch's outputs of: every network in each of its
/// forms, and a graph of every operation.
pub fn networks() -> Vec<(&'static str, NetSpec)> {
    vec![
        ("detector", specs::vnet_ir_rpn(&[4, 6, 8, 10], 2)),
        ("detector-shallow", specs::vnet_ir_rpn(&[16, 24, 40], 1)),
        ("detector-deep", specs::vnet_ir_rpn(&[5, 8, 16, 17, 32], 3)),
        ("resnet", specs::resnet18(3, 1)),
        ("resnet-slab", specs::resnet18(2, 5)),
        ("location", specs::location_attention(3, 1)),
        ("location-slab", specs::location_attention(3, 3)),
        ("every-op", every_op()),
    ]
}

/// Every operation, on two channels and three features: odd kernels, strides and pads, a map and a
/// row as outputs.
fn every_op() -> NetSpec {
    let conv = |out, kernel, stride, pad, bias| Op::Conv { out, kernel, stride, pad, bias };
    let pool = Op::MaxPool { kernel: [2, 3, 3], stride: [1, 2, 2], pad: [1, 1, 1] };
    let layers: Vec<(&str, Op, &[&str])> = vec![
        ("a", conv(7, [3, 5, 3], [1; 3], [1, 2, 1], true), &["x"]),
        ("slope", Op::PRelu, &["a"]),
        ("b", conv(7, [1, 3, 3], [1; 3], [0, 1, 1], false), &["slope"]),
        ("norm", Op::BatchNorm { eps: 1e-3 }, &["b"]),
        ("sum", Op::Add { scale: -0.3 }, &["slope", "norm"]),
        ("rect", Op::Relu, &["sum"]),
        ("halved", conv(9, [3, 2, 3], [2, 1, 3], [0, 1, 2], true), &["rect"]),
        ("up", Op::UpConv { out: 5 }, &["halved"]),
        ("pooled", pool, &["rect"]),
        ("both", Op::Concat, &["pooled", "pooled"]),
        ("point", conv(4, [1; 3], [1, 2, 2], [0; 3], false), &["both"]),
        ("mean", Op::GlobalAvgPool, &["point"]),
        ("row", Op::Concat, &["f", "mean", "f"]),
        ("full", Op::Linear { out: 6 }, &["row"]),
        ("full-slope", Op::PRelu, &["full"]),
        ("out", Op::Linear { out: 2 }, &["full-slope"]),
    ];
    let layer = |(name, op, inputs): (&str, Op, &[&str])| Layer {
        name: name.into(),
        inputs: inputs.iter().map(|s| s.to_string()).collect(),
        op,
    };
    NetSpec {
        name: "every-op".into(),
        channels: 2,
        features: 3,
        layers: layers.into_iter().map(layer).collect(),
        outputs: vec!["up".into(), "out".into()],
    }
}

/// A manifest around `spec` with made-up preprocessing.
pub fn manifest(spec: &NetSpec) -> ModelManifest {
    ModelManifest {
        format: FORMAT,
        name: "test".into(),
        version: "1".into(),
        spec: spec.clone(),
        preprocessing: Preprocessing::Detector {
            spacing_mm: [2.0; 3],
            interpolation: Interpolation::AreaMean,
            input: InputRecipe { low_hu: -1000.0, high_hu: 400.0, outside_hu: Some(40.0), mask_margin: 2 },
            proposals: recipe(),
        },
        trained_on: "nothing".into(),
        generator: None,
        notes: Default::default(),
    }
}

/// Two anchors a cell, everything above one half proposed.
pub fn recipe() -> ProposalRecipe {
    ProposalRecipe {
        anchors: AnchorSpec { stride: 4, edges_mm: vec![10.0, 30.0] },
        score_threshold: 0.5,
        nms_iou: 0.2,
        max_proposals: 20,
        voxel_threshold: 0.5,
    }
}
