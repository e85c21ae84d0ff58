//! Training the patch classifier on candidate regions of phantoms.

use crate::augment::AugmentConfig;
use crate::candidates::{CaseRegions, Holders, RegionRecipe};
use crate::checkpoint::State;
use crate::cohort::CohortRecipe;
use crate::data::{Data, Origin, Split};
use crate::kept;
use crate::losses;
use crate::pool::each_case;
use crate::rng::Rng;
use crate::score_classifier::{self, Scored};
use crate::start::Start;
use crate::trainer::{NormPlan, Pass, Schedule, Task, finished, train};
use crate::{AdamWConfig, Error, Result, Summary};
use burn::tensor::{Device, Tensor, TensorData};
use pleura_nets::{
    Calibration, FORMAT, InputRecipe, Model, ModelManifest, NetSpec, PatchRecipe, Preprocessing, Weights,
    specs,
};
use pleura_nets_burn::Net;
use pleura_phantom::Grid;
use pleura_screen::LoadedDetector;
use pleura_volume::Progress;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Which of the paper's two classifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassifierNetwork {
    /// With the relative distance-from-edge.
    LocationAttention,
    /// Without.
    Resnet18,
}

/// How the classifier is trained. Every number not in the paper is ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassifierConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Model file whose weights to start from, wherever they fit, in place of random ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Which network.
    pub network: ClassifierNetwork,
    /// Slices of a patch: 1 for the 2D form.
    pub slab: usize,
    /// CSV of one's own labelled scans, in place of phantoms (`docs/training.md`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// File to keep the cut candidate regions of synthetic cases in: what is there already is not cut again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates: Option<PathBuf>,
    /// Cohort whose training and validation cases to use, in place of phantoms of this training's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cohort: Option<CohortRecipe>,
    /// Phantoms to train on, of the three classes in turn.
    pub cases: usize,
    /// Phantoms to validate and calibrate on.
    pub validation_cases: usize,
    /// Edge of the voxels on which phantoms are rendered, mm.
    pub spacing_mm: f64,
    /// Every so-manieth phantom is rendered on a scanner's raster instead, with thick slices; 0: none.
    pub scanner_every: usize,
    /// Steps; 0: as many as fit into `minutes`.
    pub steps: u64,
    /// Minutes of training steps when `steps` is 0 (rendering and validation come on top).
    pub minutes: f64,
    /// Patches a step, the three classes alike.
    pub batch: usize,
    /// Edge of a patch in pixels.
    pub pixels: usize,
    /// Edge of a patch, mm.
    pub edge_mm: f32,
    /// Pixels by which a patch is shifted, either way.
    pub shift: usize,
    /// Share of the target spread over all classes.
    pub label_smoothing: f32,
    /// Share by which running statistics move towards those of a batch.
    pub norm_momentum: f32,
    /// Share of the steps, at the end, in which the running statistics are kept and used.
    pub norm_fixed_share: f64,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// What patches go through on the fly.
    pub augment: AugmentConfig,
    /// The optimiser.
    pub optimizer: AdamWConfig,
}

impl Default for ClassifierConfig {
    fn default() -> Self {
        Self {
            seed: 2,
            from: None,
            data: None,
            candidates: None,
            cohort: None,
            network: ClassifierNetwork::LocationAttention,
            slab: 1,
            cases: 240,
            validation_cases: 60,
            spacing_mm: 1.5,
            scanner_every: 6,
            steps: 0,
            minutes: 10.0,
            batch: 32,
            pixels: 64,
            // A pixel as wide as a voxel of the phantoms, and most of a lobe in view.
            edge_mm: 96.0,
            shift: 6,
            label_smoothing: 0.05,
            norm_momentum: 0.05,
            norm_fixed_share: 0.0,
            checkpoint_every: 200,
            augment: AugmentConfig::default(),
            optimizer: AdamWConfig { learning_rate: 1e-3, ..AdamWConfig::default() },
        }
    }
}

