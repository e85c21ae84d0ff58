//! The one-dimensional transforms of F(4, 3) with the points 0, a, -a, b, -b and infinity.
//!
//! a = 11/16 and b = 3/2 rather than the usual 1 and 2: with them the largest factors are near one
//! another, and the error of F(4 x 4, 3 x 3) in single precision is 2.4 times that of the direct sum
//! instead of five times (root mean square, 64 channels). All their products are exact.

use crate::isa::Vector;

/// Inputs of a tile along one axis.
pub(super) const SIDE: usize = 6;
/// Products of a tile.
pub(super) const POINTS: usize = SIDE * SIDE;

const A: f32 = 11.0 / 16.0;
const B: f32 = 1.5;

/// What the values of a kernel at 0, at a and -a, and at b and -b are divided by: the products of the point's distances
/// to the others.
const BY: [f64; 3] = {
    let (aa, bb) = ((A * A) as f64, (B * B) as f64);
    [1.0 / (aa * bb), 1.0 / (2.0 * aa * (aa - bb)), 1.0 / (2.0 * bb * (bb - aa))]
};

/// Kernels that are transformed at a time.
pub(super) const KERNELS: usize = 8;

/// The six points of each of some kernels `[g0, g1, g2]` along one axis, in double precision: the
/// values of g0 + g1 p + g2 p^2, divided by the product of p's distances to the other points.
#[inline(always)]
pub(super) fn kernel_points(g: [&[f64; KERNELS]; 3], points: &mut [[f64; KERNELS]; SIDE]) {
    let (a, b) = (f64::from(A), f64::from(B));
    let [by_none, by_a, by_b] = BY;
    for k in 0..KERNELS {
        let (even_a, even_b) = (g[0][k] + a * a * g[2][k], g[0][k] + b * b * g[2][k]);
        points[0][k] = g[0][k] * by_none;
        points[1][k] = (even_a + a * g[1][k]) * by_a;
        points[2][k] = (even_a - a * g[1][k]) * by_a;
        points[3][k] = (even_b + b * g[1][k]) * by_b;
        points[4][k] = (even_b - b * g[1][k]) * by_b;
        points[5][k] = g[2][k];
    }
}

// No closures below: the compiler might compile one apart, without the instruction set.

/// Six inputs to six points.
///
/// # Safety
/// The processor has the vector's instruction set.
#[inline(always)]
unsafe fn input<V: Vector>(d: [V; SIDE]) -> [V; SIDE] {
    // SAFETY: the caller's promise.
    unsafe {
        let (aa, bb) = (V::splat(-A * A), V::splat(-B * B));
        let (sum, product) = (V::splat(-(A * A + B * B)), V::splat(A * A * B * B));
        let first = d[4].add_product(sum, d[2]).add_product(product, d[0]);
        let last = d[5].add_product(sum, d[3]).add_product(product, d[1]);
        let (even_a, odd_a) = (d[4].add_product(bb, d[2]), d[3].add_product(bb, d[1]));
        let (even_b, odd_b) = (d[4].add_product(aa, d[2]), d[3].add_product(aa, d[1]));
        [
            first,
            even_a.add_product(V::splat(A), odd_a),
            even_a.add_product(V::splat(-A), odd_a),
            even_b.add_product(V::splat(B), odd_b),
            even_b.add_product(V::splat(-B), odd_b),
            last,
        ]
    }
}

/// Four values of a result's gradient to six points: the transpose of [`output`].
///
/// # Safety
/// The processor has the vector's instruction set.
#[inline(always)]
unsafe fn gradient<V: Vector>(g: [V; 4]) -> [V; SIDE] {
    // SAFETY: the caller's promise.
    unsafe {
        let (even_a, even_b) =
            (g[0].add_product(V::splat(A * A), g[2]), g[0].add_product(V::splat(B * B), g[2]));
        let odd_a = g[1].add_product(V::splat(A * A), g[3]).mul(V::splat(A));
        let odd_b = g[1].add_product(V::splat(B * B), g[3]).mul(V::splat(B));
        [g[0], even_a.add(odd_a), even_a.sub(odd_a), even_b.add(odd_b), even_b.sub(odd_b), g[3]]
    }
}

/// Six inputs, or four values of a result's gradient, to six points.
///
/// # Safety
/// The processor has the vector's instruction set.
#[inline(always)]
pub(super) unsafe fn points<V: Vector, const N: usize>(d: [V; N]) -> [V; SIDE] {
    const { assert!(N == SIDE || N == 4) };
    // SAFETY: the caller's promise.
    unsafe {
        let mut six = [V::splat(0.0); SIDE];
        six[..N].copy_from_slice(&d);
        if N == SIDE { input(six) } else { gradient([six[0], six[1], six[2], six[3]]) }
    }
}

