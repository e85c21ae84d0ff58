//! Real scans against pydicom, SimpleITK and nibabel (expected/make.py); skipped where they are
//! missing.

mod common;

use common::{codes, crc, expected, one, real};
use pleura_formats::{Limits, find_sources, inspect};

#[test]
fn transfer_syntaxes_give_the_pixels_that_pydicom_gives() {
    let Some(folder) = real("dicom-transfer-syntaxes") else { return };
    for (name, value) in expected("real.json")["syntaxes"].as_object().unwrap() {
        let path = folder.join(name);
        let scan = one(&path).unwrap();
        assert_eq!(scan.volume.size(), [512, 512, 1]);
        if name.contains("JPEGProcess1Transfer") || name.contains("JPEG2000Transfer") {
            // Lossy: decoders may differ by one step.
            assert!(codes(&scan).contains(&"lossy-compression"));
            continue;
        }
        assert_eq!(crc(&scan.volume.data), value.as_u64().unwrap(), "{name}");
        assert_eq!(codes(&scan), ["single-slice"], "{name}");
    }
}

#[test]
fn lossy_baseline_stays_near_the_original() {
    let Some(folder) = real("dicom-transfer-syntaxes") else { return };
    let plain = one(&folder.join("CTImage.dcm")).unwrap().volume;
    let lossy = folder.join("CTImage.dcm_JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50.dcm");
    let lossy = one(&lossy).unwrap().volume;
    let inside = || plain.data.iter().zip(&lossy.data).filter(|(p, _)| **p > -1024);
    let off: f64 = inside().map(|(a, b)| f64::from(a - b).abs()).sum();
    assert!(off / (inside().count() as f64) < 25.0, "{off}");
}

#[test]
fn every_file_of_the_collection_is_read() {
    let Some(folder) = real("dicom-transfer-syntaxes") else { return };
    let plain = one(&folder.join("CTImage.dcm")).unwrap().volume;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let scan = one(&path).unwrap();
        assert_eq!(scan.volume.geometry, plain.geometry, "{}", path.display());
        if !codes(&scan).contains(&"lossy-compression") {
            assert_eq!(scan.volume, plain, "{}", path.display());
        }
    }
}

#[test]
fn series_lie_where_simpleitk_puts_them_with_the_same_voxels() {
    for (path, value) in expected("real.json")["series"].as_object().unwrap() {
        let Some(folder) = real(path) else { return };
        let scan = one(&folder).unwrap();
        // The chest of 64 x 64 pixels is coarse.
        let expected: &[&str] = if path.contains("tiny-chest-64") { &["coarse-voxels"] } else { &[] };
        assert_eq!(codes(&scan), expected, "{path}");
        let numbers = |key: &str| {
            value[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>()
        };
        let g = &scan.volume.geometry;
        for a in 0..3 {
            assert_eq!(g.size[a] as f64, numbers("size")[a], "{path}");
            assert!((g.spacing_mm[a] - numbers("spacing")[a]).abs() < 1e-3, "{path}");
            assert!((g.origin_mm[a] - numbers("origin")[a]).abs() < 1e-3, "{path}");
        }
        assert_eq!(crc(&scan.volume.data), value["crc"].as_u64().unwrap(), "{path}");
    }
}

#[test]
fn a_missing_slice_is_filled_and_told() {
    let Some(folder) = real("dicom-odd/slice-missing/001") else { return };
    let scan = one(&folder).unwrap();
    assert_eq!((scan.volume.size(), codes(&scan)), ([512, 512, 5], vec!["slice-gap"]));
    let warning = &scan.warnings[0];
    assert_eq!(warning.slices, [3]);
    assert!(warning.message.contains("from 0: 3."), "{}", warning.message);
    let tilted = one(&real("dicom-odd/slice-missing/002").unwrap()).unwrap();
    assert_eq!(codes(&tilted), ["slice-gap", "gantry-tilt"]);
}

#[test]
fn a_derived_perfusion_map_is_refused() {
    let Some(folder) = real("dicom-odd/enhanced-multiframe-ct") else { return };
    let message = one(&folder).unwrap_err().to_string();
    assert!(message.contains("not Hounsfield"), "{message}");
}

#[test]
fn nifti_files_read_as_nibabel_reads_them() {
    for (name, value) in expected("real.json")["nifti"].as_object().unwrap() {
        let Some(path) = real(&format!("nifti/{name}")) else { return };
        let scan = one(&path).unwrap();
        assert_eq!(crc(&scan.volume.data), value["crc"].as_u64().unwrap(), "{name}");
    }
}

#[test]
fn a_folder_of_patients_gives_one_source_each() {
    let Some(folder) = real("ct") else { return };
    let search = find_sources(std::slice::from_ref(&folder), &Limits::default()).unwrap();
    let names: Vec<&str> = search.sources.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["cap-cap002", "covid-P002", "normal-normal001"]);
    assert!(search.refused.is_empty());
    let seen = inspect(&[folder], &Limits::default()).unwrap();
    assert!(seen.series.iter().all(|s| s.screened && s.plane == Some("axial")), "{seen:?}");
    assert!(!serde_json::to_string(&seen).unwrap().contains("PatientID"));
}

#[test]
fn a_folder_without_images_says_so() {
    let Some(folder) = real("lung-slices-with-masks") else { return };
    assert!(one(&folder).unwrap_err().to_string().contains("No CT was found"));
}
