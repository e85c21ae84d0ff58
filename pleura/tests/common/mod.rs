//! Running the binary, and making inputs for it.

// Each test file is a program of its own and uses a part of this.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use pleura_phantom::{Class, RenderOptions, render, save_dicom};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `pleura` and waits for it.
pub fn pleura<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pleura")).args(arguments).output().unwrap()
}

/// Exit code, standard output, standard error.
pub fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Runs `pleura`, which must succeed, and returns what it printed.
pub fn succeeds<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> String {
    let (code, out, err) = said(&pleura(arguments));
    assert_eq!(code, 0, "{err}");
    out
}

/// A small phantom as a DICOM series in `dir`.
pub fn series(dir: &Path, seed: u64) -> PathBuf {
    let phantom = render(Class::Covid19, seed, &RenderOptions { slices: 24, ..RenderOptions::default() });
    save_dicom(&phantom, dir).unwrap();
    dir.to_owned()
}

/// The files of a folder, sorted.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// Replaces the first place where `from` stands in a file.
pub fn patch(file: &Path, from: &[u8], to: &[u8]) {
    let mut bytes = std::fs::read(file).unwrap();
    let at = bytes.windows(from.len()).position(|w| w == from).expect("the bytes to change");
    bytes[at..at + to.len()].copy_from_slice(to);
    std::fs::write(file, bytes).unwrap();
}
