//! NIfTI-1 and -2: single files (.nii, .nii.gz) and pairs (.hdr with .img, each maybe gzipped).
//! Source: the NIfTI-1 and NIfTI-2 data format headers (nifti1.h, nifti2.h).

pub(crate) mod affine;
pub(crate) mod header;
pub(crate) mod read;
pub(crate) mod write;

use std::path::{Path, PathBuf};

/// Which kind of NIfTI file a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Header and voxels in one file.
    Single,
    /// The header of a pair.
    Header,
    /// The voxels of a pair.
    Image,
}

/// What the file name says; `None` for other files.
pub(crate) fn kind(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "nii" => Some(Kind::Single),
        "hdr" => Some(Kind::Header),
        "img" => Some(Kind::Image),
        _ => None,
    }
}

/// The other half of a pair, if it exists: same stem, gzipped or not.
pub(crate) fn partner(path: &Path, other: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".gz").unwrap_or(name);
    let stem = stem.rsplit_once('.')?.0;
    ["", ".gz"].iter().map(|gz| path.with_file_name(format!("{stem}.{other}{gz}"))).find(|p| p.is_file())
}
