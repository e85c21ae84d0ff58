//! The whole pipeline with random weights: what it says is meaningless, how it hangs together is not.
#![allow(clippy::unwrap_used)]

mod common;

use common::{CALIBRATION, chest, detector, located, plain};
use pleura_nets::specs::OBJECTNESS;
use pleura_screen::{
    Case, Error, IRRELEVANT, LungStatus, Models, Options, PatchVote, Profile, Region, Verdict, detect,
    noisy_or, noisy_or_calibrated, screen, vote,
};
use pleura_volume::{Cancelled, Mask, NoProgress, Progress, Volume, VoxelBox};
use std::sync::Mutex;

fn options(profile: Profile) -> Options {
    Options { profile, ..Options::default() }
}

fn run(models: &Models, profile: Profile) -> Case {
    screen(&chest(true), models, &options(profile), &NoProgress).unwrap()
}

fn check(case: &Case, profile: Profile) {
    assert_eq!(case.lungs.status, LungStatus::Ok, "{:?}", case.lungs.reasons);
    let lungs = &case.lungs.mask;
    let geometry = &lungs.geometry;
    assert!(!case.regions.is_empty());
    for r in &case.regions {
        let b = &r.box_voxels;
        assert!(!b.is_empty() && (0..3).all(|a| b.max[a] <= geometry.size[a]));
        assert_eq!(r.box_mm, geometry.box_mm(b));
        // Lung touches every face of the box: nothing sticks out.
        let part = lungs.cropped(b);
        let whole = VoxelBox { min: [0; 3], max: b.size() };
        assert_eq!(part.bounding_box(|v| v != 0), Some(whole));
        let right = part.data.iter().filter(|&&v| v == 1).count();
        let left = part.data.iter().filter(|&&v| v == 2).count();
        assert_eq!(r.right, right >= left);
        // What an irrelevant region has marked counts as infected only where another region says so.
        let infected = case.infection.cropped(b).data.iter().filter(|&&v| v != 0).count();
        let infected_ml = infected as f64 * geometry.voxel_ml();
        match case.classes[r.class] == IRRELEVANT {
            true => assert!(r.volume_ml >= infected_ml - 1e-9),
            false => assert!((r.volume_ml - infected_ml).abs() < 1e-9),
        }

        assert_eq!(r.patches.len(), 3);
        assert_eq!(r.slice_index, r.patches[1].slice_index);
        assert!((b.min[2]..b.max[2]).contains(&r.slice_index));
        assert!(r.patches.is_sorted_by_key(|p| p.slice_index));
        for p in &r.patches {
            assert!((p.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert_eq!(p.probabilities[p.class], p.confidence);
            assert!(p.probabilities.iter().all(|&q| q <= p.confidence));
            assert!((0.0..0.5).contains(&p.distance_from_edge));
        }
        let votes =
            [0, 1, 2].map(|i| PatchVote { class: r.patches[i].class, confidence: r.patches[i].confidence });
        assert_eq!((r.class, r.confidence), vote(&votes));
    }
    assert!(case.regions.is_sorted_by(|a, b| a.proposal_score >= b.proposal_score));

    let infection_types: Vec<usize> = (0..3).filter(|&c| case.classes[c] != IRRELEVANT).collect();
    assert_eq!(case.findings.iter().map(|f| f.class).collect::<Vec<_>>(), infection_types);
    for f in &case.findings {
        let of_type: Vec<usize> =
            (0..case.regions.len()).filter(|&i| case.regions[i].class == f.class).collect();
        assert_eq!(f.regions, of_type);
        let confidences: Vec<f64> = of_type.iter().map(|&i| case.regions[i].confidence).collect();
        if profile == Profile::Paper {
            assert_eq!(f.probability, noisy_or(&confidences));
        }
    }
    if profile == Profile::Calibrated {
        // The types share the probability of infection.
        let none = case.classes.iter().position(|c| c == IRRELEVANT).unwrap();
        let infected = |r: &Region| 1.0 - r.patches.iter().map(|p| p.probabilities[none]).sum::<f64>() / 3.0;
        let infected: Vec<f64> = case.regions.iter().map(infected).collect();
        let told: f64 = case.findings.iter().map(|f| f.probability).sum();
        assert!((told - noisy_or_calibrated(&infected, &CALIBRATION)).abs() < 1e-9);
    }
    assert!(!case.reasons.is_empty());

    // Infection lies in the lungs, in regions voted one, and its volumes add up.
    let infected: Vec<usize> = (0..lungs.data.len()).filter(|&i| case.infection.data[i] != 0).collect();
    assert!(infected.iter().all(|&i| lungs.data[i] != 0));
    let [nx, ny, _] = lungs.size();
    let voted: Vec<&Region> = case.regions.iter().filter(|r| case.classes[r.class] != IRRELEVANT).collect();
    let in_one = |i: usize| voted.iter().any(|r| r.box_voxels.contains([i % nx, i / nx % ny, i / nx / ny]));
    assert!(infected.iter().all(|&i| in_one(i)));
    assert_eq!(infected.is_empty(), voted.iter().all(|r| r.volume_ml == 0.0));
    let f = &case.facts;
    let by_side =
        (f.right.volume_ml * f.right.involvement_pct + f.left.volume_ml * f.left.involvement_pct) / 100.0;
    let all = infected.len() as f64 * geometry.voxel_ml();
    assert!((by_side - all).abs() < 1e-6 && (f.ground_glass_ml + f.consolidation_ml - all).abs() < 1e-6);
}

#[test]
fn a_case_hangs_together_in_both_profiles_and_with_both_classifiers() {
    let models = Models::new(detector(|_| {}), located()).unwrap();
    for profile in [Profile::Paper, Profile::Calibrated] {
        check(&run(&models, profile), profile);
    }
    let models = Models::new(detector(|_| {}), plain()).unwrap();
    check(&run(&models, Profile::Paper), Profile::Paper);
}

#[test]
fn the_temperature_softens_the_calibrated_profile_only() {
    let models = Models::new(detector(|_| {}), located()).unwrap();
    let (paper, calibrated) = (run(&models, Profile::Paper), run(&models, Profile::Calibrated));
    for (p, c) in paper.regions.iter().zip(&calibrated.regions) {
        assert_eq!(p.box_voxels, c.box_voxels);
        for (p, c) in p.patches.iter().zip(&c.patches) {
            assert_eq!(p.class, c.class);
            // Temperature 2 takes the square root of the odds.
            let odds = |q: &[f64]| q[0] / q[1];
            assert!((odds(&p.probabilities).sqrt() - odds(&c.probabilities)).abs() < 1e-6);
        }
    }
}

#[test]
fn the_thread_count_changes_nothing() {
    let models = Models::new(detector(|_| {}), located()).unwrap();
    let [one, three] = [1, 3].map(|n| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| run(&models, Profile::Calibrated))
    });
    assert_eq!(one.regions, three.regions);
    assert_eq!(one.findings, three.findings);
    assert_eq!(one.verdict, three.verdict);
    assert_eq!(one.facts, three.facts);
    assert!(one.infection == three.infection && one.lungs.mask == three.lungs.mask);
}

