//! Bootstrap intervals: the cases are drawn anew, with replacement, and the figure worked out again.

use crate::Interval;
use serde::{Deserialize, Serialize};

/// Times that the cases are drawn anew.
pub const RESAMPLES: usize = 2000;

/// A figure and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Bootstrap interval, resampling by case.
    pub interval_95: Interval,
}

impl Estimate {
    /// As a cell of a table: `0.867 (0.789 to 0.933)`; a dash where there is none.
    pub fn cell(&self) -> String {
        let Interval { low, high } = self.interval_95;
        match self.value.is_nan() {
            true => "–".into(),
            false => format!("{:.3} ({low:.3} to {high:.3})", self.value),
        }
    }
}

/// Several figures of `cases` cases, each with its percentile interval of [`RESAMPLES`] resamples.
///
/// `figures` gets indices of cases, some of them more than once, and gives as many figures every
/// time; one that is not a number for a resample is left out there. The same seed gives the same
/// intervals on every machine.
pub fn bootstrap(cases: usize, seed: u64, figures: impl Fn(&[usize]) -> Vec<f64>) -> Vec<Estimate> {
    let all: Vec<usize> = (0..cases).collect();
    let values = figures(&all);
    let mut drawn: Vec<Vec<f64>> = vec![Vec::with_capacity(RESAMPLES); values.len()];
    let mut rng = SplitMix(seed);
    let mut sample = all;
    for _ in 0..RESAMPLES {
        sample.iter_mut().for_each(|i| *i = rng.below(cases));
        let again = figures(&sample).into_iter().zip(&mut drawn).filter(|(v, _)| v.is_finite());
        again.for_each(|(v, of)| of.push(v));
    }
    let estimate = |(value, mut of): (f64, Vec<f64>)| {
        of.sort_by(f64::total_cmp);
        let interval_95 = Interval { low: quantile(&of, 0.025), high: quantile(&of, 0.975) };
        Estimate { value, interval_95 }
    };
    values.into_iter().zip(drawn).map(estimate).collect()
}

/// Quantile of sorted values, linear between neighbours as numpy's default; not a number for none.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

/// Steele, Lea and Flood's SplitMix64 (2014): 64 bits of state, the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly in 0..n, but for a bias of n in 2^64.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of 78 hits in 90 cases drawn anew is binomial: scipy 1.17.1,
    /// `binom.ppf([0.025, 0.975], 90, 78 / 90) / 90`.
    #[test]
    fn the_interval_of_a_share_is_that_of_the_binomial() {
        let hit = |i: &usize| f64::from(u8::from(*i < 78));
        let share = |s: &[usize]| vec![s.iter().map(hit).sum::<f64>() / s.len() as f64];
        let found = bootstrap(90, 1, share)[0];
        assert_eq!(found.value, 78.0 / 90.0);
        let one = 1.0 / 90.0 + 1e-9;
        assert!((found.interval_95.low - 71.0 / 90.0).abs() <= one, "{found:?}");
        assert!((found.interval_95.high - 84.0 / 90.0).abs() <= one, "{found:?}");
        assert_eq!(found, bootstrap(90, 1, share)[0], "a seed is a result");
    }

    #[test]
    fn figures_that_are_no_number_are_left_out() {
        let found = bootstrap(2, 5, |s| vec![if s[0] == 1 { f64::NAN } else { 3.0 }]);
        assert_eq!(found[0].interval_95, Interval { low: 3.0, high: 3.0 });
        let none = bootstrap(0, 5, |_| vec![f64::NAN])[0];
        assert!(none.value.is_nan() && none.interval_95.low.is_nan() && none.cell() == "–");
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
    }

    /// First outputs of the reference implementation (Vigna, splitmix64.c) from state 1234567.
    #[test]
    fn the_generator_is_splitmix() {
        let mut rng = SplitMix(1_234_567);
        assert_eq!([rng.bits(), rng.bits()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }
}
