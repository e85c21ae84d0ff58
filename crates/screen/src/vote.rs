//! From patches to a region, from regions to a case: two small pure rules.

use pleura_nets::Calibration;

/// What one patch says: its most probable class and that class's probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PatchVote {
    /// Class index.
    pub class: usize,
    /// Probability of that class, 0 to 1.
    pub confidence: f64,
}

/// The class of a region and its confidence, from its caudal, centre and cranial patch.
///
/// Paper, section "Infection probability": where at least two patches agree on a type, that type
/// with the largest confidence among its patches; otherwise the patch with the largest confidence
/// decides. Ours: among equally confident patches that all differ, the centre one decides first,
/// then the caudal one.
pub fn vote(patches: &[PatchVote; 3]) -> (usize, f64) {
    let [caudal, centre, cranial] = *patches;
    let agreed = if centre.class == caudal.class || centre.class == cranial.class {
        Some(centre.class)
    } else if caudal.class == cranial.class {
        Some(caudal.class)
    } else {
        None
    };
    match agreed {
        Some(class) => {
            let of_class = patches.iter().filter(|p| p.class == class).map(|p| p.confidence);
            (class, of_class.fold(0.0, f64::max))
        }
        None => {
            let best = [caudal, cranial]
                .into_iter()
                .fold(centre, |best, p| if p.confidence > best.confidence { p } else { best });
            (best.class, best.confidence)
        }
    }
}

/// Probability that at least one of independent events happens: `1 - prod(1 - p)`; 0 for none.
///
/// The paper's step from the regions of a type to the case.
pub fn noisy_or(probabilities: &[f64]) -> f64 {
    1.0 - probabilities.iter().map(|p| 1.0 - p.clamp(0.0, 1.0)).product::<f64>()
}

/// Leaky, calibrated noisy-or: `1 - (1 - leak) prod(1 - p^power)`; `leak` for none. Ours.
///
/// A power above 1 holds back the plain rule's saturation (ten regions at 0.3 give 0.97).
pub fn noisy_or_calibrated(probabilities: &[f64], calibration: &Calibration) -> f64 {
    let power = f64::from(calibration.region_power);
    let absent = 1.0 - f64::from(calibration.leak).clamp(0.0, 1.0);
    let held: f64 = probabilities.iter().map(|p| 1.0 - p.clamp(0.0, 1.0).powf(power)).product();
    1.0 - absent * held
}

/// How the types of infection share the probability of infection: their logarithmic pool over regions
/// (Genest and Zidek 1986), each region weighed by its own probability of infection. The shares add up to
/// 1 and are equal where nothing is known. Ours.
///
/// `regions` hold the probability of each type, the same number in each; what they leave to 1 is no
/// infection. The regions of one scan look alike, so their sum is divided by their number, or by 1
/// where that is less, to the power of `type_crowding`; a region counts as much as it is infected.
pub fn type_shares(regions: &[Vec<f64>], types: usize, calibration: &Calibration) -> Vec<f64> {
    let mut evidence = vec![0.0; types];
    let mut count = 0.0;
    for region in regions {
        let infected: f64 = region.iter().sum();
        count += infected;
        for (e, p) in evidence.iter_mut().zip(region) {
            *e += infected * (p / infected.max(LEAST)).max(LEAST).ln();
        }
    }
    let crowded = count.max(1.0).powf(calibration.type_crowding.into());
    let weight = f64::from(calibration.type_weight) / crowded;
    normalised(evidence.into_iter().map(|e| weight * e))
}

/// Least probability of a type in a region that tells for it or against it.
const LEAST: f64 = 1e-6;

/// Probabilities of logits divided by `temperature`, in the order given. 1 leaves them as they are.
pub fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    normalised(logits.iter().map(|&l| f64::from(l) / temperature))
}

/// Exponentials that add up to 1.
fn normalised(logarithms: impl Iterator<Item = f64>) -> Vec<f64> {
    let all: Vec<f64> = logarithms.collect();
    let top = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = all.iter().map(|l| (l - top).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / sum).collect()
}