#[test]
fn without_objectness_there_is_no_region() {
    let silent = detector(|weights| {
        for (tensor, value) in [("weight", 0.0), ("bias", -20.0)] {
            let t = weights.0.get_mut(&format!("{OBJECTNESS}.{tensor}")).unwrap();
            t.data.fill(value);
        }
    });
    let models = Models::new(silent, located()).unwrap();
    let case = run(&models, Profile::Paper);
    assert!(case.regions.is_empty());
    assert_eq!(case.verdict, Verdict::NoInfectionFound { probability: 1.0 });
    // The leak stays in the calibrated profile.
    let Verdict::NoInfectionFound { probability } = run(&models, Profile::Calibrated).verdict else {
        panic!("not clear");
    };
    assert!((probability - 0.99).abs() < 1e-6);
}

/// Notes the stages and cancels when one of them begins.
struct Watch {
    stages: Mutex<Vec<String>>,
    cancel_at: &'static str,
}

impl Progress for Watch {
    fn stage(&self, name: &str, _total: u64) {
        self.stages.lock().unwrap().push(name.to_owned());
    }
    fn cancelled(&self) -> bool {
        self.stages.lock().unwrap().iter().any(|s| s == self.cancel_at)
    }
}

#[test]
fn without_lungs_no_network_is_run_and_nothing_is_said_of_disease() {
    let models = Models::new(detector(|_| {}), located()).unwrap();
    let watch = Watch { stages: Mutex::default(), cancel_at: "never" };
    let case = screen(&chest(false), &models, &Options::default(), &watch).unwrap();
    assert_eq!(case.verdict, Verdict::NotAnalysable);
    assert!(case.regions.is_empty() && case.findings.is_empty() && !case.reasons.is_empty());
    assert_eq!(*watch.stages.lock().unwrap(), ["lungs"]);
}

