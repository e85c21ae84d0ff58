//! Whether two networks differ on the same cases.

use crate::rank::{auc, midranks};
use serde::Serialize;

/// McNemar's test of two answers to the same cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct McNemar {
    /// Cases that only the first got right.
    pub only_first: usize,
    /// Cases that only the second got right.
    pub only_second: usize,
    /// Two-sided probability of a split as uneven, if neither were better (exact, binomial).
    pub p: f64,
}

/// The exact test (Q. McNemar 1947): `right[i]` says which of the two got case `i` right.
pub fn mcnemar(right: &[[bool; 2]]) -> McNemar {
    let only = |k: usize| right.iter().filter(|r| r[k] && !r[1 - k]).count();
    let (only_first, only_second) = (only(0), only(1));
    McNemar { only_first, only_second, p: exact_p(only_first, only_second) }
}

/// Twice the smaller tail of a fair coin's binomial, at most 1.
fn exact_p(a: usize, b: usize) -> f64 {
    let n = (a + b) as f64;
    let log_choose = |k: f64| libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0);
    let tail: f64 = (0..=a.min(b)).map(|k| (log_choose(k as f64) - n * std::f64::consts::LN_2).exp()).sum();
    (2.0 * tail).min(1.0)
}

/// DeLong's test of two correlated areas under the curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DeLong {
    /// Areas of the two.
    pub auc: [f64; 2],
    /// Their difference over its standard error; not a number where that is zero.
    pub z: f64,
    /// Two-sided probability of a difference as large, if there were none; 1 where both rank alike.
    pub p: f64,
}

/// The test of E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson (1988), its components worked out
/// from midranks (X. Sun and W. Xu 2014).
pub fn delong(first: &[f64], second: &[f64], positive: &[bool]) -> DeLong {
    let areas = [auc(first, positive), auc(second, positive)];
    let of = |v: &[f64], kind: bool| -> Vec<f64> {
        v.iter().zip(positive).filter(|(_, p)| **p == kind).map(|(v, _)| *v).collect()
    };
    // How far above (below) the other kind each positive (negative) ranks: first minus second.
    let difference = |kind: bool| -> Vec<f64> {
        let share = |scores: &[f64]| -> Vec<f64> {
            let (all, own) = (of(&midranks(scores), kind), midranks(&of(scores, kind)));
            let others = positive.iter().filter(|p| **p != kind).count() as f64;
            let above = all.iter().zip(own).map(|(a, o)| (a - o) / others);
            above.map(|v| if kind { v } else { 1.0 - v }).collect()
        };
        share(first).iter().zip(share(second)).map(|(a, b)| a - b).collect()
    };
    let error = |d: Vec<f64>| variance(&d) / d.len() as f64;
    // Scores that rank all cases alike have no error by which to divide.
    let z = match areas[0] - areas[1] {
        0.0 => 0.0,
        apart => apart / (error(difference(true)) + error(difference(false))).sqrt(),
    };
    DeLong { auc: areas, z, p: libm::erfc(z.abs() / std::f64::consts::SQRT_2) }
}

/// Unbiased.
fn variance(v: &[f64]) -> f64 {
    let mean = v.iter().sum::<f64>() / v.len() as f64;
    v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (v.len() as f64 - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cases_that_one_got_right_count() {
        let mut right = vec![[true, true]; 50];
        right.extend(vec![[true, false]; 1]);
        right.extend(vec![[false, true]; 5]);
        let found = mcnemar(&right);
        // 2 (1 + 6) / 64
        assert_eq!((found.only_first, found.only_second), (1, 5));
        assert!((found.p - 14.0 / 64.0).abs() < 1e-12);
    }

    /// Worked by hand. Positives 3, 1 and 2, 4 against negatives 2, 0 and 1, 3.
    /// First: pairs won by each positive 1, 1/2; second: 1/2, 1. AUCs 3/4 both.
    #[test]
    fn equal_areas_do_not_differ() {
        let positive = [true, true, false, false];
        let found = delong(&[3.0, 1.0, 2.0, 0.0], &[2.0, 4.0, 1.0, 3.0], &positive);
        assert_eq!((found.auc, found.p), ([0.75, 0.75], 1.0));
        let same = delong(&[3.0, 1.0, 2.0, 0.0], &[3.0, 1.0, 2.0, 0.0], &positive);
        assert_eq!((same.z, same.p), (0.0, 1.0));
    }
}
