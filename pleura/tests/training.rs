//! The training commands, tiny: what they leave behind, and that running them again resumes.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests
#![cfg(feature = "train")]

mod common;

use common::{pleura, said, succeeds};
use pleura_phantom::{Class, Grid, RenderOptions, render, save_nifti, save_truth};
use std::path::Path;

const DETECTOR: &str = "
cases = 3
validation_cases = 3
steps = 2
batch = 1
crop = 32
widths = [8, 8, 8]
spacing_mm = 4.0
anchors_mm = [12.0, 32.0]
";

const CLASSIFIER: &str = "
cases = 3
validation_cases = 3
steps = 2
batch = 3
pixels = 32
spacing_mm = 3.0
scanner_every = 0
";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn both_networks_are_trained_and_a_second_run_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let (config, out) = (dir.path().join("detector.toml"), dir.path().join("detector"));
    std::fs::write(&config, DETECTOR).unwrap();
    let arguments = ["train", "detector", "--config", text(&config), "--out", text(&out)];
    let first = succeeds(&arguments);
    for name in ["detector.safetensors", "curves.csv", "curves.svg", "metrics.json"] {
        assert!(out.join(name).exists(), "{name}");
    }
    assert_eq!(first, succeeds(&arguments), "a finished training does not change");
    let (code, _, error) = said(&pleura(&[&arguments[..], &["--seed", "99"]].concat()));
    assert!(code != 0 && error.contains("other settings"), "{error}");

    let model = out.join("detector.safetensors");
    let (config, out) = (dir.path().join("classifier.toml"), dir.path().join("classifier"));
    std::fs::write(&config, CLASSIFIER).unwrap();
    let detector = ["--detector", text(&model)];
    let arguments = ["train", "classifier", "--config", text(&config), "--out", text(&out)];
    assert!(succeeds(&[&arguments[..], &detector].concat()).starts_with("2 steps"));
    assert!(out.join("classifier.safetensors").exists());
}

