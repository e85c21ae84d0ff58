//! From stored numbers to HU, the same for every format.

use crate::Warning;
use rayon::prelude::*;

/// HU of air: what stands in where the file has no measurement.
pub(crate) const AIR_HU: i16 = -1024;

/// Rounds half to even and saturates; not-a-number becomes air.
pub(crate) fn to_hu(value: f64) -> i16 {
    if value.is_nan() { AIR_HU } else { value.round_ties_even() as i16 }
}

/// Below this, air or lung must be in the picture.
const AIR_SEEN_HU: i16 = -500;
/// Above this, even dense bone or metal is rare enough to ask questions.
const BRIGHTEST_HU: i16 = 5000;

/// A warning when the values do not look like a CT's Hounsfield units (ours): nothing as thin
/// as air, or more than one voxel in a hundred brighter than any tissue.
pub(crate) fn doubt(values: &[i16]) -> Option<Warning> {
    let (min, max, bright) = values
        .par_chunks(1 << 16)
        .map(|part| {
            part.iter().fold((i16::MAX, i16::MIN, 0_usize), |(lo, hi, n), &v| {
                (lo.min(v), hi.max(v), n + usize::from(v > BRIGHTEST_HU))
            })
        })
        .reduce(|| (i16::MAX, i16::MIN, 0), |a, b| (a.0.min(b.0), a.1.max(b.1), a.2 + b.2));
    let why = if min == max {
        "every voxel has the same value".to_owned()
    } else if min > AIR_SEEN_HU {
        format!("the lowest value is {min}, and air would be about -1000")
    } else if bright > values.len() / 100 {
        format!("more than one voxel in a hundred is above {BRIGHTEST_HU}")
    } else {
        return None;
    };
    let message = format!("The values do not look like Hounsfield units: {why}.");
    Some(Warning { code: "not-hounsfield".into(), message, slices: vec![] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_to_even_and_ends_saturate() {
        let cases = [(0.5, 0), (1.5, 2), (-0.5, 0), (-1.5, -2), (2.500001, 3), (4e4, 32767), (-4e4, -32768)];
        for (value, hu) in cases {
            assert_eq!(to_hu(value), hu, "{value}");
        }
        assert_eq!(to_hu(f64::NAN), AIR_HU);
        assert_eq!(to_hu(f64::INFINITY), 32767);
    }

    #[test]
    fn values_without_air_are_doubted() {
        assert!(doubt(&[-1000, 40, 300]).is_none());
        assert_eq!(doubt(&[0, 40, 1300]).map(|w| w.code), Some("not-hounsfield".into()));
        assert!(doubt(&[7; 10]).is_some());
        assert!(doubt(&[-1000, 9000, 9000]).is_some());
    }
}
