//! Case-level evaluation from two tables: what was predicted, what is true.

use crate::{Confusion, Error};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// One line of `cases.csv`; other columns are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Name of the case.
    pub case: String,
    /// Verdict, or empty when the case failed.
    pub verdict: String,
}

/// One line of the truth table; other columns are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Name of the case, as in the predictions.
    pub case: String,
    /// Its class.
    pub class: String,
}

/// Reads predictions from a CSV with the columns `case` and `verdict`.
pub fn read_predictions(path: &Path) -> Result<Vec<Prediction>, Error> {
    read(path)
}

/// Reads truth from a CSV with the columns `case` and `class`.
pub fn read_truth(path: &Path) -> Result<Vec<Truth>, Error> {
    read(path)
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>, Error> {
    let bad = |e: csv::Error| Error::Table { path: path.display().to_string(), reason: e.to_string() };
    csv::Reader::from_path(path).map_err(bad)?.deserialize().collect::<Result<_, _>>().map_err(bad)
}

/// The confusion matrix over every case in `truth`.
///
/// A case without a prediction, or whose prediction is empty, counts as answered `failed`.
/// Cases that only one of the tables names twice, or predictions without a truth, are errors.
pub fn evaluate_cases(predictions: &[Prediction], truth: &[Truth]) -> Result<Confusion, Error> {
    let bad = |path: &str, reason: String| Error::Table { path: path.to_owned(), reason };
    let mut answers = BTreeMap::new();
    for p in predictions {
        if answers.insert(p.case.as_str(), p.verdict.as_str()).is_some() {
            return Err(bad("predictions", format!("case {} stands there twice", p.case)));
        }
    }
    let mut classes: Vec<String> = truth.iter().map(|t| t.class.clone()).collect();
    classes.sort();
    classes.dedup();
    let mut matrix = Confusion::new(&classes);
    let mut seen = BTreeMap::new();
    for t in truth {
        if seen.insert(t.case.as_str(), ()).is_some() {
            return Err(bad("truth", format!("case {} stands there twice", t.case)));
        }
        let answer = answers.remove(t.case.as_str()).filter(|a| !a.is_empty()).unwrap_or("failed");
        matrix.add(&t.class, answer);
    }
    match answers.keys().next() {
        Some(case) => Err(bad("predictions", format!("case {case} has no truth"))),
        None => Ok(matrix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(predictions: &[(&str, &str)], truth: &[(&str, &str)]) -> Result<Confusion, Error> {
        let p = predictions.iter().map(|p| Prediction { case: p.0.into(), verdict: p.1.into() });
        let t = truth.iter().map(|t| Truth { case: t.0.into(), class: t.1.into() });
        evaluate_cases(&p.collect::<Vec<_>>(), &t.collect::<Vec<_>>())
    }

    #[test]
    fn a_missing_prediction_is_a_miss_not_a_gap() {
        let m = tables(&[("a", "x")], &[("a", "x"), ("b", "x")]).unwrap();
        assert_eq!((m.correct(), m.total()), (1, 2));
        assert_eq!(m.answers, ["x", "failed"]);
    }

    #[test]
    fn doubled_and_unknown_cases_are_refused() {
        assert!(tables(&[("a", "x"), ("a", "y")], &[("a", "x")]).is_err());
        assert!(tables(&[("a", "x")], &[("a", "x"), ("a", "x")]).is_err());
        assert!(tables(&[("z", "x")], &[("a", "x")]).is_err());
    }

    #[test]
    fn extra_columns_are_ignored_and_missing_ones_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cases.csv");
        std::fs::write(&path, "case,input,verdict\n1,/a,covid-19\n").unwrap();
        assert_eq!(read_predictions(&path).unwrap()[0].verdict, "covid-19");
        assert!(read_truth(&path).unwrap_err().to_string().contains("class"));
    }
}