/// Four phantoms as a user's own scans: two to train on, two to validate on.
fn own_scans(dir: &Path, classes: [&str; 4], marks: [&str; 4]) -> std::path::PathBuf {
    let mut text = String::from("case,patient,path,class,split,mask,boxes\n");
    for (i, (class, mark)) in classes.into_iter().zip(marks).enumerate() {
        let options = RenderOptions { grid: Grid::Detector { spacing_mm: 4.0 }, ..RenderOptions::default() };
        let made = if class == "no-infection-found" { Class::NoInfection } else { Class::Covid19 };
        let phantom = render(made, 40 + i as u64, &options);
        let folder = dir.join(format!("scan{i}"));
        save_nifti(&phantom, &folder).unwrap();
        save_truth(&phantom, &folder).unwrap();
        let split = ["train", "train", "validation", "validation"][i];
        text += &format!("case{i},patient{i},scan{i}/ct.nii.gz,{class},{split},{mark}\n");
    }
    let path = dir.join("cases.csv");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn own_scans_of_other_classes_are_learned_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let classes = ["tuberculosis", "aspergillosis", "tuberculosis", "no-infection-found"];
    let marks = ["scan0/infection.nii.gz,", ",scan1/truth.json", "scan2/infection.nii.gz,", ","];
    let data = own_scans(dir.path(), classes, marks);
    let train = |network: &str, settings: &str, more: &[&str]| {
        let (config, out) = (dir.path().join(format!("{network}.toml")), dir.path().join(network));
        std::fs::write(&config, settings).unwrap();
        let fixed = ["train", network, "--data", text(&data), "--config", text(&config), "--out", text(&out)];
        succeeds(&[&fixed[..], more].concat());
        out.join(format!("{network}.safetensors"))
    };
    let detector = train("detector", DETECTOR, &[]);
    let classifier = train("classifier", CLASSIFIER, &["--detector", text(&detector)]);
    let out = dir.path().join("out");
    let scan = dir.path().join("scan3/ct.nii.gz");
    let models = ["--model", text(&detector), "--model", text(&classifier)];
    succeeds(&[&["screen", text(&scan), "--out", text(&out)][..], &models].concat());
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    let types: Vec<&str> =
        report["findings"].as_array().unwrap().iter().map(|f| f["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["aspergillosis", "tuberculosis"]);
    let told = report["models"][0]["trained_on"].as_str().unwrap();
    assert!(told.contains("2 scans of the user's own") && !told.contains("patient0"), "{told}");
}

#[test]
fn a_scan_in_two_splits_is_found_out_by_its_voxels() {
    let dir = tempfile::tempdir().unwrap();
    let data = own_scans(dir.path(), ["a", "no-infection-found", "a", "no-infection-found"], [","; 4]);
    std::fs::copy(dir.path().join("scan1/ct.nii.gz"), dir.path().join("scan3/ct.nii.gz")).unwrap();
    let config = dir.path().join("classifier.toml");
    std::fs::write(&config, CLASSIFIER).unwrap();
    let out = dir.path().join("out");
    let arguments =
        ["train", "classifier", "--data", text(&data), "--config", text(&config), "--out", text(&out)];
    // When it is run again the training is over, and only the validation left.
    for _ in 0..2 {
        let (code, _, error) = said(&pleura(&arguments));
        assert!(code != 0 && error.contains("case1") && error.contains("case3"), "{error}");
    }
    let kept = ["--candidates", text(&out)];
    let (code, _, error) = said(&pleura(&[&arguments[..], &kept].concat()));
    assert!(code != 0 && error.contains("`candidates`"), "{error}");
    // Nobody said where the infection is: the detector cannot learn from that.
    let (code, _, error) = said(&pleura(&["train", "detector", "--data", text(&data), "--out", text(&out)]));
    assert!(code != 0 && error.contains("mask or boxes"), "{error}");
}

#[test]
fn the_experiment_leaves_six_tables_and_a_figure() {
    let dir = tempfile::tempdir().unwrap();
    let (config, out) = (dir.path().join("reproduce.toml"), dir.path().join("out"));
    let settings = format!(
        "scale = 0.01\ntest_spacing_mm = 3.0\nmore_cases = 3\n[detector]{DETECTOR}[classifier]{CLASSIFIER}"
    );
    std::fs::write(&config, settings).unwrap();
    let arguments = ["reproduce", "--config", text(&config), "--out", text(&out)];
    let first = succeeds(&[&arguments[..], &["--stages", "2"]].concat());
    assert!(first.contains("`detector` is done") && !out.join("results.md").exists(), "{first}");
    let said = succeeds(&arguments);
    assert!(said.contains("resnet18: case accuracy") && said.contains("location-attention: "), "{said}");
    let results = std::fs::read_to_string(out.join("results.md")).unwrap();
    assert!((1..=6).all(|n| results.contains(&format!("## Table {n}: "))), "{results}");
    let more = std::fs::read_to_string(out.join("more/results.md")).unwrap();
    let listed = std::fs::read_to_string(out.join("more.csv")).unwrap();
    assert_eq!(listed.matches("\nmore-").count(), 3, "{listed}");
    assert!(more.contains("\n3 test cases") && !more.contains("Table 1"), "{more}");
    for part in ["Brier score", "false regions a scan", "McNemar", "DeLong", "slice_mm", "of 2 seeds"] {
        assert!(results.contains(part) && more.contains(part), "{part}: {results} {more}");
    }
    for name in ["figure5", "froc", "paper-roc", "calibrated-calibration"] {
        assert!(out.join(format!("{name}.svg")).exists(), "{name}");
    }
    let stages: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("stages.json")).unwrap()).unwrap();
    let names: Vec<&str> =
        stages["stages"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    let trainings = ["resnet18-1", "location-attention-1", "resnet18-2", "location-attention-2"];
    let stages =
        [&["cohort", "detector", "candidates"], &trainings[..], &["test", "more", "results"]].concat();
    assert_eq!(names, stages);
    assert_eq!(said, succeeds(&arguments), "what is done stays as it is");
    // Another model under the name of an artefact is found out.
    std::fs::copy(out.join("resnet18-1/classifier.safetensors"), out.join("detector/detector.safetensors"))
        .unwrap();
    let (code, _, error) = common::said(&pleura(&arguments));
    assert!(code != 0 && error.contains("is not what stage detector ended in"), "{error}");
}

#[test]
fn networks_are_measured_and_compared_on_fresh_cases() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let built_in = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/classifier.safetensors");
    let arguments = ["measure", "--cases", "3", "--spacing", "3", "--seed", "2", "--out", text(&out)];
    let said = succeeds(&[&arguments[..], &["--against", built_in]].concat());
    assert_eq!(said.matches("case accuracy").count(), 2, "{said}");
    let results = std::fs::read_to_string(out.join("results.md")).unwrap();
    // A network against itself is never right alone.
    assert!(results.contains("Only the first is right in 0 cases, only the second in 0;"), "{results}");
    assert!(results.contains("false regions a scan") && !results.contains("Table 1"), "{results}");
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap();
    assert_eq!((&json["cases"], json["networks"].as_array().unwrap().len()), (&3.into(), 2));
    let alone = succeeds(&arguments);
    assert_eq!(alone.lines().next(), said.lines().next(), "the same cases, the same figures");
    let (code, _, error) = common::said(&pleura(&["measure", "--cases", "4", "--out", text(&out)]));
    assert!(code == 2 && error.contains("multiple of 3"), "{error}");
    let detector = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/detector.safetensors");
    let (code, _, error) = common::said(&pleura(&[&arguments[..], &["--against", detector]].concat()));
    assert!(code != 0 && error.contains("not a classifier"), "{error}");
}

#[test]
fn the_shortcut_check_trains_three_times_and_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let arguments = ["shortcut", "--cases", "3", "--test-cases", "6", "--steps", "2", "--spacing", "4"];
    let arguments = [&arguments[..], &["--out", text(&out)]].concat();
    let (code, said, error) = common::said(&pleura(&arguments));
    // Two steps teach nothing, and six cases show nothing.
    assert_eq!(code, 1, "{error}");
    for shown in ["everything", "lesions-blanked", "lesions-alone"] {
        assert!(said.contains(&format!("{shown}: patch accuracy 0.")), "{said}");
        assert!(out.join(shown).join("checkpoint").exists());
    }
    let table = std::fs::read_to_string(out.join("shortcut.md")).unwrap();
    assert!(table.contains("**Not shown"), "{table}");
    assert_eq!(common::said(&pleura(&arguments)).1, said, "a finished check does not change");
    let other = [&arguments[..], &["--seed", "9"]].concat();
    let (code, _, error) = common::said(&pleura(&other));
    assert!(code == 1 && error.contains("other settings"), "{error}");
}

#[test]
fn settings_are_shown_and_mistyped_ones_refused() {
    let shown = succeeds(&["train", "detector", "--steps", "7", "--show-config"]);
    assert!(shown.contains("steps = 7"), "{shown}");
    let (code, _, error) = said(&pleura(&["train", "detector", "--steps", "7"]));
    assert!(code == 2 && error.contains("--out"), "{error}");
    assert!(succeeds(&["reproduce", "--show-config"]).contains("stage_minutes"));
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("typo.toml");
    std::fs::write(&config, "stepz = 3\n").unwrap();
    let (code, _, error) = said(&pleura(&["train", "detector", "--config", text(&config), "--show-config"]));
    assert!(code == 2 && error.contains("stepz"), "{error}");
}
