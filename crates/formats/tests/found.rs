//! Files that once broke a reader, made here rather than kept; those that fuzzers found are in
//! `fuzz/corpus`.

#![allow(clippy::unwrap_used)]

mod common;

use common::damage::check_memory;
use common::{
    chest, codes, edit, edit_all, frame, group, multiframe, one, put, sequence, series, shared, slice, z,
};
use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};

/// Their difference once ran over.
#[test]
fn instance_numbers_at_both_ends_of_what_can_be_written_are_no_matter() {
    let (_dir, path) = series();
    edit_all(&path, |n, o| {
        let number = if n % 2 == 0 { i64::MAX } else { i64::MIN };
        put(o, tags::INSTANCE_NUMBER, VR::IS, &[&number.to_string()]);
    });
    std::fs::remove_file(slice(&path, 5)).unwrap();
    let scan = one(&path).unwrap();
    // The chest is linear along z, so that the slice filled in is the one removed.
    assert_eq!((&scan.volume, codes(&scan)), (&chest(), vec!["slice-gap"]));
}

/// Room was once made for the places of them all before anything else was looked at.
#[test]
fn four_thousand_million_frames_cost_nothing() {
    let (_dir, path) = series();
    edit(&slice(&path, 1), |o| {
        put(o, tags::NUMBER_OF_FRAMES, VR::IS, &["4000000000"]);
        put(o, tags::SPACING_BETWEEN_SLICES, VR::DS, &["2"]);
    });
    let error = one(&slice(&path, 1)).unwrap_err();
    assert_eq!(error.code(), "pixels-missing");
    check_memory();
}

/// Each slice was once compared with every other.
#[test]
fn slices_of_more_than_a_thousand_kinds_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kinds.dcm");
    multiframe(&path, uids::ENHANCED_CT_IMAGE_STORAGE, &[0; 1001], |o| {
        shared(o, "1", "0", "HU");
        let places = (0..1001).map(|k| {
            let across = format!("{:.6}", 0.5 * 1.0015_f64.powi(k));
            frame(z(k as usize), |o| {
                group(o, tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING, &["0.5", &across]);
            })
        });
        sequence(o, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, places.collect());
    });
    assert_eq!(one(&path).unwrap_err().code(), "not-stacked");
}
