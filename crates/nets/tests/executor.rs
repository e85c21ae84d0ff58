//! The executor against a plain interpreter of the same graph in double precision.
#![allow(clippy::unwrap_used)]

mod common;

use common::{difference, features, formula_weights, image, interpret};
use pleura_nets::{
    Executor, Feed, Forward, Layer, Model, NetSpec, NetsError, Op, Shape, Tensor, Tiling, Wanted, Weights,
    specs,
};
use pleura_volume::{NoProgress, Progress};
use proptest::prelude::*;

/// Single precision over some hundred summands a value and tens of layers.
const CLOSE: f32 = 2e-5;

fn agrees(spec: &NetSpec, size: [usize; 4]) {
    let weights = formula_weights(spec);
    let x = image(size.iter().product::<usize>() * spec.channels);
    let f = features(size[0] * spec.features);
    let f = (spec.features > 0).then_some(&f[..]);
    let got = Executor::new(spec, &weights).unwrap().run(&x, size, f).unwrap();
    let want = interpret(spec, &weights, &x, size, f);
    let far = difference(&got, &want);
    assert!(far < CLOSE, "{}: {far}", spec.name);
}

#[test]
fn the_detector_computes_what_its_graph_says() {
    agrees(&specs::vnet_ir_rpn(&[4, 6, 8, 10], 3), [1, 16, 16, 8]);
    agrees(&specs::vnet_ir_rpn(&[8, 16, 20], 2), [2, 4, 8, 12]);
}

#[test]
fn the_classifiers_compute_what_their_graphs_say() {
    agrees(&specs::resnet18(3, 1), [2, 1, 24, 16]);
    agrees(&specs::location_attention(3, 1), [2, 1, 16, 16]);
    agrees(&specs::location_attention(4, 3), [2, 3, 16, 8]);
}

fn layer(name: &str, inputs: &[&str], op: Op) -> Layer {
    Layer { name: name.into(), inputs: inputs.iter().map(|s| s.to_string()).collect(), op }
}

