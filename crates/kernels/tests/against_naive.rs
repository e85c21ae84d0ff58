//! Every kernel against the plainest loop in double precision, on every instruction set that this
//! machine has; every gradient as the transpose of its forward pass.

use pleura_kernels::{Act, Conv, Finish, Isa, Linear, MaxPool, Method, Shape, Stored, UpConv};
use proptest::prelude::*;

/// Values in -1..1 that repeat for the same seed.
fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32) / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn offset(s: Shape, n: usize, p: [isize; 3], c: usize) -> Option<usize> {
    let inside = |a: usize| p[a] >= 0 && (p[a] as usize) < s.space()[a];
    let [d, h, w] = p.map(|v| v.max(0) as usize);
    (inside(0) && inside(1) && inside(2)).then(|| (((n * s.d + d) * s.h + h) * s.w + w) * s.c + c)
}

/// Calls `visit(output offset, input offset, weight offset)` for every product of the convolution.
fn products(conv: &Conv, xs: Shape, mut visit: impl FnMut(usize, usize, usize)) {
    let ys = conv.output(xs);
    let [kd, kh, kw] = conv.kernel;
    for y in 0..ys.places() {
        let (ow, oh, od, n) = (y % ys.w, y / ys.w % ys.h, y / (ys.w * ys.h) % ys.d, y / (ys.w * ys.h * ys.d));
        for tap in 0..kd * kh * kw {
            let k = [tap / (kh * kw), tap / kw % kh, tap % kw];
            let at = std::array::from_fn(|a| {
                ([od, oh, ow][a] * conv.stride[a] + k[a]) as isize - conv.pad[a] as isize
            });
            for i in 0..conv.c_in {
                let Some(x) = offset(xs, n, at, i) else { continue };
                (0..conv.c_out)
                    .for_each(|o| visit(y * conv.c_out + o, x, (o * conv.c_in + i) * kd * kh * kw + tap));
            }
        }
    }
}

/// Within a hundred-thousandth of the largest value.
fn close(got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(1.0f64, |m, w| m.max(w.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(*g) - w).abs() <= 1e-5 * largest, "at {i}: {g} for {w}");
    }
}

