//! How well a classifier does on validation cases, and the calibration fitted to them.

use crate::candidates::label;
use crate::classifier::ClassifierConfig;
use crate::data::{Data, Labelled, Names, Split};
use crate::pool::{each_case, find_lungs};
use crate::{Error, Result};
use pleura_evaluate::{Confusion, NO_INFECTION};
use pleura_nets::{Calibration, Model, ScanRange, Weights};
use pleura_screen::{
    LoadedClassifier, LoadedDetector, Patch, Profile, Region, ScanFacts, Verdict, analysable, classify,
    detect, findings, most_probable, region, softmax, verdict,
};
use pleura_volume::{NoProgress, Progress};
use std::collections::BTreeMap;

/// No temperature, nothing held back, no leak.
pub(crate) const UNCALIBRATED: Calibration = Calibration {
    temperature: 1.0,
    region_power: 1.0,
    leak: 0.01,
    type_weight: 1.0,
    type_crowding: 0.0,
    infected_from: 0.5,
    clear_below: 0.5,
    // Anything at all.
    scans: ScanRange { most_slice_mm: 1e6, most_noise_hu: 1e6, lung_hu: [-1e6, 1e6] },
};

/// Answer where a verdict is withheld.
const INDETERMINATE: &str = "indeterminate";

/// A validation case as screening sees it, uncalibrated.
#[derive(Debug, Clone)]
struct Outcome {
    /// Index into the types of infection; their number where there is none.
    class: usize,
    /// Each candidate's label, and the region that its patches make.
    regions: Vec<(usize, Region)>,
    /// The scan, where screening looked into the lungs at all.
    scan: Option<ScanFacts>,
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
            ("type_weight", f64::from(c.type_weight)),
            ("type_crowding", f64::from(c.type_crowding)),
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
        return Ok(Outcome { class: case.class, regions: vec![], scan: None });
    }
    let lungs = lungs.mask;
    let scan = Some(ScanFacts::new(&case.volume, &lungs));
    let found = detect(&case.volume, &lungs, detector, &NoProgress).map_err(stage)?.candidates;
    let patches = classify(&case.volume, &lungs, &found, classifier, Profile::Paper, &NoProgress);
    let one = |(c, patches): (pleura_screen::Candidate, [Patch; 3])| {
        let irrelevant = classifier.classes.len() - 1;
        let infection = case.infection.as_ref();
        (label(case.class, irrelevant, &c.box_voxels, &lungs, infection), region(c, patches))
    };
    let regions = found.into_iter().zip(patches.map_err(stage)?).map(one).collect();
    Ok(Outcome { class: case.class, regions, scan })
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

/// What the regions of a scan are called.
fn called(
    regions: &[Region],
    scan: &ScanFacts,
    profile: Profile,
    calibration: &Calibration,
    names: &Names,
) -> String {
    let classes = &names.regions;
    let found = findings(regions, classes, profile, calibration);
    verdict_name(&verdict(&found, classes, profile, calibration, scan).0, classes)
}

fn answer(outcome: &Outcome, profile: Profile, calibration: &Calibration, names: &Names) -> String {
    let temperature = match profile {
        Profile::Paper => 1.0,
        Profile::Calibrated => f64::from(calibration.temperature),
    };
    match &outcome.scan {
        Some(scan) => called(&at_temperature(outcome, temperature), scan, profile, calibration, names),
        None => verdict_name(&Verdict::NotAnalysable, &[]),
    }
}

/// Temperature by the patches' likelihood; power and leak by that of any infection in the cases, weight
/// and crowding by that of the infected ones' types; then the two [`thresholds`].
fn calibrate(outcomes: &[Outcome], names: &Names) -> Calibration {
    let mut best = UNCALIBRATED;
    let regions = || outcomes.iter().flat_map(|o| &o.regions);
    let patches = || regions().flat_map(|(k, r)| r.patches.iter().map(move |p| (*k, logits(p))));
    let surprise = |t: f64| -> f64 { patches().map(|(k, l)| -softmax(&l, t)[k].max(1e-9).ln()).sum() };
    let temperatures = (0..41).map(|i| 0.5 * 1.05f64.powi(i));
    best.temperature = least(temperatures, surprise).unwrap_or(1.0) as f32;
    best.scans = ScanFacts::range(outcomes.iter().filter_map(|o| o.scan)).unwrap_or(best.scans);
    let seen = |o: &Outcome| {
        let regions = at_temperature(o, f64::from(best.temperature));
        o.scan.map(|_| Known { class: o.class, regions })
    };
    let known: Vec<Known> = outcomes.iter().filter_map(seen).collect();
    let none = names.cases.len() - 1;
    if known.is_empty() {
        return thresholds(best);
    }
    best = least_surprise(POWERS, LEAKS, |region_power, leak| {
        let tried = Calibration { region_power, leak, ..best.clone() };
        let of = |k: &Known| {
            let p = infected(k, &tried, names);
            -(if k.class < none { p } else { 1.0 - p }).max(1e-4).ln()
        };
        (known.iter().map(of).sum(), tried)
    })
    .unwrap_or(best);
    best = least_surprise(WEIGHTS, CROWDINGS, |type_weight, type_crowding| {
        let tried = Calibration { type_weight, type_crowding, ..best.clone() };
        let of = |k: &Known| {
            let found = findings(&k.regions, &names.regions, Profile::Calibrated, &tried);
            let whole: f64 = found.iter().map(|f| f.probability).sum();
            let own = found.iter().find(|f| f.class == k.class);
            own.map_or(0.0, |f| -(f.probability / whole.max(1e-9)).max(1e-4).ln())
        };
        (known.iter().map(of).sum(), tried)
    })
    .unwrap_or(best);
    thresholds(best)
}

