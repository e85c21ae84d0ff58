//! Network graphs, weights, anchors and the CPU executor.

mod manifest;
mod spec;

pub use manifest::{
    AnchorSpec, Calibration, InputRecipe, ModelManifest, PatchRecipe, Preprocessing, ProposalRecipe, Role,
};
pub use spec::{Layer, NetSpec, Op};
