//! What there is to read below some paths.

use crate::dicom::choose::{Series, choose, studies};
use crate::dicom::header::Header;
use crate::dicom::object::{Look, look};
use crate::nifti::{self, Kind};
use crate::tree::{Tree, common_folder, name_below, unique};
use crate::{Error, Limits, Result, Source, SourceFormat, Warning};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Debug, Default)]
pub struct Search {
    /// One for each study or file that can be tried, in the order of the paths given.
    pub sources: Vec<Source>,
    /// What was named or found but cannot be screened, with the reason.
    pub refused: Vec<Error>,
    /// What was passed over and belongs to none of the sources; what belongs to one is in its
    /// [`Source::warnings`].
    pub warnings: Vec<Warning>,
}

/// One DICOM study, and what would be screened of it.
pub(crate) struct Study {
    pub(crate) series: Vec<Series>,
    /// Index of the series to screen, and why it.
    pub(crate) chosen: Option<(usize, String)>,
    /// A damaged file in the folder of that series, and what is wrong with it: a lost slice at
    /// an end leaves no gap that would tell of it.
    pub(crate) damage: Option<(PathBuf, String)>,
}

/// Studies and files found below one path.
pub(crate) struct Found {
    /// The path as it was given.
    root: PathBuf,
    pub(crate) studies: Vec<Study>,
    pub(crate) nifti: Vec<PathBuf>,
    pub(crate) refused: Vec<Error>,
    /// What was passed over, and where it lies.
    pub(crate) passed: Vec<(PathBuf, Warning)>,
}

/// Finds every scan below `paths`: files (.nii, .nii.gz, .hdr with .img, DICOM) and folders,
/// searched recursively; one source per DICOM study and per NIfTI file. DICOM files named one by
/// one are taken together. In folders, files that are no medical images are passed over; a
/// damaged DICOM file in the folder of a chosen series refuses that series.
///
/// The series of a study is chosen by these rules, in this order: CT that can be read; axial;
/// original; at least 150 mm long; the most slices; among nearly as many, the smoothest kernel,
/// then the lowest series number. The others are listed in the source's warnings.
///
/// # Errors
/// [`Error::NothingFound`] when `paths` is empty. What is wrong with single paths, such as more
/// than `limits.files` files in a folder tree, is in [`Search::refused`].
pub fn find_sources(paths: &[PathBuf], limits: &Limits) -> Result<Search> {
    if paths.is_empty() {
        let reason = "Nothing was named to look at.".into();
        return Err(Error::NothingFound { path: PathBuf::new(), reason });
    }
    let mut search = Search::default();
    let mut names = BTreeSet::new();
    for found in find(paths, limits) {
        let first = search.sources.len();
        for path in found.nifti {
            let name = unique(&mut names, &name_below(&found.root, &path));
            let files = vec![path.clone()];
            search.sources.push(Source { path, name, format: SourceFormat::Nifti, files, warnings: vec![] });
        }
        search.refused.extend(found.refused);
        for study in &found.studies {
            match study.source(&found.root, &mut names) {
                Ok(source) => search.sources.push(source),
                Err(e) => search.refused.push(e),
            }
        }
        for (path, warning) in found.passed {
            match owner(&mut search.sources[first..], &path) {
                Some(source) => source.warnings.push(warning),
                None => search.warnings.push(warning),
            }
        }
    }
    Ok(search)
}

/// The source that a file passed over belongs to: the only one there is, or the only one whose
/// folder holds the file.
fn owner<'a>(sources: &'a mut [Source], path: &Path) -> Option<&'a mut Source> {
    if let [_] = sources {
        return sources.first_mut();
    }
    let mut near = sources.iter_mut().filter(|s| path.starts_with(common_folder(&s.files)));
    let source = near.next();
    if near.next().is_some() { None } else { source }
}

