//! A training that is interrupted and goes on ends with the same bits as one that is not.

#![allow(clippy::unwrap_used)]

use pleura_learn::{ClassifierConfig, DetectorConfig, Error, Summary, train_classifier, train_detector};
use pleura_nets::Model;
use pleura_volume::{NoProgress, Progress};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Gives up after a number of training steps.
struct StopAfter {
    step: u64,
    training: AtomicBool,
    done: AtomicU64,
}

impl StopAfter {
    fn new(step: u64) -> Self {
        Self { step, training: AtomicBool::new(false), done: AtomicU64::new(0) }
    }
}

impl Progress for StopAfter {
    fn stage(&self, name: &str, _total: u64) {
        self.training.store(name.starts_with("training"), Ordering::SeqCst);
    }
    fn done(&self, steps: u64) {
        self.done.store(steps, Ordering::SeqCst);
    }
    fn cancelled(&self) -> bool {
        self.training.load(Ordering::SeqCst) && self.done.load(Ordering::SeqCst) >= self.step
    }
}

fn detector() -> DetectorConfig {
    DetectorConfig {
        cases: 3,
        validation_cases: 1,
        steps: 8,
        batch: 2,
        crop: 16,
        widths: vec![4, 4, 8],
        spacing_mm: 5.0,
        checkpoint_every: 3,
        ..DetectorConfig::default()
    }
}

fn classifier() -> ClassifierConfig {
    ClassifierConfig {
        cases: 3,
        validation_cases: 1,
        steps: 4,
        batch: 6,
        pixels: 16,
        spacing_mm: 5.0,
        scanner_every: 0,
        checkpoint_every: 3,
        ..ClassifierConfig::default()
    }
}

fn wholly(out: &Path, threads: usize) -> Summary {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| train_detector(&detector(), out, &NoProgress).unwrap())
}

#[test]
fn trainings_resume_exactly_and_write_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    let uninterrupted = wholly(&whole, 1);

    let stopped = train_detector(&detector(), &broken, &StopAfter::new(5));
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    assert!(!broken.join("detector.safetensors").exists());
    let resumed = wholly(&broken, 2);
    assert_eq!(resumed.weights_sha256, uninterrupted.weights_sha256);
    assert_eq!(resumed.model_sha256, uninterrupted.model_sha256);

    let other = DetectorConfig { seed: 99, ..detector() };
    let refused = train_detector(&other, &whole, &NoProgress).unwrap_err();
    assert!(refused.to_string().contains("seed was 1, now 99"), "{refused}");

    for file in ["curves.csv", "curves.svg", "metrics.json", "detector.safetensors"] {
        assert!(whole.join(file).is_file(), "{file}");
    }
    let model = Model::load(&whole.join("detector.safetensors")).unwrap();
    assert_eq!(model.sha256, uninterrupted.model_sha256);

    let (whole, broken) = (dir.path().join("c-whole"), dir.path().join("c-broken"));
    let uninterrupted = train_classifier(&classifier(), &model, &whole, &NoProgress).unwrap();
    let stopped = train_classifier(&classifier(), &model, &broken, &StopAfter::new(2));
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    let resumed = train_classifier(&classifier(), &model, &broken, &NoProgress).unwrap();
    assert_eq!(resumed.weights_sha256, uninterrupted.weights_sha256);
    Model::load(&whole.join("classifier.safetensors")).unwrap();
}

/// Counts the cases that are cut.
#[derive(Default)]
struct Cuts(AtomicU64);

impl Progress for Cuts {
    fn stage(&self, name: &str, total: u64) {
        if name.starts_with("cutting") {
            self.0.fetch_add(total, Ordering::SeqCst);
        }
    }
    fn done(&self, _: u64) {}
    fn cancelled(&self) -> bool {
        false
    }
}

#[test]
fn candidates_are_cut_once_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    train_detector(&detector(), &dir.path().join("detector"), &NoProgress).unwrap();
    let model = Model::load(&dir.path().join("detector/detector.safetensors")).unwrap();
    let plain = train_classifier(&classifier(), &model, &dir.path().join("plain"), &NoProgress).unwrap();

    let file = dir.path().join("kept/candidates.bin");
    let keeping = ClassifierConfig { candidates: Some(file.clone()), ..classifier() };
    let train = |config: &ClassifierConfig, name: &str| {
        let cuts = Cuts::default();
        let summary = train_classifier(config, &model, &dir.path().join(name), &cuts);
        (summary, cuts.0.into_inner())
    };
    let (first, cut) = train(&keeping, "first");
    assert_eq!((first.unwrap().weights_sha256, cut), (plain.weights_sha256.clone(), 3));
    let (again, cut) = train(&keeping, "again");
    assert_eq!((again.unwrap().weights_sha256, cut), (plain.weights_sha256, 0));
    // Another network on the same regions.
    let other = ClassifierConfig { network: pleura_learn::ClassifierNetwork::Resnet18, ..keeping.clone() };
    let (other, cut) = train(&other, "other");
    assert!(other.is_ok() && cut == 0, "{other:?}");
    // What makes other regions.
    for (what, other) in [
        ("seed was 2, now 8", ClassifierConfig { seed: 8, ..keeping.clone() }),
        ("cases was 3, now 4", ClassifierConfig { cases: 4, ..keeping.clone() }),
        ("shift was 6, now 2", ClassifierConfig { shift: 2, ..keeping.clone() }),
        ("patch was", ClassifierConfig { edge_mm: 60.0, ..keeping.clone() }),
        ("scanner_every was 0", ClassifierConfig { scanner_every: 6, ..keeping.clone() }),
        ("spacing_mm was 5", ClassifierConfig { spacing_mm: 4.0, ..keeping.clone() }),
    ] {
        let told = train(&other, "refused").0.unwrap_err().to_string();
        assert!(told.contains(what) && told.contains("candidates.bin"), "{told}");
    }
    train_detector(&DetectorConfig { seed: 7, ..detector() }, &dir.path().join("second"), &NoProgress)
        .unwrap();
    let second = Model::load(&dir.path().join("second/detector.safetensors")).unwrap();
    let refused = train_classifier(&keeping, &second, &dir.path().join("refused"), &NoProgress).unwrap_err();
    assert!(refused.to_string().contains("detector was"), "{refused}");
    // A model that does not fit is refused before anything is cut.
    let unfit = Some(dir.path().join("detector/detector.safetensors"));
    let (refused, cut) = train(&ClassifierConfig { from: unfit, ..classifier() }, "refused");
    assert!(refused.is_err() && cut == 0, "{refused:?}");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bad = DetectorConfig { crop: 20, ..DetectorConfig::default() };
    assert!(matches!(train_detector(&bad, dir.path(), &NoProgress), Err(Error::Config(_))));
    let bad = DetectorConfig { steps: 0, minutes: 0.0, ..DetectorConfig::default() };
    assert!(matches!(train_detector(&bad, dir.path(), &NoProgress), Err(Error::Config(_))));
}
