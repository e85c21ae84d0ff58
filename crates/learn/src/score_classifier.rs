//! How well a classifier does on validation cases, and the calibration fitted to them.

use crate::candidates::{IRRELEVANT, class_index, label};
use crate::classifier::ClassifierConfig;
use crate::pool::{Split, each_case, find_lungs, phantom_class};
use crate::{Error, Result};
use pleura_nets::{Calibration, Model, Weights};
use pleura_screen::{
    LoadedClassifier, LoadedDetector, PatchVote, Profile, classify, detect, most_probable, noisy_or,
    noisy_or_calibrated, softmax, vote,
};
use pleura_volume::{NoProgress, Progress};
use std::collections::BTreeMap;

/// No temperature, nothing held back, no leak.
pub(crate) const UNCALIBRATED: Calibration =
    Calibration { temperature: 1.0, region_power: 1.0, leak: 0.01, infected_from: 0.5, clear_below: 0.5 };

/// A proposal of a validation case: its label, and the logarithms of its patches' probabilities.
#[derive(Debug, Clone)]
struct Region {
    label: usize,
    logits: [Vec<f32>; 3],
}

/// A validation case.
#[derive(Debug, Clone)]
struct Outcome {
    class: usize,
    regions: Vec<Region>,
}

/// Figures and calibration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scored {
    pub calibration: Calibration,
    pub patch_accuracy: f64,
    pub patch_f1: f64,
    pub region_accuracy: f64,
    pub region_f1_infected: f64,
    pub case_accuracy: f64,
    pub calibrated_accuracy: f64,
    pub indeterminate: f64,
    pub cases: usize,
    pub regions: usize,
}

impl Scored {
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let c = &self.calibration;
        let all = [
            ("patch_accuracy", self.patch_accuracy),
            ("patch_mean_f1", self.patch_f1),
            ("region_accuracy", self.region_accuracy),
            ("region_mean_f1_infected", self.region_f1_infected),
            ("case_accuracy", self.case_accuracy),
            ("calibrated_case_accuracy", self.calibrated_accuracy),
            ("calibrated_indeterminate", self.indeterminate),
            ("temperature", f64::from(c.temperature)),
            ("region_power", f64::from(c.region_power)),
            ("leak", f64::from(c.leak)),
            ("infected_from", f64::from(c.infected_from)),
            ("clear_below", f64::from(c.clear_below)),
            ("validation_cases", self.cases as f64),
            ("validation_regions", self.regions as f64),
        ];
        all.into_iter().map(|(name, v)| (name.to_string(), v)).collect()
    }
}

/// Screens the validation cases with the detector and these weights, and fits the calibration.
pub(crate) fn score(
    config: &ClassifierConfig,
    detector: &LoadedDetector,
    weights: &Weights,
    progress: &dyn Progress,
) -> Result<Scored> {
    let stage = |e: pleura_screen::Error| Error::Stage(e.to_string());
    let model = Model::new(config.manifest(BTreeMap::new(), UNCALIBRATED), weights.clone())?;
    let classifier = LoadedClassifier::new(model).map_err(stage)?;
    let outcomes = each_case(config.validation_cases, "validating the classifier", progress, |i| {
        let phantom = config.phantom(Split::Validation, i);
        let lungs = find_lungs(&phantom.volume)?.mask;
        let found = detect(&phantom.volume, &lungs, detector, &NoProgress).map_err(stage)?.candidates;
        let patches = classify(&phantom.volume, &lungs, &found, &classifier, Profile::Paper, &NoProgress);
        let region = |(c, p): (&pleura_screen::Candidate, &[pleura_screen::Patch; 3])| Region {
            label: label(phantom.class, &c.box_voxels, &lungs, &phantom.infection),
            logits: [0, 1, 2].map(|k| p[k].probabilities.iter().map(|v| v.max(1e-9).ln() as f32).collect()),
        };
        let regions = found.iter().zip(&patches.map_err(stage)?).map(region).collect();
        Ok(Some(Outcome { class: class_index(phantom_class(i)), regions }))
    })?;
    Ok(judge(&outcomes))
}