/// Looks at every path and sorts what is there.
pub(crate) fn find(paths: &[PathBuf], limits: &Limits) -> Vec<Found> {
    let mut all = Vec::new();
    let mut single_dicom: Vec<PathBuf> = Vec::new();
    for path in paths {
        match std::fs::metadata(path) {
            Err(e) => all.push(Found::refused(path, Error::unreadable(path, e))),
            Ok(m) if m.is_dir() => {
                all.push(folder(path, limits).unwrap_or_else(|e| Found::refused(path, e)));
            }
            Ok(_) => match nifti::kind(path) {
                Some(kind) => all.push(named_nifti(path, kind)),
                None if look(path) == Look::Dicom => single_dicom.push(path.clone()),
                None => all.push(Found::refused(path, not_an_image(path))),
            },
        }
    }
    if let Some(first) = single_dicom.first() {
        let root = if single_dicom.len() == 1 { first.clone() } else { common_folder(&single_dicom) };
        let mut found = Found::empty(&root);
        // A damaged file that was named is not passed over.
        let damaged = found.dicom(&single_dicom, &[], limits);
        found.refused.extend(damaged);
        if found.studies.is_empty() && found.refused.is_empty() {
            let reason = "The DICOM file holds no image; it may be cut short.".into();
            found.refused.push(Error::NothingFound { path: root, reason });
        }
        all.push(found);
    }
    all
}

impl Study {
    fn of(series: Vec<Series>, damaged: &[Error], stubs: &[PathBuf]) -> Self {
        let chosen = choose(&series);
        let files = chosen.iter().flat_map(|c| &series[c.0].headers).map(|h| h.path.as_path());
        let files: Vec<&Path> = files.collect();
        let folders: BTreeSet<Option<&Path>> = files.iter().map(|f| f.parent()).collect();
        let kinds: BTreeSet<_> = files.iter().map(|f| (f.parent(), f.extension())).collect();
        let broken = damaged.iter().find(|e| folders.contains(&e.path().parent()));
        let stub = stubs.iter().find(|s| kinds.contains(&(s.parent(), s.extension())));
        let empty = || "The file is empty or holds nothing but zeros, as after a copy that was broken off.";
        let damage = broken.map(|e| (e.path().to_owned(), e.reason()));
        let damage = damage.or_else(|| stub.map(|s| (s.clone(), empty().to_owned())));
        let damage = damage.map(|(path, reason)| {
            let advice = "It lies with the files of a series, which may lack this slice: copy the series again, \
                          or take the file away if it does not belong to it.";
            (path, format!("{reason} {advice}"))
        });
        Self { series, chosen, damage }
    }

    /// The chosen series as a source, or why there is none.
    fn source(&self, root: &Path, names: &mut BTreeSet<String>) -> Result<Source> {
        let Some((chosen, _)) = self.chosen else { return Err(refusal(&self.series)) };
        if let Some((path, reason)) = self.damage.clone() {
            return Err(Error::Refused { path, reason });
        }
        let series = &self.series[chosen];
        let files: Vec<PathBuf> = series.headers.iter().map(|h| h.path.clone()).collect();
        let folder = common_folder(&files);
        let name = unique(names, &name_below(root, &folder));
        let path = if let [file] = files.as_slice() { file.clone() } else { folder };
        let warnings = series.dropped.iter().cloned().chain(others(&self.series, chosen)).collect();
        Ok(Source { path, name, format: SourceFormat::Dicom, files, warnings })
    }
}

impl Found {
    fn empty(root: &Path) -> Self {
        Self { root: root.to_owned(), studies: vec![], nifti: vec![], refused: vec![], passed: vec![] }
    }

    fn refused(root: &Path, error: Error) -> Self {
        Self { refused: vec![error], ..Self::empty(root) }
    }

    fn pass(&mut self, path: &Path, code: &str, message: String) {
        self.passed.push((path.to_owned(), Warning { code: code.into(), message, slices: vec![] }));
    }

    /// Reads the headers in parallel and sorts them into studies. Returns what is damaged and lies
    /// with no chosen series.
    fn dicom(&mut self, files: &[PathBuf], stubs: &[PathBuf], limits: &Limits) -> Vec<Error> {
        let read: Vec<Result<Option<Header>>> = files.par_iter().map(|f| Header::read(f, limits)).collect();
        let mut headers = Vec::new();
        let mut damaged = Vec::new();
        for header in read {
            match header {
                Ok(Some(h)) => headers.push(h),
                Ok(None) => {}
                Err(e) => damaged.push(e),
            }
        }
        self.studies = studies(headers).into_iter().map(|s| Study::of(s, &damaged, stubs)).collect();
        let told: BTreeSet<&Path> =
            self.studies.iter().filter_map(|s| s.damage.as_ref()?.0.parent()).collect();
        damaged.retain(|e| e.path().parent().is_none_or(|folder| !told.contains(folder)));
        damaged
    }

