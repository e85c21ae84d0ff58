//! What there is to read below some paths.

use crate::dicom::choose::{Choice, choose};
use crate::dicom::damage::Lost;
use crate::dicom::directory;
use crate::dicom::header::{Damage, Header};
use crate::dicom::object::{Look, look};
use crate::dicom::series::{Series, sort};
use crate::dicom::{Problem, warning};
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
    /// The series to screen, if any can be.
    pub(crate) choice: Option<Choice>,
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

/// Finds every scan below `paths`: files (.nii, .nii.gz, .hdr with .img, DICOM, DICOMDIR) and
/// folders, searched recursively; one source per DICOM study and per NIfTI file. DICOM files named
/// one by one are taken together, a DICOMDIR stands for the files that it names. In folders, files
/// that are no medical images are passed over; a damaged DICOM file refuses the series that it
/// belongs to.
///
/// The series of a study is chosen by these rules, in this order: CT that can be read and whose
/// geometry can be trusted; coverage of the chest; original before derived; complete before
/// mended; the class of slice spacing (3, 5.5, 10 mm); a smooth kernel before a sharp one; axial
/// before other planes; the most slices; the lowest series number. The others are listed in the
/// source's warnings.
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
                // A study of nothing but reports is none to be screened.
                Err(_) if !study.is_image() && found.studies.len() > 1 => {}
                Err(e) => search.refused.push(e),
            }
        }
        for (path, warning) in found.passed {
            let owners = owners(&mut search.sources[first..], &path);
            if owners.is_empty() {
                search.warnings.push(warning.clone());
            }
            owners.into_iter().for_each(|source| source.warnings.push(warning.clone()));
        }
    }
    Ok(search)
}

