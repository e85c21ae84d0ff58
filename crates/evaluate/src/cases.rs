//! Everything that is told of answers to whole cases.

use crate::calibration::{Bin, brier, calibration_error, reliability};
use crate::compare::{DeLong, McNemar, delong, mcnemar};
use crate::rank::{Roc, auc, roc};
use crate::strata::{Stratum, strata, strata_markdown};
use crate::{Answers, Error, Estimate, Table, bootstrap};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bins of a reliability curve, of equal mass.
pub const BINS: usize = 10;

/// Truth and answer of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseOutcome {
    /// Name of the case.
    pub case: String,
    /// Index of its class.
    pub truth: usize,
    /// What was answered; anything but a class is an abstention and a miss.
    pub answer: String,
    /// Probability of each class; empty where the case was not looked at.
    pub probabilities: Vec<f64>,
    /// What is known of the case, by name, to tell results apart by: slice thickness and the like.
    pub facts: BTreeMap<String, f64>,
}

/// How well the probabilities of a class, or of the verdicts, rank and mean what they say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Probabilities {
    /// The class; `verdict` for the probability of whatever class was answered.
    pub of: String,
    /// Area under the ROC, the class against all others.
    pub auc: Estimate,
    /// Brier score.
    pub brier: Estimate,
    /// Expected calibration error over [`BINS`] bins of equal mass.
    pub calibration_error: Estimate,
    /// The ROC.
    pub roc: Roc,
    /// The reliability curve.
    pub reliability: Vec<Bin>,
}

/// The figures of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseFigures {
    /// Confusion matrix, recall, precision, F1.
    pub table: Table,
    /// By class, and of the verdicts; empty without probabilities.
    pub probabilities: Vec<Probabilities>,
    /// Cases without probabilities. In the ROC they stand at the wrong end; in calibration and Brier
    /// score they are left out.
    pub without_probabilities: usize,
    /// Accuracy where a known fact is small, middling or large.
    pub strata: Vec<Stratum>,
}

impl CaseFigures {
    /// All figures; the last of `classes` is no infection.
    pub fn new(classes: &[String], cases: &[CaseOutcome], seed: u64) -> Self {
        let answers: Vec<Answers> = cases.iter().map(|c| vec![(c.truth, c.answer.clone())]).collect();
        let without = cases.iter().filter(|c| c.probabilities.is_empty()).count();
        let mut probabilities = Vec::new();
        if without < cases.len() {
            let of_class = |k: usize| of_class(classes, cases, k, seed);
            probabilities.extend((0..classes.len()).map(of_class));
            probabilities.push(of_verdicts(classes, cases, seed));
        }
        Self {
            table: Table::new(classes, &answers, seed),
            probabilities,
            without_probabilities: without,
            strata: strata(classes, cases),
        }
    }

    /// All figures as Markdown, headings of the third order.
    pub fn to_markdown(&self) -> String {
        let mut out = format!("### Cases\n\n{}", self.table.to_markdown());
        if !self.probabilities.is_empty() {
            out += "\n### Probabilities\n\n| | AUC | Brier score | calibration error |\n|---|---|---|---|\n";
            for p in &self.probabilities {
                out += &format!(
                    "| {} | {} | {} | {} |\n",
                    p.of,
                    p.auc.cell(),
                    p.brier.cell(),
                    p.calibration_error.cell()
                );
            }
            out += &format!(
                "\nCalibration in {BINS} bins of equal mass. {} cases have no probabilities: in the ROC they stand at \
                 the wrong end, from calibration and Brier score they are left out.\n",
                self.without_probabilities
            );
        }
        if !self.strata.is_empty() {
            out += &format!("\n### By what the case is like\n\n{}", strata_markdown(&self.strata));
        }
        out
    }
}

/// The score of a class in each case, and whether the case is of it.
fn scores(cases: &[CaseOutcome], class: usize) -> (Vec<f64>, Vec<bool>) {
    let score = |c: &CaseOutcome| match (c.probabilities.get(class), c.truth == class) {
        (Some(p), _) => *p,
        // Not looked at: as wrong as can be.
        (None, true) => f64::NEG_INFINITY,
        (None, false) => f64::INFINITY,
    };
    cases.iter().map(|c| (score(c), c.truth == class)).unzip()
}