fn judge(outcomes: &[Outcome]) -> Scored {
    let calibration = calibrate(outcomes);
    let mut patches = Confusion::default();
    let mut regions = Confusion::default();
    for region in outcomes.iter().flat_map(|o| &o.regions) {
        for logits in &region.logits {
            patches.count(region.label, most_probable(&softmax(logits, 1.0)).class);
        }
        regions.count(region.label, voted(region, 1.0).0);
    }
    let share = |right: &dyn Fn(&Outcome) -> bool| {
        outcomes.iter().filter(|o| right(o)).count() as f64 / outcomes.len().max(1) as f64
    };
    let calibrated = |o: &Outcome| {
        let f = findings(o, &calibration);
        let top = f[0].max(f[1]);
        if top >= f64::from(calibration.infected_from) {
            Some(usize::from(f[1] > f[0]))
        } else {
            (top < f64::from(calibration.clear_below)).then_some(IRRELEVANT)
        }
    };
    Scored {
        patch_accuracy: patches.accuracy(),
        patch_f1: (0..3).map(|k| patches.f1(k)).sum::<f64>() / 3.0,
        region_accuracy: regions.accuracy(),
        region_f1_infected: (regions.f1(0) + regions.f1(1)) / 2.0,
        case_accuracy: share(&|o| by_paper(o) == o.class),
        calibrated_accuracy: share(&|o| calibrated(o) == Some(o.class)),
        indeterminate: share(&|o| calibrated(o).is_none()),
        cases: outcomes.len(),
        regions: outcomes.iter().map(|o| o.regions.len()).sum(),
        calibration,
    }
}

/// Class and confidence of a region by the paper's vote.
fn voted(region: &Region, temperature: f64) -> (usize, f64) {
    let votes: [PatchVote; 3] = [0, 1, 2].map(|k| most_probable(&softmax(&region.logits[k], temperature)));
    vote(&votes)
}

/// Confidences of the regions voted each infection type.
fn confidences(outcome: &Outcome, temperature: f64) -> [Vec<f64>; 2] {
    let mut all = [vec![], vec![]];
    for region in &outcome.regions {
        let (class, confidence) = voted(region, temperature);
        if class != IRRELEVANT {
            all[class].push(confidence);
        }
    }
    all
}

/// The paper's verdict: the type of the larger noisy-or, none without a region.
fn by_paper(outcome: &Outcome) -> usize {
    let c = confidences(outcome, 1.0);
    let p = [noisy_or(&c[0]), noisy_or(&c[1])];
    let key = |k: usize| (p[k], c[k].len());
    if c[0].is_empty() && c[1].is_empty() { IRRELEVANT } else { usize::from(key(1) > key(0)) }
}

fn findings(outcome: &Outcome, calibration: &Calibration) -> [f64; 2] {
    confidences(outcome, f64::from(calibration.temperature)).map(|c| noisy_or_calibrated(&c, calibration))
}

/// Temperature by the patches' likelihood, then power and leak by that of the cases' findings, then
/// the two thresholds: the most right verdicts, and at most one infected case in twenty called clear.
fn calibrate(outcomes: &[Outcome]) -> Calibration {
    let mut best = UNCALIBRATED;
    let patches =
        || outcomes.iter().flat_map(|o| &o.regions).flat_map(|r| r.logits.iter().map(|l| (r.label, l)));
    let surprise = |t: f64| -> f64 { patches().map(|(k, l)| -softmax(l, t)[k].max(1e-9).ln()).sum() };
    let temperatures = (0..41).map(|i| 0.5 * 1.05f64.powi(i));
    best.temperature = least(temperatures, surprise).unwrap_or(1.0) as f32;
    // Confidences do not depend on power and leak.
    let known: Vec<(usize, [Vec<f64>; 2])> =
        outcomes.iter().map(|o| (o.class, confidences(o, f64::from(best.temperature)))).collect();
    let case_surprise = |c: &Calibration| -> f64 {
        let one = |(class, lists): &(usize, [Vec<f64>; 2])| -> f64 {
            let of = |k: usize| {
                let p = noisy_or_calibrated(&lists[k], c).clamp(1e-4, 1.0 - 1e-4);
                if *class == k { -p.ln() } else { -(1.0 - p).ln() }
            };
            of(0) + of(1)
        };
        known.iter().map(one).sum()
    };
    let mut lowest = f64::INFINITY;
    for power in [0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0] {
        for leak in [0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12] {
            let tried = Calibration { region_power: power, leak, ..best.clone() };
            let surprise = case_surprise(&tried);
            if surprise < lowest {
                lowest = surprise;
                best = tried;
            }
        }
    }
    thresholds(outcomes, best)
}

