//! Two networks compared over several trainings of each.

use crate::data::Names;
use crate::screened::{Screened, Seen};
use pleura_evaluate::{Answers, Confusion, Estimate, mean_f1_difference};
use serde::Serialize;

/// One training of a network, on the test cases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Training {
    /// Name of the network.
    pub network: String,
    /// Which training of it, from 1; its seed grows with it.
    pub number: usize,
    /// Mean F1 of all classes over image patches, as in the paper's Tables 1 and 2.
    pub patch_mean_f1: f64,
    /// Share of the image patches that is right.
    pub patch_accuracy: f64,
    /// Mean F1 of the infections over regions after the vote.
    pub region_mean_f1_infections: f64,
    /// Share of the cases that is right by the paper's profile.
    pub case_accuracy_paper: f64,
    /// Share of the cases that is right by the calibrated profile.
    pub case_accuracy_calibrated: f64,
}

/// Both networks over several trainings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeedComparison {
    /// Seed by seed, the networks in turn.
    pub trainings: Vec<Training>,
    /// Mean F1 over patches of the first network less that of the second, mean over the seeds; its interval
    /// is by case, the trainings as they are.
    pub patch_mean_f1_difference: Estimate,
    /// Deviation of that difference from seed to seed.
    pub deviation: f64,
}

impl Training {
    fn new(network: &str, number: usize, seen: &[&Seen], names: &Names) -> Self {
        let items = |pick: fn(&Seen) -> &Answers| {
            let all = seen.iter().flat_map(|s| pick(s)).map(|(truth, answer)| (*truth, answer.as_str()));
            confusion(&names.regions, all)
        };
        let cases = |profile: usize| {
            let all = seen.iter().map(|s| &s.case[profile]).map(|c| (c.truth, c.answer.as_str()));
            confusion(&names.cases, all).accuracy().0
        };
        let (patches, regions) = (items(|s| &s.patches), items(|s| &s.regions));
        Self {
            network: network.into(),
            number,
            patch_mean_f1: patches.mean_f1(names.regions.len()),
            patch_accuracy: patches.accuracy().0,
            region_mean_f1_infections: regions.mean_f1(names.regions.len() - 1),
            case_accuracy_paper: cases(0),
            case_accuracy_calibrated: cases(1),
        }
    }
}

impl SeedComparison {
    /// `None` unless every case was seen by two networks, each trained more than once.
    pub(crate) fn new(screened: &[Screened], networks: &[&str], names: &Names, seed: u64) -> Option<Self> {
        let seen = screened.first().map_or(0, |s| s.networks.len());
        if networks.len() != 2 || seen <= networks.len() {
            return None;
        }
        let of = |k: usize| -> Vec<&Seen> { screened.iter().filter_map(|s| s.networks.get(k)).collect() };
        let training = |k: usize| Training::new(networks[k % 2], k / 2 + 1, &of(k), names);
        let patches = |k: usize| of(k).into_iter().map(|s| s.patches.clone()).collect::<Vec<Answers>>();
        let pairs: Vec<[Vec<Answers>; 2]> = (0..seen / 2).map(|s| [2 * s, 2 * s + 1].map(patches)).collect();
        let trainings: Vec<Training> = (0..seen).map(training).collect();
        let differences: Vec<f64> =
            trainings.chunks(2).map(|t| t[0].patch_mean_f1 - t[1].patch_mean_f1).collect();
        Some(Self {
            trainings,
            patch_mean_f1_difference: mean_f1_difference(&names.regions, &pairs, seed),
            deviation: mean_and_deviation(&differences).1,
        })
    }

