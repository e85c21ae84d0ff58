//! Data sets, augmentation and training loops.
//!
//! [`train_detector`] and [`train_classifier`] teach the two networks on phantoms, validate them by
//! case, choose their thresholds and calibration, and write model files. Both write a checkpoint as
//! they go and, called again with the same configuration and folder, go on exactly where they were.

mod augment;
mod batches;
mod candidates;
mod case_tables;
mod checkpoint;
mod classifier;
mod cohort;
mod data;
mod detector;
mod kept;
mod losses;
mod manifest;
mod measure;
mod optimizer;
mod pool;
mod reproduce;
mod results;
mod rng;
mod score_classifier;
mod score_detector;
mod screened;
mod seeds;
mod shortcut;
mod stages;
mod start;
mod trainer;
mod truth;
mod widen;

pub use augment::AugmentConfig;
pub use checkpoint::weights_sha256;
pub use classifier::{ClassifierConfig, ClassifierNetwork, train_classifier};
pub use cohort::CohortRecipe;
pub use detector::{DetectorConfig, train_detector};
pub use measure::{MeasureConfig, measure};
pub use optimizer::AdamWConfig;
pub use reproduce::{ReproduceConfig, Reproduced, reproduce};
pub use results::{NetworkResults, Results};
pub use seeds::{SeedComparison, Training};
pub use shortcut::{ShortcutConfig, ShortcutResults, Shown, shortcut};

use pleura_nets::{Model, ModelManifest, Precision};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a training could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting makes no sense.
    #[error("training configuration: {0}")]
    Config(String),
    /// The file system said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// File concerned.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The checkpoint cannot be understood.
    #[error("{}: the checkpoint cannot be used: {reason}", path.display())]
    Checkpoint {
        /// File concerned.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The checkpoint belongs to another configuration.
    #[error(
        "{}: the checkpoint was made with other settings ({difference}); use those, or another output folder",
        path.display()
    )]
    OtherConfig {
        /// File concerned.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// A file of candidate regions cannot be understood.
    #[error("{}: the candidate regions cannot be used: {reason}; delete the file to have them cut anew", path.display())]
    Candidates {
        /// File concerned.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The candidate regions of a file were cut otherwise.
    #[error(
        "{}: these candidate regions were cut otherwise ({difference}); delete the file, or name another",
        path.display()
    )]
    OtherCandidates {
        /// File concerned.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// The loss is not a number any more.
    #[error("training diverged at step {0}: the loss is not finite; lower the learning rate")]
    Diverged(u64),
    /// The work was given up; a checkpoint was written if training had begun.
    #[error("cancelled")]
    Cancelled,
    /// A network was refused.
    #[error(transparent)]
    Net(#[from] pleura_nets::NetsError),
    /// A network could not be trained.
    #[error(transparent)]
    Train(#[from] pleura_nets_burn::Error),
    /// A figure or table could not be written.
    #[error(transparent)]
    Evaluate(#[from] pleura_evaluate::Error),
    /// Another stage failed.
    #[error("{0}")]
    Stage(String),
}

/// Writes what a training ended with: the model file `name`, and its figures as `metrics.json`.
fn deliver(
    state: checkpoint::State,
    manifest: ModelManifest,
    metrics: BTreeMap<String, f64>,
    out_dir: &Path,
    name: &str,
) -> Result<Summary> {
    let weights_sha256 = weights_sha256(&state.weights);
    let model = out_dir.join(name);
    let model_sha256 = Model::new(manifest, state.weights)?.save(&model, Precision::F16)?;
    let summary = Summary { steps: state.step, weights_sha256, model, model_sha256, metrics };
    let text = serde_json::to_string_pretty(&summary).map_err(|e| Error::Stage(e.to_string()))?;
    checkpoint::write_whole(&out_dir.join("metrics.json"), text.as_bytes())?;
    Ok(summary)
}

/// What a training ended with.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Steps made.
    pub steps: u64,
    /// SHA-256 over the trained weights in single precision.
    pub weights_sha256: String,
    /// The model file.
    pub model: PathBuf,
    /// SHA-256 of the model file.
    pub model_sha256: String,
    /// Figures on the validation cases, by name.
    pub metrics: BTreeMap<String, f64>,
}
