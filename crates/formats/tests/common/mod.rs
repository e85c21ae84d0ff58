//! Shared by the tests of this crate.
#![allow(dead_code, clippy::unwrap_used)]

use dicom_object::{DefaultDicomObject, open_file};
use pleura_formats::{DicomTags, Error, Limits, Scan, find_sources, read, write_dicom_series};
use pleura_volume::{Geometry, Volume};
use std::path::{Path, PathBuf};

/// The real scans, or `None` with a message where they are missing.
pub fn real(below: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(below);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is missing", path.display());
    None
}

/// A file of expected values beside the tests.
pub fn expected(name: &str) -> serde_json::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// CRC-32 of the little-endian bytes, as zlib.crc32 gives it.
pub fn crc(values: &[i16]) -> u64 {
    let mut crc = flate2::Crc::new();
    values.chunks(4096).for_each(|c| crc.update(&c.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()));
    crc.sum().into()
}

/// Reads the only scan at `path`, or gives the first reason against it.
pub fn one(path: &Path) -> Result<Scan, Error> {
    let limits = Limits::default();
    let mut search = find_sources(&[path.to_owned()], &limits)?;
    match search.sources.as_slice() {
        [] => Err(search.refused.remove(0)),
        [source] => read(source, &limits),
        many => panic!("{} sources", many.len()),
    }
}

/// The reason why the scan at `path` is refused; checks that the message names `file`.
pub fn refusal(path: &Path, file: &str) -> String {
    let message = one(path).unwrap_err().to_string();
    assert!(message.contains(file), "{message:?} should name {file}");
    message
}

pub fn codes(scan: &Scan) -> Vec<&str> {
    scan.warnings.iter().map(|w| w.code.as_str()).collect()
}

/// A small chest of a kind: values that differ from voxel to voxel, linear along z.
pub fn chest() -> Volume<i16> {
    let geometry = Geometry::axis_aligned([8, 6, 10], [-100.0, -80.0, -300.0], [0.75, 0.5, 2.0]);
    let mut volume = Volume::filled(geometry, 0_i16);
    for (i, v) in volume.data.iter_mut().enumerate() {
        *v = (i % 48 * 20) as i16 - 1000 + (i / 48 * 10) as i16;
    }
    volume
}

/// The chest as a DICOM series in a fresh folder.
pub fn series() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("series");
    write_dicom_series(&path, &chest(), &DicomTags::default()).unwrap();
    (dir, path)
}

pub fn slice(series: &Path, number: usize) -> PathBuf {
    series.join(format!("IM{number:05}.dcm"))
}

/// Changes one file.
pub fn edit(path: &Path, change: impl FnOnce(&mut DefaultDicomObject)) {
    let mut object = open_file(path).unwrap();
    change(&mut object);
    object.write_to_file(path).unwrap();
}

/// Changes every file of a series.
pub fn edit_all(series: &Path, mut change: impl FnMut(usize, &mut DefaultDicomObject)) {
    for number in 1..=10 {
        edit(&slice(series, number), |o| change(number, o));
    }
}
