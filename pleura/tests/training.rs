//! The training commands, tiny: what they leave behind, and that running them again resumes.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests
#![cfg(feature = "train")]

mod common;

use common::{pleura, said, succeeds};
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

#[test]
fn the_experiment_leaves_six_tables_and_a_figure() {
    let dir = tempfile::tempdir().unwrap();
    let (config, out) = (dir.path().join("reproduce.toml"), dir.path().join("out"));
    let settings =
        format!("scale = 0.01\ntest_spacing_mm = 3.0\n[detector]{DETECTOR}[classifier]{CLASSIFIER}");
    std::fs::write(&config, settings).unwrap();
    let said = succeeds(&["reproduce", "--config", text(&config), "--out", text(&out)]);
    assert!(said.contains("resnet18: case accuracy") && said.contains("location-attention: "), "{said}");
    let tables = std::fs::read_to_string(out.join("tables.md")).unwrap();
    assert!((1..=6).all(|n| tables.contains(&format!("## Table {n}: "))), "{tables}");
    assert!(
        tables.contains("Accuracy") && out.join("figure5.svg").exists() && out.join("cohort.csv").exists()
    );
}

#[test]
fn settings_are_shown_and_mistyped_ones_refused() {
    let shown = succeeds(&["train", "detector", "--out", "x", "--steps", "7", "--show-config"]);
    assert!(shown.contains("steps = 7"), "{shown}");
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("typo.toml");
    std::fs::write(&config, "stepz = 3\n").unwrap();
    let (code, _, error) =
        said(&pleura(&["train", "detector", "--out", "x", "--config", text(&config), "--show-config"]));
    assert!(code == 2 && error.contains("stepz"), "{error}");
}