impl ClassifierConfig {
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::Config(what.into()));
        if self.batch == 0 || self.cases == 0 || self.validation_cases == 0 {
            return wrong("`batch`, `cases` and `validation_cases` must be positive");
        }
        if !(16..=256).contains(&self.pixels) || !(8.0..=300.0).contains(&self.edge_mm) {
            return wrong("`pixels` must be 16 to 256 and `edge_mm` 8 to 300");
        }
        if !(1..=16).contains(&self.slab) || self.shift > 64 {
            return wrong("`slab` must be 1 to 16 and `shift` at most 64");
        }
        if !(1.0..=5.0).contains(&self.spacing_mm) {
            return wrong("`spacing_mm` must lie between 1 and 5");
        }
        if !(0.0..=1.0).contains(&self.norm_fixed_share) {
            return wrong("`norm_fixed_share` must lie between 0 and 1");
        }
        if self.candidates.is_some() && self.data.is_some() {
            return wrong(
                "`candidates` keeps those of synthetic cases: scans and masks of `data` may change",
            );
        }
        if self.steps == 0 && (self.minutes.is_nan() || self.minutes <= 0.0) {
            return wrong("either `steps` or `minutes` must be positive");
        }
        Ok(())
    }

    pub(crate) fn spec(&self, classes: usize) -> NetSpec {
        match self.network {
            ClassifierNetwork::LocationAttention => specs::location_attention(classes, self.slab),
            ClassifierNetwork::Resnet18 => specs::resnet18(classes, self.slab),
        }
    }

    /// The window of the detector; the chest wall stays visible, it tells where the pleura is.
    fn input(&self) -> InputRecipe {
        InputRecipe { low_hu: -1000.0, high_hu: 400.0, outside_hu: None, mask_margin: 0 }
    }

    fn patch(&self) -> PatchRecipe {
        PatchRecipe {
            edge_mm: self.edge_mm,
            pixels: self.pixels,
            slab: self.slab,
            slab_step_mm: 2.5,
            neighbour_mm: 2.5,
            // Distances are 0 to about 0.2 of the diagonal: times 10 they are of the order of 1.
            distance_scale: 10.0,
        }
    }

    pub(crate) fn regions(&self) -> RegionRecipe {
        RegionRecipe { input: self.input(), patch: self.patch(), margin: self.shift }
    }

    /// The raster of the phantom `index` of a split.
    fn grid(&self, index: usize) -> Grid {
        match self.scanner_every > 0 && (index / 3).is_multiple_of(self.scanner_every) {
            true => Grid::Scanner,
            false => Grid::Detector { spacing_mm: self.spacing_mm },
        }
    }

    /// The settings that decide how the candidate regions of synthetic cases are cut, as JSON text.
    fn cut_settings(&self, detector: &LoadedDetector) -> String {
        let drawn = self.cohort.is_none().then_some((self.seed, self.cases));
        let settings = serde_json::json!({
            "detector": detector.facts.sha256,
            "cohort": self.cohort,
            "seed": drawn.map(|d| d.0),
            "cases": drawn.map(|d| d.1),
            "generator": pleura_phantom::GENERATOR_HASH,
            "spacing_mm": self.spacing_mm,
            "scanner_every": self.scanner_every,
            "patch": self.patch(),
            "shift": self.shift,
        });
        settings.to_string()
    }

    fn norm(&self) -> NormPlan {
        NormPlan { momentum: self.norm_momentum, fixed_share: self.norm_fixed_share }
    }

    fn data(&self) -> Result<Data<'_>> {
        let origin = Origin {
            data: self.data.as_deref(),
            cohort: self.cohort.as_ref(),
            seed: self.seed,
            cases: [self.cases, self.validation_cases],
        };
        Data::new(&origin, |index| self.grid(index))
    }

    pub(crate) fn manifest(
        &self,
        data: &Data,
        notes: BTreeMap<String, String>,
        calibration: Calibration,
    ) -> ModelManifest {
        ModelManifest {
            format: FORMAT,
            name: match self.network {
                ClassifierNetwork::LocationAttention => "pleura-classifier".into(),
                ClassifierNetwork::Resnet18 => "pleura-classifier-resnet18".into(),
            },
            version: env!("CARGO_PKG_VERSION").into(),
            spec: self.spec(data.names().regions.len()),
            preprocessing: Preprocessing::Classifier {
                input: self.input(),
                patch: self.patch(),
                classes: data.names().regions,
                calibration,
            },
            trained_on: data.told("Candidate regions of "),
            generator: data.generator(),
            notes,
        }
    }

    fn notes(&self, cases: usize, steps: u64, detector: &str, scored: &Scored) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("seed".to_string(), self.seed.to_string()),
            ("steps".to_string(), steps.to_string()),
            ("cases".to_string(), cases.to_string()),
            ("detector-sha256".to_string(), detector.to_string()),
            ("validation-patch-accuracy".to_string(), format!("{:.3}", scored.patch_accuracy)),
            ("validation-case-accuracy".to_string(), format!("{:.3}", scored.case_accuracy)),
        ])
    }
}

