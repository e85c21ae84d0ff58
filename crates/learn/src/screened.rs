//! The test cases of a cohort, screened with several classifiers behind one detector.

use crate::candidates::label;
use crate::data::{Names, class_index};
use crate::pool::{each_case, find_lungs};
use crate::score_classifier::verdict_name;
use crate::score_detector::LEAST_SCORE;
use crate::truth;
use crate::{Error, Result};
use pleura_evaluate::{Answers, CaseOutcome, FrocScan, Involved, TrueRegion, case_facts, free_response};
use pleura_lungs::Lungs;
use pleura_phantom::{CohortCase, Phantom, render};
use pleura_screen::{
    Candidate, Detection, Finding, LoadedClassifier, LoadedDetector, Profile, Region, ScanFacts, Verdict,
    analysable, classify, detect, findings, in_infected_regions, no_infection, region, verdict,
};
use pleura_volume::{Box3, Mask, NoProgress, Progress};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// In the order of [`Seen::case`].
pub(crate) const PROFILES: [Profile; 2] = [Profile::Paper, Profile::Calibrated];

/// The profile in the names of files and headings.
pub(crate) fn named(profile: Profile) -> &'static str {
    match profile {
        Profile::Paper => "paper",
        Profile::Calibrated => "calibrated",
    }
}

/// A screened test case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Screened {
    /// What the detector proposed, against all truth regions and against those of 10 mm and more.
    pub froc: [FrocScan; 2],
    /// By classifier.
    pub networks: Vec<Seen>,
}

/// A test case as one classifier sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Truth and answer of each patch, in the paper's profile.
    pub patches: Answers,
    /// Of each region after the vote.
    pub regions: Answers,
    /// The case, by each of [`PROFILES`].
    pub case: [CaseOutcome; 2],
    /// Involved share of the lungs, by each of [`PROFILES`]; none where the lungs were not looked at, or in what an
    /// earlier version screened.
    #[serde(default)]
    pub involved: [Option<Involved>; 2],
}

/// What the cases are screened with.
pub(crate) struct Screener {
    /// Proposes from [`LEAST_SCORE`] on. Proposals are thinned best first: the better ones are the same
    /// as at a higher score.
    detector: LoadedDetector,
    /// Score from which a proposal is classified.
    threshold: f64,
    classifiers: Vec<LoadedClassifier>,
    names: Names,
}

impl Screener {
    pub fn new(mut detector: LoadedDetector, classifiers: Vec<LoadedClassifier>, names: Names) -> Self {
        let asked = detector.proposals.score_threshold;
        detector.proposals.score_threshold = asked.min(LEAST_SCORE);
        Self { detector, threshold: f64::from(asked), classifiers, names }
    }

    /// Screens all cases, in order.
    pub fn screen(&self, cases: &[&CohortCase], progress: &dyn Progress) -> Result<Vec<Screened>> {
        each_case(cases.len(), "screening the test cases", progress, |i| {
            let case = cases[i];
            self.one(&case.name, &render(case.class, case.seed, &case.options)).map(Some)
        })
    }

    fn one(&self, name: &str, phantom: &Phantom) -> Result<Screened> {
        let lungs = find_lungs(&phantom.volume)?;
        let Detection { candidates: proposed, infection: marked } = match analysable(&lungs) {
            true => detect(&phantom.volume, &lungs.mask, &self.detector, &NoProgress)
                .map_err(|e| Error::Stage(format!("{name}: {e}")))?,
            false => {
                Detection { candidates: vec![], infection: Mask::filled(lungs.mask.geometry.clone(), 0) }
            }
        };
        let regions = regions_of(phantom);
        let scored: Vec<(Box3, f64)> = proposed.iter().map(|c| (c.box_mm, c.score)).collect();
        let case = Detected {
            name,
            phantom,
            lungs: &lungs,
            kept: proposed.into_iter().filter(|c| c.score >= self.threshold).collect(),
            marked,
            true_share: marked_share(&phantom.infection, &phantom.lungs),
            facts: case_facts(phantom.latents.slice_mm, phantom.latents.noise_hu, &regions),
        };
        let seen = |c| self.seen(&case, c);
        Ok(Screened {
            froc: free_response(&scored, &regions),
            networks: self.classifiers.iter().map(seen).collect::<Result<_>>()?,
        })
    }

