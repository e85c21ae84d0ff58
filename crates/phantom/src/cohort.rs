//! Cohorts: which phantoms make up a study, and the manifest that lists them.

use crate::render::{Grid, RenderOptions, TextureFamily};
use crate::rng::{Rng, mix};
use crate::save::Error;
use crate::types::Class;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a case is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Learning.
    Train,
    /// Choosing thresholds and steps.
    Validation,
    /// Reported.
    Test,
}

impl Split {
    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

/// One scan of a cohort.
#[derive(Debug, Clone, PartialEq)]
pub struct CohortCase {
    /// Name, unique in the cohort; fit for a folder.
    pub name: String,
    /// The (made-up) patient: one patient's scans share a body and never cross splits.
    pub patient: String,
    /// Class.
    pub class: Class,
    /// Seed of [`crate::render`].
    pub seed: u64,
    /// What it is for.
    pub split: Split,
    /// How it is rendered.
    pub options: RenderOptions,
}

/// Scans and patients of one class in one part of a cohort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Number of scans.
    pub scans: usize,
    /// Number of patients, at least 1 when there are scans and at most `scans`.
    pub patients: usize,
}

/// What a cohort is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct CohortSpec {
    /// Training and validation together, in the order of [`Class::ALL`].
    pub development: [Count; 3],
    /// Test, in the order of [`Class::ALL`].
    pub test: [Count; 3],
    /// Share of the development patients that is kept for validation.
    pub validation_share: f64,
    /// Seed: all seeds of cases follow from it.
    pub seed: u64,
    /// Raster of every case.
    pub grid: Grid,
    /// Slices of scanner rasters, lowest and highest; drawn per case.
    pub slices: [usize; 2],
    /// Texture family of every case.
    pub texture: TextureFamily,
}

/// The cases of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct Cohort {
    /// Cases, by split and class.
    pub cases: Vec<CohortCase>,
}

impl CohortSpec {
    /// The paper's sizes: 189 / 194 / 145 scans to train and validate, 30 / 30 / 30 to test; 219
    /// COVID-19 scans of 110 patients, the others one scan a patient. How the 110 patients fall on
    /// the parts is not stated: 95 and 15 (ours), as is the tenth kept for validation.
    pub fn paper() -> Self {
        let count = |scans, patients| Count { scans, patients };
        Self {
            development: [count(189, 95), count(194, 194), count(145, 145)],
            test: [count(30, 15), count(30, 30), count(30, 30)],
            validation_share: 0.1,
            seed: 20_200_221,
            grid: Grid::Scanner,
            slices: [60, 80],
            texture: TextureFamily::A,
        }
    }

    /// The same mix at `scale` times the size; every nonempty part keeps at least one scan.
    #[must_use]
    pub fn scaled(mut self, scale: f64) -> Self {
        let part = |n: usize| if n == 0 { 0 } else { ((n as f64 * scale).round() as usize).max(1) };
        for c in self.development.iter_mut().chain(&mut self.test) {
            let scans = part(c.scans);
            *c = Count { scans, patients: part(c.patients).min(scans) };
        }
        self
    }
}

impl Cohort {
    /// The paper's cohort.
    pub fn paper() -> Self {
        Self::new(&CohortSpec::paper())
    }

    /// Draws the cases of a specification: the same one, the same cases.
    pub fn new(spec: &CohortSpec) -> Self {
        let mut cases = Vec::new();
        for (test, counts) in [(false, spec.development), (true, spec.test)] {
            for (class, count) in Class::ALL.into_iter().zip(counts) {
                add(&mut cases, spec, class, count, test);
            }
        }
        cases.sort_by_key(|c| (c.split, c.class));
        Self { cases }
    }

    /// Cases of a split.
    pub fn of(&self, split: Split) -> impl Iterator<Item = &CohortCase> {
        self.cases.iter().filter(move |c| c.split == split)
    }

    /// Writes the manifest: a CSV with the columns case, patient, class, split, path and seed, where
    /// path is `cases/NAME` beside the manifest.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn write_manifest(&self, path: &Path) -> Result<(), Error> {
        let mut text = String::from("case,patient,class,split,path,seed\n");
        for c in &self.cases {
            let (name, patient) = (&c.name, &c.patient);
            text +=
                &format!("{name},{patient},{},{},cases/{name},{}\n", c.class.name(), c.split.name(), c.seed);
        }
        std::fs::write(path, text).map_err(|source| Error::Io { path: path.to_owned(), source })
    }
}

fn short(class: Class) -> &'static str {
    match class {
        Class::Covid19 => "covid",
        Class::InfluenzaA => "flu",
        Class::NoInfection => "none",
    }
}

