//! NIfTI made by nibabel (expected/make.py), and damaged.

mod common;

use common::{chest, codes, crc, expected, one, refusal};
use pleura_formats::{InputFrame, Limits, read, write_nifti_i16, write_nifti_u8};
use pleura_volume::{Geometry, Volume};
use std::path::{Path, PathBuf};

fn made(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/nifti").join(name)
}

#[test]
fn forms_orders_types_and_pairs_read_as_nibabel_reads_them() {
    for (name, value) in expected("nifti.json").as_object().unwrap() {
        let scan = one(&made(name)).unwrap();
        assert_eq!(crc(&scan.volume.data), value["crc"].as_u64().unwrap(), "{name}");
        let affine = scan.volume.geometry.affine();
        for row in 0..3 {
            for col in 0..4 {
                let want = value["affine"][row][col].as_f64().unwrap();
                assert!((affine[row][col] - want).abs() < 1e-4, "{name} {affine:?} {want}");
            }
        }
    }
}

#[test]
fn a_volume_goes_back_to_the_grid_and_header_it_came_with() {
    for name in ["plain", "radiological", "tilted", "turned", "turned-tilted"] {
        let path = made(&format!("{name}.nii"));
        let scan = one(&path).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let back = dir.path().join("back.nii");
        write_nifti_i16(&back, &scan.volume, Some(&scan.frame)).unwrap();
        let (ours, nibabel) = (std::fs::read(&back).unwrap(), std::fs::read(&path).unwrap());
        assert_eq!(ours[352..], nibabel[352..], "{name}: voxels");
        assert_eq!(ours[40..56], nibabel[40..56], "{name}: size");
        for at in (76..92).step_by(4).chain((256..328).step_by(4)) {
            let f = |b: &[u8]| f32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
            assert!((f(&ours) - f(&nibabel)).abs() < 1e-4, "{name}: {} {} at {at}", f(&ours), f(&nibabel));
        }
    }
}

#[test]
fn gzip_is_the_same_each_time_and_on_any_thread_count() {
    let dir = tempfile::tempdir().unwrap();
    // Larger than one block, so that blocks are joined.
    let mut g = chest().geometry;
    g.size = [200, 200, 60];
    let data: Vec<u8> = (0..g.len()).map(|i| (i * i / 7919 % 3) as u8).collect();
    let mask = pleura_volume::Mask { geometry: g, data };
    let frame = InputFrame::nearest(mask.geometry.clone());
    let write = |name: &str, threads: usize| {
        let path = dir.path().join(name);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| write_nifti_u8(&path, &mask, Some(&frame)).unwrap());
        path
    };
    let (a, b) = (write("a.nii.gz", 1), write("b.nii.gz", 3));
    assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
    let scan = one(&a).unwrap();
    assert!(scan.volume.data.iter().zip(&mask.data).all(|(&a, &b)| a == i16::from(b)));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing half-written is left");
}

#[test]
fn a_header_that_promises_more_than_the_file_holds_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(made("plain.nii")).unwrap();
    for at in [42, 44, 46] {
        bytes[at..at + 2].copy_from_slice(&1200_i16.to_le_bytes());
    }
    let path = dir.path().join("huge.nii");
    std::fs::write(&path, &bytes).unwrap();
    assert!(refusal(&path, "huge.nii").contains("more than the file holds"));
    bytes[42..44].copy_from_slice(&32000_i16.to_le_bytes());
    bytes[44..46].copy_from_slice(&32000_i16.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    assert!(refusal(&path, "huge.nii").contains("no CT"));
    let zipped = dir.path().join("cut.nii.gz");
    let whole = std::fs::read(made("big-endian.nii.gz")).unwrap();
    std::fs::write(&zipped, &whole[..whole.len() - 60]).unwrap();
    assert!(refusal(&zipped, "cut.nii.gz").contains("ends before"));
}

#[test]
fn what_is_no_volume_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = std::fs::read(made("plain.nii")).unwrap();
        change(&mut bytes);
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let text = write("text.nii", &|b| *b = b"this is a text file".to_vec());
    assert!(refusal(&text, "text.nii").contains("not a NIfTI file"));
    let four = write("four.nii", &|b| (b[40], b[48]) = (4, 2));
    assert!(refusal(&four, "four.nii").contains("more than one volume"));
    let rgb = write("rgb.nii", &|b| b[70] = 128);
    assert!(refusal(&rgb, "rgb.nii").contains("data type 128"));
    let flat = write("flat.nii", &|b| b[280..296].fill(0));
    assert!(refusal(&flat, "flat.nii").contains("singular"));
    let skew = write("skew.nii", &|b| b[284..288].copy_from_slice(&0.3_f32.to_le_bytes()));
    assert!(refusal(&skew, "skew.nii").contains("right angles"));
    let short = write("short.nii", &|b| b.truncate(500));
    assert!(refusal(&short, "short.nii").contains("more than the file holds"));
    let unplaced = write("unplaced.nii", &|b| (b[252], b[254]) = (0, 0));
    assert!(codes(&one(&unplaced).unwrap()).contains(&"orientation-unknown"));
}

#[test]
fn limits_hold() {
    let search = pleura_formats::find_sources(&[made("plain.nii")], &Limits::default()).unwrap();
    let few = Limits { voxels: 100, ..Limits::default() };
    assert!(read(&search.sources[0], &few).unwrap_err().to_string().contains("limit of 100"));
}

#[test]
fn a_volume_of_another_size_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let frame = one(&made("plain.nii")).unwrap().frame;
    let path = dir.path().join("x.nii");
    assert!(write_nifti_i16(&path, &chest(), Some(&frame)).is_err());
    assert!(!path.exists());
}

#[test]
fn what_does_not_compress_comes_back() {
    // several blocks of 13 random bits a voxel
    let g = Geometry::axis_aligned([160, 160, 60], [0.0; 3], [2.0; 3]);
    let mut state = 1u64;
    let data = (0..160 * 160 * 60).map(|_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 40) % 8000) as i16 - 1024
    });
    let volume = Volume { data: data.collect(), geometry: g };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("noise.nii.gz");
    write_nifti_i16(&path, &volume, None).unwrap();
    assert!(one(&path).unwrap().volume.data == volume.data);
}

#[test]
fn headers_whose_scale_or_offset_is_no_number_are_refused() {
    // `scl_slope` at byte 112, `scl_inter` at 116, `vox_offset` at 108; nibabel refuses all of these too.
    let changed = |changes: &[(usize, f32)]| {
        let mut bytes = std::fs::read(made("plain.nii")).unwrap();
        changes.iter().for_each(|(at, v)| bytes[*at..*at + 4].copy_from_slice(&v.to_le_bytes()));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("changed.nii");
        std::fs::write(&path, bytes).unwrap();
        one(&path).map(|scan| scan.volume.data[0]).map_err(|e| e.to_string())
    };
    let plain = changed(&[]).unwrap();
    for intercept in [f32::NAN, f32::INFINITY] {
        assert!(changed(&[(112, 1.0), (116, intercept)]).unwrap_err().contains("scl_inter"));
        // Without a slope nothing is scaled.
        assert_eq!(changed(&[(112, 0.0), (116, intercept)]).unwrap(), plain);
    }
    assert!(changed(&[(108, -8.0)]).unwrap_err().contains("start at byte -8"));
}
