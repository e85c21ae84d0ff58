//! What the fuzzers in `fuzz/` call, and the test that replays their corpus: one function for each
//! parser, which takes any bytes and panics only where a promise is broken. No part of the face of
//! this crate.

// A panic is how a fuzzer is told.
#![allow(clippy::expect_used)]

use crate::dicom;
use crate::{Error, Limits, Scan, find_sources, read};
use std::path::Path;

/// Panics where a promise is broken.
pub type Parse = fn(&[u8]);

/// The parsers, by the names of their folders in `fuzz/corpus`.
pub const TARGETS: [(&str, Parse); 9] = [
    ("rle", rle),
    ("jpeg_lossless", jpeg),
    ("jpeg_dct", jpeg),
    ("jpeg_ls", jpeg_ls),
    ("dicom", dicom),
    ("nifti", nifti),
    ("metaimage", metaimage),
    ("nrrd", nrrd),
    ("zip", zip),
];

/// Small enough that what a header may ask for shows in the memory that is held.
const LIMITS: Limits =
    Limits { voxels: 1 << 20, files: 100, unpacked_bytes: 16 << 20, expansion: 200, nesting: 2 };

/// RLE of one or of two bytes a sample; see [`picture`].
pub fn rle(data: &[u8]) {
    for bytes in 1..=2 {
        picture(data, |stream, columns, rows| dicom::rle::decode(stream, columns * rows, bytes));
    }
}

/// JPEG, lossless or not; see [`picture`].
pub fn jpeg(data: &[u8]) {
    picture(data, dicom::jpeg::decode);
}

/// JPEG-LS; see [`picture`].
pub fn jpeg_ls(data: &[u8]) {
    picture(data, dicom::jpegls::decode);
}

/// A DICOM file, its picture included.
pub fn dicom(data: &[u8]) {
    file("ct.dcm", data);
}

/// A NIfTI file; gzipped where it begins as gzip does.
pub fn nifti(data: &[u8]) {
    file("ct.nii", data);
}

/// A MetaImage file with its voxels.
pub fn metaimage(data: &[u8]) {
    file("ct.mha", data);
}

/// An NRRD file with its voxels.
pub fn nrrd(data: &[u8]) {
    file("ct.nrrd", data);
}

/// A zip archive.
pub fn zip(data: &[u8]) {
    file("ct.zip", data);
}

/// A coded picture behind two bytes, its columns and rows less one.
fn picture(data: &[u8], decode: impl Fn(&[u8], usize, usize) -> Result<Vec<u16>, String>) {
    let [columns, rows, stream @ ..] = data else { return };
    let (columns, rows) = (usize::from(*columns) + 1, usize::from(*rows) + 1);
    match decode(stream, columns, rows) {
        Ok(samples) => assert_eq!(samples.len(), columns * rows),
        Err(reason) => assert!(reason.len() < 1000, "{reason}"),
    }
}

/// A file of this name, found and read as any other.
fn file(name: &str, data: &[u8]) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join(name);
    std::fs::write(&path, data).expect("room for a temporary file");
    let search = find_sources(&[path], &LIMITS).expect("a path was named");
    search.refused.iter().for_each(|e| check_error(dir.path(), e));
    for source in &search.sources {
        match read(source, &LIMITS) {
            Ok(scan) => check_scan(&scan),
            Err(e) => check_error(dir.path(), &e),
        }
    }
}

/// Every error is short and tells where in the folder.
fn check_error(folder: &Path, e: &Error) {
    assert!(e.reason().len() < 1000 && e.path().starts_with(folder), "{e}");
}

/// Every volume is whole and lies somewhere.
fn check_scan(scan: &Scan) {
    let geometry = &scan.volume.geometry;
    assert!(geometry.len() == scan.volume.data.len() && geometry.len() <= LIMITS.voxels, "{geometry:?}");
    assert!(geometry.spacing_mm.iter().all(|s| s.is_finite() && *s > 0.0), "{geometry:?}");
    let placed = geometry.axes.as_flattened().iter().chain(&geometry.origin_mm).all(|v| v.is_finite());
    assert!(placed, "{geometry:?}");
}
