//! One of the paper's tables: confusion matrix, recall, precision, F1, with bootstrap intervals.

use crate::confusion::ByCase;
use crate::{Confusion, Estimate, bootstrap};
use serde::Serialize;

/// Recall, precision and F1 of a class with their intervals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassFigures {
    /// Class name.
    pub class: String,
    /// Share of what is so that was called so.
    pub recall: Estimate,
    /// Share of what was called so that is so.
    pub precision: Estimate,
    /// Harmonic mean of the two.
    pub f1: Estimate,
}

/// A confusion matrix and the figures read off it, each with a 95 % interval by case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// Truth against answer.
    pub confusion: Confusion,
    /// By class.
    pub classes: Vec<ClassFigures>,
    /// Share that is right.
    pub accuracy: Estimate,
    /// Mean F1 of all classes.
    pub mean_f1: Estimate,
    /// Mean F1 of all classes but the last one, which is no infection (the paper's mean past Table 2).
    pub mean_f1_infections: Estimate,
}

/// What one case adds to a table: truth (an index of the classes) and answer of each item, be it the
/// case itself, its regions or its patches. An answer that is no class is an abstention, a miss.
pub type Answers = Vec<(usize, String)>;

impl Table {
    /// The table of all cases; the last of `classes` is no infection.
    pub fn new(classes: &[String], cases: &[Answers], seed: u64) -> Self {
        let by_case = ByCase::new(classes, cases);
        let all = bootstrap(cases.len(), seed, |sample| by_case.of(sample).figures());
        let class = |(k, name): (usize, &String)| ClassFigures {
            class: name.clone(),
            recall: all[3 + 3 * k],
            precision: all[4 + 3 * k],
            f1: all[5 + 3 * k],
        };
        Self {
            classes: classes.iter().enumerate().map(class).collect(),
            accuracy: all[0],
            mean_f1: all[1],
            mean_f1_infections: all[2],
            confusion: by_case.whole,
        }
    }

    /// The matrix, and the figures with their intervals below it.
    pub fn to_markdown(&self) -> String {
        let mut out = self.confusion.matrix_markdown();
        out += "\n| | recall | precision | F1 |\n|---|---|---|---|\n";
        for c in &self.classes {
            out += &format!(
                "| {} | {} | {} | {} |\n",
                c.class,
                c.recall.cell(),
                c.precision.cell(),
                c.f1.cell()
            );
        }
        let (hits, of) = (self.confusion.correct(), self.confusion.total());
        out + &format!(
            "\nAccuracy {} = {hits}/{of}; mean F1 {}; mean F1 of the infections {}. In brackets 95 % bootstrap \
             intervals, resampling by case.\n",
            self.accuracy.cell(),
            self.mean_f1.cell(),
            self.mean_f1_infections.cell(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["covid-19", "influenza-a", "no-infection-found"].map(String::from).to_vec()
    }

    /// The paper's case matrix, Tables 5 and 6.
    fn papers_cases() -> Vec<Answers> {
        let rows = [[26, 2, 2], [5, 25, 0], [1, 2, 27]];
        let cells =
            rows.iter().enumerate().flat_map(|(t, row)| row.iter().enumerate().map(move |(a, n)| (t, a, *n)));
        cells.flat_map(|(t, a, n)| vec![vec![(t, names()[a].clone())]; n]).collect()
    }

    #[test]
    fn the_papers_case_matrix_gives_the_papers_figures() {
        let table = Table::new(&names(), &papers_cases(), 1);
        let near = |a: Estimate, b: f64| assert!((a.value - b).abs() < 5e-4, "{a:?} {b}");
        let figures =
            [[26.0 / 30.0, 26.0 / 32.0, 0.839], [25.0 / 30.0, 25.0 / 29.0, 0.847], [0.9, 27.0 / 29.0, 0.915]];
        for (class, [recall, precision, f1]) in table.classes.iter().zip(figures) {
            near(class.recall, recall);
            near(class.precision, precision);
            near(class.f1, f1);
        }
        near(table.accuracy, 0.867);
        near(table.mean_f1_infections, 0.843);
        // Within two cases of the binomial's 71 and 84 of 90 (scipy 1.17.1).
        let i = table.accuracy.interval_95;
        assert!((i.low - 71.0 / 90.0).abs() < 0.023 && (i.high - 84.0 / 90.0).abs() < 0.023, "{i:?}");
        assert!(table.to_markdown().contains("| covid-19 | 26 | 2 | 2 |"));
    }

    #[test]
    fn items_of_one_case_are_drawn_together() {
        // Ten regions each, all right in one case, all wrong in the other: the accuracy of a resample
        // is 0, 1/2 or 1, so the interval is all there is.
        let of = |answer: usize| vec![(0, names()[answer].clone()); 10];
        let table = Table::new(&names(), &[of(0), of(1)], 1);
        let found = table.accuracy;
        assert_eq!((found.value, found.interval_95.low, found.interval_95.high), (0.5, 0.0, 1.0));
    }

    #[test]
    fn an_abstention_is_a_miss_with_a_column_of_its_own() {
        let table =
            Table::new(&names(), &[vec![(0, "indeterminate".into())], vec![(0, "covid-19".into())]], 1);
        assert_eq!((table.accuracy.value, table.classes[0].recall.value), (0.5, 0.5));
        assert_eq!(table.confusion.answers[3], "indeterminate");
    }
}
