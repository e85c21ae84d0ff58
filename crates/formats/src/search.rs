//! What there is to read below some paths.

use crate::dicom::choose::{Series, choose, studies};
use crate::dicom::header::Header;
use crate::dicom::object::looks_like_dicom;
use crate::nifti::{self, Kind};
use crate::{Error, Limits, Result, Source, SourceFormat, Warning};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// What was found.
#[derive(Debug, Default)]
pub struct Search {
    /// One for each study or file that can be tried, in the order of the paths given.
    pub sources: Vec<Source>,
    /// What was named or found but cannot be screened, with the reason.
    pub refused: Vec<Error>,
    /// What the user should know of what was passed over.
    pub warnings: Vec<Warning>,
}

/// Studies and files found below one path, before anything is chosen.
pub(crate) struct Found {
    /// The path as it was given.
    pub(crate) root: PathBuf,
    pub(crate) studies: Vec<Vec<Series>>,
    pub(crate) nifti: Vec<PathBuf>,
    pub(crate) refused: Vec<Error>,
    pub(crate) warnings: Vec<Warning>,
}

/// Finds every scan below `paths`: files (.nii, .nii.gz, .hdr with .img, DICOM) and folders,
/// searched recursively; one source per DICOM study and per NIfTI file. DICOM files named one by
/// one are taken together. In folders, files that are no medical images are passed over.
///
/// The series of a study is chosen by these rules, in this order: CT that can be read; axial;
/// original; at least 150 mm long; the most slices; among nearly as many, the smoothest kernel,
/// then the lowest series number. The others are listed in the warnings.
///
/// # Errors
/// [`Error::Refused`] when a folder tree holds more files than `limits.files`. What is wrong with
/// single paths is in [`Search::refused`].
pub fn find_sources(paths: &[PathBuf], limits: &Limits) -> Result<Search> {
    let mut search = Search::default();
    let mut names = BTreeSet::new();
    for found in find(paths, limits)? {
        search.refused.extend(found.refused);
        search.warnings.extend(found.warnings);
        for path in found.nifti {
            let name = unique(&mut names, &name_below(&found.root, &path));
            search.sources.push(Source {
                name,
                format: SourceFormat::Nifti,
                files: vec![path.clone()],
                path,
            });
        }
        for study in &found.studies {
            match choose(study) {
                Some((chosen, _)) => {
                    let files: Vec<PathBuf> = study[chosen].headers.iter().map(|h| h.path.clone()).collect();
                    let path = common_folder(&files);
                    let name = unique(&mut names, &name_below(&found.root, &path));
                    search.warnings.extend(others(study, chosen, &path));
                    search.sources.push(Source { path, name, format: SourceFormat::Dicom, files });
                }
                None => search.refused.extend(refusal(study)),
            }
        }
    }
    Ok(search)
}

/// Looks at every path and sorts what is there.
pub(crate) fn find(paths: &[PathBuf], limits: &Limits) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    let mut single_dicom: Vec<PathBuf> = Vec::new();
    for path in paths {
        match std::fs::metadata(path) {
            Err(source) => all.push(Found::refused(path, Error::Io { path: path.clone(), source })),
            Ok(m) if m.is_dir() => all.push(folder(path, limits)?),
            Ok(_) => match nifti::kind(path) {
                Some(kind) => all.push(named_nifti(path, kind)),
                None if looks_like_dicom(path) => single_dicom.push(path.clone()),
                None => all.push(Found::refused(path, not_an_image(path))),
            },
        }
    }
    if let Some(first) = single_dicom.first() {
        let root = if single_dicom.len() == 1 { first.clone() } else { common_folder(&single_dicom) };
        let mut found = Found::empty(&root);
        found.dicom(&single_dicom, limits);
        if found.studies.is_empty() && found.refused.is_empty() {
            let reason = "The DICOM file holds no image; it may be cut short.".into();
            found.refused.push(Error::NothingFound { path: root, reason });
        }
        all.push(found);
    }
    Ok(all)
}

impl Found {
    fn empty(root: &Path) -> Self {
        Self { root: root.to_owned(), studies: vec![], nifti: vec![], refused: vec![], warnings: vec![] }
    }

    fn refused(root: &Path, error: Error) -> Self {
        Self { refused: vec![error], ..Self::empty(root) }
    }

    /// Reads the headers in parallel and sorts them into studies.
    fn dicom(&mut self, files: &[PathBuf], limits: &Limits) {
        let read: Vec<Result<Option<Header>>> = files.par_iter().map(|f| Header::read(f, limits)).collect();
        let mut headers = Vec::new();
        let mut failed = Vec::new();
        for header in read {
            match header {
                Ok(Some(h)) => headers.push(h),
                Ok(None) => {}
                Err(e) => failed.push(e),
            }
        }
        self.studies = studies(headers);
        if self.studies.is_empty() {
            // Nothing else to show for it: say why.
            self.refused.extend(failed.into_iter().take(1));
            return;
        }
        for error in failed {
            let message = format!("A file was passed over. {error}");
            self.warnings.push(Warning { code: "unreadable-file".into(), message, slices: vec![] });
        }
    }
}

fn not_an_image(path: &Path) -> Error {
    let reason = "This is neither DICOM nor NIfTI; give a DICOM folder or file, a .nii or a .nii.gz.".into();
    Error::Refused { path: path.to_owned(), reason }
}

