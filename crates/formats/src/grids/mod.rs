//! Files that hold one grid of voxels behind a header: NIfTI, MetaImage and NRRD. Each format
//! turns its header into a [`Grid`]; finding and reading the voxels is the same for all.

pub(crate) mod input;
pub(crate) mod place;
pub(crate) mod read;
pub(crate) mod text;
pub(crate) mod values;

use crate::{Limits, SourceFormat, Warning};
use pleura_volume::Geometry;
use std::path::{Path, PathBuf};

/// What a header says.
#[derive(Debug)]
pub(crate) struct Grid {
    /// The stored grid.
    pub(crate) geometry: Geometry,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) values: values::Values,
    /// The files that hold the voxels one after the other, the same number in each.
    pub(crate) files: Vec<PathBuf>,
    /// Where in each of them the voxels are.
    pub(crate) place: input::Place,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Header and voxels of a NIfTI file, or the header of a pair.
    Nifti,
    /// The voxels of a NIfTI or Analyze pair, by their name.
    NiftiImage,
    MetaImage,
    Nrrd,
}

impl Kind {
    /// How it is read; `None` for what cannot be read by itself.
    pub(crate) fn format(self) -> Option<SourceFormat> {
        match self {
            Self::Nifti => Some(SourceFormat::Nifti),
            Self::MetaImage => Some(SourceFormat::MetaImage),
            Self::Nrrd => Some(SourceFormat::Nrrd),
            Self::NiftiImage => None,
        }
    }
}

/// What a file is: by its first bytes, or where they say nothing, by its name.
pub(crate) fn kind(path: &Path) -> Option<Kind> {
    by_content(path).or_else(|| by_name(path))
}

fn by_content(path: &Path) -> Option<Kind> {
    let (start, gzip) = input::start(path, 540).ok()?;
    if crate::nifti::header::is_nifti(&start) {
        return Some(Kind::Nifti);
    }
    // The text headers are never packed.
    match () {
        _ if gzip => None,
        _ if crate::nrrd::is_nrrd(&start) => Some(Kind::Nrrd),
        _ if crate::metaimage::is_metaimage(&start) => Some(Kind::MetaImage),
        _ => None,
    }
}

fn by_name(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    match name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.')?.1 {
        "nii" | "hdr" => Some(Kind::Nifti),
        "img" => Some(Kind::NiftiImage),
        "mha" | "mhd" => Some(Kind::MetaImage),
        "nrrd" | "nhdr" => Some(Kind::Nrrd),
        _ => None,
    }
}

/// The files that make up a volume: the one that names it, and others that hold its voxels.
pub(crate) fn files(path: &Path, format: SourceFormat, limits: &Limits) -> Vec<PathBuf> {
    let mut all = vec![path.to_owned()];
    if let Ok(grid) = read::header(path, format, limits) {
        all.extend(grid.files.into_iter().filter(|f| f != path));
    }
    all
}