/// The most probable class; the first of equals.
pub fn most_probable(probabilities: &[f64]) -> PatchVote {
    let first = PatchVote { class: 0, confidence: probabilities.first().copied().unwrap_or(0.0) };
    probabilities.iter().enumerate().fold(first, |best, (class, &confidence)| {
        if confidence > best.confidence { PatchVote { class, confidence } } else { best }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn votes(v: [(usize, f64); 3]) -> [PatchVote; 3] {
        v.map(|(class, confidence)| PatchVote { class, confidence })
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    fn calibration(leak: f32, region_power: f32) -> Calibration {
        Calibration {
            temperature: 1.0,
            region_power,
            leak,
            type_weight: 1.0,
            type_crowding: 0.0,
            infected_from: 0.7,
            clear_below: 0.4,
            scans: pleura_nets::ScanRange {
                most_slice_mm: 5.0,
                most_noise_hu: 40.0,
                lung_hu: [-900.0, -500.0],
            },
        }
    }

    #[test]
    fn two_that_agree_outvote_a_surer_third() {
        assert_eq!(vote(&votes([(0, 0.5), (0, 0.6), (2, 0.99)])), (0, 0.6));
        assert_eq!(vote(&votes([(1, 0.7), (2, 0.99), (1, 0.4)])), (1, 0.7));
        assert_eq!(vote(&votes([(2, 0.99), (1, 0.5), (1, 0.55)])), (1, 0.55));
    }

    #[test]
    fn three_that_agree_give_the_largest_confidence() {
        assert_eq!(vote(&votes([(2, 0.4), (2, 0.8), (2, 0.6)])), (2, 0.8));
    }

    #[test]
    fn when_all_three_differ_the_surest_decides() {
        assert_eq!(vote(&votes([(0, 0.4), (1, 0.5), (2, 0.6)])), (2, 0.6));
        assert_eq!(vote(&votes([(0, 0.7), (1, 0.5), (2, 0.6)])), (0, 0.7));
    }

    #[test]
    fn equals_that_all_differ_go_to_the_centre_then_the_caudal_patch() {
        assert_eq!(vote(&votes([(0, 0.5), (1, 0.5), (2, 0.5)])), (1, 0.5));
        assert_eq!(vote(&votes([(0, 0.5), (1, 0.4), (2, 0.5)])), (0, 0.5));
    }

    #[test]
    fn noisy_or_of_none_one_two_and_many() {
        assert_eq!(noisy_or(&[]), 0.0);
        close(noisy_or(&[0.8]), 0.8);
        // 1 - 0.5 * 0.5
        close(noisy_or(&[0.5, 0.5]), 0.75);
        // 1 - 0.7^10 = 1 - 0.0282475249
        close(noisy_or(&[0.3; 10]), 0.9717524751);
        close(noisy_or(&[0.2, 1.0]), 1.0);
    }

    #[test]
    fn the_leaky_form_worked_by_hand() {
        // None: the leak, here 1/32. One at 0.5 squared: 1 - 31/32 * 3/4 = 35/128.
        close(noisy_or_calibrated(&[], &calibration(0.03125, 2.0)), 0.03125);
        close(noisy_or_calibrated(&[0.5], &calibration(0.03125, 2.0)), 0.2734375);
        // 1 - 31/32 * 9/16 = 233/512
        close(noisy_or_calibrated(&[0.5, 0.5], &calibration(0.03125, 2.0)), 0.455078125);
    }

    #[test]
    fn types_share_by_the_product_of_their_odds() {
        let independent = calibration(0.0, 1.0);
        assert_eq!(type_shares(&[], 2, &independent), [0.5, 0.5]);
        // Sure of infection, 3 : 1 and 2 : 1: together 6 : 1.
        let two = [vec![0.75, 0.25], vec![2.0 / 3.0, 1.0 / 3.0]];
        close(type_shares(&two, 2, &independent)[0], 6.0 / 7.0);
        // Their mean: the geometric one, sqrt 6 : 1.
        let mean = Calibration { type_crowding: 1.0, ..independent.clone() };
        close(type_shares(&two, 2, &mean)[0], 6f64.sqrt() / (1.0 + 6f64.sqrt()));
        // Half sure of infection, 3 : 1 within it: half the evidence, sqrt 3 : 1.
        close(type_shares(&[vec![0.375, 0.125]], 2, &independent)[0], 3f64.sqrt() / (1.0 + 3f64.sqrt()));
        // Hardly infected: hardly evidence, however it is pooled.
        assert!(type_shares(&[vec![0.01, 0.001]], 2, &mean)[0] < 0.51);
        // Of no weight, or irrelevant for sure: nothing known.
        let deaf = Calibration { type_weight: 0.0, ..independent.clone() };
        assert_eq!(type_shares(&two, 2, &deaf), [0.5, 0.5]);
        close(type_shares(&[vec![0.0, 0.0]], 2, &independent)[0], 0.5);
        // A type that no region allows is not ruled out for good.
        let never = type_shares(&[vec![1.0, 0.0]], 2, &independent)[1];
        assert!(never > 0.0 && never < 1e-5, "{never}");
    }

    #[test]
    fn softmax_worked_by_hand() {
        let p = softmax(&[0.0, 2f32.ln(), 4f32.ln()], 1.0);
        for (p, want) in p.iter().zip([1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0]) {
            assert!((p - want).abs() < 1e-7);
        }
        // Temperature 2 takes the square root of the odds: 1 : sqrt 2 : 2.
        let p = softmax(&[0.0, 2f32.ln(), 4f32.ln()], 2.0);
        assert!((p[2] / p[0] - 2.0).abs() < 1e-6);
        assert_eq!(softmax(&[1000.0, -1000.0], 1.0), vec![1.0, 0.0]);
        assert_eq!(most_probable(&[0.4, 0.4, 0.2]), PatchVote { class: 0, confidence: 0.4 });
    }

    proptest! {
        #[test]
        fn the_vote_is_one_of_the_patches(c in prop::array::uniform3((0usize..3, 0.34f64..1.0))) {
            let (class, confidence) = vote(&votes(c));
            prop_assert!(c.contains(&(class, confidence)));
        }

        #[test]
        fn a_region_more_never_lowers_the_case(p in prop::collection::vec(0.0f64..=1.0, 0..9), q in 0.0f64..=1.0) {
            let more: Vec<f64> = p.iter().copied().chain([q]).collect();
            prop_assert!(noisy_or(&more) >= noisy_or(&p) - 1e-12);
            prop_assert!(noisy_or(&more) >= q - 1e-12);
            let plain = calibration(0.0, 1.0);
            prop_assert!((noisy_or_calibrated(&p, &plain) - noisy_or(&p)).abs() < 1e-12);
        }
    }
}
