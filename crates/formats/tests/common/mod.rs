//! Shared by the tests of this crate.
#![allow(dead_code, clippy::unwrap_used)]

pub mod damage;

use dicom_core::value::{DataSetSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, FileMetaTableBuilder, InMemDicomObject, open_file};
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

/// Puts text values into a data set.
pub fn put(o: &mut InMemDicomObject, tag: Tag, vr: VR, values: &[&str]) {
    o.put(DataElement::new(tag, vr, PrimitiveValue::Strs(values.iter().map(|v| (*v).to_owned()).collect())));
}

/// Moves a slice of the chest along z.
pub fn at(o: &mut InMemDicomObject, z: f64) {
    put(o, tags::IMAGE_POSITION_PATIENT, VR::DS, &["-100", "-80", &z.to_string()]);
}

/// A data set from what `fill` puts in.
pub fn set(fill: impl FnOnce(&mut InMemDicomObject)) -> InMemDicomObject {
    let mut o = InMemDicomObject::new_empty();
    fill(&mut o);
    o
}

/// Puts a sequence into a data set.
pub fn sequence(o: &mut InMemDicomObject, tag: Tag, items: Vec<InMemDicomObject>) {
    o.put(DataElement::new(tag, VR::SQ, Value::Sequence(DataSetSequence::from(items))));
}

/// Puts a sequence of one item with one text attribute, as functional groups hold them.
pub fn group(o: &mut InMemDicomObject, within: Tag, tag: Tag, values: &[&str]) {
    sequence(o, within, vec![set(|o| put(o, tag, VR::DS, values))]);
}

/// Writes a file of several frames of the chest, the one of slice `order[i]` in place `i`; the
/// rest is for `fill` to say. It begins as the chest's first slice does, less its place and slope.
pub fn multiframe(path: &Path, class: &str, order: &[usize], fill: impl FnOnce(&mut InMemDicomObject)) {
    let (_dir, series) = series();
    let mut o = open_file(slice(&series, 1)).unwrap().into_inner();
    let own = [
        tags::IMAGE_POSITION_PATIENT,
        tags::IMAGE_ORIENTATION_PATIENT,
        tags::PIXEL_SPACING,
        tags::RESCALE_SLOPE,
        tags::RESCALE_INTERCEPT,
        tags::RESCALE_TYPE,
    ];
    own.into_iter().for_each(|tag| {
        o.remove_element(tag);
    });
    put(&mut o, tags::SOP_CLASS_UID, VR::UI, &[class]);
    put(&mut o, tags::NUMBER_OF_FRAMES, VR::IS, &[&order.len().to_string()]);
    let chest = chest();
    let words = order.iter().flat_map(|&k| chest.slice(k)).map(|&v| v as u16).collect();
    o.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words)));
    fill(&mut o);
    let meta = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid(class)
        .media_storage_sop_instance_uid("1.2.3")
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    o.with_meta(meta).unwrap().write_to_file(path).unwrap();
}

/// What all frames of an enhanced image share: orientation, pixel size, slope.
pub fn shared(o: &mut InMemDicomObject, slope: &str, intercept: &str, unit: &str) {
    let groups = set(|o| {
        group(
            o,
            tags::PLANE_ORIENTATION_SEQUENCE,
            tags::IMAGE_ORIENTATION_PATIENT,
            &["1", "0", "0", "0", "1", "0"],
        );
        group(o, tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING, &["0.5", "0.75"]);
        rescale(o, slope, intercept, unit);
    });
    sequence(o, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![groups]);
}

pub fn rescale(o: &mut InMemDicomObject, slope: &str, intercept: &str, unit: &str) {
    let item = set(|o| {
        put(o, tags::RESCALE_SLOPE, VR::DS, &[slope]);
        put(o, tags::RESCALE_INTERCEPT, VR::DS, &[intercept]);
        put(o, tags::RESCALE_TYPE, VR::LO, &[unit]);
    });
    sequence(o, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, vec![item]);
}

/// The groups of one frame: its place, and what `fill` adds.
pub fn frame(z: f64, fill: impl FnOnce(&mut InMemDicomObject)) -> InMemDicomObject {
    set(|o| {
        let place = ["-100", "-80", &z.to_string()];
        group(o, tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT, &place);
        fill(o);
    })
}

/// The z of slice `k` of the chest.
pub fn z(k: usize) -> f64 {
    -300.0 + 2.0 * k as f64
}

fn listed(values: &[f64]) -> String {
    values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
}

fn bytes(volume: &Volume<i16>) -> Vec<u8> {
    volume.data.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// The volume as an uncompressed MetaImage.
pub fn mha(volume: &Volume<i16>) -> Vec<u8> {
    let g = &volume.geometry;
    let head = format!(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nTransformMatrix = {}\n\
         Offset = {}\nElementSpacing = {}\nDimSize = {} {} {}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n",
        listed(g.axes.as_flattened()),
        listed(&g.origin_mm),
        listed(&g.spacing_mm),
        g.size[0],
        g.size[1],
        g.size[2],
    );
    [head.into_bytes(), bytes(volume)].concat()
}

/// The volume as a raw NRRD file in RAS.
pub fn nrrd(volume: &Volume<i16>) -> Vec<u8> {
    let g = &volume.geometry;
    let point = |p: [f64; 3]| format!("({},{},{})", -p[0], -p[1], p[2]);
    let step = |a: usize| point(g.axes[a].map(|c| c * g.spacing_mm[a]));
    let head = format!(
        "NRRD0005\ntype: int16\ndimension: 3\nspace: right-anterior-superior\nsizes: {} {} {}\n\
         space directions: {} {} {}\nendian: little\nencoding: raw\nspace origin: {}\n\n",
        g.size[0],
        g.size[1],
        g.size[2],
        step(0),
        step(1),
        step(2),
        point(g.origin_mm),
    );
    [head.into_bytes(), bytes(volume)].concat()
}

/// A zip archive of these files.
pub fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, data) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(data).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
