//! What bad input gets: exit code 3, one or two sentences that name the file, nothing written.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

mod common;

use common::{files, patch, pleura, said, series};
use pleura_formats::write_nifti_i16;
use pleura_volume::{Geometry, Volume};
use std::path::Path;

/// Screens `input`, which must be refused; returns what was said.
fn refused(input: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let (code, printed, error) =
        said(&pleura(&["screen".as_ref(), input.as_os_str(), "--out".as_ref(), out.as_os_str()]));
    assert_eq!(code, 3, "{error}");
    assert_eq!(printed, "");
    assert!(!out.exists(), "something was written");
    assert!(error.starts_with("pleura: ") && error.trim_end().lines().count() <= 2, "{error}");
    assert!(!error.contains("panicked") && !error.to_lowercase().contains("phantom-0"), "{error}");
    let name = input.file_name().unwrap().to_string_lossy().into_owned();
    assert!(error.contains(&name), "{error} does not name {name}");
    error
}

#[test]
fn a_path_that_is_not_there() {
    refused(Path::new("/nowhere/scan"));
}

#[test]
fn an_empty_folder() {
    let dir = tempfile::tempdir().unwrap();
    refused(dir.path());
}

#[test]
fn a_text_file_by_itself_and_in_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes.txt");
    std::fs::write(&file, "no image at all").unwrap();
    refused(&file);
    refused(dir.path());
}

#[test]
fn a_truncated_dicom_file() {
    let dir = tempfile::tempdir().unwrap();
    let folder = series(&dir.path().join("series"), 1);
    let file = files(&folder)[5].clone();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let error = {
        let out = dir.path().join("out");
        let (code, _, error) =
            said(&pleura(&["screen".as_ref(), folder.as_os_str(), "--out".as_ref(), out.as_os_str()]));
        assert_eq!(code, 3, "{error}");
        assert!(!out.exists());
        error
    };
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    assert!(error.contains(&name), "{error} does not name {name}");
}

#[test]
fn a_single_slice_to_screen_while_lungs_takes_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = series(&dir.path().join("series"), 2);
    let slice = files(&folder)[12].clone();
    assert!(refused(&slice).contains("slice"));
    let mask = dir.path().join("mask.nii.gz");
    let (code, text, error) =
        said(&pleura(&["lungs".as_ref(), slice.as_os_str(), "--out".as_ref(), mask.as_os_str()]));
    assert_eq!(code, 0, "{error}");
    assert!(text.starts_with("lungs ") && mask.exists(), "{text}");
}

#[test]
fn a_colour_image_and_an_mr_series() {
    let dir = tempfile::tempdir().unwrap();
    let folder = series(&dir.path().join("colour"), 3);
    for file in files(&folder) {
        patch(&file, b"\x28\x00\x02\x00US\x02\x00\x01\x00", b"\x28\x00\x02\x00US\x02\x00\x03\x00");
    }
    refused(&folder);
    let folder = series(&dir.path().join("mr"), 3);
    for file in files(&folder) {
        patch(&file, b"\x08\x00\x60\x00CS\x02\x00CT", b"\x08\x00\x60\x00CS\x02\x00MR");
    }
    assert!(refused(&folder).contains("MR"));
}

#[test]
fn a_nifti_whose_header_promises_more_than_the_file_holds() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("scan.nii");
    let geometry = Geometry::axis_aligned([16, 16, 16], [0.0; 3], [2.0; 3]);
    write_nifti_i16(&file, &Volume::filled(geometry, -700), None).unwrap();
    // dim[3], the number of slices, from 16 to 20000 (NIfTI-1, byte 46).
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[46..48].copy_from_slice(&20_000i16.to_le_bytes());
    std::fs::write(&file, bytes).unwrap();
    refused(&file);
}

