//! MetaImage and NRRD made by SimpleITK, pynrrd and by hand (expected/make_volumes.py), and what
//! of them is refused.

#![allow(clippy::unwrap_used)]

mod common;

use common::{chest, codes, crc, expected, mha, nrrd, one, real, refusal};
use pleura_formats::{Limits, SourceFormat, find_sources, inspect};
use std::fs;
use std::path::{Path, PathBuf};

fn made(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/volumes").join(name)
}

#[test]
fn types_packings_spaces_and_data_files_read_as_simpleitk_and_pynrrd_read_them() {
    for (name, value) in expected("volumes.json").as_object().unwrap() {
        let scan = one(&made(name)).unwrap();
        assert_eq!(crc(&scan.volume.data), value["crc"].as_u64().unwrap(), "{name}");
        let affine = scan.volume.geometry.affine();
        for (row, want) in value["affine"].as_array().unwrap().iter().enumerate() {
            for col in 0..4 {
                assert!((affine[row][col] - want[col].as_f64().unwrap()).abs() < 1e-4, "{name} {affine:?}");
            }
        }
        let told = codes(&scan).into_iter().filter(|c| *c != "not-hounsfield").count();
        assert_eq!(told, 0, "{name}: {:?}", scan.warnings);
    }
}

/// A fresh folder with one file, made from a good one by replacing text.
fn changed(name: &str, good: &[u8], from: &str, to: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    let end = good.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
    fs::write(&path, [&good[..end], to.as_bytes(), &good[end + from.len()..]].concat()).unwrap();
    (dir, path)
}

#[test]
fn a_metaimage_that_cannot_be_trusted_is_refused_with_its_reason() {
    let good = mha(&chest());
    for (from, to, reason) in [
        ("NDims = 3", "NDims = 2", "2 dimensions"),
        ("DimSize = 8 6 10", "DimSize = 8 6", "dimensions"),
        ("DimSize = 8 6", "DimSize = 0 6", "size of zero"),
        ("DimSize = 8 6 10", "DimSize = 8 6 11", "more than the file holds"),
        ("DimSize = 8 6 10", "DimSize = 8 6 9", "bytes more than the header promises"),
        ("ElementSpacing", "Spacing", "does not state ElementSpacing"),
        ("ElementSpacing = 0.75", "ElementSpacing = 0.75mm", "else than numbers"),
        ("ElementSpacing = 0.75", "ElementSpacing = 0", "singular"),
        ("TransformMatrix = 1 0 0", "TransformMatrix = 1 0.5 0", "right angles"),
        ("TransformMatrix = 1 0 0", "TransformMatrix = 1 0", "8 numbers in place of 9"),
        ("MET_SHORT", "MET_SHORT_ARRAY", "are not read"),
        ("BinaryData = True", "CompressedData = True", "damaged"),
        ("BinaryData = True", "HeaderSize = 5", "impossible"),
        ("BinaryData = True", "Modality = MET_MOD_MR", "modality is \"MR\""),
        ("BinaryData = True", "ElementNumberOfChannels = 3", "\"3\" values a voxel"),
        ("BinaryData = True", "ElementToIntensityFunctionSlope = 2", "scales its values"),
        ("BinaryData = True", "NDims = 4", "twice"),
        ("LOCAL", "missing.raw", "Its data file \"missing.raw\""),
        ("LOCAL", "../ct.raw", "own folder"),
        ("LOCAL", "/etc/hostname", "own folder"),
        ("ElementDataFile", "DataFile", "no \"=\""),
    ] {
        let (_dir, path) = changed("ct.mha", &good, from, to);
        let message = refusal(&path, "ct.mha");
        assert!(message.contains(reason), "{to}: {message}");
    }
}

#[test]
fn an_nrrd_that_cannot_be_trusted_is_refused_with_its_reason() {
    let good = nrrd(&chest());
    for (from, to, reason) in [
        ("dimension: 3", "dimension: 4", "4 dimensions"),
        ("sizes: 8 6 10", "sizes: 8 6 11", "more than the file holds"),
        ("sizes: 8 6 10", "sizes: 8 6 9", "bytes more than the header promises"),
        ("sizes: 8", "sizes: -8", "else than numbers"),
        ("int16", "block", "are not read"),
        ("raw", "gzip", "damaged"),
        ("raw", "bzip2", "damaged"),
        ("raw", "lzma", "not known"),
        ("endian: little\n", "", "byte order"),
        ("right-anterior-superior", "up-down-strange", "not known"),
        ("right-anterior-superior", "right-anterior-superior-time", "not known"),
        ("space directions", "directions", "nothing can be measured"),
        ("space directions: (-0.75", "space directions: none (-0.75", "not three"),
        ("space directions: (-0.75,", "space directions: (nan,", "no direction in space"),
        ("endian", "byte skip: -5\nendian", "byte skip of -5"),
        ("endian", "line skip: -1\nendian", "line skip of -1"),
        ("endian", "byte skip: 2\nendian", "more than the file holds"),
        ("endian", "kinds: RGB-color domain domain\nendian", "RGB-color"),
        ("endian", "space units: \"cm\" \"cm\" \"cm\"\nendian", "in \"cm\""),
        ("endian", "type: int16\nendian", "twice"),
        ("endian", "data file: /etc/hostname\nendian", "own folder"),
        ("NRRD0005", "NRRD0009", "neither"),
    ] {
        let (_dir, path) = changed("ct.nrrd", &good, from, to);
        let message = one(&path).unwrap_err().to_string();
        assert!(
            message.contains("ct.nrrd") && message.contains(reason) || to.contains("0009"),
            "{to}: {message}"
        );
    }
}

