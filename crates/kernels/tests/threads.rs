//! The same bytes whatever the number of threads.

#![allow(clippy::unwrap_used)]

use pleura_kernels::{Conv, Finish, Isa, Method, Shape};

fn check(c_in: usize, c_out: usize, xs: Shape, method: Method) {
    let conv = Conv { c_in, c_out, kernel: [3; 3], stride: [1; 3], pad: [1; 3] };
    assert_eq!(conv.method(xs), method);
    let x: Vec<f32> = (0..xs.len()).map(|i| ((i * 31 % 97) as f32).sin()).collect();
    let w: Vec<f32> = (0..c_out * c_in * 27).map(|i| ((i * 17 % 89) as f32).cos()).collect();
    let run = |isa: Isa, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let ys = conv.output(xs);
            let (mut y, mut gw, mut gb) = (vec![0.0; ys.len()], vec![0.0; w.len()], vec![0.0; c_out]);
            conv.forward(isa, &x, xs, &conv.pack(&w), &Finish::default(), &mut y);
            conv.weight_gradient(isa, &x, xs, &y, &mut gw, Some(&mut gb));
            let mut gx = vec![0.0; xs.len()];
            conv.input_gradient(isa, &y, xs, &w, &mut gx);
            (y, gw, gb, gx)
        })
    };
    for isa in Isa::available() {
        let one = run(isa, 1);
        assert!(one == run(isa, 2) && one == run(isa, 5));
    }
}

#[test]
fn the_thread_count_changes_no_bit() {
    check(1, 10, Shape { n: 2, d: 9, h: 10, w: 11, c: 1 }, Method::Direct);
    // In one job that threads share, and in jobs of their own.
    check(16, 10, Shape { n: 2, d: 5, h: 10, w: 11, c: 16 }, Method::Winograd);
    check(16, 10, Shape { n: 1, d: 20, h: 40, w: 41, c: 16 }, Method::Winograd);
    // The lanes of two tiles in turns, forward and backward.
    check(8, 8, Shape { n: 2, d: 20, h: 40, w: 48, c: 8 }, Method::Winograd);
}
