//! How well a detector does on validation cases, and the thresholds chosen from it.

use crate::data::{Data, Labelled, Split};
use crate::detector::DetectorConfig;
use crate::pool::{each_case, find_lungs};
use crate::truth::{self, is_asked};
use crate::{Error, Result};
use pleura_evaluate::is_hit;
use pleura_nets::boxes::{AnchorMatch, anchor_boxes, decode, feature_grid, match_anchors};
use pleura_nets::{Model, Weights};
use pleura_screen::{
    DetectorOutput, LoadedDetector, analysable, candidate_boxes, infected_voxels, run_detector,
};
use pleura_volume::{Box3, NoProgress, Progress, resample_nearest};
use std::collections::BTreeMap;

/// Scores below this are never proposals, in no curve either; screening asks for more.
pub(crate) const LEAST_SCORE: f32 = 0.02;
/// Scores of a sure network crowd below 1: no threshold lies beyond this.
const MOST_SCORE: f32 = 0.999_999;
/// Voxel thresholds that are tried.
const VOXEL_THRESHOLDS: [f32; 9] = [0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99];

/// The candidates of a case.
#[derive(Debug, Clone, Default, PartialEq)]
struct Kept {
    /// Score of each, best first.
    scores: Vec<f32>,
    /// For each truth region the best score among those that hit it; 0: none.
    hit_scores: Vec<f32>,
}

/// What is known of one validation case.
#[derive(Debug, Clone, Default)]
struct Outcome {
    /// Whether the case is one of infection.
    infected: bool,
    /// By voxel threshold, which trims boxes: what screening would keep.
    kept: Vec<Kept>,
    /// (IoU of the decoded box, IoU of the bare anchor) with its truth for each positive anchor.
    ious: Vec<(f64, f64)>,
    /// Dice by threshold; empty for a case without infection.
    dice: Vec<f64>,
    /// Infected share of the lungs by threshold, for a case without infection.
    false_share: Vec<f64>,
}

/// Thresholds and figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Scored {
    pub score_threshold: f32,
    pub voxel_threshold: f32,
    pub recall: f64,
    pub proposals: f64,
    pub proposals_clean: f64,
    pub dice: f64,
    pub false_share: f64,
    pub box_iou: f64,
    pub anchor_iou: f64,
    pub cases: usize,
    pub regions: usize,
}

impl Scored {
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let all = [
            ("score_threshold", f64::from(self.score_threshold)),
            ("voxel_threshold", f64::from(self.voxel_threshold)),
            ("region_recall", self.recall),
            ("proposals_a_case", self.proposals),
            ("proposals_a_clean_case", self.proposals_clean),
            ("voxel_dice", self.dice),
            ("infected_share_of_clean_lungs", self.false_share),
            ("box_iou", self.box_iou),
            ("bare_anchor_iou", self.anchor_iou),
            ("validation_cases", self.cases as f64),
            ("validation_regions", self.regions as f64),
        ];
        all.into_iter().map(|(name, v)| (name.to_string(), v)).collect()
    }
}

/// Screens the validation cases with the detector of these weights and chooses its thresholds.
pub(crate) fn score(
    config: &DetectorConfig,
    data: &Data,
    weights: &Weights,
    progress: &dyn Progress,
) -> Result<Scored> {
    let lowest = Scored { score_threshold: LEAST_SCORE, ..Scored::default() };
    let model = Model::new(config.manifest(data, 0, &lowest), weights.clone())?;
    let detector = LoadedDetector::new(model).map_err(|e| Error::Stage(e.to_string()))?;
    let outcomes = each_case(data.count(Split::Validation), "validating the detector", progress, |i| {
        let case = data.case(Split::Validation, i)?;
        outcome(config, &detector, &case, case.class < data.infections.len())
    })?;
    Ok(choose(&outcomes, config))
}

/// What screening finds in a case. Where it would not look at all, everything is missed. `None` where
/// nothing is known of where the case is infected.
fn outcome(
    config: &DetectorConfig,
    detector: &LoadedDetector,
    case: &Labelled,
    infected: bool,
) -> Result<Option<Outcome>> {
    let Some(infection) = &case.infection else { return Ok(None) };
    let truths: Vec<Box3> =
        truth::regions(infection).iter().filter(|r| is_asked(r)).map(|r| r.box_mm).collect();
    let lungs = find_lungs(&case.volume)?;
    let output = match analysable(&lungs) {
        true => run_detector(&case.volume, &lungs.mask, detector, &NoProgress)
            .map_err(|e| Error::Stage(format!("the detector could not be run: {e}")))?,
        false => None,
    };
    let Some(output) = output else {
        let missed = Kept { scores: vec![], hit_scores: vec![0.0; truths.len()] };
        let kept = vec![missed; VOXEL_THRESHOLDS.len()];
        let nothing = vec![0.0; VOXEL_THRESHOLDS.len()];
        let (dice, false_share) = if infected { (nothing, vec![]) } else { (vec![], nothing) };
        return Ok(Some(Outcome { infected, kept, dice, false_share, ..Outcome::default() }));
    };
    let kept = |threshold: &f32| {
        let infection = infected_voxels(&lungs.mask, &output.infection, *threshold);
        let found: Vec<(Box3, f32)> = candidate_boxes(&lungs.mask, &infection, &output, *threshold)
            .iter()
            .map(|(b, score)| (lungs.mask.geometry.box_mm(b), *score))
            .collect();
        let best = |r: &Box3| found.iter().filter(|(b, _)| is_hit(b, r)).map(|p| p.1).fold(0.0, f32::max);
        Kept { scores: found.iter().map(|p| p.1).collect(), hit_scores: truths.iter().map(best).collect() }
    };
    let grid = &output.infection.geometry;
    let on_grid = |mask| resample_nearest(mask, grid).data;
    let (dice, false_share) = match case.traced {
        true => voxel_scores(&output.infection.data, &on_grid(&lungs.mask), &on_grid(infection)),
        false => (vec![], vec![]),
    };
    Ok(Some(Outcome {
        infected,
        kept: VOXEL_THRESHOLDS.iter().map(kept).collect(),
        ious: box_ious(config, &output, &truths),
        dice,
        false_share,
    }))
}

