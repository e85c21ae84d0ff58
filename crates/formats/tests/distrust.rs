//! What must be refused or told rather than passed over: lost slices, hostile files, geometries
//! that no scanner makes, stray files.

#![allow(clippy::unwrap_used)]

mod common;

use common::{chest, codes, edit, edit_all, one, refusal, series, slice};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::DefaultDicomObject;
use pleura_formats::{DicomTags, Limits, find_sources, inspect, write_dicom_series, write_nifti_i16};
use std::fs;
use std::path::Path;

fn put(o: &mut DefaultDicomObject, tag: Tag, vr: VR, values: &[&str]) {
    o.put(DataElement::new(tag, vr, PrimitiveValue::Strs(values.iter().map(|v| (*v).to_owned()).collect())));
}

fn at(o: &mut DefaultDicomObject, z: f64) {
    put(o, tags::IMAGE_POSITION_PATIENT, VR::DS, &["-100", "-80", &z.to_string()]);
}

/// Files of a whole data set (implicit, little endian) behind a preamble and a file header.
fn implicit(path: &Path, set: &[u8]) {
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM\x02\0\x10\0UI\x12\x001.2.840.10008.1.2\0");
    bytes.extend(set);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_series_with_a_file_cut_short_is_refused_by_the_files_name() {
    let (_dir, path) = series();
    let end = slice(&path, 10);
    let whole = fs::read(&end).unwrap();
    // From within the preamble to within the picture; the last slice leaves no gap behind.
    for length in (0..whole.len()).step_by(7).chain([500, whole.len() - 1]) {
        fs::write(&end, &whole[..length]).unwrap();
        assert!(!refusal(&path, "IM00010.dcm").contains("not DICOM"), "{length} of {}", whole.len());
    }
    fs::write(&end, &whole[..500]).unwrap();
    assert!(refusal(&path, "IM00010.dcm").contains("copy the series again"));
    let seen = inspect(&[path], &Limits::default()).unwrap();
    assert!(!seen.series[0].screened && seen.refused.len() == 1, "{seen:?}");
}

#[test]
fn a_folder_of_nothing_but_damaged_files_is_refused_beside_good_scans() {
    let (dir, path) = series();
    let whole = fs::read(slice(&path, 1)).unwrap();
    for (name, bytes) in [("lost/1.dcm", &whole[..500]), ("lost/2.dcm", &whole[..500]), ("gone/3.dcm", &[])] {
        fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let search = find_sources(&[dir.path().to_owned()], &Limits::default()).unwrap();
    assert_eq!(search.sources.len(), 1);
    let mut refused: Vec<String> = search.refused.iter().map(|e| e.path().display().to_string()).collect();
    refused.sort();
    assert!(refused.len() == 2 && refused[0].ends_with("gone/3.dcm"), "{refused:?}");
    assert!(refused[1].ends_with("lost/1.dcm"), "{refused:?}");
    assert!(search.sources[0].warnings[0].message.contains("lost/2.dcm"), "{:?}", search.sources[0].warnings);
}

#[test]
fn a_damaged_file_below_and_a_label_map_are_told_in_the_scans_report() {
    let (dir, path) = series();
    fs::create_dir(path.join("other")).unwrap();
    let whole = fs::read(slice(&path, 1)).unwrap();
    fs::write(path.join("other/x.dcm"), &whole[..500]).unwrap();
    let scan = one(dir.path()).unwrap();
    assert_eq!((&scan.volume, codes(&scan)), (&chest(), vec!["unreadable-file"]));
    assert!(scan.warnings[0].message.contains("other/x.dcm"), "{}", scan.warnings[0].message);

    let dir = tempfile::tempdir().unwrap();
    let ct = chest();
    write_nifti_i16(&dir.path().join("ct.nii"), &ct, None).unwrap();
    let data = vec![1; ct.data.len()];
    let labels = pleura_volume::Mask { geometry: ct.geometry, data };
    pleura_formats::write_nifti_u8(&dir.path().join("lungs.nii.gz"), &labels, None).unwrap();
    assert_eq!(codes(&one(dir.path()).unwrap()), ["label-map-skipped"]);
}

#[test]
fn sequences_nested_without_end_are_refused_not_run_into_the_ground() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep.dcm");
    implicit(&path, &b"\x08\0\x40\x11\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff".repeat(300_000));
    assert!(refusal(&path, "deep.dcm").contains("nested more than 16"));
    implicit(&path, b"\x08\0\x60\0\xf0\xff\xff\xffCT");
    assert!(refusal(&path, "deep.dcm").contains("2 are left"));
}

#[test]
fn a_deflated_file_is_walked_as_it_unpacks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deflated.dcm");
    let write = |set: &[u8]| {
        let mut zipped = flate2::write::DeflateEncoder::new(vec![], flate2::Compression::fast());
        std::io::Write::write_all(&mut zipped, set).unwrap();
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM\x02\0\x10\0UI\x16\x001.2.840.10008.1.2.1.99");
        bytes.extend(zipped.finish().unwrap());
        fs::write(&path, bytes).unwrap();
    };
    write(&b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff".repeat(300_000));
    assert!(refusal(&path, "deflated.dcm").contains("nested more than 16"));
    write(b"\x08\0\x05\x01OB\0\0\0\0\0\x0fab");
    assert!(refusal(&path, "deflated.dcm").contains("2 are left"));
    // The same series, deflated, reads as before.
    let (_dir, series) = series();
    let whole = fs::read(slice(&series, 1)).unwrap();
    let group = 144 + u32::from_le_bytes([whole[140], whole[141], whole[142], whole[143]]) as usize;
    write(&whole[group..]);
    assert_eq!(one(&path).unwrap().volume.slice(0), chest().slice(0));
}

#[test]
fn distances_and_positions_that_no_scanner_makes_are_refused() {
    let (_dir, path) = series();
    edit_all(&path, |_, o| put(o, tags::PIXEL_SPACING, VR::DS, &["10.5", "10.5"]));
    assert!(refusal(&path, "series").contains("Pixel Spacing of 10.5"));
    let (_dir, path) = series();
    edit_all(&path, |n, o| at(o, 51.0 * n as f64));
    assert!(refusal(&path, "series").contains("51.00 mm apart"));
    edit_all(&path, |n, o| at(o, if n > 5 { 1e5 } else { 0.0 } + n as f64));
    assert!(refusal(&path, "series").contains("no CT"));
    edit_all(&path, |n, o| at(o, 2e6 + n as f64));
    assert!(refusal(&path, "series").contains("kilometre"));
    edit_all(&path, |_, o| put(o, tags::IMAGE_POSITION_PATIENT, VR::DS, &["0", "0", "nan"]));
    assert!(refusal(&path, "series").contains("missing or broken"));
    let (_dir, path) = series();
    edit_all(&path, |_, o| put(o, tags::ROWS, VR::IS, &["70000"]));
    assert!(refusal(&path, "series").contains("impossible"));
}

#[test]
fn nifti_grids_that_no_scanner_makes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wide.nii");
    let mut volume = chest();
    let mut with = |spacing_mm: [f64; 3], x: f64| {
        (volume.geometry.spacing_mm, volume.geometry.origin_mm[0]) = (spacing_mm, x);
        write_nifti_i16(&path, &volume, None).unwrap();
        one(&path)
    };
    assert!(with([1.0, 1.0, 50.0], 0.0).is_ok());
    for (spacing, x) in [([1.0, 1.0, 51.0], 0.0), ([11.0, 11.0, 2.0], 0.0), ([1.0; 3], 1e7)] {
        let message = with(spacing, x).unwrap_err().to_string();
        assert!(message.contains("no CT") || message.contains("kilometre"), "{message}");
    }
}

