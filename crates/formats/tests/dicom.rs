//! DICOM series written by this crate, read back, and damaged in every way that was met.

mod common;

use common::{chest, codes, edit, edit_all, one, refusal, series, slice};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use pleura_formats::{DicomTags, Limits, find_sources, inspect, write_dicom_series};
use std::fs;

#[test]
fn what_is_written_is_read_back() {
    let (_dir, path) = series();
    let scan = one(&path).unwrap();
    assert_eq!(scan.volume, chest());
    assert_eq!(scan.warnings, []);
    assert_eq!(scan.frame.sop_instance_uids.len(), 10);
    assert_eq!(scan.facts.kernel.as_deref(), Some("STANDARD"));
    assert_eq!(scan.facts.patient.as_deref(), Some("PHANTOM^PLEURA PHANTOM"));
}

#[test]
fn the_same_input_gives_the_same_bytes_and_another_seed_other_uids() {
    let (_a, one) = series();
    let (_b, two) = series();
    for number in 1..=10 {
        assert_eq!(fs::read(slice(&one, number)).unwrap(), fs::read(slice(&two, number)).unwrap());
    }
    let dir = tempfile::tempdir().unwrap();
    write_dicom_series(dir.path(), &chest(), &DicomTags { seed: 1, ..DicomTags::default() }).unwrap();
    let uid = |p| {
        dicom_object::open_file(p)
            .unwrap()
            .element(tags::STUDY_INSTANCE_UID)
            .unwrap()
            .to_str()
            .unwrap()
            .into_owned()
    };
    assert_ne!(uid(slice(&one, 1)), uid(slice(dir.path(), 1)));
}

