//! A user's own labelled scans, as a CSV names them.

use crate::data::Split;
use crate::{Error, Result};
use pleura_evaluate::{NO_INFECTION, NO_INFECTION_COLUMN};
use pleura_formats::{Limits, Scan, find_sources, read};
use pleura_volume::{Box3, Mask};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Largest distance of the corners of a mask's grid from those of its scan, mm.
const SAME_GRID_MM: f64 = 0.01;

/// One line. Paths are relative to the folder of the CSV.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// Name of the case, unique.
    case: String,
    /// Whose scan it is: all scans of one patient must be of one split.
    patient: String,
    /// Anything that `pleura screen` reads, holding one scan.
    path: PathBuf,
    /// `no-infection-found`, or the type of infection.
    class: String,
    /// `train`, `validation` or `test`; the last is left alone here.
    split: String,
    /// A volume on the scan's grid, other than 0 where tissue is infected.
    #[serde(default)]
    mask: Option<PathBuf>,
    /// A JSON with `regions`, each with a `box_mm` in LPS mm, as in a phantom's `truth.json`.
    #[serde(default)]
    boxes: Option<PathBuf>,
}

/// What is known of where a case is infected.
#[derive(Debug, Clone, PartialEq)]
enum Marks {
    Mask(PathBuf),
    Boxes(PathBuf),
    Nothing,
}

/// One case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    pub name: String,
    path: PathBuf,
    /// Index into the classes of the manifest; their number: no infection.
    pub class: usize,
    marks: Marks,
}

/// Checked lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manifest {
    path: PathBuf,
    /// Types of infection, in alphabetical order.
    pub classes: Vec<String>,
    cases: [Vec<Case>; 2],
}

#[derive(Deserialize)]
struct Boxes {
    regions: Vec<Marked>,
}

#[derive(Deserialize)]
struct Marked {
    box_mm: Box3,
}

fn wrong(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::Config(format!("{}: {what}", path.display()))
}

impl Manifest {
    /// Reads and checks a manifest; no scan is opened yet.
    ///
    /// # Errors
    /// [`Error::Config`] names the line: a column is missing or unknown, a case or path stands twice,
    /// one patient is in two splits, a split is empty, there is no infection to learn.
    pub fn read(path: &Path) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_path(path)
            .map_err(|_| wrong(path, "the manifest cannot be read"))?;
        let lines: std::result::Result<Vec<Line>, _> = reader.deserialize().collect();
        let lines = lines.map_err(|e| wrong(path, e))?;
        Self::check(path, &lines)?;
        let classes: BTreeSet<&str> =
            lines.iter().map(|l| l.class.as_str()).filter(|c| *c != NO_INFECTION).collect();
        let classes: Vec<String> = classes.into_iter().map(String::from).collect();
        if classes.is_empty() {
            return Err(wrong(path, "no case is of an infection; `class` names its type"));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let case = |l: &Line| Case {
            name: l.case.clone(),
            path: folder.join(&l.path),
            class: classes.iter().position(|c| *c == l.class).unwrap_or(classes.len()),
            marks: match (&l.mask, &l.boxes) {
                (Some(p), _) => Marks::Mask(folder.join(p)),
                (None, Some(p)) => Marks::Boxes(folder.join(p)),
                (None, None) => Marks::Nothing,
            },
        };
        let of = |split: &str| lines.iter().filter(|l| l.split == split).map(case).collect::<Vec<_>>();
        let cases = [of("train"), of("validation")];
        if cases.iter().any(Vec::is_empty) {
            return Err(wrong(path, "cases of the splits `train` and `validation` are needed"));
        }
        Ok(Self { path: path.to_owned(), cases, classes })
    }