fn check(conv: Conv, xs: Shape, seed: u64) {
    let ys = conv.output(xs);
    let x = values(xs.len(), seed);
    let w = values(conv.c_out * conv.c_in * conv.taps(), seed + 1);
    let (bias, r) = (values(conv.c_out, seed + 2), values(ys.len(), seed + 3));
    let (slope, gy) = (values(conv.c_out, seed + 4), values(ys.len(), seed + 5));
    let (mut sum, mut gx, mut gw) = (vec![0.0f64; ys.len()], vec![0.0f64; xs.len()], vec![0.0f64; w.len()]);
    products(&conv, xs, |yi, xi, wi| {
        let [xv, wv, gv] = [x[xi], w[wi], gy[yi]].map(f64::from);
        sum[yi] += xv * wv;
        gx[xi] += gv * wv;
        gw[wi] += gv * xv;
    });
    let mut gb = vec![0.0f64; conv.c_out];
    gy.iter().enumerate().for_each(|(i, g)| gb[i % conv.c_out] += f64::from(*g));
    let with_bias = |i: usize| sum[i] + f64::from(bias[i % conv.c_out]);
    let residual = |i: usize| f64::from(r[i]) + 0.25 * with_bias(i);
    let packed = conv.pack(&w);
    for isa in Isa::available() {
        let mut y = vec![f32::NAN; ys.len()];
        conv.forward(isa, &x, xs, &packed, &Finish::default(), &mut y);
        close(&y, &sum);
        let finish = Finish { bias: Some(&bias), residual: Some((Stored::Array(&r), 0.25)), act: Act::Relu };
        conv.forward(isa, &x, xs, &packed, &finish, &mut y);
        let mut in_place = r.clone();
        let own = Finish { residual: Some((Stored::InPlace, 0.25)), ..finish };
        conv.forward(isa, &x, xs, &packed, &own, &mut in_place);
        assert_eq!(y, in_place);
        close(&y, &(0..y.len()).map(|i| residual(i).max(0.0)).collect::<Vec<_>>());
        let finish = Finish { bias: Some(&bias), residual: None, act: Act::Relu };
        conv.forward(isa, &x, xs, &packed, &finish, &mut y);
        close(&y, &(0..y.len()).map(|i| with_bias(i).max(0.0)).collect::<Vec<_>>());
        let finish = Finish { bias: Some(&bias), residual: None, act: Act::PRelu(&slope) };
        conv.forward(isa, &x, xs, &packed, &finish, &mut y);
        let prelu = |v: f64, s: f32| if v < 0.0 { v * f64::from(s) } else { v };
        close(&y, &(0..y.len()).map(|i| prelu(with_bias(i), slope[i % conv.c_out])).collect::<Vec<_>>());
        let finish = Finish { residual: Some((Stored::Array(&r), 0.25)), ..finish };
        conv.forward(isa, &x, xs, &packed, &finish, &mut y);
        close(&y, &(0..y.len()).map(|i| prelu(residual(i), slope[i % conv.c_out])).collect::<Vec<_>>());

        let mut got = vec![f32::NAN; xs.len()];
        conv.input_gradient(isa, &gy, xs, &w, &mut got);
        close(&got, &gx);
        let (mut got, mut got_bias) = (vec![f32::NAN; w.len()], vec![f32::NAN; conv.c_out]);
        conv.weight_gradient(isa, &x, xs, &gy, &mut got, Some(&mut got_bias));
        close(&got, &gw);
        close(&got_bias, &gb);
    }
}

#[test]
fn the_shapes_that_the_networks_use() {
    let s = |n, d, h, w, c| Shape { n, d, h, w, c };
    let conv = |c_in, c_out, k, st, p| Conv { c_in, c_out, kernel: k, stride: st, pad: p };
    check(conv(1, 8, [3; 3], [1; 3], [1; 3]), s(2, 5, 6, 13, 1), 1);
    check(conv(16, 24, [3; 3], [1; 3], [1; 3]), s(1, 4, 5, 7, 16), 2);
    check(conv(12, 20, [1; 3], [1; 3], [0; 3]), s(2, 3, 3, 8, 12), 3);
    check(conv(8, 16, [2; 3], [2; 3], [0; 3]), s(2, 4, 6, 8, 8), 4);
    check(conv(8, 1, [1; 3], [1; 3], [0; 3]), s(1, 3, 4, 5, 8), 5);
    check(conv(32, 33, [1; 3], [1; 3], [0; 3]), s(1, 1, 4, 5, 32), 10);
    check(conv(256, 17, [1; 3], [1; 3], [0; 3]), s(1, 1, 3, 7, 256), 11);
    // One vector of weights on the widest set, all heights of tiles: 24 + 12 + 6 + 5 places.
    for c_in in [8, 16, 32, 64, 128, 256, 24] {
        check(conv(c_in, 16, [1; 3], [1; 3], [0; 3]), s(1, 1, 1, 47, c_in), 12);
    }
    check(conv(1, 32, [1, 7, 7], [1, 2, 2], [0, 3, 3]), s(3, 1, 16, 16, 1), 6);
    check(conv(32, 40, [1, 3, 3], [1, 2, 2], [0, 1, 1]), s(2, 1, 9, 8, 32), 7);
    check(conv(9, 33, [1; 3], [1, 2, 2], [0; 3]), s(2, 1, 8, 8, 9), 8);
    // Patches that leave a rest of each axis, or of none.
    check(conv(5, 3, [2; 3], [2; 3], [0; 3]), s(2, 5, 5, 7, 5), 13);
    check(conv(4, 6, [1, 2, 3], [1, 2, 3], [0; 3]), s(2, 3, 5, 11, 4), 14);
    // Long enough for several parts, groups of rows and pieces of the weight gradient.
    check(conv(40, 24, [1, 1, 3], [1; 3], [0, 0, 1]), s(1, 2, 40, 90, 40), 9);
}

