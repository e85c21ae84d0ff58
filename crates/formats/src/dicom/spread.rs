//! How far apart the slices of a stack lie, and what that makes of the grid.
//!
//! - Even spacing is kept; a tenth of it is put down to rounding.
//! - A *hole* is a gap half as wide again as the usual one that neither the slices' thickness
//!   covers nor an even run of such gaps explains, or in which Instance Numbers are missing. Holes
//!   are filled linearly when each is at most 20 mm (or one slice) wide and at most a quarter of
//!   the grid is made so; else the series is refused.
//! - Any other uneven spacing, such as two halves of their own spacings, is resampled linearly
//!   to the finer spacing.

use super::stack::Slice;
use super::{Problem, warning};
use crate::{Warning, bounds};

/// How a slice of the grid comes from the slices of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Blend {
    pub(crate) lower: usize,
    pub(crate) upper: usize,
    /// Weight of `upper`, 0 for an exact copy of `lower`.
    pub(crate) weight: f64,
}

/// The slices of the grid.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    pub(crate) count: usize,
    pub(crate) spacing: f64,
    /// For each slice of the grid where it comes from; `None` when they are the same.
    pub(crate) blends: Option<Vec<Blend>>,
}

/// Positions closer than this are the same, mm.
pub(crate) const SAME_MM: f64 = 0.01;
/// Widest usual distance between slices, mm: past this most of the lung is not in the picture.
const APART_MM: f64 = 20.0;
/// The widest hole that is bridged, mm, when it is more than one missing slice.
const BRIDGED_MM: f64 = 20.0;
/// Deviation from a regular grid that is put down to rounding, in spacings.
const ROUNDING: f64 = 0.1;
/// Thickest slices that are plausible, mm: wider gaps are holes unless a thickness is stated.
const THICKEST_MM: f64 = 10.0;

/// Lays the grid along sorted, distinct positions. `between` is the distance for a single slice.
pub(crate) fn spread(
    positions: &[f64],
    slices: &[Slice],
    between: Option<f64>,
    warnings: &mut Vec<Warning>,
) -> Result<Spread, Problem> {
    let n = positions.len();
    if n < 2 {
        let spacing =
            between.or(slices[0].plane.thickness).filter(|s| (SAME_MM..=APART_MM).contains(s)).unwrap_or(1.0);
        let message = format!("There is a single slice; its spacing was taken as {spacing} mm.");
        warnings.push(warning("single-slice", message, vec![0]));
        return Ok(Spread { count: 1, spacing, blends: None });
    }
    let gaps = Gaps::of(positions);
    gaps.check()?;
    if let Some((count, spacing)) = gaps.regular(positions).filter(|r| r.0 == n) {
        return Ok(Spread { count, spacing, blends: None });
    }
    let holes = gaps.holes(slices);
    gaps.check_holes(&holes)?;
    // Uneven slices go to a grid of the finer spacing that ends where they end.
    let finer = gaps.usual.max(gaps.median / 4.0);
    let even = gaps.regular(positions).filter(|_| holes.contains(&true));
    let count = even.map_or((gaps.whole / finer).round() as usize + 1, |r| r.0);
    let spacing = gaps.whole / (count - 1).max(1) as f64;
    let blends: Vec<Blend> =
        (0..count).map(|k| blend(positions, positions[0] + k as f64 * spacing, spacing)).collect();
    let new = || (0..count).filter(|&k| blends[k].weight != 0.0);
    let (made, moved): (Vec<usize>, Vec<usize>) = new().partition(|&k| holes[blends[k].lower]);
    if made.len() * 4 > count {
        let text = format!(
            "Slices are missing: {} of {count} would be made up, where slices lie {:.2} to {:.2} mm apart. \
             Copy the whole series again.",
            made.len(),
            gaps.sorted[0],
            gaps.widest
        );
        return Err(Problem::new("slices-missing", text));
    }
    if !made.is_empty() {
        let number = made.len();
        let message =
            format!("{number} of {count} slices are missing and were filled in between their neighbours.");
        warnings.push(warning("slice-gap", message, made));
    }
    if !moved.is_empty() {
        let (low, high) = (gaps.sorted[0], gaps.widest);
        let message =
            format!("The slices are {low:.2} to {high:.2} mm apart; they were resampled to {spacing:.3} mm.");
        warnings.push(warning("uneven-spacing", message, moved));
    }
    Ok(Spread { count, spacing, blends: Some(blends) })
}

/// Distances between neighbouring slices.
struct Gaps {
    gaps: Vec<f64>,
    sorted: Vec<f64>,
    median: f64,
    /// A quarter of the gaps are at most this wide: the finer spacing where there are two.
    usual: f64,
    widest: f64,
    whole: f64,
}

