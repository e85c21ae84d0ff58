//! Synthetic chest CTs with truth.
//!
//! [`render`] draws a case of a class: a body, its lungs with vessels and bronchi, lesions of the
//! class and findings that have nothing to do with infection, put through a scanner. The truth
//! comes with it: infected voxels, true lungs, regions. Nothing in it was taken from a patient.

mod body;
mod bones;
mod classes;
mod cohort;
mod fft;
mod fields;
mod findings;
mod lesion;
mod plan;
mod render;
mod rng;
mod save;
mod scan;
mod scanner;
mod slice;
mod tiles;
mod tissue;
mod trees;
mod truth;
mod tube;
mod types;

pub use cohort::{Cohort, CohortCase, CohortSpec, Count, Split};
pub use render::{Grid, RenderOptions, TextureFamily, render};
pub use save::{Error, NIFTI_FILE, TRUTH_FILE, Truth, load_truth, save_dicom, save_nifti, save_truth};
pub use truth::{MAX_EDGE_MM, MIN_VOLUME_ML, regions_of, truth_regions};
pub use types::{
    CaseLatents, Class, Latents, LesionForm, LesionKind, LesionLatents, Lobe, Phantom, TruthRegion,
};

/// Version of the generator: written into truth files and into models trained on it. Raised with
/// every change that moves a voxel.
pub const GENERATOR: &str = "pleura-phantom/2";

/// FNV-1a over the fingerprints of the phantoms that `tests/bytes.rs` pins: two builds with one hash draw
/// the same phantoms.
pub const GENERATOR_HASH: &str = "7d6e9b4e41eddb62";
