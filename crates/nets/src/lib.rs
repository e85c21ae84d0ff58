//! Network graphs, weights, anchors and the CPU executor.
//!
//! A network is a [`NetSpec`]; [`specs`] makes the three of the paper. A [`Model`] is a spec with
//! its [`Weights`] and everything else its file says ([`ModelManifest`]). The [`Executor`] runs it.
//! Maps are dense arrays `[n, d, h, w, c]`, channels fastest; sizes of maps are written depth,
//! height, width, while voxel triples of `pleura_volume` are x, y, z.

pub mod boxes;
mod error;
mod exec;
mod fold;
mod input;
mod manifest;
mod model;
mod ops;
mod plan;
mod pointwise;
mod shape;
mod spec;
pub mod specs;
mod tiled;
mod weights;

pub use error::{NetsError, Result};
pub use exec::{Executor, Feed, Forward};
pub use manifest::{
    AnchorSpec, Calibration, InputRecipe, Interpolation, ModelManifest, PatchRecipe, Preprocessing,
    ProposalRecipe, Role, ScanRange,
};
pub use model::{FORMAT, Model, Precision};
pub use shape::{Shape, Source};
pub use spec::{Layer, NetSpec, Op};
pub use tiled::{Tiling, Wanted};
pub use weights::{Tensor, Weights};