/// The classifier's step.
pub(crate) struct Classify<'a> {
    config: &'a ClassifierConfig,
    recipe: RegionRecipe,
    cases: Vec<CaseRegions>,
    holders: Holders,
    classes: usize,
}

impl<'a> Classify<'a> {
    /// Of prepared cases, whose labels lie below `classes`.
    pub fn new(config: &'a ClassifierConfig, cases: Vec<CaseRegions>, classes: usize) -> Self {
        let holders = Holders::new(&cases, classes);
        Self { config, recipe: config.regions(), cases, holders, classes }
    }

    /// One training example: image, feature, label. The classes in turn, so that the two pneumonias
    /// count as much as what is irrelevant; then region and patch are drawn.
    fn example(&self, step: u64, slot: usize) -> Option<(Vec<f32>, f32, usize)> {
        let c = self.config;
        let mut rng = Rng::at(c.seed, &[4, step, slot as u64]);
        let region = self.holders.draw(&self.cases, (step as usize + slot) % self.classes, &mut rng)?;
        let patch = region.patches.get(rng.below(region.patches.len()))?;
        let mut shift = || rng.below(2 * c.shift + 1);
        let shift = [shift(), shift()];
        let mirror = [rng.chance(0.5), rng.chance(0.5)];
        let distance = patch.distance * (1.0 + 0.05 * rng.normal());
        let image = self.recipe.view(patch, shift, mirror, Some((&c.augment, &mut rng)));
        Some((image, (distance * f64::from(self.recipe.patch.distance_scale)) as f32, region.label))
    }
}

impl Task for Classify<'_> {
    fn curves(&self) -> &[&'static str] {
        &["loss", "accuracy"]
    }

    fn pass(&self, step: u64, done: f64, net: &mut Net, device: &Device) -> Result<Pass> {
        let c = self.config;
        let examples: Option<Vec<_>> =
            (0..c.batch).into_par_iter().with_max_len(1).map(|slot| self.example(step, slot)).collect();
        let examples = examples.ok_or_else(|| Error::Config("no candidate region to learn from".into()))?;
        let images: Vec<f32> = examples.iter().flat_map(|e| e.0.iter().copied()).collect();
        let features: Vec<f32> = examples.iter().map(|e| e.1).collect();
        let labels: Vec<usize> = examples.iter().map(|e| e.2).collect();
        let image = TensorData::new(images, [c.batch, c.slab, c.pixels, c.pixels, 1]);
        let takes = net.spec().features > 0;
        let features = takes.then(|| Tensor::from_data(TensorData::new(features, [c.batch, 1]), device));
        let outputs = c.norm().forward(net, done, Tensor::from_data(image, device), features)?;
        let logits = outputs.first().map(|o| o.to_vec()).transpose()?.unwrap_or_default();
        let loss = losses::classes(&logits, self.classes, &labels, c.label_smoothing);
        let right =
            |(row, label): (&[f32], &usize)| (0..row.len()).all(|k| k == *label || row[k] < row[*label]);
        let hits = logits.chunks(self.classes).zip(&labels).filter(|(r, l)| right((r, l))).count();
        let values = vec![loss.value, hits as f64 / labels.len() as f64];
        Ok(Pass { outputs, gradients: vec![loss.gradient], values })
    }
}

