//! The paper's experiment on phantoms: cohort, training, the six tables, and what the paper lacks.

use crate::classifier::cut_candidates;
use crate::cohort::{CohortRecipe, fresh_cases, member, raster, test_grid};
use crate::data::{Names, phantom_infections};
use crate::results::Results;
use crate::screened::{Screened, Screener};
use crate::stages::{Stages, Until};
use crate::{
    ClassifierConfig, ClassifierNetwork, DetectorConfig, Error, Result, Summary, case_tables, checkpoint,
    train_classifier, train_detector,
};
use pleura_evaluate::{Curve, check_leakage, write_curves};
use pleura_nets::Model;
use pleura_phantom::{Cohort, CohortCase, Split};
use pleura_screen::{LoadedClassifier, LoadedDetector};
use pleura_volume::Progress;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Instant;

/// Both classifiers, in the order of the paper's tables.
const NETWORKS: [(ClassifierNetwork, &str); 2] =
    [(ClassifierNetwork::Resnet18, "resnet18"), (ClassifierNetwork::LocationAttention, "location-attention")];

/// Candidate regions of the training cases, in the folder.
const CANDIDATES: &str = "candidates.bin";

/// What to reproduce, and how large.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReproduceConfig {
    /// Seed of the cohort.
    pub seed: u64,
    /// Share of the paper's 618 cases.
    pub scale: f64,
    /// Edge of the test phantoms' voxels in mm; 0 for the 512 x 512 raster of a scanner.
    pub test_spacing_mm: f64,
    /// Cases to test on besides those of the cohort, of the three classes alike: a multiple of 3. Their
    /// seeds follow from the `seed` after this one.
    pub more_cases: usize,
    /// Trainings of each classifier; the seed of each is one more than that of the one before.
    pub classifier_seeds: u64,
    /// Most minutes of a stage that trains; 0 for no bound. A training that takes longer goes on in the next
    /// one.
    pub stage_minutes: f64,
    /// Training of the detector; `cases` and `validation_cases` are those of the cohort.
    pub detector: DetectorConfig,
    /// Training of both classifiers, as of the detector; `seed` is that of the first one. `network` and
    /// `candidates` are set for each.
    pub classifier: ClassifierConfig,
}

impl Default for ReproduceConfig {
    fn default() -> Self {
        Self::quick()
    }
}

impl ReproduceConfig {
    /// Less than five minutes on two cores: every part of the experiment, but too small to learn much.
    pub fn quick() -> Self {
        let detector = DetectorConfig {
            steps: 160,
            crop: 32,
            widths: vec![8, 16, 32],
            spacing_mm: 3.0,
            proposals_a_case: 8.0,
            ..DetectorConfig::default()
        };
        let classifier = ClassifierConfig {
            steps: 120,
            batch: 24,
            pixels: 48,
            spacing_mm: 2.5,
            scanner_every: 0,
            ..ClassifierConfig::default()
        };
        Self {
            seed: 20_200_221,
            scale: 0.08,
            test_spacing_mm: 2.5,
            more_cases: 9,
            classifier_seeds: 2,
            stage_minutes: 0.0,
            detector,
            classifier,
        }
    }

    /// As many cases as the paper has: 528 to develop on, a tenth of the patients to validate, 90 to
    /// test, and 900 more; five trainings of each classifier. No stage that trains takes two hours.
    pub fn full() -> Self {
        let detector = DetectorConfig { steps: 20_000, ..DetectorConfig::default() };
        // The paper's 1,000 epochs of 1,024 draws.
        let classifier = ClassifierConfig { steps: 32_000, batch: 32, ..ClassifierConfig::default() };
        Self {
            scale: 1.0,
            test_spacing_mm: 0.0,
            more_cases: 900,
            classifier_seeds: 5,
            stage_minutes: 110.0,
            detector,
            classifier,
            ..Self::quick()
        }
    }

    fn recipe(&self) -> CohortRecipe {
        CohortRecipe { seed: self.seed, scale: self.scale }
    }

    /// The cohort, and the cases tested on besides.
    fn cases(&self) -> Result<[Cohort; 2]> {
        let grid = test_grid("test_spacing_mm", self.test_spacing_mm)?;
        let mut more = fresh_cases("more_cases", self.more_cases, self.seed.wrapping_add(1), grid)?;
        // Other cases and patients than those of the cohort, whose names are made alike.
        for case in &mut more.cases {
            case.name = format!("more-{}", case.name);
            case.patient = format!("more-{}", case.patient);
        }
        let cohort = self.recipe().cohort(grid)?;
        check_leakage(&cohort.cases.iter().chain(&more.cases).map(member).collect::<Vec<_>>())?;
        Ok([cohort, more])
    }