/// Adds one layer drawn from `(kind, pick, a, b)` to a graph, when it fits.
fn grow(spec: &mut NetSpec, size: [usize; 3], (kind, pick, a, b): (u8, usize, usize, usize)) {
    spec.outputs = spec.layers.last().map(|l| l.name.clone()).into_iter().collect();
    let shapes = if spec.layers.is_empty() { vec![] } else { spec.shapes(size).unwrap() };
    let mut values = vec![("x".to_string(), Shape::Map { channels: spec.channels, size })];
    values.push(("f".to_string(), Shape::Flat(spec.features)));
    values.extend(spec.layers.iter().map(|l| l.name.clone()).zip(shapes));
    // Mostly the newest value, so that chains to be fused come up.
    let at = if pick % 3 == 0 { pick / 3 % values.len() } else { values.len() - 1 };
    let (first, shape) = values[at].clone();
    let space = |s: &Shape| match *s {
        Shape::Map { size, .. } => Some(size),
        Shape::Flat(_) => None,
    };
    let peers: Vec<&str> = values
        .iter()
        .filter(|(_, s)| space(s) == space(&shape) && (kind % 10 == 5 || *s == shape))
        .map(|(n, _)| n.as_str())
        .collect();
    let peer = peers[b % peers.len()].to_string();
    let out = 1 + b % 9;
    let edges = |v: usize| [1 + v % 2, 1 + v / 2 % 3, 1 + v / 6 % 3];
    let (op, two) = match kind % 10 {
        0 | 1 if space(&shape).is_some() => {
            let kernel = edges(a);
            let pad = kernel.map(|k| if b % 2 == 0 { k / 2 } else { 0 });
            (Op::Conv { out, kernel, stride: [1 + b % 2, 1, 1 + a % 2], pad, bias: a % 3 == 0 }, false)
        }
        0 | 1 => (Op::Linear { out }, false),
        2 => (Op::BatchNorm { eps: 1e-3 }, false),
        3 => (Op::Relu, false),
        4 => (Op::Add { scale: [1.0, 0.3][a % 2] }, true),
        5 => (Op::Concat, true),
        6 => (Op::PRelu, false),
        7 => (Op::UpConv { out }, false),
        8 => (Op::MaxPool { kernel: [2, 3, 2], stride: [1 + a % 2, 2, 1], pad: [0, b % 2, 1] }, false),
        _ => (Op::GlobalAvgPool, false),
    };
    let name = format!("l{}", spec.layers.len());
    let inputs = if !two {
        vec![first]
    } else if a % 5 < 3 {
        vec![peer, first]
    } else {
        vec![first, peer]
    };
    spec.layers.push(Layer { name: name.clone(), inputs, op });
    spec.outputs = vec![name];
    let fits = spec.shapes(size).is_ok_and(|s| s.last().is_some_and(|s| s.len() < 4000));
    if !fits {
        spec.layers.pop();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_graph_is_computed_as_it_is_written(
        draws in prop::collection::vec((any::<u8>(), 0usize..1000, 0usize..1000, 0usize..1000), 1..24),
        size in [1usize..5, 1usize..7, 1usize..7],
        extra in prop::collection::vec(0usize..1000, 0..3),
    ) {
        let mut spec = NetSpec { name: "random".into(), channels: 2, features: 3, layers: vec![], outputs: vec![] };
        draws.into_iter().for_each(|d| grow(&mut spec, size, d));
        prop_assume!(!spec.layers.is_empty());
        let names: Vec<String> = spec.layers.iter().map(|l| l.name.clone()).collect();
        spec.outputs = vec![names[names.len() - 1].clone()];
        for e in extra {
            let name = names[e % names.len()].clone();
            if !spec.outputs.contains(&name) {
                spec.outputs.push(name);
            }
        }
        agrees(&spec, [2, size[0], size[1], size[2]]);
    }
}

#[test]
fn a_layer_that_is_used_twice_is_not_fused_away() {
    let conv = Op::Conv { out: 4, kernel: [1, 3, 3], stride: [1; 3], pad: [0, 1, 1], bias: true };
    let spec = NetSpec {
        name: "forked".into(),
        channels: 4,
        features: 0,
        layers: vec![
            layer("a", &["x"], conv.clone()),
            layer("b", &["a"], conv),
            layer("n", &["b"], Op::BatchNorm { eps: 1e-5 }),
            layer("s", &["n", "a"], Op::Add { scale: 0.5 }),
            layer("r", &["s"], Op::Relu),
            layer("t", &["n", "n"], Op::Add { scale: 0.5 }),
            layer("u", &["t", "r"], Op::Concat),
        ],
        outputs: vec!["u".into(), "a".into()],
    };
    agrees(&spec, [1, 2, 5, 6]);
}

#[test]
fn selected_outputs_equal_those_of_a_full_run() {
    let spec = specs::vnet_ir_rpn(&[8, 8, 8, 8], 2);
    let net = Executor::new(&spec, &formula_weights(&spec)).unwrap();
    let (x, size) = (image(16 * 16 * 16), [1, 16, 16, 16]);
    let all = net.run(&x, size, None).unwrap();
    let some = net.run_selected(&x, size, None, &[specs::OFFSETS, specs::OBJECTNESS]).unwrap();
    assert_eq!([&all[1], &all[0]], [&some[0], &some[1]]);
    assert!(matches!(net.run_selected(&x, size, None, &["stem.conv"]), Err(NetsError::Input(_))));
}

#[test]
fn wrong_inputs_are_refused_with_the_reason() {
    let spec = specs::location_attention(3, 1);
    let net = Executor::new(&spec, &Weights::init(&spec, 1).unwrap()).unwrap();
    let x = image(64 * 64);
    for (x, size, f) in [
        (&x[..10], [1, 1, 64, 64], Some(&[0.5][..])),
        (&x[..], [1, 1, 64, 64], None),
        (&x[..], [1, 1, 64, 64], Some(&[0.5, 0.5][..])),
        (&x[..], [0, 1, 64, 64], Some(&[0.5][..])),
        (&[], [0, 1, 64, 64], None),
    ] {
        assert!(matches!(net.run(x, size, f), Err(NetsError::Input(_))), "{size:?} {f:?}");
    }
    let spec = specs::vnet_ir_rpn(&[8; 4], 1);
    let net = Executor::new(&spec, &Weights::init(&spec, 1).unwrap()).unwrap();
    let refused = net.run(&image(9 * 8 * 8), [1, 9, 8, 8], None);
    assert!(matches!(refused, Err(NetsError::Graph { .. })), "9 is no multiple of 8");
}

/// Two levels, reach 7 voxels: stem 1, stride-2 convolution 1 (2 voxels), 3 x 3 x 3 at stride 2.
fn shallow() -> NetSpec {
    let conv = |out, k: usize, s| Op::Conv {
        out,
        kernel: [k; 3],
        stride: [s; 3],
        pad: [(k - s) / 2; 3],
        bias: true,
    };
    NetSpec {
        name: "shallow".into(),
        channels: 1,
        features: 0,
        layers: vec![
            layer("stem", &["x"], conv(6, 3, 1)),
            layer("down", &["stem"], conv(8, 2, 2)),
            layer("deep", &["down"], conv(8, 3, 1)),
            layer("relu", &["deep"], Op::Relu),
            layer("up", &["relu"], Op::UpConv { out: 6 }),
            layer("sum", &["stem", "up"], Op::Add { scale: 0.5 }),
        ],
        outputs: vec!["sum".into(), "relu".into()],
    }
}

#[test]
fn tiles_with_enough_halo_equal_the_whole() {
    let spec = shallow();
    let net = Executor::new(&spec, &formula_weights(&spec)).unwrap();
    let size = [21, 18, 30];
    let x = image(21 * 18 * 30);
    let wanted = Wanted::everywhere(&spec.outputs);
    let run = |tile, halo| net.run_tiled(&x, size, Tiling { tile, halo }, &wanted, &NoProgress).unwrap();
    let whole = run([64; 3], [0; 3]);
    assert_eq!(whole[0].shape, [1, 21, 18, 30, 6]);
    assert_eq!(whole[1].shape, [1, 11, 9, 15, 8]);
    let far = difference(&run([8, 6, 9], [8; 3]), &whole);
    assert!(far < 1e-6, "{far}");
    let seams = difference(&run([8, 6, 9], [0; 3]), &whole);
    assert!(seams > 1e-3, "without a halo seams must show, or this test shows nothing: {seams}");
}

/// What is said of tiles smaller than the network's reach, for the network that is shipped and the halo it is run with.
#[test]
fn a_halo_of_32_voxels_changes_the_shipped_detector_by_little() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/detector.safetensors");
    let model = Model::load(std::path::Path::new(file)).unwrap();
    let net = Executor::new(&model.manifest.spec, &model.weights).unwrap();
    let size = [32, 40, 144];
    let blob = |i: usize| {
        let [z, y, x] = [i / (40 * 144), i / 144 % 40, i % 144].map(|v| v as f32);
        0.15 + 0.7 * ((0.3 * z).sin() * (0.21 * y).sin() * (0.17 * x).sin()).max(0.0)
    };
    let x: Vec<f32> = image(32 * 40 * 144).iter().enumerate().map(|(i, n)| blob(i) + 0.1 * n).collect();
    let wanted = Wanted::everywhere(&net.spec().outputs);
    let run = |tile, halo| net.run_tiled(&x, size, Tiling { tile, halo }, &wanted, &NoProgress).unwrap();
    let (whole, tiles) = (run(size, [0; 3]), run([32, 40, 72], [32; 3]));
    for (whole, tiles) in whole.iter().zip(&tiles) {
        let n = whole.data.len() as f32;
        let mean = whole.data.iter().sum::<f32>() / n;
        let deviation = (whole.data.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n).sqrt();
        assert!(tiles.data.iter().all(|v| v.is_finite()));
        let far = whole.data.iter().zip(&tiles.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 0.03 * deviation && far > 0.0, "{far} of {deviation}");
    }
}