impl Gaps {
    fn of(positions: &[f64]) -> Self {
        let gaps: Vec<f64> = positions.windows(2).map(|w| w[1] - w[0]).collect();
        let mut sorted = gaps.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len() - 1;
        // Of two middle ones the smaller: half of the slices may be missing, not doubled.
        let (median, usual, widest) = (sorted[last / 2], sorted[last / 4], sorted[last]);
        let whole = positions[last + 1] - positions[0];
        Self { gaps, sorted, median, usual, widest, whole }
    }

    fn check(&self) -> Result<(), Problem> {
        let Self { median, whole, .. } = *self;
        // Positions are at least SAME_MM apart, so that after this no count is large.
        if (SAME_MM / 2.0..=APART_MM).contains(&median) && whole <= bounds::EXTENT_MM {
            return Ok(());
        }
        let text = format!(
            "Its slices are {median:.2} mm apart over {whole:.0} mm; more than {APART_MM} mm apart or {} mm in all \
             is no CT to be screened.",
            bounds::EXTENT_MM
        );
        Err(Problem::new("spacing-too-wide", text))
    }

    /// Number and distance of slices when all lie on one even grid, some of it perhaps empty.
    fn regular(&self, positions: &[f64]) -> Option<(usize, f64)> {
        let unit = if self.usual * 1.5 < self.median { self.usual } else { self.median };
        let steps: Vec<usize> = self.gaps.iter().map(|g| (g / unit).round() as usize).collect();
        let count = steps.iter().sum::<usize>() + 1;
        let spacing = self.whole / (count - 1).max(1) as f64;
        let mut index = 0;
        let fits = steps.iter().zip(&positions[1..]).all(|(&step, p)| {
            index += step;
            step > 0 && (p - positions[0] - index as f64 * spacing).abs() <= ROUNDING * spacing
        });
        fits.then_some((count, spacing))
    }

    /// Which gaps are holes.
    fn holes(&self, slices: &[Slice]) -> Vec<bool> {
        let jumps = jumps(slices);
        let thickness = |i: usize| Some((slices[i].plane.thickness? + slices[i + 1].plane.thickness?) / 2.0);
        let hole = |i: usize| {
            let gap = self.gaps[i];
            let covered = thickness(i).is_some_and(|t| gap <= 1.05 * t);
            gap > 1.5 * self.usual && (jumps[i] || !covered && !self.in_even_run(i))
        };
        (0..self.gaps.len()).map(hole).collect()
    }

    /// Whether the gap is one of three or more alike in a row, none wider than slices can be thick.
    fn in_even_run(&self, i: usize) -> bool {
        let alike = |g: &&f64| (*g / self.gaps[i] - 1.0).abs() < ROUNDING;
        let before = self.gaps[..i].iter().rev().take_while(alike).take(2).count();
        let after = self.gaps[i + 1..].iter().take_while(alike).take(2).count();
        self.gaps[i] <= THICKEST_MM && before + after >= 2
    }

    fn check_holes(&self, holes: &[bool]) -> Result<(), Problem> {
        let most = BRIDGED_MM.max(2.5 * self.median);
        let widest =
            self.gaps.iter().zip(holes).filter(|(_, hole)| **hole).map(|(g, _)| *g).fold(0.0, f64::max);
        if widest <= most {
            return Ok(());
        }
        let text = format!(
            "Slices are missing: there is a hole of {widest:.1} mm between slices that are {:.2} mm apart. \
             Copy the whole series again.",
            self.median
        );
        Err(Problem::new("slices-missing", text))
    }
}

/// Between which slices Instance Numbers are left out.
fn jumps(slices: &[Slice]) -> Vec<bool> {
    let step = |w: &[Slice]| Some(w[1].number?.abs_diff(w[0].number?));
    let steps: Vec<Option<u64>> = slices.windows(2).map(step).collect();
    let mut sorted: Vec<u64> = steps.iter().flatten().copied().collect();
    sorted.sort_unstable();
    let usual = sorted.get(sorted.len() / 4).copied().unwrap_or(0).max(1);
    steps.iter().map(|s| s.is_some_and(|s| s >= usual.saturating_mul(2))).collect()
}

/// Linear interpolation at `at`; a slice that lies nearly there is copied.
fn blend(positions: &[f64], at: f64, spacing: f64) -> Blend {
    let upper = positions.partition_point(|&p| p < at).min(positions.len() - 1);
    let lower = upper.saturating_sub(1);
    let near = |i: usize| (positions[i] - at).abs() <= ROUNDING * spacing;
    if near(lower) || near(upper) || lower == upper {
        let nearer =
            if (positions[lower] - at).abs() < (positions[upper] - at).abs() { lower } else { upper };
        return Blend { lower: nearer, upper: nearer, weight: 0.0 };
    }
    Blend { lower, upper, weight: (at - positions[lower]) / (positions[upper] - positions[lower]) }
}
