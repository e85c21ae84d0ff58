//! From single slices to one grid: which belong together, in which order, how far apart.
//!
//! Slices are sorted by where they lie along their common normal, never by name, number or z.
//! What is not regular is repaired with a warning where that is safe, and refused where not:
//! - slices of another size, pixel spacing or orientation than the majority are left out;
//! - of slices at one position one is kept, by acquisition where several cover the same range;
//! - a hole of missing slices is filled linearly when it is at most 20 mm (or one slice) wide
//!   and the holes make up at most a quarter of the stack;
//! - uneven spacing is resampled linearly to the median spacing when at most a quarter of the
//!   slices are made so;
//! - slices that step sideways (gantry tilt) are shifted back, the grid widened to hold all.

use super::header::Plane;
use crate::{Warning, bounds};
use pleura_volume::Geometry;

/// One slice and what tells it from others.
#[derive(Debug, Clone)]
pub(crate) struct Slice {
    /// Index of its file, and of its frame in the file.
    pub(crate) file: usize,
    pub(crate) frame: usize,
    /// Columns and rows.
    pub(crate) size: [usize; 2],
    pub(crate) plane: Plane,
    pub(crate) acquisition: Option<i64>,
    pub(crate) temporal: Option<i64>,
    pub(crate) number: Option<i64>,
}

/// How a slice of the grid comes from the slices of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Blend {
    pub(crate) lower: usize,
    pub(crate) upper: usize,
    /// Weight of `upper`, 0 for an exact copy of `lower`.
    pub(crate) weight: f64,
}

/// A plan to fill a grid.
#[derive(Debug, Clone)]
pub(crate) struct Stack {
    /// The slices used, in order along the normal.
    pub(crate) slices: Vec<Slice>,
    /// The grid: columns, rows, slices.
    pub(crate) geometry: Geometry,
    /// For each slice of the grid where it comes from; `None` when they are the same.
    pub(crate) blends: Option<Vec<Blend>>,
    /// Sideways steps in pixels of each slice, and the columns and rows added before the first.
    pub(crate) tilt: Option<Tilt>,
    /// Slice numbers are those of the grid.
    pub(crate) warnings: Vec<Warning>,
}

/// Sideways steps to undo.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tilt {
    /// Columns and rows that each slice lies off the first.
    pub(crate) steps: Vec<[f64; 2]>,
    /// Columns and rows added before the first.
    pub(crate) before: [usize; 2],
}

/// Positions closer than this are the same, mm.
const SAME_MM: f64 = 0.01;
/// The widest distance between slices that is bridged, mm, when it is more than one missing slice.
const BRIDGED_MM: f64 = 20.0;
/// Deviation from a regular grid that is put down to rounding, in spacings.
const ROUNDING: f64 = 0.1;

pub(crate) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn normal(axes: &[[f64; 3]; 2]) -> [f64; 3] {
    let [x, y] = axes;
    [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]]
}

fn warning(code: &str, message: String, slices: Vec<usize>) -> Warning {
    Warning { code: code.into(), message, slices }
}

/// Makes the plan. `between` is the spacing to assume for a single slice.
///
/// # Errors
/// The reason, when the geometry cannot be trusted.
pub(crate) fn build(slices: Vec<Slice>, between: Option<f64>) -> Result<Stack, String> {
    let mut warnings = Vec::new();
    let slices = majority(slices, &mut warnings);
    let Some(first) = slices.first() else { return Err("It holds no slices.".into()) };
    let along = normal(&first.plane.axes);
    let mut slices: Vec<(f64, Slice)> =
        slices.into_iter().map(|s| (dot(s.plane.position, along), s)).collect();
    slices.sort_by(|a, b| {
        let key = |s: &Slice| (s.number, s.file, s.frame);
        a.0.total_cmp(&b.0).then_with(|| key(&a.1).cmp(&key(&b.1)))
    });
    let slices = distinct(slices, &mut warnings);
    let positions: Vec<f64> = slices.iter().map(|s| s.0).collect();
    let slices: Vec<Slice> = slices.into_iter().map(|s| s.1).collect();
    let (count, spacing, blends) = spread(&positions, &slices, between, &mut warnings)?;
    let plane = &slices[0].plane;
    let [columns, rows] = slices[0].size;
    let mut geometry = Geometry {
        size: [columns, rows, count],
        origin_mm: plane.position,
        spacing_mm: [plane.spacing[0], plane.spacing[1], spacing],
        axes: [plane.axes[0], plane.axes[1], along],
    };
    let tilt = straighten(&slices, &mut geometry, &mut warnings)?;
    bounds::check(&geometry)?;
    Ok(Stack { slices, geometry, blends, tilt, warnings })
}