/// A case that screening looked into, its regions at the temperature chosen.
struct Known {
    class: usize,
    regions: Vec<Region>,
}

/// Probability of infection from which on one is named.
const LEAST_OF_INFECTED: f32 = 0.5;
/// Probability of infection below which a scan is called clear.
const MOST_OF_CLEAR: f32 = 1.0 / 3.0;

const POWERS: &[f32] = &[0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0];
const LEAKS: &[f32] = &[0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.4];
const WEIGHTS: &[f32] = &[0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
const CROWDINGS: &[f32] = &[0.0, 0.25, 0.5, 0.75, 1.0];

/// The calibration that surprises least, over all pairs; the first of equals.
fn least_surprise(
    ones: &[f32],
    others: &[f32],
    of: impl Fn(f32, f32) -> (f64, Calibration),
) -> Option<Calibration> {
    let all = ones.iter().flat_map(|&a| others.iter().map(move |&b| (a, b))).map(|(a, b)| of(a, b));
    all.reduce(|best, now| if now.0 < best.0 { now } else { best }).map(|best| best.1)
}

/// Probability of an infection of any type.
fn infected(case: &Known, calibration: &Calibration, names: &Names) -> f64 {
    let found = findings(&case.regions, &names.regions, Profile::Calibrated, calibration);
    found.iter().map(|f| f.probability).sum()
}

/// Where verdicts begin: a calibrated probability needs no threshold fitted to few cases. An infection is
/// named where it is more probable than not, a scan called clear where that is at least twice as probable
/// as an infection; what lies between is told as uncertain. A scan without any region is told the leak: it
/// is clear whatever the others say, so where the leak is large the scan is called clear from less on.
fn thresholds(c: Calibration) -> Calibration {
    let clear_below = (1.5 * c.leak).clamp(MOST_OF_CLEAR, LEAST_OF_INFECTED);
    Calibration { infected_from: LEAST_OF_INFECTED, clear_below, ..c }
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
        Outcome { class, regions, scan: Some(scan()) }
    }

    fn scan() -> ScanFacts {
        ScanFacts { slice_mm: 2.0, noise_hu: Some(20.0), lung_hu: -800.0 }
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
        for profile in [Profile::Paper, Profile::Calibrated] {
            assert_eq!(answer(&tied, profile, &UNCALIBRATED, &names()), INDETERMINATE);
        }
        // One region more: the paper's profile names that type.
        let mut more = tied;
        more.regions = vec![seen(0, [0.5, 0.3, 0.2]), seen(0, [0.5, 0.3, 0.2]), seen(0, [0.15, 0.75, 0.1])];
        assert_eq!(answer(&more, Profile::Paper, &UNCALIBRATED, &names()), "covid-19");
    }

    #[test]
    fn lungs_that_screening_refuses_are_a_miss_not_a_clear_case() {
        let mut all = outcomes();
        all.push(Outcome { class: 2, regions: vec![], scan: None });
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
    fn a_case_without_regions_is_clear_however_often_infected_ones_have_none() {
        // Half of the cases without a region are infected: the leak is large.
        let mut all: Vec<Outcome> = (0..6).map(|i| case(if i < 3 { 2 } else { i % 2 }, vec![])).collect();
        all.extend(outcomes());
        let c = judge(&all, &names()).calibration;
        assert!(c.leak < c.clear_below && c.clear_below <= c.infected_from, "{c:?}");
        assert_eq!(answer(&all[0], Profile::Calibrated, &c, &names()), NO_INFECTION);
    }

    #[test]
    fn verdicts_begin_where_the_probability_says_so() {
        let at = |leak: f32| thresholds(Calibration { leak, ..UNCALIBRATED });
        assert_eq!((at(0.03).clear_below, at(0.03).infected_from), (1.0 / 3.0, 0.5));
        // A third would lie below the leak, which is to be clear.
        assert!((at(0.3).clear_below - 0.45).abs() < 1e-6);
        assert_eq!(at(0.4).clear_below, 0.5);
    }

    #[test]
    fn the_calibration_knows_the_scans_it_saw() {
        let few = judge(&outcomes(), &names()).calibration;
        assert_eq!(few.scans, UNCALIBRATED.scans, "four scans set no limits");
        let mut all: Vec<Outcome> = (0..6).flat_map(|_| outcomes()).collect();
        all[1].scan = Some(ScanFacts { slice_mm: 5.0, noise_hu: Some(33.0), lung_hu: -620.0 });
        all[2].scan = Some(ScanFacts { noise_hu: None, ..scan() });
        let scans = judge(&all, &names()).calibration.scans;
        let want = ScanRange { most_slice_mm: 5.0, most_noise_hu: 33.0, lung_hu: [-800.0, -620.0] };
        assert_eq!(scans, want);
    }

    #[test]
    fn types_that_regions_only_seem_to_tell_apart_weigh_little() {
        // Of ten cases with four regions each, sure of COVID-19, six are COVID-19.
        let sure = || seen(0, [0.8, 0.1, 0.1]);
        let all: Vec<Outcome> =
            (0..10).map(|i| case(usize::from(i > 5), (0..4).map(|_| sure()).collect())).collect();
        let c = judge(&all, &names()).calibration;
        let regions = at_temperature(&all[0], f64::from(c.temperature));
        let found = findings(&regions, &names().regions, Profile::Calibrated, &c);
        let share = found[0].probability / (found[0].probability + found[1].probability);
        assert!((0.52..0.68).contains(&share), "{share} {c:?}");
    }

    #[test]
    fn the_calibration_separates_what_can_be_separated() {
        let s = judge(&outcomes(), &names());
        assert_eq!(s.calibrated_accuracy, 1.0, "{s:?}");
        assert!(s.calibration.clear_below <= s.calibration.infected_from);
    }
}
