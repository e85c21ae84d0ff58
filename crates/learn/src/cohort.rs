//! Training on the cases of a cohort, in place of phantoms of the training's own.

use crate::data::{Split, phantom_texture};
use crate::{Error, Result};
use pleura_evaluate::{Member, check_leakage};
use pleura_phantom::{
    Cohort, CohortCase, CohortSpec, Count, Grid, Phantom, RenderOptions, Split as Part, render,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A cohort as `pleura cohort` lists it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CohortRecipe {
    /// Seed: all seeds of cases follow from it.
    pub seed: u64,
    /// Share of the paper's 618 cases, above 0 and at most 10.
    pub scale: f64,
}

impl CohortRecipe {
    /// The cohort, its test cases on `grid`.
    ///
    /// # Errors
    /// [`Error::Config`] when the scale makes no sense, [`Error::Evaluate`] when two sets share a
    /// patient or a seed.
    pub fn cohort(&self, grid: Grid) -> Result<Cohort> {
        if !(self.scale > 0.0 && self.scale <= 10.0) {
            return Err(Error::Config("`scale` must be above 0 and at most 10".into()));
        }
        let spec = CohortSpec { seed: self.seed, grid, ..CohortSpec::paper() };
        let cohort = Cohort::new(&spec.scaled(self.scale));
        check_leakage(&cohort.cases.iter().map(member).collect::<Vec<_>>())?;
        Ok(cohort)
    }
}

/// The raster of test phantoms: voxels of `spacing_mm`, or a scanner's own where that is 0.
///
/// # Errors
/// [`Error::Config`] names the `setting` that makes no sense.
pub(crate) fn test_grid(setting: &str, spacing_mm: f64) -> Result<Grid> {
    match spacing_mm {
        0.0 => Ok(Grid::Scanner),
        spacing_mm if (1.0..=5.0).contains(&spacing_mm) => Ok(Grid::Detector { spacing_mm }),
        _ => Err(Error::Config(format!("`{setting}` must be 0 or lie between 1 and 5"))),
    }
}

/// Fresh cases to test on, of the three classes alike, one a patient.
///
/// # Errors
/// [`Error::Config`] names the `setting` when their number is no multiple of 3.
pub(crate) fn fresh_cases(setting: &str, cases: usize, seed: u64, grid: Grid) -> Result<Cohort> {
    if !cases.is_multiple_of(3) {
        return Err(Error::Config(format!("`{setting}` must be a multiple of 3")));
    }
    let each = Count { scans: cases / 3, patients: cases / 3 };
    let none = Count { scans: 0, patients: 0 };
    let spec = CohortSpec { development: [none; 3], test: [each; 3], seed, grid, ..CohortSpec::paper() };
    Ok(Cohort::new(&spec))
}

/// The raster of test cases, in a name.
pub(crate) fn raster(spacing_mm: f64) -> String {
    if spacing_mm == 0.0 { "scanner".into() } else { format!("{spacing_mm}mm") }
}

pub(crate) fn member(c: &CohortCase) -> Member {
    let body = c.options.body_seed.map_or(String::new(), |s| s.to_string());
    let marks = [("patient", c.patient.clone()), ("seed", c.seed.to_string()), ("body", body)];
    Member {
        case: c.name.clone(),
        split: c.split.name().into(),
        marks: marks.into_iter().map(|(kind, mark)| (kind.to_owned(), mark)).collect::<BTreeMap<_, _>>(),
    }
}

/// The cases of a cohort that are learned from: those of training and those of validation.
pub(crate) struct Development([Vec<CohortCase>; 2]);

impl Development {
    pub fn new(recipe: &CohortRecipe) -> Result<Self> {
        let cohort = recipe.cohort(Grid::Scanner)?;
        Ok(Self([Part::Train, Part::Validation].map(|part| cohort.of(part).cloned().collect())))
    }

    /// Cases of training and of validation.
    pub fn cases(&self) -> [usize; 2] {
        [self.0[0].len(), self.0[1].len()]
    }

    /// A case, on the training's own raster; half of the validation cases by code never trained on.
    pub fn phantom(&self, split: Split, index: usize, grid: Grid) -> Phantom {
        let case = &self.0[split as usize - 1][index];
        let texture = phantom_texture(split, index);
        render(case.class, case.seed, &RenderOptions { grid, texture, ..case.options.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learned_from_is_what_the_cohort_lists() {
        let recipe = CohortRecipe { seed: 3, scale: 0.02 };
        let listed = recipe.cohort(Grid::Scanner).unwrap();
        let development = Development::new(&recipe).unwrap();
        assert_eq!(development.cases(), [Part::Train, Part::Validation].map(|p| listed.of(p).count()));
        let seeds = |part: &[CohortCase]| part.iter().map(|c| c.seed).collect::<Vec<_>>();
        let tested: Vec<u64> = listed.of(Part::Test).map(|c| c.seed).collect();
        assert!(development.0.iter().all(|part| seeds(part).iter().all(|s| !tested.contains(s))));
        let made = development.phantom(Split::Training, 1, Grid::Detector { spacing_mm: 4.0 });
        assert_eq!((made.seed, made.class), (development.0[0][1].seed, development.0[0][1].class));
        assert!(CohortRecipe { scale: 0.0, ..recipe }.cohort(Grid::Scanner).is_err());
    }
}