#[test]
fn what_is_infinite_stays_so_where_runs_are_odd() {
    let conv = Conv { c_in: 1, c_out: 1, kernel: [1, 1, 3], stride: [1; 3], pad: [0; 3] };
    let (x, xs) = ([1.0, 2.0, f32::INFINITY], Shape { n: 1, d: 1, h: 1, w: 3, c: 1 });
    for isa in Isa::available() {
        let mut y = [0.0];
        conv.forward(isa, &x, xs, &conv.pack(&[1.0, 1.0, 1.0]), &Finish::default(), &mut y);
        assert_eq!(y, [f32::INFINITY], "{isa:?}");
    }
}

/// By Winograd's method, forward and gradients alike.
fn check_winograd(conv: Conv, xs: Shape, seed: u64) {
    assert_eq!(conv.method(xs), Method::Winograd, "{conv:?} {xs:?}");
    check(conv, xs, seed);
}

#[test]
fn winograd_at_any_edge_and_tail() {
    let s = |n, d, h, w, c| Shape { n, d, h, w, c };
    let conv = |c_in, c_out, depth, pad| Conv { c_in, c_out, kernel: [depth, 3, 3], stride: [1; 3], pad };
    check_winograd(conv(16, 16, 3, [1; 3]), s(1, 3, 8, 8, 16), 1);
    check_winograd(conv(8, 8, 3, [1; 3]), s(2, 2, 7, 15, 8), 2);
    // Channels that fill no vector, panels of 32, 16 and 8 channels.
    check_winograd(conv(19, 61, 3, [1; 3]), s(1, 3, 8, 11, 19), 3);
    check_winograd(conv(9, 35, 1, [0, 1, 1]), s(3, 1, 11, 4, 9), 4);
    // Padding of nothing and of two; samples several slices deep in a plane network.
    check_winograd(conv(12, 20, 3, [0, 0, 2]), s(2, 6, 10, 12, 12), 5);
    check_winograd(conv(24, 10, 1, [0, 2, 0]), s(2, 3, 13, 11, 24), 6);
    check_winograd(conv(16, 16, 2, [1, 1, 1]), s(2, 4, 5, 8, 16), 7);
    // A tile of a row at a time, padding wider and narrower than one.
    check_winograd(conv(64, 16, 2, [1, 1, 2]), s(1, 2, 8, 21, 64), 8);
    check_winograd(conv(128, 8, 1, [0, 1, 0]), s(1, 1, 8, 22, 128), 9);
    // Two tiles of eight channels at a time, in several strips.
    check_winograd(conv(8, 8, 3, [1; 3]), s(1, 2, 9, 61, 8), 10);
    // Two tiles' channels in turns: whole and cut tiles, fewer results than lanes, channels in strips of two tiles, an
    // odd number of tiles, where they are not.
    check_winograd(conv(16, 8, 3, [1; 3]), s(2, 3, 9, 29, 16), 13);
    check_winograd(conv(8, 3, 3, [1; 3]), s(1, 20, 24, 64, 8), 14);
    check_winograd(conv(48, 5, 3, [1; 3]), s(1, 2, 8, 23, 48), 15);
    check_winograd(conv(8, 8, 3, [1; 3]), s(2, 12, 60, 48, 8), 18);
    check_winograd(conv(32, 8, 1, [0, 1, 1]), s(1, 2, 6, 16, 32), 16);
    check_winograd(conv(16, 8, 3, [1; 3]), s(1, 2, 8, 20, 16), 17);
    // A weight gradient of several jobs, but too few parts for sums of their own.
    check_winograd(conv(120, 8, 1, [0, 1, 1]), s(1, 1, 64, 72, 120), 11);
    // Far more channels out than in.
    check_winograd(conv(8, 72, 1, [0, 1, 1]), s(1, 1, 41, 42, 8), 12);
}