#[test]
fn dciodvfy_finds_no_error() {
    let (_dir, path) = series();
    let Ok(out) = std::process::Command::new("dciodvfy").arg(slice(&path, 4)).output() else {
        eprintln!("skipped: dciodvfy is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("CTImage") && !said.contains("Error"), "{said}");
}

#[test]
fn order_comes_from_positions_not_names_or_numbers() {
    let (_dir, path) = series();
    for (i, order) in [7, 3, 10, 1, 9, 2, 8, 5, 4, 6].iter().enumerate() {
        fs::rename(slice(&path, *order), path.join(format!("x{i}"))).unwrap();
        edit(&path.join(format!("x{i}")), |o| {
            o.put(DataElement::new(tags::INSTANCE_NUMBER, VR::IS, PrimitiveValue::from(i.to_string())));
        });
    }
    assert_eq!(one(&path).unwrap().volume, chest());
}

#[test]
fn a_patient_seen_from_the_other_side_is_turned() {
    let (_dir, path) = series();
    edit_all(&path, |_, o| {
        let flipped =
            PrimitiveValue::Strs(["-1", "0", "0", "0", "-1", "0"].map(String::from).into_iter().collect());
        o.put(DataElement::new(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, flipped));
    });
    let scan = one(&path).unwrap();
    assert_eq!((scan.frame.axes, scan.frame.flips), ([0, 1, 2], [true, true, false]));
    let (got, want) = (&scan.volume, chest());
    assert_eq!(got.at([0, 0, 3]), want.at([7, 5, 3]));
    assert_eq!(got.geometry.origin_mm, [-100.0 - 7.0 * 0.75, -80.0 - 5.0 * 0.5, -300.0]);
}

#[test]
fn head_first_written_downwards_is_turned_up() {
    let (_dir, path) = series();
    // Columns to the left, rows to the front: the normal points to the feet.
    edit_all(&path, |_, o| {
        let down =
            PrimitiveValue::Strs(["1", "0", "0", "0", "-1", "0"].map(String::from).into_iter().collect());
        o.put(DataElement::new(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, down));
    });
    fs::remove_file(slice(&path, 4)).unwrap();
    let scan = one(&path).unwrap();
    assert_eq!(scan.frame.flips, [false, true, true]);
    assert_eq!(scan.volume.at([2, 0, 1]), chest().at([2, 5, 1]));
    assert_eq!(scan.warnings[0].slices, [3], "numbered in the oriented grid");
}

#[test]
fn a_gap_is_filled_in_between_and_told() {
    let (_dir, path) = series();
    fs::remove_file(slice(&path, 5)).unwrap();
    let scan = one(&path).unwrap();
    // Values are linear along z, so the filled slice is exactly the lost one.
    assert_eq!(scan.volume, chest());
    assert_eq!((codes(&scan), scan.warnings[0].slices.clone()), (vec!["slice-gap"], vec![4]));
    assert!(scan.frame.sop_instance_uids.is_empty());
}

#[test]
fn too_many_gaps_and_wide_holes_are_refused() {
    let (_dir, path) = series();
    for number in [2, 4, 6] {
        fs::remove_file(slice(&path, number)).unwrap();
    }
    assert!(refusal(&path, "series").contains("missing"));
    let (_dir, path) = series();
    edit_all(&path, |n, o| {
        let z = if n > 5 { 2.0 * n as f64 + 22.0 } else { 2.0 * n as f64 };
        let p = PrimitiveValue::Strs(["-100".into(), "-80".into(), z.to_string()].into_iter().collect());
        o.put(DataElement::new(tags::IMAGE_POSITION_PATIENT, VR::DS, p));
    });
    assert!(refusal(&path, "series").contains("hole of 24.0 mm"));
}

#[test]
fn uneven_slices_are_resampled_and_told() {
    let (_dir, path) = series();
    edit_all(&path, |n, o| {
        let z = if n == 5 { 2.0 * n as f64 + 0.9 } else { 2.0 * n as f64 };
        let p = PrimitiveValue::Strs(["-100".into(), "-80".into(), z.to_string()].into_iter().collect());
        o.put(DataElement::new(tags::IMAGE_POSITION_PATIENT, VR::DS, p));
    });
    let scan = one(&path).unwrap();
    assert_eq!((codes(&scan), scan.volume.size()[2]), (vec!["uneven-spacing"], 10));
}

#[test]
fn a_doubled_slice_is_dropped_and_told() {
    let (_dir, path) = series();
    fs::copy(slice(&path, 3), path.join("copy.dcm")).unwrap();
    let scan = one(&path).unwrap();
    assert_eq!(scan.volume, chest());
    assert_eq!((codes(&scan), scan.warnings[0].slices.clone()), (vec!["duplicate-slice"], vec![2]));
}

#[test]
fn of_two_acquisitions_of_one_range_one_is_kept_whole() {
    let (_dir, path) = series();
    for number in 1..=10 {
        let copy = path.join(format!("again{number}"));
        fs::copy(slice(&path, number), &copy).unwrap();
        edit(&copy, |o| {
            o.put(DataElement::new(tags::ACQUISITION_NUMBER, VR::IS, PrimitiveValue::from("2")));
            o.put(DataElement::new(tags::RESCALE_INTERCEPT, VR::DS, PrimitiveValue::from("-7")));
        });
    }
    let scan = one(&path).unwrap();
    assert_eq!(scan.volume, chest());
    assert_eq!(codes(&scan), ["duplicate-slice"]);
}

#[test]
fn slices_of_another_kind_are_dropped_and_told() {
    let (_dir, path) = series();
    edit(&slice(&path, 10), |o| {
        let sagittal =
            PrimitiveValue::Strs(["0", "1", "0", "0", "0", "-1"].map(String::from).into_iter().collect());
        o.put(DataElement::new(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, sagittal));
    });
    edit(&slice(&path, 1), |o| {
        o.put(DataElement::new(tags::ROWS, VR::US, PrimitiveValue::from(4_u16)));
        o.put(DataElement::new(tags::COLUMNS, VR::US, PrimitiveValue::from(12_u16)));
    });
    let scan = one(&path).unwrap();
    assert_eq!((codes(&scan), scan.volume.size()), (vec!["mixed-size", "mixed-orientation"], [8, 6, 8]));
}

#[test]
fn a_localizer_in_the_series_is_dropped_and_told() {
    let (_dir, path) = series();
    edit(&slice(&path, 1), |o| {
        let kind = PrimitiveValue::Strs(
            ["ORIGINAL", "PRIMARY", "LOCALIZER"].map(String::from).into_iter().collect(),
        );
        o.put(DataElement::new(tags::IMAGE_TYPE, VR::CS, kind));
    });
    let scan = one(&path).unwrap();
    assert_eq!((codes(&scan), scan.volume.size()[2]), (vec!["localizer-dropped"], 9));
}

#[test]
fn gantry_tilt_is_straightened_and_told() {
    let (_dir, path) = series();
    // Each slice one pixel further down its rows.
    edit_all(&path, |n, o| {
        let p = ["-100".to_owned(), (-80.0 + 0.5 * n as f64).to_string(), (2 * n).to_string()];
        o.put(DataElement::new(
            tags::IMAGE_POSITION_PATIENT,
            VR::DS,
            PrimitiveValue::Strs(p.into_iter().collect()),
        ));
    });
    let scan = one(&path).unwrap();
    assert_eq!((codes(&scan), scan.volume.size()), (vec!["gantry-tilt"], [8, 6 + 9, 10]));
    assert_eq!(scan.volume.at([3, 2 + 6, 6]), chest().at([3, 2, 6]), "whole pixels move exactly");
    assert_eq!(scan.volume.at([3, 0, 6]), -1024, "air beside the picture");
}

#[test]
fn slope_and_intercept_are_each_slices_own() {
    let (_dir, path) = series();
    edit(&slice(&path, 2), |o| {
        o.put(DataElement::new(tags::RESCALE_SLOPE, VR::DS, PrimitiveValue::from("0.5")));
        o.put(DataElement::new(tags::RESCALE_INTERCEPT, VR::DS, PrimitiveValue::from("-0.5")));
    });
    let scan = one(&path).unwrap();
    // Stored -990 and -970: -495.5 and -485.5, halves to even.
    assert_eq!((scan.volume.at([0, 0, 1]), scan.volume.at([1, 0, 1])), (-496, -486));
    assert_eq!(scan.volume.at([0, 0, 2]), chest().at([0, 0, 2]));
}

#[test]
fn a_missing_slope_is_taken_for_hu_only_when_it_looks_so() {
    let (_dir, path) = series();
    let strip = |n: usize, o: &mut dicom_object::DefaultDicomObject| {
        let _ = n;
        o.remove_element(tags::RESCALE_SLOPE);
        o.remove_element(tags::RESCALE_INTERCEPT);
    };
    edit_all(&path, strip);
    let scan = one(&path).unwrap();
    assert_eq!((&scan.volume, codes(&scan)), (&chest(), vec!["rescale-missing"]));
    // Unsigned, the same bits are far from HU.
    edit_all(&path, |_, o| {
        o.put(DataElement::new(tags::PIXEL_REPRESENTATION, VR::US, PrimitiveValue::from(0_u16)));
    });
    assert!(refusal(&path, "series").contains("not Hounsfield units"));
}

#[test]
fn twelve_bits_below_an_overlay_are_masked_and_their_sign_extended() {
    let (_dir, path) = series();
    let words: Vec<u16> = (0..48).map(|i| 0xa000 | (i * 3_u16).wrapping_sub(1000) & 0xfff).collect();
    edit(&slice(&path, 1), |o| {
        o.put(DataElement::new(tags::BITS_STORED, VR::US, PrimitiveValue::from(12_u16)));
        o.put(DataElement::new(tags::HIGH_BIT, VR::US, PrimitiveValue::from(11_u16)));
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words.into_iter().collect())));
    });
    let scan = one(&path).unwrap();
    assert_eq!(scan.volume.slice(0)[..3], [-1000, -997, -994]);
}

