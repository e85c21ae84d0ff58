//! What there is to read below some paths.

use crate::archive::{self, Unpacked};
use crate::dicom::choose::{Choice, choose};
use crate::dicom::damage::Lost;
use crate::dicom::directory;
use crate::dicom::header::{Damage, Header};
use crate::dicom::object::{Look, look};
use crate::dicom::series::{Series, sort};
use crate::dicom::{Problem, warning};
use crate::grids::{self, Kind};
use crate::nifti::partner;
use crate::tree::{Tree, common_folder, name_below, unique};
use crate::{Error, Limits, Result, Source, SourceFormat, Warning};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::ffi::OsStr;
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
    /// The path as it was given, or the folder that an archive was unpacked into.
    root: PathBuf,
    /// The archive that all of it lies in.
    pub(crate) archive: Option<Unpacked>,
    pub(crate) studies: Vec<Study>,
    /// Files that hold a volume each.
    pub(crate) volumes: Vec<(PathBuf, SourceFormat)>,
    pub(crate) refused: Vec<Error>,
    /// What was passed over, and where it lies.
    pub(crate) passed: Vec<(PathBuf, Warning)>,
}

/// Finds every scan below `paths`: files (DICOM, DICOMDIR, NIfTI, MetaImage, NRRD, zip archives of them)
/// and folders, searched recursively; one source per DICOM study and per volume file. What a file
/// is its first bytes say, or where they do not, its name. DICOM files named one by one are taken
/// together, a DICOMDIR stands for the files that it names. In folders, files that are no medical
/// images are passed over; a damaged DICOM file refuses the series that it belongs to.
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
    find(paths, limits, &mut |found| {
        let (first, first_refused) = (search.sources.len(), search.refused.len());
        for (path, format) in found.volumes {
            let name = unique(&mut names, &name_below(&found.root, &path));
            let files = grids::files(&path, format, limits);
            search.sources.push(Source { path, name, format, files, archive: None, warnings: vec![] });
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
        if let Some(unpacked) = found.archive {
            search.sources[first..].iter_mut().for_each(|source| source.tell(&unpacked));
            search.refused[first_refused..].iter_mut().for_each(|e| e.tell(&unpacked));
        }
    });
    Ok(search)
}

/// The sources that a file passed over may belong to: the only one there is, or those whose folder
/// holds the file.
fn owners<'a>(sources: &'a mut [Source], path: &Path) -> Vec<&'a mut Source> {
    let only = sources.len() == 1;
    sources.iter_mut().filter(|s| only || path.starts_with(common_folder(&s.files))).collect()
}

impl Source {
    /// Names the files of an archive as they are told.
    fn tell(&mut self, unpacked: &Unpacked) {
        self.path = unpacked.told(&self.path);
        self.files.iter_mut().for_each(|f| *f = unpacked.told(f));
        self.archive = Some(unpacked.archive().to_owned());
    }
}

/// Looks at every path, sorts what is there and hands it on; one archive at a time is unpacked.
pub(crate) fn find(paths: &[PathBuf], limits: &Limits, each: &mut dyn FnMut(Found)) {
    let mut single_dicom: Vec<PathBuf> = Vec::new();
    for path in paths {
        match std::fs::metadata(path) {
            Err(e) => each(Found::refused(path, Error::unreadable(path, e))),
            Ok(m) if m.is_dir() => match folder(path, limits) {
                Err(e) => each(Found::refused(path, e)),
                Ok((found, archives)) => {
                    each(found);
                    archives
                        .iter()
                        .for_each(|archive| each(of_archive(archive, limits).without_nothing(archive)));
                }
            },
            Ok(m) if m.is_file() && m.len() == 0 => each(Found::refused(path, empty_file(path))),
            Ok(_) if archive::is_zip(path) => each(of_archive(path, limits)),
            Ok(_) if is_directory(path) => each(match directory::listed(path, limits) {
                Some(files) => medium(path, &files, limits),
                None => Found::refused(path, not_an_image(path)),
            }),
            Ok(_) if look(path) == Look::Dicom => single_dicom.push(path.clone()),
            Ok(_) => each(match grids::kind(path) {
                Some(kind) => named_volume(path, kind),
                None => Found::refused(path, not_an_image(path)),
            }),
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
        each(found);
    }
}

/// What a zip archive holds.
fn of_archive(path: &Path, limits: &Limits) -> Found {
    let unpacked = match Unpacked::of(path, limits) {
        Ok(unpacked) => unpacked,
        Err(e) => return Found::refused(path, e),
    };
    let mut found = match folder(unpacked.root(), limits) {
        Ok((found, _)) => found,
        Err(e) => Found::refused(path, e),
    };
    found.root = unpacked.home().to_owned();
    Found { archive: Some(unpacked), ..found }
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
        Ok(Source { path, name, format: SourceFormat::Dicom, files, archive: None, warnings })
    }
}

