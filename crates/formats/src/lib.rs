//! Reading CT files: DICOM series, NIfTI, MetaImage and NRRD, also in zip archives; writing DICOM
//! and NIfTI.
//!
//! [`find_sources`] says what there is, [`read`] gives one scan in HU on the oriented grid
//! (x to the patient's left, y to the back, z to the head, never resampled unless a warning
//! says so), [`inspect`] describes every series and why one of them would be screened.
//! The writers put results back on the input's own grid.
//!
//! Files come from outside: every size is checked against the file and the [`Limits`] before
//! memory is asked for, and damaged input is refused with a reason, never a panic.

mod archive;
mod atomic;
mod bounds;
mod dicom;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod grids;
mod hounsfield;
mod inspect;
mod metaimage;
mod nifti;
mod nrrd;
mod search;
mod tree;
mod types;

use std::path::{Path, PathBuf};

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
    let mut scan = match &source.archive {
        None => read_files(&source.path, &source.files, source.format, limits)?,
        Some(archive) => {
            let unpacked = archive::Unpacked::of(archive, limits)?;
            let files: Vec<_> = source.files.iter().map(|f| unpacked.found(f)).collect();
            read_files(&unpacked.found(&source.path), &files, source.format, limits).map_err(|mut e| {
                e.tell(&unpacked);
                e
            })?
        }
    };
    scan.warnings.extend(source.warnings.iter().cloned());
    Ok(scan)
}

fn read_files(path: &Path, files: &[PathBuf], format: SourceFormat, limits: &Limits) -> Result<Scan> {
    match format {
        SourceFormat::Dicom => dicom::read::read_series(path, files, limits),
        format => grids::read::read(path, format, limits),
    }
}
