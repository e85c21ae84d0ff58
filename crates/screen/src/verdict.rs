//! From voted regions to findings and the verdict, with the sentences behind it.

use crate::{Finding, Profile, Region, ScanFacts, Verdict, noisy_or, noisy_or_calibrated, type_shares};
use pleura_nets::Calibration;

/// Two probabilities closer than this are a tie: a reader of five significant digits sees one number.
pub const TIE: f64 = 5e-6;

/// Of a type with less than this share of the probability of infection it is said that it is uncertain.
const LEAST_SHARE: f64 = 0.75;

/// Name of the class that is no infection.
pub const IRRELEVANT: &str = "irrelevant";

/// One finding per infection type (every class but [`IRRELEVANT`]), in class order. `regions` are indices
/// into the slice given: those voted that type.
///
/// Paper: the noisy-or over those regions. Calibrated (ours): the types share the probability of infection
/// of any type, which is the leaky noisy-or over all regions; so the findings leave to 1 the probability of
/// no infection.
pub fn findings(
    regions: &[Region],
    classes: &[String],
    profile: Profile,
    calibration: &Calibration,
) -> Vec<Finding> {
    let types: Vec<usize> = (0..classes.len()).filter(|&c| classes[c] != IRRELEVANT).collect();
    let of_type =
        |class: usize| -> Vec<usize> { (0..regions.len()).filter(|&r| regions[r].class == class).collect() };
    let probabilities: Vec<f64> = match profile {
        Profile::Paper => {
            let confidences = |class: &usize| -> Vec<f64> {
                of_type(*class).into_iter().map(|r| regions[r].confidence).collect()
            };
            types.iter().map(|class| noisy_or(&confidences(class))).collect()
        }
        Profile::Calibrated => {
            let told: Vec<Vec<f64>> = regions.iter().map(|r| mean_of_patches(r, &types)).collect();
            let infected: Vec<f64> = told.iter().map(|p| p.iter().sum()).collect();
            let any = noisy_or_calibrated(&infected, calibration);
            type_shares(&told, types.len(), calibration).into_iter().map(|share| any * share).collect()
        }
    };
    let one = |(class, probability)| Finding { class, probability, regions: of_type(class) };
    types.iter().copied().zip(probabilities).map(one).collect()
}

/// Probability of each of `types` in a region: the mean of its patches.
fn mean_of_patches(region: &Region, types: &[usize]) -> Vec<f64> {
    let of = |&t: &usize| region.patches.iter().map(|p| p.probabilities[t]).sum::<f64>();
    types.iter().map(|t| of(t) / region.patches.len().max(1) as f64).collect()
}

/// Probability of no infection: what the largest finding leaves to 1 in the paper's profile, whose findings
/// stand each alone, and what all leave in the calibrated one, where they share.
pub fn no_infection(findings: impl IntoIterator<Item = f64>, profile: Profile) -> f64 {
    let told: f64 = match profile {
        Profile::Paper => findings.into_iter().fold(0.0, f64::max),
        Profile::Calibrated => findings.into_iter().sum(),
    };
    (1.0 - told).clamp(0.0, 1.0)
}

/// What the scan is called, and why.
///
/// Paper: no region of an infection type left means no infection found; otherwise the type with the
/// larger finding wins; of equals (see [`TIE`]) the one with more regions; of equals there too:
/// indeterminate (ours). Calibrated (ours): a probability of infection from `infected_from` on makes the
/// most probable type, unless another one equals it or no infection is more probable; below `clear_below` it
/// makes no infection found; else indeterminate, as is a scan far beyond those of the calibration
/// ([`ScanFacts::beyond`]).
pub fn verdict(
    findings: &[Finding],
    classes: &[String],
    profile: Profile,
    calibration: &Calibration,
    scan: &ScanFacts,
) -> (Verdict, Vec<String>) {
    let mut ranked: Vec<&Finding> = findings.iter().collect();
    // Stable sorts: equals stay in class order.
    ranked.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    let Some(&top) = ranked.first() else {
        return (
            Verdict::NoInfectionFound { probability: 1.0 },
            vec!["The model knows no infection type.".into()],
        );
    };
    let tied: Vec<&Finding> = ranked.into_iter().filter(|f| top.probability - f.probability < TIE).collect();
    let clear = no_infection(findings.iter().map(|f| f.probability), profile);
    match profile {
        Profile::Paper => by_paper(findings, &tied, classes, clear),
        Profile::Calibrated => match scan.beyond(&calibration.scans) {
            beyond if beyond.is_empty() => by_threshold(findings, &tied, classes, calibration, clear),
            mut beyond => {
                beyond.push("The probabilities cannot be relied on for such a scan.".into());
                (Verdict::Indeterminate, beyond)
            }
        },
    }
}

