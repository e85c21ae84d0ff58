//! How well a classifier does on validation cases, and the calibration fitted to them.

use crate::candidates::label;
use crate::classifier::ClassifierConfig;
use crate::data::{Data, Labelled, Names, Split};
use crate::pool::{each_case, find_lungs};
use crate::{Error, Result};
use pleura_evaluate::{Confusion, NO_INFECTION};
use pleura_nets::{Calibration, Model, Weights};
use pleura_screen::{
    Finding, LoadedClassifier, LoadedDetector, Patch, Profile, Region, Verdict, analysable, classify, detect,
    findings, most_probable, region, softmax, verdict,
};
use pleura_volume::{NoProgress, Progress};
use std::collections::BTreeMap;

/// No temperature, nothing held back, no leak.
pub(crate) const UNCALIBRATED: Calibration =
    Calibration { temperature: 1.0, region_power: 1.0, leak: 0.01, infected_from: 0.5, clear_below: 0.5 };

/// Answer where a verdict is withheld.
const INDETERMINATE: &str = "indeterminate";

/// A validation case as screening sees it, uncalibrated.
#[derive(Debug, Clone)]
struct Outcome {
    /// Index into the types of infection; their number where there is none.
    class: usize,
    /// Each candidate's label, and the region that its patches make.
    regions: Vec<(usize, Region)>,
    /// Whether screening looked into the lungs at all.
    analysable: bool,
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
    data: &Data,
    detector: &LoadedDetector,
    weights: &Weights,
    progress: &dyn Progress,
) -> Result<Scored> {
    let stage = |e: pleura_screen::Error| Error::Stage(e.to_string());
    let model = Model::new(config.manifest(data, BTreeMap::new(), UNCALIBRATED), weights.clone())?;
    let classifier = LoadedClassifier::new(model).map_err(stage)?;
    let outcomes = each_case(data.count(Split::Validation), "validating the classifier", progress, |i| {
        outcome(&data.case(Split::Validation, i)?, detector, &classifier).map(Some)
    })?;
    Ok(judge(&outcomes, &data.names()))
}

fn outcome(case: &Labelled, detector: &LoadedDetector, classifier: &LoadedClassifier) -> Result<Outcome> {
    let stage = |e: pleura_screen::Error| Error::Stage(e.to_string());
    let lungs = find_lungs(&case.volume)?;
    if !analysable(&lungs) {
        return Ok(Outcome { class: case.class, regions: vec![], analysable: false });
    }
    let lungs = lungs.mask;
    let found = detect(&case.volume, &lungs, detector, &NoProgress).map_err(stage)?.candidates;
    let patches = classify(&case.volume, &lungs, &found, classifier, Profile::Paper, &NoProgress);
    let one = |(c, patches): (pleura_screen::Candidate, [Patch; 3])| {
        let irrelevant = classifier.classes.len() - 1;
        let infection = case.infection.as_ref();
        (label(case.class, irrelevant, &c.box_voxels, &lungs, infection), region(c, patches))
    };
    let regions = found.into_iter().zip(patches.map_err(stage)?).map(one).collect();
    Ok(Outcome { class: case.class, regions, analysable: true })
}

/// What a verdict is called among the classes of a case; `indeterminate` and `not-analysable` besides.
pub(crate) fn verdict_name(verdict: &Verdict, classes: &[String]) -> String {
    match verdict {
        Verdict::Infection { class, .. } => classes[*class].clone(),
        Verdict::NoInfectionFound { .. } => NO_INFECTION.into(),
        Verdict::Indeterminate => INDETERMINATE.into(),
        Verdict::NotAnalysable => "not-analysable".into(),
    }
}

/// Patches, regions and cases, truth against answer.
pub(crate) fn empty_tables(names: &Names) -> [Confusion; 3] {
    [Confusion::new(&names.regions), Confusion::new(&names.regions), Confusion::new(&names.cases)]
}

fn judge(outcomes: &[Outcome], names: &Names) -> Scored {
    let calibration = calibrate(outcomes, names);
    let [mut patches, mut regions, mut paper] = empty_tables(names);
    let of = &names.regions;
    let mut calibrated = paper.clone();
    for o in outcomes {
        for (truth, region) in &o.regions {
            region.patches.iter().for_each(|p| _ = patches.add(&of[*truth], &of[p.class]));
            regions.add(&of[*truth], &of[region.class]);
        }
        paper.add(&names.cases[o.class], &answer(o, Profile::Paper, &calibration, names));
        calibrated.add(&names.cases[o.class], &answer(o, Profile::Calibrated, &calibration, names));
    }
    let f1 = |c: &Confusion, k: usize| c.scores().iter().take(k).map(|s| s.f1).sum::<f64>() / k as f64;
    let withheld = calibrated.answers.iter().position(|a| a == INDETERMINATE);
    let withheld: usize = withheld.map_or(0, |k| calibrated.counts.iter().map(|row| row[k]).sum());
    Scored {
        patch_accuracy: patches.accuracy().0,
        patch_f1: f1(&patches, of.len()),
        region_accuracy: regions.accuracy().0,
        region_f1_infected: f1(&regions, of.len() - 1),
        case_accuracy: paper.accuracy().0,
        calibrated_accuracy: calibrated.accuracy().0,
        indeterminate: withheld as f64 / outcomes.len().max(1) as f64,
        cases: outcomes.len(),
        regions: regions.total(),
        calibration,
    }
}