#[test]
fn winograd_in_several_jobs() {
    let s = |n, d, h, w, c| Shape { n, d, h, w, c };
    let conv = |depth, pad| Conv { c_in: 40, c_out: 9, kernel: [depth, 3, 3], stride: [1; 3], pad };
    // Cut along depth and height, the last job smaller; and along the samples of a batch.
    check_winograd(conv(3, [1; 3]), s(1, 11, 33, 34, 40), 1);
    check_winograd(conv(3, [1; 3]), s(5, 3, 33, 30, 40), 2);
    check_winograd(conv(1, [0, 1, 1]), s(23, 1, 30, 31, 40), 3);
}

#[test]
fn winograd_leaves_out_padding_along_depth() {
    let s = |n, d, h, w| Shape { n, d, h, w, c: 16 };
    let conv =
        |depth, pad| Conv { c_in: 16, c_out: 16, kernel: [depth, 3, 3], stride: [1; 3], pad: [pad, 1, 1] };
    // Many positions at each depth, so that those at the ends are multiplied apart; too few of them; one slice.
    check_winograd(conv(3, 1), s(3, 3, 8, 9), 1);
    check_winograd(conv(3, 2), s(4, 2, 12, 8), 2);
    check_winograd(conv(3, 1), s(5, 3, 4, 7), 3);
    check_winograd(conv(3, 1), s(6, 1, 9, 12), 4);
    // Jobs cut along depth, with many positions at each.
    for (depth, pad) in [(3, 1), (3, 0), (3, 2), (2, 1)] {
        let conv = Conv { c_in: 8, c_out: 8, kernel: [depth, 3, 3], stride: [1; 3], pad: [pad, 1, 1] };
        check_winograd(conv, Shape { n: 1, d: 14, h: 76, w: 48, c: 8 }, 7);
    }
    // A kernel that sees nothing but padding at the ends, on buffers that hold what others left.
    let (conv, xs) = (conv(3, 4), s(3, 2, 12, 9));
    assert_eq!(conv.method(xs), Method::Winograd);
    let (x, w, mut sum) = (values(xs.len(), 5), values(16 * 16 * 27, 6), vec![0.0; conv.output(xs).len()]);
    products(&conv, xs, |yi, xi, wi| sum[yi] += f64::from(x[xi]) * f64::from(w[wi]));
    for isa in Isa::available() {
        let mut y = vec![f32::NAN; sum.len()];
        conv.forward(isa, &x, xs, &conv.pack(&w), &Finish::default(), &mut y);
        close(&y, &sum);
    }
}