#[test]
fn a_zip_that_unpacks_over_the_limit_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let folder = series(&dir.path().join("series"), 4);
    let zip = dir.path().join("scan.zip");
    let mut writer = zip::ZipWriter::new(std::fs::File::create(&zip).unwrap());
    for file in files(&folder) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut writer, &std::fs::read(&file).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let out = dir.path().join("out.nii.gz");
    let convert = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pleura"));
        command.env("TMPDIR", &home).arg("convert").arg(&zip).arg(&out).args(more);
        let answer = said(&command.output().unwrap());
        assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0, "unpacked files were left behind");
        answer
    };
    let (code, _, error) = convert(&["--max-unpacked", "100000"]);
    assert!(code == 3 && error.contains("scan.zip") && error.contains("over the limit"), "{code} {error}");
    let (code, _, error) = convert(&["--max-nesting", "0"]);
    assert!(code == 3 && error.contains("nested over the limit"), "{code} {error}");
    let (code, _, error) = convert(&[]);
    assert!(code == 0 && out.exists(), "{code} {error}");
}

#[test]
fn a_head_is_done_and_called_not_analysable() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("head.nii.gz");
    let geometry = Geometry::axis_aligned([96, 96, 60], [0.0; 3], [2.5, 2.5, 3.0]);
    let mut volume = Volume::filled(geometry, -1000i16);
    for z in 0..60 {
        for y in 0..96usize {
            for x in 0..96usize {
                let r = (((x as f64 - 48.0) * 2.5).powi(2)
                    + ((y as f64 - 48.0) * 2.5).powi(2)
                    + ((z as f64 - 30.0) * 3.0).powi(2))
                .sqrt();
                let i = volume.offset([x, y, z]);
                volume.data[i] = if r < 72.0 {
                    35
                } else if r < 80.0 {
                    1000
                } else if r < 86.0 {
                    20
                } else {
                    -1000
                };
            }
        }
    }
    write_nifti_i16(&file, &volume, None).unwrap();
    let out = dir.path().join("out");
    let text = common::succeeds(&["screen".as_ref(), file.as_os_str(), "--out".as_ref(), out.as_os_str()]);
    assert!(text.contains("not-analysable"), "{text}");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["verdict"]["type"], "not-analysable");
    assert!(report["verdict"]["probability"].is_null());
    assert!(!report["verdict"]["reasons"].as_array().unwrap().is_empty());
}

#[test]
fn wrong_usage_has_its_own_exit_code() {
    assert_eq!(said(&pleura(&["screen"])).0, 2);
    assert_eq!(said(&pleura(&["phantom", "--class", "measles", "--out", "x"])).0, 2);
    assert_eq!(said(&pleura(&["convert", "a.nii", "b.txt"])).0, 2);
}

#[test]
fn an_empty_file_of_any_name() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["scan.nii", "scan.nii.gz", "scan.dcm", "scan.zip", "scan.mha", "scan"] {
        let file = dir.path().join(name);
        std::fs::write(&file, "").unwrap();
        assert!(refused(&file).contains("The file is empty."), "{name}");
    }
}

#[test]
fn an_earlier_report_is_kept_and_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("scan.nii"), dir.path().join("out"));
    std::fs::write(&file, "").unwrap();
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("report.json"), "an earlier one").unwrap();
    let (code, _, error) =
        said(&pleura(&["screen".as_ref(), file.as_os_str(), "--out".as_ref(), out.as_os_str()]));
    assert_eq!(code, 3, "{error}");
    assert!(error.starts_with("warning (earlier-report)"), "{error}");
    assert_eq!(std::fs::read_to_string(out.join("report.json")).unwrap(), "an earlier one");
}

#[test]
fn a_folder_for_results_that_is_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    std::fs::write(&out, "mine").unwrap();
    let (code, _, error) =
        said(&pleura(&["screen".as_ref(), dir.path().as_os_str(), "--out".as_ref(), out.as_os_str()]));
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("is a file"), "{error}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "mine");
}
