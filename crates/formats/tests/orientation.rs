//! A chest with one bright spot, stored in all 48 signed axis permutations and in every format,
//! is read with the spot at the same place in the patient, and every voxel with it.

#![allow(clippy::unwrap_used)]

mod common;

use common::{mha, nrrd, one};
use pleura_formats::{DicomTags, write_dicom_series, write_nifti_i16};
use pleura_volume::{Geometry, Volume};
use std::path::Path;

/// Voxels across the patient: right to left, front to back, feet to head; and their distances.
const SIZE: [usize; 3] = [9, 7, 8];
const SPACING: [f64; 3] = [1.5, 2.0, 2.5];
const FIRST: [f64; 3] = [-6.0, 20.0, -310.0];
/// The spot: on the left side, near the back and the feet. Voxel [7, 5, 1] of the oriented grid.
const SPOT: [f64; 3] = [4.5, 30.0, -307.5];

/// HU at a place in the patient: no two voxels are alike, and none is like the spot.
fn hu(mm: [f64; 3]) -> i16 {
    if (0..3).all(|a| (mm[a] - SPOT[a]).abs() < 0.1) {
        return 400;
    }
    let at: [usize; 3] = std::array::from_fn(|a| ((mm[a] - FIRST[a]) / SPACING[a]).round() as usize);
    -1000 + (at[0] + SIZE[0] * (at[1] + SIZE[1] * at[2])) as i16
}

/// The chest as it is stored when stored axis `s` runs along patient axis `order[s]`, backwards
/// where bit `s` of `signs` is set.
fn stored(order: [usize; 3], signs: usize) -> Volume<i16> {
    let back = |s: usize| signs >> s & 1 == 1;
    let mut origin_mm = FIRST;
    let mut axes = [[0.0; 3]; 3];
    for s in 0..3 {
        let a = order[s];
        axes[s][a] = if back(s) { -1.0 } else { 1.0 };
        origin_mm[a] += if back(s) { (SIZE[a] - 1) as f64 * SPACING[a] } else { 0.0 };
    }
    let geometry =
        Geometry { size: order.map(|a| SIZE[a]), origin_mm, spacing_mm: order.map(|a| SPACING[a]), axes };
    let [nx, ny, nz] = geometry.size;
    let mut data = Vec::new();
    for k in 0..nz {
        for j in 0..ny {
            data.extend((0..nx).map(|i| hu(geometry.to_lps([i as f64, j as f64, k as f64]))));
        }
    }
    Volume { geometry, data }
}

fn every_way(write: impl Fn(&Path, &Volume<i16>)) {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (order, signs) in orders.iter().flat_map(|o| (0..8).map(move |s| (*o, s))) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ct");
        write(&path, &stored(order, signs));
        let volume = one(dir.path()).unwrap().volume;
        assert_eq!(volume.size(), SIZE, "{order:?} {signs}");
        let g = &volume.geometry;
        for (i, &v) in volume.data.iter().enumerate() {
            let at = [i % SIZE[0], i / SIZE[0] % SIZE[1], i / SIZE[0] / SIZE[1]];
            let mm = g.to_lps(at.map(|i| i as f64));
            assert_eq!(v, hu(mm), "{order:?} {signs} {at:?}");
            if v == 400 {
                assert_eq!(at, [7, 5, 1]);
                assert!((0..3).all(|a| (mm[a] - SPOT[a]).abs() < 1e-3), "{order:?} {signs}: {mm:?}");
            }
        }
        assert!(volume.data.contains(&400));
        assert!((0..3).all(|a| (g.axes[a][a] - 1.0).abs() < 1e-6), "x left, y back, z head: {g:?}");
    }
}

#[test]
fn nifti() {
    every_way(|path, v| write_nifti_i16(&path.with_extension("nii"), v, None).unwrap());
}

#[test]
fn nifti_with_the_qform_alone() {
    every_way(|path, v| {
        let path = path.with_extension("nii");
        write_nifti_i16(&path, v, None).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[254] = 0;
        bytes[280..328].fill(0);
        std::fs::write(path, bytes).unwrap();
    });
}

#[test]
fn metaimage() {
    every_way(|path, v| std::fs::write(path.with_extension("mha"), mha(v)).unwrap());
}

#[test]
fn nrrd_in_ras() {
    every_way(|path, v| std::fs::write(path.with_extension("nrrd"), nrrd(v)).unwrap());
}

#[test]
fn dicom() {
    every_way(|path, v| write_dicom_series(path, v, &DicomTags::default()).unwrap());
}
