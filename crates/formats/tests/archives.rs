//! Zip archives of scans: read as a folder would be, and never a way out of the limits.

#![allow(clippy::unwrap_used)]

mod common;

use common::{chest, codes, mha, nrrd, one, real, refusal, series, zipped};
use pleura_formats::{Limits, find_sources, inspect, read};
use std::fs;
use std::path::{Path, PathBuf};

fn files_of(folder: &Path, below: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let name = |f: &Path| format!("{below}{}", f.file_name().unwrap().to_string_lossy());
    files.iter().map(|f| (name(f), fs::read(f).unwrap())).collect()
}

fn zip_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    zipped(&files.iter().map(|(name, data)| (name.as_str(), data.as_slice())).collect::<Vec<_>>())
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_series_in_a_zip_reads_as_the_series() {
    let (dir, folder) = series();
    let mut files = files_of(&folder, "export/ct/");
    files.push(("export/readme.txt".into(), b"hello".to_vec()));
    let path = write(dir.path(), "scan.zip", &zip_of(&files));
    let scan = one(&path).unwrap();
    assert_eq!((&scan.volume, codes(&scan)), (&chest(), vec![]));
    let search = find_sources(std::slice::from_ref(&path), &Limits::default()).unwrap();
    let source = &search.sources[0];
    assert_eq!((source.name.as_str(), source.files.len()), ("scan-export-ct", 10));
    assert_eq!(source.files[0], path.join("export/ct/IM00001.dcm"));
    assert_eq!(source.files_on_disk(), std::slice::from_ref(&path));
    let seen = inspect(std::slice::from_ref(&path), &Limits::default()).unwrap();
    assert!(seen.series[0].screened && seen.series[0].path.starts_with(&path), "{seen:?}");
}

#[test]
fn volume_files_and_zips_in_zips_and_folders_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let inner = zipped(&[("a/ct.mha", &mha(&chest()))]);
    write(dir.path(), "p1.zip", &zipped(&[("deep.zip", &inner)]));
    write(dir.path(), "p2.zip", &zipped(&[("ct.nrrd", &nrrd(&chest()))]));
    write(dir.path(), "p3.zip", &zipped(&[("readme.txt", b"nothing")]));
    let limits = Limits::default();
    let search = find_sources(&[dir.path().to_owned()], &limits).unwrap();
    let names: Vec<&str> = search.sources.iter().map(|s| s.name.as_str()).collect();
    assert_eq!((names, search.refused.len()), (vec!["p1-deep.zip-a-ct", "p2-ct"], 0));
    assert_eq!(search.warnings[0].code, "archive-skipped");
    assert!(search.sources.iter().all(|s| read(s, &limits).unwrap().volume == chest()));
    let shallow = Limits { nesting: 1, ..limits };
    let search = find_sources(&[dir.path().join("p1.zip")], &shallow).unwrap();
    assert!(search.refused[0].to_string().contains("nested over the limit"), "{:?}", search.refused);
}

#[test]
fn a_damaged_file_in_a_zip_is_named_as_if_the_zip_were_a_folder() {
    let (dir, folder) = series();
    let mut files = files_of(&folder, "ct/");
    files[9].1.truncate(500);
    let path = write(dir.path(), "scan.zip", &zip_of(&files));
    let message = refusal(&path, "scan.zip/ct/IM00010.dcm");
    assert!(message.contains("copy the series again"), "{message}");
}

#[test]
fn nothing_is_written_outside_and_hostile_archives_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = mha(&chest());
    let refused = |name: &str, bytes: &[u8], reason: &str| {
        let path = write(dir.path(), name, bytes);
        let message = refusal(&path, name);
        assert!(message.contains(reason), "{name}: {message}");
    };
    refused("up.zip", &zipped(&[("../../up.mha", &good)]), "outside itself");
    refused("back.zip", &zipped(&[("a\\..\\..\\up.mha", &good)]), "outside itself");
    refused("empty.zip", &zipped(&[]), "No CT was found");
    let whole = zipped(&[("ct.mha", &good)]);
    refused("cut.zip", &whole[..whole.len() / 2], "zip archive");
    // A bit of the packed voxels: the checksum tells.
    let mut bytes = whole.clone();
    bytes[whole.len() / 2] ^= 1;
    refused("bit.zip", &bytes, "cannot be read");
    // The method of packing, in both records of it.
    let mut bytes = whole.clone();
    while let Some(at) = bytes.windows(4).position(|w| w == [8, 0, 0, 0]) {
        bytes[at] = 77;
    }
    refused("method.zip", &bytes, "not supported");
    // An absolute name is taken as one within the archive.
    let path = write(dir.path(), "absolute.zip", &zipped(&[("/etc/ct.mha", &good)]));
    assert_eq!(one(&path).unwrap().volume, chest());
    assert!(!dir.path().parent().unwrap().join("up.mha").exists());
}

#[test]
fn limits_hold() {
    let dir = tempfile::tempdir().unwrap();
    let zeros = vec![0; 8 << 20];
    let path = write(dir.path(), "bomb.zip", &zipped(&[("a", &zeros), ("b", &zeros)]));
    let refused = |limits: &Limits| {
        find_sources(std::slice::from_ref(&path), limits).unwrap().refused.remove(0).to_string()
    };
    let small = Limits { unpacked_bytes: 1 << 20, ..Limits::default() };
    assert!(refused(&small).contains("over the limits"), "{}", refused(&small));
    assert!(refused(&Limits { files: 1, ..Limits::default() }).contains("over the limits"));
    // A size that lies: both records of it say 16 bytes.
    let mut bytes = fs::read(&path).unwrap();
    let size = (zeros.len() as u32).to_le_bytes();
    while let Some(at) = bytes.windows(4).position(|w| w == size) {
        bytes[at..at + 4].copy_from_slice(&16_u32.to_le_bytes());
    }
    fs::write(&path, bytes).unwrap();
    assert!(refused(&small).contains("larger than its declared"), "{}", refused(&small));
}

#[test]
fn a_real_series_in_a_zip_reads_as_the_folder_does() {
    let Some(folder) = real("dicom-odd/tiny-chest-64") else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "tiny.zip", &zip_of(&files_of(&folder, "")));
    assert_eq!(one(&path).unwrap().volume, one(&folder).unwrap().volume);
}
