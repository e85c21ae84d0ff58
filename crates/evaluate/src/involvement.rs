//! How well the involved share of the lungs is told.

use crate::{Estimate, bootstrap};
use serde::{Deserialize, Serialize};

/// Involved share of both lungs in one case, percent of their volume.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Involved {
    /// What was told.
    pub told: f64,
    /// What is true; 0 in a case without infection.
    pub truth: f64,
}

/// Told against true, in percentage points, with 95 % intervals by case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Involvement {
    /// Infected cases.
    pub infected_cases: usize,
    /// Their mean true share, percent.
    pub infected_truth: Estimate,
    /// Mean of told less true in the infected cases.
    pub difference: Estimate,
    /// Mean size of that difference.
    pub absolute: Estimate,
    /// Pearson's correlation of told and true over the infected cases.
    pub correlation: Estimate,
    /// Cases without infection.
    pub clear_cases: usize,
    /// Mean share told of them, percent.
    pub clear_told: Estimate,
    /// Cases that were not looked at, left out of all this.
    pub without: usize,
}

impl Involvement {
    /// Of all cases; those that were not looked at have nothing.
    pub fn new(cases: &[Option<Involved>], seed: u64) -> Self {
        let known = cases.iter().flatten().copied();
        let (infected, clear): (Vec<Involved>, Vec<Involved>) = known.partition(|c| c.truth > 0.0);
        let figures = |sample: &[usize]| {
            let of = |f: fn(&Involved) -> f64| mean(sample.iter().map(|&i| f(&infected[i])));
            vec![
                of(|c| c.truth),
                of(|c| c.told - c.truth),
                of(|c| (c.told - c.truth).abs()),
                correlation(sample.iter().map(|&i| infected[i])),
            ]
        };
        let told = bootstrap(infected.len(), seed, figures);
        let of_clear = |sample: &[usize]| vec![mean(sample.iter().map(|&i| clear[i].told))];
        Self {
            infected_cases: infected.len(),
            infected_truth: told[0],
            difference: told[1],
            absolute: told[2],
            correlation: told[3],
            clear_cases: clear.len(),
            clear_told: bootstrap(clear.len(), seed, of_clear)[0],
            without: cases.iter().filter(|c| c.is_none()).count(),
        }
    }

    /// As a Markdown table.
    pub fn to_markdown(&self) -> String {
        format!(
            "| involved share of the lungs | |\n|---|---|\n\
             | true, mean of {} infected cases, % | {} |\n\
             | told less true, mean, percentage points | {} |\n\
             | size of that difference, mean | {} |\n\
             | correlation of told and true | {} |\n\
             | told of {} clear cases, mean, % | {} |\n\n\
             {} cases were not looked at and are left out.\n",
            self.infected_cases,
            self.infected_truth.cell(),
            self.difference.cell(),
            self.absolute.cell(),
            self.correlation.cell(),
            self.clear_cases,
            self.clear_told.cell(),
            self.without
        )
    }
}

/// Not a number without values.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = values.fold((0usize, 0.0), |(n, s), v| (n + 1, s + v));
    sum / n as f64
}

/// Not a number where either does not vary, but for rounding.
fn correlation(cases: impl Iterator<Item = Involved> + Clone) -> f64 {
    let (told, truth) = (mean(cases.clone().map(|c| c.told)), mean(cases.clone().map(|c| c.truth)));
    let sum = |f: &dyn Fn(Involved) -> f64| cases.clone().map(f).sum::<f64>();
    let both = sum(&|c| (c.told - told) * (c.truth - truth));
    let squares = [sum(&|c| (c.told - told).powi(2)), sum(&|c| (c.truth - truth).powi(2))];
    let varies = |[square, mean]: [f64; 2]| square > 1e-18 * mean * mean;
    match varies([squares[0], told]) && varies([squares[1], truth]) {
        true => both / (squares[0] * squares[1]).sqrt(),
        false => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_compared_by_hand() {
        let case = |told, truth| Some(Involved { told, truth });
        let i = Involvement::new(
            &[case(1.0, 2.0), case(3.0, 4.0), None, case(8.0, 6.0), case(0.5, 0.0), case(0.0, 0.0)],
            1,
        );
        assert_eq!((i.infected_cases, i.clear_cases, i.clear_told.value), (3, 2, 0.25));
        assert_eq!(i.without, 1);
        assert_eq!((i.infected_truth.value, i.difference.value), (4.0, 0.0));
        assert!((i.absolute.value - 4.0 / 3.0).abs() < 1e-12);
        // Deviations of told -3, -1, 4 and of true -2, 0, 2: 14 / sqrt(26 * 8).
        assert!((i.correlation.value - 14.0 / 208f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn what_there_is_none_of_has_no_figure() {
        let none = Involvement::new(&[], 1);
        assert!(none.absolute.value.is_nan() && none.clear_told.value.is_nan());
        assert!(none.to_markdown().contains('–'));
        let one = Involvement::new(&[Some(Involved { told: 1.1, truth: 0.3 }); 3], 1);
        assert!(one.correlation.value.is_nan() && (one.absolute.value - 0.8).abs() < 1e-12);
        assert!(one.correlation.interval_95.low.is_nan(), "nothing varies in any resample");
    }
}
