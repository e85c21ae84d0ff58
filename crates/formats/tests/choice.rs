//! Which series of a study is screened, what of it is told, and whom a damaged file hurts.

#![allow(clippy::unwrap_used)]

mod common;

use common::{chest, codes, edit, one, put, refusal, sequence, set, slice};
use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use pleura_formats::{
    DicomTags, Inspection, Limits, SeriesReport, Source, find_sources, inspect, read, write_dicom_series,
};
use pleura_volume::{Geometry, Volume};
use std::fs;
use std::path::{Path, PathBuf};

/// A series of one study, wide enough for a chest, `count` slices `apart` mm apart; its folder is
/// its number.
fn add(
    study: &Path,
    number: u32,
    count: usize,
    apart: f64,
    change: impl Fn(&mut InMemDicomObject),
) -> PathBuf {
    let geometry = Geometry::axis_aligned([24, 18, count], [0.0; 3], [10.0, 10.0, apart]);
    let mut volume = Volume::filled(geometry, -1000_i16);
    volume.data.iter_mut().step_by(3).for_each(|v| *v = 40);
    let folder = study.join(number.to_string());
    let tags = DicomTags { seed: number.into(), slice_thickness_mm: apart, ..DicomTags::default() };
    write_dicom_series(&folder, &volume, &tags).unwrap();
    for k in 1..=count {
        edit(&slice(&folder, k), |o| {
            put(o, tags::STUDY_INSTANCE_UID, VR::UI, &["1.2.3.4"]);
            put(o, tags::SERIES_NUMBER, VR::IS, &[&number.to_string()]);
            change(o);
        });
    }
    folder
}

fn inspection(path: &Path) -> Inspection {
    inspect(&[path.to_owned()], &Limits::default()).unwrap()
}

/// Number of the series that would be screened, and the reports by number.
fn screened(path: &Path) -> (i64, Vec<SeriesReport>) {
    let mut series = inspection(path).series;
    series.sort_by_key(|s| s.number);
    let chosen: Vec<i64> = series.iter().filter(|s| s.screened).filter_map(|s| s.number).collect();
    assert_eq!(chosen.len(), 1, "{series:?}");
    (chosen[0], series)
}

fn typed(o: &mut InMemDicomObject, values: &[&str]) {
    put(o, tags::IMAGE_TYPE, VR::CS, values);
}

#[test]
fn each_rule_decides_before_those_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    // Each beats the one before it by one rule, whatever speaks against it.
    add(path, 1, 20, 2.0, |_| ());
    let check = |number: i64, rule: &str| {
        let (chosen, series) = screened(path);
        assert_eq!(chosen, number);
        let loser = &series[number as usize - 2];
        assert!(loser.reason.contains(&format!("fitter by its {rule}")), "{}", loser.reason);
    };
    add(path, 2, 30, 8.0, |o| typed(o, &["DERIVED", "SECONDARY", "AXIAL"]));
    check(2, "coverage");
    let gap = add(path, 3, 32, 8.0, |o| put(o, tags::SLICE_THICKNESS, VR::DS, &["1"]));
    fs::remove_file(slice(&gap, 9)).unwrap();
    check(3, "originality");
    add(path, 4, 30, 8.0, |_| ());
    check(4, "completeness");
    add(path, 5, 50, 5.0, |o| put(o, tags::CONVOLUTION_KERNEL, VR::SH, &["B70f"]));
    check(5, "slice spacing");
    add(path, 6, 50, 5.0, |_| ());
    check(6, "kernel");
    add(path, 7, 60, 5.0, |_| ());
    check(7, "number of slices");
    add(path, 8, 60, 5.0, |_| ());
    let (chosen, series) = screened(path);
    assert!(chosen == 7 && series[7].reason.contains("as fit and has a lower number"), "{series:?}");
}