/// A NIfTI file that was named: of a pair, either half may be.
fn named_nifti(path: &Path, kind: Kind) -> Found {
    let header = if kind == Kind::Image { nifti::partner(path, "hdr") } else { Some(path.to_owned()) };
    match header {
        Some(header) => Found { nifti: vec![header], ..Found::empty(path) },
        None => {
            let reason = "The .hdr file that describes this .img is missing beside it.".into();
            Found::refused(path, Error::Refused { path: path.to_owned(), reason })
        }
    }
}

/// Everything in a folder tree.
fn folder(root: &Path, limits: &Limits) -> Result<Found> {
    let mut files = Vec::new();
    walk(root, root, &mut BTreeSet::new(), &mut files, limits.files)?;
    files.sort();
    let mut found = Found::empty(root);
    let (nifti, rest): (Vec<PathBuf>, Vec<PathBuf>) =
        files.into_iter().partition(|f| nifti::kind(f).is_some());
    for path in nifti {
        let complete = match nifti::kind(&path) {
            Some(Kind::Single) => true,
            Some(Kind::Header) => nifti::partner(&path, "img").is_some(),
            _ => false,
        };
        match complete.then(|| nifti::read::is_label_map(&path)) {
            Some(false) => found.nifti.push(path),
            Some(true) => found.warnings.push(Warning {
                code: "label-map-skipped".into(),
                message: format!("{} holds 8-bit labels, not HU; it was passed over.", path.display()),
                slices: vec![],
            }),
            None => {}
        }
    }
    let dicom: Vec<PathBuf> = rest.into_par_iter().filter(|f| looks_like_dicom(f)).collect();
    found.dicom(&dicom, limits);
    if found.nifti.is_empty() && found.studies.is_empty() && found.refused.is_empty() {
        let reason = "No CT was found in this folder; it should hold DICOM files, .nii or .nii.gz.".into();
        found.refused.push(Error::NothingFound { path: root.to_owned(), reason });
    }
    Ok(found)
}

/// Collects files; follows links, but enters no folder twice, and passes over hidden names.
fn walk(
    root: &Path,
    dir: &Path,
    seen: &mut BTreeSet<PathBuf>,
    files: &mut Vec<PathBuf>,
    most: usize,
) -> Result<()> {
    let io = |source| Error::Io { path: dir.to_owned(), source };
    if !seen.insert(dir.canonicalize().map_err(io)?) {
        return Ok(());
    }
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        match std::fs::metadata(&path) {
            Ok(m) if m.is_dir() => folders.push(path),
            Ok(m) if m.is_file() => files.push(path),
            // A dangling link or a device is no image.
            _ => {}
        }
        if files.len() > most {
            let reason = format!("The folder holds more than {most} files; give smaller folders.");
            return Err(Error::Refused { path: root.to_owned(), reason });
        }
    }
    folders.sort();
    folders.iter().try_for_each(|f| walk(root, f, seen, files, most))
}

/// The deepest folder that holds all files.
fn common_folder(files: &[PathBuf]) -> PathBuf {
    let mut folders = files.iter().filter_map(|f| f.parent());
    let Some(first) = folders.next() else { return PathBuf::new() };
    folders.fold(first.to_owned(), |common, folder| {
        let both = common.components().zip(folder.components());
        both.take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    })
}

/// A name from where the scan lies below `root`: the folders in between, or the root's own name.
fn name_below(root: &Path, path: &Path) -> String {
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
    let end = [".nii.gz", ".nii", ".hdr.gz", ".hdr", ".img.gz", ".img", ".dcm", ".ima"];
    let cut = end.iter().find(|e| lower.ends_with(*e)).map_or(0, |e| e.len());
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name[..name.len() - cut].chars().map(safe).take(100).collect();
    let name = name.trim_start_matches('.').to_owned();
    if name.is_empty() { "scan".into() } else { name }
}

/// `name`, or `name-2`, ... when it is taken; names differ by more than case.
fn unique(taken: &mut BTreeSet<String>, name: &str) -> String {
    let numbered = |n: usize| if n == 1 { name.to_owned() } else { format!("{name}-{n}") };
    let mut n = 1;
    while !taken.insert(numbered(n).to_ascii_lowercase()) {
        n += 1;
    }
    numbered(n)
}

/// One warning that lists the series that were not chosen.
fn others(study: &[Series], chosen: usize, path: &Path) -> Option<Warning> {
    let list: Vec<String> = (0..study.len())
        .filter(|&i| i != chosen)
        .filter_map(|i| {
            let h = study[i].speaker()?;
            let number = h.series_number.map_or("without number".into(), |n| n.to_string());
            let why = study[i].problem.as_deref().map_or("not chosen", |p| p.trim_end_matches('.'));
            Some(format!("series {number} ({} {} images: {why})", study[i].headers.len(), h.modality))
        })
        .collect();
    let message = format!("{}: the study holds other series too: {}.", path.display(), list.join("; "));
    (!list.is_empty()).then(|| Warning { code: "other-series".into(), message, slices: vec![] })
}

/// Why no series of a study can be screened: the reason of its largest.
fn refusal(study: &[Series]) -> Option<Error> {
    let largest = study.iter().max_by_key(|s| s.headers.len())?;
    let files: Vec<PathBuf> = largest.headers.iter().map(|h| h.path.clone()).collect();
    let path = if let [file] = files.as_slice() { file.clone() } else { common_folder(&files) };
    Some(Error::Refused { path, reason: largest.problem.clone()? })
}
