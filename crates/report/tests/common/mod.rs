//! A scan and a case made by hand.
#![allow(dead_code)]

use pleura_formats::{InputFrame, Scan, SeriesFacts, SourceFormat, Warning};
use pleura_report::{Meta, ModelInfo, Software, Timings};
use pleura_screen::{
    Case, Finding, LungFacts, LungStatus, Lungs, Patch, Profile, Region, SideFacts, StageTimes, Verdict,
};
use pleura_volume::{Geometry, Mask, Volume, VoxelBox};

/// 52 x 40 x 12 voxels of 5 mm: drawn whole, ten pixels a voxel.
pub fn geometry() -> Geometry {
    Geometry::axis_aligned([52, 40, 12], [-130.0, -100.0, -40.25], [5.0; 3])
}

/// Lungs reach from x 4 to 23 (right) and 28 to 47 (left), y 4 to 35, all but the outer slices.
pub fn lungs() -> Mask {
    let mut mask = Mask::filled(geometry(), 0);
    for z in 1..11 {
        for y in 4..36 {
            for (x, label) in [(4, 1), (28, 2)] {
                let i = mask.offset([x, y, z]);
                mask.data[i..i + 20].fill(label);
            }
        }
    }
    mask
}

/// Air in the lungs, water around, and a bright block at x 10 to 13, y 16 to 19 in slice 5 only.
pub fn scan() -> Scan {
    let mut volume: Volume<i16> = lungs().map(|l| if l == 0 { 0 } else { -850 });
    for y in 16..20 {
        let i = volume.offset([10, y, 5]);
        volume.data[i..i + 4].fill(100);
    }
    let frame = InputFrame {
        axes: [0, 1, 2],
        flips: [false, false, true],
        stored: Geometry { axes: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]], ..geometry() },
        sop_instance_uids: (0..12).map(|i| format!("1.2.3.{i}")).collect(),
    };
    let facts = SeriesFacts {
        study_instance_uid: Some("1.2.3".into()),
        series_instance_uid: Some("1.2.3.4".into()),
        frame_of_reference_uid: Some("1.2.3.5".into()),
        patient: Some("Doe^Jane 4711".into()),
        ..SeriesFacts::default()
    };
    let warnings = vec![
        Warning {
            code: "slice-gap".into(),
            message: "A slice is missing <b>between</b> 3 & 4.".into(),
            slices: vec![3, 4],
        },
        Warning { code: "gantry-tilt".into(), message: "The gantry was tilted.".into(), slices: vec![] },
    ];
    Scan { volume, frame, facts, format: SourceFormat::Dicom, warnings }
}

fn region(min: [usize; 3], max: [usize; 3], slice_index: usize, class: usize, confidence: f64) -> Region {
    let box_voxels = VoxelBox { min, max };
    let rest = (1.0 - confidence) / 2.0;
    let probabilities: Vec<f64> = (0..3).map(|c| if c == class { confidence } else { rest }).collect();
    let patch = |slice_index: usize, distance_from_edge: f64| Patch {
        slice_index,
        distance_from_edge,
        class,
        confidence,
        probabilities: probabilities.clone(),
    };
    Region {
        box_mm: geometry().box_mm(&box_voxels),
        box_voxels,
        slice_index,
        right: min[0] < 26,
        proposal_score: 0.8765432,
        volume_ml: 1.0 / 3.0,
        mean_hu: -712.34567,
        patches: vec![
            patch(slice_index - 1, 0.0123456),
            patch(slice_index, 0.1),
            patch(slice_index + 1, 0.0),
        ],
        class,
        confidence,
    }
}

/// The bright block as COVID-19, a second region in the left lung as irrelevant.
pub fn case() -> Case {
    let mut infection = Mask::filled(geometry(), 0);
    for y in 16..20 {
        let i = infection.offset([10, y, 5]);
        infection.data[i..i + 4].fill(1);
    }
    Case {
        classes: ["covid-19", "influenza-a", "irrelevant"].map(String::from).to_vec(),
        profile: Profile::Calibrated,
        lungs: Lungs { mask: lungs(), status: LungStatus::Ok, reasons: vec![], implausible: vec![] },
        infection,
        facts: LungFacts {
            right: SideFacts { volume_ml: 800.0, involvement_pct: 0.25 },
            left: SideFacts { volume_ml: 800.0, involvement_pct: 0.0 },
            ground_glass_ml: 0.0,
            consolidation_ml: 2.0,
        },
        regions: vec![
            region([10, 16, 4], [14, 20, 7], 5, 0, 0.912345),
            region([30, 6, 2], [36, 12, 9], 6, 2, 0.7),
        ],
        findings: vec![
            Finding { class: 0, probability: 0.912345, regions: vec![0] },
            Finding { class: 1, probability: 0.012, regions: vec![] },
        ],
        verdict: Verdict::Infection { class: 0, probability: 0.912345 },
        reasons: vec!["1 region was voted covid-19.".into()],
        times: StageTimes { lungs: 0.5, detect: 2.0, classify: 0.25 },
    }
}

/// The same scan without lungs.
pub fn not_analysable() -> Case {
    let empty = Mask::filled(geometry(), 0);
    let reasons = vec!["No lungs were found in the scan.".to_owned()];
    Case {
        lungs: Lungs {
            mask: empty.clone(),
            status: LungStatus::NotFound,
            reasons: reasons.clone(),
            implausible: vec![],
        },
        infection: empty,
        facts: LungFacts::default(),
        regions: vec![],
        findings: vec![],
        verdict: Verdict::NotAnalysable,
        reasons,
        ..case()
    }
}

pub fn meta() -> Meta {
    let model = |role: &str, trained_on: &str| ModelInfo {
        role: role.into(),
        name: format!("test-{role}"),
        version: "1".into(),
        sha256: "0123456789abcdef".repeat(4),
        trained_on: trained_on.into(),
    };
    Meta {
        name: "case <1>".into(),
        fingerprint: "fedcba9876543210".repeat(4),
        software: Software { name: "pleura".into(), version: "0.0.0".into() },
        models: vec![model("detector", "Nothing."), model("classifier", "Nothing either.")],
        read_s: 0.125,
        with_patient: false,
        masks: false,
    }
}

pub fn timings() -> Timings {
    Timings { read: 0.125, lungs: 0.5, detect: 2.0, classify: 0.25, report: 0.1, total: 2.975 }
}
