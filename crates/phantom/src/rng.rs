//! A small counter-based generator: the same numbers on every machine and for every thread count.

use libm::{cos, exp, log, sqrt};

/// Mixes a 64-bit value (the finaliser of splitmix64).
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What a stream's counter moves by: 2^64 over the golden ratio.
const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of random numbers. Each part of a phantom has its own stream, so that a change in one
/// part leaves the others as they were.
#[derive(Debug, Clone)]
pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    /// The stream `stream` of `seed`.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { state: mix(mix(seed ^ 0x9E37_79B9_7F4A_7C15).wrapping_add(mix(stream.wrapping_add(1)))) }
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STRIDE);
        mix(self.state)
    }

    /// Uniform in 0..1.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / 16_777_216.0
    }

    /// Uniform in `low..high`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform integer in `0..n`, 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.bits() >> 32) as usize * n) >> 32
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f32 {
        let u = (f64::from(self.unit()) + 1e-9).min(1.0);
        let v = f64::from(self.unit());
        (sqrt(-2.0 * log(u)) * cos(std::f64::consts::TAU * v)) as f32
    }

    /// Moves on as `n` calls of [`Rng::normal`] would.
    pub fn skip_normals(&mut self, n: usize) {
        self.state = self.state.wrapping_add(STRIDE.wrapping_mul(2 * n as u64));
    }

    /// `exp` of a normal: `median` times a factor whose logarithm has deviation `sigma`.
    pub fn log_normal(&mut self, median: f32, sigma: f32) -> f32 {
        median * exp(f64::from(sigma * self.normal())) as f32
    }

    /// Uniform in the logarithm between `low` and `high` (both positive).
    pub fn log_range(&mut self, low: f32, high: f32) -> f32 {
        let (a, b) = (log(f64::from(low)), log(f64::from(high)));
        exp(a + (b - a) * f64::from(self.unit())) as f32
    }

    /// Poisson count (by multiplication: for small means).
    pub fn poisson(&mut self, mean: f32) -> usize {
        let limit = exp(-f64::from(mean));
        let mut product = f64::from(self.unit());
        let mut n = 0;
        while product > limit && n < 200 {
            product *= f64::from(self.unit());
            n += 1;
        }
        n
    }

    /// Index drawn in proportion to `weights`; 0 when all are 0.
    pub fn weighted(&mut self, weights: &[f32]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f32>();
        for (i, w) in weights.iter().enumerate() {
            left -= w;
            if left < 0.0 {
                return i;
            }
        }
        weights.iter().rposition(|&w| w > 0.0).unwrap_or(0)
    }

    /// A random unit vector.
    pub fn direction(&mut self) -> [f32; 3] {
        loop {
            let v: [f32; 3] = std::array::from_fn(|_| self.range(-1.0, 1.0));
            let n = v.iter().map(|c| c * c).sum::<f32>();
            if (0.01..=1.0).contains(&n) {
                return v.map(|c| c / n.sqrt());
            }
        }
    }

    /// A random rotation (rows are orthonormal).
    pub fn rotation(&mut self) -> [[f32; 3]; 3] {
        let a = self.direction();
        let mut b = self.direction();
        while dot(a, b).abs() > 0.9 {
            b = self.direction();
        }
        let along = dot(a, b);
        let b: [f32; 3] = std::array::from_fn(|i| b[i] - along * a[i]);
        let n = dot(b, b).sqrt();
        let b = b.map(|c| c / n);
        let c = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
        [a, b, c]
    }
}

/// Scalar product.
pub(crate) fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Euclidean distance.
pub(crate) fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    let d: [f32; 3] = std::array::from_fn(|i| a[i] - b[i]);
    dot(d, d).sqrt()
}

/// 0 below `low`, 1 above `high`, a smooth cubic between.
pub(crate) fn step(low: f32, high: f32, v: f32) -> f32 {
    let t = ((v - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Minimum rounded over about `k`.
pub(crate) fn smooth_min(a: f32, b: f32, k: f32) -> f32 {
    let h = (k - (a - b).abs()).max(0.0) / k;
    a.min(b) - h * h * k * 0.25
}

/// Maximum rounded over about `k`.
pub(crate) fn smooth_max(a: f32, b: f32, k: f32) -> f32 {
    -smooth_min(-a, -b, k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut r = Rng::new(1, 2);
        let n = 20_000;
        let normals: Vec<f32> = (0..n).map(|_| r.normal()).collect();
        let mean = normals.iter().sum::<f32>() / n as f32;
        let var = normals.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n as f32;
        assert!(mean.abs() < 0.03 && (var - 1.0).abs() < 0.05, "{mean} {var}");
        let p = (0..n).map(|_| r.poisson(2.5)).sum::<usize>() as f32 / n as f32;
        assert!((p - 2.5).abs() < 0.06, "{p}");
        let w = (0..n).filter(|_| r.weighted(&[1.0, 0.0, 3.0]) == 2).count() as f32 / n as f32;
        assert!((w - 0.75).abs() < 0.02, "{w}");
    }

    #[test]
    fn splitmix_finaliser_gives_the_published_first_value_for_seed_zero() {
        // splitmix64 seeded with 0 yields e220a8397b1dcdaf first (Vigna's reference program).
        assert_eq!(mix(0x9E37_79B9_7F4A_7C15), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn rotations_are_orthonormal() {
        let q = Rng::new(3, 0).rotation();
        for i in 0..3 {
            for j in 0..3 {
                assert!((dot(q[i], q[j]) - f32::from(u8::from(i == j))).abs() < 1e-5);
            }
        }
    }
}