impl Found {
    fn empty(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            archive: None,
            studies: vec![],
            volumes: vec![],
            refused: vec![],
            passed: vec![],
        }
    }

    fn refused(root: &Path, error: Error) -> Self {
        Self { refused: vec![error], ..Self::empty(root) }
    }

    /// For an archive met in a folder: that it holds no CT is told, and nothing is refused for it.
    fn without_nothing(mut self, archive: &Path) -> Self {
        let before = self.refused.len();
        self.refused.retain(|e| !matches!(e, Error::NothingFound { .. }));
        if self.refused.len() < before {
            let name = archive.file_name().unwrap_or_default().to_string_lossy();
            self.pass(
                archive,
                "archive-skipped",
                format!("The archive {name} was passed over: it holds no CT."),
            );
        }
        self
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

    /// Takes up a volume file of a folder tree; label maps and lone halves of pairs are passed over.
    fn volume(&mut self, path: &Path, kind: Kind, limits: &Limits) {
        let Some(format) = kind.format().filter(|_| !is_lone_header(path)) else { return };
        if grids::read::is_label_map(path, format, limits) {
            let message = format!("{} holds 8-bit labels, not HU; it was passed over.", self.below(path));
            self.pass(path, "label-map-skipped", message);
        } else {
            self.volumes.push((path.to_owned(), format));
        }
    }

    /// Damaged files that belong to no series. In a folder that holds none of a study's files they may
    /// be all that is left of a scan: the first of them is refused. The others are told of.
    fn tell_damaged(&mut self, damaged: Vec<Error>) {
        let headers = self.studies.iter().flat_map(|s| &s.series).flat_map(|s| &s.headers);
        let studied: BTreeSet<&Path> = headers.filter_map(|h| h.path.parent()).collect();
        let of_a_study =
            |folder: &Path| studied.iter().any(|s| s.starts_with(folder) || folder.starts_with(s));
        let mut told: BTreeSet<PathBuf> = BTreeSet::new();
        let (lost, passed): (Vec<Error>, Vec<Error>) = damaged.into_iter().partition(|e| {
            let folder = e.path().parent().unwrap_or(e.path());
            !of_a_study(folder) && told.insert(folder.to_owned())
        });
        self.refused.extend(lost);
        for e in passed {
            let message = format!("The DICOM file {} was passed over. {}", self.below(e.path()), e.reason());
            self.pass(e.path(), "unreadable-file", message);
        }
    }

    /// Files that are no DICOM and are named as the DICOM files beside them: each may be a slice whose
    /// first bytes are damaged, and at an end of the stack no gap would tell.
    fn tell_unknown(&mut self, dicom: &[PathBuf], other: &[PathBuf]) {
        let kind = |f: &PathBuf| (f.parent().map(Path::to_owned), f.extension().map(OsStr::to_owned));
        let kinds: BTreeSet<_> = dicom.iter().map(kind).collect();
        for file in other.iter().filter(|f| kinds.contains(&kind(f))) {
            let message = format!(
                "The file {} was passed over: it is not DICOM, but named like the DICOM files beside it. If it was \
                 a slice, it is damaged.",
                self.below(file)
            );
            self.pass(file, "unreadable-file", message);
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

fn empty_file(path: &Path) -> Error {
    Error::Refused { path: path.to_owned(), reason: "The file is empty.".into() }
}

fn not_an_image(path: &Path) -> Error {
    let reason =
        "This is no medical image that is read here; give a DICOM folder, file or zip, NIfTI (.nii, .nii.gz), \
                  MetaImage (.mha, .mhd) or NRRD (.nrrd, .nhdr)."
            .into();
    Error::Refused { path: path.to_owned(), reason }
}

/// Whether a file is named as the header of a NIfTI pair, and its voxels are missing.
fn is_lone_header(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    name.trim_end_matches(".gz").ends_with(".hdr") && partner(path, "img").is_none()
}

/// A volume file that was named: of a NIfTI pair, either half may be.
fn named_volume(path: &Path, kind: Kind) -> Found {
    let (header, format) = match kind.format() {
        Some(format) => (Some(path.to_owned()), format),
        None => (partner(path, "hdr"), SourceFormat::Nifti),
    };
    match header {
        Some(header) => Found { volumes: vec![(header, format)], ..Found::empty(path) },
        None => {
            let reason = "The .hdr file that describes this .img is missing beside it.".into();
            Found::refused(path, Error::Refused { path: path.to_owned(), reason })
        }
    }
}

/// Files by what they are.
#[derive(Default)]
struct Sorted {
    volumes: Vec<(PathBuf, Kind)>,
    dicom: Vec<PathBuf>,
    /// What an interrupted copy may have left of DICOM files.
    stubs: Vec<PathBuf>,
    archives: Vec<PathBuf>,
    /// What is none of them.
    other: Vec<PathBuf>,
}

fn sorted(files: Vec<PathBuf>) -> Sorted {
    let seen: Vec<(Look, Option<Kind>)> = files
        .par_iter()
        .map(|f| match look(f) {
            Look::Dicom => (Look::Dicom, None),
            other => (other, grids::kind(f)),
        })
        .collect();
    let mut all = Sorted::default();
    for (file, seen) in files.into_iter().zip(seen) {
        match seen {
            (_, Some(kind)) => all.volumes.push((file, kind)),
            (Look::Dicom, None) => all.dicom.push(file),
            (Look::Stub, None) => all.stubs.push(file),
            (Look::Other, None) if archive::is_named_zip(&file) => all.archives.push(file),
            (Look::Other, None) => all.other.push(file),
        }
    }
    all
}

/// Everything in a folder tree, and the archives in it.
fn folder(root: &Path, limits: &Limits) -> Result<(Found, Vec<PathBuf>)> {
    let tree = Tree::of(root, limits.files)?;
    let mut found = Found::empty(root);
    for (path, e) in &tree.closed {
        let message = format!("The folder {} could not be looked into: {e}.", found.below(path));
        found.pass(path, "unreadable-folder", message);
    }
    let Sorted { volumes, dicom, stubs, archives, other } = sorted(tree.files);
    volumes.iter().for_each(|(path, kind)| found.volume(path, *kind, limits));
    let damaged = found.dicom(&dicom, &stubs, limits);
    found.tell_damaged(damaged);
    found.tell_unknown(&dicom, &other);
    for directory in dicom.iter().filter(|f| is_directory(f)) {
        let files = directory::listed(directory, limits).unwrap_or_default();
        found.check_listed(directory, &files);
    }
    if found.volumes.is_empty() && found.studies.is_empty() && found.refused.is_empty() && archives.is_empty()
    {
        let reason =
            "No CT was found in this folder; it should hold DICOM, NIfTI, MetaImage or NRRD files.".into();
        found.refused.push(Error::NothingFound { path: root.to_owned(), reason });
    }
    Ok((found, archives))
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
