//! Maxima and means over windows of any shape, against the plainest loop.

use pleura_kernels::{MaxPool, Shape, global_avg_pool, global_avg_pool_gradient};
use proptest::prelude::*;

/// Values with many ties, to hold the rule that the first of equals wins.
fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + seed * 104_729) % 31) as f32 - 15.0).collect()
}

/// For each result, the offset in `x` of the first of the largest cells of its window.
fn winners(pool: &MaxPool, x: &[f32], xs: Shape) -> Vec<usize> {
    let ys = pool.output(xs);
    let cell = |i: usize| {
        let (c, place) = (i % ys.c, i / ys.c);
        let o = [place / (ys.w * ys.h) % ys.d, place / ys.w % ys.h, place % ys.w];
        let n = place / (ys.w * ys.h * ys.d);
        let mut best = usize::MAX;
        for k in 0..pool.kernel.iter().product() {
            let k = [
                k / (pool.kernel[1] * pool.kernel[2]),
                k / pool.kernel[2] % pool.kernel[1],
                k % pool.kernel[2],
            ];
            let p: [usize; 3] = std::array::from_fn(|a| o[a] * pool.stride[a] + k[a]);
            if (0..3).any(|a| p[a] < pool.pad[a] || p[a] - pool.pad[a] >= xs.space()[a]) {
                continue;
            }
            let [d, h, w] = std::array::from_fn(|a| p[a] - pool.pad[a]);
            let at = (((n * xs.d + d) * xs.h + h) * xs.w + w) * xs.c + c;
            if best == usize::MAX || x[at] > x[best] {
                best = at;
            }
        }
        best
    };
    (0..ys.len()).map(cell).collect()
}

/// Cases of a random test; PROPTEST_CASES can make them fewer, for a checker that is slow.
fn cases(most: u32) -> u32 {
    ProptestConfig::default().cases.min(most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(80), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_maximum(
        n in 1usize..3, c in 1usize..10, size in prop::array::uniform3(3usize..8), seed in 0usize..99,
        kernel in prop::array::uniform3(1usize..4), stride in prop::array::uniform3(1usize..4),
        pad in prop::array::uniform3(0usize..3),
    ) {
        let pool = MaxPool { kernel, stride, pad: std::array::from_fn(|a| pad[a].min(kernel[a] - 1)) };
        let xs = Shape { n, d: size[0], h: size[1], w: size[2], c };
        let (x, len) = (values(xs.len(), seed), pool.output(xs).len());
        let (want, gy) = (winners(&pool, &x, xs), values(len, seed + 1));
        let (mut y, mut won, mut gx) = (vec![f32::NAN; len], vec![0; len], vec![f32::NAN; x.len()]);
        pool.forward(&x, xs, &mut y, &mut won);
        pool.gradient(&gy, xs, &won, &mut gx);
        prop_assert_eq!(y, want.iter().map(|&i| x[i]).collect::<Vec<_>>());
        let mut sums = vec![0.0; x.len()];
        want.iter().zip(&gy).for_each(|(&i, g)| sums[i] += g);
        prop_assert_eq!(gx, sums);
    }

    #[test]
    fn any_mean(n in 1usize..4, c in 1usize..20, size in prop::array::uniform3(1usize..6), seed in 0usize..99) {
        let xs = Shape { n, d: size[0], h: size[1], w: size[2], c };
        let (x, gy) = (values(xs.len(), seed), values(n * c, seed + 1));
        let (mut y, mut gx) = (vec![f32::NAN; n * c], vec![f32::NAN; x.len()]);
        global_avg_pool(&x, xs, &mut y);
        global_avg_pool_gradient(&gy, xs, &mut gx);
        let cells = xs.places() / n;
        for (i, y) in y.iter().enumerate() {
            let (s, k) = (i / c, i % c);
            let column = || (0..cells).map(|p| (s * cells + p) * c + k);
            let mean = column().map(|at| f64::from(x[at])).sum::<f64>() / cells as f64;
            prop_assert!((f64::from(*y) - mean).abs() < 1e-4);
            prop_assert!(column().all(|at| (f64::from(gx[at]) - f64::from(gy[i]) / cells as f64).abs() < 1e-5));
        }
    }
}
