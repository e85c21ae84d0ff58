//! Training the detector (VNET-IR-RPN) on phantoms.

use crate::augment::AugmentConfig;
use crate::batches::{CropRecipe, batch};
use crate::checkpoint::State;
use crate::cohort::CohortRecipe;
use crate::data::{Data, Origin, Split};
use crate::losses::{self, Loss, Positive};
use crate::pool::{Scan, each_case};
use crate::score_detector::{self, Scored};
use crate::start::Start;
use crate::trainer::{NormPlan, Pass, Schedule, Task, finished, train};
use crate::truth::LEAST_ML;
use crate::{AdamWConfig, Error, Result, Summary};
use burn::tensor::{Device, Tensor, TensorData};
use pleura_nets::{
    AnchorSpec, FORMAT, InputRecipe, Interpolation, ModelManifest, NetSpec, Preprocessing, ProposalRecipe,
    specs,
};
use pleura_nets_burn::Net;
use pleura_phantom::Grid;
use pleura_volume::Progress;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Most proposals that are left of a scan once they are thinned (ours). A bound on work, not on what is
/// found: a diffuse infection fills a hundred places, and 40 hid a third of all regions behind it.
const MOST_PROPOSALS: usize = 400;

/// How the detector is trained. Every number not in the paper is ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectorConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Model file whose weights to start from, wherever they fit, in place of random ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// CSV of one's own labelled scans, in place of phantoms (`docs/training.md`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Cohort whose training and validation cases to use, in place of phantoms of this training's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cohort: Option<CohortRecipe>,
    /// Phantoms to train on, of the three classes in turn.
    pub cases: usize,
    /// Phantoms to validate on.
    pub validation_cases: usize,
    /// Steps; 0: as many as fit into `minutes`.
    pub steps: u64,
    /// Minutes of training steps when `steps` is 0 (rendering and validation come on top).
    pub minutes: f64,
    /// Crops a step: half centred on lesions, a quarter on bright structures, a quarter anywhere.
    pub batch: usize,
    /// Edge of a crop in voxels.
    pub crop: usize,
    /// Channels at strides 1, 2, 4, ...
    pub widths: Vec<usize>,
    /// Spacing of the grid, mm.
    pub spacing_mm: f64,
    /// Edges of the anchor cubes, mm.
    pub anchors_mm: Vec<f32>,
    /// An anchor with at least this IoU with a lesion is positive.
    pub positive_iou: f64,
    /// An anchor below this IoU with every lesion is negative; one in between is left out. Low, as in
    /// the DSB2017 winner (0.02): what lies half on a lesion is no example of healthy lung.
    pub negative_iou: f64,
    /// Hardest negatives that count for each positive.
    pub negatives_each: usize,
    /// Least number of negatives that count in a batch.
    pub negatives_least: usize,
    /// Weight of the box offsets' loss.
    pub offsets_weight: f64,
    /// Weight of the voxel head's loss.
    pub voxel_weight: f64,
    /// Share by which running statistics move towards those of a batch.
    pub norm_momentum: f32,
    /// Share of the steps, at the end, in which the running statistics are kept and used.
    pub norm_fixed_share: f64,
    /// Most of the lungs without infection that the voxel threshold may call infected, as a mean share.
    pub clean_share: f64,
    /// Recall of truth regions that the score threshold is chosen for.
    pub recall: f64,
    /// Most proposals a case, on average, that it may cost.
    pub proposals_a_case: f64,
    /// Most proposals a case without infection, on average, that it may cost.
    pub proposals_a_clean_case: f64,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// What crops go through on the fly.
    pub augment: AugmentConfig,
    /// The optimiser.
    pub optimizer: AdamWConfig,
}

impl Default for DetectorConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            from: None,
            data: None,
            cohort: None,
            cases: 300,
            validation_cases: 60,
            steps: 0,
            minutes: 20.0,
            batch: 4,
            crop: 48,
            widths: vec![8, 16, 32, 64],
            spacing_mm: 2.0,
            anchors_mm: vec![8.0, 14.0, 24.0, 40.0, 60.0],
            positive_iou: 0.3,
            negative_iou: 0.05,
            negatives_each: 3,
            negatives_least: 16,
            offsets_weight: 1.0,
            voxel_weight: 1.0,
            norm_momentum: 0.05,
            norm_fixed_share: 0.5,
            clean_share: 0.02,
            recall: 0.9,
            proposals_a_case: 12.0,
            proposals_a_clean_case: 1.0,
            checkpoint_every: 200,
            augment: AugmentConfig::default(),
            optimizer: AdamWConfig::default(),
        }
    }
}