/// Cases of a random test; PROPTEST_CASES can make them fewer, for a checker that is slow.
fn cases(most: u32) -> u32 {
    ProptestConfig::default().cases.min(most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(60), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_winograd(
        c_in in 8usize..26, c_out in 8usize..40, n in 1usize..3, depth in 1usize..4, d in 3usize..5,
        pad in prop::array::uniform3(0usize..3), h in 3usize..14, w in 3usize..14, seed in 0u64..1000,
    ) {
        let pad = [pad[0].min(depth - 1), pad[1], pad[2]];
        let conv = Conv { c_in, c_out, kernel: [depth, 3, 3], stride: [1; 3], pad };
        let xs = Shape { n, d, h, w, c: c_in };
        prop_assume!(conv.method(xs) == Method::Winograd);
        check(conv, xs, seed);
    }

    #[test]
    fn any_convolution(
        c_in in 1usize..20, c_out in 1usize..35, n in 1usize..3,
        kernel in prop::array::uniform3(1usize..4), stride in prop::array::uniform3(1usize..3),
        pad in prop::array::uniform3(0usize..3), size in prop::array::uniform3(3usize..9), seed in 0u64..1000,
    ) {
        let pad = std::array::from_fn(|a| pad[a].min(kernel[a] - 1));
        let shape = Shape { n, d: size[0], h: size[1], w: size[2], c: c_in };
        check(Conv { c_in, c_out, kernel, stride, pad }, shape, seed);
    }
}

#[test]
fn doubling_an_axis_by_hand() {
    // One input channel of value 3 at one place: the result is 3 times the kernel, plus the bias.
    let up = UpConv { c_in: 1, c_out: 2 };
    let weight: Vec<f32> = (0..16).map(|i| i as f32).collect();
    let xs = Shape { n: 1, d: 1, h: 1, w: 1, c: 1 };
    let mut y = vec![0.0; 16];
    let finish = Finish { bias: Some(&[100.0, 200.0]), ..Finish::default() };
    up.forward(Isa::best(), &[3.0], xs, &up.pack(&weight), &finish, &mut y);
    for t in 0..8 {
        assert_eq!((y[t * 2], y[t * 2 + 1]), (100.0 + 3.0 * t as f32, 200.0 + 3.0 * (8 + t) as f32));
    }
}

fn wide(v: &[f32]) -> Vec<f64> {
    v.iter().map(|v| f64::from(*v)).collect()
}

/// An up-convolution is the transpose of a convolution of stride 2, which is checked by itself.
fn check_up(isa: Isa, c_in: usize, c_out: usize) {
    let (up, xs) = (UpConv { c_in, c_out }, Shape { n: 2, d: 3, h: 2, w: 4, c: c_in });
    let ys = up.output(xs);
    let down = Conv { c_in: c_out, c_out: c_in, kernel: [2; 3], stride: [2; 3], pad: [0; 3] };
    let (x, gy, w) = (values(xs.len(), 1), values(ys.len(), 2), values(c_in * c_out * 8, 3));

    let (mut y, mut transposed) = (vec![f32::NAN; ys.len()], vec![f32::NAN; ys.len()]);
    up.forward(isa, &x, xs, &up.pack(&w), &Finish::default(), &mut y);
    down.input_gradient(isa, &x, ys, &w, &mut transposed);
    close(&y, &wide(&transposed));
    let (bias, slope, r) = (values(c_out, 4), values(c_out, 5), values(ys.len(), 6));
    for residual in [None, Some((Stored::Array(&r[..]), 0.25))] {
        let finish = Finish { bias: Some(&bias), residual, act: Act::PRelu(&slope) };
        up.forward(isa, &x, xs, &up.pack(&w), &finish, &mut y);
        let finished = |(i, v): (usize, &f32)| {
            let v = f64::from(*v) + f64::from(bias[i % c_out]);
            let v = if residual.is_some() { f64::from(r[i]) + 0.25 * v } else { v };
            if v < 0.0 { v * f64::from(slope[i % c_out]) } else { v }
        };
        close(&y, &transposed.iter().enumerate().map(finished).collect::<Vec<_>>());
        if residual.is_some() {
            let (mut in_place, residual) = (r.clone(), Some((Stored::InPlace, 0.25)));
            up.forward(isa, &x, xs, &up.pack(&w), &Finish { residual, ..finish }, &mut in_place);
            assert_eq!(in_place, y);
        }
    }

    let (mut gx, mut forward) = (vec![f32::NAN; xs.len()], vec![f32::NAN; xs.len()]);
    up.input_gradient(isa, &gy, xs, &w, &mut gx);
    down.forward(isa, &gy, ys, &down.pack(&w), &Finish::default(), &mut forward);
    close(&gx, &wide(&forward));

    let (mut gw, mut swapped, mut gb) = (vec![0.0; w.len()], vec![0.0; w.len()], vec![0.0; c_out]);
    up.weight_gradient(isa, &x, xs, &gy, &mut gw, Some(&mut gb));
    down.weight_gradient(isa, &gy, ys, &x, &mut swapped, None);
    close(&gw, &wide(&swapped));
    let sum = |c: usize| gy.iter().skip(c).step_by(c_out).map(|v| f64::from(*v)).sum();
    close(&gb, &(0..c_out).map(sum).collect::<Vec<_>>());
}

#[test]
fn up_convolution_is_the_transpose_of_a_stride_2_convolution() {
    for isa in Isa::available() {
        // Two places of a row are ended as one: of two to sixty-six channels.
        for (c_in, c_out) in [(9, 5), (32, 8), (16, 33), (1, 24), (6, 4), (2, 1), (8, 2), (3, 3)] {
            check_up(isa, c_in, c_out);
        }
    }
}

#[test]
fn a_full_connection_by_hand() {
    let isa = Isa::best();
    let linear = Linear { c_in: 2, c_out: 3 };
    let (x, w) = ([1.0, 2.0, -1.0, 0.5], [1.0, 0.0, 0.0, 1.0, 2.0, 2.0]);
    let mut y = [0.0; 6];
    let finish = Finish { bias: Some(&[0.0, 10.0, 0.0]), residual: None, act: Act::Relu };
    linear.forward(isa, &x, 2, &linear.pack(&w), &finish, &mut y);
    assert_eq!(y, [1.0, 12.0, 6.0, 0.0, 10.5, 0.0]);
    let mut gx = [0.0; 4];
    linear.input_gradient(isa, &[1.0, 0.0, 0.0, 0.0, 1.0, 1.0], 2, &w, &mut gx);
    assert_eq!(gx, [1.0, 0.0, 2.0, 3.0]);
    let (mut gw, mut gb) = ([0.0; 6], [0.0; 3]);
    linear.weight_gradient(isa, &x, 2, &[1.0, 0.0, 0.0, 0.0, 1.0, 1.0], &mut gw, Some(&mut gb));
    assert_eq!(gw, [1.0, 2.0, -1.0, 0.5, -1.0, 0.5]);
    assert_eq!(gb, [1.0, 1.0, 1.0]);
}

#[test]
fn the_largest_of_each_window_and_its_gradient_by_hand() {
    let pool = MaxPool { kernel: [1, 3, 3], stride: [1, 2, 2], pad: [0, 1, 1] };
    let xs = Shape { n: 1, d: 1, h: 3, w: 3, c: 1 };
    let x = [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0, -9.0];
    let (mut y, mut won, mut gx) = ([0.0; 4], [0; 4], [9.0; 9]);
    pool.forward(&x, xs, &mut y, &mut won);
    assert_eq!((y, won), ([-1.0, -2.0, -4.0, -5.0], [0, 1, 3, 4]));
    pool.gradient(&[1.0, 2.0, 3.0, 4.0], xs, &won, &mut gx);
    assert_eq!(gx, [1.0, 2.0, 0.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
}

/// Threads that meet at weights not yet packed: none may wait for a job that waits for it.
#[test]
fn many_jobs_may_need_the_same_new_weights_at_once() {
    use rayon::prelude::*;
    let conv = Conv { c_in: 32, c_out: 256, kernel: [1, 3, 3], stride: [1; 3], pad: [0, 1, 1] };
    let xs = Shape { n: 1, d: 1, h: 4, w: 4, c: 32 };
    let (x, w) = (values(xs.len(), 1), values(conv.c_out * conv.c_in * conv.taps(), 2));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(8).build().unwrap();
    let run = |packed: &pleura_kernels::Packed| {
        let mut y = vec![0.0; conv.output(xs).len()];
        conv.forward(Isa::best(), &x, xs, packed, &Finish::default(), &mut y);
        y
    };
    let want = run(&conv.pack(&w));
    pool.install(|| {
        for _ in 0..40 {
            let packed = conv.pack(&w);
            assert!((0..64).into_par_iter().with_max_len(1).all(|_| run(&packed) == want));
        }
    });
}
