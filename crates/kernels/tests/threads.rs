//! The same bytes whatever the number of threads.

use pleura_kernels::{Act, Conv, Shape};

#[test]
fn the_thread_count_changes_no_bit() {
    let conv = Conv { c_in: 6, c_out: 10, kernel: [3; 3], stride: [1; 3], pad: [1; 3] };
    let xs = Shape { n: 2, d: 9, h: 10, w: 11, c: 6 };
    let x: Vec<f32> = (0..xs.len()).map(|i| ((i * 31 % 97) as f32).sin()).collect();
    let w: Vec<f32> = (0..10 * 6 * 27).map(|i| ((i * 17 % 89) as f32).cos()).collect();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let ys = conv.output(xs);
            let (mut y, mut gw, mut gb) = (vec![0.0; ys.len()], vec![0.0; w.len()], vec![0.0; 10]);
            conv.forward(&x, xs, &conv.pack(&w), None, None, Act::None, &mut y);
            conv.weight_gradient(&x, xs, &y, &mut gw, Some(&mut gb));
            let mut gx = vec![0.0; xs.len()];
            conv.input_gradient(&y, xs, &w, &mut gx);
            (y, gw, gb, gx)
        })
    };
    let one = run(1);
    assert!(one == run(2) && one == run(5));
}