fn picked<T: Copy>(all: &[T], sample: &[usize]) -> Vec<T> {
    sample.iter().map(|&i| all[i]).collect()
}

fn of_class(classes: &[String], cases: &[CaseOutcome], class: usize, seed: u64) -> Probabilities {
    let (scores, positive) = scores(cases, class);
    let figures = |sample: &[usize]| {
        let (s, p) = (picked(&scores, sample), picked(&positive, sample));
        let said: Vec<(f64, bool)> =
            s.iter().copied().zip(p.iter().copied()).filter(|(s, _)| s.is_finite()).collect();
        let (said, happened): (Vec<f64>, Vec<bool>) = said.into_iter().unzip();
        let error = calibration_error(&reliability(&said, &happened, BINS));
        vec![auc(&s, &p), brier(&said, &happened), error]
    };
    let all = bootstrap(cases.len(), seed, figures);
    let told = scores.iter().zip(&positive).filter(|(s, _)| s.is_finite());
    let (said, happened): (Vec<f64>, Vec<bool>) = told.map(|(s, p)| (*s, *p)).unzip();
    Probabilities {
        of: classes[class].clone(),
        auc: all[0],
        brier: all[1],
        calibration_error: all[2],
        roc: roc(&scores, &positive),
        reliability: reliability(&said, &happened, BINS),
    }
}

/// The probability of the class that was answered, against whether the answer is right.
fn of_verdicts(classes: &[String], cases: &[CaseOutcome], seed: u64) -> Probabilities {
    let answered = cases.iter().filter_map(|c| {
        let class = classes.iter().position(|k| *k == c.answer)?;
        Some((*c.probabilities.get(class)?, class == c.truth))
    });
    let (said, right): (Vec<f64>, Vec<bool>) = answered.unzip();
    let figures = |sample: &[usize]| {
        let (s, r) = (picked(&said, sample), picked(&right, sample));
        vec![auc(&s, &r), brier(&s, &r), calibration_error(&reliability(&s, &r, BINS))]
    };
    let all = bootstrap(said.len(), seed, figures);
    Probabilities {
        of: "verdict".into(),
        auc: all[0],
        brier: all[1],
        calibration_error: all[2],
        roc: roc(&said, &right),
        reliability: reliability(&said, &right, BINS),
    }
}

/// Two runs over the same cases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Accuracy of the first minus that of the second, resampled by case.
    pub accuracy_difference: Estimate,
    /// Whether their right answers differ.
    pub mcnemar: McNemar,
    /// Whether their ROCs differ, by class; empty where either has no probabilities.
    pub delong: Vec<(String, DeLong)>,
}

/// Compares two runs; the cases must be the same, in any order.
///
/// # Errors
/// [`Error::Cases`] when they are not.
pub fn compare(
    classes: &[String],
    first: &[CaseOutcome],
    second: &[CaseOutcome],
    seed: u64,
) -> Result<Comparison, Error> {
    let by_name: BTreeMap<&str, &CaseOutcome> = second.iter().map(|c| (c.case.as_str(), c)).collect();
    let other =
        |c: &CaseOutcome| by_name.get(c.case.as_str()).filter(|o| o.truth == c.truth).map(|o| (*o).clone());
    let missing =
        |c: &CaseOutcome| Error::Cases(format!("the two runs are not of the same cases: {}", c.case));
    let second: Vec<CaseOutcome> =
        first.iter().map(|c| other(c).ok_or_else(|| missing(c))).collect::<Result<_, _>>()?;
    if by_name.len() != first.len() {
        return Err(Error::Cases("the two runs are not of the same cases: the second has more".into()));
    }
    let is_right = |c: &CaseOutcome| classes[c.truth] == c.answer;
    let right: Vec<[bool; 2]> = first.iter().zip(&second).map(|(a, b)| [is_right(a), is_right(b)]).collect();
    let share = |sample: &[usize], k: usize| {
        sample.iter().filter(|&&i| right[i][k]).count() as f64 / sample.len() as f64
    };
    let difference = bootstrap(first.len(), seed, |s| vec![share(s, 0) - share(s, 1)])[0];
    let looked_at = |cases: &[CaseOutcome]| cases.iter().any(|c| !c.probabilities.is_empty());
    let both = looked_at(first) && looked_at(&second);
    let of_class = |k: usize| {
        let ((a, positive), (b, _)) = (scores(first, k), scores(&second, k));
        (classes[k].clone(), delong(&a, &b, &positive))
    };
    Ok(Comparison {
        accuracy_difference: difference,
        mcnemar: mcnemar(&right),
        delong: if both { (0..classes.len()).map(of_class).collect() } else { Vec::new() },
    })
}