/// The largest set of slices of one size, spacing and orientation.
fn majority(slices: Vec<Slice>, warnings: &mut Vec<Warning>) -> Vec<Slice> {
    let alike = |a: &Slice, b: &Slice| {
        let cosine = dot(normal(&a.plane.axes), normal(&b.plane.axes));
        let turn = dot(a.plane.axes[0], b.plane.axes[0]);
        let pixel = |i: usize| (a.plane.spacing[i] / b.plane.spacing[i] - 1.0).abs() < 1e-3;
        // 0.99996 is the cosine of half a degree.
        a.size == b.size && cosine > 0.99996 && turn > 0.99996 && pixel(0) && pixel(1)
    };
    let total = slices.len();
    let mut groups: Vec<Vec<Slice>> = Vec::new();
    for slice in slices {
        match groups.iter_mut().find(|g| alike(&g[0], &slice)) {
            Some(group) => group.push(slice),
            None => groups.push(vec![slice]),
        }
    }
    // The first of the largest, so that ties do not hang on anything but the files' order.
    let largest = (0..groups.len()).rev().max_by_key(|&i| groups[i].len());
    let kept = largest.map(|i| groups.swap_remove(i)).unwrap_or_default();
    if kept.len() < total {
        let message = format!(
            "{} of {total} slices have another size, pixel spacing or orientation than the rest and were left out.",
            total - kept.len()
        );
        warnings.push(warning("mixed-orientation", message, vec![]));
    }
    kept
}

/// One slice for each position. Where acquisitions or time points cover the same range, the
/// fullest of them is kept whole; else the first by instance number.
fn distinct(slices: Vec<(f64, Slice)>, warnings: &mut Vec<Warning>) -> Vec<(f64, Slice)> {
    let total = slices.len();
    let places = |s: &[(f64, Slice)]| 1 + s.windows(2).filter(|w| w[1].0 - w[0].0 >= SAME_MM).count();
    let all = places(&slices);
    if all == total {
        return slices;
    }
    let keys: [fn(&Slice) -> Option<i64>; 2] = [|s| s.acquisition, |s| s.temporal];
    for key in keys {
        let mut values: Vec<_> = slices.iter().map(|s| key(&s.1)).collect();
        values.sort_unstable();
        values.dedup();
        if values.len() < 2 {
            continue;
        }
        let groups =
            values.iter().rev().map(|v| slices.iter().filter(|s| key(&s.1) == *v).cloned().collect());
        let best = groups.max_by_key(|g: &Vec<(f64, Slice)>| places(g));
        if let Some(best) = best.filter(|g| places(g) == g.len() && g.len() * 10 >= all * 9) {
            let message = format!(
                "The series covers the same range {} times; one acquisition of {} slices was kept.",
                values.len(),
                best.len()
            );
            warnings.push(warning("duplicate-slice", message, vec![]));
            return best;
        }
    }
    let mut kept: Vec<(f64, Slice)> = Vec::with_capacity(all);
    let mut doubled = Vec::new();
    for slice in slices {
        match kept.last() {
            Some(last) if slice.0 - last.0 < SAME_MM => doubled.push(kept.len() - 1),
            _ => kept.push(slice),
        }
    }
    doubled.dedup();
    let message = format!("{} slices lie where another one lies and were left out.", total - kept.len());
    warnings.push(warning("duplicate-slice", message, doubled));
    kept
}

