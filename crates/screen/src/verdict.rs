//! From voted regions to findings and the verdict, with the sentences behind it.

use crate::{Finding, Profile, Region, Verdict, noisy_or, noisy_or_calibrated};
use pleura_nets::Calibration;

/// Two probabilities closer than this are a tie: a reader of five significant digits sees one number.
pub const TIE: f64 = 5e-6;

/// Name of the class that is no infection.
pub const IRRELEVANT: &str = "irrelevant";

/// One finding per infection type (every class but [`IRRELEVANT`]), in class order: the noisy-or
/// over the regions voted that type. `regions` are indices into the slice given.
pub fn findings(
    regions: &[Region],
    classes: &[String],
    profile: Profile,
    calibration: &Calibration,
) -> Vec<Finding> {
    let infection_types = (0..classes.len()).filter(|&c| classes[c] != IRRELEVANT);
    infection_types
        .map(|class| {
            let of_type: Vec<usize> = (0..regions.len()).filter(|&r| regions[r].class == class).collect();
            let confidences: Vec<f64> = of_type.iter().map(|&r| regions[r].confidence).collect();
            let probability = match profile {
                Profile::Paper => noisy_or(&confidences),
                Profile::Calibrated => noisy_or_calibrated(&confidences, calibration),
            };
            Finding { class, probability, regions: of_type }
        })
        .collect()
}

/// What the scan is called, and why.
///
/// Paper: no region of an infection type left means no infection found; otherwise the type with the
/// larger finding wins; of equals (see [`TIE`]) the one with more regions; of equals there too:
/// indeterminate (ours). Calibrated (ours): a finding from `infected_from` on makes the type, unless
/// another one equals it; all below `clear_below` make no infection found; else indeterminate.
pub fn verdict(
    findings: &[Finding],
    classes: &[String],
    profile: Profile,
    calibration: &Calibration,
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
    match profile {
        Profile::Paper => by_paper(findings, &tied, classes),
        Profile::Calibrated => by_threshold(findings, top, &tied, classes, calibration),
    }
}

