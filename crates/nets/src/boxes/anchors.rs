//! Anchors of the proposal head: where they lie, what they are trained on, what they propose.

use super::{clip, decode, nms};
use crate::{AnchorSpec, NetsError, ProposalRecipe, Result};
use pleura_volume::{Box3, Geometry, VoxelBox};

/// Cells of the proposal head's maps (`[d, h, w]`) over a grid: its size over the stride, rounded up.
pub fn feature_grid(anchors: &AnchorSpec, grid: &Geometry) -> [usize; 3] {
    let [x, y, z] = grid.size;
    [z, y, x].map(|n| n.div_ceil(anchors.stride.max(1)))
}

/// All anchors over `grid`: cubes around the centres of the voxels of each cell, mm.
///
/// `cells` is `[d, h, w]` (see [`feature_grid`]). The order is that of the head's outputs
/// `[d, h, w, anchor]`: the edges of a cell side by side, then x, y, z.
pub fn anchor_boxes(anchors: &AnchorSpec, cells: [usize; 3], grid: &Geometry) -> Vec<Box3> {
    let [d, h, w] = cells;
    let mut boxes = Vec::with_capacity(d * h * w * anchors.edges_mm.len());
    // Cell i covers voxels i * stride to i * stride + stride - 1.
    let centre = |i: usize| (i * anchors.stride) as f64 + (anchors.stride as f64 - 1.0) / 2.0;
    for z in 0..d {
        for y in 0..h {
            for x in 0..w {
                let c = grid.to_lps([centre(x), centre(y), centre(z)]);
                boxes.extend(anchors.edges_mm.iter().map(|&e| Box3::cube(c, f64::from(e))));
            }
        }
    }
    boxes
}

/// What an anchor is trained towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnchorMatch {
    /// An object: the truth box at this index.
    Positive(usize),
    /// No object.
    Negative,
    /// Neither: left out of the loss.
    Ignored,
}

/// Matches anchors to truth boxes by IoU.
///
/// Positive: IoU of at least `positive_iou` with its best truth. Negative: IoU below
/// `negative_iou` with all. Ignored: in between. Each truth then gets its best anchor whatever
/// their IoU (the nearest one when it overlaps none), so that no lesion goes untaught; where two
/// truths share a best anchor, the later takes its best among those not yet forced.
pub fn match_anchors(
    anchors: &[Box3],
    truths: &[Box3],
    positive_iou: f64,
    negative_iou: f64,
) -> Vec<AnchorMatch> {
    let best_truth = |a: &Box3| {
        let ious = truths.iter().map(|t| a.iou(t)).enumerate();
        ious.fold((0, 0.0), |best, (i, iou)| if iou > best.1 { (i, iou) } else { best })
    };
    let mut matches: Vec<AnchorMatch> = anchors
        .iter()
        .map(|a| match best_truth(a) {
            (i, iou) if iou >= positive_iou && iou > 0.0 => AnchorMatch::Positive(i),
            (_, iou) if iou < negative_iou || iou == 0.0 => AnchorMatch::Negative,
            _ => AnchorMatch::Ignored,
        })
        .collect();
    let mut forced: Vec<usize> = Vec::new();
    for (i, truth) in truths.iter().enumerate() {
        let key = |a: &Box3| {
            let far: f64 = (0..3).map(|k| (a.center()[k] - truth.center()[k]).powi(2)).sum();
            (a.iou(truth), -far)
        };
        let better = |a: (f64, f64), b: (f64, f64)| a.0 > b.0 || (a.0 == b.0 && a.1 > b.1);
        let mut best: Option<(usize, (f64, f64))> = None;
        for (j, a) in anchors.iter().enumerate() {
            let k = key(a);
            if !forced.contains(&j) && best.is_none_or(|(_, b)| better(k, b)) {
                best = Some((j, k));
            }
        }
        if let Some((j, _)) = best {
            matches[j] = AnchorMatch::Positive(i);
            forced.push(j);
        }
    }
    matches
}

/// Proposals of a scan: boxes in mm with their scores, best first.
///
/// `objectness` `[d, h, w, anchors]` and `offsets` `[d, h, w, 6 * anchors]` are the head's outputs
/// over the cells of [`feature_grid`]. Score = sigmoid of objectness; those of at least the
/// recipe's threshold are decoded, clipped to the outer faces of the grid and thinned by
/// non-maximum suppression.
///
/// # Errors
/// [`NetsError::Input`] when the outputs are not of that size.
pub fn proposals(
    objectness: &[f32],
    offsets: &[f32],
    recipe: &ProposalRecipe,
    grid: &Geometry,
) -> Result<Vec<(Box3, f32)>> {
    let cells = feature_grid(&recipe.anchors, grid);
    let wanted = cells.iter().product::<usize>() * recipe.anchors.edges_mm.len();
    if objectness.len() != wanted || offsets.len() != 6 * wanted {
        let what = format!(
            "proposal head gave {} scores and {} offsets, the grid needs {wanted} and {}",
            objectness.len(),
            offsets.len(),
            6 * wanted
        );
        return Err(NetsError::Input(what));
    }
    let bounds = grid.box_mm(&VoxelBox { min: [0; 3], max: grid.size });
    let anchors = anchor_boxes(&recipe.anchors, cells, grid);
    let (codes, _) = offsets.as_chunks::<6>();
    let candidates: Vec<(Box3, f32)> = anchors
        .iter()
        .zip(objectness)
        .zip(codes)
        .filter_map(|((anchor, &logit), code)| {
            let score = sigmoid(logit);
            let keep = score >= recipe.score_threshold;
            let found = keep.then(|| decode(anchor, code)).and_then(|b| clip(&b, &bounds));
            found.map(|b| (b, score))
        })
        .collect();
    let kept = nms(&candidates, recipe.nms_iou, recipe.max_proposals);
    Ok(kept.into_iter().map(|i| candidates[i]).collect())
}

/// 1 / (1 + e^-x), without overflow.
pub fn sigmoid(x: f32) -> f32 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}
