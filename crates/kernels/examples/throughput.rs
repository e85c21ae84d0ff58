//! Prints GFLOP/s (counted as direct convolution) of 3 x 3 x 3 convolutions, forward and backward.
//! `cargo run --release -p pleura-kernels --example throughput`

use pleura_kernels::{Act, Conv, Isa, Shape};
use std::time::Instant;

fn best(mut work: impl FnMut()) -> f64 {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..4).map(|_| time(&mut work)).fold(f64::INFINITY, f64::min)
}

fn main() {
    println!("{} threads", rayon::current_num_threads());
    println!("{:>12} {:>9} {:>9} {:>9} {:>9}", "shape", "set", "forward", "input", "weights");
    for (c_in, c, edge) in [(1, 8, 96), (8, 8, 48), (16, 16, 96), (32, 32, 48), (64, 64, 24), (128, 128, 12)]
    {
        let conv = Conv { c_in, c_out: c, kernel: [3; 3], stride: [1; 3], pad: [1; 3] };
        let xs = Shape { n: 1, d: edge, h: edge, w: edge, c: c_in };
        let (x, w) = (vec![0.5f32; xs.len()], vec![0.25f32; c * c_in * 27]);
        let (mut y, mut gx, mut gw) = (vec![0.0; conv.output(xs).len()], x.clone(), w.clone());
        let packed = conv.pack(&w);
        for isa in Isa::available() {
            let forward = best(|| conv.forward_on(isa, &x, xs, &packed, None, None, Act::Relu, &mut y));
            let input = best(|| conv.input_gradient_on(isa, &y, xs, &w, &mut gx));
            let weights = best(|| conv.weight_gradient_on(isa, &x, xs, &y, &mut gw, None));
            let rate = |seconds: f64| conv.flops(xs) / seconds / 1e9;
            println!(
                "{:>12} {:>9} {:>9.0} {:>9.0} {:>9.0}",
                format!("{c_in}-{c} {edge}^3"),
                format!("{isa:?}"),
                rate(forward),
                rate(input),
                rate(weights)
            );
        }
    }
}
