//! `pleura evaluate`.

use crate::cli::Evaluate;
use crate::failure::DONE;
use anyhow::{Context, Result};
use pleura_evaluate::{
    CaseFigures, Comparison, Froc, Joined, LARGE_MM, Prediction, TrueRegion, Truth, case_facts, compare,
    free_response, froc, join, read_predictions, read_truth, write_froc, write_probabilities,
};
use pleura_formats::{Limits, find_sources, read};
use pleura_phantom::TRUTH_FILE;
use pleura_report::{Document, REPORT_JSON};
use pleura_volume::Box3;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Seed of the bootstrap intervals.
const SEED: u64 = 1;

/// What is written as JSON.
#[derive(Serialize)]
struct Evaluation {
    cases: CaseFigures,
    /// Test cases that nothing was predicted for; they count as misses.
    missing: Vec<String>,
    /// Predicted cases of other sets; they do not count.
    left_out: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regions: Option<Regions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Comparison>,
}

/// The detector's proposals, where reports and truth files lie beside the tables.
#[derive(Serialize)]
struct Regions {
    all: Froc,
    /// Regions of at least 10 mm only.
    large: Froc,
    /// Test cases without a report; all their regions are missed.
    without_report: Vec<String>,
}

pub fn run(a: &Evaluate) -> Result<u8> {
    let mut truth = read_truth(&a.truth)?;
    let folder = a.truth.parent().unwrap_or(Path::new("."));
    if a.compare_voxels {
        truth.iter_mut().try_for_each(|t| mark_voxels(t, folder))?;
    }
    truth.iter_mut().for_each(|t| add_facts(t, folder));
    let reports = a.predictions.parent().unwrap_or(Path::new("."));
    let mut predictions = read_predictions(&a.predictions)?;
    let folders = name_by_path(&mut predictions, &truth, folder, reports);
    let joined = join(&predictions, &truth)?;
    let against = match &a.against {
        None => None,
        Some(path) => {
            let mut other = read_predictions(path)?;
            name_by_path(&mut other, &truth, folder, reports);
            let other = join(&other, &truth)?;
            Some(compare(&joined.classes, &joined.cases, &other.cases, SEED)?)
        }
    };
    let evaluation = Evaluation {
        cases: CaseFigures::new(&joined.classes, &joined.cases, SEED),
        regions: regions(&folders, &joined, &truth, folder)?,
        missing: joined.missing,
        left_out: joined.left_out,
        against,
    };
    let text = markdown(&evaluation);
    if let Some(dir) = &a.out {
        write(dir, &evaluation, &text)?;
    }
    if a.json {
        super::print_json(&evaluation)?
    } else {
        print!("{text}")
    }
    Ok(DONE)
}

/// Predictions that the truth does not know by name take the name of the case in whose `path` their
/// scan lay: screening names cases after folders. Returns where the report of each case lies.
fn name_by_path(
    predictions: &mut [Prediction],
    truth: &[Truth],
    folder: &Path,
    reports: &Path,
) -> BTreeMap<String, PathBuf> {
    let known: BTreeSet<&str> = truth.iter().map(|t| t.case.as_str()).collect();
    let place = |t: &Truth| Some((folder.join(&t.path).canonicalize().ok()?, t.case.clone()));
    let places: BTreeMap<PathBuf, String> =
        truth.iter().filter(|t| !t.path.is_empty()).filter_map(place).collect();
    let mut folders = BTreeMap::new();
    for p in predictions {
        let report = reports.join(&p.case);
        if !known.contains(p.case.as_str())
            && let Ok(input) = Path::new(&p.input).canonicalize()
            && let Some(case) = input.ancestors().find_map(|at| places.get(at))
        {
            p.case.clone_from(case);
        }
        folders.insert(p.case.clone(), report);
    }
    folders
}

/// Where the truth files of a case of `pleura cohort` lie.
fn truth_folder(t: &Truth, folder: &Path) -> PathBuf {
    folder.join(&t.path).join("truth")
}

