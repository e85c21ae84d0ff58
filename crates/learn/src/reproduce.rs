//! The paper's experiment on phantoms: cohort, training, the six tables, the training curves.

use crate::candidates::label;
use crate::data::{Names, class_index, phantom_infections};
use crate::pool::each_case;
use crate::score_classifier::{empty_tables, verdict_name};
use crate::{
    ClassifierConfig, ClassifierNetwork, DetectorConfig, Error, Result, checkpoint, train_classifier,
    train_detector,
};
use pleura_evaluate::{Confusion, Curve, write_curves};
use pleura_nets::Model;
use pleura_phantom::{Class, Cohort, CohortCase, CohortSpec, Grid, Split, render};
use pleura_screen::{Models, Options, Profile, screen};
use pleura_volume::{NoProgress, Progress};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What to reproduce, and how large.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReproduceConfig {
    /// Seed of the cohort.
    pub seed: u64,
    /// Share of the paper's 90 test cases to screen.
    pub scale: f64,
    /// Edge of the test phantoms' voxels in mm; 0 for the 512 x 512 raster of a scanner.
    pub test_spacing_mm: f64,
    /// Training of the detector.
    pub detector: DetectorConfig,
    /// Training of both classifiers; `network` is set for each in turn.
    pub classifier: ClassifierConfig,
}

impl Default for ReproduceConfig {
    fn default() -> Self {
        Self::quick()
    }
}

impl ReproduceConfig {
    /// A third of the paper's test cases and about an hour of training on two cores.
    pub fn quick() -> Self {
        let detector = DetectorConfig { cases: 150, validation_cases: 30, steps: 1200, ..Default::default() };
        let classifier =
            ClassifierConfig { cases: 90, validation_cases: 30, steps: 800, ..Default::default() };
        Self { seed: 20_200_221, scale: 1.0 / 3.0, test_spacing_mm: 0.0, detector, classifier }
    }

    /// As many cases as the paper has: 528 to develop on, a tenth of them to validate, 90 to test.
    pub fn full() -> Self {
        let sizes = (475, 53);
        let detector = DetectorConfig {
            cases: sizes.0,
            validation_cases: sizes.1,
            steps: 20_000,
            ..DetectorConfig::default()
        };
        let classifier = ClassifierConfig {
            cases: sizes.0,
            validation_cases: sizes.1,
            steps: 20_000,
            ..ClassifierConfig::default()
        };
        Self { scale: 1.0, detector, classifier, ..Self::quick() }
    }

    fn cohort(&self) -> Result<Cohort> {
        if !(self.scale > 0.0 && self.scale <= 1.0) {
            return Err(Error::Config("`scale` must be above 0 and at most 1".into()));
        }
        if self.test_spacing_mm != 0.0 && !(1.0..=5.0).contains(&self.test_spacing_mm) {
            return Err(Error::Config("`test_spacing_mm` must be 0 or lie between 1 and 5".into()));
        }
        let grid = match self.test_spacing_mm {
            0.0 => Grid::Scanner,
            spacing_mm => Grid::Detector { spacing_mm },
        };
        Ok(Cohort::new(&CohortSpec { seed: self.seed, grid, ..CohortSpec::paper() }.scaled(self.scale)))
    }
}

/// One network's tables: truth in rows, answers in columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tables {
    /// Name of the network.
    pub network: String,
    /// Image patches; each carries its region's label.
    pub patches: Confusion,
    /// Regions after the vote.
    pub regions: Confusion,
    /// Cases after the noisy-or, the paper's profile.
    pub cases: Confusion,
}

impl Tables {
    fn new(network: ClassifierNetwork, names: &Names) -> Self {
        let [patches, regions, cases] = empty_tables(names);
        Self { network: network_name(network).into(), patches, regions, cases }
    }

    fn count(&mut self, seen: &Seen, names: &Names) {
        let of = &names.regions;
        for (truth, patches, voted) in &seen.regions {
            patches.iter().for_each(|p| _ = self.patches.add(&of[*truth], &of[*p]));
            self.regions.add(&of[*truth], &of[*voted]);
        }
        self.cases.add(seen.class.name(), &seen.verdict);
    }
}

/// A screened test case: truth, patches and vote of each region, and the verdict.
struct Seen {
    class: Class,
    regions: Vec<(usize, Vec<usize>, usize)>,
    verdict: String,
}

fn network_name(network: ClassifierNetwork) -> &'static str {
    match network {
        ClassifierNetwork::Resnet18 => "resnet18",
        ClassifierNetwork::LocationAttention => "location-attention",
    }
}

