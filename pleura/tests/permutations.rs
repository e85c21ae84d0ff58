//! A phantom stored in all 48 signed axis permutations, in every format, is one and the same scan.
//!
//! Every read must give the oriented volume voxel by voxel and its place to a micrometre, and be
//! screened to the same regions at the same millimetres, on the side where the phantom's lesions were
//! drawn.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

use pleura_formats::{DicomTags, Limits, find_sources, read, write_dicom_series, write_nifti_i16};
use pleura_nets::Model;
use pleura_phantom::{Class, Grid, Lobe, Phantom, RenderOptions, render};
use pleura_screen::{Case, Models, Options, Verdict, screen};
use pleura_volume::{Geometry, NoProgress, Volume};
use std::path::Path;
use std::sync::LazyLock;

/// Most that a place may be off, mm; the files hold 32-bit floats and decimals.
const OFF_MM: f64 = 1e-3;
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

static PHANTOM: LazyLock<Phantom> = LazyLock::new(|| {
    let options = RenderOptions { grid: Grid::Detector { spacing_mm: 4.0 }, ..RenderOptions::default() };
    render(Class::InfluenzaA, 5, &options)
});

/// The volume as it is stored when stored axis `s` runs along axis `order[s]`, backwards where bit
/// `s` of `signs` is set.
fn stored(volume: &Volume<i16>, order: [usize; 3], signs: usize) -> Volume<i16> {
    let g = &volume.geometry;
    let back = |s: usize| signs >> s & 1 == 1;
    let corner = |a: usize| order.iter().position(|&o| o == a).is_some_and(back);
    let first: [usize; 3] = std::array::from_fn(|a| if corner(a) { g.size[a] - 1 } else { 0 });
    let geometry = Geometry {
        size: order.map(|a| g.size[a]),
        origin_mm: g.to_lps(first.map(|i| i as f64)),
        spacing_mm: order.map(|a| g.spacing_mm[a]),
        axes: std::array::from_fn(|s| g.axes[order[s]].map(|c| if back(s) { -c } else { c })),
    };
    let strides = [1, g.size[0], g.size[0] * g.size[1]];
    let at = |s: usize, i: usize| (if back(s) { g.size[order[s]] - 1 - i } else { i }) * strides[order[s]];
    let [nx, ny, nz] = geometry.size;
    let mut data = Vec::with_capacity(geometry.len());
    for k in 0..nz {
        for j in 0..ny {
            let row = at(1, j) + at(2, k);
            data.extend((0..nx).map(|i| volume.data[row + at(0, i)]));
        }
    }
    Volume { geometry, data }
}

fn listed(values: &[f64], between: &str) -> String {
    values.iter().map(f64::to_string).collect::<Vec<_>>().join(between)
}

fn with_voxels(head: String, volume: &Volume<i16>) -> Vec<u8> {
    let voxels = volume.data.iter().flat_map(|v| v.to_le_bytes());
    head.into_bytes().into_iter().chain(voxels).collect()
}

fn metaimage(volume: &Volume<i16>) -> Vec<u8> {
    let g = &volume.geometry;
    let head = format!(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = {}\nOffset = {}\nElementSpacing = {}\n\
         DimSize = {}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n",
        listed(g.axes.as_flattened(), " "),
        listed(&g.origin_mm, " "),
        listed(&g.spacing_mm, " "),
        listed(&g.size.map(|n| n as f64), " "),
    );
    with_voxels(head, volume)
}

fn nrrd(volume: &Volume<i16>) -> Vec<u8> {
    let g = &volume.geometry;
    let step = |a: usize| format!("({})", listed(&g.axes[a].map(|c| c * g.spacing_mm[a]), ","));
    let head = format!(
        "NRRD0005\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: {}\n\
         space directions: {} {} {}\nendian: little\nencoding: raw\nspace origin: ({})\n\n",
        listed(&g.size.map(|n| n as f64), " "),
        step(0),
        step(1),
        step(2),
        listed(&g.origin_mm, ","),
    );
    with_voxels(head, volume)
}

/// Writes a volume as it lies into a folder.
type Write = fn(&Path, &Volume<i16>);

const FORMATS: [(&str, Write); 4] = [
    ("NIfTI", |dir, v| write_nifti_i16(&dir.join("ct.nii"), v, None).unwrap()),
    ("MetaImage", |dir, v| std::fs::write(dir.join("ct.mha"), metaimage(v)).unwrap()),
    ("NRRD", |dir, v| std::fs::write(dir.join("ct.nrrd"), nrrd(v)).unwrap()),
    // One file for each step along the third stored axis: axial, coronal and sagittal stacks.
    ("DICOM", |dir, v| write_dicom_series(dir, v, &DicomTags::default()).unwrap()),
];