impl DetectorConfig {
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::Config(what.into()));
        if self.widths.len() < 3 || self.widths.contains(&0) {
            return wrong("`widths` needs three or more positive channel counts");
        }
        let stride = 1usize << (self.widths.len() - 1).min(10);
        if self.crop == 0 || !self.crop.is_multiple_of(stride) {
            return Err(Error::Config(format!("`crop` must be a positive multiple of {stride}")));
        }
        if self.batch == 0 || self.cases == 0 || self.validation_cases == 0 {
            return wrong("`batch`, `cases` and `validation_cases` must be positive");
        }
        if self.anchors_mm.is_empty() || self.anchors_mm.iter().any(|e| !(1.0..=200.0).contains(e)) {
            return wrong("`anchors_mm` needs edges of 1 to 200 mm");
        }
        if !(0.5..=10.0).contains(&self.spacing_mm) {
            return wrong("`spacing_mm` must lie between 0.5 and 10");
        }
        if !(0.0..=1.0).contains(&self.norm_fixed_share) {
            return wrong("`norm_fixed_share` must lie between 0 and 1");
        }
        if !(0.0..=1.0).contains(&self.clean_share) {
            return wrong("`clean_share` must lie between 0 and 1");
        }
        if self.steps == 0 && (self.minutes.is_nan() || self.minutes <= 0.0) {
            return wrong("either `steps` or `minutes` must be positive");
        }
        Ok(())
    }

    fn anchors(&self) -> AnchorSpec {
        AnchorSpec { stride: specs::RPN_STRIDE, edges_mm: self.anchors_mm.clone() }
    }

    /// The window holds air to enhanced vessels; outside the lungs soft tissue, as DSB2017 does.
    pub(crate) fn input(&self) -> InputRecipe {
        InputRecipe { low_hu: -1000.0, high_hu: 400.0, outside_hu: Some(40.0), mask_margin: 1 }
    }

    fn crops(&self) -> CropRecipe {
        CropRecipe {
            edge: self.crop,
            spacing_mm: self.spacing_mm,
            input: self.input(),
            anchors: self.anchors(),
            positive_iou: self.positive_iou,
            negative_iou: self.negative_iou,
            augment: self.augment.clone(),
        }
    }

    fn norm(&self) -> NormPlan {
        NormPlan { momentum: self.norm_momentum, fixed_share: self.norm_fixed_share }
    }

    pub(crate) fn data(&self) -> Result<Data<'_>> {
        let origin = Origin {
            data: self.data.as_deref(),
            cohort: self.cohort.as_ref(),
            seed: self.seed,
            cases: [self.cases, self.validation_cases],
        };
        let data = Data::new(&origin, |_| Grid::Detector { spacing_mm: self.spacing_mm })?;
        data.require_marks()?;
        Ok(data)
    }

    pub(crate) fn manifest(&self, data: &Data, steps: u64, scored: &Scored) -> ModelManifest {
        let notes = BTreeMap::from([
            ("seed".to_string(), self.seed.to_string()),
            ("steps".to_string(), steps.to_string()),
            ("cases".to_string(), data.count(Split::Training).to_string()),
            ("validation-recall".to_string(), format!("{:.3}", scored.recall)),
            ("validation-proposals-a-case".to_string(), format!("{:.2}", scored.proposals)),
            ("validation-dice".to_string(), format!("{:.3}", scored.dice)),
        ]);
        ModelManifest {
            format: FORMAT,
            name: "pleura-detector".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            spec: specs::vnet_ir_rpn(&self.widths, self.anchors_mm.len()),
            preprocessing: Preprocessing::Detector {
                spacing_mm: [self.spacing_mm; 3],
                interpolation: Interpolation::AreaMean,
                input: self.input(),
                proposals: self.proposals(scored.score_threshold, scored.voxel_threshold),
            },
            trained_on: data.told(""),
            generator: data.generator(),
            notes,
        }
    }

    pub(crate) fn proposals(&self, score_threshold: f32, voxel_threshold: f32) -> ProposalRecipe {
        ProposalRecipe {
            anchors: self.anchors(),
            score_threshold,
            nms_iou: 0.2,
            max_proposals: MOST_PROPOSALS,
            voxel_threshold,
        }
    }
}

/// The detector's step.
struct Detect<'a> {
    config: &'a DetectorConfig,
    recipe: CropRecipe,
    pool: Vec<Scan>,
    infected: Vec<usize>,
}

