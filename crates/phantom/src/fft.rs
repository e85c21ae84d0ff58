//! A radix-2 Fourier transform, for tiles of noise with a given spectrum.

use rayon::prelude::*;

/// Complex number.
type Complex = (f32, f32);

/// In-place transform of `data`, whose length is a power of two.
fn transform(data: &mut [Complex], roots: &[Complex]) {
    let n = data.len();
    let bits = n.trailing_zeros();
    for i in 0..n {
        let j = i.reverse_bits() >> (usize::BITS - bits);
        if j > i {
            data.swap(i, j);
        }
    }
    let mut half = 1;
    while half < n {
        let stride = n / (2 * half);
        for block in data.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (k, (a, b)) in low.iter_mut().zip(high).enumerate() {
                let (c, s) = roots[k * stride];
                let t = (b.0 * c - b.1 * s, b.0 * s + b.1 * c);
                *b = (a.0 - t.0, a.1 - t.1);
                *a = (a.0 + t.0, a.1 + t.1);
            }
        }
        half *= 2;
    }
}

/// Two-dimensional transform of a square of edge `n` (a power of two), sign +, not scaled.
pub(crate) fn transform_2d(data: &mut [Complex], n: usize) {
    let roots: Vec<Complex> = (0..n / 2)
        .map(|k| {
            let a = std::f64::consts::TAU * k as f64 / n as f64;
            (libm::cos(a) as f32, libm::sin(a) as f32)
        })
        .collect();
    for _ in 0..2 {
        data.par_chunks_exact_mut(n).for_each(|row| transform(row, &roots));
        for y in 0..n {
            for x in 0..y {
                data.swap(y * n + x, x * n + y);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_frequency_becomes_a_wave() {
        let n = 8;
        let mut d = vec![(0.0, 0.0); n * n];
        d[n + 2] = (1.0, 0.0); // one cycle along y, two along x
        transform_2d(&mut d, n);
        for y in 0..n {
            for x in 0..n {
                let a = std::f32::consts::TAU * (y as f32 + 2.0 * x as f32) / n as f32;
                let (re, im) = d[y * n + x];
                assert!((re - a.cos()).abs() < 1e-5 && (im - a.sin()).abs() < 1e-5);
            }
        }
    }
}
