//! Labelled scans to train and to validate on: phantoms, or a user's own.

use crate::cohort::{CohortRecipe, Development};
use crate::manifest::Manifest;
use crate::pool::each_case;
use crate::rng::Rng;
use crate::{Error, Result};
use pleura_evaluate::NO_INFECTION;
use pleura_phantom::{Class, Grid, Phantom, RenderOptions, TextureFamily, TruthRegion, render};
use pleura_screen::IRRELEVANT;
use pleura_volume::{Mask, Progress, Volume};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

/// Which cases: those of training and those of validation have none in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    Training = 1,
    Validation = 2,
}

/// A scan and the truth about it.
pub(crate) struct Labelled {
    /// HU on the scan's own grid.
    pub volume: Volume<i16>,
    /// 1 where tissue is infected, on the same grid; `None` where that is not known.
    pub infection: Option<Mask>,
    /// Whether the infected voxels were traced; else they are the insides of boxes.
    pub traced: bool,
    /// Index into the types of infection; their number where there is none.
    pub class: usize,
    /// Findings that are no infection, where they are known.
    pub irrelevant: Vec<TruthRegion>,
    /// Seed of what is drawn for the case.
    pub seed: u64,
}

impl Labelled {
    /// A phantom.
    pub fn phantom(p: Phantom) -> Self {
        Self {
            volume: p.volume,
            infection: Some(p.infection),
            traced: true,
            class: class_index(p.class),
            irrelevant: p.irrelevant,
            seed: p.seed,
        }
    }
}

/// Makes the phantom `index` of a split.
type Make<'a> = Box<dyn Fn(Split, usize) -> Phantom + Sync + 'a>;

enum Kind<'a> {
    Phantoms {
        make: Make<'a>,
        cases: [usize; 2],
    },
    /// With the hash of each scan's voxels, the split and the name of its case.
    Own {
        manifest: Manifest,
        seen: Mutex<BTreeMap<[u8; 32], (Split, String)>>,
    },
}

/// What classes are called.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// Of patches and regions, in output order: the types of infection, then [`IRRELEVANT`].
    pub regions: Vec<String>,
    /// Of cases: the types of infection, then [`NO_INFECTION`].
    pub cases: Vec<String>,
}

impl Names {
    pub fn new(infections: &[String]) -> Self {
        let with = |last: &str| infections.iter().cloned().chain([last.to_owned()]).collect();
        Self { regions: with(IRRELEVANT), cases: with(NO_INFECTION) }
    }
}

/// All cases of a training.
pub(crate) struct Data<'a> {
    kind: Kind<'a>,
    /// Types of infection; none of them is [`IRRELEVANT`].
    pub infections: Vec<String>,
}

/// Where cases come from, as both trainings' settings say it.
pub(crate) struct Origin<'a> {
    /// A manifest of one's own scans.
    pub data: Option<&'a Path>,
    /// A cohort.
    pub cohort: Option<&'a CohortRecipe>,
    /// Without either: the seed of phantoms, and how many for training and for validation.
    pub seed: u64,
    pub cases: [usize; 2],
}

impl<'a> Data<'a> {
    /// The cases of an origin; phantoms on the raster that `grid` has for their index.
    ///
    /// # Errors
    /// Those of [`Manifest::read`] and [`Development::new`]; [`Error::Config`] when both are named.
    pub fn new(origin: &Origin, grid: impl Fn(usize) -> Grid + Sync + 'a) -> Result<Self> {
        let seed = origin.seed;
        let (make, cases): (Make, _) = match (origin.data, origin.cohort) {
            (Some(_), Some(_)) => {
                return Err(Error::Config(
                    "either `data` or `cohort` says what to learn from, not both".into(),
                ));
            }
            (Some(path), None) => {
                let manifest = Manifest::read(path)?;
                let infections = manifest.classes.clone();
                return Ok(Self { kind: Kind::Own { manifest, seen: Mutex::default() }, infections });
            }
            (None, Some(recipe)) => {
                let cohort = Development::new(recipe)?;
                let cases = cohort.cases();
                (Box::new(move |split, i| cohort.phantom(split, i, grid(i))), cases)
            }
            (None, None) => (Box::new(move |split, i| phantom(seed, split, i, grid(i))), origin.cases),
        };
        Ok(Self { kind: Kind::Phantoms { make, cases }, infections: phantom_infections() })
    }

    /// Refuses a manifest that does not say of every case where it is infected.
    ///
    /// # Errors
    /// [`Error::Config`] names a case.
    pub fn require_marks(&self) -> Result<()> {
        let Kind::Own { manifest, .. } = &self.kind else { return Ok(()) };
        manifest.unmarked().map_or(Ok(()), |name| {
            Err(Error::Config(format!(
                "case {name}: the detector needs a mask or boxes of each infected case"
            )))
        })
    }

