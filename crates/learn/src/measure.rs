//! Finished networks on fresh synthetic cases.

use crate::cohort::{fresh_cases, raster, test_grid};
use crate::data::{Names, phantom_infections};
use crate::results::Results;
use crate::screened::Screener;
use crate::{Error, Result, case_tables};
use pleura_phantom::CohortCase;
use pleura_screen::{LoadedClassifier, LoadedDetector};
use pleura_volume::Progress;
use std::path::Path;

/// On which cases to measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasureConfig {
    /// Cases, of the three classes alike: a multiple of 3.
    pub cases: usize,
    /// Seed: all seeds of cases follow from it.
    pub seed: u64,
    /// Edge of the phantoms' voxels in mm; 0 for the 512 x 512 raster of a scanner.
    pub spacing_mm: f64,
}

/// Screens fresh phantoms, one a patient, with one detector and one or two classifiers, and writes what
/// [`crate::reproduce`] writes of its test cases into `out_dir`: results.md, results.json, the figures, and
/// each case by itself in tables that `pleura evaluate` reads.
///
/// # Errors
/// [`Error::Config`] when the numbers make no sense or a classifier knows other classes than phantoms
/// have, and what the stages say.
pub fn measure(
    config: &MeasureConfig,
    detector: LoadedDetector,
    classifiers: Vec<(String, LoadedClassifier)>,
    out_dir: &Path,
    progress: &dyn Progress,
) -> Result<Results> {
    let names = Names::new(&phantom_infections());
    if let Some((name, c)) = classifiers.iter().find(|(_, c)| c.classes != names.regions) {
        let (has, known) = (names.regions.join(", "), c.classes.join(", "));
        return Err(Error::Config(format!("{name} knows {known}; synthetic cases have {has}")));
    }
    if config.cases == 0 {
        return Err(Error::Config("`cases` must be positive".into()));
    }
    let grid = test_grid("spacing", config.spacing_mm)?;
    let cohort = fresh_cases("cases", config.cases, config.seed, grid)?;
    std::fs::create_dir_all(out_dir).map_err(|source| Error::Io { path: out_dir.into(), source })?;
    let (networks, classifiers): (Vec<String>, Vec<LoadedClassifier>) = classifiers.into_iter().unzip();
    let cases: Vec<&CohortCase> = cohort.cases.iter().collect();
    let screened = Screener::new(detector, classifiers, names.clone()).screen(&cases, progress)?;
    let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
    let results = Results::new(&screened, &networks, &names, config.seed)?;
    results.write(out_dir)?;
    let set = format!("seed{}-{}", config.seed, raster(config.spacing_mm));
    case_tables::write(out_dir, &set, &screened, networks.len(), &names)?;
    Ok(results)
}
