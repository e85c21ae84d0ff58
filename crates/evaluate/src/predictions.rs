//! What was predicted and what is true, read from two tables and put side by side.

use crate::{CaseOutcome, Error, Member, check_leakage};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Class of a case without infection.
pub const NO_INFECTION: &str = "no-infection-found";

/// Column of `cases.csv` with the probability of no infection.
pub const NO_INFECTION_COLUMN: &str = "no_infection";

/// Columns of a truth table by which results are told apart.
pub const FACTS: [&str; 4] = ["slice_mm", "noise_hu", "lesions", "lesion_mm"];

/// Columns of a truth table that no two sets may share a value of.
const MARKS: [&str; 4] = ["patient", "path", "seed", "fingerprint"];

/// One line of `cases.csv`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prediction {
    /// Name of the case.
    pub case: String,
    /// Where the scan lay, as the table says; may be empty.
    pub input: String,
    /// Verdict; where there is none, how the case ended: refused or failed.
    pub answer: String,
    /// Probability of each type of infection, and of [`NO_INFECTION`] where the table has it.
    pub probabilities: BTreeMap<String, f64>,
}

/// One line of the truth table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Truth {
    /// Name of the case, as in the predictions.
    pub case: String,
    /// Its class.
    pub class: String,
    /// The set it belongs to; `test` where the table does not say.
    pub split: String,
    /// Where it lies, as the table says; may be empty.
    pub path: String,
    /// Those of [`FACTS`] that the table holds of it.
    pub facts: BTreeMap<String, f64>,
    /// What gives the case away when it turns up in another set.
    pub marks: BTreeMap<String, String>,
}

/// Reads predictions from a CSV with the columns `case` and `verdict`; `status` and one column a type
/// of infection, between `probability` and `regions`, are used where they are, and so are `input` and
/// `no_infection`, the probability of none.
///
/// # Errors
/// [`Error::Table`] when the file cannot be read, lacks a column, or has a case twice.
pub fn read_predictions(path: &Path) -> Result<Vec<Prediction>, Error> {
    let table = Lines::read(path, &["case", "verdict"])?;
    let at = |name: &str| table.header.iter().position(|h| h == name);
    let types = match (at("probability"), at("regions")) {
        (Some(first), Some(end)) if first < end => table.header[first + 1..end].to_vec(),
        _ => Vec::new(),
    };
    let one = |row: &BTreeMap<String, String>| {
        let field = |name: &str| row.get(name).map_or("", String::as_str);
        let answer = match (field("verdict"), field("status")) {
            ("", "") => "failed",
            ("", status) => status,
            (verdict, _) => verdict,
        };
        let numbers = types.iter().filter_map(|t| Some((t.clone(), field(t).parse().ok()?)));
        let none = field(NO_INFECTION_COLUMN).parse().ok().map(|p| (NO_INFECTION.to_owned(), p));
        Prediction {
            case: field("case").into(),
            input: field("input").into(),
            answer: answer.into(),
            probabilities: numbers.chain(none).collect(),
        }
    };
    Ok(table.rows.iter().map(one).collect())
}

/// Reads truth from a CSV with the columns `case` and `class`. Used where they are: `split` (only
/// `test` is evaluated), `path`, the columns of [`FACTS`], and those by which a case in two sets is
/// found out: `patient`, `path`, `seed`, `fingerprint`.
///
/// # Errors
/// As [`read_predictions`].
pub fn read_truth(path: &Path) -> Result<Vec<Truth>, Error> {
    let table = Lines::read(path, &["case", "class"])?;
    let one = |row: &BTreeMap<String, String>| {
        let field = |name: &str| row.get(name).cloned().unwrap_or_default();
        let split = if field("split").is_empty() { "test".into() } else { field("split") };
        let marks = MARKS.map(|kind| (kind.to_owned(), field(kind)));
        let facts = FACTS.iter().filter_map(|f| Some(((*f).to_owned(), field(f).parse().ok()?)));
        Truth {
            case: field("case"),
            class: field("class"),
            split,
            path: field("path"),
            facts: facts.collect(),
            marks: BTreeMap::from(marks),
        }
    };
    Ok(table.rows.iter().map(one).collect())
}