#[test]
fn uneven_slices_are_refused_when_most_would_be_made_up() {
    let (_dir, path) = series();
    // Two dense ends and a sparse middle.
    edit_all(&path, |n, o| at(o, [0.0, 1.0, 2.1, 9.0, 17.3, 25.0, 33.7, 41.0, 42.1, 43.0][n - 1]));
    assert!(refusal(&path, "series").contains("would be made up"));
}

/// Makes a slice of the series a colour picture without a place.
fn colour(o: &mut DefaultDicomObject) {
    o.put(DataElement::new(tags::SAMPLES_PER_PIXEL, VR::US, PrimitiveValue::from(3_u16)));
    put(o, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, &["RGB"]);
    o.remove_element(tags::IMAGE_POSITION_PATIENT);
}

#[test]
fn one_stray_picture_is_left_out_and_told() {
    let (_dir, path) = series();
    let stray = path.join("stray.dcm");
    fs::copy(slice(&path, 1), &stray).unwrap();
    edit(&stray, colour);
    let scan = one(&path).unwrap();
    assert_eq!((&scan.volume, codes(&scan)), (&chest(), vec!["unfit-file-dropped"]));
    // A second one is more than a tenth.
    fs::copy(&stray, path.join("stray2.dcm")).unwrap();
    assert!(refusal(&path, "stray.dcm").contains("colour"));
}

