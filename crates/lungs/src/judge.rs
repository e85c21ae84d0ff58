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

/// Bounds on both lungs together, ml (ours): an adult's hold some 1500 ml when emptied by disease
/// and hardly 10 l at their fullest.
const BOTH_ML: [f64; 2] = [600.0, 10_000.0];
/// Bounds on the distance from base to apex, mm (ours): lower, it is a slab; higher, no lung.
const HEIGHT_MM: [f64; 2] = [80.0, 450.0];
/// A lung below this share of the other is taken for a wrong mask or a missing lung (ours): with
/// collapse and effusion there is mostly more of it left.
const LEAST_SHARE: f64 = 0.2;

/// What is thought of a mask; the fields are those of [`crate::Lungs`].
pub(crate) struct Judgement {
    pub(crate) status: LungStatus,
    pub(crate) reasons: Vec<String>,
    pub(crate) implausible: Vec<String>,
}

impl Judgement {
    pub(crate) fn not_found(reason: String) -> Self {
        Self { status: LungStatus::NotFound, reasons: vec![reason], implausible: Vec::new() }
    }

    /// Lung that was found: `reasons` against two whole lungs, `implausible` ones among them or not.
    fn found(mut reasons: Vec<String>, implausible: Vec<String>) -> Self {
        let more: Vec<String> = implausible.iter().filter(|r| !reasons.contains(r)).cloned().collect();
        reasons.extend(more);
        let status = if reasons.is_empty() { LungStatus::Ok } else { LungStatus::Partial };
        Self { status, reasons, implausible }
    }
}

/// One side of the mask, measured.
struct Side {
    name: &'static str,
    ml: f64,
}

