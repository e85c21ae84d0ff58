//! What a model file says of itself. Preprocessing is read from here, never repeated in code.

use crate::NetSpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Proposes candidate regions and marks infected voxels.
    Detector,
    /// Calls a patch by class.
    Classifier,
}

/// Clip HU to a window and scale it linearly to 0..1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputRecipe {
    /// Lower end of the window, HU; becomes 0.
    pub low_hu: f32,
    /// Upper end of the window, HU; becomes 1.
    pub high_hu: f32,
    /// HU put outside the lung mask; `None` leaves the scan as it is.
    pub outside_hu: Option<f32>,
    /// Voxels by which the lung mask is grown before `outside_hu` is put outside it.
    pub mask_margin: usize,
}

/// Cubic anchors of the proposal head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnchorSpec {
    /// Grid voxels per feature cell.
    pub stride: usize,
    /// Edges of the cubes, mm.
    pub edges_mm: Vec<f32>,
}

/// From head outputs to proposals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProposalRecipe {
    /// Anchors.
    pub anchors: AnchorSpec,
    /// Least objectness (after the sigmoid) of a proposal.
    pub score_threshold: f32,
    /// Proposals that overlap a better one by more than this IoU are dropped.
    pub nms_iou: f32,
    /// Most proposals a scan.
    pub max_proposals: usize,
    /// Least voxel-head probability (after the sigmoid) of an infected voxel.
    pub voxel_threshold: f32,
}

/// How patches are cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PatchRecipe {
    /// Edge of the patch in the axial plane, mm.
    pub edge_mm: f32,
    /// Edge of the patch in pixels.
    pub pixels: usize,
    /// Slices of a patch: 1 for the 2D form, more for a thin slab.
    pub slab: usize,
    /// Distance between the slices of a slab, mm.
    pub slab_step_mm: f32,
    /// Neighbour images lie at plus and minus max(slice spacing, this), mm.
    pub neighbour_mm: f32,
    /// Relative distance-from-edge is multiplied by this before it enters the network.
    pub distance_scale: f32,
}

/// How a scan is brought onto the detector's grid.
///
/// An interpolation that this program does not know is refused, so that a network is never fed
/// another way than it was trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// The mean weighted by overlap along axes where the grid is coarser than the scan, linear along
    /// the others. What files that do not name one were trained with.
    #[default]
    AreaMean,
}

/// Preprocessing of one role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "kebab-case")]
pub enum Preprocessing {
    /// Whole lungs on a grid of this spacing, then proposals.
    Detector {
        /// Spacing of the grid, mm (x, y, z).
        spacing_mm: [f64; 3],
        /// How the scan is sampled on it.
        #[serde(default)]
        interpolation: Interpolation,
        /// From HU to the input channel.
        input: InputRecipe,
        /// From outputs to proposals.
        proposals: ProposalRecipe,
    },
    /// Three patches a region.
    Classifier {
        /// From HU to the input channel.
        input: InputRecipe,
        /// How patches are cut.
        patch: PatchRecipe,
        /// Class names in output order; `irrelevant` is the one that is no infection.
        classes: Vec<String>,
        /// From patches to a calibrated case probability.
        calibration: Calibration,
    },
}

/// The calibrated profile (ours): temperature on the logits, a leaky noisy-or for infection of any type,
/// and the types' shares of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Logits are divided by this.
    pub temperature: f32,
    /// A region's probability of infection enters the noisy-or raised to this power (1 leaves it as it is).
    pub region_power: f32,
    /// Probability of an infection though no region says so.
    pub leak: f32,
    /// How much the regions' evidence counts when the types share the probability of infection; 0: not at
    /// all, 1: in full.
    pub type_weight: f32,
    /// How little regions add to each other there; 0: as if independent, 1: their mean counts.
    pub type_crowding: f32,
    /// Least probability of infection that makes a verdict of infection; below it down to `clear_below`:
    /// indeterminate.
    pub infected_from: f32,
    /// A probability of infection below this makes no-infection-found.
    pub clear_below: f32,
    /// The scans that all this was chosen on: what lies far beyond is indeterminate.
    pub scans: ScanRange,
}

/// What scans were met (ours).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScanRange {
    /// Longest edge of a voxel, mm: commonly the distance of slices.
    pub most_slice_mm: f32,
    /// Largest noise in soft tissue, HU.
    pub most_noise_hu: f32,
    /// Least and largest median HU of the lungs.
    pub lung_hu: [f32; 2],
}

/// Everything a model file says of itself; stored as JSON in the safetensors header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelManifest {
    /// Version of this format.
    pub format: u32,
    /// Name of the model.
    pub name: String,
    /// Version of the model.
    pub version: String,
    /// The graph.
    pub spec: NetSpec,
    /// What goes in and how outputs are read.
    pub preprocessing: Preprocessing,
    /// What it was trained on, in one sentence.
    pub trained_on: String,
    /// Version of the phantom generator, when it was trained on phantoms.
    pub generator: Option<String>,
    /// Anything else worth keeping: seeds, steps, date.
    #[serde(default)]
    pub notes: BTreeMap<String, String>,
}