    /// Takes up the NIfTI files of a folder tree; label maps and lone halves are passed over.
    fn volumes(&mut self, files: Vec<PathBuf>) {
        for path in files {
            let complete = match nifti::kind(&path) {
                Some(Kind::Single) => true,
                Some(Kind::Header) => nifti::partner(&path, "img").is_some(),
                _ => false,
            };
            match complete.then(|| nifti::read::is_label_map(&path)) {
                Some(false) => self.nifti.push(path),
                Some(true) => {
                    let message =
                        format!("{} holds 8-bit labels, not HU; it was passed over.", self.below(&path));
                    self.pass(&path, "label-map-skipped", message);
                }
                None => {}
            }
        }
    }

    /// A path as seen from the root.
    fn below(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
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
    let tree = Tree::of(root, limits.files)?;
    let mut found = Found::empty(root);
    for (path, e) in &tree.closed {
        let message = format!("The folder {} could not be looked into: {e}.", found.below(path));
        found.pass(path, "unreadable-folder", message);
    }
    let (nifti, rest): (Vec<PathBuf>, Vec<PathBuf>) =
        tree.files.into_iter().partition(|f| nifti::kind(f).is_some());
    found.volumes(nifti);
    let looks: Vec<Look> = rest.par_iter().map(|f| look(f)).collect();
    let all = |want: Look| -> Vec<PathBuf> {
        rest.iter().zip(&looks).filter(|(_, look)| **look == want).map(|(f, _)| f.clone()).collect()
    };
    let damaged = found.dicom(&all(Look::Dicom), &all(Look::Stub), limits);
    if found.studies.is_empty() {
        // Nothing else to show for it: say why.
        found.refused.extend(damaged.into_iter().take(1));
    } else {
        for e in damaged {
            let message = format!("The DICOM file {} was passed over. {}", found.below(e.path()), e.reason());
            found.pass(e.path(), "unreadable-file", message);
        }
    }
    if found.nifti.is_empty() && found.studies.is_empty() && found.refused.is_empty() {
        let reason = "No CT was found in this folder; it should hold DICOM files, .nii or .nii.gz.".into();
        found.refused.push(Error::NothingFound { path: root.to_owned(), reason });
    }
    Ok(found)
}

/// One warning that lists the series that were not chosen.
fn others(study: &[Series], chosen: usize) -> Option<Warning> {
    let list: Vec<String> = (0..study.len())
        .filter(|&i| i != chosen)
        .filter_map(|i| {
            let h = study[i].speaker()?;
            let number = h.series_number.map_or("without number".into(), |n| n.to_string());
            let why = study[i].problem.as_deref().map_or("not chosen", |p| p.trim_end_matches('.'));
            Some(format!("series {number} ({} {} images: {why})", study[i].headers.len(), h.modality))
        })
        .collect();
    let message = format!("The study holds other series too: {}.", list.join("; "));
    (!list.is_empty()).then(|| Warning { code: "other-series".into(), message, slices: vec![] })
}

/// Why no series of a study can be screened: the reason of its largest.
fn refusal(study: &[Series]) -> Error {
    let largest = study.iter().max_by_key(|s| s.headers.len());
    let files: Vec<PathBuf> = largest.iter().flat_map(|s| &s.headers).map(|h| h.path.clone()).collect();
    let culprit = largest.and_then(|s| s.culprit.clone());
    let path = match (culprit, files.as_slice()) {
        (Some(file), _) => file,
        (None, [file]) => file.clone(),
        _ => common_folder(&files),
    };
    let reason = largest.and_then(|s| s.problem.clone()).unwrap_or_else(|| "It holds no CT series.".into());
    Error::Refused { path, reason }
}