/// Six points of a kernel's gradient to the gradient of its three weights: the transpose of [`kernel_points`].
///
/// # Safety
/// The processor has the vector's instruction set.
#[inline(always)]
pub(super) unsafe fn kernel_gradient<V: Vector>(m: [V; SIDE]) -> [V; 3] {
    let (a, b) = (f64::from(A), f64::from(B));
    let [by_none, by_a, by_b] = BY;
    // SAFETY: the caller's promise.
    unsafe {
        let none = V::splat(by_none as f32);
        let (by_a0, by_b0) = (V::splat(by_a as f32), V::splat(by_b as f32));
        let (by_a1, by_b1) = (V::splat((a * by_a) as f32), V::splat((b * by_b) as f32));
        let (by_a2, by_b2) = (V::splat((a * a * by_a) as f32), V::splat((b * b * by_b) as f32));
        let (sum_a, sum_b) = (m[1].add(m[2]), m[3].add(m[4]));
        [
            m[0].mul(none).add_product(by_a0, sum_a).add_product(by_b0, sum_b),
            m[1].sub(m[2]).mul(by_a1).add_product(by_b1, m[3].sub(m[4])),
            m[5].add_product(by_a2, sum_a).add_product(by_b2, sum_b),
        ]
    }
}

/// Six products to four results.
///
/// # Safety
/// The processor has the vector's instruction set.
#[inline(always)]
pub(super) unsafe fn output<V: Vector>(m: [V; SIDE]) -> [V; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let (sum_a, sum_b) = (m[1].add(m[2]), m[3].add(m[4]));
        let (odd_a, odd_b) = (m[1].sub(m[2]), m[3].sub(m[4]));
        [
            m[0].add(sum_a).add(sum_b),
            odd_a.mul(V::splat(A)).add_product(V::splat(B), odd_b),
            sum_a.mul(V::splat(A * A)).add_product(V::splat(B * B), sum_b),
            m[5].add_product(V::splat(A * A * A), odd_a).add_product(V::splat(B * B * B), odd_b),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Portable;

    #[test]
    fn a_row_by_hand() {
        // The kernel (1, 2, 4) over (1, 0, 3, -2, 5, 1): 1 + 0 + 12 = 13, 0 + 6 - 8 = -2,
        // 3 - 4 + 20 = 19, -2 + 10 + 4 = 12.
        let mut points = [[0.0; KERNELS]; SIDE];
        kernel_points([&[1.0; KERNELS], &[2.0; KERNELS], &[4.0; KERNELS]], &mut points);
        let mut got = [[0.0f32; 8]; 4];
        // SAFETY: plain Rust needs no instruction set; each array has room for eight lanes.
        unsafe {
            let d = input([1.0, 0.0, 3.0, -2.0, 5.0, 1.0].map(|v| Portable::splat(v)));
            let m = std::array::from_fn(|p| d[p].mul(Portable::splat(points[p][0] as f32)));
            for (to, v) in got.iter_mut().zip(output(m)) {
                v.store(to.as_mut_ptr());
            }
        }
        for (got, want) in got.into_iter().zip([13.0f32, -2.0, 19.0, 12.0]) {
            assert!((got[0] - want).abs() < 1e-5, "{} for {want}", got[0]);
        }
    }

    /// What each transform of the gradients is of one of the forward pass: <T u, v> = <u, T' v>.
    #[test]
    fn the_gradients_transforms_are_transposes() {
        fn lanes<const N: usize>(v: [Portable; N]) -> [f64; N] {
            v.map(|v| {
                let mut out = [0.0f32; 8];
                // SAFETY: plain Rust needs no instruction set; room for eight lanes.
                unsafe { v.store(out.as_mut_ptr()) };
                f64::from(out[0])
            })
        }
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (m, g, k) = ([3.0, -1.0, 2.0, 5.0, -4.0, 7.0], [2.0, -3.0, 1.0, 6.0], [5.0, -2.0, 4.0]);
        // SAFETY: plain Rust needs no instruction set.
        let (results, of_g, of_m) = unsafe {
            let all = m.map(|v| Portable::splat(v as f32));
            (output(all), points(g.map(|v| Portable::splat(v as f32))), kernel_gradient(all))
        };
        assert!((dot(&lanes(results), &g) - dot(&m, &lanes(of_g))).abs() < 1e-4);
        let mut of_k = [[0.0; KERNELS]; SIDE];
        kernel_points([&[k[0]; KERNELS], &[k[1]; KERNELS], &[k[2]; KERNELS]], &mut of_k);
        let of_k: Vec<f64> = of_k.iter().map(|p| p[0]).collect();
        assert!((dot(&of_k, &m) - dot(&k, &lanes(of_m))).abs() < 1e-4);
    }
}