#[test]
fn what_is_no_volume_of_a_ct_is_listed_with_its_code_and_never_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    add(path, 1, 40, 5.0, |o| put(o, tags::MODALITY, VR::CS, &["PT"]));
    add(path, 2, 3, 5.0, |o| typed(o, &["ORIGINAL", "PRIMARY", "LOCALIZER"]));
    add(path, 3, 40, 5.0, |o| typed(o, &["DERIVED", "SECONDARY", "MIP"]));
    add(path, 4, 12, 5.0, |o| typed(o, &["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"]));
    add(path, 5, 10, 21.0, |_| ());
    let small = add(path, 6, 10, 5.0, |_| ());
    report(&path.join("dose"), 7);
    let (chosen, series) = screened(path);
    assert_eq!(chosen, 6);
    let codes: Vec<Option<&str>> = series.iter().map(|s| s.code).collect();
    let want = ["not-ct", "localizer", "projection", "reformat-too-small", "spacing-too-wide"].map(Some);
    assert_eq!((&codes[..5], &codes[5..]), (&want[..], &[None, Some("no-image")][..]));
    // Without the last, the study is refused, by the reason of its largest series.
    fs::remove_dir_all(small).unwrap();
    assert!(refusal(path, "3").contains("projection"));
}

/// A dose report: a data set without a picture.
fn report(path: &Path, number: u32) {
    let o = set(|o| {
        put(o, tags::SOP_CLASS_UID, VR::UI, &[uids::X_RAY_RADIATION_DOSE_SR_STORAGE]);
        put(o, tags::MODALITY, VR::CS, &["SR"]);
        put(o, tags::STUDY_INSTANCE_UID, VR::UI, &["1.2.3.4"]);
        put(o, tags::SERIES_INSTANCE_UID, VR::UI, &["1.2.3.4.7"]);
        put(o, tags::SERIES_NUMBER, VR::IS, &[&number.to_string()]);
    });
    save(o, path);
}

fn save(o: InMemDicomObject, path: &Path) {
    let meta = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid("1.2")
        .media_storage_sop_instance_uid("1.2.3")
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    o.with_meta(meta).unwrap().write_to_file(path).unwrap();
}

#[test]
fn a_plane_decides_only_between_equals_and_never_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    // Stored coronally: columns to the left, rows to the feet, slices to the back.
    let geometry = Geometry::axis_aligned([24, 25, 36], [0.0; 3], [10.0, 10.0, 5.0]);
    let axes = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]];
    let mut volume = Volume::filled(Geometry { axes, ..geometry }, -1000_i16);
    volume.data.iter_mut().step_by(3).for_each(|v| *v = 40);
    let folder = path.join("coronal");
    write_dicom_series(&folder, &volume, &DicomTags::default()).unwrap();
    for k in 1..=36 {
        edit(&slice(&folder, k), |o| put(o, tags::STUDY_INSTANCE_UID, VR::UI, &["1.2.3.4"]));
    }
    assert_eq!(one(path).unwrap().volume.geometry.size, [24, 36, 25]);
    add(path, 2, 50, 5.0, |_| ());
    let (chosen, series) = screened(path);
    assert!(chosen == 2 && series[0].reason.contains("by its plane (axial; here not axial)"), "{series:?}");
}

/// Two studies in one flat folder, files named `name(study, number)`.
fn flat(dir: &Path, name: impl Fn(usize, usize) -> String) {
    for (seed, study) in [(1, 0), (2, 1)] {
        let folder = dir.join(format!("of{study}"));
        write_dicom_series(&folder, &chest(), &DicomTags { seed, ..DicomTags::default() }).unwrap();
        for n in 1..=10 {
            fs::rename(slice(&folder, n), dir.join(name(study, n))).unwrap();
        }
        fs::remove_dir(folder).unwrap();
    }
}

/// What is read of the flat folder, and what is refused.
fn outcome(dir: &Path) -> (Vec<Source>, Vec<String>) {
    let search = find_sources(&[dir.to_owned()], &Limits::default()).unwrap();
    (search.sources, search.refused.iter().map(ToString::to_string).collect())
}

