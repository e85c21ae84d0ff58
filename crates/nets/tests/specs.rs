//! Shapes, strides and sanity of the three networks and of graphs from outside.
#![allow(clippy::unwrap_used)]

use pleura_nets::{Layer, NetSpec, Op, Shape, Weights, specs};

#[test]
fn the_detector_has_its_heads_at_their_strides() {
    for widths in [[8, 16, 32, 64], [16, 32, 64, 128]] {
        let spec = specs::vnet_ir_rpn(&widths, 4);
        let shapes = spec.shapes([48, 40, 32]).unwrap();
        let out: Vec<Shape> = spec.output_places().unwrap().into_iter().map(|p| shapes[p]).collect();
        let stride4 = [12, 10, 8];
        assert_eq!(out[0], Shape::Map { channels: 4, size: stride4 });
        assert_eq!(out[1], Shape::Map { channels: 24, size: stride4 });
        assert_eq!(out[2], Shape::Map { channels: 1, size: [48, 40, 32] });
        assert_eq!(spec.total_stride().unwrap(), [8; 3]);
        let strides = spec.strides().unwrap();
        let of = |p: usize| strides[p].unwrap();
        let outputs = spec.output_places().unwrap();
        assert_eq!([of(outputs[0]), of(outputs[1]), of(outputs[2])], [[4; 3], [4; 3], [1; 3]]);
    }
}

#[test]
fn an_inception_block_has_three_branches_and_a_scaled_residual() {
    let spec = specs::vnet_ir_rpn(&[8, 16, 32, 64], 4);
    let cats = spec.layers.iter().filter(|l| l.op == Op::Concat && l.inputs.len() == 3).count();
    assert_eq!(cats, 9, "one block at strides 1 and 2, two at 4 and 8 on the way down, three on the way up");
    let scaled = |l: &&Layer| matches!(l.op, Op::Add { scale } if scale < 1.0);
    assert_eq!(spec.layers.iter().filter(scaled).count(), 9);
}

#[test]
fn the_detector_needs_three_levels() {
    let error = specs::vnet_ir_rpn(&[8, 16], 4).validate().unwrap_err().to_string();
    assert!(error.contains("stride-4 features"), "{error}");
    specs::vnet_ir_rpn(&[8, 16, 16], 4).validate().unwrap();
    specs::vnet_ir_rpn(&[8, 16, 16, 24, 32], 4).validate().unwrap();
}

#[test]
fn classifiers_end_in_the_papers_numbers() {
    for slab in [1, 3] {
        let spec = specs::location_attention(3, slab);
        let shapes: std::collections::HashMap<String, Vec<usize>> =
            spec.tensors().unwrap().into_iter().collect();
        assert_eq!(shapes["reduce.weight"], [16, 256]);
        assert_eq!(shapes["fc1.weight"], [32, 17]);
        assert_eq!(shapes["fc2.weight"], [16, 32]);
        assert_eq!(shapes["logits.weight"], [3, 16]);
        let plain = specs::resnet18(3, slab);
        assert_eq!(plain.tensors().unwrap().last().unwrap(), &("logits.bias".to_string(), vec![3]));
        let convs = |s: &NetSpec| s.layers.iter().filter(|l| matches!(l.op, Op::Conv { .. })).count();
        assert_eq!(
            convs(&plain),
            17 + 3,
            "17 convolutions and 3 shortcuts; with one full connection that is 18"
        );
        let map = plain.shapes([slab, 64, 64]).unwrap()[convs_end(&plain)];
        assert_eq!(map, Shape::Map { channels: 256, size: [slab, 4, 4] });
    }
}

fn convs_end(spec: &NetSpec) -> usize {
    spec.layers.iter().position(|l| l.op == Op::GlobalAvgPool).unwrap() - 1
}

#[test]
fn first_weights_are_seeded_and_start_the_heads_rare() {
    let spec = specs::vnet_ir_rpn(&[8, 16, 16, 16], 2);
    let a = Weights::init(&spec, 7).unwrap();
    assert_eq!(a, Weights::init(&spec, 7).unwrap());
    assert_ne!(a, Weights::init(&spec, 8).unwrap());
    a.check(&spec).unwrap();
    // The logit of 0.01 is ln(1 / 99).
    assert!((a.0["rpn_objectness.bias"].data[0] + 99f32.ln()).abs() < 1e-6);
    assert_eq!(a.0["rpn_offsets.bias"].data[0], 0.0);
    let w = &a.0["rpn.conv.weight"];
    let bound = (6.0f32 / (16.0 * 27.0)).sqrt();
    let most = w.data.iter().fold(0f32, |m, v| m.max(v.abs()));
    assert!(most <= bound && most > 0.95 * bound);
    let mean = w.data.iter().sum::<f32>() / w.data.len() as f32;
    assert!(mean.abs() < 0.05 * bound, "{mean}");
}

fn refused(change: impl FnOnce(&mut NetSpec)) -> String {
    let mut spec = specs::location_attention(3, 1);
    change(&mut spec);
    spec.validate().unwrap_err().to_string()
}

#[test]
fn a_bad_graph_is_refused_by_name() {
    let has = |message: String, words: &str| assert!(message.contains(words), "{message}");
    has(refused(|s| s.layers[3].inputs[0] = "nowhere".into()), "nowhere");
    has(refused(|s| s.layers[3].inputs[0] = s.layers[9].name.clone()), "not an earlier layer");
    has(refused(|s| s.layers[4].name = "stem.conv".into()), "twice");
    has(refused(|s| s.layers[4].name = "x".into()), "twice or reserved");
    has(refused(|s| s.outputs[0] = "verdict".into()), "verdict");
    has(refused(|s| s.outputs.clear()), "none");
    has(refused(|s| s.features = 0), "`f`");
    has(refused(|s| s.channels = 0), "out of range");
    has(refused(|s| s.layers[1].inputs.push("x".into())), "takes 1");
    has(refused(|s| s.layers[1].inputs.clear()), "no input");
    has(refused(|s| s.layers[0].op = Op::Linear { out: 3 }), "needs a row");
    has(refused(|s| s.layers[0].inputs[0] = "f".into()), "needs a map");
    has(refused(|s| s.layers[1].op = Op::BatchNorm { eps: 0.0 }), "eps");
    let zero_stride = Op::Conv { out: 4, kernel: [1; 3], stride: [0; 3], pad: [0; 3], bias: false };
    has(refused(|s| s.layers[0].op = zero_stride), "stride");
    let padded = Op::Conv { out: 4, kernel: [3; 3], stride: [1; 3], pad: [1, 3, 1], bias: false };
    has(refused(|s| s.layers[0].op = padded), "padding");
    let huge = Op::Conv { out: usize::MAX, kernel: [1; 3], stride: [1; 3], pad: [0; 3], bias: false };
    has(refused(|s| s.layers[0].op = huge), "channel count");
}

#[test]
fn sizes_that_overflow_are_refused() {
    let mut spec = specs::vnet_ir_rpn(&[8, 8, 8], 1);
    let up = |i: usize| Layer {
        name: format!("u{i}"),
        inputs: vec![if i == 0 { "x".into() } else { format!("u{}", i - 1) }],
        op: Op::UpConv { out: 1 },
    };
    spec.layers = (0..70).map(up).collect();
    spec.outputs = vec!["u69".into()];
    spec.validate().unwrap();
    assert!(spec.shapes([1; 3]).is_err());
}
