//! Figures of other programs (`fixtures/make.py`: scikit-learn 1.9.1, scipy 1.17.1, MLstatkit 0.1.91).

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

use pleura_evaluate::{Answers, Table, auc, brier, calibration_error, delong, mcnemar, reliability, roc};
use serde_json::Value;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap()
}

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn flags(v: &Value) -> Vec<bool> {
    v.as_array().unwrap().iter().map(|x| x.as_bool().unwrap()).collect()
}

fn near(found: f64, wanted: &Value) {
    let wanted = wanted.as_f64().unwrap();
    assert!((found - wanted).abs() < 1e-9, "{found} {wanted}");
}

fn all_near(found: &[f64], wanted: &Value) {
    let wanted = wanted.as_array().unwrap();
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).for_each(|(f, w)| near(*f, w));
}

#[test]
fn recall_precision_f1_and_accuracy_are_scikit_learns() {
    let f = &fixture()["confusion"];
    let classes = ["covid-19", "influenza-a", "no-infection-found"].map(String::from);
    let rows = f["truth"].as_array().unwrap().iter().zip(f["answer"].as_array().unwrap());
    let answer =
        |(t, a): (&Value, &Value)| vec![(t.as_u64().unwrap() as usize, a.as_str().unwrap().to_owned())];
    let cases: Vec<Answers> = rows.map(answer).collect();
    let table = Table::new(&classes, &cases, 1);
    let column = |name: &str| table.confusion.answers.iter().position(|a| a == name).unwrap();
    let answers = ["covid-19", "influenza-a", "no-infection-found", "indeterminate"].map(column);
    for (row, wanted) in table.confusion.counts.iter().zip(f["matrix"].as_array().unwrap()) {
        all_near(&answers.map(|c| row[c] as f64), wanted);
    }
    let of =
        |pick: fn(&pleura_evaluate::ClassFigures) -> f64| table.classes.iter().map(pick).collect::<Vec<_>>();
    all_near(&of(|c| c.recall.value), &f["recall"]);
    all_near(&of(|c| c.precision.value), &f["precision"]);
    all_near(&of(|c| c.f1.value), &f["f1"]);
    near(table.mean_f1.value, &f["mean_f1"]);
    near(table.mean_f1_infections.value, &f["mean_f1_of_two"]);
    near(table.accuracy.value, &f["accuracy"]);
}

#[test]
fn curves_areas_and_brier_scores_are_scikit_learns_with_ties_and_without() {
    for f in fixture()["ranking"].as_array().unwrap() {
        let (scores, positive) = (numbers(&f["scores"]), flags(&f["positive"]));
        let found = roc(&scores, &positive);
        all_near(&found.false_positive_rate, &f["false_positive_rate"]);
        all_near(&found.true_positive_rate, &f["true_positive_rate"]);
        near(auc(&scores, &positive), &f["auc"]);
        near(brier(&scores, &positive), &f["brier"]);
    }
}

#[test]
fn the_reliability_curve_is_scikit_learns() {
    let f = &fixture()["calibration"];
    let bins = reliability(&numbers(&f["probability"]), &flags(&f["happened"]), 10);
    all_near(&bins.iter().map(|b| b.mean).collect::<Vec<_>>(), &f["mean"]);
    all_near(&bins.iter().map(|b| b.share).collect::<Vec<_>>(), &f["share"]);
    near(calibration_error(&bins), &f["ece"]);
}

/// MLstatkit gives z as second minus first.
#[test]
fn delongs_test_is_mlstatkits() {
    let f = &fixture()["comparison"];
    let found = delong(&numbers(&f["one"]), &numbers(&f["other"]), &flags(&f["positive"]));
    near(found.auc[0], &f["auc_one"]);
    near(found.auc[1], &f["auc_other"]);
    near(-found.z, &f["z"]);
    near(found.p, &f["p"]);
}

#[test]
fn mcnemars_test_is_scipys_binomial_one() {
    for row in fixture()["mcnemar"].as_array().unwrap() {
        let [a, b] = [0, 1].map(|k| row[k].as_u64().unwrap() as usize);
        let right = [vec![[true, false]; a], vec![[false, true]; b]].concat();
        near(mcnemar(&right).p, &row[2]);
    }
}
