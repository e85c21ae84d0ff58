//! The files of a folder tree, and what paths have in common.

use crate::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// What a folder tree holds.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// All files, sorted.
    pub(crate) files: Vec<PathBuf>,
    /// Folders that could not be looked into, and what the system said.
    pub(crate) closed: Vec<(PathBuf, std::io::Error)>,
    seen: BTreeSet<PathBuf>,
}

impl Tree {
    /// Collects files; follows links, but enters no folder twice, and passes over hidden names.
    ///
    /// # Errors
    /// [`Error::Refused`] when there are more than `most`, or the root itself cannot be read.
    pub(crate) fn of(root: &Path, most: usize) -> Result<Self> {
        let mut tree = Self::default();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            match tree.enter(&folder, most) {
                Ok(below) => folders.extend(below),
                Err(e) if folder == root => return Err(Error::unreadable(root, e)),
                Err(e) => tree.closed.push((folder, e)),
            }
            if tree.files.len() > most {
                let reason = format!("The folder holds more than {most} files; give smaller folders.");
                return Err(Error::Refused { path: root.to_owned(), reason });
            }
        }
        tree.files.sort();
        tree.closed.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(tree)
    }

    /// Takes up the files of one folder and returns the folders in it.
    fn enter(&mut self, folder: &Path, most: usize) -> std::io::Result<Vec<PathBuf>> {
        let mut below = Vec::new();
        if !self.seen.insert(folder.canonicalize()?) {
            return Ok(below);
        }
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let path = entry.path();
            match std::fs::metadata(&path) {
                Ok(m) if m.is_dir() => below.push(path),
                Ok(m) if m.is_file() => self.files.push(path),
                // A dangling link or a device is no image.
                _ => {}
            }
            if self.files.len() > most {
                break;
            }
        }
        Ok(below)
    }
}

/// The deepest folder that holds all files.
pub(crate) fn common_folder(files: &[PathBuf]) -> PathBuf {
    let mut folders = files.iter().filter_map(|f| f.parent());
    let Some(first) = folders.next() else { return PathBuf::new() };
    folders.fold(first.to_owned(), |common, folder| {
        let both = common.components().zip(folder.components());
        both.take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    })
}

/// A name from where the scan lies below `root`: the folders in between, or the root's own name.
pub(crate) fn name_below(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(Path::new(""));
    let parts: Vec<String> = below
        .components()
        .filter_map(
            |c| if let Component::Normal(p) = c { Some(p.to_string_lossy().into_owned()) } else { None },
        )
        .collect();
    let name = if parts.is_empty() {
        let whole = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        whole.file_name().unwrap_or_default().to_string_lossy().into_owned()
    } else {
        parts.join("-")
    };
    let lower = name.to_ascii_lowercase();
    let end = [
        ".nii.gz", ".nii", ".hdr.gz", ".hdr", ".img.gz", ".img", ".mha", ".mhd", ".nrrd", ".nhdr", ".dcm",
        ".ima", ".zip",
    ];
    let cut = end.iter().find(|e| lower.ends_with(*e)).map_or(0, |e| e.len());
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name[..name.len() - cut].chars().map(safe).take(100).collect();
    let name = name.trim_start_matches('.').to_owned();
    if name.is_empty() { "scan".into() } else { name }
}

/// `name`, or `name-2`, ... when it is taken; names differ by more than case.
pub(crate) fn unique(taken: &mut BTreeSet<String>, name: &str) -> String {
    let numbered = |n: usize| if n == 1 { name.to_owned() } else { format!("{name}-{n}") };
    let mut n = 1;
    while !taken.insert(numbered(n).to_ascii_lowercase()) {
        n += 1;
    }
    numbered(n)
}