/// What is read of a volume once it is written.
fn again(write: Write, volume: &Volume<i16>) -> Volume<i16> {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), volume);
    let limits = Limits::default();
    let search = find_sources(&[dir.path().to_owned()], &limits).unwrap();
    assert_eq!(search.sources.len(), 1, "{:?}", search.refused);
    let scan = read(&search.sources[0], &limits).unwrap();
    // The phantom is coarse, which is said, and nothing else.
    assert!(scan.warnings.iter().all(|w| w.code == "coarse-voxels"), "{:?}", scan.warnings);
    scan.volume
}

/// Whether all corners of two grids of one size lie at the same places.
fn same_places(a: &Geometry, b: &Geometry) -> bool {
    let mut corners = (0..8).map(|c| std::array::from_fn(|x| (c >> x & 1) as f64 * (a.size[x] - 1) as f64));
    a.size == b.size && corners.all(|corner| near(a.to_lps(corner), b.to_lps(corner)))
}

fn near(a: [f64; 3], b: [f64; 3]) -> bool {
    (0..3).all(|c| (a[c] - b[c]).abs() < OFF_MM)
}

/// The models, and what the phantom is screened to as it was made.
static PLAIN: LazyLock<(Models, Case)> = LazyLock::new(|| {
    let model = |bytes: &[u8]| Model::from_bytes(bytes).unwrap();
    let detector = model(include_bytes!("../../models/detector.safetensors"));
    let classifier = model(include_bytes!("../../models/classifier.safetensors"));
    let models = Models::new(detector, classifier).unwrap();
    let plain = screened(&PHANTOM.volume, &models);
    assert!(lesions_found(&plain, &PHANTOM) > 0, "no lesion is found");
    let right = plain.regions.iter().filter(|r| r.right).count();
    println!("{} regions, {right} of them right", plain.regions.len());
    (models, plain)
});

fn screened(volume: &Volume<i16>, models: &Models) -> Case {
    screen(volume, models, &Options::default(), &NoProgress).unwrap()
}

fn every_way(format: usize) {
    let phantom = &*PHANTOM;
    let (name, write) = FORMATS[format];
    for (order, signs) in ORDERS.iter().flat_map(|o| (0..8).map(move |s| (*o, s))) {
        let volume = again(write, &stored(&phantom.volume, order, signs));
        let which = format!("{name} {order:?} {signs:03b}");
        assert!(same_places(&volume.geometry, &phantom.volume.geometry), "{which}: {:?}", volume.geometry);
        assert!(volume.data == phantom.volume.data, "{which}: other voxels");
        same_regions(&volume, &which);
    }
}

/// Screens a volume to what the phantom was screened to.
fn same_regions(volume: &Volume<i16>, which: &str) {
    let (models, plain) = &*PLAIN;
    let case = screened(volume, models);
    assert_eq!((called(&case), case.regions.len()), (called(plain), plain.regions.len()), "{which}");
    assert_eq!(lesions_found(&case, &PHANTOM), lesions_found(plain, &PHANTOM), "{which}");
    for (ours, theirs) in case.regions.iter().zip(&plain.regions) {
        assert_eq!((ours.right, ours.class), (theirs.right, theirs.class), "{which}");
        assert_eq!(ours.box_voxels, theirs.box_voxels, "{which}");
        let (a, b) = (&ours.box_mm, &theirs.box_mm);
        assert!(near(a.min, b.min) && near(a.max, b.max), "{which}: {a:?} and {b:?}");
    }
}

#[test]
fn nifti_in_48_ways_is_one_scan() {
    every_way(0);
}

#[test]
fn metaimage_in_48_ways_is_one_scan() {
    every_way(1);
}

#[test]
fn nrrd_in_48_ways_is_one_scan() {
    every_way(2);
}

#[test]
fn dicom_in_48_ways_is_one_scan() {
    every_way(3);
}

/// The class that a case is called.
fn called(case: &Case) -> Option<usize> {
    match case.verdict {
        Verdict::Infection { class, .. } => Some(class),
        _ => None,
    }
}

/// The lesions of the phantom whose centre lies in a region of the case: each on the region's side.
fn lesions_found(case: &Case, phantom: &Phantom) -> usize {
    let right = |lobe| matches!(lobe, Lobe::RightLower | Lobe::RightMiddle | Lobe::RightUpper);
    let mut found = 0;
    for lesion in &phantom.latents.each {
        for region in case.regions.iter().filter(|r| r.box_mm.contains(lesion.center_mm)) {
            assert_eq!(region.right, right(lesion.lobe), "{lesion:?} in {region:?}");
            found += 1;
        }
    }
    found
}
