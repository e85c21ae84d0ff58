//! One run of each command from its arguments to what it leaves behind.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

mod common;

use common::{files, patch, pleura, said, series, succeeds};
use pleura_phantom::{Class, Grid, RenderOptions, render, save_nifti};
use serde_json::Value;
use std::path::Path;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn screening_twice_gives_the_same_report_but_for_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let scan = series(&dir.path().join("scan"), 4);
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let line = succeeds(&["screen", text(&scan), "--out", text(&a), "--masks"]);
    assert_eq!(line.lines().count(), 1, "{line}");
    succeeds(&["screen", text(&scan), "--out", text(&b), "--threads", "1"]);
    let without_clock = |dir: &Path| {
        let report = std::fs::read_to_string(dir.join("report.json")).unwrap();
        let (before, after) = report.split_once("\"timings_s\"").unwrap();
        (before.to_owned(), after.split_once('}').unwrap().1.to_owned())
    };
    assert_eq!(without_clock(&a), without_clock(&b));
    let report = json(&a.join("report.json"));
    assert_eq!(report["schema"], "pleura.report/1");
    assert_eq!(report["input"]["slices"], 24);
    assert!(report.to_string().find("PHANTOM-").is_none(), "the patient's id is in the report");
    for name in ["report.html", "lungs.nii.gz", "infection.nii.gz", "images/overview.png"] {
        assert!(a.join(name).exists(), "{name}");
    }
    assert!(!b.join("lungs.nii.gz").exists());
}

#[test]
fn of_several_inputs_the_good_are_done_and_the_bad_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    series(&archive.join("good"), 5);
    let bad = series(&archive.join("bad"), 6);
    files(&bad)
        .iter()
        .for_each(|f| patch(f, b"\x08\x00\x60\x00CS\x02\x00CT", b"\x08\x00\x60\x00CS\x02\x00MR"));
    let out = dir.path().join("out");
    let (code, printed, error) = said(&pleura(&["screen", text(&archive), "--out", text(&out)]));
    assert_eq!(code, 3, "{error}");
    assert_eq!(printed.lines().count(), 1, "{printed}");
    assert!(error.contains("refused") && error.contains("bad"), "{error}");
    assert!(out.join("good/report.json").exists() && !out.join("bad").exists());
    let table = std::fs::read_to_string(out.join("cases.csv")).unwrap();
    let header = "case,input,status,verdict,probability,covid-19,influenza-a,regions,lungs_ml,involvement_pct,warnings,seconds,error,no_infection";
    assert_eq!(table.lines().next().unwrap(), header);
    assert!(table.lines().any(|l| l.starts_with("good,") && l.contains(",done,")), "{table}");
    assert!(table.lines().any(|l| l.starts_with("bad,") && l.contains(",refused,")), "{table}");

    let before = std::fs::metadata(out.join("good/report.json")).unwrap().modified().unwrap();
    let (code, ..) = said(&pleura(&["screen", text(&archive), "--out", text(&out), "--resume"]));
    assert_eq!(code, 3);
    assert_eq!(std::fs::metadata(out.join("good/report.json")).unwrap().modified().unwrap(), before);
    let again = std::fs::read_to_string(out.join("cases.csv")).unwrap();
    assert_eq!(again.lines().count(), table.lines().count());
}

#[test]
fn inspect_names_the_series_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let scan = series(&dir.path().join("scan"), 7);
    assert!(succeeds(&["inspect", text(&scan)]).contains("512 x 512 x 24 voxels"));
    let found: Value = serde_json::from_str(&succeeds(&["inspect", text(&scan), "--json"])).unwrap();
    assert_eq!(found["series"][0]["screened"], true);
    assert_eq!(found["series"][0]["modality"], "CT");
}

#[test]
fn convert_and_lungs_write_nifti() {
    let dir = tempfile::tempdir().unwrap();
    let scan = series(&dir.path().join("scan"), 8);
    let (ct, mask) = (dir.path().join("ct.nii.gz"), dir.path().join("masks/lungs.nii.gz"));
    succeeds(&["convert", text(&scan), text(&ct)]);
    // The converted volume is read like the series: the same lungs.
    let a = succeeds(&["lungs", text(&scan), "--out", text(&mask)]);
    let b = succeeds(&["lungs", text(&ct), "--out", text(&mask)]);
    assert!(a.starts_with("lungs ok") || a.starts_with("lungs partial"), "{a}");
    assert_eq!(a, b);
    let answer: Value =
        serde_json::from_str(&succeeds(&["lungs", text(&ct), "--out", text(&mask), "--json"])).unwrap();
    assert!(answer["right_ml"].as_f64().unwrap() > 300.0, "{answer}");
}

#[test]
fn a_phantom_comes_with_its_truth_and_never_over_other_files() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("phantom");
    let arguments =
        ["phantom", "--class", "influenza-a", "--seed", "9", "--slices", "12", "--format", "nifti", "--out"];
    let with_out: Vec<&str> = arguments.into_iter().chain([text(&out)]).collect();
    assert!(succeeds(&with_out).starts_with("influenza-a"));
    assert_eq!(json(&out.join("truth/truth.json"))["class"], "influenza-a");
    assert!(out.join("ct.nii.gz").exists() && out.join("truth/infection.nii.gz").exists());
    assert_eq!(said(&pleura(&with_out)).0, 2);
}

