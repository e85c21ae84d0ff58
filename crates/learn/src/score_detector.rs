//! How well a detector does on validation cases, and the thresholds chosen from it.

use crate::detector::DetectorConfig;
use crate::pool::{INFECTED, LUNG, SEEN, Scan, Split};
use crate::{Error, Result};
use pleura_nets::boxes::{AnchorMatch, anchor_boxes, decode, feature_grid, match_anchors, proposals};
use pleura_nets::{Executor, InputRecipe, NetSpec, Weights, boxes::sigmoid};
use pleura_volume::{Box3, Mask, NoProgress, Progress};
use std::collections::BTreeMap;

/// Scores below this are never proposals.
const LEAST_SCORE: f32 = 0.02;
/// Voxel thresholds that are tried.
const VOXEL_THRESHOLDS: [f32; 17] =
    [0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9];
/// Tiles as screening cuts them: as large as this many bytes allow, seen with this halo.
const TILE_BYTES: usize = 600 << 20;
const HALO: [usize; 3] = [32; 3];

/// A proposal is a hit of a truth region: IoU at least 0.2, or its centre inside the region with a
/// volume ratio of at most 4 (docs/architecture.md).
pub(crate) fn is_hit(candidate: &Box3, region: &Box3) -> bool {
    let (a, b) = (candidate.volume().max(1e-9), region.volume().max(1e-9));
    candidate.iou(region) >= 0.2 || (region.contains(candidate.center()) && (a / b).max(b / a) <= 4.0)
}