/// IoU with its truth of each positive anchor: of the box decoded from it, and of the bare anchor.
fn box_ious(config: &DetectorConfig, output: &DetectorOutput, truths: &[Box3]) -> Vec<(f64, f64)> {
    let recipe = config.proposals(LEAST_SCORE, 0.0);
    let grid = &output.infection.geometry;
    let anchors = anchor_boxes(&recipe.anchors, feature_grid(&recipe.anchors, grid), grid);
    let matches = match_anchors(&anchors, truths, config.positive_iou, config.negative_iou);
    let (codes, _) = output.offsets.as_chunks::<6>();
    let ious = anchors.iter().zip(matches).zip(codes).filter_map(|((anchor, m), code)| match m {
        AnchorMatch::Positive(t) => Some((decode(anchor, code).iou(&truths[t]), anchor.iou(&truths[t]))),
        _ => None,
    });
    ious.collect()
}

/// Dice at each threshold within the lungs found; the share called infected where nothing is.
fn voxel_scores(probability: &[f32], lungs: &[u8], infection: &[u8]) -> (Vec<f64>, Vec<f64>) {
    let n = VOXEL_THRESHOLDS.len();
    let (mut called, mut common) = (vec![0u64; n], vec![0u64; n]);
    let (mut infected, mut lung) = (0u64, 0u64);
    for ((&p, _), &truth) in probability.iter().zip(lungs).zip(infection).filter(|((_, l), _)| **l != 0) {
        let truth = u64::from(truth != 0);
        lung += 1;
        infected += truth;
        // Thresholds rise: all up to this one call the voxel infected.
        let passed = VOXEL_THRESHOLDS.partition_point(|&t| p >= t);
        called[..passed].iter_mut().for_each(|c| *c += 1);
        common[..passed].iter_mut().for_each(|c| *c += truth);
    }
    if infected == 0 {
        return (vec![], called.iter().map(|&c| c as f64 / lung.max(1) as f64).collect());
    }
    let dice = |(c, i): (&u64, &u64)| 2.0 * *i as f64 / (*c + infected) as f64;
    (called.iter().zip(&common).map(dice).collect(), vec![])
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = values.fold((0usize, 0.0), |(n, s), v| (n + 1, s + v));
    if n == 0 { 0.0 } else { sum / n as f64 }
}

/// Which voxel threshold has the best mean Dice among those that call no more than `clean_share` of the
/// clean lungs infected; the highest where none does so. Dice alone, known of infected cases only, would
/// not see what is marked in healthy people.
fn best_voxel_threshold(outcomes: &[Outcome], clean_share: f64) -> usize {
    let dice = |k: usize| mean(outcomes.iter().filter_map(|o| o.dice.get(k).copied()));
    let share = |k: usize| mean(outcomes.iter().filter_map(|o| o.false_share.get(k).copied()));
    let allowed = (0..VOXEL_THRESHOLDS.len()).filter(|&k| share(k) <= clean_share);
    allowed.max_by(|&a, &b| dice(a).total_cmp(&dice(b))).unwrap_or(VOXEL_THRESHOLDS.len() - 1)
}

/// The lowest threshold that leaves at most `allowed` of the scores a case: just above the score of the first
/// proposal too many.
fn for_cost<'a>(kept: impl Iterator<Item = &'a Kept>, allowed: f64) -> f32 {
    let (mut scores, mut cases) = (Vec::new(), 0usize);
    for k in kept {
        scores.extend_from_slice(&k.scores);
        cases += 1;
    }
    scores.sort_by(|a, b| b.total_cmp(a));
    scores.get((allowed * cases as f64) as usize).map_or(LEAST_SCORE, |s| s.next_up())
}

