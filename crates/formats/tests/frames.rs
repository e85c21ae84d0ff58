//! Files of several frames, enhanced and classic (PS3.3 A.38, C.7.6.16, C.8.8.3.2).

#![allow(clippy::unwrap_used)]

mod common;

use common::{chest, codes, frame, multiframe, one, put, refusal, rescale, sequence, set, shared, z};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use std::path::PathBuf;

const ENHANCED: &str = uids::ENHANCED_CT_IMAGE_STORAGE;
/// Slices in the order of the frames.
const ORDER: [usize; 10] = [7, 2, 9, 0, 4, 8, 1, 5, 3, 6];

fn file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("frames");
    (dir, path)
}

fn per_frame(o: &mut InMemDicomObject, frames: Vec<InMemDicomObject>) {
    sequence(o, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames);
}

/// The Frame Content macro with one attribute.
fn content(o: &mut InMemDicomObject, element: DataElement<InMemDicomObject>) {
    sequence(o, tags::FRAME_CONTENT_SEQUENCE, vec![set(|o| drop(o.put(element)))]);
}

#[test]
fn enhanced_frames_are_ordered_by_their_places() {
    let (_dir, path) = file();
    multiframe(&path, ENHANCED, &ORDER, |o| {
        shared(o, "1", "0", "HU");
        per_frame(o, ORDER.iter().map(|&k| frame(z(k), |_| ())).collect());
    });
    let scan = one(&path).unwrap();
    assert_eq!((scan.volume, scan.warnings.len()), (chest(), 0));
    // A legacy converted image is read alike, and a film without the right class too.
    for class in [uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE, uids::CT_IMAGE_STORAGE] {
        common::edit(&path, |o| put(o, tags::SOP_CLASS_UID, VR::UI, &[class]));
        assert_eq!(one(&path).unwrap().volume, chest());
    }
}

#[test]
fn a_frames_own_slope_goes_before_the_shared_one() {
    let (_dir, path) = file();
    multiframe(&path, ENHANCED, &ORDER, |o| {
        shared(o, "1", "0", "HU");
        let own = |k| {
            frame(z(k), |o| {
                if k == 3 {
                    rescale(o, "2", "-100", "HU")
                }
            })
        };
        per_frame(o, ORDER.iter().map(|&k| own(k)).collect());
    });
    let (got, want) = (one(&path).unwrap().volume, chest());
    assert_eq!(got.slice(2), want.slice(2));
    assert!(got.slice(3).iter().zip(want.slice(3)).all(|(a, b)| *a == 2 * b - 100));
}

#[test]
fn any_frame_that_is_no_hu_refuses_the_image() {
    let (_dir, path) = file();
    multiframe(&path, ENHANCED, &ORDER, |o| {
        shared(o, "1", "0", "HU");
        let own = |k| {
            frame(z(k), |o| {
                if k == 6 {
                    rescale(o, "1", "0", "US")
                }
            })
        };
        per_frame(o, ORDER.iter().map(|&k| own(k)).collect());
    });
    assert!(refusal(&path, "frames").contains("not Hounsfield"));
    multiframe(&path, ENHANCED, &ORDER, |o| {
        shared(o, "1", "0", "HU");
        per_frame(o, (0..9).map(|k| frame(z(k), |_| ())).collect());
    });
    assert!(refusal(&path, "frames").contains("another number of frames"));
}

#[test]
fn of_several_time_points_the_first_is_kept() {
    let (_dir, path) = file();
    // Frames alternate between the chest and, at the same places, its slices in reverse.
    let frames: Vec<usize> = (0..10).flat_map(|k| [9 - k, k]).collect();
    multiframe(&path, ENHANCED, &frames, |o| {
        shared(o, "1", "0", "HU");
        let time = |t: u32| DataElement::new(tags::TEMPORAL_POSITION_INDEX, VR::UL, PrimitiveValue::from(t));
        let two = |k| [2, 1].map(|t| frame(z(k), |o| content(o, time(t))));
        per_frame(o, (0..10).flat_map(two).collect());
    });
    let scan = one(&path).unwrap();
    assert_eq!((&scan.volume, codes(&scan)), (&chest(), vec!["duplicate-slice"]));
    assert!(scan.warnings[0].message.contains("2 volumes, told apart by their time point"));
}

#[test]
fn of_stacks_far_apart_the_fullest_is_kept() {
    let (_dir, path) = file();
    let frames: Vec<usize> = (0..10).chain(0..4).collect();
    multiframe(&path, ENHANCED, &frames, |o| {
        shared(o, "1", "0", "HU");
        let stack = |n: &str| DataElement::new(tags::STACK_ID, VR::SH, PrimitiveValue::from(n));
        let first = (0..10).map(|k| frame(z(k), |o| content(o, stack("1"))));
        let second = (0..4).map(|k| frame(z(k) + 200.0, |o| content(o, stack("2"))));
        per_frame(o, first.chain(second).collect());
    });
    let scan = one(&path).unwrap();
    assert_eq!((&scan.volume, codes(&scan)), (&chest(), vec!["several-volumes"]));
}

/// What a classic image says of its first frame.
fn first_frame(o: &mut InMemDicomObject, top: f64) {
    common::at(o, top);
    put(o, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, &["1", "0", "0", "0", "1", "0"]);
    put(o, tags::PIXEL_SPACING, VR::DS, &["0.5", "0.75"]);
    put(o, tags::RESCALE_SLOPE, VR::DS, &["1"]);
    put(o, tags::RESCALE_INTERCEPT, VR::DS, &["0"]);
}

#[test]
fn classic_frames_are_placed_by_their_offsets_or_distance_or_not_at_all() {
    let (_dir, path) = file();
    let film = uids::MULTI_FRAME_GRAYSCALE_WORD_SECONDARY_CAPTURE_IMAGE_STORAGE;
    let down: Vec<usize> = (0..10).rev().collect();
    multiframe(&path, film, &down, |o| {
        first_frame(o, z(9));
        let offsets: Vec<String> = (0..10).map(|k| format!("{}", -2.0 * f64::from(k))).collect();
        let offsets: Vec<&str> = offsets.iter().map(String::as_str).collect();
        put(o, tags::GRID_FRAME_OFFSET_VECTOR, VR::DS, &offsets);
    });
    let scan = one(&path).unwrap();
    assert_eq!((&scan.volume, codes(&scan)), (&chest(), vec![]));
    let up: Vec<usize> = (0..10).collect();
    multiframe(&path, film, &up, |o| {
        first_frame(o, z(0));
        put(o, tags::SPACING_BETWEEN_SLICES, VR::DS, &["2"]);
    });
    let scan = one(&path).unwrap();
    assert_eq!((&scan.volume, codes(&scan)), (&chest(), vec!["frame-positions-assumed"]));
    multiframe(&path, film, &up, |o| first_frame(o, z(0)));
    assert!(refusal(&path, "frames").contains("where each of them lies"));
}