fn thresholds(outcomes: &[Outcome], mut c: Calibration) -> Calibration {
    let all: Vec<(usize, [f64; 2])> = outcomes.iter().map(|o| (o.class, findings(o, &c))).collect();
    let wrong = |t: f64| -> f64 {
        let verdict = |f: &[f64; 2]| if f[0].max(f[1]) < t { IRRELEVANT } else { usize::from(f[1] > f[0]) };
        all.iter().filter(|(class, f)| verdict(f) != *class).count() as f64
    };
    let grid = (4..=18).map(|i| f64::from(i) * 0.05);
    let from = least(grid, wrong).unwrap_or(0.5);
    let mut tops: Vec<f64> =
        all.iter().filter(|(class, _)| *class != IRRELEVANT).map(|(_, f)| f[0].max(f[1])).collect();
    tops.sort_by(f64::total_cmp);
    let clear = tops.get(tops.len() / 20).copied().unwrap_or(from);
    c.infected_from = from as f32;
    c.clear_below = clear.clamp(f64::from(c.leak) * 1.5, from) as f32;
    c.clear_below = c.clear_below.min(c.infected_from);
    c
}

/// The first argument of the least value.
fn least(arguments: impl Iterator<Item = f64>, value: impl Fn(f64) -> f64) -> Option<f64> {
    let tried = arguments.map(|a| (a, value(a)));
    tried.reduce(|best, now| if now.1 < best.1 { now } else { best }).map(|b| b.0)
}

/// Counts of truth against answer.
#[derive(Debug, Default)]
struct Confusion([[u64; 3]; 3]);

impl Confusion {
    fn count(&mut self, truth: usize, answer: usize) {
        self.0[truth.min(2)][answer.min(2)] += 1;
    }

    fn accuracy(&self) -> f64 {
        let all: u64 = self.0.iter().flatten().sum();
        (0..3).map(|k| self.0[k][k]).sum::<u64>() as f64 / all.max(1) as f64
    }

    fn f1(&self, k: usize) -> f64 {
        let truth: u64 = self.0[k].iter().sum();
        let answered: u64 = self.0.iter().map(|row| row[k]).sum();
        2.0 * self.0[k][k] as f64 / (truth + answered).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(label: usize, p: [f32; 3]) -> Region {
        let logits = p.map(f32::ln).to_vec();
        Region { label, logits: [logits.clone(), logits.clone(), logits] }
    }

    fn outcomes() -> Vec<Outcome> {
        let covid = Outcome {
            class: 0,
            regions: vec![region(0, [0.8, 0.1, 0.1]), region(0, [0.5, 0.3, 0.2]), region(2, [0.2, 0.1, 0.7])],
        };
        let flu = Outcome { class: 1, regions: vec![region(1, [0.2, 0.7, 0.1])] };
        let clean =
            Outcome { class: 2, regions: vec![region(2, [0.1, 0.1, 0.8]), region(2, [0.4, 0.3, 0.3])] };
        let empty = Outcome { class: 2, regions: vec![] };
        vec![covid, flu, clean, empty]
    }

    #[test]
    fn figures_are_worked_by_hand() {
        let s = judge(&outcomes());
        // One region of six is called wrong, and with it the clean case that holds it.
        assert!((s.region_accuracy - 5.0 / 6.0).abs() < 1e-12);
        assert!((s.patch_accuracy - 5.0 / 6.0).abs() < 1e-12);
        assert!((s.case_accuracy - 0.75).abs() < 1e-12);
        // COVID-19: 2 of 2 found, 3 called: F1 4/5; influenza: 1.
        assert!((s.region_f1_infected - 0.9).abs() < 1e-12);
    }

    #[test]
    fn the_calibration_separates_what_can_be_separated() {
        let s = judge(&outcomes());
        assert_eq!(s.calibrated_accuracy, 1.0, "{s:?}");
        assert!(s.calibration.clear_below <= s.calibration.infected_from);
    }
}