#[test]
fn a_cohort_is_listed_then_made_and_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("cohort");
    assert!(succeeds(&["cohort", "--out", text(&out), "--list"]).starts_with("618 cases"));
    succeeds(&["cohort", "--out", text(&out), "--scale", "0.002"]);
    let table = std::fs::read_to_string(out.join("cohort.csv")).unwrap();
    assert_eq!(table.lines().next().unwrap(), "case,patient,class,split,path,seed");
    for line in table.lines().skip(1) {
        let path = line.split(',').nth(4).unwrap();
        assert!(out.join(path).join("ct.nii.gz").exists(), "{path}");
    }
    succeeds(&["cohort", "--out", text(&out), "--scale", "0.002", "--resume"]);
    assert_eq!(said(&pleura(&["cohort", "--out", text(&out), "--scale", "0.002"])).0, 2);
}

#[test]
fn evaluate_counts_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let (cases, truth, out) =
        (dir.path().join("cases.csv"), dir.path().join("truth.csv"), dir.path().join("out"));
    std::fs::write(&cases, "case,verdict\na,covid-19\nb,influenza-a\nc,covid-19\n").unwrap();
    std::fs::write(&truth, "case,class\na,covid-19\nb,influenza-a\nc,influenza-a\n").unwrap();
    let arguments =
        ["evaluate", "--predictions", text(&cases), "--truth", text(&truth), "--out", text(&out), "--json"];
    let found: Value = serde_json::from_str(&succeeds(&arguments)).unwrap();
    let table = &found["cases"]["table"];
    assert_eq!(table["confusion"]["counts"], serde_json::json!([[1, 0, 0], [1, 1, 0], [0, 0, 0]]));
    assert!(std::fs::read_to_string(out.join("cases.md")).unwrap().contains("Accuracy 0.667"));
    // A second run that gets all three right.
    let other = dir.path().join("other.csv");
    std::fs::write(&other, "case,verdict\na,covid-19\nb,influenza-a\nc,influenza-a\n").unwrap();
    let said = succeeds(&[&arguments[..5], &["--against", text(&other)]].concat());
    assert!(said.contains("only the second in 1; McNemar, exact: p = 1.0000"), "{said}");
}

/// Screening a cohort's folder names the cases after the folders that it met; the paths tell.
#[test]
fn evaluate_knows_cases_by_where_they_lie() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("cohort/cases/covid-t000/ct")).unwrap();
    std::fs::create_dir_all(at("cohort/cases/none-t000/ct")).unwrap();
    let truth = at("cohort/cohort.csv");
    let rows = "case,class,split,path\ncovid-t000,covid-19,test,cases/covid-t000\n\
                none-t000,no-infection-found,test,cases/none-t000\n";
    std::fs::write(&truth, rows).unwrap();
    let inputs = ["covid-t000", "none-t000"].map(|c| at(&format!("cohort/cases/{c}/ct")));
    let predicted = format!(
        "case,input,verdict\ncases-covid-t000-ct,{},covid-19\ncases-none-t000-ct,{},covid-19\n",
        text(&inputs[0]),
        text(&inputs[1])
    );
    let cases = at("cases.csv");
    std::fs::write(&cases, predicted).unwrap();
    let arguments = ["evaluate", "--predictions", text(&cases), "--truth", text(&truth), "--json"];
    let found: Value = serde_json::from_str(&succeeds(&arguments)).unwrap();
    assert_eq!(found["cases"]["table"]["confusion"]["counts"], serde_json::json!([[1, 0], [1, 0]]));
    assert_eq!(found["missing"], serde_json::json!([]));
}

/// Two scans of a cohort written by hand, the second a copy of the first under other names.
#[test]
fn evaluate_refuses_a_scan_in_two_sets() {
    let dir = tempfile::tempdir().unwrap();
    let (cases, truth) = (dir.path().join("cases.csv"), dir.path().join("truth.csv"));
    for name in ["a", "b"] {
        let options = RenderOptions { grid: Grid::Detector { spacing_mm: 5.0 }, ..RenderOptions::default() };
        save_nifti(&render(Class::Covid19, 7, &options), &dir.path().join(name)).unwrap();
    }
    std::fs::write(&cases, "case,verdict\nb,covid-19\n").unwrap();
    let table =
        "case,patient,class,split,path\na,1,covid-19,train,a/ct.nii.gz\nb,2,covid-19,test,b/ct.nii.gz\n";
    std::fs::write(&truth, table).unwrap();
    let arguments = ["evaluate", "--predictions", text(&cases), "--truth", text(&truth)];
    succeeds(&arguments);
    let (code, _, error) = said(&pleura(&[&arguments[..], &["--compare-voxels"]].concat()));
    assert!(code != 0 && error.contains("a (train) and b (test)") && error.contains("voxels"), "{error}");
    std::fs::write(&truth, table.replace(",2,", ",1,")).unwrap();
    let (code, _, error) = said(&pleura(&arguments));
    assert!(code != 0 && error.contains("have one patient"), "{error}");
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(succeeds(&["completions", shell]).contains("inspect"), "{shell}");
    }
}

#[test]
fn help_and_version_teach() {
    let help = succeeds(&["screen", "--help"]);
    assert!(help.contains("--resume") && help.contains("pleura screen scan/ --out result"), "{help}");
    let version = succeeds(&["--version"]);
    assert!(version.contains("detector") && version.contains("sha256"), "{version}");
}