#[test]
fn a_series_with_a_slice_that_cannot_be_placed_gives_way_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    write_dicom_series(&a, &chest(), &DicomTags::default()).unwrap();
    write_dicom_series(&b, &chest(), &DicomTags { kernel: "B70f".into(), ..DicomTags::default() }).unwrap();
    let study = dicom_object::open_file(slice(&a, 1)).unwrap();
    let study = study.element(tags::STUDY_INSTANCE_UID).unwrap().to_str().unwrap().into_owned();
    edit_all(&b, |_, o| put(o, tags::STUDY_INSTANCE_UID, VR::UI, &[&study]));
    edit(&slice(&a, 3), |o| {
        o.remove_element(tags::IMAGE_POSITION_PATIENT);
    });
    let scan = one(dir.path()).unwrap();
    assert_eq!((scan.facts.kernel.as_deref(), codes(&scan)), (Some("B70F"), vec!["other-series"]));
    assert!(scan.warnings[0].message.contains("Image Position Patient"));
}

#[test]
fn a_file_that_does_not_say_how_it_lies_is_read_but_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ct.nii");
    write_nifti_i16(&path, &chest(), None).unwrap();
    assert!(one(&path).unwrap().check_orientation(&path).is_ok());
    let mut bytes = fs::read(&path).unwrap();
    bytes[252..256].fill(0);
    fs::write(&path, bytes).unwrap();
    let scan = one(&path).unwrap();
    assert_eq!(codes(&scan), ["orientation-unknown"]);
    let message = scan.check_orientation(&path).unwrap_err().to_string();
    assert!(message.contains("ct.nii") && message.contains("left and right"), "{message}");
}

#[test]
fn one_bad_path_does_not_keep_the_others_from_being_found() {
    let (dir, path) = series();
    let many = dir.path().join("many");
    fs::create_dir(&many).unwrap();
    (0..20).for_each(|i| fs::write(many.join(format!("{i}.txt")), "x").unwrap());
    let limits = Limits { files: 12, ..Limits::default() };
    let search = find_sources(&[many.clone(), path, dir.path().join("nowhere")], &limits).unwrap();
    assert_eq!(search.sources.len(), 1);
    let reasons: Vec<String> = search.refused.iter().map(|e| e.to_string()).collect();
    assert!(reasons.len() == 2 && reasons[0].contains("more than 12 files"), "{reasons:?}");
    assert!(reasons[1].contains("nowhere: It cannot be read"), "{reasons:?}");
}

#[cfg(unix)]
#[test]
fn an_unreadable_subfolder_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, path) = series();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(&closed).is_ok() {
        eprintln!("skipped: permissions do not bind this user");
        return;
    }
    let scan = one(dir.path()).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(codes(&scan), ["unreadable-folder"]);
    let file = path.join("ct.nii");
    write_nifti_i16(&file, &chest(), None).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    assert!(matches!(one(&file).unwrap_err(), pleura_formats::Error::Refused { .. }));
}