/// The sources that a file passed over may belong to: the only one there is, or those whose folder
/// holds the file.
fn owners<'a>(sources: &'a mut [Source], path: &Path) -> Vec<&'a mut Source> {
    let only = sources.len() == 1;
    sources.iter_mut().filter(|s| only || path.starts_with(common_folder(&s.files))).collect()
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
                None if is_directory(path) => match directory::listed(path, limits) {
                    Some(files) => all.push(medium(path, &files, limits)),
                    None => all.push(Found::refused(path, not_an_image(path))),
                },
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
    fn of(series: Vec<Series>) -> Self {
        let choice = choose(&series);
        Self { series, choice }
    }

    fn is_image(&self) -> bool {
        self.series.iter().any(Series::is_image)
    }

    /// The chosen series as a source, or why there is none.
    fn source(&self, root: &Path, names: &mut BTreeSet<String>) -> Result<Source> {
        let Some(choice) = &self.choice else { return Err(refusal(&self.series)) };
        let series = &self.series[choice.index];
        let files: Vec<PathBuf> = series.headers.iter().map(|h| h.path.clone()).collect();
        let folder = common_folder(&files);
        let name = unique(names, &name_below(root, &folder));
        let path = if let [file] = files.as_slice() { file.clone() } else { folder };
        // What reading finds anew is not told twice.
        let left_out = series.warnings.iter().filter(|w| w.code == "unfit-file-dropped").cloned();
        let warnings = left_out.chain(others(&self.series, choice)).collect();
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
        self.passed.push((path.to_owned(), warning(code, message, vec![])));
    }

    /// Reads the headers in parallel and sorts them into studies. Returns what is damaged and
    /// belongs to no series that could be told.
    fn dicom(&mut self, files: &[PathBuf], stubs: &[PathBuf], limits: &Limits) -> Vec<Error> {
        let read: Vec<std::result::Result<Option<Header>, Damage>> =
            files.par_iter().map(|f| Header::read(f, limits)).collect();
        let mut headers = Vec::new();
        let mut damaged: Vec<Damage> = stubs.iter().map(|s| Damage::stub(s)).collect();
        for header in read {
            match header {
                Ok(header) => headers.extend(header),
                Err(damage) => damaged.push(damage),
            }
        }
        let (lost, stray) = Lost::of(&headers, damaged);
        self.studies = sort(headers)
            .into_iter()
            .map(|(study, series)| {
                let of =
                    |(uid, headers): (String, Vec<Header>)| Series::of(headers, lost.of_series(&study, &uid));
                Study::of(series.into_iter().map(of).collect())
            })
            .collect();
        let first = |s: &Study| s.series.iter().flat_map(|s| &s.headers).map(|h| h.path.clone()).min();
        self.studies.sort_by_cached_key(first);
        stray
    }

    /// Tells of files that a directory names and that are not there: they may be slices.
    fn check_listed(&mut self, directory: &Path, files: &[PathBuf]) {
        let missing = files.iter().filter(|f| !f.exists()).count();
        if missing > 0 {
            let message = format!("{missing} of {} files that the DICOMDIR names are missing.", files.len());
            self.pass(directory, "dicomdir-file-missing", message);
        }
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

    /// Damaged files that belong to no series: the reason when there is nothing else to show,
    /// else told of.
    fn tell_damaged(&mut self, damaged: Vec<Error>) {
        if self.studies.is_empty() {
            self.refused.extend(damaged.into_iter().take(1));
            return;
        }
        for e in damaged {
            let message = format!("The DICOM file {} was passed over. {}", self.below(e.path()), e.reason());
            self.pass(e.path(), "unreadable-file", message);
        }
    }

    /// A path as seen from the root.
    fn below(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

fn is_directory(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("DICOMDIR"))
}

/// The files that a DICOMDIR names.
fn medium(directory: &Path, files: &[PathBuf], limits: &Limits) -> Found {
    let mut found = Found::empty(directory.parent().unwrap_or(directory));
    let there: Vec<PathBuf> = files.iter().filter(|f| f.exists()).take(limits.files).cloned().collect();
    let damaged = found.dicom(&there, &[], limits);
    found.tell_damaged(damaged);
    found.check_listed(directory, files);
    if found.studies.is_empty() && found.refused.is_empty() {
        let reason = "None of the files that this DICOMDIR names is an image that can be read.".into();
        found.refused.push(Error::NothingFound { path: directory.to_owned(), reason });
    }
    found
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
    let dicom = all(Look::Dicom);
    let damaged = found.dicom(&dicom, &all(Look::Stub), limits);
    found.tell_damaged(damaged);
    for directory in dicom.iter().filter(|f| is_directory(f)) {
        let files = directory::listed(directory, limits).unwrap_or_default();
        found.check_listed(directory, &files);
    }
    if found.nifti.is_empty() && found.studies.is_empty() && found.refused.is_empty() {
        let reason = "No CT was found in this folder; it should hold DICOM files, .nii or .nii.gz.".into();
        found.refused.push(Error::NothingFound { path: root.to_owned(), reason });
    }
    Ok(found)
}

/// One warning that lists the series that were not chosen.
fn others(study: &[Series], choice: &Choice) -> Option<Warning> {
    let list: Vec<String> = (0..study.len())
        .filter(|&i| i != choice.index)
        .filter_map(|i| {
            let h = study[i].speaker()?;
            let number = h.series_number.map_or("without number".into(), |n| n.to_string());
            let why = choice.reasons[i].trim_end_matches('.');
            Some(format!("series {number} ({} {} files: {why})", study[i].headers.len(), h.modality))
        })
        .collect();
    let message = format!("The study holds other series too: {}.", list.join("; "));
    (!list.is_empty()).then(|| warning("other-series", message, vec![]))
}

/// Why no series of a study can be screened: the reason of its largest.
fn refusal(study: &[Series]) -> Error {
    let largest = study.iter().max_by_key(|s| (s.is_image(), s.headers.len()));
    let files: Vec<PathBuf> = largest.iter().flat_map(|s| &s.headers).map(|h| h.path.clone()).collect();
    let culprit = largest.and_then(|s| s.culprit.clone());
    let path = match (culprit, files.as_slice()) {
        (Some(file), _) => file,
        (None, [file]) => file.clone(),
        _ => common_folder(&files),
    };
    let none = || Problem::new("no-image", "It holds no CT series.");
    largest.and_then(|s| s.problem.clone()).unwrap_or_else(none).at(&path)
}