    /// Refuses before the first stage what the last one would refuse.
    fn check(&self) -> Result<()> {
        if self.classifier_seeds == 0 {
            return Err(Error::Config("`classifier_seeds` must be positive".into()));
        }
        if self.detector.data.is_some() || self.classifier.data.is_some() {
            return Err(Error::Config("`data` has no place here: the cohort is learned from".into()));
        }
        self.detector.check()?;
        self.classifier.check()?;
        let starts = [&self.detector.from, &self.classifier.from];
        starts.into_iter().flatten().try_for_each(|from| Ok(Model::load(from).map(|_| ())?))
    }

    /// The trainings of both classifiers: a name for the folder and the settings, seed by seed.
    fn trainings(&self, dir: &Path) -> Vec<(String, ClassifierConfig)> {
        let one = |k: u64, (network, name): (ClassifierNetwork, &str)| {
            let config = ClassifierConfig {
                network,
                seed: self.classifier.seed.wrapping_add(k),
                cohort: Some(self.recipe()),
                candidates: Some(dir.join(CANDIDATES)),
                ..self.classifier.clone()
            };
            (format!("{name}-{}", k + 1), config)
        };
        (0..self.classifier_seeds).flat_map(|k| NETWORKS.map(|network| one(k, network))).collect()
    }
}

/// How far an experiment has come.
#[derive(Debug, Clone, PartialEq)]
pub enum Reproduced {
    /// To the end.
    All(Box<Results>),
    /// As many stages were done as were asked for; the last one's name.
    Paused(String),
}

/// Trains the detector and both classifiers on a cohort and measures them on its test cases as the
/// paper did: Tables 1 and 2 on patches, 3 and 4 on regions, 5 and 6 on cases (odd numbers ResNet, even
/// ones location-attention; the paper shows only the latter past Table 2).
///
/// All learn from the training cases of the cohort that cohort.csv lists, each on the raster of its own
/// settings, and are chosen on its validation cases; both classifiers on the same candidate regions, with
/// the same preprocessing, steps and seeds. No patient, seed or body is in two sets. The tables are of the
/// first seed's networks; over all of them the networks are compared besides. What more cases give
/// is written in the same form into the folder `more`.
///
/// Works in stages, each ending in a file whose SHA-256 stages.json records: cohort.csv, the training
/// states where a training takes longer than `stage_minutes`, the detector, the candidate regions, the
/// classifiers, what was found in the test cases, and results.json with results.md and the figures. Called
/// again it goes on behind the last one. With `stages` it stops after so many.
///
/// # Errors
/// [`Error::Config`], [`Error::Stage`] when the folder belongs to other settings or an artefact was
/// changed, and what the trainings and the stages say.
pub fn reproduce(
    config: &ReproduceConfig,
    out_dir: &Path,
    stages: Option<usize>,
    progress: &dyn Progress,
) -> Result<Reproduced> {
    config.check()?;
    let [cohort, more] = config.cases()?;
    std::fs::create_dir_all(out_dir).map_err(|source| Error::Io { path: out_dir.into(), source })?;
    let settings = serde_json::to_string(config).map_err(|e| Error::Config(e.to_string()))?;
    let trainings = config.trainings(out_dir);
    let done = Stages::open(out_dir, &settings)?;
    let mut run = Run { config, cohort, more, trainings, dir: out_dir, stages: done, progress };
    let before = run.stages.done().len();
    loop {
        let finished = run.one_stage()?;
        if let Some(results) = finished {
            return Ok(Reproduced::All(Box::new(results)));
        }
        if stages.is_some_and(|most| run.stages.done().len() - before >= most) {
            let last = run.stages.done().last().map_or(String::new(), |s| s.name.clone());
            return Ok(Reproduced::Paused(last));
        }
    }
}

/// An experiment in its folder.
struct Run<'a> {
    config: &'a ReproduceConfig,
    cohort: Cohort,
    /// Cases tested on besides.
    more: Cohort,
    trainings: Vec<(String, ClassifierConfig)>,
    dir: &'a Path,
    stages: Stages,
    progress: &'a dyn Progress,
}

