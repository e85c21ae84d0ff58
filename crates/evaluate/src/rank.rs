//! How well a score tells cases of a class from the others, whatever the threshold.

use serde::Serialize;

/// A receiver operating characteristic.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Roc {
    /// Share of negatives called positive from each threshold on; starts at 0, ends at 1.
    pub false_positive_rate: Vec<f64>,
    /// Share of positives called so.
    pub true_positive_rate: Vec<f64>,
}

/// The curve of scores against truth: one point a distinct score, ties taken together.
pub fn roc(scores: &[f64], positive: &[bool]) -> Roc {
    let (order, positives) = (best_first(scores), count(positive));
    let negatives = positive.len() - positives;
    let share = |n: usize, of: usize| if of == 0 { f64::NAN } else { n as f64 / of as f64 };
    let mut out = Roc { false_positive_rate: vec![0.0], true_positive_rate: vec![0.0] };
    let mut called = [0usize; 2];
    for (k, &i) in order.iter().enumerate() {
        called[usize::from(positive[i])] += 1;
        if order.get(k + 1).is_none_or(|&next| scores[next] < scores[i]) {
            out.false_positive_rate.push(share(called[0], negatives));
            out.true_positive_rate.push(share(called[1], positives));
        }
    }
    out
}

/// Area under that curve: the chance that a positive scores above a negative, ties counting half.
/// Not a number where either kind is missing.
pub fn auc(scores: &[f64], positive: &[bool]) -> f64 {
    let positives = count(positive);
    let negatives = positive.len() - positives;
    if positives == 0 || negatives == 0 {
        return f64::NAN;
    }
    let ranks = midranks(scores);
    let sum: f64 = ranks.iter().zip(positive).filter(|(_, p)| **p).map(|(r, _)| r).sum();
    let (m, n) = (positives as f64, negatives as f64);
    (sum - m * (m + 1.0) / 2.0) / (m * n)
}

/// Rank of each value from 1; equals share the mean of theirs.
pub(crate) fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order = best_first(values);
    order.reverse();
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let equal = |&&i: &&usize| values[i] == values[order[start]];
        let end = start + order[start..].iter().take_while(equal).count().max(1);
        order[start..end].iter().for_each(|&i| ranks[i] = (start + 1 + end) as f64 / 2.0);
        start = end;
    }
    ranks
}

fn best_first(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}

fn count(positive: &[bool]) -> usize {
    positive.iter().filter(|p| **p).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_count_half() {
        // Pairs: 0.9 beats both, 0.5 ties with one and beats the other: 3.5 of 4.
        let (scores, positive) = ([0.9, 0.5, 0.5, 0.1], [true, true, false, false]);
        assert_eq!(auc(&scores, &positive), 0.875);
        let curve = roc(&scores, &positive);
        assert_eq!(curve.false_positive_rate, [0.0, 0.0, 0.5, 1.0]);
        assert_eq!(curve.true_positive_rate, [0.0, 0.5, 1.0, 1.0]);
        assert_eq!(midranks(&[2.0, 1.0, 2.0, 7.0]), [2.5, 1.0, 2.5, 4.0]);
    }

    #[test]
    fn one_kind_alone_has_no_area() {
        assert!(auc(&[0.3, 0.4], &[true, true]).is_nan() && auc(&[], &[]).is_nan());
    }
}