    /// Number of cases.
    pub fn count(&self, split: Split) -> usize {
        match &self.kind {
            Kind::Phantoms { cases, .. } => cases[split as usize - 1],
            Kind::Own { manifest, .. } => manifest.of(split).len(),
        }
    }

    /// One case.
    ///
    /// # Errors
    /// [`Error::Config`] names a case of one's own that cannot be read, or whose voxels are those of
    /// a case of the other split.
    pub fn case(&self, split: Split, index: usize) -> Result<Labelled> {
        let (manifest, seen) = match &self.kind {
            Kind::Phantoms { make, .. } => return Ok(Labelled::phantom(make(split, index))),
            Kind::Own { manifest, seen } => (manifest, seen),
        };
        let case = &manifest.of(split)[index];
        let (scan, marked) = manifest.open(case)?;
        let mut hash = Sha256::new();
        for row in scan.volume.data.chunks(4096) {
            hash.update(row.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
        }
        let mut seen = seen.lock().unwrap_or_else(|e| e.into_inner());
        if let Some((other, name)) = seen.insert(hash.finalize().into(), (split, case.name.clone()))
            && other != split
        {
            let what = format!("the cases {} and {name} of two splits are one scan", case.name);
            return Err(Error::Config(what));
        }
        let traced = marked.as_ref().is_some_and(|m| m.1);
        Ok(Labelled {
            volume: scan.volume,
            infection: marked.map(|m| m.0),
            traced,
            class: case.class,
            irrelevant: Vec::new(),
            seed: Rng::at(index as u64, &[split as u64]).bits(),
        })
    }

    /// Reads the scans of one's own of a split, so that those of the other are compared with them; phantoms
    /// have seeds.
    ///
    /// # Errors
    /// Those of [`Self::case`].
    pub fn remember(&self, split: Split, progress: &dyn Progress) -> Result<()> {
        let Kind::Own { .. } = &self.kind else { return Ok(()) };
        let read = |i| self.case(split, i).map(|_| None::<()>);
        each_case(self.count(split), "comparing the scans", progress, read).map(|_| ())
    }

    /// What the classes are called.
    pub fn names(&self) -> Names {
        Names::new(&self.infections)
    }

    /// What a model file says of its training.
    pub fn told(&self, what: &str) -> String {
        let [training, validation] = [Split::Training, Split::Validation].map(|s| self.count(s));
        match &self.kind {
            Kind::Phantoms { .. } => format!(
                "{what}{training} synthetic chest CTs of the phantom generator (validated on {validation} others); no patient data."
            ),
            Kind::Own { .. } => {
                format!("{what}{training} scans of the user's own (validated on {validation} others).")
            }
        }
    }

    /// The generator of the cases, if they are phantoms.
    pub fn generator(&self) -> Option<String> {
        matches!(self.kind, Kind::Phantoms { .. }).then(|| pleura_phantom::GENERATOR.into())
    }
}

/// Index of a phantom's class among the types of infection; their number where there is none.
pub(crate) fn class_index(class: Class) -> usize {
    match class {
        Class::Covid19 => 0,
        Class::InfluenzaA => 1,
        Class::NoInfection => 2,
    }
}

/// Types of infection that phantoms have, in the order of [`class_index`].
pub(crate) fn phantom_infections() -> Vec<String> {
    [Class::Covid19, Class::InfluenzaA].map(|c| c.name().to_owned()).to_vec()
}

/// Seed of the phantom `index` of a split. Far from the small numbers people type, so that no
/// phantom of a demonstration or a test cohort was trained on.
fn phantom_seed(seed: u64, split: Split, index: usize) -> u64 {
    Rng::at(seed, &[split as u64, index as u64]).bits()
}

/// Class of the phantom `index`: the three in turn.
fn phantom_class(index: usize) -> Class {
    Class::ALL[index % Class::ALL.len()]
}

fn phantom(seed: u64, split: Split, index: usize, grid: Grid) -> Phantom {
    let options = RenderOptions { grid, texture: phantom_texture(split, index), ..RenderOptions::default() };
    render(phantom_class(index), phantom_seed(seed, split, index), &options)
}

/// Texture and lesion code of the phantom `index`. Half of the validation cases are drawn by code
/// that is never trained on: what is chosen on them must not lean on one way of drawing.
pub(crate) fn phantom_texture(split: Split, index: usize) -> TextureFamily {
    match split {
        Split::Validation if index / Class::ALL.len() % 2 == 1 => TextureFamily::B,
        _ => TextureFamily::A,
    }
}