    fn check(path: &Path, lines: &[Line]) -> Result<()> {
        let mut split_of: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
        let mut seen = BTreeMap::new();
        for (i, l) in lines.iter().enumerate() {
            // The header is line 1. Lines are named, never patients.
            let line = i + 2;
            let say = |what: String| Err(wrong(path, format!("line {line}: {what}")));
            if [&l.case, &l.patient, &l.class].iter().any(|v| v.is_empty()) || l.path.as_os_str().is_empty() {
                return say("case, patient, path and class must not be empty".into());
            }
            if !["train", "validation", "test"].contains(&l.split.as_str()) {
                return say("`split` must be train, validation or test".into());
            }
            if l.class == pleura_screen::IRRELEVANT {
                return say(format!("a case without infection is of the class {NO_INFECTION}"));
            }
            if l.class == NO_INFECTION_COLUMN {
                return say(format!(
                    "no class may be called `{NO_INFECTION_COLUMN}`: cases.csv has such a column"
                ));
            }
            if l.mask.is_some() && l.boxes.is_some() {
                return say("give a mask or boxes, not both".into());
            }
            for key in [format!("case {}", l.case), format!("path {}", l.path.display())] {
                if let Some(other) = seen.insert(key, line) {
                    return say(format!("the same case or path stands in line {other}"));
                }
            }
            match split_of.insert(&l.patient, (&l.split, line)) {
                Some((split, other)) if split != l.split => {
                    return say(format!("the patient is of another split in line {other}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The cases of a split.
    pub fn of(&self, split: Split) -> &[Case] {
        &self.cases[split as usize - 1]
    }

    /// An infected case of which nobody says where.
    pub fn unmarked(&self) -> Option<&str> {
        let nowhere = |c: &&Case| c.class < self.classes.len() && c.marks == Marks::Nothing;
        self.cases.iter().flatten().find(nowhere).map(|c| c.name.as_str())
    }

    /// Opens a case: its scan and its infected voxels, and whether these were traced (else they are
    /// the insides of boxes). `None` where nothing is known of where the infection is.
    ///
    /// # Errors
    /// [`Error::Config`] names the case and says why it cannot be read.
    pub fn open(&self, case: &Case) -> Result<(Scan, Option<(Mask, bool)>)> {
        let say = |what: String| wrong(&self.path, format!("case {}: {what}", case.name));
        let scan = the_scan(&case.path).map_err(|e| say(e.to_string()))?;
        scan.check_orientation(&case.path).map_err(|e| say(e.to_string()))?;
        let grid = &scan.volume.geometry;
        let marked = match &case.marks {
            _ if case.class == self.classes.len() => Some((Mask::filled(grid.clone(), 0), true)),
            Marks::Nothing => None,
            Marks::Mask(path) => {
                let mask = the_scan(path).map_err(|e| say(e.to_string()))?.volume;
                let far = |at: [f64; 3]| {
                    let (a, b) = (grid.to_lps(at), mask.geometry.to_lps(at));
                    (0..3).any(|k| (a[k] - b[k]).abs() > SAME_GRID_MM)
                };
                let last = grid.size.map(|n| n as f64 - 1.0);
                if mask.geometry.size != grid.size || far([0.0; 3]) || far(last) {
                    return Err(say(format!("{} does not lie on the scan's grid", path.display())));
                }
                let data = mask.data.iter().map(|v| u8::from(*v != 0)).collect();
                Some((Mask { geometry: grid.clone(), data }, true))
            }
            Marks::Boxes(path) => {
                let text = std::fs::read(path).map_err(|e| say(format!("{}: {e}", path.display())))?;
                let boxes: Boxes =
                    serde_json::from_slice(&text).map_err(|e| say(format!("{}: {e}", path.display())))?;
                let mut mask = Mask::filled(grid.clone(), 0);
                boxes.regions.iter().for_each(|r| fill(&mut mask, &r.box_mm));
                Some((mask, false))
            }
        };
        Ok((scan, marked))
    }
}

/// The one scan at a path.
fn the_scan(path: &Path) -> pleura_formats::Result<Scan> {
    let limits = Limits::default();
    let mut found = find_sources(&[path.to_owned()], &limits)?;
    match (found.sources.pop(), found.sources.len(), found.refused.pop()) {
        (Some(source), 0, _) => read(&source, &limits),
        (None, _, Some(refused)) => Err(refused),
        (None, _, None) => Err(pleura_formats::Error::NothingFound {
            path: path.to_owned(),
            reason: "It holds no scan.".into(),
        }),
        _ => Err(pleura_formats::Error::Refused {
            path: path.to_owned(),
            reason: "It holds several scans; name one of them.".into(),
        }),
    }
}

/// Marks the voxels of a box.
fn fill(mask: &mut Mask, b: &Box3) {
    let voxels = mask.geometry.voxel_box(b);
    for z in voxels.min[2]..voxels.max[2] {
        for y in voxels.min[1]..voxels.max[1] {
            let start = mask.offset([0, y, z]);
            mask.data[start + voxels.min[0]..start + voxels.max[0]].fill(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::result::Result<Manifest, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cases.csv");
        std::fs::write(&path, text).unwrap();
        Manifest::read(&path).map_err(|e| e.to_string())
    }

    #[test]
    fn classes_are_named_by_the_user_and_paths_lie_beside_the_manifest() {
        let m = read(
            "case,patient,path,class,split,mask,boxes\n\
             a,p1,scans/a,tuberculosis,train,a.nii.gz,\n\
             b,p2,scans/b,aspergillosis,train,,b.json\n\
             c,p3,/data/c,no-infection-found,validation,,\n\
             d,p4,scans/d,tuberculosis,test,,\n",
        )
        .unwrap();
        assert_eq!(m.classes, ["aspergillosis", "tuberculosis"]);
        let folder = m.path.parent().unwrap();
        let training = m.of(Split::Training);
        assert_eq!(training.iter().map(|c| c.class).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(training[0].path, folder.join("scans/a"));
        assert_eq!(training[0].marks, Marks::Mask(folder.join("a.nii.gz")));
        assert_eq!(training[1].marks, Marks::Boxes(folder.join("b.json")));
        let validation = m.of(Split::Validation);
        assert_eq!((validation.len(), validation[0].class), (1, 2));
        assert_eq!(validation[0].path, Path::new("/data/c"));
    }

    #[test]
    fn what_would_fool_the_training_is_refused_by_line_without_naming_a_patient() {
        let with = |lines: &str| read(&format!("case,patient,path,class,split\n{lines}")).unwrap_err();
        let same = with("a,Jane Doe,a,flu,train\nb,Jane Doe,b,flu,validation\n");
        assert!(same.contains("line 3") && same.contains("line 2") && !same.contains("Jane"), "{same}");
        assert!(with("a,p,a,flu,train\na,q,b,flu,validation\n").contains("line 3"));
        assert!(with("a,p,a,flu,train\nb,q,a,flu,validation\n").contains("line 3"));
        assert!(with("a,p,a,flu,training\n").contains("split"));
        assert!(with("a,p,a,flu,train\n").contains("validation"));
        assert!(
            with("a,p,a,no-infection-found,train\nb,q,b,no-infection-found,validation\n").contains("no case")
        );
        assert!(with("a,,a,flu,train\n").contains("empty"));
        assert!(with("a,p,a,irrelevant,train\n").contains("no-infection-found"));
        assert!(read("case,path\na,b\n").unwrap_err().contains("patient"));
    }
}
