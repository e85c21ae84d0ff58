//! Every operation against PyTorch 2.15 (`pytorch.py` writes `pytorch.txt`).
#![allow(clippy::unwrap_used)]

use pleura_kernels::{
    Act, Conv, Finish, Isa, Linear, MaxPool, Shape, UpConv, global_avg_pool, global_avg_pool_gradient,
};

/// The numbers of `values` in the script.
fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + seed * 104_729) % 16_381) as f32 / 8192.0 - 8190.0 / 8192.0).collect()
}

fn expect(case: &str, name: &str, got: &[f32]) {
    let line = include_str!("pytorch.txt").lines().find_map(|l| l.strip_prefix(&format!("{case} {name} ")));
    let want: Vec<f64> = line.unwrap().split(' ').map(|v| v.parse().unwrap()).collect();
    assert_eq!(got.len(), want.len(), "{case} {name}");
    let largest = want.iter().fold(1.0f64, |m, w| m.max(w.abs()));
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        assert!((f64::from(*g) - w).abs() <= 1e-5 * largest, "{case} {name} at {i}: {g} for {w}");
    }
}

fn expect_all(case: &str, got: [(&str, &Vec<f32>); 4]) {
    got.iter().for_each(|(name, values)| expect(case, name, values));
}

fn shape([n, d, h, w, c]: [usize; 5]) -> Shape {
    Shape { n, d, h, w, c }
}

fn biased(bias: &[f32]) -> Finish<'_> {
    Finish { bias: Some(bias), ..Finish::default() }
}

/// A result to be overwritten: what is left of it would show.
fn blank(len: usize) -> Vec<f32> {
    vec![f32::NAN; len]
}

fn check_conv(case: &str, xs: Shape, c_out: usize, kernel: [usize; 3], stride: [usize; 3], pad: [usize; 3]) {
    let conv = Conv { c_in: xs.c, c_out, kernel, stride, pad };
    let (x, w) = (values(xs.len(), 1), values(c_out * xs.c * conv.taps(), 2));
    let (b, gy) = (values(c_out, 3), values(conv.output(xs).len(), 9));
    for isa in Isa::available() {
        let (mut y, mut gx, mut gw, mut gb) = (blank(gy.len()), blank(x.len()), blank(w.len()), blank(c_out));
        conv.forward(isa, &x, xs, &conv.pack(&w), &biased(&b), &mut y);
        conv.input_gradient(isa, &gy, xs, &w, &mut gx);
        conv.weight_gradient(isa, &x, xs, &gy, &mut gw, Some(&mut gb));
        expect_all(case, [("y", &y), ("gx", &gx), ("gw", &gw), ("gb", &gb)]);
    }
}

#[test]
fn convolutions() {
    check_conv("conv_same", shape([2, 3, 4, 5, 3]), 9, [3; 3], [1; 3], [1; 3]);
    check_conv("conv_halving", shape([1, 4, 5, 6, 8]), 10, [2; 3], [2; 3], [0; 3]);
    check_conv("conv_plane", shape([2, 1, 9, 8, 1]), 5, [1, 7, 7], [1, 2, 2], [0, 3, 3]);
    check_conv("conv_point", shape([1, 2, 3, 3, 12]), 17, [1; 3], [1; 3], [0; 3]);
    check_conv("conv_strided", shape([2, 1, 7, 6, 8]), 9, [1, 3, 3], [1, 2, 2], [0, 1, 1]);
    check_conv("conv_short", shape([2, 1, 5, 6, 9]), 8, [1; 3], [1, 2, 2], [0; 3]);
    check_conv("conv_winograd", shape([1, 3, 8, 9, 8]), 10, [3; 3], [1; 3], [1; 3]);
}

#[test]
fn up_convolution() {
    let (up, xs) = (UpConv { c_in: 4, c_out: 3 }, shape([2, 2, 1, 3, 4]));
    let (x, w, b) = (values(xs.len(), 1), values(4 * 3 * 8, 2), values(3, 3));
    let gy = values(up.output(xs).len(), 9);
    let (mut y, mut gx, mut gw, mut gb) = (blank(gy.len()), blank(x.len()), blank(w.len()), blank(3));
    for isa in Isa::available() {
        up.forward(isa, &x, xs, &up.pack(&w), &biased(&b), &mut y);
        up.input_gradient(isa, &gy, xs, &w, &mut gx);
        up.weight_gradient(isa, &x, xs, &gy, &mut gw, Some(&mut gb));
        expect_all("up", [("y", &y), ("gx", &gx), ("gw", &gw), ("gb", &gb)]);
    }
}

#[test]
fn largest_of_each_window() {
    let pool = MaxPool { kernel: [2, 3, 3], stride: [1, 2, 2], pad: [0, 1, 1] };
    let xs = shape([1, 3, 6, 5, 2]);
    let (x, len) = (values(xs.len(), 1), pool.output(xs).len());
    let (mut y, mut won, mut gx) = (blank(len), vec![0; len], blank(x.len()));
    pool.forward(&x, xs, &mut y, &mut won);
    pool.gradient(&values(len, 9), xs, &won, &mut gx);
    expect("pool", "y", &y);
    expect("pool", "gx", &gx);
}

#[test]
fn full_connection() {
    let full = Linear { c_in: 5, c_out: 4 };
    let (x, w, b, gy) = (values(15, 1), values(20, 2), values(4, 3), values(12, 9));
    for isa in Isa::available() {
        let (mut y, mut gx, mut gw, mut gb) = (blank(12), blank(15), blank(20), blank(4));
        full.forward(isa, &x, 3, &full.pack(&w), &biased(&b), &mut y);
        full.input_gradient(isa, &gy, 3, &w, &mut gx);
        full.weight_gradient(isa, &x, 3, &gy, &mut gw, Some(&mut gb));
        expect_all("full", [("y", &y), ("gx", &gx), ("gw", &gw), ("gb", &gb)]);
    }
}

#[test]
fn mean_over_space() {
    let xs = shape([2, 2, 3, 2, 3]);
    let (mut y, mut gx) = (blank(6), blank(xs.len()));
    global_avg_pool(&values(xs.len(), 1), xs, &mut y);
    global_avg_pool_gradient(&values(6, 9), xs, &mut gx);
    expect("mean", "y", &y);
    expect("mean", "gx", &gx);
}

#[test]
fn parametric_rectifier() {
    let (xs, conv) =
        (shape([1, 2, 2, 3, 2]), Conv { c_in: 2, c_out: 3, kernel: [1; 3], stride: [1; 3], pad: [0; 3] });
    let packed = conv.pack(&values(6, 2));
    let slope = values(3, 3);
    let finish = Finish { act: Act::PRelu(&slope), ..Finish::default() };
    for isa in Isa::available() {
        let mut y = blank(12 * 3);
        conv.forward(isa, &values(xs.len(), 1), xs, &packed, &finish, &mut y);
        expect("prelu", "y", &y);
    }
}
