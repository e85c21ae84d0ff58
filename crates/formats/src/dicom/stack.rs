//! From single slices to one grid: which belong together, in which order, how far apart.
//!
//! Slices are sorted by where they lie along their common normal, never by name, number or z.
//! What is not regular is repaired with a warning where that is safe, and refused where not:
//! - slices of another size, pixel spacing, orientation or frame of reference than the majority
//!   are left out;
//! - of several volumes of one range the fullest is kept (see [`super::volumes`]), and of slices
//!   at one position one;
//! - holes and uneven spacing are filled, resampled or refused as [`super::spread`] says;
//! - slices that step sideways (gantry tilt) are shifted back, the grid widened to hold all.

use super::frames::Plane;
use super::spread::{Blend, Spread, spread};
use super::volumes::one_volume;
use super::{Problem, warning};
use crate::{Warning, bounds};
use pleura_volume::Geometry;

/// Most kinds of slices in one series: each slice is compared with one of every kind.
const KINDS: usize = 1000;

/// One slice and what tells it from others.
#[derive(Debug, Clone)]
pub(crate) struct Slice {
    /// Index of its file, and of its frame in the file.
    pub(crate) file: usize,
    pub(crate) frame: usize,
    /// Columns and rows.
    pub(crate) size: [usize; 2],
    pub(crate) plane: Plane,
    /// Instance Number, of files of a single slice.
    pub(crate) number: Option<i64>,
    pub(crate) frame_of_reference: Option<String>,
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

pub(crate) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn normal(axes: &[[f64; 3]; 2]) -> [f64; 3] {
    let [x, y] = axes;
    [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]]
}

/// Makes the plan. `between` is the spacing to assume for a single slice.
pub(crate) fn build(slices: Vec<Slice>, between: Option<f64>) -> Result<Stack, Problem> {
    let mut warnings = Vec::new();
    let slices = majority(slices, &mut warnings)?;
    let Some(first) = slices.first() else {
        return Err(Problem::new("no-image", "It holds no slices."));
    };
    let along = normal(&first.plane.axes);
    let mut slices: Vec<(f64, Slice)> =
        slices.into_iter().map(|s| (dot(s.plane.position, along), s)).collect();
    slices.sort_by(|a, b| {
        let key = |s: &Slice| (s.number, s.file, s.frame);
        a.0.total_cmp(&b.0).then_with(|| key(&a.1).cmp(&key(&b.1)))
    });
    let slices = one_volume(slices, &mut warnings);
    let (positions, slices): (Vec<f64>, Vec<Slice>) = slices.into_iter().unzip();
    let Spread { count, spacing, blends } = spread(&positions, &slices, between, &mut warnings)?;
    let plane = &slices[0].plane;
    let [columns, rows] = slices[0].size;
    let mut geometry = Geometry {
        size: [columns, rows, count],
        origin_mm: plane.position,
        spacing_mm: [plane.spacing[0], plane.spacing[1], spacing],
        axes: [plane.axes[0], plane.axes[1], along],
    };
    let tilt = straighten(&slices, &positions, &mut geometry, &mut warnings)?;
    bounds::check(&geometry).map_err(|e| Problem::new("geometry-impossible", e))?;
    Ok(Stack { slices, geometry, blends, tilt, warnings })
}

/// How a slice differs from another; `None` when both fit one grid.
fn difference(a: &Slice, b: &Slice) -> Option<(&'static str, &'static str)> {
    let cosine = dot(normal(&a.plane.axes), normal(&b.plane.axes));
    let turn = dot(a.plane.axes[0], b.plane.axes[0]);
    let pixel = |i: usize| (a.plane.spacing[i] / b.plane.spacing[i] - 1.0).abs() < 1e-3;
    if a.size != b.size {
        Some(("mixed-size", "another number of rows or columns"))
    } else if cosine < 0.99996 || turn < 0.99996 {
        // The cosine of half a degree.
        Some(("mixed-orientation", "another orientation"))
    } else if !pixel(0) || !pixel(1) {
        Some(("mixed-pixel-spacing", "another pixel spacing"))
    } else if a.frame_of_reference != b.frame_of_reference {
        Some(("mixed-frame-of-reference", "another frame of reference"))
    } else {
        None
    }
}

/// The largest set of slices of one size, spacing, orientation and frame of reference.
fn majority(mut slices: Vec<Slice>, warnings: &mut Vec<Warning>) -> Result<Vec<Slice>, Problem> {
    let total = slices.len();
    let mut frames: Vec<_> = slices.iter().map(|s| s.frame_of_reference.clone()).collect();
    frames.sort_unstable();
    frames.dedup();
    if frames.len() * 2 > total {
        // A new frame for each slice says nothing; some anonymisers make them up.
        slices.iter_mut().for_each(|s| s.frame_of_reference = None);
    }
    let mut groups: Vec<Vec<Slice>> = Vec::new();
    for slice in slices {
        match groups.iter_mut().find(|g| difference(&g[0], &slice).is_none()) {
            Some(group) => group.push(slice),
            None => groups.push(vec![slice]),
        }
        if groups.len() > KINDS {
            let text =
                format!("Its slices are of more than {KINDS} kinds by size, orientation or pixel spacing.");
            return Err(Problem::new("not-stacked", text));
        }
    }
    // The first of the largest, so that ties do not hang on anything but the files' order.
    let largest = (0..groups.len()).rev().max_by_key(|&i| groups[i].len());
    let kept = largest.map(|i| groups.swap_remove(i)).unwrap_or_default();
    let mut others: Vec<((&str, &str), usize)> = Vec::new();
    for group in &groups {
        let Some(why) = difference(&kept[0], &group[0]) else { continue };
        match others.iter_mut().find(|o| o.0 == why) {
            Some(other) => other.1 += group.len(),
            None => others.push((why, group.len())),
        }
    }
    for ((code, what), count) in others {
        let message = format!("{count} of {total} slices have {what} than the rest and were left out.");
        warnings.push(warning(code, message, vec![]));
    }
    Ok(kept)
}

/// Finds sideways steps of more than half a pixel and widens the grid for them.
fn straighten(
    slices: &[Slice],
    positions: &[f64],
    geometry: &mut Geometry,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Tilt>, Problem> {
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
            let text = "Its slices do not lie above each other, so they make no volume.";
            return Err(Problem::new("not-stacked", text));
        }
        before[a] = (-low).ceil() as usize;
        geometry.size[a] += before[a] + high.ceil() as usize;
    }
    geometry.origin_mm = geometry.to_lps([-(before[0] as f64), -(before[1] as f64), 0.0]);
    warnings.push(if is_straight(&steps, positions) {
        let message = "The slices step sideways (gantry tilt); each was shifted to lie straight above the \
                       next, and the picture widened.";
        warning("gantry-tilt", message, vec![])
    } else {
        let message = "The slices lie sideways of each other by uneven steps; each was shifted to its place, \
                       and the picture widened.";
        warning("sideways-shift", message, vec![])
    });
    Ok(Some(Tilt { steps, before }))
}

/// Whether the steps grow evenly with the distance from the first slice, within half a pixel.
fn is_straight(steps: &[[f64; 2]], positions: &[f64]) -> bool {
    let (Some(last), Some(far)) = (steps.last(), positions.last()) else { return true };
    steps.iter().zip(positions).all(|(step, p)| {
        let along = (p - positions[0]) / (far - positions[0]);
        (0..2).all(|a| (step[a] - last[a] * along).abs() <= 0.5)
    })
}
