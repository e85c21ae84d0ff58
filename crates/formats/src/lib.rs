//! Reading and writing CT files: DICOM series and NIfTI.
//!
//! [`find_sources`] says what there is, [`read`] gives one scan in HU on the oriented grid
//! (x to the patient's left, y to the back, z to the head, never resampled unless a warning
//! says so), [`inspect`] describes every series and why one of them would be screened.
//! The writers put results back on the input's own grid.
//!
//! Files come from outside: every size is checked against the file and the [`Limits`] before
//! memory is asked for, and damaged input is refused with a reason, never a panic.

mod atomic;
mod bounds;
mod dicom;
mod frame;
mod hounsfield;
mod inspect;
mod nifti;
mod search;
mod tree;
mod types;

pub use dicom::write::{DicomTags, write_dicom_series};
pub use inspect::{Inspection, SeriesReport, inspect};
pub use nifti::write::{write_nifti_i16, write_nifti_u8};
pub use search::{Search, find_sources};
pub use types::{Error, InputFrame, Limits, Result, Scan, SeriesFacts, Source, SourceFormat, Warning};

/// Reads one scan.
///
/// # Errors
/// [`Error::Refused`] for what cannot be read, is damaged, not CT, too large for `limits`, or has
/// a geometry that cannot be trusted.
pub fn read(source: &Source, limits: &Limits) -> Result<Scan> {
    let mut scan = match source.format {
        SourceFormat::Dicom => dicom::read::read_series(&source.path, &source.files, limits)?,
        SourceFormat::Nifti => nifti::read::read_nifti(&source.path, limits)?,
    };
    scan.warnings.extend(source.warnings.iter().cloned());
    Ok(scan)
}
