//! One volume out of a series that holds several of the same range.
//!
//! Scanners and archives put reconstructions of two kernels, time points, repeated acquisitions
//! and stacks under one Series Instance UID. Slices that lie evenly, one at a place, are one
//! volume whatever they are called. Otherwise they are told apart by, in this order: Image Type,
//! kernel, thickness, acquisition, time point, stack; the fullest volume is kept whole, of equals
//! the original before the derived, the smooth kernel before the sharp, then the first.

use super::choose::is_sharp;
use super::spread::SAME_MM;
use super::stack::Slice;
use super::warning;
use crate::Warning;
use std::collections::BTreeMap;

/// What slices are told apart by; the lower is preferred.
type Key = (bool, String);

/// A way to tell slices apart, and its name.
type Teller = (&'static str, fn(&Slice) -> Key);

type Placed = (f64, Slice);

const KEYS: [Teller; 6] = [
    ("Image Type", |s| {
        let types = &s.plane.kind.image_type;
        (types.iter().any(|t| t == "DERIVED"), types.join("\\"))
    }),
    ("kernel", |s| {
        let kernel = s.plane.kind.kernel.clone().unwrap_or_default();
        (is_sharp(&kernel), kernel)
    }),
    ("thickness", |s| (false, s.plane.thickness.map(|t| format!("{t:06.1}")).unwrap_or_default())),
    ("acquisition", |s| (false, number(s.plane.kind.acquisition))),
    ("time point", |s| (false, number(s.plane.kind.temporal))),
    ("stack", |s| (false, s.plane.kind.stack.clone().unwrap_or_default())),
];

fn number(n: Option<i64>) -> String {
    n.map(|n| format!("{n:09}")).unwrap_or_default()
}

/// Slices of one volume, one at each position. `slices` are sorted by position.
pub(crate) fn one_volume(mut slices: Vec<Placed>, warnings: &mut Vec<Warning>) -> Vec<Placed> {
    for (name, key) in KEYS {
        if is_even(&slices) {
            break;
        }
        if let Some((code, groups, best)) = fullest(&slices, key) {
            let message = format!(
                "The series holds {groups} volumes, told apart by their {name}; one of {} slices was kept.",
                best.len()
            );
            warnings.push(warning(code, message, vec![]));
            slices = best;
        }
    }
    distinct(slices, warnings)
}

/// Distances between neighbours.
fn gaps(slices: &[Placed]) -> Vec<f64> {
    slices.windows(2).map(|w| w[1].0 - w[0].0).collect()
}

/// Number of positions.
fn places(slices: &[Placed]) -> usize {
    1 + gaps(slices).iter().filter(|g| **g >= SAME_MM).count()
}

/// Whether there is one slice at each place, and no place is far from the next.
fn is_even(slices: &[Placed]) -> bool {
    let gaps = gaps(slices);
    let (low, high) = gaps.iter().fold((f64::MAX, 0.0_f64), |(lo, hi), &g| (lo.min(g), hi.max(g)));
    gaps.is_empty() || low >= SAME_MM && high <= 1.5 * low
}

/// Whether all but a few gaps are alike: the slices are those of one volume.
fn is_mostly_even(slices: &[Placed]) -> bool {
    let gaps = gaps(slices);
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    let Some(median) = sorted.get(sorted.len() / 2).filter(|m| **m >= SAME_MM) else { return false };
    let alike = gaps.iter().filter(|g| (*g / median - 1.0).abs() < 0.25).count();
    alike * 10 >= gaps.len() * 9
}

/// The fullest of the groups that a key tells apart, the code that says why, and how many there
/// are: when it stands for all and another lies over it, or when they are stacks far apart.
fn fullest(slices: &[Placed], key: fn(&Slice) -> Key) -> Option<(&'static str, usize, Vec<Placed>)> {
    let mut groups: BTreeMap<Key, Vec<Placed>> = BTreeMap::new();
    for slice in slices {
        groups.entry(key(&slice.1)).or_default().push(slice.clone());
    }
    let mut groups: Vec<Vec<Placed>> = groups.into_values().filter(|g| g.len() > 2).collect();
    let best = (0..groups.len()).rev().max_by_key(|&i| places(&groups[i]))?;
    let best = groups.remove(best);
    let range = |g: &[Placed]| (g[0].0, g[g.len() - 1].0);
    let ((low, high), whole) = (range(&best), range(slices));
    let over = groups.iter().any(|g| {
        let (start, end) = range(g);
        end.min(high) - start.max(low) > 0.5 * (end - start)
    });
    let stands_for_all = high - low >= 0.9 * (whole.1 - whole.0);
    let apart = groups.iter().any(|g| is_even(g)) && is_even(&best) && !are_parts(slices);
    match over {
        true if stands_for_all && !is_mostly_even(slices) => {
            Some(("duplicate-slice", groups.len() + 1, best))
        }
        false if apart => Some(("several-volumes", groups.len() + 1, best)),
        _ => None,
    }
}

/// Whether groups that do not lie over each other make one stack all the same: no gap between
/// them is wider than slices are apart elsewhere.
fn are_parts(slices: &[Placed]) -> bool {
    let mut gaps = gaps(slices);
    gaps.sort_by(f64::total_cmp);
    gaps.last().is_none_or(|&widest| widest <= 2.5 * gaps[gaps.len() / 2] || widest <= 20.0)
}

/// One slice for each position, the first by instance number.
fn distinct(slices: Vec<Placed>, warnings: &mut Vec<Warning>) -> Vec<Placed> {
    let total = slices.len();
    let mut kept: Vec<Placed> = Vec::with_capacity(total);
    let mut doubled = Vec::new();
    for slice in slices {
        match kept.last() {
            Some(last) if slice.0 - last.0 < SAME_MM => doubled.push(kept.len() - 1),
            _ => kept.push(slice),
        }
    }
    doubled.dedup();
    if kept.len() < total {
        let message = format!("{} slices lie where another one lies and were left out.", total - kept.len());
        warnings.push(warning("duplicate-slice", message, doubled));
    }
    kept
}