/// Trains the detector and both classifiers on phantoms and measures them on the cohort's test cases
/// as the paper did: Tables 1 and 2 on patches, 3 and 4 on regions, 5 and 6 on cases (odd numbers
/// ResNet, even ones location-attention; the paper shows only the latter past Table 2).
///
/// The cohort's test cases are screened; the trainings draw phantoms of their own, the three classes
/// alike and with other seeds (see `cases` of their settings), so no test patient was trained on.
///
/// Writes cohort.csv, the three training folders, tables.md, tables.json, and figure5.csv and .svg
/// (loss and accuracy over steps) into `out_dir`. Trainings resume as [`train_detector`] does.
///
/// # Errors
/// [`Error::Config`], and what the trainings and the stages say.
pub fn reproduce(config: &ReproduceConfig, out_dir: &Path, progress: &dyn Progress) -> Result<Vec<Tables>> {
    let cohort = config.cohort()?;
    std::fs::create_dir_all(out_dir).map_err(|source| Error::Io { path: out_dir.into(), source })?;
    let stage = |e: &dyn std::fmt::Display| Error::Stage(e.to_string());
    cohort.write_manifest(&out_dir.join("cohort.csv")).map_err(|e| stage(&e))?;
    let detector =
        Model::load(&train_detector(&config.detector, &out_dir.join("detector"), progress)?.model)?;
    let mut networks = Vec::new();
    let mut curves = Vec::new();
    for network in [ClassifierNetwork::Resnet18, ClassifierNetwork::LocationAttention] {
        let dir = out_dir.join(network_name(network));
        let config = ClassifierConfig { network, ..config.classifier.clone() };
        let classifier = Model::load(&train_classifier(&config, &detector, &dir, progress)?.model)?;
        networks.push((network, Models::new(detector.clone(), classifier).map_err(|e| stage(&e))?));
        curves.extend(read_curves(&dir.join("curves.csv"), network_name(network))?);
    }
    write_curves(&out_dir.join("figure5"), "Training of both classifiers", &curves)?;
    let tests: Vec<&CohortCase> = cohort.of(Split::Test).collect();
    let seen = each_case(tests.len(), "screening the test cases", progress, |i| {
        look_at(tests[i], &networks).map(Some)
    })?;
    let names = Names::new(&phantom_infections());
    let mut tables: Vec<Tables> = networks.iter().map(|(n, _)| Tables::new(*n, &names)).collect();
    for of_case in &seen {
        tables.iter_mut().zip(of_case).for_each(|(t, s)| t.count(s, &names));
    }
    write_tables(&tables, out_dir)?;
    Ok(tables)
}

/// Renders a test case and screens it with each classifier.
fn look_at(case: &CohortCase, networks: &[(ClassifierNetwork, Models)]) -> Result<Vec<Seen>> {
    let phantom = render(case.class, case.seed, &case.options);
    let options = Options { profile: Profile::Paper, ..Options::default() };
    let one = |(_, models): &(ClassifierNetwork, Models)| {
        let found = screen(&phantom.volume, models, &options, &NoProgress)
            .map_err(|e| Error::Stage(format!("{}: {e}", case.name)))?;
        let region = |r: &pleura_screen::Region| {
            let (class, irrelevant) = (class_index(case.class), found.classes.len() - 1);
            let truth = label(class, irrelevant, &r.box_voxels, &found.lungs.mask, Some(&phantom.infection));
            (truth, r.patches.iter().map(|p| p.class).collect(), r.class)
        };
        let regions = found.regions.iter().map(region).collect();
        Ok(Seen { class: case.class, regions, verdict: verdict_name(&found.verdict, &found.classes) })
    };
    networks.iter().map(one).collect()
}

/// The curves of a training, named after its network.
fn read_curves(path: &Path, network: &str) -> Result<Vec<Curve>> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.into(), source })?;
    let mut curves: Vec<Curve> = Vec::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [name, step, value] = fields.as_slice() else { continue };
        let (Ok(step), Ok(value)) = (step.parse(), value.parse()) else { continue };
        let name = format!("{network} {name}");
        match curves.iter_mut().find(|c| c.name == name) {
            Some(curve) => curve.points.push((step, value)),
            None => curves.push(Curve { name, points: vec![(step, value)] }),
        }
    }
    Ok(curves)
}

fn write_tables(tables: &[Tables], out_dir: &Path) -> Result<()> {
    let mut text = String::from(
        "# The six tables, on synthetic cases\n\nSynthetic data: these figures say how the method does on phantoms, \
         not on patients.\n",
    );
    type Pick = fn(&Tables) -> &Confusion;
    let levels: [(&str, Pick); 3] =
        [("image patches", |t| &t.patches), ("regions", |t| &t.regions), ("cases", |t| &t.cases)];
    let mut number = 0;
    for (level, pick) in levels {
        for table in tables {
            number += 1;
            text +=
                &format!("\n## Table {number}: {level}, {}\n\n{}", table.network, pick(table).to_markdown());
        }
    }
    checkpoint::write_whole(&out_dir.join("tables.md"), text.as_bytes())?;
    let json = serde_json::to_string_pretty(tables).map_err(|e| Error::Stage(e.to_string()))?;
    checkpoint::write_whole(&out_dir.join("tables.json"), json.as_bytes())
}