/// The best voxel threshold; with it the highest score threshold that reaches the recall, unless it costs
/// more proposals a case, or a clean case, than allowed: then the lowest that does not.
fn choose(outcomes: &[Outcome], config: &DetectorConfig) -> Scored {
    let best = best_voxel_threshold(outcomes, config.clean_share);
    let kept = || outcomes.iter().filter_map(|o| o.kept.get(best));
    let clean = || outcomes.iter().filter(|o| !o.infected).filter_map(|o| o.kept.get(best));
    let mut hits: Vec<f32> = kept().flat_map(|k| k.hit_scores.iter().copied()).collect();
    hits.sort_by(|a, b| b.total_cmp(a));
    let wanted = (config.recall * hits.len() as f64).ceil() as usize;
    let for_recall = hits.get(wanted.saturating_sub(1)).copied().unwrap_or(LEAST_SCORE).max(LEAST_SCORE);
    let threshold = for_recall
        .max(for_cost(kept(), config.proposals_a_case))
        .max(for_cost(clean(), config.proposals_a_clean_case))
        .min(MOST_SCORE);
    let passing = |s: &[f32]| s.iter().filter(|s| **s >= threshold).count() as f64;
    Scored {
        score_threshold: threshold,
        voxel_threshold: VOXEL_THRESHOLDS[best],
        recall: if hits.is_empty() { 0.0 } else { passing(&hits) / hits.len() as f64 },
        proposals: mean(kept().map(|k| passing(&k.scores))),
        proposals_clean: mean(clean().map(|k| passing(&k.scores))),
        dice: mean(outcomes.iter().filter_map(|o| o.dice.get(best).copied())),
        false_share: mean(outcomes.iter().filter_map(|o| o.false_share.get(best).copied())),
        box_iou: mean(outcomes.iter().flat_map(|o| o.ious.iter().map(|i| i.0))),
        anchor_iou: mean(outcomes.iter().flat_map(|o| o.ious.iter().map(|i| i.1))),
        cases: outcomes.len(),
        regions: hits.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes() -> Vec<Outcome> {
        let hit = Kept { scores: vec![0.9, 0.8, 0.5, 0.3], hit_scores: vec![0.9, 0.5] };
        let missed = Kept { scores: vec![0.9], hit_scores: vec![0.0; 2] };
        let sick = Outcome {
            infected: true,
            // Trimmed at another voxel threshold than the best, the boxes miss.
            kept: (0..9).map(|k| if k == 3 { hit.clone() } else { missed.clone() }).collect(),
            ious: vec![(0.6, 0.4)],
            dice: (0..9).map(|k| 0.5 - 0.01 * (k as f64 - 3.0).abs()).collect(),
            ..Outcome::default()
        };
        let kept = vec![Kept { scores: vec![0.6, 0.4], hit_scores: vec![] }; 9];
        let clean = Outcome { kept, false_share: vec![0.01; 9], ..Outcome::default() };
        vec![sick, clean]
    }

    fn config(recall: f64, proposals_a_case: f64) -> DetectorConfig {
        DetectorConfig { recall, proposals_a_case, ..DetectorConfig::default() }
    }

    #[test]
    fn the_threshold_is_the_highest_that_reaches_the_recall() {
        let s = choose(&outcomes(), &config(0.9, 8.0));
        assert_eq!((s.score_threshold, s.recall, s.proposals), (0.5, 1.0, 2.0));
        assert_eq!((s.voxel_threshold, s.proposals_clean), (0.7, 1.0));
        assert!((s.dice - 0.5).abs() < 1e-12 && (s.box_iou - 0.6).abs() < 1e-12);
    }

    #[test]
    fn too_many_proposals_raise_the_threshold() {
        let s = choose(&outcomes(), &config(0.9, 1.0));
        assert!(s.proposals <= 1.0 && s.recall == 0.5, "{s:?}");
    }

    #[test]
    fn too_many_proposals_on_clean_cases_raise_the_threshold() {
        // The clean case has proposals at 0.6 and 0.4; the second truth region needs 0.5.
        let few = DetectorConfig { proposals_a_clean_case: 0.5, ..config(0.9, 8.0) };
        let s = choose(&outcomes(), &few);
        assert!(s.score_threshold > 0.6 && s.proposals_clean == 0.0 && s.recall == 0.5, "{s:?}");
        let few = DetectorConfig { proposals_a_clean_case: 1.0, ..few };
        assert_eq!(choose(&outcomes(), &few).score_threshold, 0.5);
    }

    #[test]
    fn clean_lungs_raise_the_voxel_threshold() {
        let mut all = outcomes();
        // 0.05, 0.04, 0.03, 0.02, 0.01, ...: the fifth is the first that is allowed.
        all[1].false_share = (0..9).map(|k| (0.01 * (5.0 - k as f64)).max(0.0)).collect();
        let strict = DetectorConfig { clean_share: 0.01, ..config(0.9, 8.0) };
        let s = choose(&all, &strict);
        assert_eq!((s.voxel_threshold, s.false_share), (VOXEL_THRESHOLDS[4], 0.01));
        all[1].false_share = vec![0.5; 9];
        assert_eq!(choose(&all, &strict).voxel_threshold, VOXEL_THRESHOLDS[8]);
    }
}