/// Judges a mask on any grid; `turned` says why the patient lies otherwise than the header says.
pub(crate) fn judge(mask: &Mask, cut_at_side: bool, turned: Vec<String>, options: &LungOptions) -> Judgement {
    let counts = counts(mask);
    let [right, left] =
        [0, 1].map(|s| counts.iter().map(|c| c[s]).sum::<usize>() as f64 * mask.geometry.voxel_ml());
    let side = |name, ml| Side { name, ml };
    let sides = [side("right", right), side("left", left)];
    if right + left == 0.0 {
        return Judgement::not_found("No lung was found in this scan.".into());
    }
    let height = mask.geometry.size[2] as f64 * mask.geometry.spacing_mm[2];
    let total = right + left;
    let span = span(&counts) as f64 * mask.geometry.spacing_mm[2];
    let mut implausible = implausible(&sides, span);
    implausible.extend(turned);
    if height < options.lung_height_mm / 2.0 {
        // A slab: volumes say nothing, areas do.
        let mut reasons = vec![format!("The scan covers only {height:.0} mm from foot to head.")];
        reasons.extend(smaller_than(&sides, SMALL_SHARE));
        return Judgement::found(reasons, implausible);
    }
    if total < NO_CHEST_ML {
        return Judgement::not_found(format!(
            "Only {total:.0} ml of lung-like tissue was found: this is no chest CT."
        ));
    }
    let mut reasons = Vec::new();
    let (cut_top, cut_base) = cut_ends(&counts);
    if (cut_top || cut_base) && span < options.lung_height_mm {
        let part = if cut_top { "bases" } else { "tops" };
        return Judgement::not_found(format!("Only the {part} of the lungs ({span:.0} mm) are in the scan."));
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
    reasons.extend(smaller_than(&sides, SMALL_SHARE));
    for s in sides.iter().filter(|s| s.ml > 0.0) {
        let [low, high] = options.one_lung_ml;
        if s.ml < low || s.ml > high {
            reasons.push(format!("The {} lung measures {:.0} ml, which is implausible.", s.name, s.ml));
        }
    }
    if !(cut_top || cut_base) && span < options.lung_height_mm {
        reasons.push(format!("The lungs reach only {span:.0} mm from base to apex."));
    }
    Judgement::found(reasons, implausible)
}

/// Why these cannot be taken for the lungs of a patient; empty when they can.
fn implausible(sides: &[Side; 2], span_mm: f64) -> Vec<String> {
    let total: f64 = sides.iter().map(|s| s.ml).sum();
    let mut out = Vec::new();
    let [least, most] = BOTH_ML;
    if total < least {
        out.push(format!("Only {total:.0} ml of lung were found; at least {least:.0} ml are needed."));
    }
    if total > most {
        out.push(format!("{total:.0} ml of lung were found, which is more than a chest holds."));
    }
    let [least, most] = HEIGHT_MM;
    if span_mm < least {
        out.push(format!(
            "The lung in the scan reaches over {span_mm:.0} mm from base to apex; at least {least:.0} mm are needed."
        ));
    }
    if span_mm > most {
        out.push(format!("The lungs reach over {span_mm:.0} mm from base to apex, which no lung does."));
    }
    out.extend(smaller_than(sides, LEAST_SHARE));
    out
}

/// Names the lung that is missing or holds less than `least_share` of the other one.
fn smaller_than(sides: &[Side; 2], least_share: f64) -> Vec<String> {
    let most = sides[0].ml.max(sides[1].ml);
    let mut out = Vec::new();
    for s in sides {
        if s.ml == 0.0 {
            out.push(format!("The {} lung was not found.", s.name));
        } else if s.ml < least_share * most {
            let share = 100.0 * s.ml / most;
            out.push(format!("The {} lung has only {share:.0} % of the other one's volume.", s.name));
        }
    }
    out
}

/// Voxels of each lung in each slice: all that the judgement needs, in one pass over the mask.
fn counts(mask: &Mask) -> Vec<[usize; 2]> {
    let plane = mask.size()[0] * mask.size()[1];
    let count = |slice: &[u8]| [RIGHT, LEFT].map(|label| count(slice, label));
    mask.data.par_chunks(plane.max(1)).map(count).collect()
}

/// Voxels of one label.
pub(crate) fn count(labels: &[u8], label: u8) -> usize {
    // 255 fit into a byte, and so sixteen lanes into a vector.
    let few = |part: &[u8]| part.iter().fold(0u8, |n, &v| n.wrapping_add(u8::from(v == label)));
    labels.chunks(255).map(|part| usize::from(few(part))).sum()
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

#[cfg(test)]
mod tests {
    use super::*;
    use pleura_volume::Geometry;

    /// Judges lungs of 10 ml voxels (20 x 20 x 25 mm) that fill `height` slices of ten more, the
    /// right one `right` voxels a slice and the left one `left`.
    fn judged(right: usize, left: usize, height: usize) -> Judgement {
        stretched(right, left, height, 1.0)
    }

    fn stretched(right: usize, left: usize, height: usize, by: f64) -> Judgement {
        let spacing = [20.0, 20.0, 25.0].map(|s| s * by);
        let geometry = Geometry::axis_aligned([50, 2, height + 10], [0.0; 3], spacing);
        let mut mask = Mask::filled(geometry, 0);
        for z in 5..5 + height {
            for (y, label, n) in [(0, RIGHT, right), (1, LEFT, left)] {
                let start = mask.offset([0, y, z]);
                mask.data[start..start + n].fill(label);
            }
        }
        judge(&mask, false, Vec::new(), &LungOptions::default())
    }

    #[test]
    fn plausible_lungs_are_ok() {
        // 2.5 and 2 l over 250 mm.
        let j = judged(25, 20, 10);
        assert_eq!(j.status, LungStatus::Ok, "{:?}", j.reasons);
        assert!(j.reasons.is_empty() && j.implausible.is_empty());
    }

    #[test]
    fn twice_the_spacing_is_implausible() {
        // 8 times the volume: 36 l over 500 mm.
        let j = stretched(25, 20, 10, 2.0);
        assert_eq!(j.status, LungStatus::Partial);
        assert_eq!(
            j.implausible,
            [
                "36000 ml of lung were found, which is more than a chest holds.",
                "The lungs reach over 500 mm from base to apex, which no lung does.",
            ]
        );
        assert!(j.implausible.iter().all(|r| j.reasons.contains(r)));
    }

    #[test]
    fn a_lung_is_implausible_below_a_fifth_of_the_other() {
        let j = judged(40, 6, 10);
        assert_eq!(j.implausible, ["The left lung has only 15 % of the other one's volume."]);
        assert_eq!(j.status, LungStatus::Partial);
        assert_eq!(j.reasons.iter().filter(|r| r.contains("15 %")).count(), 1, "said once");
        assert_eq!(judged(0, 30, 10).implausible, ["The right lung was not found."]);
        // A quarter may be disease: a reason, yet to be analysed.
        let j = judged(40, 10, 10);
        assert!(j.implausible.is_empty() && j.status == LungStatus::Partial);
        assert_eq!(j.reasons, ["The left lung has only 25 % of the other one's volume."]);
    }

    #[test]
    fn little_lung_and_a_slab_are_implausible() {
        // 320 ml over 200 mm; 2.7 l over 75 mm.
        assert!(judged(2, 2, 8).implausible[0].starts_with("Only 320 ml"));
        let j = judged(50, 40, 3);
        assert!(j.implausible[0].contains("75 mm"), "{:?}", j.implausible);
        assert_eq!(j.status, LungStatus::Partial);
    }
}