/// What is known of one validation case.
#[derive(Debug, Clone, Default)]
struct Outcome {
    /// Score of each proposal, best first.
    scores: Vec<f32>,
    /// For each truth region the best score among the proposals that hit it; 0: none.
    hit_scores: Vec<f32>,
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

/// Runs the detector over the validation cases and chooses its thresholds.
pub(crate) fn score(
    config: &DetectorConfig,
    spec: &NetSpec,
    weights: &Weights,
    progress: &dyn Progress,
) -> Result<Scored> {
    let executor = Executor::new(spec, weights)?;
    let scans = config.scans(Split::Validation, progress)?;
    progress.stage("validating the detector", scans.len() as u64);
    let mut outcomes = Vec::with_capacity(scans.len());
    for (i, scan) in scans.iter().enumerate() {
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        outcomes.push(outcome(config, &executor, scan)?);
        progress.done(i as u64 + 1);
    }
    Ok(choose(&outcomes, config.recall, config.proposals_a_case))
}

fn outcome(config: &DetectorConfig, executor: &Executor, scan: &Scan) -> Result<Outcome> {
    let recipe = config.proposals(LEAST_SCORE, 0.5);
    let flags = &scan.flags;
    let seen = Mask { geometry: flags.geometry.clone(), data: flags.data.iter().map(|f| f & SEEN).collect() };
    let input = InputRecipe { mask_margin: 0, ..config.input() };
    let x = input.apply(&scan.hu, Some(&seen))?;
    let [nx, ny, nz] = scan.hu.size();
    let tiling = executor.fitting_tile([nz, ny, nx], HALO, TILE_BYTES)?;
    let outputs = executor.run_tiled(&x, [nz, ny, nx], tiling, &NoProgress)?;
    let [objectness, offsets, voxels] = outputs.as_slice() else {
        return Err(Error::Stage("the detector must have three outputs".into()));
    };
    let grid = &scan.hu.geometry;
    let found = proposals(&objectness.data, &offsets.data, &recipe, grid)?;
    let best = |r: &Box3| found.iter().filter(|(b, _)| is_hit(b, r)).map(|p| p.1).fold(0.0, f32::max);
    let anchors = anchor_boxes(&recipe.anchors, feature_grid(&recipe.anchors, grid), grid);
    let matches = match_anchors(&anchors, &scan.regions, config.positive_iou, config.negative_iou);
    let (codes, _) = offsets.data.as_chunks::<6>();
    let positive = anchors.iter().zip(matches).zip(codes).filter_map(|((anchor, m), code)| match m {
        AnchorMatch::Positive(t) => {
            let truth = &scan.regions[t];
            Some((decode(anchor, code).iou(truth), anchor.iou(truth)))
        }
        _ => None,
    });
    let (dice, false_share) = voxel_scores(&voxels.data, &flags.data);
    Ok(Outcome {
        scores: found.iter().map(|p| p.1).collect(),
        hit_scores: scan.regions.iter().map(best).collect(),
        ious: positive.collect(),
        dice,
        false_share,
    })
}

/// Dice at each threshold within the lungs found; the share called infected where nothing is.
fn voxel_scores(logits: &[f32], flags: &[u8]) -> (Vec<f64>, Vec<f64>) {
    let n = VOXEL_THRESHOLDS.len();
    let (mut called, mut common) = (vec![0u64; n], vec![0u64; n]);
    let (mut infected, mut lung) = (0u64, 0u64);
    for (&logit, &flag) in logits.iter().zip(flags).filter(|(_, f)| **f & LUNG != 0) {
        let (p, truth) = (sigmoid(logit), u64::from(flag & INFECTED != 0));
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

/// The highest score threshold that reaches the recall, unless it costs more proposals a case than
/// allowed: then the lowest that does not. The voxel threshold of the best mean Dice.
fn choose(outcomes: &[Outcome], recall: f64, allowed: f64) -> Scored {
    let mut hits: Vec<f32> = outcomes.iter().flat_map(|o| o.hit_scores.iter().copied()).collect();
    let mut scores: Vec<f32> = outcomes.iter().flat_map(|o| o.scores.iter().copied()).collect();
    hits.sort_by(|a, b| b.total_cmp(a));
    scores.sort_by(|a, b| b.total_cmp(a));
    let wanted = (recall * hits.len() as f64).ceil() as usize;
    let for_recall = hits.get(wanted.saturating_sub(1)).copied().unwrap_or(LEAST_SCORE).max(LEAST_SCORE);
    let most = (allowed * outcomes.len() as f64) as usize;
    // The score of the first proposal too many, and a hair above it.
    let for_cost = scores.get(most).map_or(LEAST_SCORE, |s| s * 1.000_01);
    let threshold = for_recall.max(for_cost).min(0.9999);
    let passing = |s: &[f32]| s.iter().filter(|s| **s >= threshold).count() as f64;
    let dice_at = |k: usize| mean(outcomes.iter().filter_map(|o| o.dice.get(k).copied()));
    let best = (0..VOXEL_THRESHOLDS.len()).max_by(|&a, &b| dice_at(a).total_cmp(&dice_at(b))).unwrap_or(8);
    let clean = || outcomes.iter().filter(|o| o.hit_scores.is_empty());
    Scored {
        score_threshold: threshold,
        voxel_threshold: VOXEL_THRESHOLDS[best],
        recall: if hits.is_empty() { 0.0 } else { passing(&hits) / hits.len() as f64 },
        proposals: passing(&scores) / outcomes.len().max(1) as f64,
        proposals_clean: mean(clean().map(|o| passing(&o.scores))),
        dice: dice_at(best),
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

    #[test]
    fn a_hit_is_overlap_or_a_centre_inside_of_like_size() {
        let region = Box3::cube([0.0; 3], 20.0);
        assert!(is_hit(&Box3::cube([2.0, 0.0, 0.0], 20.0), &region));
        // 10 mm cube at the centre: IoU 1/8, volume ratio 8.
        assert!(!is_hit(&Box3::cube([0.0; 3], 10.0), &region));
        // 13 mm cube: ratio 3.6.
        assert!(is_hit(&Box3::cube([5.0, 0.0, 0.0], 13.0), &region));
        assert!(!is_hit(&Box3::cube([11.0, 0.0, 0.0], 13.0), &region));
    }

    fn outcomes() -> Vec<Outcome> {
        let sick = Outcome {
            scores: vec![0.9, 0.8, 0.5, 0.3],
            hit_scores: vec![0.9, 0.5],
            ious: vec![(0.6, 0.4)],
            dice: (0..17).map(|k| 0.5 - 0.01 * (k as f64 - 6.0).abs()).collect(),
            ..Outcome::default()
        };
        let clean = Outcome { scores: vec![0.6, 0.4], false_share: vec![0.01; 17], ..Outcome::default() };
        vec![sick, clean]
    }

    #[test]
    fn the_threshold_is_the_highest_that_reaches_the_recall() {
        let s = choose(&outcomes(), 0.9, 8.0);
        assert_eq!((s.score_threshold, s.recall, s.proposals), (0.5, 1.0, 2.0));
        assert_eq!((s.voxel_threshold, s.proposals_clean), (0.4, 1.0));
        assert!((s.dice - 0.5).abs() < 1e-12 && (s.box_iou - 0.6).abs() < 1e-12);
    }

    #[test]
    fn too_many_proposals_raise_the_threshold() {
        let s = choose(&outcomes(), 0.9, 1.0);
        assert!(s.proposals <= 1.0 && s.recall == 0.5, "{s:?}");
    }
}
