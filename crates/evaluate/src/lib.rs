//! Metrics, tables and figures.

mod confusion;
mod curves;
mod interval;
mod predictions;

pub use confusion::{ClassScores, Confusion};
pub use curves::{Curve, write_curves};
pub use interval::{Interval, wilson};
pub use predictions::{Prediction, Truth, evaluate_cases, read_predictions, read_truth};

/// Why an evaluation could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// File concerned.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A table is not as it should be.
    #[error("{path}: {reason}")]
    Table {
        /// File concerned.
        path: String,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// A figure could not be drawn.
    #[error("{path}: the figure could not be drawn: {reason}")]
    Figure {
        /// File concerned.
        path: String,
        /// What the drawing library said.
        reason: String,
    },
}
