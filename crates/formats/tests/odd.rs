//! Files that bend the standard, and geometry that is no even stack.

#![allow(clippy::unwrap_used)]

mod common;

use common::{at, chest, codes, edit, edit_all, one, put, refusal, sequence, series, set, slice, z};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};
use std::fs;
use std::path::Path;

/// Bytes of the data set behind preamble and file header.
fn data_set(path: &Path) -> Vec<u8> {
    let whole = fs::read(path).unwrap();
    let length = u32::from_le_bytes([whole[140], whole[141], whole[142], whole[143]]) as usize;
    whole[144 + length..].to_vec()
}

#[test]
fn files_without_preamble_or_file_header_are_read() {
    let (_dir, path) = series();
    for number in 1..=10 {
        let file = slice(&path, number);
        let whole = fs::read(&file).unwrap();
        let bytes = if number % 2 == 0 { whole[132..].to_vec() } else { data_set(&file) };
        fs::write(&file, bytes).unwrap();
        fs::rename(&file, path.join(format!("{number}"))).unwrap();
    }
    assert_eq!(one(&path).unwrap().volume, chest());
}

#[test]
fn headers_that_name_another_coding_than_the_data_are_not_believed() {
    let (_dir, path) = series();
    for number in 1..=10 {
        let file = slice(&path, number);
        let object = dicom_object::open_file(&file).unwrap();
        let mut implicit = Vec::new();
        let syntax = TransferSyntaxRegistry.get(uids::IMPLICIT_VR_LITTLE_ENDIAN).unwrap();
        object.write_dataset_with_ts(&mut implicit, syntax).unwrap();
        let whole = fs::read(&file).unwrap();
        let begin = whole.len() - data_set(&file).len();
        fs::write(&file, [&whole[..begin], &implicit].concat()).unwrap();
    }
    assert_eq!(one(&path).unwrap().volume, chest());
}

#[test]
fn wrong_representations_and_unknown_attributes_do_no_harm() {
    let (_dir, path) = series();
    edit_all(&path, |n, o| {
        put(o, tags::ROWS, VR::IS, &["6"]);
        o.put(DataElement::new(tags::COLUMNS, VR::UN, PrimitiveValue::U8(vec![8, 0].into())));
        put(o, tags::PIXEL_SPACING, VR::LO, &["0.5", "0.75"]);
        let place = [-100.0, -80.0, z(n - 1)];
        o.put(DataElement::new(
            tags::IMAGE_POSITION_PATIENT,
            VR::FD,
            PrimitiveValue::F64(place.into_iter().collect()),
        ));
        o.put(DataElement::new(tags::RESCALE_SLOPE, VR::UN, PrimitiveValue::U8(b"1 ".to_vec().into())));
        put(o, Tag(0x0009, 0x0010), VR::LO, &["OURS"]);
        sequence(o, Tag(0x0009, 0x1001), vec![set(|o| put(o, Tag(0x0009, 0x1002), VR::LT, &["x"]))]);
        o.put(DataElement::new(Tag(0x0029, 0x1003), VR::UN, PrimitiveValue::U8(vec![1; 301].into())));
        // A number of the standard that is not in its dictionary.
        put(o, Tag(0x0018, 0x0fff), VR::UT, &["unknown"]);
    });
    let scan = one(&path).unwrap();
    assert_eq!((&scan.volume, codes(&scan)), (&chest(), vec![]));
}

#[test]
fn a_lookup_table_that_gives_hu_is_followed_and_told() {
    let (_dir, path) = series();
    let table = |o: &mut dicom_object::InMemDicomObject, kind: &str| {
        let item = set(|o| {
            let words =
                |tag, words: Vec<u16>| DataElement::new(tag, VR::US, PrimitiveValue::U16(words.into()));
            o.put(words(tags::LUT_DESCRIPTOR, vec![48, 100, 16]));
            put(o, tags::MODALITY_LUT_TYPE, VR::LO, &[kind]);
            // Entry i stands for stored value 100 + i.
            o.put(words(tags::LUT_DATA, (0..48).map(|i| (20 * i - 1000_i16) as u16).collect()));
        });
        sequence(o, tags::MODALITY_LUT_SEQUENCE, vec![item]);
    };
    edit_all(&path, |_, o| {
        [tags::RESCALE_SLOPE, tags::RESCALE_INTERCEPT, tags::RESCALE_TYPE].into_iter().for_each(|tag| {
            o.remove_element(tag);
        });
        // One below the first entry, which stands for all below; one above the last.
        let stored = (0..48).map(|i| [99 + i, 5000][usize::from(i == 47)]).collect();
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(stored)));
        table(o, "HU");
    });
    let scan = one(&path).unwrap();
    assert_eq!(codes(&scan), ["modality-lut"]);
    assert_eq!(scan.volume.slice(4)[..4], [-1000, -1000, -980, -960]);
    assert_eq!(scan.volume.slice(4)[46..], [-100, -60]);
    edit_all(&path, |_, o| table(o, "OD"));
    assert!(refusal(&path, "series").contains("not Hounsfield"));
}