fn by_paper(
    findings: &[Finding],
    tied: &[&Finding],
    classes: &[String],
    clear: f64,
) -> (Verdict, Vec<String>) {
    if findings.iter().all(|f| f.regions.is_empty()) {
        let reason = "No candidate region was voted an infection type.".to_owned();
        return (Verdict::NoInfectionFound { probability: clear }, vec![reason]);
    }
    let most = tied.iter().map(|f| f.regions.len()).max().unwrap_or(0);
    let winners: Vec<&&Finding> = tied.iter().filter(|f| f.regions.len() == most).collect();
    match winners.as_slice() {
        [winner] => {
            let mut reasons = vec![support(winner, classes)];
            if tied.len() > 1 {
                reasons
                    .push("Several types are equally probable; the one with more regions is named.".into());
            }
            (Verdict::Infection { class: winner.class, probability: winner.probability }, reasons)
        }
        _ => (Verdict::Indeterminate, vec![tie(tied, classes)]),
    }
}

fn by_threshold(
    findings: &[Finding],
    tied: &[&Finding],
    classes: &[String],
    calibration: &Calibration,
    clear: f64,
) -> (Verdict, Vec<String>) {
    let infected = 1.0 - clear;
    let (from, below) = (f64::from(calibration.infected_from), f64::from(calibration.clear_below));
    let of_any = format!("The probability of an infection of any type is {}", percent(infected));
    if infected >= from {
        let [top] = tied else { return (Verdict::Indeterminate, vec![tie(tied, classes)]) };
        if top.probability < clear {
            let reason =
                format!("{of_any}, but no type is as probable as no infection ({}).", percent(clear));
            return (Verdict::Indeterminate, vec![reason]);
        }
        let mut reasons = vec![support(top, classes), format!("{of_any}.")];
        if findings.iter().all(|f| f.regions.is_empty()) {
            reasons.push("No region by itself was voted an infection: none is told as involved.".into());
        }
        if findings.len() > 1 && top.probability < LEAST_SHARE * infected {
            reasons.push("Which type it is, is uncertain.".into());
        }
        return (Verdict::Infection { class: top.class, probability: top.probability }, reasons);
    }
    if infected < below {
        let reason = format!("{of_any}; below {} the scan is called clear.", beside(below, infected));
        let voted: usize = findings.iter().map(|f| f.regions.len()).sum();
        let mut reasons = vec![reason];
        if voted > 0 {
            let were = if voted == 1 { "1 region was".to_owned() } else { format!("{voted} regions were") };
            reasons.push(format!(
                "{were} voted an infection type, too weak a sign of infection; what is told as involved lies there."
            ));
        }
        return (Verdict::NoInfectionFound { probability: clear }, reasons);
    }
    let reason = format!(
        "{of_any}: too much to call the scan clear (below {}), too little to name an infection (from {} on).",
        beside(below, infected),
        beside(from, infected)
    );
    (Verdict::Indeterminate, vec![reason])
}

/// A threshold beside a probability on either side of it: with more digits where both would look alike.
fn beside(threshold: f64, probability: f64) -> String {
    let told = format!("{:.1} %", 100.0 * threshold);
    if told == percent(probability) { format!("{:.4} %", 100.0 * threshold) } else { told }
}

/// A probability as a reader wants it: never a flat 0 or 100 % that is not one.
pub fn percent(p: f64) -> String {
    match p {
        p if p > 0.999 && p < 1.0 => "over 99.9 %".into(),
        p if p > 0.0 && p < 0.001 => "under 0.1 %".into(),
        p => format!("{:.1} %", 100.0 * p),
    }
}