/// Number of slices of the grid, their distance, and where each comes from.
#[allow(clippy::type_complexity)]
fn spread(
    positions: &[f64],
    slices: &[Slice],
    between: Option<f64>,
    warnings: &mut Vec<Warning>,
) -> Result<(usize, f64, Option<Vec<Blend>>), String> {
    let n = positions.len();
    if n < 2 {
        let spacing = between
            .or(slices[0].plane.thickness)
            .filter(|s| (0.01..=bounds::SLICE_MM).contains(s))
            .unwrap_or(1.0);
        let message = format!("There is a single slice; its spacing was taken as {spacing} mm.");
        warnings.push(warning("single-slice", message, vec![0]));
        return Ok((1, spacing, None));
    }
    let gaps: Vec<f64> = positions.windows(2).map(|w| w[1] - w[0]).collect();
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    // Of two middle ones the smaller: half of the slices may be missing, not doubled.
    let median = sorted[(n - 2) / 2];
    let whole = positions[n - 1] - positions[0];
    // Positions are at least SAME_MM apart, so that after this no count below is large.
    if !(whole <= bounds::EXTENT_MM && (SAME_MM / 2.0..=bounds::SLICE_MM).contains(&median)) {
        return Err(format!(
            "Its slices are {median:.2} mm apart over {whole:.0} mm; more than {} mm apart or {} mm in all is no CT.",
            bounds::SLICE_MM,
            bounds::EXTENT_MM
        ));
    }
    let steps: Vec<usize> = gaps.iter().map(|g| (g / median).round() as usize).collect();
    let count = steps.iter().sum::<usize>() + 1;
    let spacing = whole / (count - 1).max(1) as f64;
    let mut index = 0;
    let regular = steps.iter().zip(&positions[1..]).all(|(&step, p)| {
        index += step;
        step > 0 && (p - positions[0] - index as f64 * spacing).abs() <= ROUNDING * spacing
    });
    let widest = sorted[n - 2];
    if widest > 1.5 * median && widest > BRIDGED_MM.max(2.5 * median) {
        return Err(format!(
            "Slices are missing: there is a hole of {widest:.1} mm between slices that are {median:.2} mm apart. \
             Copy the whole series again."
        ));
    }
    if regular && count == n {
        return Ok((n, spacing, None));
    }
    // Uneven slices go to the grid of the median spacing that ends where they end.
    let count = if regular { count } else { (whole / median).round() as usize + 1 };
    let spacing = whole / (count - 1).max(1) as f64;
    let blends: Vec<Blend> =
        (0..count).map(|k| blend(positions, positions[0] + k as f64 * spacing, spacing)).collect();
    let made: Vec<usize> = (0..count).filter(|&k| blends[k].weight != 0.0).collect();
    if made.len() * 4 > count {
        let (made, low) = (made.len(), sorted[0]);
        return Err(if regular {
            format!("{made} of {count} slices are missing. Copy the whole series again.")
        } else {
            format!(
                "Its slices are unevenly spaced, {low:.2} to {widest:.2} mm apart: {made} of {count} slices of an \
                 even grid would be made up. Copy the whole series again."
            )
        });
    }
    if regular {
        let message = format!(
            "{} of {count} slices are missing and were filled in between their neighbours.",
            made.len()
        );
        warnings.push(warning("slice-gap", message, made));
    } else {
        let message = format!(
            "The slices are {:.2} to {widest:.2} mm apart; they were resampled to {spacing:.3} mm.",
            sorted[0]
        );
        warnings.push(warning("uneven-spacing", message, made));
    }
    Ok((count, spacing, Some(blends)))
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

/// `3, 7-9` for `[3, 7, 8, 9]`.
pub(crate) fn ranges(values: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &v in values {
        match parts.last_mut() {
            Some(last) if last.1 + 1 == v => last.1 = v,
            _ => parts.push((v, v)),
        }
    }
    let part = |&(a, b): &(usize, usize)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    parts.iter().map(part).collect::<Vec<_>>().join(", ")
}

/// Finds sideways steps of more than half a pixel and widens the grid for them.
fn straighten(
    slices: &[Slice],
    geometry: &mut Geometry,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Tilt>, String> {
    let origin = slices[0].plane.position;
    let steps: Vec<[f64; 2]> = slices
        .iter()
        .map(|s| {
            let off: [f64; 3] = std::array::from_fn(|c| s.plane.position[c] - origin[c]);
            std::array::from_fn(|a| dot(off, geometry.axes[a]) / geometry.spacing_mm[a])
        })
        .collect();
    if steps.iter().flatten().all(|s| s.abs() <= 0.5) {
        return Ok(None);
    }
    let mut before = [0; 2];
    for a in 0..2 {
        let low = steps.iter().map(|s| s[a]).fold(0.0, f64::min);
        let high = steps.iter().map(|s| s[a]).fold(0.0, f64::max);
        if high - low > 2.0 * geometry.size[a] as f64 {
            return Err("Its slices do not lie above each other, so they make no volume.".into());
        }
        before[a] = (-low).ceil() as usize;
        geometry.size[a] += before[a] + high.ceil() as usize;
    }
    geometry.origin_mm = geometry.to_lps([-(before[0] as f64), -(before[1] as f64), 0.0]);
    let message = "The slices step sideways (gantry tilt); each was shifted to lie straight above the next, \
                   and the picture widened."
        .to_owned();
    warnings.push(warning("gantry-tilt", message, vec![]));
    Ok(Some(Tilt { steps, before }))
}
