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

/// Where the commonest gas (air around the patient, or lung) and the commonest soft tissue (fat, muscle, blood)
/// of a CT are looked for, and where they lie in Hounsfield units (ours).
const GAS: Tissue = Tissue { seen: [-1500, -400], right: [-1060, -640], name: "gas" };
const SOFT: Tissue = Tissue { seen: [-300, 700], right: [-180, 160], name: "soft tissue" };
/// Where the histogram begins and the width of its steps, HU; every `EVERY`th voxel is counted, and fewer than
/// `LEAST` say nothing.
const FIRST_HU: i16 = -1500;
const STEP_HU: i16 = 20;
const STEPS: usize = 110;
const EVERY: usize = 8;
const LEAST: usize = 4096;

struct Tissue {
    seen: [i16; 2],
    right: [i16; 2],
    name: &'static str,
}

/// How often each step of values occurs.
fn histogram(values: &[i16]) -> Vec<usize> {
    let count = |part: &[i16]| {
        let mut counts = vec![0usize; STEPS];
        for &v in part.iter().step_by(EVERY).filter(|&&v| v >= FIRST_HU) {
            if let Some(n) = counts.get_mut(step(v)) {
                *n += 1;
            }
        }
        counts
    };
    let add = |a: Vec<usize>, b: Vec<usize>| a.iter().zip(b).map(|(a, b)| a + b).collect();
    values.par_chunks(1 << 16).map(count).reduce(|| vec![0; STEPS], add)
}

fn step(hu: i16) -> usize {
    usize::from(hu.abs_diff(FIRST_HU) / STEP_HU.unsigned_abs())
}

impl Tissue {
    /// Says where the commonest value lies when that is not right, and a fiftieth of `all` counted is there.
    fn misplaced(&self, counts: &[usize], all: usize) -> Option<String> {
        let seen = &counts[step(self.seen[0])..step(self.seen[1])];
        let (at, _) = seen.iter().enumerate().max_by_key(|&(i, n)| (n, std::cmp::Reverse(i)))?;
        let hu = self.seen[0] + STEP_HU * i16::try_from(at).ok()? + STEP_HU / 2;
        let [least, most] = self.right;
        (seen.iter().sum::<usize>() > all / 50 && !(least..=most).contains(&hu))
            .then(|| format!("the commonest value of {} is about {hu}, outside {least} to {most}", self.name))
    }
}

/// Why gas or soft tissue seem to lie elsewhere than they belong.
fn misplaced(values: &[i16]) -> Option<String> {
    if values.len() < LEAST {
        return None;
    }
    let (counts, all) = (histogram(values), values.len() / EVERY);
    [GAS, SOFT].iter().find_map(|tissue| tissue.misplaced(&counts, all))
}

/// A warning when the values do not look like a CT's Hounsfield units (ours): nothing as thin
/// as air, more than one voxel in a hundred brighter than any tissue, or gas and soft tissue
/// elsewhere than they belong.
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
        misplaced(values)?
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
    fn shifted_and_scaled_values_are_doubted() {
        // A third each of air, lung and muscle, with some noise.
        let chest = |scale: f64, shift: f64| -> Vec<i16> {
            let tissue = [-1000.0, -860.0, 50.0];
            let value = |i: usize| tissue[i % 3] + (i * 7919 % 61) as f64 - 30.0;
            (0..9000).map(|i| (value(i) * scale + shift) as i16).collect()
        };
        assert_eq!(doubt(&chest(1.0, 0.0)), None);
        assert_eq!(doubt(&chest(1.0, 60.0)), None, "within what contrast medium and scanners do");
        for (scale, shift, of) in
            [(1.0, 300.0, "soft tissue"), (1.0, -200.0, "gas"), (0.5, 0.0, "gas"), (1.0, 500.0, "gas")]
        {
            let message = doubt(&chest(scale, shift)).map(|w| w.message).unwrap_or_default();
            assert!(message.contains(of), "{scale} {shift}: {message}");
        }
    }

    #[test]
    fn values_without_air_are_doubted() {
        assert!(doubt(&[-1000, 40, 300]).is_none());
        assert_eq!(doubt(&[0, 40, 1300]).map(|w| w.code), Some("not-hounsfield".into()));
        assert!(doubt(&[7; 10]).is_some());
        assert!(doubt(&[-1000, 9000, 9000]).is_some());
    }
}