/// The regions with their patches' probabilities at another temperature, voted again.
fn at_temperature(outcome: &Outcome, temperature: f64) -> Vec<Region> {
    let cooled = |p: &Patch| {
        let probabilities = softmax(&logits(p), temperature);
        let top = most_probable(&probabilities);
        Patch { class: top.class, confidence: top.confidence, probabilities, ..p.clone() }
    };
    let voted = |(_, r): &(usize, Region)| {
        let candidate = pleura_screen::Candidate {
            box_mm: r.box_mm,
            box_voxels: r.box_voxels,
            score: r.proposal_score,
            right: r.right,
            volume_ml: r.volume_ml,
            mean_hu: r.mean_hu,
        };
        region(candidate, [0, 1, 2].map(|k| cooled(&r.patches[k])))
    };
    outcome.regions.iter().map(voted).collect()
}

/// Logits that a patch's probabilities may have come from.
fn logits(patch: &Patch) -> Vec<f32> {
    patch.probabilities.iter().map(|p| p.max(1e-9).ln() as f32).collect()
}

/// Findings and what they are called.
fn called(
    regions: &[Region],
    profile: Profile,
    calibration: &Calibration,
    names: &Names,
) -> (Vec<Finding>, String) {
    let classes = &names.regions;
    let found = findings(regions, classes, profile, calibration);
    let name = verdict_name(&verdict(&found, classes, profile, calibration).0, classes);
    (found, name)
}

fn answer(outcome: &Outcome, profile: Profile, calibration: &Calibration, names: &Names) -> String {
    let temperature = match profile {
        Profile::Paper => 1.0,
        Profile::Calibrated => f64::from(calibration.temperature),
    };
    match outcome.analysable {
        true => called(&at_temperature(outcome, temperature), profile, calibration, names).1,
        false => verdict_name(&Verdict::NotAnalysable, &[]),
    }
}

