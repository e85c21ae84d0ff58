//! The whole way from a volume to a case.

use crate::candidates::Candidate;
use crate::case::{Case, LungFacts, Patch, Profile, Region, SideFacts, StageTimes, Verdict};
use crate::classify::classify;
use crate::detect::{Detection, detect};
use crate::error::{Error, Result};
use crate::models::Models;
use crate::unlike::ScanFacts;
use crate::verdict::{IRRELEVANT, findings, verdict};
use crate::vote::{PatchVote, vote};
use pleura_lungs::{LEFT, LungOptions, LungStatus, Lungs, RIGHT};
use pleura_volume::{Mask, Progress, Volume};
use rayon::prelude::*;
use std::time::Instant;

/// Least slices of a scan; fewer are no volume.
pub const LEAST_SLICES: usize = 8;

/// Infected tissue from this density on is consolidation, below it ground-glass (ours: half-way
/// between the -700 HU of lung and soft tissue is -350; ground-glass is commonly read up to -300).
pub const CONSOLIDATION_HU: i16 = -300;

/// How a scan is screened.
#[derive(Debug, Clone)]
pub struct Options {
    /// How region probabilities become a case probability.
    pub profile: Profile,
    /// How the lungs are found.
    pub lungs: LungOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self { profile: Profile::Calibrated, lungs: LungOptions::default() }
    }
}

/// Screens a scan on the oriented grid.
///
/// Lungs, candidate regions, three patches each, votes, noisy-or, verdict (paper, "Pipeline").
/// Without lungs, or with implausible ones, no network is run and the verdict is
/// [`Verdict::NotAnalysable`]. Lungs found in part are analysed, and the reasons say so. The same
/// input gives the same case, but for `times`, whatever the thread count.
///
/// # Errors
/// [`Error::TooFewSlices`] below [`LEAST_SLICES`]; [`Error::TooLarge`] where the lungs take up more
/// cells of the detector's grid than fit into memory; [`Error::Network`] when a network does not fit
/// its manifest; [`Error::Cancelled`] when `progress` says so.
pub fn screen(
    volume: &Volume<i16>,
    models: &Models,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Case> {
    let slices = volume.size()[2];
    if slices < LEAST_SLICES {
        return Err(Error::TooFewSlices { slices, needed: LEAST_SLICES });
    }
    let mut clock = Clock(Instant::now());
    let mut times = StageTimes::default();
    let lungs = pleura_lungs::find(volume, &options.lungs, progress)?;
    times.lungs = clock.lap();
    if !analysable(&lungs) {
        return Ok(not_analysable(volume, lungs, models, options.profile, times));
    }

    let Detection { candidates, infection } = detect(volume, &lungs.mask, &models.detector, progress)?;
    times.detect = clock.lap();

    let classifier = &models.classifier;
    let patches = classify(volume, &lungs.mask, &candidates, classifier, options.profile, progress)?;
    let regions: Vec<Region> = candidates.into_iter().zip(patches).map(|(c, p)| region(c, p)).collect();
    let infection = in_infected_regions(&infection, &regions, &classifier.classes);
    let facts = lung_facts(volume, &lungs.mask, &infection);
    let findings = findings(&regions, &classifier.classes, options.profile, &classifier.calibration);
    let scan = ScanFacts::new(volume, &lungs.mask);
    let (verdict, mut reasons) =
        verdict(&findings, &classifier.classes, options.profile, &classifier.calibration, &scan);
    if lungs.status != LungStatus::Ok {
        reasons.push("The lungs were found only in part: what lies in the rest was not looked at.".into());
        reasons.extend(lungs.reasons.iter().cloned());
    }
    times.classify = clock.lap();
    Ok(Case {
        classes: classifier.classes.clone(),
        profile: options.profile,
        lungs,
        infection,
        facts,
        regions,
        findings,
        verdict,
        reasons,
        times,
    })
}

/// Seconds from lap to lap.
struct Clock(Instant);

impl Clock {
    fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let seconds = (now - self.0).as_secs_f64();
        self.0 = now;
        seconds
    }
}

/// Whether the networks are run at all: lungs were found and are plausible.
pub fn analysable(lungs: &Lungs) -> bool {
    lungs.status != LungStatus::NotFound && lungs.implausible.is_empty()
}

/// Why the lungs cannot be analysed.
fn not_usable(lungs: &Lungs) -> Vec<String> {
    // What rules them out comes first; the rest may explain it.
    let rest = lungs.reasons.iter().filter(|r| !lungs.implausible.contains(r));
    lungs.implausible.iter().chain(rest).cloned().collect()
}

fn not_analysable(
    volume: &Volume<i16>,
    lungs: Lungs,
    models: &Models,
    profile: Profile,
    times: StageTimes,
) -> Case {
    let infection = Mask::filled(volume.geometry.clone(), 0);
    let reasons = not_usable(&lungs);
    Case {
        classes: models.classifier.classes.clone(),
        profile,
        facts: lung_facts(volume, &lungs.mask, &infection),
        lungs,
        infection,
        regions: Vec::new(),
        findings: Vec::new(),
        verdict: Verdict::NotAnalysable,
        reasons,
        times,
    }
}

/// The region that a candidate and the vote of its patches (caudal, centre, cranial) make.
pub fn region(candidate: Candidate, patches: [Patch; 3]) -> Region {
    let votes = [0, 1, 2].map(|i| PatchVote { class: patches[i].class, confidence: patches[i].confidence });
    let (class, confidence) = vote(&votes);
    Region {
        box_mm: candidate.box_mm,
        box_voxels: candidate.box_voxels,
        slice_index: patches[1].slice_index,
        right: candidate.right,
        proposal_score: candidate.score,
        volume_ml: candidate.volume_ml,
        mean_hu: candidate.mean_hu,
        patches: patches.to_vec(),
        class,
        confidence,
    }
}