/// Batches are cut in parts that go through the network by themselves.
#[test]
fn a_batch_gives_what_its_samples_give_one_by_one() {
    for (spec, n) in [(specs::location_attention(3, 1), 33), (specs::resnet18(2, 3), 9)] {
        let net = Executor::new(&spec, &formula_weights(&spec)).unwrap();
        let (d, each) = (if spec.name.ends_with("slab") { 3 } else { 1 }, spec.features);
        let (x, f) = (image(n * d * 24 * 16), features(n * each));
        let run = |from: usize, to: usize| {
            let f = (each > 0).then(|| &f[from * each..to * each]);
            net.run(&x[from * d * 384..to * d * 384], [to - from, d, 24, 16], f).unwrap()
        };
        let all = run(0, n);
        let data = (0..n).flat_map(|i| run(i, i + 1)[0].data.clone()).collect();
        let single = vec![Tensor { shape: all[0].shape.clone(), data }];
        assert!(difference(&all, &single) < CLOSE, "{}", spec.name);
        let want =
            interpret(&spec, &formula_weights(&spec), &x, [n, d, 24, 16], (each > 0).then_some(&f[..]));
        assert!(difference(&all, &want) < CLOSE, "{}", spec.name);
    }
}

/// Values that are read again where, or after, what reads them first is written.
#[test]
fn a_residual_that_its_own_branch_reads_is_not_written_too_early() {
    let conv = |out, edge: usize| Op::Conv {
        out,
        kernel: [edge; 3],
        stride: [1; 3],
        pad: [edge / 2; 3],
        bias: true,
    };
    let add = || Op::Add { scale: 0.5 };
    let (near, wide) = (conv(8, 1), conv(8, 3));
    let branches: [Vec<Layer>; 4] = [
        vec![layer("p", &["a"], wide.clone())],
        vec![layer("p", &["a"], near.clone())],
        vec![layer("q", &["a"], near.clone()), layer("p", &["q"], wide)],
        vec![
            layer("cat", &["a", "a"], Op::Concat),
            layer("q", &["cat"], near.clone()),
            layer("p", &["q"], near.clone()),
        ],
    ];
    for branch in branches {
        let mut layers = vec![layer("a", &["x"], near.clone())];
        layers.extend(branch);
        layers.extend([layer("sum", &["a", "p"], add()), layer("out", &["sum"], conv(9, 3))]);
        let outputs = vec!["out".into()];
        let spec = NetSpec { name: "residual".into(), channels: 8, features: 0, layers, outputs };
        agrees(&spec, [2, 5, 20, 28]);
    }
}