#[test]
fn padding_becomes_air_only_where_it_is_no_tissue() {
    let (_dir, path) = series();
    edit_all(&path, |_, o| {
        o.put(DataElement::new(tags::PIXEL_PADDING_VALUE, VR::SS, PrimitiveValue::from(-1000_i16)));
    });
    let scan = one(&path).unwrap();
    assert_eq!((scan.volume.at([0, 0, 0]), codes(&scan)), (-1024, vec!["padding-replaced"]));
    edit_all(&path, |_, o| {
        o.put(DataElement::new(tags::PIXEL_PADDING_VALUE, VR::US, PrimitiveValue::from(0_u16)));
    });
    let scan = one(&path).unwrap();
    assert_eq!((&scan.volume, codes(&scan)), (&chest(), vec!["padding-ignored"]));
}

#[test]
fn damaged_and_foreign_files_are_refused_by_name() {
    let (_dir, path) = series();
    let whole = fs::read(slice(&path, 6)).unwrap();
    fs::write(slice(&path, 6), &whole[..whole.len() - 40]).unwrap();
    assert!(refusal(&path, "IM00006.dcm").contains("cut short"));
    let (_dir, path) = series();
    edit_all(&path, |_, o| {
        o.put(DataElement::new(tags::MODALITY, VR::CS, PrimitiveValue::from("MR")));
    });
    assert!(refusal(&path, "series").contains("modality is MR"));
    let (_dir, path) = series();
    edit_all(&path, |_, o| {
        o.put(DataElement::new(tags::SAMPLES_PER_PIXEL, VR::US, PrimitiveValue::from(3_u16)));
        o.put(DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, PrimitiveValue::from("RGB")));
    });
    assert!(refusal(&path, "series").contains("colour"));
    let (_dir, path) = series();
    edit(&slice(&path, 3), |o| {
        o.remove_element(tags::IMAGE_POSITION_PATIENT);
    });
    assert!(refusal(&path, "IM00003.dcm").contains("Image Position Patient"));
    let (_dir, path) = series();
    edit_all(&path, |_, o| {
        o.put(DataElement::new(tags::ROWS, VR::US, PrimitiveValue::from(60000_u16)));
        o.put(DataElement::new(tags::COLUMNS, VR::US, PrimitiveValue::from(3000_u16)));
    });
    assert!(refusal(&path, "series").contains("more pixels"));
}

