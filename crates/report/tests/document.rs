//! report.json and report.html of a case made by hand.
#![allow(clippy::unwrap_used)]

mod common;

use common::{case, meta, not_analysable, scan, timings};
use pleura_report::{Document, Meta, Pictures, render, to_json, to_json_line};
use pleura_screen::Profile;
use serde_json::Value;

fn document() -> Document {
    Document::new(&scan(), &case(), &meta(), timings())
}

fn stand_ins(d: &Document) -> Pictures {
    Pictures { overview: b"overview".to_vec(), regions: vec![b"region".to_vec(); d.regions.len()] }
}

#[test]
fn json_is_as_reviewed() {
    insta::assert_snapshot!(String::from_utf8(to_json(&document()).unwrap()).unwrap());
}

#[test]
fn page_is_as_reviewed() {
    let d = document();
    insta::assert_snapshot!(render(&d, &stand_ins(&d)).unwrap());
}

#[test]
fn page_of_a_scan_without_lungs_is_as_reviewed() {
    let d = Document::new(&scan(), &not_analysable(), &meta(), timings());
    let page = render(&d, &stand_ins(&d)).unwrap();
    insta::assert_snapshot!(page.split("<main>").nth(1).unwrap());
}

/// Every name of the contract, `[]` standing for the first entry of a list.
const CONTRACT: &str = "schema software.name software.version intended_use profile
    models[].role models[].name models[].version models[].sha256 models[].trained_on
    input.fingerprint input.format input.slices input.size_voxels[] input.spacing_mm[]
    input.orientation.axes[] input.orientation.flips[] input.orientation.affine[]
    input.warnings[].code input.warnings[].message input.warnings[].slices[]
    input.study_instance_uid input.series_instance_uid input.frame_of_reference_uid input.sop_instance_uids[]
    lungs.status lungs.volume_ml lungs.right.volume_ml lungs.right.involvement_pct
    lungs.left.volume_ml lungs.left.involvement_pct lungs.ground_glass_ml lungs.consolidation_ml
    regions[].id regions[].box_mm.min[] regions[].box_mm.max[] regions[].box_voxels.min[]
    regions[].box_voxels.max[] regions[].center_mm[] regions[].slice_index regions[].side
    regions[].proposal_score regions[].volume_ml regions[].mean_hu
    regions[].patches[].slice_index regions[].patches[].distance_from_edge regions[].patches[].type
    regions[].patches[].confidence regions[].patches[].probabilities.covid-19
    regions[].patches[].probabilities.influenza-a regions[].patches[].probabilities.irrelevant
    regions[].type regions[].confidence findings[].type findings[].probability findings[].regions[]
    verdict.type verdict.probability verdict.reasons[]
    timings_s.read timings_s.lungs timings_s.detect timings_s.classify timings_s.report timings_s.total";

#[test]
fn every_name_of_the_contract_is_there() {
    let json: Value = serde_json::from_slice(&to_json(&document()).unwrap()).unwrap();
    for path in CONTRACT.split_whitespace() {
        let pointer = format!("/{}", path.replace("[]", "/0").replace('.', "/"));
        assert!(json.pointer(&pointer).is_some(), "{path} is missing");
    }
    assert_eq!(json["schema"], "pleura.report/1");
    assert_eq!(json["profile"], "calibrated");
    assert_eq!(json["regions"][0]["side"], "right");
    assert_eq!(json["regions"][1]["side"], "left");
    assert_eq!(json["regions"][0]["patches"].as_array().unwrap().len(), 3);
    // 1-based ids; voxel (10, 16, 4) starts half a voxel before its centre.
    assert_eq!(json["findings"][0]["regions"][0], 1);
    assert_eq!(json["regions"][0]["box_mm"]["min"], serde_json::json!([-82.5, -22.5, -22.75]));
}

#[test]
fn a_scan_without_lungs_has_no_probability() {
    let d = Document::new(&scan(), &not_analysable(), &meta(), timings());
    let json: Value = serde_json::from_slice(&to_json(&d).unwrap()).unwrap();
    assert_eq!(json["verdict"]["type"], "not-analysable");
    assert!(json["verdict"]["probability"].is_null());
    assert_eq!(json["lungs"]["status"], "not-found");
}

#[test]
fn a_report_reads_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let bytes = to_json(&document()).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(to_json(&Document::read(&path).unwrap()).unwrap(), bytes);
    std::fs::write(&path, String::from_utf8(bytes).unwrap().replace("report/1", "report/9")).unwrap();
    assert!(Document::read(&path).unwrap_err().to_string().contains("it says pleura.report/9"));
    std::fs::write(&path, "{}").unwrap();
    assert!(Document::read(&path).is_err());
}

#[test]
fn the_patient_is_named_only_on_request() {
    let named = Document::new(&scan(), &case(), &Meta { with_patient: true, ..meta() }, timings());
    for (d, wanted) in [(document(), false), (named, true)] {
        let json = String::from_utf8(to_json(&d).unwrap()).unwrap();
        let page = render(&d, &stand_ins(&d)).unwrap();
        assert_eq!((json.contains("Doe^Jane"), page.contains("Doe^Jane")), (wanted, wanted));
        // Folders are named after patients.
        assert_eq!(json.contains("case <1>"), wanted);
        assert_eq!(page.contains("1&#62;: COVID-19"), wanted);
        assert_eq!(page.contains("<h1>Chest CT (DICOM series, 12 slices)</h1>"), !wanted);
    }
}

#[test]
fn one_line_of_json_is_the_same_document() {
    let line = to_json_line(&document()).unwrap();
    assert!(!line.contains('\n') && !line.contains("-0.0,"));
    let values =
        [line.as_bytes(), &to_json(&document()).unwrap()].map(|b| serde_json::from_slice(b).unwrap());
    let [one, many]: [Value; 2] = values;
    assert_eq!(one, many);
}

#[test]
fn a_report_answers_only_for_the_same_input_models_profile_and_wishes() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let answers = |meta: &Meta| document().answers(meta, Profile::Calibrated, dir);
    assert!(answers(&meta()));
    assert!(answers(&Meta { name: "elsewhere".into(), read_s: 9.0, ..meta() }));
    assert!(!document().answers(&meta(), Profile::Paper, dir));
    assert!(!answers(&Meta { fingerprint: "0".repeat(64), ..meta() }));
    assert!(!answers(&Meta { with_patient: true, ..meta() }));
    let mut other = meta();
    other.models[1].sha256 = "0".repeat(64);
    assert!(!answers(&other));
    other = meta();
    other.software.version = "9.0.0".into();
    assert!(!answers(&other));
    // Masks have to be there when they are asked for.
    let masks = Meta { masks: true, ..meta() };
    std::fs::write(dir.join("lungs.nii.gz"), "mask").unwrap();
    assert!(!answers(&masks));
    std::fs::write(dir.join("infection.nii.gz"), "mask").unwrap();
    assert!(answers(&masks) && answers(&meta()));
}

#[test]
fn the_page_escapes_and_loads_nothing_from_outside() {
    let d = document();
    let page = render(&d, &stand_ins(&d)).unwrap();
    assert!(!page.contains("<b>between") && !page.contains("case <1>"));
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"));
    for words in pleura_report::NOTICE {
        assert!(page.contains(words), "{words}");
    }
}