/// Temperature by the patches' likelihood, then power and leak by that of the cases' findings, then
/// the two thresholds: the most right verdicts, and at most one infected case in twenty called clear.
fn calibrate(outcomes: &[Outcome], names: &Names) -> Calibration {
    let mut best = UNCALIBRATED;
    let regions = || outcomes.iter().flat_map(|o| &o.regions);
    let patches = || regions().flat_map(|(k, r)| r.patches.iter().map(move |p| (*k, logits(p))));
    let surprise = |t: f64| -> f64 { patches().map(|(k, l)| -softmax(&l, t)[k].max(1e-9).ln()).sum() };
    let temperatures = (0..41).map(|i| 0.5 * 1.05f64.powi(i));
    best.temperature = least(temperatures, surprise).unwrap_or(1.0) as f32;
    let looked_at = outcomes.iter().filter(|o| o.analysable);
    let known: Vec<(usize, Vec<Region>)> =
        looked_at.map(|o| (o.class, at_temperature(o, f64::from(best.temperature)))).collect();
    let case_surprise = |c: &Calibration| -> f64 {
        let one = |(class, regions): &(usize, Vec<Region>)| -> f64 {
            let (found, _) = called(regions, Profile::Calibrated, c, names);
            let of = |f: &Finding| {
                let p = f.probability.clamp(1e-4, 1.0 - 1e-4);
                if *class == f.class { -p.ln() } else { -(1.0 - p).ln() }
            };
            found.iter().map(of).sum()
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
    thresholds(&known, best, names)
}

fn thresholds(known: &[(usize, Vec<Region>)], mut c: Calibration, names: &Names) -> Calibration {
    let wrong = |t: f64| -> f64 {
        let tried = Calibration { infected_from: t as f32, clear_below: t as f32, ..c.clone() };
        let misses =
            known.iter().filter(|(k, r)| called(r, Profile::Calibrated, &tried, names).1 != names.cases[*k]);
        misses.count() as f64
    };
    let from = least((4..=18).map(|i| f64::from(i) * 0.05), wrong).unwrap_or(0.5);
    let infected = known.iter().filter(|(class, _)| *class + 1 < names.cases.len());
    let top = |(_, r): &(usize, Vec<Region>)| {
        let found = called(r, Profile::Calibrated, &c, names).0;
        found.iter().map(|f| f.probability).fold(0.0, f64::max)
    };
    let mut tops: Vec<f64> = infected.map(top).collect();
    tops.sort_by(f64::total_cmp);
    let clear = tops.get(tops.len() / 20).copied().unwrap_or(from);
    c.infected_from = from as f32;
    c.clear_below = clear.clamp((f64::from(c.leak) * 1.5).min(from), from) as f32;
    c.clear_below = c.clear_below.min(c.infected_from);
    c
}

/// The first argument of the least value.
fn least(arguments: impl Iterator<Item = f64>, value: impl Fn(f64) -> f64) -> Option<f64> {
    let tried = arguments.map(|a| (a, value(a)));
    tried.reduce(|best, now| if now.1 < best.1 { now } else { best }).map(|b| b.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleura_volume::{Box3, VoxelBox};

    fn seen(label: usize, p: [f64; 3]) -> (usize, Region) {
        let candidate = pleura_screen::Candidate {
            box_mm: Box3::cube([0.0; 3], 10.0),
            box_voxels: VoxelBox { min: [0; 3], max: [2; 3] },
            score: 0.5,
            right: true,
            volume_ml: 0.0,
            mean_hu: 0.0,
        };
        let top = most_probable(&p);
        let patch = Patch {
            slice_index: 1,
            distance_from_edge: 0.1,
            class: top.class,
            confidence: top.confidence,
            probabilities: p.to_vec(),
        };
        (label, region(candidate, [patch.clone(), patch.clone(), patch]))
    }

    fn names() -> Names {
        Names::new(&["covid-19".into(), "influenza-a".into()])
    }

    fn case(class: usize, regions: Vec<(usize, Region)>) -> Outcome {
        Outcome { class, regions, analysable: true }
    }

    fn outcomes() -> Vec<Outcome> {
        let covid = [seen(0, [0.8, 0.1, 0.1]), seen(0, [0.5, 0.3, 0.2]), seen(2, [0.2, 0.1, 0.7])];
        let clean = [seen(2, [0.1, 0.1, 0.8]), seen(2, [0.4, 0.3, 0.3])];
        vec![
            case(0, covid.to_vec()),
            case(1, vec![seen(1, [0.2, 0.7, 0.1])]),
            case(2, clean.to_vec()),
            case(2, vec![]),
        ]
    }

    #[test]
    fn a_tie_of_both_types_is_no_verdict_as_in_screening() {
        let tied = case(0, vec![seen(0, [0.6, 0.3, 0.1]), seen(0, [0.3, 0.6, 0.1])]);
        assert_eq!(answer(&tied, Profile::Paper, &UNCALIBRATED, &names()), INDETERMINATE);
        // One region more: the paper's profile names that type.
        let mut more = tied;
        more.regions = vec![seen(0, [0.5, 0.3, 0.2]), seen(0, [0.5, 0.3, 0.2]), seen(0, [0.15, 0.75, 0.1])];
        assert_eq!(answer(&more, Profile::Paper, &UNCALIBRATED, &names()), "covid-19");
        assert_eq!(answer(&more, Profile::Calibrated, &UNCALIBRATED, &names()), INDETERMINATE);
    }

    #[test]
    fn lungs_that_screening_refuses_are_a_miss_not_a_clear_case() {
        let mut all = outcomes();
        all.push(Outcome { class: 2, regions: vec![], analysable: false });
        assert_eq!(answer(&all[4], Profile::Paper, &UNCALIBRATED, &names()), "not-analysable");
        let (with, without) = (judge(&all, &names()), judge(&outcomes(), &names()));
        assert!((with.case_accuracy - without.case_accuracy * 4.0 / 5.0).abs() < 1e-12);
        assert_eq!(with.calibration, without.calibration);
    }

    #[test]
    fn figures_are_worked_by_hand() {
        let s = judge(&outcomes(), &names());
        // One region of six is called wrong, and with it the clean case that holds it.
        assert!((s.region_accuracy - 5.0 / 6.0).abs() < 1e-12);
        assert!((s.patch_accuracy - 5.0 / 6.0).abs() < 1e-12);
        assert!((s.case_accuracy - 0.75).abs() < 1e-12);
        // COVID-19: 2 of 2 found, 3 called: F1 4/5; influenza: 1.
        assert!((s.region_f1_infected - 0.9).abs() < 1e-12);
    }

    #[test]
    fn the_calibration_separates_what_can_be_separated() {
        let s = judge(&outcomes(), &names());
        assert_eq!(s.calibrated_accuracy, 1.0, "{s:?}");
        assert!(s.calibration.clear_below <= s.calibration.infected_from);
    }
}