#[test]
fn a_slab_of_lung_is_not_analysable() {
    let models = Models::new(detector(|_| {}), located()).unwrap();
    let whole = chest(true);
    let slab = whole.cropped(&VoxelBox { min: [0, 0, 30], max: [128, 96, 50] });
    let case = screen(&slab, &models, &Options::default(), &NoProgress).unwrap();
    assert_eq!(case.verdict, Verdict::NotAnalysable);
    assert!(case.reasons.iter().any(|r| r.contains("60 mm")), "{:?}", case.reasons);
}

/// Screens what must get no diagnosis, and no network: cancelling at its stage would be an error.
fn not_analysable(volume: &Volume<i16>, reason: &str) {
    let models = Models::new(detector(|_| {}), located()).unwrap();
    let watch = Watch { stages: Mutex::default(), cancel_at: "network" };
    let case = screen(volume, &models, &Options::default(), &watch).unwrap();
    assert_eq!(case.verdict, Verdict::NotAnalysable);
    assert!(case.regions.is_empty() && case.findings.is_empty());
    assert!(case.reasons[0].contains(reason), "{:?}", case.reasons);
}

#[test]
fn lungs_of_twice_the_size_are_not_analysable() {
    let mut volume = chest(true);
    volume.geometry.spacing_mm = volume.geometry.spacing_mm.map(|s| 2.0 * s);
    not_analysable(&volume, "more than a chest holds");
}

#[test]
fn one_lung_full_of_fluid_is_not_analysable() {
    // All of the left lung but the part in the upper slices.
    let mut volume = chest(true);
    let [nx, ny, nz] = volume.size();
    for z in 0..nz - 19 {
        for y in 0..ny {
            let start = volume.offset([nx / 2, y, z]);
            for v in &mut volume.data[start..start + nx / 2] {
                *v = if *v < -700 && *v > -950 { 30 } else { *v };
            }
        }
    }
    not_analysable(&volume, "The left lung ");
}

#[test]
fn a_grid_that_does_not_fit_into_memory_is_an_error() {
    let models = Models::new(detector(|_| {}), located()).unwrap();
    let mut volume = chest(true);
    // 3.2 m across: 107 million cells of 5 mm.
    volume.geometry.spacing_mm = [25.0; 3];
    let lungs = Mask::filled(volume.geometry.clone(), 1);
    let error = detect(&volume, &lungs, &models.detector, &NoProgress).unwrap_err();
    assert!(matches!(error, Error::TooLarge { cells, most } if cells > most), "{error}");
}

#[test]
fn lungs_found_in_part_are_analysed_and_the_reasons_say_so() {
    let models = Models::new(detector(|_| {}), located()).unwrap();
    let whole = chest(true);
    let part = whole.cropped(&VoxelBox { min: [0, 0, 25], max: [128, 96, 70] });
    let case = screen(&part, &models, &Options::default(), &NoProgress).unwrap();
    assert_eq!(case.lungs.status, LungStatus::Partial);
    assert_ne!(case.verdict, Verdict::NotAnalysable);
    assert!(case.reasons.iter().any(|r| r.contains("only in part")), "{:?}", case.reasons);
}

#[test]
fn too_few_slices_are_refused() {
    let models = Models::new(detector(|_| {}), located()).unwrap();
    let thin = chest(true).cropped(&VoxelBox { min: [0, 0, 35], max: [128, 96, 36] });
    let error = screen(&thin, &models, &Options::default(), &NoProgress).unwrap_err();
    assert!(matches!(error, Error::TooFewSlices { slices: 1, needed: 8 }));
}

#[test]
fn a_cancelled_screening_stops() {
    let models = Models::new(detector(|_| {}), located()).unwrap();
    for cancel_at in ["lungs", "network", "patches"] {
        let watch = Watch { stages: Mutex::default(), cancel_at };
        let result = screen(&chest(true), &models, &Options::default(), &watch);
        assert!(matches!(result, Err(Error::Cancelled(Cancelled))), "{cancel_at}");
        assert_eq!(watch.stages.lock().unwrap().last().map(String::as_str), Some(cancel_at));
    }
}

#[test]
fn models_in_the_wrong_role_are_refused() {
    let error = Models::new(located(), detector(|_| {})).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the detector model `random-classifier` cannot be used: it is not a detector"
    );
    let error = Models::new(detector(|_| {}), detector(|_| {})).err().unwrap();
    assert!(error.to_string().contains("it is not a classifier"));
}
