//! Why a report could not be written or read.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a report could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or folder concerned.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is no report of this schema.
    #[error("{}: not a report of schema {schema}: {reason}", path.display())]
    NotAReport {
        /// The file.
        path: PathBuf,
        /// The schema wanted.
        schema: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A picture, page or document could not be made.
    #[error("the {what} could not be made: {reason}")]
    Encode {
        /// Which part.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// A mask could not be written.
    #[error(transparent)]
    Mask(#[from] pleura_formats::Error),
}

impl Error {
    /// Turns the system's word about `path` into an error.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn encode(what: &'static str) -> impl FnOnce(String) -> Self {
        move |reason| Self::Encode { what, reason }
    }
}
