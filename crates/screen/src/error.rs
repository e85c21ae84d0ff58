//! Why a scan was not screened.

use pleura_nets::{NetsError, Role};
use pleura_volume::Cancelled;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a scan was not screened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The scan is no volume: the input is to be refused.
    #[error("screening needs a volume of at least {needed} slices, not {slices}")]
    TooFewSlices {
        /// Slices of the scan.
        slices: usize,
        /// Least slices.
        needed: usize,
    },
    /// The lungs span more than any chest: the spacing is wrong.
    #[error(
        "the lungs take up {cells} cells of the detector's grid, more than the {most} allowed; the voxel spacing is likely wrong"
    )]
    TooLarge {
        /// Cells the detector would need.
        cells: u128,
        /// Most cells.
        most: u128,
    },
    /// A model cannot be used for its role.
    #[error("the {} model `{name}` cannot be used: {reason}", role_name(*role))]
    Model {
        /// The role it was given.
        role: Role,
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A network could not be run.
    #[error(transparent)]
    Network(NetsError),
    /// The work was given up.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<NetsError> for Error {
    fn from(e: NetsError) -> Self {
        match e {
            NetsError::Cancelled(c) => Self::Cancelled(c),
            other => Self::Network(other),
        }
    }
}

/// The name of a role in reports and messages.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Detector => "detector",
        Role::Classifier => "classifier",
    }
}
