//! The content of report.json, schema `pleura.report/1`.

use crate::files::MASKS;
use crate::{Error, Result};
use pleura_formats::{Scan, SourceFormat, Warning};
use pleura_screen::{Case, LungStatus, Profile, Region, Verdict};
use pleura_volume::{Box3, VoxelBox};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Name and version of the schema.
pub const SCHEMA: &str = "pleura.report/1";

/// Verdict of a scan without infection.
pub const NO_INFECTION: &str = "no-infection-found";
/// Verdict on a scan whose lungs were not looked at.
pub const NOT_ANALYSABLE: &str = "not-analysable";

/// What reports are for.
pub const INTENDED_USE: &str = "research";

/// What every report says of itself.
pub const NOTICE: [&str; 3] = [
    "For research use only; not for diagnosis.",
    "The types were learned from synthetic data and are not validated on patients.",
    "A negative result does not exclude disease: faint foci are missed.",
];

/// Program that wrote the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Software {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
}

/// A model that had a say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// `detector` or `classifier`.
    pub role: String,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Hash of tensors and manifest, hexadecimal.
    pub sha256: String,
    /// What it was trained on.
    pub trained_on: String,
}

/// How the oriented grid lies in the patient and in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Orientation {
    /// Stored axis (0 = column, 1 = row, 2 = slice) behind each oriented axis x, y, z.
    pub axes: [usize; 3],
    /// Whether the oriented axis runs against the stored one.
    pub flips: [bool; 3],
    /// Rows of the matrix from `[x, y, z, 1]` in voxels of the oriented grid to LPS mm.
    pub affine: [[f64; 4]; 4],
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Name of the input as the user gave it, only on request: folders are often named after the
    /// patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Tells this input from others, whatever folder it lies in; see [`crate::fingerprint()`].
    pub fingerprint: String,
    /// File format.
    pub format: SourceFormat,
    /// Axial slices.
    pub slices: usize,
    /// Voxels along x, y, z of the oriented grid.
    pub size_voxels: [usize; 3],
    /// Distance of voxel centres along x, y, z, mm.
    pub spacing_mm: [f64; 3],
    /// Orientation.
    pub orientation: Orientation,
    /// What the user should know of the input.
    pub warnings: Vec<Warning>,
    /// DICOM study.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study_instance_uid: Option<String>,
    /// DICOM series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series_instance_uid: Option<String>,
    /// DICOM frame of reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_of_reference_uid: Option<String>,
    /// DICOM image of each slice, from slice 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sop_instance_uids: Vec<String>,
    /// Patient's name and id, only on request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
}

/// One lung.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LungSide {
    /// Volume, ml.
    pub volume_ml: f64,
    /// Infected share, percent.
    pub involvement_pct: f64,
}

/// Both lungs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LungsPart {
    /// How far the mask can be trusted.
    pub status: LungStatus,
    /// Volume of both, ml.
    pub volume_ml: f64,
    /// The patient's right lung.
    pub right: LungSide,
    /// The patient's left lung.
    pub left: LungSide,
    /// Infected, less dense than consolidation, ml.
    pub ground_glass_ml: f64,
    /// Infected and consolidated, ml.
    pub consolidation_ml: f64,
}

impl LungsPart {
    /// Infected share of both lungs together, percent; 0 without lungs.
    pub fn involvement_pct(&self) -> f64 {
        let infected = self.right.volume_ml * self.right.involvement_pct
            + self.left.volume_ml * self.left.involvement_pct;
        let volume = self.right.volume_ml + self.left.volume_ml;
        if volume > 0.0 { infected / volume } else { 0.0 }
    }
}

/// The patient's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The patient's right.
    Right,
    /// The patient's left.
    Left,
}

/// A patch of a region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PatchPart {
    /// Axial slice of the oriented grid.
    pub slice_index: usize,
    /// Relative distance-from-edge.
    pub distance_from_edge: f64,
    /// Most probable class.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its probability.
    pub confidence: f64,
    /// Probability by class.
    pub probabilities: BTreeMap<String, f64>,
}

