//! Files that promise too much, and files damaged at random: a clear error or the right volume,
//! never a panic, and never more memory than the file is worth.

#![allow(clippy::unwrap_used)]

mod common;

use common::damage::{Random, check_memory, injure};
use common::{chest, mha, nrrd, one, series, slice, zipped};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use pleura_formats::{Error, Limits, Scan, find_sources, read, write_nifti_i16};
use std::fs;
use std::io::Write;
use std::path::Path;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|b| format!("{b:02x}").into_bytes()).collect()
}

fn decimal(bytes: &[u8]) -> Vec<u8> {
    bytes.as_chunks().0.iter().flat_map(|&b| format!("{} ", i16::from_le_bytes(b)).into_bytes()).collect()
}

/// The file with some text of its header replaced and its voxels packed.
fn repacked(whole: &[u8], changes: &[(&str, &str)], pack: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (head, voxels) = whole.split_at(whole.len() - 2 * chest().data.len());
    let mut head = String::from_utf8(head.to_vec()).unwrap();
    for (from, to) in changes {
        assert!(head.contains(from));
        head = head.replace(from, to);
    }
    [head.into_bytes(), pack(voxels)].concat()
}

fn nifti() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ct.nii");
    write_nifti_i16(&path, &chest(), None).unwrap();
    fs::read(path).unwrap()
}

/// Good files of each format, the same chest in all: name, bytes, and where what a checksum
/// covers begins, if one does.
fn good() -> Vec<(&'static str, Vec<u8>, Option<usize>)> {
    let (plain, mha, nrrd) = (nifti(), mha(&chest()), nrrd(&chest()));
    let raw = 2 * chest().data.len();
    let packed = |whole: Vec<u8>, head: usize, added: usize| (whole, Some(head + added));
    let zipped_mha = repacked(&mha, &[("BinaryData = True", "CompressedData = True")], zlib);
    let gz = repacked(&nrrd, &[("raw", "gzip")], gzip);
    let bz2 = repacked(&nrrd, &[("raw", "bzip2")], bzip2);
    let (mha_head, nrrd_head) = (mha.len() - raw, nrrd.len() - raw);
    let (zipped_mha, at_zlib) = packed(zipped_mha, mha_head, "CompressedData".len() - "BinaryData".len());
    let (gz, at_gz) = packed(gz, nrrd_head, "gzip".len() - "raw".len());
    let (bz2, at_bz2) = packed(bz2, nrrd_head, "bzip2".len() - "raw".len());
    vec![
        ("ct.nii.gz", gzip(&plain), Some(0)),
        ("ct.nii", plain, None),
        ("text.mha", repacked(&mha, &[("BinaryData = True", "BinaryData = False")], decimal), None),
        ("ct.mha", mha.clone(), None),
        ("packed.mha", zipped_mha, at_zlib),
        ("hex.nrrd", repacked(&nrrd, &[("raw", "hex")], hex), None),
        ("text.nrrd", repacked(&nrrd, &[("raw", "ascii")], decimal), None),
        ("gz.nrrd", gz, at_gz),
        ("bz2.nrrd", bz2, at_bz2),
        ("ct.nrrd", nrrd, None),
        ("ct.zip", zipped(&[("a/ct.mha", &mha)]), None),
    ]
}

#[test]
fn the_good_files_are_good() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes, _) in good() {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_eq!(one(&path).unwrap().volume, chest(), "{name}");
    }
}

/// What reading the file says, with limits that let every volume through that the file can hold.
fn reason(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    let limits = Limits { voxels: usize::MAX, ..Limits::default() };
    let mut search = find_sources(&[path], &limits).unwrap();
    match search.sources.first() {
        Some(source) => read(source, &limits).unwrap_err().to_string(),
        None => search.refused.remove(0).to_string(),
    }
}

#[test]
fn a_promise_of_100_gb_costs_megabytes() {
    let dir = tempfile::tempdir().unwrap();
    // 5000 x 5000 x 2000 voxels of two bytes, half a millimetre apart.
    let meta = [("DimSize = 8 6 10", "DimSize = 5000 5000 2000"), ("0.75 0.5 2", "0.5 0.5 0.5")];
    let nrrds = [("sizes: 8 6 10", "sizes: 5000 5000 2000"), ("-0.75", "-0.5"), ("(-0,-0,2)", "(-0,-0,0.5)")];
    let with = |more: (&'static str, &'static str), to: &[(&'static str, &'static str)]| {
        to.iter().copied().chain([more]).collect::<Vec<_>>()
    };
    let mut nii = nifti();
    for (at, size) in [(42, 5000_i16), (44, 5000), (46, 2000)] {
        nii[at..at + 2].copy_from_slice(&size.to_le_bytes());
    }
    for at in [280, 300, 320] {
        nii[at..at + 4].copy_from_slice(&0.5_f32.to_le_bytes());
    }
    let (mha, nrrd) = (mha(&chest()), nrrd(&chest()));
    let plain = |bytes: &[u8]| bytes.to_vec();
    let too_much = "more than the file holds";
    for (name, bytes, want) in [
        ("ct.nii", nii.clone(), too_much),
        ("ct.nii.gz", gzip(&nii), too_much),
        ("ct.mha", repacked(&mha, &meta, plain), too_much),
        ("zlib.mha", repacked(&mha, &with(("BinaryData", "CompressedData"), &meta), zlib), too_much),
        (
            "text.mha",
            repacked(&mha, &with(("BinaryData = True", "BinaryData = No"), &meta), decimal),
            too_much,
        ),
        ("ct.nrrd", repacked(&nrrd, &nrrds, plain), too_much),
        ("gz.nrrd", repacked(&nrrd, &with(("raw", "gzip"), &nrrds), gzip), too_much),
        ("bz2.nrrd", repacked(&nrrd, &with(("raw", "bzip2"), &nrrds), bzip2), "over the limit"),
        ("hex.nrrd", repacked(&nrrd, &with(("raw", "hex"), &nrrds), hex), too_much),
        ("text.nrrd", repacked(&nrrd, &with(("raw", "text"), &nrrds), decimal), too_much),
    ] {
        let said = reason(dir.path(), name, &bytes);
        assert!(said.contains(want), "{name}: {said}");
    }
    check_memory();
}