impl Task for Detect<'_> {
    fn curves(&self) -> &[&'static str] {
        &["loss", "objectness", "offsets", "voxels"]
    }

    fn pass(&self, step: u64, done: f64, net: &mut Net, device: &Device) -> Result<Pass> {
        let c = self.config;
        let crops = batch(&self.recipe, &self.pool, &self.infected, c.seed, step, c.batch)?;
        let input: Vec<f32> = crops.iter().flat_map(|c| c.input.iter().copied()).collect();
        let image = TensorData::new(input, [c.batch, c.crop, c.crop, c.crop, 1]);
        let outputs = c.norm().forward(net, done, Tensor::from_data(image, device), None)?;
        let [objectness, offsets, voxels] = outputs.as_slice() else {
            return Err(Error::Stage("the detector must have three outputs".into()));
        };
        let labels: Vec<i8> = crops.iter().flat_map(|c| c.labels.iter().copied()).collect();
        let anchors = labels.len() / c.batch;
        let positives: Vec<Positive> = crops
            .iter()
            .enumerate()
            .flat_map(|(n, c)| {
                c.positives.iter().map(move |p| Positive { anchor: n * anchors + p.anchor, ..*p })
            })
            .collect();
        let infected: Vec<u8> = crops.iter().flat_map(|c| c.infected.iter().copied()).collect();
        let weights: Vec<f32> = crops.iter().flat_map(|c| c.weights.iter().copied()).collect();
        let objectness = objectness.to_vec()?;
        let found = losses::objectness(&objectness, &labels, &positives, c.negatives_each, c.negatives_least);
        let parts = [
            (found, 1.0),
            (losses::offsets(&offsets.to_vec()?, &positives), c.offsets_weight),
            (losses::voxels(&voxels.to_vec()?, &infected, &weights), c.voxel_weight),
        ];
        let total = parts.iter().map(|(l, w)| l.value * w).sum();
        let mut values = vec![total];
        values.extend(parts.iter().map(|(l, _)| l.value));
        let weighed = |(l, w): (Loss, f64)| l.gradient.into_iter().map(|g| g * w as f32).collect();
        Ok(Pass { gradients: parts.into_iter().map(weighed).collect(), values, outputs })
    }
}

/// Trains the detector on phantoms, or on one's own scans, and writes `detector.safetensors`,
/// `curves.csv`, `curves.svg` and `metrics.json` into `out_dir`, with `checkpoint/` beside them.
///
/// Called again with the same configuration it goes on from the checkpoint; the result is the same
/// to the bit, whatever the number of threads, unless a budget of minutes makes the plan.
///
/// # Errors
/// [`Error::Config`], [`Error::OtherConfig`] when the folder holds a checkpoint of other settings,
/// [`Error::Cancelled`] (with a checkpoint) when `progress` says so, and what the stages say.
pub fn train_detector(config: &DetectorConfig, out_dir: &Path, progress: &dyn Progress) -> Result<Summary> {
    config.check()?;
    let data = config.data()?;
    let start = Start::new(config, [config.from.as_deref(), config.data.as_deref()], &[])?;
    // Another configuration is refused before the phantoms are rendered.
    let spec = specs::vnet_ir_rpn(&config.widths, config.anchors_mm.len());
    let state = match finished(out_dir, &start.settings)? {
        Some(state) => {
            data.remember(Split::Training, progress)?;
            state
        }
        None => fit(config, &data, &spec, start, out_dir, progress)?,
    };
    let scored = score_detector::score(config, &data, &state.weights, progress)?;
    let manifest = config.manifest(&data, state.step, &scored);
    crate::deliver(state, manifest, scored.metrics(), out_dir, "detector.safetensors")
}

/// Makes the training cases and trains on them.
fn fit(
    config: &DetectorConfig,
    data: &Data,
    spec: &NetSpec,
    start: Start,
    out_dir: &Path,
    progress: &dyn Progress,
) -> Result<State> {
    let initial = start.weights(spec, config.seed)?;
    let input = config.input();
    let pool = each_case(data.count(Split::Training), "preparing training cases", progress, |i| {
        Scan::new(data.case(Split::Training, i)?, &input, config.spacing_mm, 1)
    })?;
    let asked = |s: &Scan| s.region_ml.iter().any(|ml| *ml >= LEAST_ML);
    let infected = (0..pool.len()).filter(|&i| asked(&pool[i])).collect();
    let task = Detect { config, recipe: config.crops(), pool, infected };
    let schedule = Schedule {
        steps: config.steps,
        minutes: config.minutes,
        checkpoint_every: config.checkpoint_every,
        optimizer: &config.optimizer,
        config: start.settings,
        title: "training the detector",
    };
    train(&task, spec, initial, &schedule, out_dir, progress)
}
