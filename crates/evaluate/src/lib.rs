//! Metrics, tables and figures, as pure functions on plain data.

mod bootstrap;
mod calibration;
mod cases;
mod compare;
mod confusion;
mod curves;
mod figures;
mod froc;
mod interval;
mod involvement;
mod leakage;
mod predictions;
mod rank;
mod regions;
mod seeds;
mod strata;
mod table;

pub use bootstrap::{Estimate, RESAMPLES, bootstrap};
pub use calibration::{Bin, brier, calibration_error, reliability};
pub use cases::{BINS, CaseFigures, CaseOutcome, Comparison, Probabilities, compare};
pub use compare::{DeLong, McNemar, delong, mcnemar};
pub use confusion::{ClassScores, Confusion};
pub use curves::{Curve, write_curves};
pub use figures::{Figure, Line, write_figure, write_froc, write_probabilities};
pub use froc::{FALSE_REGIONS, Froc, FrocScan, froc, is_hit};
pub use interval::{Interval, wilson};
pub use involvement::{Involved, Involvement};
pub use leakage::{Member, check_leakage};
pub use predictions::{
    FACTS, Joined, NO_INFECTION, NO_INFECTION_COLUMN, Prediction, Truth, join, read_predictions, read_truth,
};
pub use rank::{Roc, auc, roc};
pub use regions::{LARGE_MM, LEAST_ML, TrueRegion, case_facts, free_response};
pub use seeds::mean_f1_difference;
pub use strata::{Stratum, strata};
pub use table::{Answers, ClassFigures, Table};

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
    /// Tables do not fit together.
    #[error("{0}")]
    Cases(String),
    /// One case is learned from and tested on.
    #[error(
        "the cases {} ({}) and {} ({}) have one {what}: what was learned from cannot be tested on",
        cases[0], splits[0], cases[1], splits[1]
    )]
    Leakage {
        /// The two cases.
        cases: [String; 2],
        /// The sets they belong to.
        splits: [String; 2],
        /// What they share.
        what: String,
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
