//! What can go wrong with a network.

use pleura_volume::Cancelled;
use std::path::PathBuf;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, NetsError>;

/// Why a network, its weights, its file or its input was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetsError {
    /// The graph makes no sense.
    #[error("network `{net}`, layer `{layer}`: {what}")]
    Graph {
        /// Name of the network.
        net: String,
        /// Name of the layer, or of what is missing.
        layer: String,
        /// What is wrong with it.
        what: String,
    },
    /// A tensor is missing, surplus, of the wrong shape or holds a value that is not finite.
    #[error("tensor `{name}`: {what}")]
    Tensor {
        /// Name of the tensor.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// The bytes are no model file of ours.
    #[error("not a usable model file: {0}")]
    Format(String),
    /// What was fed in does not fit.
    #[error("network input: {0}")]
    Input(String),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A model file was refused.
    #[error("{}: {source}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<NetsError>,
    },
    /// The work was given up.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl NetsError {
    pub(crate) fn tensor(name: &str, what: impl Into<String>) -> Self {
        Self::Tensor { name: name.into(), what: what.into() }
    }
}
