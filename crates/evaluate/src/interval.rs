//! Intervals around shares.

use serde::{Deserialize, Serialize};

/// A 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Wilson's score interval, 95 %, for `hits` out of `of` (E. B. Wilson 1927); 0 to 1 when `of` is 0.
pub fn wilson(hits: usize, of: usize) -> Interval {
    if of == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    const Z: f64 = 1.959_963_984_540_054;
    let (n, p) = (of as f64, hits as f64 / of as f64);
    let middle = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    Interval { low: ((middle - half) / scale).max(0.0), high: ((middle + half) / scale).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy 1.x `binomtest(78, 90).proportion_ci(method="wilson")`.
    #[test]
    fn the_papers_78_of_90_has_the_interval_that_scipy_gives() {
        let i = wilson(78, 90);
        assert!((i.low - 0.781_260_7).abs() < 1e-6, "{i:?}");
        assert!((i.high - 0.922_053_2).abs() < 1e-6, "{i:?}");
    }

    #[test]
    fn nothing_seen_says_nothing() {
        assert_eq!(wilson(0, 0), Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn the_ends_stay_within_zero_and_one() {
        assert!(wilson(0, 3).low.abs() < 1e-12 && wilson(3, 3).high <= 1.0);
    }
}