/// A candidate region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegionPart {
    /// Number from 1, best proposal first.
    pub id: usize,
    /// Box in LPS mm.
    pub box_mm: Box3,
    /// Box in voxels of the oriented grid.
    pub box_voxels: VoxelBox,
    /// Centre of the box, LPS mm.
    pub center_mm: [f64; 3],
    /// Axial slice of the centre patch.
    pub slice_index: usize,
    /// Which lung.
    pub side: Side,
    /// Objectness, 0 to 1.
    pub proposal_score: f64,
    /// Volume that the detector marks inside the box, whatever the vote, ml.
    pub volume_ml: f64,
    /// Mean HU of the lung inside the box.
    pub mean_hu: f64,
    /// The three patches, caudal first.
    pub patches: Vec<PatchPart>,
    /// Class after the vote.
    #[serde(rename = "type")]
    pub kind: String,
    /// Confidence after the vote.
    pub confidence: f64,
}

/// How probable one infection type is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingPart {
    /// Infection type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Probability that the scan holds it.
    pub probability: f64,
    /// Ids of its regions.
    pub regions: Vec<usize>,
}

/// What the scan is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerdictPart {
    /// An infection type, `no-infection-found`, `indeterminate` or `not-analysable`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Probability; none for indeterminate and not-analysable.
    pub probability: Option<f64>,
    /// Plain sentences.
    pub reasons: Vec<String>,
}

/// Wall-clock seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Reading the input.
    pub read: f64,
    /// Finding the lungs.
    pub lungs: f64,
    /// Proposals and the voxel head.
    pub detect: f64,
    /// Patches and votes.
    pub classify: f64,
    /// Pictures and page.
    pub report: f64,
    /// All of it.
    pub total: f64,
}

/// The whole of report.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Program that wrote it.
    pub software: Software,
    /// Always [`INTENDED_USE`].
    pub intended_use: String,
    /// Always [`NOTICE`].
    pub notice: Vec<String>,
    /// Rule from regions to the case.
    pub profile: Profile,
    /// Models that had a say.
    pub models: Vec<ModelInfo>,
    /// What was read.
    pub input: Input,
    /// The lungs.
    pub lungs: LungsPart,
    /// Every proposal, the irrelevant ones too, best score first.
    pub regions: Vec<RegionPart>,
    /// One per infection type.
    pub findings: Vec<FindingPart>,
    /// What the scan is called.
    pub verdict: VerdictPart,
    /// Seconds by stage: the one part that differs between two runs.
    pub timings_s: Timings,
}

/// What a report says beyond scan and case.
#[derive(Debug, Clone, PartialEq)]
pub struct Meta {
    /// Name of the input as the user gave it.
    pub name: String,
    /// Tells the input from others; see [`crate::fingerprint()`].
    pub fingerprint: String,
    /// Program that writes the report.
    pub software: Software,
    /// Models that had a say.
    pub models: Vec<ModelInfo>,
    /// Seconds spent on reading the input.
    pub read_s: f64,
    /// Whether the patient's name and id and the name of the input are reported.
    pub with_patient: bool,
    /// Whether the masks are written beside the report.
    pub masks: bool,
}

impl Document {
    /// Collects what is said of one scan.
    pub fn new(scan: &Scan, case: &Case, meta: &Meta, timings_s: Timings) -> Self {
        let (right, left) = (case.facts.right, case.facts.left);
        let side = |s: pleura_screen::SideFacts| LungSide {
            volume_ml: s.volume_ml,
            involvement_pct: s.involvement_pct,
        };
        Self {
            schema: SCHEMA.into(),
            software: meta.software.clone(),
            intended_use: INTENDED_USE.into(),
            notice: NOTICE.map(String::from).to_vec(),
            profile: case.profile,
            models: meta.models.clone(),
            input: input(scan, meta),
            lungs: LungsPart {
                status: case.lungs.status,
                volume_ml: right.volume_ml + left.volume_ml,
                right: side(right),
                left: side(left),
                ground_glass_ml: case.facts.ground_glass_ml,
                consolidation_ml: case.facts.consolidation_ml,
            },
            regions: case.regions.iter().enumerate().map(|(i, r)| region(i + 1, r, &case.classes)).collect(),
            findings: findings(case),
            verdict: verdict(case),
            timings_s,
        }
    }

