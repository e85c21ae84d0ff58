//! NIfTI-1 and -2: single files (.nii, .nii.gz) and pairs (.hdr with .img, each maybe gzipped).
//! Source: the NIfTI-1 and NIfTI-2 data format headers (nifti1.h, nifti2.h).

pub(crate) mod affine;
pub(crate) mod header;
pub(crate) mod write;

use crate::grids::Grid;
use crate::grids::input::{self, Packing, Place, Skip};
use crate::grids::place::warning;
use crate::grids::values::{Coding, Values};
use crate::types::ORIENTATION_UNKNOWN;
use crate::{Error, Result, Warning};
use affine::Form;
use std::path::{Path, PathBuf};

/// The header of a single file or of a pair; `path` is the .hdr of a pair.
pub(crate) fn grid(path: &Path) -> Result<Grid> {
    let refuse = |reason: String| Error::Refused { path: path.to_owned(), reason };
    let (start, gzip) = input::start(path, 540).map_err(|e| input::failed(path, e))?;
    let h = header::parse(&start).map_err(refuse)?;
    let (geometry, form) = affine::geometry(&h).map_err(refuse)?;
    let image = if h.single { Some(path.to_owned()) } else { partner(path, "img") };
    let Some(image) = image else {
        return Err(refuse("The .img file that holds its voxels is missing beside it.".into()));
    };
    let gzip = gzip && h.single || !h.single && input::start(&image, 1).is_ok_and(|(_, gzip)| gzip);
    let packing = if gzip { Packing::Gzip } else { Packing::Plain };
    let values = Values {
        number: h.number,
        big_endian: h.big_endian,
        scale: h.is_scaled().then_some((h.slope, h.intercept)),
        coding: Coding::Binary,
    };
    let place = Place { at: 0, lines: 0, packing, skip: Skip::Bytes(h.offset), open_end: true };
    Ok(Grid { geometry, warnings: warnings(form).into_iter().collect(), values, files: vec![image], place })
}

fn warnings(form: Form) -> Option<Warning> {
    match form {
        Form::Agreed => None,
        Form::Disputed => Some(warning(
            crate::grids::place::ORIENTATION_DISPUTED,
            "The file's sform and qform put the voxels at different places; the sform was followed.",
        )),
        Form::Unknown => Some(warning(
            ORIENTATION_UNKNOWN,
            "The file does not say how it lies in the patient; x was taken to run to the right, y to the front, \
             z to the head, so left and right may be exchanged.",
        )),
    }
}

/// The other half of a pair, if it exists: same stem, gzipped or not.
pub(crate) fn partner(path: &Path, other: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let lower = name.to_ascii_lowercase();
    let stem = &name[..lower.strip_suffix(".gz").unwrap_or(&lower).rfind('.')?];
    let named = |end: String| path.with_file_name(format!("{stem}.{end}"));
    let ends =
        [other.to_owned(), format!("{other}.gz"), other.to_uppercase(), format!("{other}.GZ").to_uppercase()];
    ends.into_iter().map(named).find(|p| p.is_file())
}
