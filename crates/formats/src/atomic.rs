//! Writing beside, then renaming: a reader never sees half a file.

use crate::{Error, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes `path` through `fill`; the file appears whole or not at all.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub(crate) fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<()> {
    let beside = beside(path);
    let written = File::create(&beside).and_then(|file| {
        let mut out = BufWriter::with_capacity(1 << 18, file);
        fill(&mut out)?;
        out.flush()?;
        drop(out);
        std::fs::rename(&beside, path)
    });
    written.map_err(|source| {
        // The half-written file is of no use to anyone; the first error is the one to tell.
        let _ = std::fs::remove_file(&beside);
        Error::Io { path: path.to_owned(), source }
    })
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}
