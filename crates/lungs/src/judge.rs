//! How far a lung mask can be trusted.

use crate::{LEFT, LungOptions, LungStatus, RIGHT};
use pleura_volume::Mask;
use rayon::prelude::*;

/// Less lung than this in total is no chest, ml.
const NO_CHEST_ML: f64 = 300.0;
/// Lungs are cut off where the first or last slice shows more than this share of their largest
/// area; the tips of the recesses are often missing and change nothing.
const CUT_SHARE: f64 = 0.2;
/// One lung below this share of the other is missing or mostly airless.
const SMALL_SHARE: f64 = 0.3;

/// One side of the mask, measured.
struct Side {
    name: &'static str,
    ml: f64,
}

/// Status and reasons for a mask on any grid.
pub(crate) fn judge(mask: &Mask, cut_at_side: bool, options: &LungOptions) -> (LungStatus, Vec<String>) {
    let counts = counts(mask);
    let [right, left] =
        [0, 1].map(|s| counts.iter().map(|c| c[s]).sum::<usize>() as f64 * mask.geometry.voxel_ml());
    let side = |name, ml| Side { name, ml };
    let sides = [side("right", right), side("left", left)];
    if right + left == 0.0 {
        return (LungStatus::NotFound, vec!["No lung was found in this scan.".into()]);
    }
    let height = mask.geometry.size[2] as f64 * mask.geometry.spacing_mm[2];
    let total = right + left;
    if height < options.lung_height_mm / 2.0 {
        // A slab: volumes say nothing, areas do.
        let mut reasons = vec![format!("The scan covers only {height:.0} mm from foot to head.")];
        reasons.extend(missing(&sides));
        return (LungStatus::Partial, reasons);
    }
    if total < NO_CHEST_ML {
        let reason = format!("Only {total:.0} ml of lung-like tissue was found: this is no chest CT.");
        return (LungStatus::NotFound, vec![reason]);
    }
    let mut reasons = Vec::new();
    let (cut_top, cut_base) = cut_ends(&counts);
    let span = span(&counts) as f64 * mask.geometry.spacing_mm[2];
    if (cut_top || cut_base) && span < options.lung_height_mm {
        let part = if cut_top { "bases" } else { "tops" };
        let reason = format!("Only the {part} of the lungs ({span:.0} mm) are in the scan.");
        return (LungStatus::NotFound, vec![reason]);
    }
    if cut_top {
        reasons.push("The tops of the lungs are cut off by the scan's field of view.".into());
    }
    if cut_base {
        reasons.push("The bases of the lungs are cut off by the scan's field of view.".into());
    }
    if cut_at_side {
        reasons.push("A lung is cut off at the side of the scan's field of view.".into());
    }
    reasons.extend(missing(&sides));
    for s in sides.iter().filter(|s| s.ml > 0.0) {
        let [low, high] = options.one_lung_ml;
        if s.ml < low || s.ml > high {
            reasons.push(format!("The {} lung measures {:.0} ml, which is implausible.", s.name, s.ml));
        }
    }
    if !(cut_top || cut_base) && span < options.lung_height_mm {
        reasons.push(format!("The lungs reach only {span:.0} mm from base to apex."));
    }
    let status = if reasons.is_empty() { LungStatus::Ok } else { LungStatus::Partial };
    (status, reasons)
}

fn missing(sides: &[Side; 2]) -> Vec<String> {
    let most = sides[0].ml.max(sides[1].ml);
    let mut out = Vec::new();
    for s in sides {
        if s.ml == 0.0 {
            out.push(format!("The {} lung was not found.", s.name));
        } else if s.ml < SMALL_SHARE * most {
            let share = 100.0 * s.ml / most;
            out.push(format!("The {} lung has only {share:.0} % of the other one's volume.", s.name));
        }
    }
    out
}

/// Voxels of each lung in each slice: all that the judgement needs, in one pass over the mask.
fn counts(mask: &Mask) -> Vec<[usize; 2]> {
    let plane = mask.size()[0] * mask.size()[1];
    let count = |slice: &[u8]| [RIGHT, LEFT].map(|l| slice.iter().filter(|&&v| v == l).count());
    mask.data.par_chunks(plane.max(1)).map(count).collect()
}

/// Whether much lung meets the last (head) and the first (foot) slice.
fn cut_ends(counts: &[[usize; 2]]) -> (bool, bool) {
    let areas: Vec<f64> = counts.iter().map(|[r, l]| (r + l) as f64).collect();
    let limit = CUT_SHARE * areas.iter().copied().fold(0.0, f64::max);
    let cut = |end: Option<&f64>| end.is_some_and(|&a| a > limit);
    (cut(areas.last()), cut(areas.first()))
}

/// Slices from the first to the last that shows lung.
fn span(counts: &[[usize; 2]]) -> usize {
    let shows = |c: &[usize; 2]| c[0] + c[1] > 0;
    let first = counts.iter().position(shows).unwrap_or(0);
    counts.iter().rposition(shows).map_or(0, |last| last + 1 - first)
}