fn support(finding: &Finding, classes: &[String]) -> String {
    let name = class_name(classes, finding.class);
    match finding.regions.len() {
        0 => format!("No region was voted {name}; all regions together make it the most probable type."),
        1 => format!("1 region was voted {name}."),
        n => format!("{n} regions were voted {name}."),
    }
}

fn tie(tied: &[&Finding], classes: &[String]) -> String {
    let names: Vec<&str> = tied.iter().map(|f| class_name(classes, f.class)).collect();
    format!("{} are equally probable.", names.join(" and "))
}

fn class_name(classes: &[String], class: usize) -> &str {
    classes.get(class).map_or("unknown", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Patch;
    use pleura_nets::ScanRange;
    use pleura_volume::{Box3, VoxelBox};

    /// The findings add up to the noisy-or of infection, and only the largest share counts.
    const CALIBRATION: Calibration = Calibration {
        temperature: 1.0,
        region_power: 1.0,
        leak: 0.0,
        type_weight: 1.0,
        type_crowding: 0.0,
        infected_from: 0.75,
        clear_below: 0.5,
        scans: ScanRange { most_slice_mm: 5.0, most_noise_hu: 40.0, lung_hu: [-900.0, -500.0] },
    };
    const LIKE: ScanFacts = ScanFacts { slice_mm: 1.0, noise_hu: Some(20.0), lung_hu: -800.0 };

    fn classes() -> Vec<String> {
        ["covid-19", "influenza-a", "irrelevant"].map(String::from).to_vec()
    }

    fn region(class: usize, confidence: f64) -> Region {
        Region {
            box_mm: Box3::cube([0.0; 3], 10.0),
            box_voxels: VoxelBox { min: [0; 3], max: [10; 3] },
            slice_index: 5,
            right: true,
            proposal_score: 0.5,
            volume_ml: 0.0,
            mean_hu: -700.0,
            patches: (0..3).map(|_| patch(class, confidence)).collect(),
            class,
            confidence,
        }
    }

    /// What `confidence` leaves goes to the irrelevant class; of an irrelevant one to both types alike.
    fn patch(class: usize, confidence: f64) -> Patch {
        let rest = 1.0 - confidence;
        let mut probabilities = if class == 2 { vec![rest / 2.0; 3] } else { vec![0.0, 0.0, rest] };
        probabilities[class] = confidence;
        Patch { slice_index: 5, distance_from_edge: 0.1, class, confidence, probabilities }
    }

    /// Calibrated verdict over regions whose patches all say the same of both types.
    fn shared(told: &[[f64; 2]]) -> (Vec<f64>, Verdict, Vec<String>) {
        let one = |[covid, influenza]: &[f64; 2]| {
            let class = if covid >= influenza { 0 } else { 1 };
            let mut region = region(class, covid.max(*influenza));
            let all = vec![*covid, *influenza, 1.0 - covid - influenza];
            region.patches.iter_mut().for_each(|p| p.probabilities = all.clone());
            region
        };
        let regions: Vec<Region> = told.iter().map(one).collect();
        let found = findings(&regions, &classes(), Profile::Calibrated, &CALIBRATION);
        let (verdict, reasons) = verdict(&found, &classes(), Profile::Calibrated, &CALIBRATION, &LIKE);
        (found.iter().map(|f| f.probability).collect(), verdict, reasons)
    }

    fn say(profile: Profile, regions: &[(usize, f64)]) -> (Verdict, Vec<String>) {
        let regions: Vec<Region> = regions.iter().map(|&(c, p)| region(c, p)).collect();
        let findings = findings(&regions, &classes(), profile, &CALIBRATION);
        verdict(&findings, &classes(), profile, &CALIBRATION, &LIKE)
    }

    #[test]
    fn findings_hold_one_entry_per_infection_type_and_skip_the_irrelevant() {
        let regions = [region(2, 0.9), region(0, 0.5), region(1, 0.25), region(0, 0.5)];
        let f = findings(&regions, &classes(), Profile::Paper, &CALIBRATION);
        assert_eq!(f.len(), 2);
        assert_eq!((f[0].class, f[0].probability, f[0].regions.as_slice()), (0, 0.75, &[1usize, 3][..]));
        assert_eq!((f[1].class, f[1].probability, f[1].regions.as_slice()), (1, 0.25, &[2usize][..]));
    }

    #[test]
    fn no_region_and_only_irrelevant_ones_are_no_infection_in_both_profiles() {
        for regions in [&[][..], &[(2, 0.9)], &[(2, 0.9), (2, 0.8)]] {
            let none = Verdict::NoInfectionFound { probability: 1.0 };
            assert_eq!(say(Profile::Paper, regions).0, none);
            let told = say(Profile::Calibrated, regions).0;
            assert!(
                matches!(told, Verdict::NoInfectionFound { probability } if probability > 0.7),
                "{told:?}"
            );
        }
    }

    #[test]
    fn one_weak_region_names_its_type_in_the_paper_only() {
        let weak = [(1, 0.4)];
        assert_eq!(say(Profile::Paper, &weak).0, Verdict::Infection { class: 1, probability: 0.4 });
        let Verdict::NoInfectionFound { probability } = shared(&[[0.1, 0.3]]).1 else { panic!() };
        assert!((probability - 0.6).abs() < 1e-12);
    }

    #[test]
    fn types_share_the_probability_of_infection() {
        // Infected for sure by 1 - 0.2 * 0.5 = 0.9. Of the types: 7 : 1 weighed by 0.8, 2 : 3 by 0.5.
        let (found, verdict, reasons) = shared(&[[0.7, 0.1], [0.2, 0.3]]);
        let odds = 7f64.powf(0.8) * (2.0 / 3.0f64).powf(0.5);
        assert!((found[0] - 0.9 * odds / (1.0 + odds)).abs() < 1e-12);
        assert!((found.iter().sum::<f64>() - 0.9).abs() < 1e-12);
        assert_eq!(verdict, Verdict::Infection { class: 0, probability: found[0] });
        let said = ["1 region was voted covid-19.", "The probability of an infection of any type is 90.0 %."];
        assert_eq!(reasons, said);
    }

    #[test]
    fn many_regions_are_no_certainty() {
        let (_, _, reasons) = shared(&[[0.9, 0.05]; 6]);
        assert_eq!(reasons[1], "The probability of an infection of any type is over 99.9 %.");
    }

    #[test]
    fn infection_of_an_uncertain_type_says_so() {
        let (found, verdict, reasons) = shared(&[[0.45, 0.4]]);
        assert!(found[0] < 0.5 && verdict == Verdict::Infection { class: 0, probability: found[0] });
        assert!(reasons.len() == 3 && reasons[2].contains("uncertain"), "{reasons:?}");
    }

    #[test]
    fn a_type_is_named_only_where_it_is_more_probable_than_no_infection() {
        let calibration = Calibration { infected_from: 0.5, clear_below: 0.2, ..CALIBRATION };
        let say = |covid: f64, influenza: f64| {
            let found = [(0, covid), (1, influenza)].map(|(class, probability)| Finding {
                class,
                probability,
                regions: vec![],
            });
            verdict(&found, &classes(), Profile::Calibrated, &calibration, &LIKE)
        };
        let (v, reasons) = say(0.27, 0.24);
        assert_eq!(v, Verdict::Indeterminate);
        let said = "The probability of an infection of any type is 51.0 %, but no type is as probable as no infection \
                    (49.0 %).";
        assert_eq!(reasons, [said]);
        // Of an infection that no region tells by itself.
        let (v, reasons) = say(0.46, 0.09);
        assert_eq!(v, Verdict::Infection { class: 0, probability: 0.46 });
        assert!(reasons[0].starts_with("No region was voted covid-19"), "{reasons:?}");
        assert!(reasons[2].contains("none is told as involved"), "{reasons:?}");
    }

    #[test]
    fn between_the_thresholds_the_calibrated_profile_is_indeterminate() {
        for p in [0.25, 0.3, 0.37] {
            let (_, verdict, reasons) = shared(&[[p, p]]);
            assert_eq!(verdict, Verdict::Indeterminate, "{p}");
            assert!(reasons[0].contains("too much to call the scan clear"), "{reasons:?}");
        }
        assert!(matches!(shared(&[[0.4, 0.35]]).1, Verdict::Infection { class: 0, .. }));
        assert!(matches!(shared(&[[0.25, 0.2]]).1, Verdict::NoInfectionFound { .. }));
    }

    #[test]
    fn a_probability_that_looks_like_a_threshold_is_told_apart_from_it() {
        let told = |p: f64| {
            let found = [(0, p), (1, 0.0)].map(|(class, probability)| Finding {
                class,
                probability,
                regions: vec![],
            });
            verdict(&found, &classes(), Profile::Calibrated, &CALIBRATION, &LIKE).1.join(" ")
        };
        assert!(told(0.7499).contains("is 75.0 %: too much to call the scan clear (below 50.0 %)"));
        assert!(told(0.7499).contains("(from 75.0000 % on)"), "{}", told(0.7499));
        assert!(told(0.4998).contains("is 50.0 %; below 50.0000 % the scan is called clear"));
        assert!(told(0.2).contains("is 20.0 %; below 50.0 % the scan is called clear"));
    }

    #[test]
    fn a_scan_unlike_those_of_the_calibration_is_indeterminate_in_the_calibrated_profile_only() {
        let found = findings(&[region(0, 0.9)], &classes(), Profile::Calibrated, &CALIBRATION);
        let noisy = ScanFacts { noise_hu: Some(90.0), ..LIKE };
        let say = |profile, scan| verdict(&found, &classes(), profile, &CALIBRATION, scan);
        assert!(matches!(say(Profile::Calibrated, &LIKE).0, Verdict::Infection { class: 0, .. }));
        let (v, reasons) = say(Profile::Calibrated, &noisy);
        assert_eq!(v, Verdict::Indeterminate);
        assert!(reasons.len() == 2 && reasons[0].contains("90 HU"), "{reasons:?}");
        assert!(matches!(say(Profile::Paper, &noisy).0, Verdict::Infection { class: 0, .. }));
    }

    #[test]
    fn many_regions_add_up_and_the_dominating_type_wins() {
        // covid-19: 1 - 0.5^3 = 0.875; influenza-a: 0.8.
        let regions = [(0, 0.5), (1, 0.8), (0, 0.5), (2, 0.99), (0, 0.5)];
        let (v, reasons) = say(Profile::Paper, &regions);
        assert_eq!(v, Verdict::Infection { class: 0, probability: 0.875 });
        assert_eq!(reasons, ["3 regions were voted covid-19."]);
    }

    #[test]
    fn a_tie_is_indeterminate_when_calibrated_and_goes_to_more_regions_in_the_paper() {
        // 1 - 0.25 = 0.75 by one region, 1 - 0.5 * 0.5 = 0.75 by two.
        let tie = [(0, 0.75), (1, 0.5), (1, 0.5)];
        assert_eq!(say(Profile::Paper, &tie).0, Verdict::Infection { class: 1, probability: 0.75 });
        let (_, v, reasons) = shared(&[[0.6, 0.3], [0.3, 0.6]]);
        assert_eq!(v, Verdict::Indeterminate);
        assert_eq!(reasons, ["covid-19 and influenza-a are equally probable."]);
    }

    #[test]
    fn a_tie_with_as_many_regions_is_indeterminate_in_the_paper_too() {
        assert_eq!(say(Profile::Paper, &[(0, 0.8), (1, 0.8)]).0, Verdict::Indeterminate);
    }

    #[test]
    fn saturated_findings_of_the_paper_count_as_a_tie() {
        // 1 - 0.01^4 = 0.99999999 and 1 - 0.01^5: the report shows 1 for both.
        let regions = [[(0, 0.99); 4].to_vec(), [(1, 0.99); 5].to_vec()].concat();
        let (v, _) = say(Profile::Paper, &regions);
        assert!(matches!(v, Verdict::Infection { class: 1, .. }));
    }

    #[test]
    fn probabilities_are_never_rounded_to_certainty() {
        assert_eq!(percent(1.0), "100.0 %");
        assert_eq!(percent(0.99995), "over 99.9 %");
        assert_eq!(percent(0.973), "97.3 %");
        assert_eq!(percent(0.0004), "under 0.1 %");
        assert_eq!(percent(0.0), "0.0 %");
    }
}