/// A CSV file, its cases named once each.
struct Lines {
    header: Vec<String>,
    rows: Vec<BTreeMap<String, String>>,
}

impl Lines {
    fn read(path: &Path, needed: &[&str]) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Table { path: path.display().to_string(), reason };
        let bad = |e: csv::Error| refuse(e.to_string());
        let mut reader = csv::Reader::from_path(path).map_err(bad)?;
        let header: Vec<String> = reader.headers().map_err(bad)?.iter().map(str::to_owned).collect();
        if let Some(column) = needed.iter().find(|n| !header.iter().any(|h| h == *n)) {
            return Err(refuse(format!("it has no column `{column}`")));
        }
        let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
        for record in reader.records() {
            let record = record.map_err(bad)?;
            let row: BTreeMap<String, String> =
                header.iter().cloned().zip(record.iter().map(|f| f.trim().to_owned())).collect();
            let case = &row["case"];
            if !seen.insert(case.clone()) {
                return Err(refuse(format!("case {case} stands there twice")));
            }
            rows.push(row);
        }
        Ok(Self { header, rows })
    }
}

/// Predictions and truth side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// Classes: the types of infection in alphabetical order, then no infection.
    pub classes: Vec<String>,
    /// The test cases, in the order of the truth.
    pub cases: Vec<CaseOutcome>,
    /// Test cases without a prediction; they count as answered `missing`.
    pub missing: Vec<String>,
    /// Predicted cases of other sets, which are not counted.
    pub left_out: Vec<String>,
}

/// Puts predictions beside the truth of the test cases.
///
/// # Errors
/// [`Error::Cases`] when a prediction has no truth or there is nothing to test on, and
/// [`Error::Leakage`] when a test case turns up in another set.
pub fn join(predictions: &[Prediction], truth: &[Truth]) -> Result<Joined, Error> {
    let member = |t: &Truth| Member { case: t.case.clone(), split: t.split.clone(), marks: t.marks.clone() };
    check_leakage(&truth.iter().map(member).collect::<Vec<_>>())?;
    let mut by_name: BTreeMap<&str, &Prediction> = predictions.iter().map(|p| (p.case.as_str(), p)).collect();
    let tested: Vec<&Truth> = truth.iter().filter(|t| t.split == "test").collect();
    if tested.is_empty() {
        return Err(Error::Cases("the truth names no test case".into()));
    }
    let types: BTreeSet<&String> = tested.iter().map(|t| &t.class).filter(|c| *c != NO_INFECTION).collect();
    let classes: Vec<String> = types.into_iter().cloned().chain([NO_INFECTION.to_owned()]).collect();
    let mut joined = Joined { classes, cases: vec![], missing: vec![], left_out: vec![] };
    for t in tested {
        let prediction = by_name.remove(t.case.as_str());
        if prediction.is_none() {
            joined.missing.push(t.case.clone());
        }
        joined.cases.push(outcome(&joined.classes, t, prediction));
    }
    let others = truth.iter().filter(|t| by_name.remove(t.case.as_str()).is_some());
    joined.left_out = others.map(|t| t.case.clone()).collect();
    let unknown: Vec<&str> = by_name.into_keys().collect();
    if !unknown.is_empty() {
        return Err(Error::Cases(format!(
            "predicted cases without a truth, by name or by path: {}",
            unknown.join(", ")
        )));
    }
    Ok(joined)
}

