//! Phantoms as files.

use crate::types::{Class, Latents, Phantom, TruthRegion};
use crate::{GENERATOR, GENERATOR_HASH};
use pleura_formats::{DicomTags, write_dicom_series, write_nifti_i16, write_nifti_u8};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What can go wrong with phantoms and cohorts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Writing or reading a file failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The image writers refused.
    #[error(transparent)]
    Formats(#[from] pleura_formats::Error),
    /// Not a truth file or manifest of ours.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Content of `truth.json`: what is true of a phantom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Version of the generator.
    pub generator: String,
    /// What [`GENERATOR_HASH`] was.
    #[serde(default)]
    pub generator_hash: String,
    /// Class.
    pub class: Class,
    /// Seed.
    pub seed: u64,
    /// Infected regions.
    pub regions: Vec<TruthRegion>,
    /// Regions that are irrelevant to infection.
    pub irrelevant: Vec<TruthRegion>,
    /// What was drawn.
    pub latents: Latents,
}

/// Name of the truth file that [`save_truth`] writes.
pub const TRUTH_FILE: &str = "truth.json";
/// Name of the volume that [`save_nifti`] writes.
pub const NIFTI_FILE: &str = "ct.nii.gz";

fn made(dir: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(dir).map_err(|source| Error::Io { path: dir.to_owned(), source })
}

/// Writes the phantom as a DICOM CT series, one file a slice, into `dir`, made if missing.
///
/// # Errors
/// [`Error::Formats`] when the files cannot be written.
pub fn save_dicom(phantom: &Phantom, dir: &Path) -> Result<(), Error> {
    let tags = DicomTags {
        seed: phantom.seed,
        slice_thickness_mm: (phantom.latents.slice_mm * 100.0).round() / 100.0,
        patient_id: format!("PHANTOM-{:016X}", phantom.seed),
        comments: format!("{GENERATOR}, class {}, seed {}", phantom.class.name(), phantom.seed),
        ..DicomTags::default()
    };
    Ok(write_dicom_series(dir, &phantom.volume, &tags)?)
}

/// Writes the phantom's HU as `ct.nii.gz` into `dir`, made if missing.
///
/// # Errors
/// [`Error::Io`] or [`Error::Formats`] when the file cannot be written.
pub fn save_nifti(phantom: &Phantom, dir: &Path) -> Result<(), Error> {
    made(dir)?;
    Ok(write_nifti_i16(&dir.join(NIFTI_FILE), &phantom.volume, None)?)
}

/// Writes `truth.json`, `infection.nii.gz` (1 infected) and `lungs.nii.gz` (1 right, 2 left) into
/// `dir`, made if missing.
///
/// # Errors
/// [`Error::Io`] or [`Error::Formats`] when a file cannot be written.
pub fn save_truth(phantom: &Phantom, dir: &Path) -> Result<(), Error> {
    made(dir)?;
    write_nifti_u8(&dir.join("infection.nii.gz"), &phantom.infection, None)?;
    write_nifti_u8(&dir.join("lungs.nii.gz"), &phantom.lungs, None)?;
    let truth = Truth {
        generator: GENERATOR.into(),
        generator_hash: GENERATOR_HASH.into(),
        class: phantom.class,
        seed: phantom.seed,
        regions: phantom.regions.clone(),
        irrelevant: phantom.irrelevant.clone(),
        latents: phantom.latents.clone(),
    };
    let path = dir.join(TRUTH_FILE);
    let text = serde_json::to_string_pretty(&truth)
        .map_err(|e| Error::Invalid { path: path.clone(), reason: e.to_string() })?;
    std::fs::write(&path, text + "\n").map_err(|source| Error::Io { path, source })
}

/// Reads `truth.json` of `dir`.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Invalid`] when it is not one of ours.
pub fn load_truth(dir: &Path) -> Result<Truth, Error> {
    let path = dir.join(TRUTH_FILE);
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
    serde_json::from_str(&text).map_err(|e| Error::Invalid { path, reason: e.to_string() })
}
