//! Reading and writing CT files: DICOM series and NIfTI.

mod types;

pub use types::{Error, InputFrame, Limits, Result, Scan, SeriesFacts, Source, SourceFormat, Warning};
