//! Batch normalisation against the textbook formula and finite differences.

use pleura_kernels::{Moments, batch_norm_backward, batch_norm_forward};

fn batch(places: usize, c: usize) -> Vec<f32> {
    (0..places * c).map(|i| ((i * 37 % 101) as f32 / 17.0 - 2.0) * (1.0 + (i % c) as f32)).collect()
}

#[test]
fn two_values_by_hand() {
    // Values 1 and 5: mean 3, variance 4; with eps 0 they become -1 and 1; times 2 plus 1: -1 and 3.
    let mut y = [0.0; 2];
    let m = batch_norm_forward(&[1.0, 5.0], &[2.0], &[1.0], 0.0, false, &mut y);
    assert_eq!(m, Moments { mean: vec![3.0], variance: vec![4.0] });
    assert_eq!(y, [-1.0, 3.0]);
    batch_norm_forward(&[1.0, 5.0], &[2.0], &[1.0], 0.0, true, &mut y);
    assert_eq!(y, [0.0, 3.0]);
}

#[test]
fn a_large_mean_does_not_spoil_the_variance() {
    let x: Vec<f32> = (0..20_000).map(|i| 1000.0 + (i % 2) as f32).collect();
    let m = batch_norm_forward(&x, &[1.0], &[0.0], 0.0, false, &mut vec![0.0; x.len()]);
    assert!((m.variance[0] - 0.25).abs() < 1e-6, "{m:?}");
}

#[test]
fn gradients_follow_finite_differences() {
    for relu in [false, true] {
        let (c, eps) = (3, 1e-3);
        let (x, weight, bias) = (batch(10, c), vec![0.7, -1.2, 0.4], vec![0.1, 0.2, -0.3]);
        let gy: Vec<f32> = (0..x.len()).map(|i| ((i * 13 % 7) as f32 - 3.0) / 3.0).collect();
        let mut y = vec![0.0; x.len()];
        let m = batch_norm_forward(&x, &weight, &bias, eps, relu, &mut y);
        let (mut gx, mut gw, mut gb) = (vec![0.0; x.len()], vec![0.0; c], vec![0.0; c]);
        batch_norm_backward(&x, &y, &gy, &weight, &m, eps, relu, &mut gx, &mut gw, &mut gb);

        let loss = |x: &[f32], w: &[f32], b: &[f32]| -> f64 {
            let mut y = vec![0.0; x.len()];
            batch_norm_forward(x, w, b, eps, relu, &mut y);
            y.iter().zip(&gy).map(|(y, g)| f64::from(*y) * f64::from(*g)).sum()
        };
        let slope = |values: &[f32], i: usize, loss: &dyn Fn(&[f32]) -> f64| -> f64 {
            let moved = |by: f32| {
                let mut v = values.to_vec();
                v[i] += by;
                loss(&v)
            };
            (moved(2e-3) - moved(-2e-3)) / 4e-3
        };
        let close = |got: f32, want: f64| assert!((f64::from(got) - want).abs() < 0.02, "{got} for {want}");
        (0..x.len()).for_each(|i| close(gx[i], slope(&x, i, &|v| loss(v, &weight, &bias))));
        (0..c).for_each(|i| close(gw[i], slope(&weight, i, &|v| loss(&x, v, &bias))));
        (0..c).for_each(|i| close(gb[i], slope(&bias, i, &|v| loss(&x, &weight, v))));
    }
}