/// Of the voxels that the detector marked, those in regions voted an infection type (ours). What it marks
/// elsewhere it did not propose, or the classifier called irrelevant: that is not told as involved.
pub fn in_infected_regions(marked: &Mask, regions: &[Region], classes: &[String]) -> Mask {
    let infected = |r: &&Region| classes.get(r.class).is_none_or(|name| name != IRRELEVANT);
    let mut kept = Mask::filled(marked.geometry.clone(), 0);
    for b in regions.iter().filter(infected).map(|r| r.box_voxels) {
        for (z, y) in (b.min[2]..b.max[2]).flat_map(|z| (b.min[1]..b.max[1]).map(move |y| (z, y))) {
            let begin = marked.offset([b.min[0], y, z]);
            let row = begin..begin + b.size()[0];
            kept.data[row.clone()].copy_from_slice(&marked.data[row]);
        }
    }
    kept
}

/// Volumes of the lungs and of what is infected in them.
fn lung_facts(volume: &Volume<i16>, lungs: &Mask, infection: &Mask) -> LungFacts {
    let n = (lungs.size()[0] * lungs.size()[1]).max(1);
    let rows = volume.data.par_chunks(n).zip(lungs.data.par_chunks(n)).zip(infection.data.par_chunks(n));
    let counts = rows.map(|((hu, lung), infected)| {
        let mut c = [0usize; 6];
        for ((&hu, &lung), &infected) in hu.iter().zip(lung).zip(infected) {
            c[0] += usize::from(lung == RIGHT);
            c[1] += usize::from(lung == LEFT);
            if infected != 0 {
                c[2] += usize::from(lung == RIGHT);
                c[3] += usize::from(lung == LEFT);
                c[4] += usize::from(hu < CONSOLIDATION_HU);
                c[5] += usize::from(hu >= CONSOLIDATION_HU);
            }
        }
        c
    });
    let counts = counts.reduce(|| [0; 6], |a, b| std::array::from_fn(|i| a[i] + b[i]));
    let ml = lungs.geometry.voxel_ml();
    let side = |all: usize, infected: usize| SideFacts {
        volume_ml: all as f64 * ml,
        involvement_pct: 100.0 * infected as f64 / all.max(1) as f64,
    };
    LungFacts {
        right: side(counts[0], counts[2]),
        left: side(counts[1], counts[3]),
        ground_glass_ml: counts[4] as f64 * ml,
        consolidation_ml: counts[5] as f64 * ml,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleura_volume::{Geometry, VoxelBox};

    #[test]
    fn only_regions_voted_an_infection_keep_marked_voxels() {
        let geometry = Geometry::axis_aligned([6, 2, 2], [0.0; 3], [1.0; 3]);
        let marked = Mask { geometry: geometry.clone(), data: vec![1; 24] };
        let patch = Patch {
            slice_index: 0,
            distance_from_edge: 0.1,
            class: 0,
            confidence: 1.0,
            probabilities: vec![],
        };
        let voted = |class: usize, min: [usize; 3], max: [usize; 3]| {
            let box_voxels = VoxelBox { min, max };
            let candidate = Candidate {
                box_mm: geometry.box_mm(&box_voxels),
                box_voxels,
                score: 0.9,
                right: true,
                volume_ml: 0.0,
                mean_hu: 0.0,
            };
            let patches = [0, 1, 2].map(|_| Patch { class, ..patch.clone() });
            region(candidate, patches)
        };
        let classes = ["covid-19", IRRELEVANT].map(String::from);
        // Infected: x 1..3 of row 0 in slice 1; x 2..4 of both rows there. Irrelevant: all of slice 0.
        let regions =
            [voted(0, [1, 0, 1], [3, 1, 2]), voted(0, [2, 0, 1], [4, 2, 2]), voted(1, [0; 3], [6, 2, 1])];
        let kept = in_infected_regions(&marked, &regions, &classes);
        assert_eq!(kept.data[..12], [0; 12]);
        assert_eq!(kept.data[12..], [0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0]);
        assert!(in_infected_regions(&marked, &[], &classes).data.iter().all(|v| *v == 0));
        let empty = Mask { geometry, data: vec![0; 24] };
        assert_eq!(in_infected_regions(&empty, &regions, &classes), empty);
    }

    #[test]
    fn shares_and_volumes_worked_by_hand() {
        // Voxels of 10 x 10 x 10 mm = 1 ml. Right: 4 voxels, 1 infected; left: 2, both infected.
        let geometry = Geometry::axis_aligned([4, 2, 1], [0.0; 3], [10.0; 3]);
        let lungs = Mask { geometry: geometry.clone(), data: vec![1, 1, 0, 2, 1, 1, 0, 2] };
        let infection = Mask { geometry: geometry.clone(), data: vec![1, 0, 0, 1, 0, 0, 0, 1] };
        let volume = Volume { geometry, data: vec![-600, -800, 40, -300, -800, -800, 40, -301] };
        let f = lung_facts(&volume, &lungs, &infection);
        assert_eq!((f.right.volume_ml, f.left.volume_ml), (4.0, 2.0));
        assert_eq!((f.right.involvement_pct, f.left.involvement_pct), (25.0, 100.0));
        assert_eq!((f.ground_glass_ml, f.consolidation_ml), (2.0, 1.0));
    }
}