#[test]
fn a_damaged_file_in_a_flat_folder_refuses_its_own_series_only() {
    let dir = tempfile::tempdir().unwrap();
    flat(dir.path(), |study, n| format!("s{study}-{n:02}"));
    let file = dir.path().join("s1-10");
    let whole = fs::read(&file).unwrap();
    // Cut behind the Series Instance UID the file says itself whose it is, though it is the last.
    fs::write(&file, &whole[..whole.len() - 30]).unwrap();
    let (sources, refused) = outcome(dir.path());
    assert!(sources.len() == 1 && sources[0].files[0].ends_with("s0-01"), "{sources:?}");
    assert!(refused.len() == 1 && refused[0].contains("s1-10") && refused[0].contains("copy"), "{refused:?}");
    let seen = inspection(dir.path());
    assert_eq!(seen.series.iter().map(|s| s.code).collect::<Vec<_>>(), [None, Some("file-damaged")]);
    // Cut before it, its neighbours by name do, and so for a file of zeros.
    fs::write(&file, &whole).unwrap();
    for rest in [whole[..200].to_vec(), vec![0; 80], vec![]] {
        fs::write(dir.path().join("s0-05"), rest).unwrap();
        let (sources, refused) = outcome(dir.path());
        assert!(sources.len() == 1 && sources[0].files[0].ends_with("s1-01"), "{sources:?}");
        assert!(refused.len() == 1 && refused[0].contains("s0-05"), "{refused:?}");
    }
}

#[test]
fn a_damaged_file_that_may_be_anyones_is_told_to_all() {
    let dir = tempfile::tempdir().unwrap();
    // The studies' files alternate.
    flat(dir.path(), |study, n| format!("{n:02}-{study}"));
    let file = dir.path().join("05-0");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..200]).unwrap();
    let (sources, refused) = outcome(dir.path());
    assert_eq!((sources.len(), refused.len()), (2, 0));
    for source in sources {
        let scan = read(&source, &Limits::default()).unwrap();
        assert!(codes(&scan).contains(&"unreadable-file"), "{:?}", codes(&scan));
    }
}

#[test]
fn a_study_whose_best_series_is_damaged_gives_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let best = add(dir.path(), 1, 60, 5.0, |_| ());
    add(dir.path(), 2, 50, 5.0, |_| ());
    let file = slice(&best, 60);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let (chosen, series) = screened(dir.path());
    assert_eq!((chosen, series[0].code), (2, Some("file-damaged")));
}

#[test]
fn a_dicomdir_stands_for_the_files_that_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let medium = dir.path().join("medium");
    let folder = medium.join("st0/se1");
    fs::create_dir_all(&folder).unwrap();
    let (_dir, series) = common::series();
    for n in 1..=10 {
        fs::rename(slice(&series, n), folder.join(format!("im{n}"))).unwrap();
    }
    let record = |n: usize| {
        set(|o| {
            put(o, tags::DIRECTORY_RECORD_TYPE, VR::CS, &["IMAGE"]);
            put(o, tags::REFERENCED_FILE_ID, VR::CS, &["ST0", "SE1", &format!("IM{n}")]);
        })
    };
    let patient = set(|o| put(o, tags::DIRECTORY_RECORD_TYPE, VR::CS, &["PATIENT"]));
    let outside = set(|o| put(o, tags::REFERENCED_FILE_ID, VR::CS, &["..", "..", "SECRET"]));
    let records: Vec<_> = [patient, outside].into_iter().chain((1..=10).map(record)).collect();
    let directory = medium.join("DICOMDIR");
    save(set(|o| sequence(o, tags::DIRECTORY_RECORD_SEQUENCE, records)), &directory);
    for path in [&directory, &medium] {
        let scan = one(path).unwrap();
        assert_eq!((&scan.volume, codes(&scan)), (&chest(), vec![]));
    }
    // A slice lost at an end leaves no gap; the directory knows.
    fs::remove_file(folder.join("im10")).unwrap();
    for path in [&directory, &medium] {
        let scan = one(path).unwrap();
        assert_eq!((scan.volume.size()[2], codes(&scan)), (9, vec!["dicomdir-file-missing"]));
        assert!(scan.warnings[0].message.contains("1 of 10 files"), "{}", scan.warnings[0].message);
    }
}
