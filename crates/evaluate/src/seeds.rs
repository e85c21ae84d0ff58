//! Two networks, each trained with several seeds, on the same cases.

use crate::confusion::ByCase;
use crate::{Answers, Estimate, bootstrap};

/// How much larger the mean F1 of all classes is for the first network than for the second, averaged over
/// `pairs` of trainings with one seed each, with its interval by case: the trainings stay as they are.
///
/// Each training has its answers by case, of the same cases in the same order; answers that are no class are
/// misses.
pub fn mean_f1_difference(classes: &[String], pairs: &[[Vec<Answers>; 2]], seed: u64) -> Estimate {
    let cases = pairs.iter().flatten().map(Vec::len).min().unwrap_or(0);
    let by_case: Vec<[ByCase; 2]> =
        pairs.iter().map(|pair| pair.each_ref().map(|answers| ByCase::new(classes, answers))).collect();
    let figures = |sample: &[usize]| {
        let mean_f1 = |answers: &ByCase| answers.of(sample).mean_f1(classes.len());
        let sum: f64 = by_case.iter().map(|[first, second]| mean_f1(first) - mean_f1(second)).sum();
        vec![sum / by_case.len() as f64]
    };
    bootstrap(cases, seed, figures)[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["a", "b"].map(String::from).to_vec()
    }

    /// One patch a case: its truth, and the answer.
    fn answered(cases: &[(usize, usize)]) -> Vec<Answers> {
        cases.iter().map(|(truth, answer)| vec![(*truth, names()[*answer].clone())]).collect()
    }

    #[test]
    fn the_difference_is_worked_by_hand() {
        let right = answered(&[(0, 0), (0, 0), (1, 1), (1, 1)]);
        // a: recall 1, precision 2/3, F1 4/5; b: recall 1/2, precision 1, F1 2/3; mean 11/15.
        let worse = answered(&[(0, 0), (0, 0), (1, 0), (1, 1)]);
        let one = mean_f1_difference(&names(), &[[right.clone(), worse.clone()]], 1);
        assert!((one.value - 4.0 / 15.0).abs() < 1e-12, "{one:?}");
        assert!(one.interval_95.low <= one.value && one.value <= one.interval_95.high, "{one:?}");
        // The other way round with a second seed: nothing is left, in no resample.
        let both = [[worse.clone(), right.clone()], [right, worse]];
        let none = mean_f1_difference(&names(), &both, 1);
        assert_eq!((none.value, none.interval_95.low, none.interval_95.high), (0.0, 0.0, 0.0));
    }
}