#[test]
fn outputs_come_where_they_are_wanted_only() {
    let spec = shallow();
    let net = Executor::new(&spec, &formula_weights(&spec)).unwrap();
    let (size, tiling) = ([16, 8, 8], Tiling { tile: [8; 3], halo: [8; 3] });
    let x = image(16 * 8 * 8);
    let all = net.run_tiled(&x, size, tiling, &Wanted::everywhere(&spec.outputs), &NoProgress).unwrap();
    // One cell of the second of two tiles.
    let mut mask = vec![0; 16 * 8 * 8];
    mask[(9 * 8 + 7) * 8 + 7] = 1;
    let wanted = [Wanted { output: "relu", mask: None }, Wanted { output: "sum", mask: Some(&mask) }];
    let some = net.run_tiled(&x, size, tiling, &wanted, &NoProgress).unwrap();
    assert_eq!(some[0], all[1]);
    let half = 8 * 8 * 8 * 6;
    assert!(some[1].data[..half].iter().all(|v| *v == f32::NEG_INFINITY));
    assert_eq!(some[1].data[half..], all[0].data[half..]);
    let unknown = [Wanted { output: "deep", mask: None }];
    assert!(matches!(net.run_tiled(&x, size, tiling, &unknown, &NoProgress), Err(NetsError::Input(_))));
}

/// Adds up its image, in place of a graphics card.
struct Elsewhere;

impl Forward for Elsewhere {
    fn forward(&self, feed: Feed) -> pleura_nets::Result<Vec<Tensor>> {
        let sum = feed.x.iter().sum::<f32>();
        Ok(vec![Tensor::filled(vec![1, 8, 8, 8, 6], sum), Tensor::filled(vec![1, 4, 4, 4, 8], -sum)])
    }
}

#[test]
fn another_place_runs_what_the_executor_is_asked_for() {
    let spec = shallow();
    let mut net = Executor::new(&spec, &formula_weights(&spec)).unwrap();
    net.run_on(Box::new(Elsewhere));
    let x = vec![0.5; 16 * 8 * 8];
    let outputs = net.run_selected(&x[..512], [1, 8, 8, 8], None, &["relu"]).unwrap();
    assert_eq!(outputs, [Tensor::filled(vec![1, 4, 4, 4, 8], -256.0)]);
    // Tile by tile, and what does not fit the network is refused before.
    let tiling = Tiling { tile: [8; 3], halo: [0; 3] };
    let wanted = Wanted::everywhere(&spec.outputs);
    let tiled = net.run_tiled(&x, [16, 8, 8], tiling, &wanted, &NoProgress).unwrap();
    assert_eq!(tiled[0], Tensor::filled(vec![1, 16, 8, 8, 6], 256.0));
    assert!(matches!(net.run(&x[..511], [1, 8, 8, 8], None), Err(NetsError::Input(_))));
}