    fn seen(&self, found: &Detected, classifier: &LoadedClassifier) -> Result<Seen> {
        let (phantom, lungs, kept) = (found.phantom, found.lungs, &found.kept);
        let (class, none) = (class_index(phantom.class), self.names.regions.len() - 1);
        let voted = |profile| -> Result<Vec<Region>> {
            let patches = classify(&phantom.volume, &lungs.mask, kept, classifier, profile, &NoProgress)
                .map_err(|e| Error::Stage(format!("{}: {e}", found.name)))?;
            Ok(kept.iter().cloned().zip(patches).map(|(c, p)| region(c, p)).collect())
        };
        let (paper, calibrated) = (voted(PROFILES[0])?, voted(PROFILES[1])?);
        let (mut patches, mut regions): (Answers, Answers) = (Vec::new(), Vec::new());
        for r in &paper {
            let truth = label(class, none, &r.box_voxels, &lungs.mask, Some(&phantom.infection));
            patches.extend(r.patches.iter().map(|p| (truth, self.names.regions[p.class].clone())));
            regions.push((truth, self.names.regions[r.class].clone()));
        }
        let looked_at = analysable(lungs);
        let scan = ScanFacts::new(&phantom.volume, &lungs.mask);
        let case = [(&paper, PROFILES[0]), (&calibrated, PROFILES[1])].map(|(regions, profile)| {
            let found_types = findings(regions, &classifier.classes, profile, &classifier.calibration);
            let said = match looked_at {
                true => verdict(&found_types, &classifier.classes, profile, &classifier.calibration, &scan).0,
                false => Verdict::NotAnalysable,
            };
            CaseOutcome {
                case: found.name.to_owned(),
                truth: class,
                answer: verdict_name(&said, &classifier.classes),
                probabilities: if looked_at {
                    probabilities(&found_types, none, profile)
                } else {
                    Vec::new()
                },
                facts: found.facts.clone(),
            }
        });
        let involved =
            [&paper, &calibrated].map(|r| looked_at.then(|| found.involved(r, &classifier.classes)));
        Ok(Seen { patches, regions, case, involved })
    }
}

/// A case that the detector has looked into.
struct Detected<'a> {
    name: &'a str,
    phantom: &'a Phantom,
    lungs: &'a Lungs,
    /// Candidates that are classified.
    kept: Vec<Candidate>,
    /// Voxels that the detector marks.
    marked: Mask,
    /// Percent of the true lungs that is infected.
    true_share: f64,
    facts: BTreeMap<String, f64>,
}

impl Detected<'_> {
    /// Involved share of the lungs as the report tells it of these regions, beside that of the true lungs.
    fn involved(&self, regions: &[Region], classes: &[String]) -> Involved {
        let told = in_infected_regions(&self.marked, regions, classes);
        Involved { told: marked_share(&told, &self.lungs.mask), truth: self.true_share }
    }
}

/// Percent of the lungs that is marked; 0 without lungs.
fn marked_share(marked: &Mask, lungs: &Mask) -> f64 {
    let voxels = || lungs.data.iter().zip(&marked.data).filter(|(lung, _)| **lung != 0);
    100.0 * voxels().filter(|(_, m)| **m != 0).count() as f64 / voxels().count().max(1) as f64
}

/// Probability of each type, then of no infection.
fn probabilities(found: &[Finding], types: usize, profile: Profile) -> Vec<f64> {
    let of = |class| found.iter().filter(|f| f.class == class).map(|f| f.probability).fold(0.0, f64::max);
    let all: Vec<f64> = (0..types).map(of).collect();
    let none = no_infection(all.iter().copied(), profile);
    all.into_iter().chain([none]).collect()
}

/// The truth regions as they are taught and scored.
fn regions_of(phantom: &Phantom) -> Vec<TrueRegion> {
    truth::regions(&phantom.infection).iter().map(|r| (r.box_mm, r.volume_ml)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleura_volume::Geometry;

    #[test]
    fn shares_are_of_the_lungs_alone() {
        let geometry = Geometry::axis_aligned([5, 1, 1], [0.0; 3], [1.0; 3]);
        let mask = |data: [u8; 5]| Mask { geometry: geometry.clone(), data: data.to_vec() };
        // Two of the four voxels of both lungs; what is marked beside them does not count.
        assert_eq!(marked_share(&mask([1, 0, 1, 0, 1]), &mask([1, 1, 2, 2, 0])), 50.0);
        assert_eq!(marked_share(&mask([1; 5]), &mask([0; 5])), 0.0);
    }
}
