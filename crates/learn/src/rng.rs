//! Seeded random numbers without state: every draw belongs to a place (seed, step, sample).

/// A small generator (splitmix64). One is made for each place that draws, so that nothing has to
/// be stored to resume and the order of threads cannot matter.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// The generator of a place.
    pub fn at(seed: u64, place: &[u64]) -> Self {
        let start = mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15));
        Self(place.iter().fold(start, |s, &p| mix(s.rotate_left(17) ^ p.wrapping_mul(0xd6e8_feb8_6659_fd93))))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform in 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `low..high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_draw_apart_and_the_same_each_time() {
        let first: Vec<u64> = (0..4).map(|s| Rng::at(1, &[7, s]).bits()).collect();
        let again: Vec<u64> = (0..4).map(|s| Rng::at(1, &[7, s]).bits()).collect();
        assert_eq!(first, again);
        let mut unique = first.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), 4);
        assert_ne!(Rng::at(1, &[2, 3]).bits(), Rng::at(1, &[3, 2]).bits());
    }

    #[test]
    fn uniform_and_normal_draws_have_their_moments() {
        let mut r = Rng::at(5, &[]);
        let n = 20_000;
        let uniform: f64 = (0..n).map(|_| r.unit()).sum::<f64>() / n as f64;
        assert!((uniform - 0.5).abs() < 0.01, "{uniform}");
        let normal: Vec<f64> = (0..n).map(|_| r.normal()).collect();
        let mean = normal.iter().sum::<f64>() / n as f64;
        let var = normal.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.03 && (var - 1.0).abs() < 0.04, "{mean} {var}");
        assert!((0..1000).all(|_| r.below(3) < 3));
    }
}
