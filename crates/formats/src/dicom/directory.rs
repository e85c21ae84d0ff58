//! DICOMDIR: the directory of a medium (PS3.3 annex F).

use super::object;
use super::set::{items, texts};
use crate::Limits;
use dicom_dictionary_std::tags;
use std::path::{Path, PathBuf};

/// The files that a directory names, below its own folder; `None` when `path` is none.
pub(crate) fn listed(path: &Path, limits: &Limits) -> Option<Vec<PathBuf>> {
    let object = object::open(path, limits).ok()?;
    let records = items(&object.set, tags::DIRECTORY_RECORD_SEQUENCE);
    if !object.set.has(tags::DIRECTORY_RECORD_SEQUENCE) {
        return None;
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let files = records.iter().map(|r| texts(r, tags::REFERENCED_FILE_ID)).filter(|parts| !parts.is_empty());
    Some(files.filter_map(|parts| below(folder, &parts)).collect())
}

/// A file by its parts, each the name of something in the folder before. Names are upper case on
/// the medium, but file systems show and copies make them lower case.
fn below(folder: &Path, parts: &[String]) -> Option<PathBuf> {
    parts.iter().try_fold(folder.to_owned(), |at, part| {
        // A directory names files of its own medium only.
        if part.contains(['/', '\\']) || part == ".." || part == "." {
            return None;
        }
        let as_written = at.join(part);
        let lower = at.join(part.to_lowercase());
        Some(if !as_written.exists() && lower.exists() { lower } else { as_written })
    })
}
