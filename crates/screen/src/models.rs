//! The two models of a screening, checked and ready to run.

use crate::error::{Error, Result};
use crate::verdict::IRRELEVANT;
use pleura_nets::specs::{OBJECTNESS, OFFSETS, VOXEL};
use pleura_nets::{
    Calibration, Executor, InputRecipe, Interpolation, Model, PatchRecipe, Preprocessing, ProposalRecipe,
    Role, ScanRange, Shape,
};

/// What a report says of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFacts {
    /// Its role.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Hash of its file, hexadecimal.
    pub sha256: String,
    /// What it was trained on.
    pub trained_on: String,
}

/// A detector ready to run.
pub struct LoadedDetector {
    /// What it says of itself.
    pub facts: ModelFacts,
    /// The network.
    pub executor: Executor,
    /// Spacing of its grid, mm (x, y, z).
    pub spacing_mm: [f64; 3],
    /// How the scan is sampled on it.
    pub interpolation: Interpolation,
    /// From HU to the input channel.
    pub input: InputRecipe,
    /// From outputs to proposals.
    pub proposals: ProposalRecipe,
}

/// A classifier ready to run.
pub struct LoadedClassifier {
    /// What it says of itself.
    pub facts: ModelFacts,
    /// The network.
    pub executor: Executor,
    /// From HU to the input channel.
    pub input: InputRecipe,
    /// How patches are cut.
    pub patch: PatchRecipe,
    /// Class names in output order, [`IRRELEVANT`] among them.
    pub classes: Vec<String>,
    /// From patches to a calibrated case probability.
    pub calibration: Calibration,
}

/// The two models of a screening.
pub struct Models {
    /// Proposes candidate regions.
    pub detector: LoadedDetector,
    /// Calls their patches.
    pub classifier: LoadedClassifier,
}

impl Models {
    /// Checks two models and prepares them to run.
    ///
    /// # Errors
    /// [`Error::Model`] when a model has another role, other outputs or a recipe that makes no
    /// sense; [`Error::Network`] when its weights and graph do not fit each other.
    pub fn new(detector: Model, classifier: Model) -> Result<Self> {
        Ok(Self { detector: LoadedDetector::new(detector)?, classifier: LoadedClassifier::new(classifier)? })
    }

    /// What a report says of them, detector first.
    pub fn facts(&self) -> [&ModelFacts; 2] {
        [&self.detector.facts, &self.classifier.facts]
    }
}

impl LoadedDetector {
    /// Checks a detector and prepares it to run.
    ///
    /// # Errors
    /// As [`Models::new`].
    pub fn new(model: Model) -> Result<Self> {
        let facts = facts(&model, Role::Detector);
        let refuse = |reason: &str| Err(refused(&facts, reason));
        let Preprocessing::Detector { spacing_mm, interpolation, input, proposals } =
            model.manifest.preprocessing
        else {
            return refuse("it is not a detector");
        };
        if !spacing_mm.iter().all(|s| (0.3..=10.0).contains(s)) {
            return refuse("the spacing of its grid is not between 0.3 and 10 mm");
        }
        let shares = [proposals.score_threshold, proposals.nms_iou, proposals.voxel_threshold];
        if !shares.iter().all(|s| (0.0..=1.0).contains(s)) {
            return refuse("a threshold of its proposals is not between 0 and 1");
        }
        let edges = &proposals.anchors.edges_mm;
        if proposals.anchors.stride == 0
            || edges.is_empty()
            || !edges.iter().all(|e| (1.0..=500.0).contains(e))
        {
            return refuse("its anchors make no sense");
        }
        if !window_is_sound(&input) {
            return refuse("its HU window is empty");
        }
        let outputs = &model.manifest.spec.outputs;
        if [OBJECTNESS, OFFSETS, VOXEL].iter().any(|o| !outputs.iter().any(|have| have == o)) {
            return refuse("it lacks the proposal head or the voxel head");
        }
        let executor = Executor::new(&model.manifest.spec, &model.weights)?;
        Ok(Self { facts, executor, spacing_mm, interpolation, input, proposals })
    }
}

impl LoadedClassifier {
    /// Checks a classifier and prepares it to run.
    ///
    /// # Errors
    /// As [`Models::new`].
    pub fn new(model: Model) -> Result<Self> {
        let facts = facts(&model, Role::Classifier);
        let refuse = |reason: &str| Err(refused(&facts, reason));
        let Preprocessing::Classifier { input, patch, classes, calibration } = model.manifest.preprocessing
        else {
            return refuse("it is not a classifier");
        };
        let positive = [patch.edge_mm, patch.slab_step_mm, patch.neighbour_mm];
        if !(8..=512).contains(&patch.pixels)
            || !(1..=64).contains(&patch.slab)
            || !positive.iter().all(|v| (0.01..=500.0).contains(v))
            || !patch.distance_scale.is_finite()
        {
            return refuse("the size of its patches makes no sense");
        }
        if !window_is_sound(&input) {
            return refuse("its HU window is empty");
        }
        if classes.iter().filter(|c| *c == IRRELEVANT).count() != 1 || classes.len() < 2 {
            return refuse("its classes must be `irrelevant` once and at least one infection type");
        }
        if !calibration_is_sound(&calibration) {
            return refuse("its calibration makes no sense");
        }
        let spec = &model.manifest.spec;
        if spec.features > 1 {
            return refuse("it wants more than one feature a patch");
        }
        let shapes = spec.shapes([patch.slab, patch.pixels, patch.pixels])?;
        match (spec.output_places()?.as_slice(), classes.len()) {
            (&[logits], n) if shapes.get(logits) == Some(&Shape::Flat(n)) => {}
            _ => return refuse("its network does not give one value for each class"),
        }
        let executor = Executor::new(spec, &model.weights)?;
        Ok(Self { facts, executor, input, patch, classes, calibration })
    }
}

fn facts(model: &Model, role: Role) -> ModelFacts {
    ModelFacts {
        role,
        name: model.manifest.name.clone(),
        version: model.manifest.version.clone(),
        sha256: model.sha256.clone(),
        trained_on: model.manifest.trained_on.clone(),
    }
}

fn refused(facts: &ModelFacts, reason: &str) -> Error {
    Error::Model { role: facts.role, name: facts.name.clone(), reason: reason.into() }
}

fn window_is_sound(input: &InputRecipe) -> bool {
    input.low_hu.is_finite() && input.high_hu.is_finite() && input.low_hu < input.high_hu
}

fn range_is_sound(r: &ScanRange) -> bool {
    let [least, most] = r.lung_hu;
    let numbers = [r.most_slice_mm, r.most_noise_hu, least, most];
    numbers.iter().all(|v| v.is_finite()) && least <= most
}

fn calibration_is_sound(c: &Calibration) -> bool {
    let share = |v: f32| (0.0..=1.0).contains(&v);
    let positive = |v: f32| v > 0.0 && v.is_finite();
    positive(c.temperature)
        && positive(c.region_power)
        && share(c.leak)
        && share(c.type_weight)
        && share(c.type_crowding)
        && share(c.infected_from)
        && share(c.clear_below)
        && c.clear_below <= c.infected_from
        && c.leak < c.clear_below
        && range_is_sound(&c.scans)
}
