//! Boxes: anchors, coding against them, matching, non-maximum suppression. All in LPS millimetres.

mod anchors;

pub use anchors::{AnchorMatch, anchor_boxes, feature_grid, match_anchors, proposals, sigmoid};

use pleura_volume::Box3;

/// Largest change of an edge a prediction may ask for: a factor of e^2 either way (ours). Keeps
/// a stray output from becoming an endless box.
const MOST_LOG_EDGE: f64 = 2.0;

/// Offsets of `target` from `anchor`: shift of the centre over the anchor's edge along x, y, z,
/// then the natural logarithm of the ratio of the edges (the coding of R-CNN, in 3D).
///
/// Edges of `target` below a micrometre count as a micrometre.
pub fn encode(anchor: &Box3, target: &Box3) -> [f32; 6] {
    let (ac, asz) = (anchor.center(), anchor.size());
    let (tc, tsz) = (target.center(), target.size());
    std::array::from_fn(|i| {
        let a = i % 3;
        let edge = asz[a].max(1e-3);
        if i < 3 { ((tc[a] - ac[a]) / edge) as f32 } else { (tsz[a].max(1e-3) / edge).ln() as f32 }
    })
}

/// The box that `offsets` make of `anchor`; the inverse of [`encode`] for edges within a factor
/// of e^2 of the anchor's, to which they are limited.
pub fn decode(anchor: &Box3, offsets: &[f32; 6]) -> Box3 {
    let (c, size) = (anchor.center(), anchor.size());
    let mut out = Box3 { min: [0.0; 3], max: [0.0; 3] };
    for a in 0..3 {
        let edge = size[a].max(1e-3);
        let centre = c[a] + f64::from(offsets[a]) * edge;
        let half = edge * f64::from(offsets[a + 3]).clamp(-MOST_LOG_EDGE, MOST_LOG_EDGE).exp() / 2.0;
        (out.min[a], out.max[a]) = (centre - half, centre + half);
    }
    out
}

/// Greedy non-maximum suppression: indices of the boxes kept, best score first, at most `max`.
///
/// A box is dropped when its IoU with a kept one is more than `iou`. Equal scores: the lower
/// index first.
pub fn nms(boxes: &[(Box3, f32)], iou: f32, max: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by(|&i, &j| boxes[j].1.total_cmp(&boxes[i].1).then(i.cmp(&j)));
    // With their boxes side by side: this is the inner loop over thousands of proposals.
    let (mut kept, mut places): (Vec<usize>, Vec<Box3>) = (Vec::new(), Vec::new());
    for i in order {
        if kept.len() >= max {
            break;
        }
        if places.iter().all(|k| k.iou(&boxes[i].0) <= f64::from(iou)) {
            kept.push(i);
            places.push(boxes[i].0);
        }
    }
    kept
}

/// The part of `b` inside `bounds`; `None` when they do not overlap or `b` is not finite.
pub fn clip(b: &Box3, bounds: &Box3) -> Option<Box3> {
    let out = Box3 {
        min: std::array::from_fn(|a| b.min[a].max(bounds.min[a])),
        max: std::array::from_fn(|a| b.max[a].min(bounds.max[a])),
    };
    let finite = b.min.iter().chain(&b.max).all(|v| v.is_finite());
    (finite && (0..3).all(|a| out.min[a] < out.max[a])).then_some(out)
}
