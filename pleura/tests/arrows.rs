//! The rules of the house, read off `cargo metadata`: which stage may import which, and that the
//! binary without its `train` feature holds no burn.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// For each package, the packages of ours that it may import (docs/architecture.md).
const ARROWS: &[(&str, &[&str])] = &[
    ("volume", &[]),
    ("formats", &["volume"]),
    ("lungs", &["volume"]),
    ("kernels", &[]),
    ("nets", &["volume", "kernels"]),
    ("screen", &["volume", "lungs", "nets"]),
    ("report", &["volume", "formats", "screen"]),
    ("phantom", &["volume", "formats"]),
    ("evaluate", &["volume"]),
    ("nets-burn", &["kernels", "nets"]),
    ("learn", &["volume", "formats", "lungs", "nets", "screen", "phantom", "nets-burn", "evaluate"]),
];

fn cargo(arguments: &[&str]) -> String {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--manifest-path", manifest, "--offline"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_stage_imports_only_what_lies_before_it() {
    let text = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(stage) = name.strip_prefix("pleura-") else {
            assert_eq!(name, "pleura", "a package that the architecture does not know");
            continue;
        };
        let (_, allowed) = ARROWS
            .iter()
            .find(|(s, _)| *s == stage)
            .unwrap_or_else(|| panic!("{stage} is missing from the architecture"));
        seen.insert(stage.to_owned());
        for dependency in package["dependencies"].as_array().unwrap() {
            let Some(other) = dependency["name"].as_str().unwrap().strip_prefix("pleura-") else { continue };
            assert!(allowed.contains(&other), "{stage} must not import {other}");
        }
    }
    assert_eq!(seen.len(), ARROWS.len(), "a stage of the architecture is gone: {seen:?}");
}

#[test]
fn the_binary_without_training_holds_no_burn() {
    let tree =
        cargo(&["tree", "-p", "pleura", "--no-default-features", "--edges", "normal", "--prefix", "none"]);
    assert!(tree.contains("pleura-screen"));
    assert!(!tree.lines().any(|l| l.starts_with("burn")), "{tree}");
}

#[test]
fn unsafe_code_is_forbidden_outside_the_kernels() {
    let text = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&text).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let manifest = std::fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        let inherits = manifest.contains("[lints]\nworkspace = true");
        assert_eq!(inherits, package["name"] != "pleura-kernels", "{}", package["name"]);
    }
    let root = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).unwrap();
    assert!(root.contains("unsafe_code = \"forbid\""));
}