/// Trains the classifier on candidate regions of phantoms, or of one's own scans, among them what
/// `detector` proposes, and writes `classifier.safetensors`, `curves.csv`, `curves.svg` and `metrics.json` into `out_dir`,
/// with `checkpoint/` beside them. Goes on from the checkpoint as [`crate::train_detector`] does.
///
/// # Errors
/// As [`crate::train_detector`]; also when `detector` is no detector.
pub fn train_classifier(
    config: &ClassifierConfig,
    detector: &Model,
    out_dir: &Path,
    progress: &dyn Progress,
) -> Result<Summary> {
    config.check()?;
    // Other proposals make other training data: the detector belongs to the settings.
    let data = config.data()?;
    // Where candidates are kept decides nothing.
    let settings = ClassifierConfig { candidates: None, ..config.clone() };
    let start = Start::new(
        &settings,
        [config.from.as_deref(), config.data.as_deref()],
        &[("detector", detector.sha256.as_str())],
    )?;
    let loaded = LoadedDetector::new(detector.clone()).map_err(|e| Error::Stage(e.to_string()))?;
    let state = match finished(out_dir, &start.settings)? {
        Some(state) => {
            data.remember(Split::Training, progress)?;
            state
        }
        None => {
            // A model that does not fit is refused before anything is cut.
            let classes = data.names().regions.len();
            let initial = start.weights(&config.spec(classes), config.seed)?;
            let task = Classify::new(config, regions(config, &data, &loaded, progress)?, classes);
            fit(&task, initial, start.settings, out_dir, progress)?
        }
    };
    let scored = score_classifier::score(config, &data, &loaded, &state.weights, progress)?;
    let notes = config.notes(data.count(Split::Training), state.step, &detector.sha256, &scored);
    let manifest = config.manifest(&data, notes, scored.calibration.clone());
    crate::deliver(state, manifest, scored.metrics(), out_dir, "classifier.safetensors")
}

/// Cuts the candidate regions of the training cases and keeps them in the file that the settings name;
/// nothing is done where they are there already.
///
/// # Errors
/// As [`train_classifier`]; [`Error::OtherCandidates`] and [`Error::Candidates`] when the file is another.
pub(crate) fn cut_candidates(
    config: &ClassifierConfig,
    detector: &Model,
    progress: &dyn Progress,
) -> Result<()> {
    config.check()?;
    let loaded = LoadedDetector::new(detector.clone()).map_err(|e| Error::Stage(e.to_string()))?;
    regions(config, &config.data()?, &loaded, progress).map(|_| ())
}

/// The candidate regions of the training cases, from the file that keeps them if it is there.
fn regions(
    config: &ClassifierConfig,
    data: &Data,
    detector: &LoadedDetector,
    progress: &dyn Progress,
) -> Result<Vec<CaseRegions>> {
    let (recipe, count) = (config.regions(), data.count(Split::Training));
    let irrelevant = data.names().regions.len() - 1;
    let one = |i| recipe.regions(detector, &data.case(Split::Training, i)?, irrelevant);
    let Some(path) = &config.candidates else {
        return each_case(count, CUTTING, progress, one);
    };
    let settings = config.cut_settings(detector);
    let Some(kept) = kept::load(path, &settings)? else {
        let regions = each_case(count, CUTTING, progress, one)?;
        kept::save(path, &settings, &regions)?;
        return Ok(regions);
    };
    // Settings do not tell how lungs are found or candidates made: one case is cut again to see.
    let mut cases = (0..count).filter_map(|i| one(i).transpose());
    if cases.next().transpose()?.as_ref() != kept.first() {
        let difference = "this version of the program cuts others".into();
        return Err(Error::OtherCandidates { path: path.clone(), difference });
    }
    if !kept.iter().all(|case| recipe.fits(case, irrelevant)) {
        let reason = "its regions have other sizes or labels than its settings say".into();
        return Err(Error::Candidates { path: path.clone(), reason });
    }
    Ok(kept)
}

/// What the user is told meanwhile.
const CUTTING: &str = "cutting training patches";

/// Trains on the regions of the training cases.
fn fit(
    task: &Classify,
    initial: Weights,
    settings: String,
    out_dir: &Path,
    progress: &dyn Progress,
) -> Result<State> {
    let config = task.config;
    let schedule = Schedule {
        steps: config.steps,
        minutes: config.minutes,
        checkpoint_every: config.checkpoint_every,
        optimizer: &config.optimizer,
        config: settings,
        title: "training the classifier",
    };
    train(task, &config.spec(task.classes), initial, &schedule, out_dir, progress)
}