/// Adds a hash of the scan's voxels to what no two sets may share.
fn mark_voxels(t: &mut Truth, folder: &Path) -> Result<()> {
    let case = || format!("case {}: the voxels cannot be compared", t.case);
    let path = match folder.join(&t.path) {
        // A case of `pleura cohort` holds its truth, too.
        dir if truth_folder(t, folder).is_dir() && dir.join("ct").is_dir() => dir.join("ct"),
        dir if truth_folder(t, folder).is_dir() => dir.join(pleura_phantom::NIFTI_FILE),
        path => path,
    };
    let limits = Limits::default();
    let found = find_sources(&[path], &limits).with_context(case)?;
    let source = found.sources.first().context("no scan was found").with_context(case)?;
    let scan = read(source, &limits).with_context(case)?;
    let mut hash = DefaultHasher::new();
    scan.volume.data.hash(&mut hash);
    t.marks.insert("set of voxels".into(), format!("{:016x}", hash.finish()));
    Ok(())
}

/// Facts of a phantom that the table does not hold but its truth file does.
fn add_facts(t: &mut Truth, folder: &Path) {
    let Ok(known) = pleura_phantom::load_truth(&truth_folder(t, folder)) else { return };
    for (name, value) in case_facts(known.latents.slice_mm, known.latents.noise_hu, &regions_of(&known)) {
        t.facts.entry(name).or_insert(value);
    }
}

fn regions_of(known: &pleura_phantom::Truth) -> Vec<TrueRegion> {
    known.regions.iter().map(|r| (r.box_mm, r.volume_ml)).collect()
}

/// The detector's figures over the test cases that have a truth file; `None` where none has, or where
/// no case has a report.
fn regions(
    reports: &BTreeMap<String, PathBuf>,
    joined: &Joined,
    truth: &[Truth],
    folder: &Path,
) -> Result<Option<Regions>> {
    let (mut all, mut large, mut without_report) = (Vec::new(), Vec::new(), Vec::new());
    for case in &joined.cases {
        let Some(t) = truth.iter().find(|t| t.case == case.case) else { continue };
        let dir = truth_folder(t, folder);
        if !dir.join(TRUTH_FILE).is_file() {
            continue;
        }
        let known = pleura_phantom::load_truth(&dir)?;
        let report = reports.get(&t.case).map(|dir| dir.join(REPORT_JSON)).filter(|r| r.is_file());
        let candidates: Vec<(Box3, f64)> = match report {
            Some(r) => Document::read(&r)?.regions.iter().map(|r| (r.box_mm, r.proposal_score)).collect(),
            None => {
                without_report.push(t.case.clone());
                Vec::new()
            }
        };
        let [of_all, of_large] = free_response(&candidates, &regions_of(&known));
        all.push(of_all);
        large.push(of_large);
    }
    let told = without_report.len() < all.len();
    Ok(told.then(|| Regions { all: froc(&all, SEED), large: froc(&large, SEED), without_report }))
}

fn markdown(e: &Evaluation) -> String {
    let mut out = e.cases.to_markdown();
    let mut named = |what: &str, cases: &[String]| {
        if !cases.is_empty() {
            out += &format!("\n{what}: {}.\n", cases.join(", "));
        }
    };
    named("Without a prediction, counted as misses", &e.missing);
    named("Predicted but of another set, not counted", &e.left_out);
    if let Some(r) = &e.regions {
        named("Without a report, all their regions counted as missed", &r.without_report);
        out += &format!(
            "\n### Regions found\n\nProposals of the reports; the detector's own threshold bounds how many there \
             are.\n\n{}\nRegions of {LARGE_MM} mm and more:\n\n{}",
            r.all.to_markdown(),
            r.large.to_markdown()
        );
    }
    if let Some(c) = &e.against {
        out += &format!("\n### Against the other run\n\n{}", c.to_markdown());
    }
    out
}

/// cases.md and cases.json, and the curves as SVG and CSV.
fn write(dir: &Path, e: &Evaluation, text: &str) -> Result<()> {
    super::make_folder(dir)?;
    let put = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    };
    put("cases.md", text)?;
    put("cases.json", &serde_json::to_string_pretty(e)?)?;
    if !e.cases.probabilities.is_empty() {
        write_probabilities(dir, "cases", &[("", e.cases.probabilities.as_slice())])?;
    }
    if let Some(r) = &e.regions {
        write_froc(&dir.join("froc"), &[("all", &r.all), ("10 mm and more", &r.large)])?;
    }
    Ok(())
}