    pub(crate) fn to_markdown(&self) -> String {
        type Pick = fn(&Training) -> f64;
        let picks: [Pick; 5] = [
            |t| t.patch_mean_f1,
            |t| t.patch_accuracy,
            |t| t.region_mean_f1_infections,
            |t| t.case_accuracy_paper,
            |t| t.case_accuracy_calibrated,
        ];
        let mut out = String::from(
            "\n## Over several trainings\n\nThe same candidate regions and settings, another seed each.\n\n| network, \
             training | patches, mean F1 | accuracy | regions, mean F1 of the infections | cases right, paper's \
             profile | calibrated |\n|---|---|---|---|---|---|\n",
        );
        for t in &self.trainings {
            let cells: Vec<String> = picks.iter().map(|pick| format!("{:.3}", pick(t))).collect();
            out += &format!("| {}, {} | {} |\n", t.network, t.number, cells.join(" | "));
        }
        for network in self.trainings.iter().take(2).map(|t| &t.network) {
            let of = |pick: &Pick| -> Vec<f64> {
                self.trainings.iter().filter(|t| t.network == *network).map(pick).collect()
            };
            let cell = |pick| {
                let (mean, deviation) = mean_and_deviation(&of(pick));
                format!("{mean:.3} ± {deviation:.3}")
            };
            let cells: Vec<String> = picks.iter().map(cell).collect();
            out += &format!("| {network}, mean ± standard deviation | {} |\n", cells.join(" | "));
        }
        let Estimate { value, interval_95 } = self.patch_mean_f1_difference;
        let better = self.trainings.chunks(2).filter(|t| t[0].patch_mean_f1 > t[1].patch_mean_f1).count();
        out + &format!(
            "\n{} less {}, mean F1 of patches: {value:+.3} ({:+.3} to {:+.3}), more with {better} of {} seeds. In \
             brackets the 95 % bootstrap interval, resampling by case, the trainings as they are; from seed to seed \
             the difference has a standard deviation of {:.3}. All other tables, figures and tests are of the first \
             trainings.\n",
            self.trainings[0].network,
            self.trainings[1].network,
            interval_95.low,
            interval_95.high,
            self.trainings.len() / 2,
            self.deviation,
        )
    }
}

fn confusion<'a>(classes: &[String], answers: impl Iterator<Item = (usize, &'a str)>) -> Confusion {
    let mut confusion = Confusion::new(classes);
    answers.for_each(|(truth, answer)| _ = confusion.add(&classes[truth], answer));
    confusion
}

/// Mean and the standard deviation of a sample.
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::phantom_infections;
    use pleura_evaluate::{CaseOutcome, FrocScan, Involved};
    use std::collections::BTreeMap;

    /// A case of COVID-19 with one patch in one region, as a network sees it that answers so.
    fn seen(answer: &str) -> Seen {
        let case = CaseOutcome {
            case: "case".into(),
            truth: 0,
            answer: answer.into(),
            probabilities: Vec::new(),
            facts: BTreeMap::new(),
        };
        let answers = vec![(0, answer.to_owned())];
        let involved = [Some(Involved { told: 1.0, truth: 2.0 }); 2];
        Seen { patches: answers.clone(), regions: answers, case: [case.clone(), case], involved }
    }

    #[test]
    fn trainings_are_told_apart_and_averaged() {
        let names = Names::new(&phantom_infections());
        // Seed 1: the first network is right in none of two cases, the second in both; seed 2: one, both.
        let case = |first: &str, again: &str| Screened {
            froc: [FrocScan::default(), FrocScan::default()],
            networks: [first, "covid-19", again, "covid-19"].map(seen).to_vec(),
        };
        let screened = [case("influenza-a", "covid-19"), case("influenza-a", "influenza-a")];
        let c = SeedComparison::new(&screened, &["a", "b"], &names, 1).unwrap();
        let accuracy: Vec<f64> = c.trainings.iter().map(|t| t.patch_accuracy).collect();
        assert_eq!(accuracy, [0.0, 1.0, 0.5, 1.0]);
        // Of three classes one is there. Seed 1: F1 of 0 against 1, seed 2: 2/3 against 1; a third of the mean of both.
        let difference = -(1.0 + 1.0 / 3.0) / 3.0 / 2.0;
        assert!((c.patch_mean_f1_difference.value - difference).abs() < 1e-12, "{c:?}");
        // -1/3 and -1/9: each a ninth from their mean.
        assert!((c.deviation - 2f64.sqrt() / 9.0).abs() < 1e-12, "{c:?}");
        let told = c.to_markdown();
        // Of 0 and 1/2: mean 1/4, deviation 1/(2 sqrt 2).
        assert!(
            told.contains("| a, mean ± standard deviation |") && told.contains("0.250 ± 0.354"),
            "{told}"
        );
        assert!(told.contains("more with 0 of 2 seeds"), "{told}");
        assert!(SeedComparison::new(&screened, &["a"], &names, 1).is_none());
    }
}
