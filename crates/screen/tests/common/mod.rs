//! A plain chest and models of random weights.
#![allow(dead_code)]

use pleura_nets::specs::{location_attention, resnet18, vnet_ir_rpn};
use pleura_nets::{
    AnchorSpec, Calibration, FORMAT, InputRecipe, Interpolation, Model, ModelManifest, NetSpec, PatchRecipe,
    Preprocessing, ProposalRecipe, ScanRange, Weights,
};
use pleura_volume::{Geometry, Volume};
use std::collections::BTreeMap;

pub const CALIBRATION: Calibration = Calibration {
    temperature: 2.0,
    region_power: 1.5,
    leak: 0.01,
    type_weight: 0.5,
    type_crowding: 0.25,
    infected_from: 0.6,
    clear_below: 0.3,
    scans: ScanRange { most_slice_mm: 5.0, most_noise_hu: 40.0, lung_hu: [-900.0, -500.0] },
};

/// A water cylinder in air with two ellipsoids of lung, and a denser ball in the right one.
pub fn chest(with_lungs: bool) -> Volume<i16> {
    let geometry = Geometry::axis_aligned([128, 96, 70], [-160.0, -120.0, 30.0], [2.5, 2.5, 3.0]);
    let mut volume = Volume::filled(geometry.clone(), -1000i16);
    let [nx, ny, nz] = geometry.size;
    for z in 0..nz {
        for y in 0..ny {
            for x in 0..nx {
                let [px, py, pz] = geometry.to_lps([x as f64, y as f64, z as f64]);
                let pz = pz - 135.0;
                let inside = |c: [f64; 3], r: [f64; 3]| {
                    let d = [(px - c[0]) / r[0], (py - c[1]) / r[1], (pz - c[2]) / r[2]];
                    d.iter().map(|v| v * v).sum::<f64>() < 1.0
                };
                // A pattern in place of noise, the same on every machine.
                let grain = ((x * 7 + y * 13 + z * 29) % 41) as i16 - 20;
                let lung =
                    with_lungs && [-70.0, 70.0].iter().any(|&c| inside([c, 0.0, 0.0], [55.0, 75.0, 90.0]));
                let lesion = inside([-90.0, 30.0, -20.0], [15.0; 3]);
                let hu = match (px.hypot(py * 1.35) < 148.0, lung, lesion) {
                    (false, _, _) => continue,
                    (true, true, true) => -450,
                    (true, true, false) => -850,
                    (true, false, _) => 30,
                };
                let i = volume.offset([x, y, z]);
                volume.data[i] = hu + grain;
            }
        }
    }
    volume
}

fn model(name: &str, spec: NetSpec, preprocessing: Preprocessing, change: impl Fn(&mut Weights)) -> Model {
    let mut weights = Weights::init(&spec, 7).unwrap();
    change(&mut weights);
    let manifest = ModelManifest {
        format: FORMAT,
        name: name.into(),
        version: "0".into(),
        spec,
        preprocessing,
        trained_on: "Nothing.".into(),
        generator: None,
        notes: BTreeMap::new(),
    };
    Model::new(manifest, weights).unwrap()
}

fn input() -> InputRecipe {
    InputRecipe { low_hu: -1000.0, high_hu: 200.0, outside_hu: Some(40.0), mask_margin: 1 }
}

/// A detector that proposes up to 8 boxes, whatever their score; `change` alters its weights.
pub fn detector(change: impl Fn(&mut Weights)) -> Model {
    let proposals = ProposalRecipe {
        anchors: AnchorSpec { stride: 4, edges_mm: vec![20.0, 45.0] },
        score_threshold: 1e-5,
        nms_iou: 0.2,
        max_proposals: 8,
        voxel_threshold: 0.01,
    };
    let preprocessing = Preprocessing::Detector {
        spacing_mm: [5.0; 3],
        interpolation: Interpolation::AreaMean,
        input: input(),
        proposals,
    };
    model("random-detector", vnet_ir_rpn(&[8, 8, 16, 16], 2), preprocessing, change)
}

fn classifier_of(spec: NetSpec) -> Model {
    let preprocessing = Preprocessing::Classifier {
        input: input(),
        patch: PatchRecipe {
            edge_mm: 64.0,
            pixels: 64,
            slab: 1,
            slab_step_mm: 2.0,
            neighbour_mm: 2.5,
            distance_scale: 10.0,
        },
        classes: ["covid-19", "influenza-a", "irrelevant"].map(String::from).to_vec(),
        calibration: CALIBRATION,
    };
    model("random-classifier", spec, preprocessing, |_| {})
}

/// The classifier that takes the distance.
pub fn located() -> Model {
    classifier_of(location_attention(3, 1))
}

/// The one that does not.
pub fn plain() -> Model {
    classifier_of(resnet18(3, 1))
}