#[test]
fn a_range_of_padding_becomes_air() {
    let (_dir, path) = series();
    edit_all(&path, |_, o| {
        o.put(DataElement::new(tags::PIXEL_PADDING_VALUE, VR::SS, PrimitiveValue::from(-1000_i16)));
        o.put(DataElement::new(tags::PIXEL_PADDING_RANGE_LIMIT, VR::SS, PrimitiveValue::from(-960_i16)));
    });
    let scan = one(&path).unwrap();
    assert_eq!(scan.volume.slice(0)[..4], [-1024, -1024, -1024, -940]);
    assert_eq!(codes(&scan), ["padding-replaced"]);
}

/// Values of the chest at a height: they grow by 5 HU a mm.
fn expected(z_mm: f64) -> Vec<i16> {
    let rise = (z_mm + 300.0) * 5.0;
    chest().slice(0).iter().map(|&v| (f64::from(v) + rise).round_ties_even() as i16).collect()
}

#[test]
fn two_halves_of_their_own_spacing_are_resampled_to_the_finer_one() {
    let (_dir, path) = series();
    // Five slices 2 mm apart, then five 6 mm apart; the chest's values at those heights.
    edit_all(&path, |n, o| {
        let z = if n <= 5 { z(n - 1) } else { z(4) + 6.0 * (n - 5) as f64 };
        at(o, z);
        let words = expected(z).iter().map(|&v| v as u16).collect();
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words)));
    });
    let scan = one(&path).unwrap();
    assert_eq!((codes(&scan), scan.volume.size()), (vec!["uneven-spacing"], [8, 6, 20]));
    for k in 0..20 {
        assert_eq!(scan.volume.slice(k), expected(-300.0 + 2.0 * k as f64), "slice {k}");
    }
    // With numbers left out, the same heights are lost slices.
    edit_all(&path, |n, o| {
        let number = if n <= 5 { n } else { 5 + 3 * (n - 5) };
        put(o, tags::INSTANCE_NUMBER, VR::IS, &[&number.to_string()]);
    });
    assert!(refusal(&path, "series").contains("missing"));
}

#[test]
fn gaps_that_the_slices_thickness_covers_are_no_holes() {
    let (_dir, path) = series();
    // 4.5 mm slices, 2 mm apart, one pair 4 mm apart: nothing of the body is unseen.
    edit_all(&path, |n, o| {
        put(o, tags::SLICE_THICKNESS, VR::DS, &["4.5"]);
        at(o, z(n - 1) + if n > 5 { 2.0 } else { 0.0 });
    });
    assert_eq!(codes(&one(&path).unwrap()), ["uneven-spacing"]);
    edit_all(&path, |_, o| put(o, tags::SLICE_THICKNESS, VR::DS, &["2"]));
    let scan = one(&path).unwrap();
    assert_eq!((codes(&scan), scan.warnings[0].slices.clone()), (vec!["slice-gap"], vec![5]));
}

#[test]
fn of_two_kernels_in_one_series_the_smooth_is_kept_even_when_places_differ() {
    let (_dir, path) = series();
    for (shift, number) in [0.0, 0.7].into_iter().flat_map(|s| (1..=10).map(move |n| (s, n))) {
        let copy = path.join(format!("sharp{number}"));
        fs::copy(slice(&path, number), &copy).unwrap();
        edit(&copy, |o| {
            put(o, tags::CONVOLUTION_KERNEL, VR::SH, &["B70f"]);
            put(o, tags::RESCALE_INTERCEPT, VR::DS, &["-50"]);
            at(o, z(number - 1) + shift);
        });
        if number == 10 {
            let scan = one(&path).unwrap();
            assert_eq!((&scan.volume, codes(&scan)), (&chest(), vec!["duplicate-slice"]), "{shift}");
            assert!(scan.warnings[0].message.contains("kernel"));
        }
    }
}

#[test]
fn slices_of_another_pixel_spacing_or_frame_of_reference_are_named_so() {
    let (_dir, path) = series();
    edit(&slice(&path, 1), |o| put(o, tags::PIXEL_SPACING, VR::DS, &["0.6", "0.6"]));
    edit(&slice(&path, 10), |o| put(o, tags::FRAME_OF_REFERENCE_UID, VR::UI, &["1.2.3"]));
    let scan = one(&path).unwrap();
    assert_eq!(codes(&scan), ["mixed-pixel-spacing", "mixed-frame-of-reference"]);
    assert_eq!(scan.volume.slice(0), chest().slice(1));
    // A frame of its own for each slice says nothing.
    let (_dir, path) = series();
    edit_all(&path, |n, o| put(o, tags::FRAME_OF_REFERENCE_UID, VR::UI, &[&format!("1.2.{n}")]));
    assert_eq!(one(&path).unwrap().volume, chest());
}

#[test]
fn uneven_sideways_steps_are_undone_and_told_apart_from_a_tilt() {
    let (_dir, path) = series();
    edit_all(&path, |n, o| {
        let x = if n > 5 { -97.0 } else { -100.0 };
        put(o, tags::IMAGE_POSITION_PATIENT, VR::DS, &[&x.to_string(), "-80", &z(n - 1).to_string()]);
    });
    let scan = one(&path).unwrap();
    // Four pixels of 0.75 mm.
    assert_eq!((codes(&scan), scan.volume.size()), (vec!["sideways-shift"], [12, 6, 10]));
    assert_eq!(scan.volume.at([3, 2, 1]), chest().at([3, 2, 1]));
    assert_eq!(scan.volume.at([3 + 4, 2, 8]), chest().at([3, 2, 8]));
}