    /// Reads a report.json.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::NotAReport`] when it is no report of
    /// this schema.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let refuse = |reason: String| Error::NotAReport { path: path.to_owned(), schema: SCHEMA, reason };
        let document: Self = serde_json::from_slice(&bytes).map_err(|e| refuse(e.to_string()))?;
        if document.schema != SCHEMA {
            return Err(refuse(format!("it says {}", document.schema)));
        }
        Ok(document)
    }

    /// Whether this report, found in `dir`, is what a new run with this `meta` and `profile` would
    /// write there: the same input, program and models, as much of the patient, and the masks
    /// beside it when they are asked for.
    pub fn answers(&self, meta: &Meta, profile: Profile, dir: &Path) -> bool {
        self.input.fingerprint == meta.fingerprint
            && self.software == meta.software
            && self.models == meta.models
            && self.profile == profile
            && self.input.name.is_some() == meta.with_patient
            && (!meta.masks || MASKS.iter().all(|m| dir.join(m).is_file()))
    }
}

fn input(scan: &Scan, meta: &Meta) -> Input {
    let geometry = &scan.volume.geometry;
    let facts = scan.facts.clone();
    Input {
        name: meta.with_patient.then(|| meta.name.clone()),
        fingerprint: meta.fingerprint.clone(),
        format: scan.format,
        slices: geometry.size[2],
        size_voxels: geometry.size,
        spacing_mm: geometry.spacing_mm,
        orientation: Orientation {
            axes: scan.frame.axes,
            flips: scan.frame.flips,
            affine: geometry.affine(),
        },
        warnings: scan.warnings.clone(),
        study_instance_uid: facts.study_instance_uid,
        series_instance_uid: facts.series_instance_uid,
        frame_of_reference_uid: facts.frame_of_reference_uid,
        sop_instance_uids: scan.frame.sop_instance_uids.clone(),
        patient: facts.patient.filter(|_| meta.with_patient),
    }
}

fn region(id: usize, r: &Region, classes: &[String]) -> RegionPart {
    let patches = r.patches.iter().map(|p| PatchPart {
        slice_index: p.slice_index,
        distance_from_edge: p.distance_from_edge,
        kind: class_name(classes, p.class),
        confidence: p.confidence,
        probabilities: classes.iter().cloned().zip(p.probabilities.iter().copied()).collect(),
    });
    RegionPart {
        id,
        box_mm: r.box_mm,
        box_voxels: r.box_voxels,
        center_mm: r.box_mm.center(),
        slice_index: r.slice_index,
        side: if r.right { Side::Right } else { Side::Left },
        proposal_score: r.proposal_score,
        volume_ml: r.volume_ml,
        mean_hu: r.mean_hu,
        patches: patches.collect(),
        kind: class_name(classes, r.class),
        confidence: r.confidence,
    }
}

fn findings(case: &Case) -> Vec<FindingPart> {
    let one = |f: &pleura_screen::Finding| FindingPart {
        kind: class_name(&case.classes, f.class),
        probability: f.probability,
        regions: f.regions.iter().map(|r| r + 1).collect(),
    };
    case.findings.iter().map(one).collect()
}

fn verdict(case: &Case) -> VerdictPart {
    let (kind, probability) = match case.verdict {
        Verdict::Infection { class, probability } => (class_name(&case.classes, class), Some(probability)),
        Verdict::NoInfectionFound { probability } => (NO_INFECTION.into(), Some(probability)),
        Verdict::Indeterminate => ("indeterminate".into(), None),
        Verdict::NotAnalysable => (NOT_ANALYSABLE.into(), None),
    };
    VerdictPart { kind, probability, reasons: case.reasons.clone() }
}

fn class_name(classes: &[String], class: usize) -> String {
    classes.get(class).cloned().unwrap_or_else(|| "unknown".into())
}
