//! Confusion matrices and what the paper's tables read from them.

use crate::{Answers, Interval, wilson};
use serde::Serialize;

/// Counts of truth (rows) against prediction (columns).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confusion {
    /// Class names, rows.
    pub classes: Vec<String>,
    /// Predicted names, columns: the classes first, then anything else that was answered
    /// (an abstention, for one).
    pub answers: Vec<String>,
    /// `counts[truth][answer]`.
    pub counts: Vec<Vec<usize>>,
}

/// Recall, precision and F1 of one class; 0 where there is nothing to divide by.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassScores {
    /// Class name.
    pub class: String,
    /// Share of its cases that were called so.
    pub recall: f64,
    /// Share of the cases called so that are so.
    pub precision: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
}

impl Confusion {
    /// An empty matrix over `classes`.
    pub fn new(classes: &[String]) -> Self {
        let counts = vec![vec![0; classes.len()]; classes.len()];
        Self { classes: classes.to_vec(), answers: classes.to_vec(), counts }
    }

    /// Counts one case. A truth that is no class is ignored and reported as `false`.
    pub fn add(&mut self, truth: &str, answer: &str) -> bool {
        let Some(row) = self.classes.iter().position(|c| c == truth) else { return false };
        let column = self.answers.iter().position(|a| a == answer).unwrap_or_else(|| {
            self.answers.push(answer.to_owned());
            self.counts.iter_mut().for_each(|r| r.push(0));
            self.answers.len() - 1
        });
        self.counts[row][column] += 1;
        true
    }

    /// Cases counted.
    pub fn total(&self) -> usize {
        self.counts.iter().flatten().sum()
    }

    /// Cases on the diagonal.
    pub fn correct(&self) -> usize {
        (0..self.classes.len()).map(|i| self.counts[i][i]).sum()
    }

    /// Share of cases on the diagonal, and its 95 % Wilson interval.
    pub fn accuracy(&self) -> (f64, Interval) {
        let (hits, of) = (self.correct(), self.total());
        (ratio(hits, of), wilson(hits, of))
    }

    /// Scores of each class, in class order.
    pub fn scores(&self) -> Vec<ClassScores> {
        let score = |(i, class): (usize, &String)| {
            let hits = self.counts[i][i];
            let recall = ratio(hits, self.counts[i].iter().sum());
            let precision = ratio(hits, self.counts.iter().map(|r| r[i]).sum());
            let both = recall + precision;
            let f1 = if both > 0.0 { 2.0 * recall * precision / both } else { 0.0 };
            ClassScores { class: class.clone(), recall, precision, f1 }
        };
        self.classes.iter().enumerate().map(score).collect()
    }

    /// Mean F1 of the first `classes` classes.
    pub fn mean_f1(&self, classes: usize) -> f64 {
        self.scores().iter().take(classes).map(|s| s.f1).sum::<f64>() / classes as f64
    }

    /// Accuracy, mean F1 of all and of all but the last class, then recall, precision and F1 of each.
    pub(crate) fn figures(&self) -> Vec<f64> {
        let all = self.classes.len();
        let means = [ratio(self.correct(), self.total()), self.mean_f1(all), self.mean_f1(all - 1)];
        let scores = self.scores().into_iter().flat_map(|s| [s.recall, s.precision, s.f1]);
        means.into_iter().chain(scores).collect()
    }

    /// The counts of some items alone, whose answers all stand in this matrix.
    fn counts_of(&self, items: &[(usize, String)]) -> Vec<Vec<usize>> {
        let mut counts = vec![vec![0; self.answers.len()]; self.classes.len()];
        for (truth, answer) in items {
            let column = self.answers.iter().position(|a| a == answer);
            column.into_iter().for_each(|c| counts[*truth][c] += 1);
        }
        counts
    }

