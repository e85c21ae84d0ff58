//! What reading a scan gives.

use crate::archive::Unpacked;
use pleura_volume::{Geometry, Volume};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Something about the input that the user should know, with a stable kebab-case code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Stable code, such as `slice-gap`.
    pub code: String,
    /// One plain sentence, without patient data.
    pub message: String,
    /// Slices concerned, in the oriented grid (0 most caudal).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<usize>,
}

/// File format that a scan was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceFormat {
    /// A DICOM series.
    Dicom,
    /// NIfTI-1 or -2.
    Nifti,
    /// MetaImage (.mha, .mhd).
    #[serde(rename = "metaimage")]
    MetaImage,
    /// NRRD (.nrrd, .nhdr).
    Nrrd,
}

/// One scan that could be read: the series chosen for one study, or one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it was found: the file, or the folder that holds the series.
    pub path: PathBuf,
    /// A file-system-safe name, unique among the sources of one search; no patient data
    /// beyond what the path itself says.
    pub name: String,
    /// How to read it.
    pub format: SourceFormat,
    /// The files of the series (DICOM), or the file and those that it names.
    pub files: Vec<PathBuf>,
    /// The zip archive that it lies in; `path` and `files` then lie below it as below a folder.
    pub archive: Option<PathBuf>,
    /// What was passed over beside it; [`crate::read`] hands it on in [`Scan::warnings`].
    pub warnings: Vec<Warning>,
}

impl Source {
    /// The files as they lie on the disk: its own, or the archive that holds them.
    pub fn files_on_disk(&self) -> &[PathBuf] {
        self.archive.as_ref().map_or(&self.files, std::slice::from_ref)
    }
}

/// How the oriented grid relates to the stored one.
///
/// Oriented axis `a` runs along stored axis `axes[a]`, backwards where `flips[a]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputFrame {
    /// Stored axis (0 = column, 1 = row, 2 = slice) behind each oriented axis x, y, z.
    pub axes: [usize; 3],
    /// Whether the oriented axis runs against the stored one.
    pub flips: [bool; 3],
    /// Geometry of the stored grid, in LPS mm.
    pub stored: Geometry,
    /// SOP Instance UID of each oriented slice along z (DICOM stacked along z only).
    pub sop_instance_uids: Vec<String>,
}

/// Facts about the series; nothing that names the patient unless asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SeriesFacts {
    /// Study Instance UID (DICOM only).
    pub study_instance_uid: Option<String>,
    /// Series Instance UID (DICOM only).
    pub series_instance_uid: Option<String>,
    /// Frame of Reference UID (DICOM only).
    pub frame_of_reference_uid: Option<String>,
    /// Slice thickness as the file states it, mm.
    pub slice_thickness_mm: Option<f64>,
    /// Reconstruction kernel as the file states it.
    pub kernel: Option<String>,
    /// Manufacturer and model as the file states them.
    pub scanner: Option<String>,
    /// Patient's name and id: kept apart, reported only on request.
    pub patient: Option<String>,
}

/// A scan in the oriented grid.
#[derive(Debug, Clone)]
pub struct Scan {
    /// HU; x to the patient's left, y to the back, z to the head.
    pub volume: Volume<i16>,
    /// The way back to the file's own grid.
    pub frame: InputFrame,
    /// What the file says of itself.
    pub facts: SeriesFacts,
    /// File format.
    pub format: SourceFormat,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

/// Code of the warning that a file does not say how it lies in the patient.
pub(crate) const ORIENTATION_UNKNOWN: &str = "orientation-unknown";

impl Scan {
    /// Whether the file says how it lies in the patient. A scan that does not can be read and
    /// converted, but left and right, and head and feet, may be exchanged, so nothing that is
    /// said of a side or a place should be believed. `path` is named in the error.
    ///
    /// # Errors
    /// [`Error::Refused`] when a warning of code `orientation-unknown` says it does not.
    pub fn check_orientation(&self, path: &Path) -> Result<()> {
        if self.warnings.iter().all(|w| w.code != ORIENTATION_UNKNOWN) {
            return Ok(());
        }
        let reason = "The file does not say how it lies in the patient, so left and right cannot be told; state it \
                      (NIfTI: sform or qform; MetaImage: TransformMatrix; NRRD: space and space directions), or \
                      convert the scan from DICOM again."
            .into();
        Err(Error::Refused { path: path.to_owned(), reason })
    }
}

/// Bounds on what a file may ask for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most voxels in one volume.
    pub voxels: usize,
    /// Most files looked at in one folder tree.
    pub files: usize,
    /// Most bytes that compressed data may unpack to.
    pub unpacked_bytes: u64,
    /// How many times their size compressed data may unpack to, once that is more than 256 MiB.
    pub expansion: u64,
    /// How deep archives may lie in archives: 1 reads a zip, 2 also a zip in a zip.
    pub nesting: usize,
}

/// Compressed data may always unpack to this many bytes: small files of one value shrink best.
const ALWAYS_UNPACKED: u64 = 256 << 20;

impl Limits {
    /// The most bytes that `packed` bytes may unpack to.
    pub(crate) fn allowance(&self, packed: u64) -> u64 {
        packed.saturating_mul(self.expansion).max(ALWAYS_UNPACKED).min(self.unpacked_bytes)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { voxels: 2_000_000_000, files: 200_000, unpacked_bytes: 8 << 30, expansion: 200, nesting: 2 }
    }
}

/// Why a scan could not be read or written. Messages hold file names, never patient data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system said no to writing.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or folder concerned.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing readable was found.
    #[error("{}: {reason}", path.display())]
    NothingFound {
        /// Where it was looked for.
        path: PathBuf,
        /// What was found instead, and what to do.
        reason: String,
    },
    /// The input is refused: unreadable, damaged, not CT, or a geometry that cannot be trusted.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// File or folder concerned.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A DICOM series is refused; the code is stable and stands in the table of docs/input.md.
    #[error("{}: {reason}", path.display())]
    Unfit {
        /// File or folder concerned.
        path: PathBuf,
        /// Stable kebab-case code.
        code: &'static str,
        /// What is wrong with it, and what to do.
        reason: String,
    },
}

impl Error {
    /// What is to be read cannot be: the fault lies with the input.
    pub(crate) fn unreadable(path: &Path, e: std::io::Error) -> Self {
        Self::Refused { path: path.to_owned(), reason: format!("It cannot be read: {e}.") }
    }

    /// Names the file of an archive as it is told.
    pub(crate) fn tell(&mut self, unpacked: &Unpacked) {
        let (Self::Io { path, .. }
        | Self::NothingFound { path, .. }
        | Self::Refused { path, .. }
        | Self::Unfit { path, .. }) = self;
        *path = unpacked.told(path);
    }

    /// The file or folder concerned.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::NothingFound { path, .. }
            | Self::Refused { path, .. }
            | Self::Unfit { path, .. } => path,
        }
    }

    /// What is wrong, without the path.
    pub fn reason(&self) -> String {
        match self {
            Self::Io { source, .. } => source.to_string(),
            Self::NothingFound { reason, .. } | Self::Refused { reason, .. } | Self::Unfit { reason, .. } => {
                reason.clone()
            }
        }
    }

    /// Stable kebab-case code, of the table in docs/input.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::NothingFound { .. } => "nothing-found",
            Self::Refused { .. } => "refused",
            Self::Unfit { code, .. } => code,
        }
    }
}

/// Result of reading or writing a scan.
pub type Result<T> = std::result::Result<T, Error>;