#[test]
fn packed_files_stop_at_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { unpacked_bytes: 1 << 20, ..Limits::default() };
    // 64 MiB of zeros behind the voxels, which the checksum at the end makes us read.
    let long = [nifti(), vec![0; 64 << 20]].concat();
    let nrrd = nrrd(&chest());
    let last = [("raw", "bzip2"), ("endian", "byte skip: -1\nendian")];
    let cases = [
        ("ct.nii.gz", gzip(&long)),
        ("last.nrrd", [repacked(&nrrd, &last, |_| vec![]), bzip2(&long)].concat()),
    ];
    for (name, bytes) in cases {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let source = find_sources(&[path], &limits).unwrap().sources.remove(0);
        let said = read(&source, &limits).unwrap_err().to_string();
        assert!(said.contains("over the limit"), "{name}: {said}");
    }
}

#[test]
fn a_ratio_that_no_scan_reaches_is_refused() {
    // 40 kB that promise 384 MB and could hold it: more than 256 MiB, and more than 200 times.
    let limits = Limits::default();
    let dir = tempfile::tempdir().unwrap();
    let changes = [
        ("sizes: 8 6 10", "sizes: 800 600 400"),
        ("raw", "bzip2"),
        ("(-0,-0,2)", "(-0,-0,1)"),
        ("-0.75", "-0.5"),
    ];
    let mut bytes = repacked(&nrrd(&chest()), &changes, bzip2);
    bytes.resize(40_000, 0);
    let path = dir.path().join("ct.nrrd");
    fs::write(&path, bytes).unwrap();
    let source = find_sources(&[path], &limits).unwrap().sources.remove(0);
    assert!(read(&source, &limits).unwrap_err().to_string().contains("over the limit"));
    let source_limits = Limits { expansion: 100_000, ..limits };
    assert!(!read(&source, &source_limits).unwrap_err().to_string().contains("over the limit"));
}

/// What comes of it is an error that names the file, or a volume as its header says; where a
/// checksum covers all that was touched, the right volume.
fn check(name: &str, seed: u64, outcome: Result<Scan, Error>, covered: bool) {
    match outcome {
        Err(e) => {
            let said = e.to_string();
            assert!(e.reason().len() < 1000 && said.contains(name), "{name} {seed}: {said}");
        }
        Ok(scan) => {
            assert_eq!(scan.volume.data.len(), scan.volume.geometry.len(), "{name} {seed}");
            assert!(
                scan.volume.geometry.spacing_mm.iter().all(|s| s.is_finite() && *s > 0.0),
                "{name} {seed}"
            );
            assert!(!covered || scan.volume.data == chest().data, "{name} {seed}: wrong voxels passed");
        }
    }
}

fn mutations(count: u64) {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes, checksum) in good() {
        let path = dir.path().join(name);
        let mut read = 0;
        for seed in 0..count {
            let mut injured = bytes.clone();
            let first = injure(&mut injured, &mut Random(seed));
            fs::write(&path, &injured).unwrap();
            let outcome = one(&path);
            read += usize::from(outcome.is_ok());
            check(name, seed, outcome, checksum.is_some_and(|c| first >= c));
        }
        println!("{name}: {count} damaged files, {read} read, the others refused");
    }
    check_memory();
}

#[test]
fn ten_thousand_damaged_files_of_each_kind_are_refused_or_right() {
    mutations(10_000);
}

/// A slice of a DICOM series damaged: an error, or a volume that says what was left out or filled, or the
/// series with all other slices as they were. Pixels have no checksum: those of the slice itself may be wrong.
#[test]
fn ten_thousand_series_with_a_damaged_slice_are_refused_told_of_or_right() {
    let (_dir, series) = series();
    let good = one(&series).unwrap().volume;
    let (mut quiet, mut told) = (0, 0);
    for seed in 0..10_000 {
        let mut random = Random(seed);
        let path = slice(&series, 1 + random.below(good.size()[2]));
        let bytes = fs::read(&path).unwrap();
        let mut injured = bytes.clone();
        injure(&mut injured, &mut random);
        fs::write(&path, &injured).unwrap();
        let search = find_sources(std::slice::from_ref(&series), &Limits::default()).unwrap();
        let outcome: Vec<_> = search.sources.iter().map(|s| read(s, &Limits::default())).collect();
        fs::write(&path, &bytes).unwrap();
        let [Ok(scan)] = outcome.as_slice() else { continue };
        if !(scan.warnings.is_empty() && search.warnings.is_empty() && search.refused.is_empty()) {
            told += 1;
            continue;
        }
        quiet += 1;
        assert_eq!(scan.volume.size(), good.size(), "{seed}");
        let other = |z: &usize| scan.volume.slice(*z) != good.slice(*z);
        let changed = (0..good.size()[2]).filter(other).count();
        assert!(changed <= 1, "{seed}: {changed} slices differ");
        let corner = good.size().map(|n| n as f64 - 1.0);
        let moved = scan.volume.geometry.to_lps(corner).into_iter().zip(good.geometry.to_lps(corner));
        assert!(moved.clone().all(|(a, b)| (a - b).abs() < 0.5), "{seed}: {:?}", scan.volume.geometry);
    }
    println!("{quiet} read without a word, {told} with a warning, the others refused");
    check_memory();
}