impl Comparison {
    /// As Markdown.
    pub fn to_markdown(&self) -> String {
        let McNemar { only_first, only_second, p } = self.mcnemar;
        let mut out = format!(
            "Accuracy of the first minus that of the second: {}. Only the first is right in {only_first} cases, only \
             the second in {only_second}; McNemar, exact: p = {p:.4}.\n",
            self.accuracy_difference.cell()
        );
        if !self.delong.is_empty() {
            out += "\n| class | AUC of the first | of the second | z | p (DeLong) |\n|---|---|---|---|---|\n";
        }
        for (class, d) in &self.delong {
            out += &format!("| {class} | {:.3} | {:.3} | {:.2} | {:.4} |\n", d.auc[0], d.auc[1], d.z, d.p);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["covid-19", "influenza-a", "no-infection-found"].map(String::from).to_vec()
    }

    fn case(name: &str, truth: usize, answer: &str, probabilities: &[f64]) -> CaseOutcome {
        let (answer, probabilities) = (answer.into(), probabilities.to_vec());
        CaseOutcome { case: name.into(), truth, answer, probabilities, facts: BTreeMap::new() }
    }

    fn run() -> Vec<CaseOutcome> {
        vec![
            case("a", 0, "covid-19", &[0.9, 0.1, 0.1]),
            case("b", 0, "refused", &[]),
            case("c", 1, "influenza-a", &[0.2, 0.8, 0.2]),
            case("d", 2, "covid-19", &[0.6, 0.2, 0.4]),
        ]
    }

    #[test]
    fn a_case_that_was_not_looked_at_stands_at_the_wrong_end() {
        let found = CaseFigures::new(&names(), &run(), 1);
        // COVID-19: a above c and d, b below both: 2 of 4 pairs.
        assert_eq!(found.probabilities[0].auc.value, 0.5);
        // Influenza: c above a and d, but the refused case above c: 2 of 3.
        assert!((found.probabilities[1].auc.value - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((found.without_probabilities, found.table.accuracy.value), (1, 0.5));
        // Verdicts 0.9 right, 0.8 right, 0.6 wrong: (0.01 + 0.04 + 0.36) / 3.
        assert!((found.probabilities[3].brier.value - 0.41 / 3.0).abs() < 1e-12);
        let text = found.to_markdown();
        assert!(text.contains("| refused |") && text.contains("1 cases have no probabilities"), "{text}");
    }

    #[test]
    fn runs_are_compared_case_by_case_in_any_order() {
        let mut other = run();
        other.reverse();
        other[0] = case("d", 2, "no-infection-found", &[0.1, 0.2, 0.8]);
        let found = compare(&names(), &run(), &other, 1).unwrap();
        assert_eq!((found.mcnemar.only_first, found.mcnemar.only_second, found.mcnemar.p), (0, 1, 1.0));
        assert_eq!((found.accuracy_difference.value, found.delong.len()), (-0.25, 3));
        other.pop();
        assert!(compare(&names(), &run(), &other, 1).unwrap_err().to_string().contains("same cases: a"));
        assert!(compare(&names(), &other, &run(), 1).is_err());
    }
}