#[test]
fn a_file_that_does_not_say_how_it_lies_is_read_told_and_not_screened() {
    for (name, good, from, to) in [
        ("ct.mha", mha(&chest()), "TransformMatrix", "Note"),
        ("ct.nrrd", nrrd(&chest()), "right-anterior-superior", "scanner-xyz"),
        (
            "ct.nrrd",
            nrrd(&chest()),
            "space directions: (-0.75,-0,0) (-0,-0.5,0) (-0,-0,2)",
            "spacings: 0.75 0.5 2",
        ),
    ] {
        let (_dir, path) = changed(name, &good, from, to);
        let scan = one(&path).unwrap();
        assert_eq!(codes(&scan), ["orientation-unknown"], "{to}");
        assert!(scan.check_orientation(&path).unwrap_err().to_string().contains("left and right"));
    }
}

#[test]
fn letters_stand_in_for_a_matrix_and_are_told_when_they_contradict_it() {
    let good = mha(&chest());
    // RAI: from the right, from the front, from the feet, which is the oriented grid.
    let (_dir, path) =
        changed("ct.mha", &good, "TransformMatrix = 1 0 0 0 1 0 0 0 1", "AnatomicalOrientation = RAI");
    let scan = one(&path).unwrap();
    assert_eq!((&scan.volume, codes(&scan)), (&chest(), vec![]));
    let (_dir, path) = changed("ct.mha", &good, "Offset", "AnatomicalOrientation = LAI\nOffset");
    let scan = one(&path).unwrap();
    assert_eq!((&scan.volume, codes(&scan)), (&chest(), vec!["orientation-disputed"]));
    let (_dir, path) = changed("ct.mha", &good, "Offset", "AnatomicalOrientation = ???\nPlace");
    assert_eq!(codes(&one(&path).unwrap()), ["position-unknown"]);
}

#[test]
fn what_a_file_is_its_content_says_before_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let formats = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let search = find_sources(std::slice::from_ref(&path), &Limits::default()).unwrap();
        search.sources[0].format
    };
    assert_eq!(formats("a.nii", &mha(&chest())), SourceFormat::MetaImage);
    assert_eq!(formats("b", &nrrd(&chest())), SourceFormat::Nrrd);
    assert_eq!(formats("c.nrrd", b"nothing of the kind"), SourceFormat::Nrrd);
    let search = find_sources(&[dir.path().to_owned()], &Limits::default()).unwrap();
    assert_eq!(search.sources.len(), 3);
    let seen = inspect(&[dir.path().to_owned()], &Limits::default()).unwrap();
    assert_eq!((seen.series.len(), seen.refused.len()), (2, 1), "{seen:?}");
    assert_eq!(seen.series[1].encoding.as_deref(), Some("i16"));
}

#[test]
fn a_source_lists_the_files_that_hold_its_voxels() {
    let search = find_sources(&[made("list.mhd"), made("packed.mhd")], &Limits::default()).unwrap();
    let files: Vec<usize> = search.sources.iter().map(|s| s.files.len()).collect();
    assert_eq!(files, [7, 2]);
}

#[test]
fn pynrrds_own_files_are_read_or_refused_with_a_reason() {
    let Some(folder) = real("nrrd") else { return };
    let ball = one(&folder.join("BallBinary30x30x30.nrrd")).unwrap();
    for name in ["nhdr", "nrrd"] {
        let all = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
        for path in all.filter(|p| p.extension().is_some_and(|e| e == name)) {
            let file = path.file_name().unwrap().to_str().unwrap();
            let refused = match file {
                // The first voxels would be the bytes of a NIfTI header; pynrrd refuses it too.
                "BallBinary30x30x30_nifti.nhdr" => Some("more than the header promises"),
                "BallBinary30x30x30_byteskip_minus_five.nhdr" => Some("byte skip of -5"),
                "test1d_ascii.nrrd" | "test_customFields.nrrd" => Some("1 dimensions"),
                "test2d_ascii.nrrd" => Some("2 dimensions"),
                "test_simple4d_raw.nrrd" => Some("4 dimensions"),
                _ => None,
            };
            match (one(&path), refused) {
                (Ok(scan), None) => assert_eq!(scan.volume, ball.volume, "{file}"),
                (Err(e), Some(reason)) => assert!(e.to_string().contains(reason), "{file}: {e}"),
                (other, _) => panic!("{file}: {:?}", other.map(|s| s.warnings)),
            }
        }
    }
}
