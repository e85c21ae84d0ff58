//! The report's folder: written beside, then moved into place, never left half done.

use crate::document::{Document, Meta, Timings};
use crate::json::to_json;
use crate::page::{Pictures, render};
use crate::{Error, Result, overview, region_picture};
use pleura_formats::{Scan, write_nifti_u8};
use pleura_screen::Case;
use rayon::prelude::*;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

/// Name of the report as JSON. It is moved into place last: where it is, the report is whole.
pub const REPORT_JSON: &str = "report.json";
/// Name of the page.
pub const REPORT_HTML: &str = "report.html";
/// Name of the folder of pictures.
pub const IMAGES: &str = "images";
/// Names of the masks, the lungs first.
pub const MASKS: [&str; 2] = ["lungs.nii.gz", "infection.nii.gz"];

/// Draws the pictures of a report.
///
/// # Errors
/// [`Error::Encode`] when a picture cannot be made.
pub fn pictures(scan: &Scan, case: &Case, document: &Document) -> Result<Pictures> {
    let overview = || overview::draw(&scan.volume, case, &document.regions).png();
    let regions = || {
        let drawn = document.regions.par_iter().map(|r| region_picture::draw(&scan.volume, case, r).png());
        drawn.collect::<Result<_>>()
    };
    let (overview, regions) = rayon::join(overview, regions);
    Ok(Pictures { overview: overview?, regions: regions? })
}

/// Writes the whole report of one scan into `dir` and returns what report.json says.
///
/// report.json, report.html, images/overview.png and images/region-NN.png, and with `meta.masks`
/// lungs.nii.gz and infection.nii.gz. All is written into a hidden folder beside `dir` first; an
/// earlier report in `dir` is replaced, its masks too, and other files there are left alone.
///
/// # Errors
/// [`Error::Io`] when a file cannot be written, [`Error::Encode`], [`Error::Mask`]. `dir` is then
/// as it was, or, when moving failed half-way, without a report.json.
pub fn write(dir: &Path, scan: &Scan, case: &Case, meta: &Meta) -> Result<Document> {
    let started = Instant::now();
    let mut document = Document::new(scan, case, meta, Timings::default());
    let beside = Beside::new(dir)?;
    let images = beside.new.join(IMAGES);
    fs::create_dir(&images).map_err(Error::io(&images))?;
    let pictures = pictures(scan, case, &document)?;
    put(&images.join("overview.png"), &pictures.overview)?;
    for (region, png) in document.regions.iter().zip(&pictures.regions) {
        put(&images.join(format!("region-{:02}.png", region.id)), png)?;
    }
    put(&beside.new.join(REPORT_HTML), render(&document, &pictures)?.as_bytes())?;
    if meta.masks {
        write_masks(&beside.new, scan, case)?;
    }
    document.timings_s = timings(case, meta, started.elapsed().as_secs_f64());
    put(&beside.new.join(REPORT_JSON), &to_json(&document)?)?;
    beside.into_place(dir)?;
    Ok(document)
}

/// Writes lungs.nii.gz (1 right, 2 left) and infection.nii.gz into `dir`, on the input's own grid.
///
/// # Errors
/// [`Error::Mask`] when a file cannot be written.
pub fn write_masks(dir: &Path, scan: &Scan, case: &Case) -> Result<()> {
    let write = |name, mask| write_nifti_u8(&dir.join(name), mask, Some(&scan.frame));
    let (lungs, infection) =
        rayon::join(|| write(MASKS[0], &case.lungs.mask), || write(MASKS[1], &case.infection));
    lungs?;
    infection?;
    Ok(())
}

fn timings(case: &Case, meta: &Meta, report: f64) -> Timings {
    let t = case.times;
    let total = meta.read_s + t.lungs + t.detect + t.classify + report;
    Timings { read: meta.read_s, lungs: t.lungs, detect: t.detect, classify: t.classify, report, total }
}

pub(crate) fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(Error::io(path))
}

/// A hidden folder in the same place as the target, so that renaming stays on one file system;
/// gone when dropped.
pub(crate) struct Beside {
    _hidden: tempfile::TempDir,
    /// Where to write.
    pub(crate) new: std::path::PathBuf,
}

impl Beside {
    pub(crate) fn new(target: &Path) -> Result<Self> {
        let parent = match target.parent() {
            Some(p) if p != Path::new("") => p,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(Error::io(parent))?;
        let hidden =
            tempfile::Builder::new().prefix(".pleura-").tempdir_in(parent).map_err(Error::io(parent))?;
        // A folder of its own inside: the outer one is readable by its owner only.
        let new = hidden.path().join("new");
        fs::create_dir(&new).map_err(Error::io(&new))?;
        Ok(Self { _hidden: hidden, new })
    }

    /// Moves what was written to `dir`.
    fn into_place(self, dir: &Path) -> Result<()> {
        if !dir.exists() {
            return fs::rename(&self.new, dir).map_err(Error::io(dir));
        }
        if dir.join(REPORT_JSON).exists() || dir.join(REPORT_HTML).exists() {
            // Masks where there was no report are not ours to remove.
            for name in [REPORT_JSON, MASKS[0], MASKS[1]] {
                remove_if_there(&dir.join(name))?;
            }
        }
        let images = dir.join(IMAGES);
        fs::create_dir_all(&images).map_err(Error::io(&images))?;
        remove_old_pictures(&images)?;
        move_files(&self.new.join(IMAGES), &images)?;
        move_files(&self.new, dir)
    }
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path)(e)),
        _ => Ok(()),
    }
}

/// Removes an earlier report's pictures, nothing else.
fn remove_old_pictures(images: &Path) -> Result<()> {
    for entry in fs::read_dir(images).map_err(Error::io(images))? {
        let path = entry.map_err(Error::io(images))?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if name.starts_with("region-") && name.ends_with(".png") {
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}

/// Moves the files of one folder into another, report.json last.
fn move_files(from: &Path, to: &Path) -> Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(from).map_err(Error::io(from))? {
        let path = entry.map_err(Error::io(from))?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort_by_key(|p| p.file_name() == Some(OsStr::new(REPORT_JSON)));
    for file in files {
        let target = to.join(file.file_name().unwrap_or_default());
        fs::rename(&file, &target).map_err(Error::io(&target))?;
    }
    Ok(())
}
