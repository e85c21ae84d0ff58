//! Whether probabilities mean what they say.

use serde::Serialize;

/// One bin of a reliability curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// Cases in it.
    pub cases: usize,
    /// Mean of what was said.
    pub mean: f64,
    /// Share of the cases in which it was so.
    pub share: f64,
}

/// The reliability curve in up to `bins` bins of equal mass, by rising probability. Equal
/// probabilities are never torn apart, so bins may hold unequal numbers, and be fewer.
pub fn reliability(probability: &[f64], happened: &[bool], bins: usize) -> Vec<Bin> {
    let mut order: Vec<usize> = (0..probability.len()).collect();
    order.sort_by(|&a, &b| probability[a].total_cmp(&probability[b]));
    let (n, mut out, mut start) = (order.len(), Vec::new(), 0);
    while start < n {
        let bin = start * bins / n;
        let mut end = ((bin + 1) * n).div_ceil(bins).clamp(start + 1, n);
        while end < n && probability[order[end]] == probability[order[end - 1]] {
            end += 1;
        }
        let of = &order[start..end];
        let cases = of.len();
        let mean = of.iter().map(|&i| probability[i]).sum::<f64>() / cases as f64;
        let share = of.iter().filter(|&&i| happened[i]).count() as f64 / cases as f64;
        out.push(Bin { cases, mean, share });
        start = end;
    }
    out
}

/// Expected calibration error: the distance of share and mean, averaged over the bins by their mass;
/// not a number without cases.
pub fn calibration_error(bins: &[Bin]) -> f64 {
    let all: usize = bins.iter().map(|b| b.cases).sum();
    bins.iter().map(|b| b.cases as f64 * (b.share - b.mean).abs()).sum::<f64>() / all as f64
}

/// Brier score: mean squared distance of probability and outcome (G. W. Brier 1950, of one class).
pub fn brier(probability: &[f64], happened: &[bool]) -> f64 {
    let square = |(p, h): (&f64, &bool)| (p - f64::from(u8::from(*h))).powi(2);
    probability.iter().zip(happened).map(square).sum::<f64>() / probability.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_probabilities_stay_together() {
        let p = [0.1, 0.5, 0.5, 0.5, 0.5, 0.9];
        let h = [false, true, false, true, false, true];
        let bins = reliability(&p, &h, 3);
        let counts: Vec<usize> = bins.iter().map(|b| b.cases).collect();
        // Two a bin; the first would end amid the equals and takes them all in.
        assert_eq!(counts, [5, 1]);
        assert!((bins[0].mean - 0.42).abs() < 1e-12 && bins[0].share == 0.4);
        // (5 * 0.02 + 1 * 0.1) / 6
        assert!((calibration_error(&bins) - 0.2 / 6.0).abs() < 1e-12);
        assert!((brier(&p, &h) - (0.01 + 4.0 * 0.25 + 0.01) / 6.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_seen_says_nothing() {
        assert!(reliability(&[], &[], 10).is_empty());
        assert!(calibration_error(&[]).is_nan() && brier(&[], &[]).is_nan());
    }
}