fn outcome(classes: &[String], truth: &Truth, prediction: Option<&Prediction>) -> CaseOutcome {
    let told = prediction.map(|p| &p.probabilities);
    // Where the table does not say it, no infection is as probable as the largest finding is not.
    let of = |class: &String| match (told?.get(class), class == NO_INFECTION) {
        (Some(p), _) => Some(*p),
        (None, true) => told?.values().copied().reduce(f64::max).map(|p| 1.0 - p),
        (None, false) => None,
    };
    CaseOutcome {
        case: truth.case.clone(),
        truth: classes.iter().position(|c| *c == truth.class).unwrap_or(classes.len() - 1),
        answer: prediction.map_or("missing", |p| &p.answer).to_owned(),
        probabilities: classes.iter().map(of).collect::<Option<Vec<f64>>>().unwrap_or_default(),
        facts: truth.facts.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(name: &str, text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    const CASES: &str = "case,input,status,verdict,probability,covid-19,influenza-a,regions,error
a,/a,done,covid-19,0.9,0.9,0.2,4,
b,/b,refused,,,,,,no CT
c,/c,done,indeterminate,,0.4,0.35,1,
";

    fn truth(rows: &[&str]) -> Result<Vec<Truth>, Error> {
        let (_dir, path) = write("truth.csv", &format!("case,patient,class,split\n{}\n", rows.join("\n")));
        read_truth(&path)
    }

    fn predictions() -> Vec<Prediction> {
        let (_dir, path) = write("cases.csv", CASES);
        read_predictions(&path).unwrap()
    }

    #[test]
    fn abstained_refused_and_missing_cases_are_misses_and_named() {
        let rows =
            ["a,1,covid-19,test", "b,2,influenza-a,test", "c,3,no-infection-found,test", "d,4,covid-19,"];
        let found = join(&predictions(), &truth(&rows).unwrap()).unwrap();
        assert_eq!(found.classes, ["covid-19", "influenza-a", "no-infection-found"]);
        let answers: Vec<&str> = found.cases.iter().map(|c| c.answer.as_str()).collect();
        assert_eq!(answers, ["covid-19", "refused", "indeterminate", "missing"]);
        assert_eq!(found.missing, ["d"]);
        assert_eq!(found.cases[2].probabilities, [0.4, 0.35, 1.0 - 0.4]);
        assert!(found.cases[1].probabilities.is_empty());
    }

    #[test]
    fn the_probability_of_no_infection_is_the_tables_own_where_it_has_one() {
        let table = "case,verdict,probability,covid-19,influenza-a,regions,no_infection\na,covid-19,0.4,0.4,0.35,2,0.25\n";
        let (_dir, path) = write("cases.csv", table);
        let rows = ["a,1,covid-19,test", "b,2,influenza-a,train"];
        let found = join(&read_predictions(&path).unwrap(), &truth(&rows).unwrap()).unwrap();
        assert_eq!(found.cases[0].probabilities, [0.4, 0.25], "{:?}", found.classes);
    }

    #[test]
    fn doubled_and_unknown_cases_are_refused() {
        let said = |rows: &[&str]| match truth(rows).and_then(|t| join(&predictions(), &t)) {
            Err(e) => e.to_string(),
            Ok(j) => panic!("{j:?}"),
        };
        assert!(said(&["a,1,covid-19,test", "a,1,covid-19,test"]).contains("case a stands there twice"));
        assert!(said(&["a,1,covid-19,test"]).contains("by path: b, c"));
        assert!(said(&["a,1,covid-19,train"]).contains("no test case"));
        let (_dir, path) = write("cases.csv", "case,verdict\na,covid-19\na,covid-19\n");
        assert!(read_predictions(&path).is_err());
    }

    #[test]
    fn cases_of_other_sets_are_left_out_by_name_and_hold_no_test_patient() {
        let rows = ["a,1,covid-19,train", "b,2,influenza-a,test", "c,3,covid-19,test"];
        assert_eq!(join(&predictions(), &truth(&rows).unwrap()).unwrap().left_out, ["a"]);
        let leak = ["a,1,covid-19,train", "b,2,influenza-a,test", "c,1,covid-19,test"];
        let error = join(&predictions(), &truth(&leak).unwrap()).unwrap_err();
        assert!(matches!(error, Error::Leakage { .. }), "{error}");
    }

    #[test]
    fn missing_columns_are_named() {
        let (_dir, path) = write("cases.csv", "case,input,verdict\n1,/a,covid-19\n");
        assert_eq!(read_predictions(&path).unwrap()[0].answer, "covid-19");
        assert!(read_truth(&path).unwrap_err().to_string().contains("`class`"));
    }
}