/// Adds a class's cases of one part. Scans are dealt to patients in turn, so patients have equally
/// many, give or take one.
fn add(cases: &mut Vec<CohortCase>, spec: &CohortSpec, class: Class, count: Count, test: bool) {
    let patients = count.patients.clamp(1, count.scans.max(1));
    let part = if test { "t" } else { "d" };
    let kept = if test || patients < 2 {
        0
    } else {
        ((patients as f64 * spec.validation_share).round() as usize).clamp(1, patients - 1)
    };
    for scan in 0..count.scans {
        let patient = scan % patients;
        let key = (u64::from(test) << 8) | class as u64;
        let case_key = mix(spec.seed ^ mix(key << 32 | scan as u64));
        let body = mix(spec.seed ^ mix(key << 32 | 1 << 48 | patient as u64));
        let mut rng = Rng::new(case_key, 60);
        let [low, high] = spec.slices;
        let slices = low + rng.below(high.saturating_sub(low) + 1);
        // seeds of 48 bits stay exact in files that hold numbers as doubles
        let seed = case_key >> 16;
        cases.push(CohortCase {
            name: format!("{}-{part}{scan:03}", short(class)),
            patient: format!("{}-{part}p{patient:03}", short(class)),
            class,
            seed,
            split: match (test, patient < kept) {
                (true, _) => Split::Test,
                (false, true) => Split::Validation,
                (false, false) => Split::Train,
            },
            options: RenderOptions {
                slices,
                grid: spec.grid,
                texture: spec.texture,
                body_seed: Some(body >> 16),
                ..RenderOptions::default()
            },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn the_papers_cohort_has_the_papers_sizes() {
        let c = Cohort::paper();
        let n = |class, test| {
            c.cases.iter().filter(|x| x.class == class && (x.split == Split::Test) == test).count()
        };
        assert_eq!(Class::ALL.map(|k| n(k, false)), [189, 194, 145]);
        assert_eq!(Class::ALL.map(|k| n(k, true)), [30, 30, 30]);
        let covid: BTreeSet<&str> =
            c.cases.iter().filter(|x| x.class == Class::Covid19).map(|x| x.patient.as_str()).collect();
        assert_eq!(covid.len(), 110);
        // a tenth of 95, 194 and 145 patients validates: 10 (rounded up from 9.5), 19, 15 (from 14.5)
        let v: BTreeSet<&str> = c.of(Split::Validation).map(|x| x.patient.as_str()).collect();
        assert_eq!(v.len(), 10 + 19 + 15);
    }

    #[test]
    fn no_patient_is_in_two_splits_and_no_two_cases_share_a_seed_or_name() {
        let c = Cohort::paper();
        let mut split = BTreeMap::new();
        for x in &c.cases {
            assert_eq!(*split.entry(&x.patient).or_insert(x.split), x.split);
        }
        let seeds: BTreeSet<u64> = c.cases.iter().map(|x| x.seed).collect();
        let names: BTreeSet<&str> = c.cases.iter().map(|x| x.name.as_str()).collect();
        assert_eq!((seeds.len(), names.len()), (c.cases.len(), c.cases.len()));
        // one patient, one body
        let mut bodies = BTreeMap::new();
        for x in &c.cases {
            assert_eq!(*bodies.entry(&x.patient).or_insert(x.options.body_seed), x.options.body_seed);
        }
    }

    #[test]
    fn a_small_cohort_keeps_every_part() {
        let c = Cohort::new(&CohortSpec::paper().scaled(0.02));
        for split in [Split::Train, Split::Validation, Split::Test] {
            for class in Class::ALL {
                assert!(c.of(split).any(|x| x.class == class), "{split:?} {class:?}");
            }
        }
        assert_eq!(c.cases.len(), 4 + 4 + 3 + 1 + 1 + 1);
        assert_eq!(c, Cohort::new(&CohortSpec::paper().scaled(0.02)));
    }

    #[test]
    fn the_manifest_has_a_row_a_case() {
        let dir = tempfile::tempdir().unwrap();
        let c = Cohort::new(&CohortSpec::paper().scaled(0.02));
        let path = dir.path().join("manifest.csv");
        c.write_manifest(&path).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), c.cases.len() + 1);
        assert_eq!(text.lines().next(), Some("case,patient,class,split,path,seed"));
        let first = &c.cases[0];
        assert!(text.contains(&format!(
            "{},{},covid-19,train,cases/{},{}\n",
            first.name, first.patient, first.name, first.seed
        )));
    }
}