#[test]
fn one_tile_is_the_padded_volume() {
    let spec = shallow();
    let net = Executor::new(&spec, &formula_weights(&spec)).unwrap();
    let x = image(5 * 4 * 3);
    let wanted = Wanted::everywhere(&spec.outputs);
    let tiling = Tiling { tile: [64; 3], halo: [16; 3] };
    let tiled = net.run_tiled(&x, [5, 4, 3], tiling, &wanted, &NoProgress).unwrap();
    let mut padded = vec![0.0; 6 * 4 * 4];
    for (i, v) in x.iter().enumerate() {
        padded[(i / 12 * 4 + i / 3 % 4) * 4 + i % 3] = *v;
    }
    let whole = net.run(&padded, [1, 6, 4, 4], None).unwrap();
    for z in 0..5 {
        for y in 0..4 {
            for x in 0..3 {
                let (a, b) = ((z * 4 + y) * 3 + x, (z * 4 + y) * 4 + x);
                assert_eq!(tiled[0].data[a * 6..a * 6 + 6], whole[0].data[b * 6..b * 6 + 6]);
            }
        }
    }
    assert_eq!(tiled[1].data, whole[1].data);
}

#[test]
fn a_cancelled_run_says_so() {
    struct Stop;
    impl Progress for Stop {
        fn cancelled(&self) -> bool {
            true
        }
    }
    let spec = shallow();
    let net = Executor::new(&spec, &formula_weights(&spec)).unwrap();
    let wanted = Wanted::everywhere(&spec.outputs);
    let stopped = net.run_tiled(&image(8), [2; 3], Tiling { tile: [8; 3], halo: [0; 3] }, &wanted, &Stop);
    assert!(matches!(stopped, Err(NetsError::Cancelled(_))));
}

#[test]
fn a_whole_lung_fits_a_gigabyte_and_tiles_fit_less() {
    let spec = specs::vnet_ir_rpn(&[16, 32, 64, 128], 4);
    let net = Executor::new(&spec, &Weights::init(&spec, 1).unwrap()).unwrap();
    // 2.6 times 96^3 voxels: the largest lungs on a 2 mm grid.
    let (size, halo) = ([136, 120, 144], [16; 3]);
    let tiling = net.fitting_tile(size, halo, 700 << 20).unwrap();
    let seen: [usize; 3] = std::array::from_fn(|a| (tiling.tile[a] + 2 * halo[a]).min(size[a]));
    assert!(net.peak_bytes([1, seen[0], seen[1], seen[2]]).unwrap() <= 700 << 20);
    let small = net.fitting_tile(size, halo, 100 << 20).unwrap();
    assert!(small.tile[0] < tiling.tile[0] && small.tile[0] >= 8, "{small:?} {tiling:?}");
}

/// Its input, the longest branch's last map and another branch's, or what is being computed: the fewest that an
/// Inception-ResNet block can do with, one 3 x 3 x 3 convolution after the other.
#[test]
fn the_detector_holds_three_maps_of_full_resolution_at_once() {
    let spec = specs::vnet_ir_rpn(&[8, 16, 32, 64], 4);
    let net = Executor::new(&spec, &Weights::init(&spec, 1).unwrap()).unwrap();
    let map = 64 * 64 * 64 * 8 * size_of::<f32>();
    let peak = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let peak = peak.install(|| net.peak_bytes([1, 64, 64, 64]).unwrap());
    assert!(peak > 3 * map && peak < 4 * map, "{peak} bytes, {map} a map");
}

#[test]
fn results_do_not_depend_on_the_thread_count() {
    let spec = specs::vnet_ir_rpn(&[8, 8, 12, 16], 2);
    let net = Executor::new(&spec, &formula_weights(&spec)).unwrap();
    let run = |threads: usize| -> Vec<Tensor> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| net.run(&image(24 * 16 * 16), [1, 24, 16, 16], None).unwrap())
    };
    assert_eq!(run(1), run(3));
}