#[test]
fn cutting_a_file_anywhere_never_panics() {
    let (_dir, path) = series();
    let file = slice(&path, 1);
    let whole = fs::read(&file).unwrap();
    for length in 0..whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        // Named alone, a cut file is refused.
        assert!(one(&file).is_err(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn one_slice_is_readable() {
    let (_dir, path) = series();
    let search = find_sources(&[slice(&path, 2)], &Limits::default()).unwrap();
    assert_eq!(search.sources[0].path, slice(&path, 2), "messages name the file");
    let scan = one(&slice(&path, 2)).unwrap();
    assert_eq!((scan.volume.size(), codes(&scan)), ([8, 6, 1], vec!["single-slice"]));
    assert_eq!(scan.volume.geometry.spacing_mm, [0.75, 0.5, 1.0]);
}

#[test]
fn the_fullest_axial_series_is_chosen_and_the_others_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    write_dicom_series(&path.join("a"), &chest(), &DicomTags::default()).unwrap();
    write_dicom_series(
        &path.join("b"),
        &chest(),
        &DicomTags { kernel: "B70f".into(), ..DicomTags::default() },
    )
    .unwrap();
    // One study: give the second the first's UID.
    let uid = dicom_object::open_file(slice(&path.join("a"), 1)).unwrap();
    let uid = uid.element(tags::STUDY_INSTANCE_UID).unwrap().to_str().unwrap().into_owned();
    edit_all(&path.join("b"), |_, o| {
        o.put(DataElement::new(tags::STUDY_INSTANCE_UID, VR::UI, PrimitiveValue::from(uid.as_str())));
        o.put(DataElement::new(tags::SERIES_NUMBER, VR::IS, PrimitiveValue::from("0")));
    });
    let search = find_sources(&[path.to_owned()], &Limits::default()).unwrap();
    assert_eq!(search.sources.len(), 1);
    assert_eq!(
        (search.sources[0].name.as_str(), search.sources[0].path.as_path()),
        ("a", path.join("a").as_path())
    );
    assert_eq!(search.sources[0].warnings[0].code, "other-series");
    let seen = inspect(&[path.to_owned()], &Limits::default()).unwrap();
    assert_eq!(seen.series.iter().map(|s| s.screened).filter(|&s| s).count(), 1);
    assert!(!serde_json::to_string(&seen).unwrap().contains("PLEURA"), "no patient");
}

#[test]
fn names_are_safe_and_unique() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["x y", "x_y"] {
        let tags = DicomTags { patient_id: name.into(), ..DicomTags::default() };
        write_dicom_series(&dir.path().join("in").join(name), &chest(), &tags).unwrap();
    }
    fs::write(dir.path().join("in/notes.txt"), "hello").unwrap();
    let search =
        find_sources(&[dir.path().join("in"), dir.path().join("nowhere")], &Limits::default()).unwrap();
    let names: Vec<&str> = search.sources.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["x_y", "x_y-2"]);
    assert_eq!(search.refused.len(), 1);
}