fn by_paper(findings: &[Finding], tied: &[&Finding], classes: &[String]) -> (Verdict, Vec<String>) {
    if findings.iter().all(|f| f.regions.is_empty()) {
        let reason = "No candidate region was voted an infection type.".to_owned();
        return (Verdict::NoInfectionFound { probability: 1.0 - largest(findings) }, vec![reason]);
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
    top: &Finding,
    tied: &[&Finding],
    classes: &[String],
    calibration: &Calibration,
) -> (Verdict, Vec<String>) {
    let (infected, clear) = (f64::from(calibration.infected_from), f64::from(calibration.clear_below));
    if top.probability >= infected {
        if tied.len() > 1 {
            return (Verdict::Indeterminate, vec![tie(tied, classes)]);
        }
        let mut reasons = vec![support(top, classes)];
        if top.probability < 0.5 {
            reasons.push(format!(
                "It is named from {:.1} % on, the threshold chosen on validation cases; below 50 % it is weak \
                 evidence of the type.",
                100.0 * infected
            ));
        }
        return (Verdict::Infection { class: top.class, probability: top.probability }, reasons);
    }
    let name = class_name(classes, top.class);
    if top.probability < clear {
        let reason = format!(
            "The largest finding, {name} with {:.1} %, lies below {:.1} %.",
            100.0 * top.probability,
            100.0 * clear
        );
        let voted: usize = findings.iter().map(|f| f.regions.len()).sum();
        let weak = match voted {
            0 => None,
            1 => Some(
                "1 region was voted an infection type, which is too weak a sign of infection.".to_owned(),
            ),
            n => Some(format!("{n} regions were voted an infection type, too weak a sign of infection.")),
        };
        let reasons = [Some(reason), weak].into_iter().flatten().collect();
        return (Verdict::NoInfectionFound { probability: 1.0 - top.probability }, reasons);
    }
    let reason = format!(
        "The largest finding, {name} with {:.1} %, lies between the threshold of a clear scan ({:.1} %) \
         and that of an infection ({:.1} %).",
        100.0 * top.probability,
        100.0 * clear,
        100.0 * infected
    );
    (Verdict::Indeterminate, vec![reason])
}

fn largest(findings: &[Finding]) -> f64 {
    findings.iter().map(|f| f.probability).fold(0.0, f64::max)
}

fn support(finding: &Finding, classes: &[String]) -> String {
    let name = class_name(classes, finding.class);
    match finding.regions.len() {
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
    use pleura_volume::{Box3, VoxelBox};

    const CALIBRATION: Calibration =
        Calibration { temperature: 1.0, region_power: 1.0, leak: 0.0, infected_from: 0.75, clear_below: 0.5 };

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
            patches: Vec::new(),
            class,
            confidence,
        }
    }

    fn say(profile: Profile, regions: &[(usize, f64)]) -> (Verdict, Vec<String>) {
        let regions: Vec<Region> = regions.iter().map(|&(c, p)| region(c, p)).collect();
        let findings = findings(&regions, &classes(), profile, &CALIBRATION);
        verdict(&findings, &classes(), profile, &CALIBRATION)
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
        for profile in [Profile::Paper, Profile::Calibrated] {
            for regions in [&[][..], &[(2, 0.9)], &[(2, 0.9), (2, 0.8)]] {
                assert_eq!(say(profile, regions).0, Verdict::NoInfectionFound { probability: 1.0 });
            }
        }
    }

    #[test]
    fn one_weak_region_names_its_type_in_the_paper_only() {
        let weak = [(1, 0.4)];
        assert_eq!(say(Profile::Paper, &weak).0, Verdict::Infection { class: 1, probability: 0.4 });
        assert_eq!(say(Profile::Calibrated, &weak).0, Verdict::NoInfectionFound { probability: 0.6 });
    }

    #[test]
    fn between_the_thresholds_the_calibrated_profile_is_indeterminate() {
        for p in [0.5, 0.6, 0.74] {
            assert_eq!(say(Profile::Calibrated, &[(0, p)]).0, Verdict::Indeterminate, "{p}");
        }
        let (v, reasons) = say(Profile::Calibrated, &[(0, 0.75)]);
        assert_eq!(v, Verdict::Infection { class: 0, probability: 0.75 });
        assert_eq!(reasons, ["1 region was voted covid-19."]);
    }

    #[test]
    fn a_type_named_below_one_half_is_called_weak_evidence() {
        let calibration = Calibration { infected_from: 0.25, clear_below: 0.2, ..CALIBRATION };
        let say = |p: f64| {
            let found = findings(&[region(0, p)], &classes(), Profile::Calibrated, &calibration);
            verdict(&found, &classes(), Profile::Calibrated, &calibration)
        };
        let (v, reasons) = say(0.4);
        assert_eq!(v, Verdict::Infection { class: 0, probability: 0.4 });
        assert!(reasons.len() == 2 && reasons[1].contains("from 25.0 % on"), "{reasons:?}");
        assert_eq!(say(0.5).1.len(), 1);
    }

    #[test]
    fn many_regions_add_up_and_the_dominating_type_wins() {
        // covid-19: 1 - 0.5^3 = 0.875; influenza-a: 0.8.
        let regions = [(0, 0.5), (1, 0.8), (0, 0.5), (2, 0.99), (0, 0.5)];
        for profile in [Profile::Paper, Profile::Calibrated] {
            let (v, reasons) = say(profile, &regions);
            assert_eq!(v, Verdict::Infection { class: 0, probability: 0.875 });
            assert_eq!(reasons, ["3 regions were voted covid-19."]);
        }
    }

    #[test]
    fn a_tie_is_indeterminate_when_calibrated_and_goes_to_more_regions_in_the_paper() {
        // 1 - 0.25 = 0.75 by one region, 1 - 0.5 * 0.5 = 0.75 by two.
        let tie = [(0, 0.75), (1, 0.5), (1, 0.5)];
        assert_eq!(say(Profile::Paper, &tie).0, Verdict::Infection { class: 1, probability: 0.75 });
        let (v, reasons) = say(Profile::Calibrated, &tie);
        assert_eq!(v, Verdict::Indeterminate);
        assert_eq!(reasons, ["covid-19 and influenza-a are equally probable."]);
    }

    #[test]
    fn a_tie_with_as_many_regions_is_indeterminate_in_the_paper_too() {
        assert_eq!(say(Profile::Paper, &[(0, 0.8), (1, 0.8)]).0, Verdict::Indeterminate);
    }

    #[test]
    fn saturated_findings_count_as_a_tie() {
        // 1 - 0.01^4 = 0.99999999 and 1 - 0.01^5: the report shows 1 for both.
        let regions = [[(0, 0.99); 4].to_vec(), [(1, 0.99); 5].to_vec()].concat();
        let (v, _) = say(Profile::Paper, &regions);
        assert!(matches!(v, Verdict::Infection { class: 1, .. }));
        assert_eq!(say(Profile::Calibrated, &regions).0, Verdict::Indeterminate);
    }
}
