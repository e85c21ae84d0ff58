//! What the pipeline says of one scan.

use pleura_lungs::Lungs;
use pleura_volume::{Box3, Mask, VoxelBox};
use serde::{Deserialize, Serialize};

/// How region probabilities become a case probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// The paper's vote and plain noisy-or.
    Paper,
    /// One leaky noisy-or for any infection, which the types share, with thresholds from the model file.
    Calibrated,
}

/// One image patch of a region as the classifier saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Patch {
    /// Axial slice of the oriented grid, 0 most caudal.
    pub slice_index: usize,
    /// Relative distance-from-edge, 0 to 1, before normalisation (paper, "location-attention").
    pub distance_from_edge: f64,
    /// Index of the winning class.
    pub class: usize,
    /// Probability of the winning class.
    pub confidence: f64,
    /// Probability per class, in the model's class order.
    pub probabilities: Vec<f64>,
}

/// A candidate region and what its patches voted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// Box in LPS mm at the outer faces of `box_voxels`.
    pub box_mm: Box3,
    /// Box in voxels of the oriented grid.
    pub box_voxels: VoxelBox,
    /// Axial slice of the centre patch.
    pub slice_index: usize,
    /// True for the patient's right lung.
    pub right: bool,
    /// Objectness, 0 to 1.
    pub proposal_score: f64,
    /// Volume that the voxel head marks inside the box, within the lungs, whatever the vote, ml.
    pub volume_ml: f64,
    /// Mean HU of the lung voxels inside the box.
    pub mean_hu: f64,
    /// The centre image and its two neighbours (caudal, centre, cranial).
    pub patches: Vec<Patch>,
    /// Class after the vote.
    pub class: usize,
    /// Confidence after the vote.
    pub confidence: f64,
}

/// How probable one infection type is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Class index.
    pub class: usize,
    /// Probability that the scan holds this type.
    pub probability: f64,
    /// Indices into [`Case::regions`].
    pub regions: Vec<usize>,
}

/// What the scan is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Verdict {
    /// The infection type of this class index.
    Infection {
        /// Class index.
        class: usize,
        /// Probability of that type.
        probability: f64,
    },
    /// No region of an infection type is left, or they are too few and too weak.
    NoInfectionFound {
        /// See [`crate::no_infection`].
        probability: f64,
    },
    /// Analysable, but no answer can be given.
    Indeterminate,
    /// No lungs, or implausible ones.
    NotAnalysable,
}

/// One lung.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct SideFacts {
    /// Volume, ml.
    pub volume_ml: f64,
    /// Share of the lung that is infected ([`Case::infection`]), percent.
    pub involvement_pct: f64,
}

/// Both lungs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LungFacts {
    /// The patient's right lung.
    pub right: SideFacts,
    /// The patient's left lung.
    pub left: SideFacts,
    /// Infected volume below the consolidation threshold, ml.
    pub ground_glass_ml: f64,
    /// Infected volume at or above it, ml.
    pub consolidation_ml: f64,
}

/// Wall-clock seconds per stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct StageTimes {
    /// Finding the lungs.
    pub lungs: f64,
    /// Proposals and the voxel head.
    pub detect: f64,
    /// Patches and votes.
    pub classify: f64,
}

/// The answer for one scan.
#[derive(Debug, Clone)]
pub struct Case {
    /// Class names in the classifier's order, `irrelevant` among them.
    pub classes: Vec<String>,
    /// Profile that was used.
    pub profile: Profile,
    /// The lungs, on the oriented grid.
    pub lungs: Lungs,
    /// Infected voxels (1) within the lungs, in regions voted an infection type; on the oriented grid.
    pub infection: Mask,
    /// Volumes and shares.
    pub facts: LungFacts,
    /// Every proposal, the irrelevant ones too, best score first.
    pub regions: Vec<Region>,
    /// One per infection type.
    pub findings: Vec<Finding>,
    /// What the scan is called.
    pub verdict: Verdict,
    /// Plain sentences behind the verdict.
    pub reasons: Vec<String>,
    /// Seconds per stage.
    pub times: StageTimes,
}