    /// The matrix alone as a Markdown table.
    pub(crate) fn matrix_markdown(&self) -> String {
        let mut out = format!("| truth \\ answer | {} |\n|---|", self.answers.join(" | "));
        out += &"---|".repeat(self.answers.len());
        out.push('\n');
        for (class, row) in self.classes.iter().zip(&self.counts) {
            let cells: Vec<String> = row.iter().map(usize::to_string).collect();
            out += &format!("| {class} | {} |\n", cells.join(" | "));
        }
        out
    }

    /// The matrix and its scores as a Markdown table.
    pub fn to_markdown(&self) -> String {
        let mut out = String::from("| truth \\ answer |");
        self.answers.iter().for_each(|a| out += &format!(" {a} |"));
        out += " recall | precision | F1 |\n|---|";
        out += &"---|".repeat(self.answers.len() + 3);
        out.push('\n');
        for (row, s) in self.counts.iter().zip(self.scores()) {
            out += &format!("| {} |", s.class);
            row.iter().for_each(|n| out += &format!(" {n} |"));
            out += &format!(" {:.3} | {:.3} | {:.3} |\n", s.recall, s.precision, s.f1);
        }
        let (accuracy, i) = self.accuracy();
        let (hits, of) = (self.correct(), self.total());
        out += &format!(
            "\nAccuracy {accuracy:.3} = {hits}/{of}, 95 % interval {:.3} to {:.3} (Wilson).\n",
            i.low, i.high
        );
        out
    }
}

/// Answers kept apart by case, to be drawn anew.
pub(crate) struct ByCase {
    /// All of them together.
    pub whole: Confusion,
    cases: Vec<Vec<Vec<usize>>>,
}

impl ByCase {
    pub fn new(classes: &[String], cases: &[Answers]) -> Self {
        let mut whole = Confusion::new(classes);
        for (truth, answer) in cases.iter().flatten() {
            whole.add(&classes[*truth], answer);
        }
        let cases = cases.iter().map(|c| whole.counts_of(c)).collect();
        Self { whole, cases }
    }

    /// The matrix of some of the cases, each as often as it stands in `sample`.
    pub fn of(&self, sample: &[usize]) -> Confusion {
        let mut again = self.whole.clone();
        again.counts.iter_mut().flatten().for_each(|n| *n = 0);
        for &i in sample {
            let cells = again.counts.iter_mut().flatten().zip(self.cases[i].iter().flatten());
            cells.for_each(|(sum, n)| *sum += n);
        }
        again
    }
}

fn ratio(a: usize, b: usize) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn papers_case_matrix() -> Confusion {
        let names = ["covid-19", "influenza-a", "no-infection-found"].map(String::from);
        let mut m = Confusion::new(&names);
        for (t, row) in [[26, 2, 2], [5, 25, 0], [1, 2, 27]].iter().enumerate() {
            for (a, &n) in row.iter().enumerate() {
                (0..n).for_each(|_| assert!(m.add(&names[t], &names[a])));
            }
        }
        m
    }

    #[test]
    fn the_papers_case_matrix_gives_the_papers_figures() {
        let m = papers_case_matrix();
        assert_eq!((m.correct(), m.total()), (78, 90));
        let s = m.scores();
        let near = |a: f64, b: f64| (a - b).abs() < 5e-4;
        assert!(near(s[0].recall, 26.0 / 30.0) && near(s[0].precision, 26.0 / 32.0) && near(s[0].f1, 0.839));
        assert!(near(s[1].precision, 25.0 / 29.0) && near(s[1].f1, 0.847));
        assert!(near(s[2].f1, 0.915));
        assert!(near((s[0].f1 + s[1].f1) / 2.0, 0.843));
    }

    #[test]
    fn an_abstention_counts_as_a_miss() {
        let mut m = papers_case_matrix();
        assert!(m.add("covid-19", "indeterminate"));
        assert_eq!((m.correct(), m.total()), (78, 91));
        assert!(m.to_markdown().contains("indeterminate"));
    }

    #[test]
    fn an_unknown_truth_is_not_counted() {
        let mut m = papers_case_matrix();
        assert!(!m.add("measles", "covid-19"));
        assert_eq!(m.total(), 90);
    }
}
