//! Zip archives: unpacked, within the limits, into a folder that goes when it is done with.

use crate::{Error, Limits, Result};
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use zip::ZipArchive;
use zip::result::ZipError;

/// Whether a file is a zip archive, by its first bytes.
pub(crate) fn is_zip(path: &Path) -> bool {
    let mut start = [0; 4];
    let read = File::open(path).and_then(|mut f| f.read_exact(&mut start));
    read.is_ok() && (start == *b"PK\x03\x04" || start == *b"PK\x05\x06")
}

/// Whether a file met in a folder is an archive to look into: many other documents are zip files too.
pub(crate) fn is_named_zip(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("zip")) && is_zip(path)
}

/// What an archive holds, in a folder that nobody else may look into and that is removed with this.
pub(crate) struct Unpacked {
    archive: PathBuf,
    home: TempDir,
    /// The folder in it that stands for the archive.
    root: PathBuf,
}

impl Unpacked {
    /// Unpacks an archive and those in it, down to `limits.nesting`.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is damaged, encrypted, over the limits or names places outside
    /// itself; [`Error::Io`] when there is no room to unpack it.
    pub(crate) fn of(archive: &Path, limits: &Limits) -> Result<Self> {
        let size = fs::metadata(archive).map_err(|e| Error::unreadable(archive, e))?.len();
        let home = tempfile::Builder::new().prefix("pleura-").tempdir();
        let home = home.map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
        let stem = archive.file_stem().unwrap_or_default().to_string_lossy();
        let root = home.path().join(safe(&stem).unwrap_or_else(|_| "scan".into()));
        let budget = Budget { bytes: limits.allowance(size), files: limits.files, inner: 0 };
        let mut unpacking = Unpacking { home: home.path(), budget };
        unpacking.unpack(archive, &root, limits.nesting).map_err(|e| match e {
            Failure::Refused(reason) => Error::Refused { path: archive.to_owned(), reason },
            Failure::Io(source) => Error::Io { path: home.path().to_owned(), source },
        })?;
        Ok(Self { archive: archive.to_owned(), home, root })
    }

    /// The folder above what was unpacked; the archive's name is a folder in it.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The folder that stands for the archive.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn archive(&self) -> &Path {
        &self.archive
    }

    /// A path in here as it is told: below the archive, as if that were a folder.
    pub(crate) fn told(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.root) {
            Ok(below) if below.as_os_str().is_empty() => self.archive.clone(),
            Ok(below) => self.archive.join(below),
            Err(_) => path.to_owned(),
        }
    }

    /// The way back from [`Unpacked::told`].
    pub(crate) fn found(&self, told: &Path) -> PathBuf {
        told.strip_prefix(&self.archive).map_or_else(|_| told.to_owned(), |below| self.root.join(below))
    }
}

/// What may still be unpacked.
struct Budget {
    bytes: u64,
    files: usize,
    /// Archives in the archive met so far.
    inner: usize,
}

enum Failure {
    Refused(String),
    Io(io::Error),
}

impl From<ZipError> for Failure {
    fn from(e: ZipError) -> Self {
        match e {
            ZipError::Io(e) => e.into(),
            other => Self::Refused(format!("The zip archive cannot be read: {other}.")),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        // What is wrong with the folder to unpack into; the rest is wrong with the archive.
        match e.kind() {
            PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull => Self::Io(e),
            _ => Self::Refused(format!("The zip archive cannot be read: {e}.")),
        }
    }
}

struct Unpacking<'a> {
    home: &'a Path,
    budget: Budget,
}

impl Unpacking<'_> {
    /// Unpacks one archive into a folder that it makes; `depth` counts this one.
    fn unpack(&mut self, archive: &Path, folder: &Path, depth: usize) -> std::result::Result<(), Failure> {
        let refuse = |reason: String| Err(Failure::Refused(reason));
        if depth == 0 {
            return refuse("It holds archives in archives, nested over the limit; unpack them first.".into());
        }
        let mut zip = ZipArchive::new(BufReader::new(File::open(archive)?))?;
        let promised = zip.decompressed_size().unwrap_or(0);
        if zip.len() > self.budget.files || promised > self.budget.bytes.into() {
            return refuse(format!(
                "It promises {} files of {promised} bytes, over the limits of {} files and {} bytes.",
                zip.len(),
                self.budget.files,
                self.budget.bytes
            ));
        }
        self.budget.files -= zip.len();
        fs::create_dir_all(folder)?;
        for i in 0..zip.len() {
            let mut entry = zip.by_index(i)?;
            // A link could lead out of the folder.
            if entry.is_dir() || entry.is_symlink() {
                continue;
            }
            let path = folder.join(safe(&entry.name()?)?);
            self.write(&mut entry, &path)?;
            if is_named_zip(&path) {
                let inner = self.home.join(format!(".inner-{}", self.budget.inner));
                self.budget.inner += 1;
                fs::rename(&path, &inner)?;
                self.unpack(&inner, &path, depth - 1)?;
                fs::remove_file(&inner)?;
            }
        }
        Ok(())
    }

    /// Writes one file; its checksum is compared at its end.
    fn write(&mut self, from: &mut impl Read, path: &Path) -> std::result::Result<(), Failure> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut to = match File::create_new(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Failure::Refused("The zip archive holds two files of the same name.".into()));
            }
            other => other?,
        };
        let most = self.budget.bytes;
        let written = io::copy(&mut from.take(most.saturating_add(1)), &mut to)?;
        if written > most {
            return Err(Failure::Refused("It unpacks to more bytes than the limit allows.".into()));
        }
        self.budget.bytes -= written;
        Ok(())
    }
}

/// A name from an archive as a path that stays where it is put.
///
/// # Errors
/// When it leads elsewhere.
fn safe(name: &str) -> std::result::Result<PathBuf, Failure> {
    let parts = name.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".");
    let path: PathBuf = parts.clone().map(|part| part.replace(':', "_")).collect();
    if parts.clone().any(|part| part == ".." || part.contains('\0')) || parts.count() == 0 {
        return Err(Failure::Refused(
            "The zip archive names files outside itself, so it cannot be trusted.".into(),
        ));
    }
    Ok(path)
}