impl Run<'_> {
    /// Does the first stage that is not done; the results where it is the last one.
    fn one_stage(&mut self) -> Result<Option<Results>> {
        let since = Instant::now();
        if !self.stages.has("cohort") {
            let written = self.cohort.write_manifest(&self.dir.join("cohort.csv"));
            written.map_err(|e| Error::Stage(e.to_string()))?;
            let more = self.more.write_manifest(&self.dir.join("more.csv"));
            more.map_err(|e| Error::Stage(e.to_string()))?;
            return self.stages.record("cohort", "cohort.csv", since).map(|()| None);
        }
        if !self.stages.has("detector") {
            let mut config = self.config.detector.clone();
            config.cohort = Some(self.config.recipe());
            let train = |dir: &Path, progress: &dyn Progress| train_detector(&config, dir, progress);
            return self.train("detector", "detector.safetensors", train).map(|()| None);
        }
        if !self.stages.has("candidates")
            && let Some((_, config)) = self.trainings.first()
        {
            cut_candidates(config, &self.detector()?, self.progress)?;
            return self.stages.record("candidates", CANDIDATES, since).map(|()| None);
        }
        let next = self.trainings.iter().find(|(name, _)| !self.stages.has(name)).cloned();
        if let Some((name, config)) = next {
            let detector = self.detector()?;
            let train =
                |dir: &Path, progress: &dyn Progress| train_classifier(&config, &detector, dir, progress);
            return self.train(&name, "classifier.safetensors", train).map(|()| None);
        }
        for (name, cases) in [("test", self.cohort.of(Split::Test).collect()), ("more", all(&self.more))] {
            if !self.stages.has(name) && !cases.is_empty() {
                self.screen(&cases, name)?;
                return self.stages.record(name, &format!("{name}.json"), since).map(|()| None);
            }
        }
        let results = self.results()?;
        if !self.stages.has("results") {
            self.stages.record("results", "results.json", since)?;
        }
        Ok(Some(results))
    }

    /// Trains one network until its stage's time is over or it is done.
    fn train(
        &mut self,
        name: &str,
        model: &str,
        train: impl Fn(&Path, &dyn Progress) -> Result<Summary>,
    ) -> Result<()> {
        let since = Instant::now();
        self.stages.restore(name)?;
        let until = Until::new(self.progress, self.config.stage_minutes);
        match train(&self.dir.join(name), &until) {
            Ok(_) => self.stages.record(name, &format!("{name}/{model}"), since),
            Err(Error::Cancelled) if until.over() && !self.progress.cancelled() => {
                self.stages.pause(name, since)
            }
            Err(e) => Err(e),
        }
    }

    fn detector(&self) -> Result<Model> {
        Ok(Model::load(&self.dir.join("detector/detector.safetensors"))?)
    }

    /// Screens cases and writes what was found as `name`.json.
    fn screen(&self, cases: &[&CohortCase], name: &str) -> Result<()> {
        let failed = |e: pleura_screen::Error| Error::Stage(e.to_string());
        let detector = LoadedDetector::new(self.detector()?).map_err(failed)?;
        let load = |(name, _): &(String, ClassifierConfig)| {
            let model = Model::load(&self.dir.join(name).join("classifier.safetensors"))?;
            LoadedClassifier::new(model).map_err(failed)
        };
        let classifiers = self.trainings.iter().map(load).collect::<Result<_>>()?;
        let screener = Screener::new(detector, classifiers, Names::new(&phantom_infections()));
        let screened = screener.screen(cases, self.progress)?;
        let text = serde_json::to_string(&screened).map_err(|e| Error::Stage(e.to_string()))?;
        checkpoint::write_whole(&self.dir.join(format!("{name}.json")), text.as_bytes())
    }

    /// Tables and figures of what was found; what more cases give goes into a folder of its own.
    fn results(&self) -> Result<Results> {
        let mut curves = Vec::new();
        for (_, network) in NETWORKS {
            curves.extend(read_curves(&self.dir.join(format!("{network}-1/curves.csv")), network)?);
        }
        write_curves(&self.dir.join("figure5"), "Training of both classifiers", &curves)?;
        if !self.more.cases.is_empty() {
            let dir = self.dir.join("more");
            self.results_of("more", &dir)?.write(&dir)?;
        }
        let results = self.results_of("test", self.dir)?.of_experiment();
        results.write(self.dir)?;
        Ok(results)
    }

    /// Of one set of cases; each by itself goes into tables in `dir`.
    fn results_of(&self, name: &str, dir: &Path) -> Result<Results> {
        let path = self.dir.join(format!("{name}.json"));
        let text = std::fs::read(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let screened: Vec<Screened> =
            serde_json::from_slice(&text).map_err(|e| Error::Stage(format!("{}: {e}", path.display())))?;
        let names = Names::new(&phantom_infections());
        let c = self.config;
        let set = format!("seed{}-scale{}-{}", c.seed, c.scale, raster(c.test_spacing_mm));
        case_tables::write(dir, &set, &screened, self.trainings.len(), &names)?;
        Results::new(&screened, &NETWORKS.map(|n| n.1), &names, self.config.seed)
    }
}

fn all(cohort: &Cohort) -> Vec<&CohortCase> {
    cohort.cases.iter().collect()
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
