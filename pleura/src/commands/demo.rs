//! `pleura demo`.

use super::screen::Job;
use crate::bars::Bar;
use crate::cli::{Demo, Format};
use crate::failure::DONE;
use anyhow::{Context, Result};
use pleura_evaluate::{Confusion, Interval};
use pleura_formats::{Limits, find_sources};
use pleura_phantom::{Class, RenderOptions, render};
use pleura_report::{CaseRow, Document, cases_csv};
use pleura_volume::{Cancelled, Progress};
use serde::Serialize;

/// One line of the table.
#[derive(Serialize)]
struct Row {
    case: String,
    seed: u64,
    truth: &'static str,
    verdict: String,
    probability: Option<f64>,
    regions: usize,
    true_regions: usize,
    seconds: f64,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    cases: &'a [Row],
    confusion: &'a Confusion,
    accuracy: f64,
    accuracy_interval_95: Interval,
}

pub fn run(a: &Demo) -> Result<u8> {
    let job = Job::new(&a.models.files, a.profile)?;
    super::make_folder(&a.out)?;
    let mut confusion = Confusion::new(&Class::ALL.map(|c| c.name().to_owned()));
    let (mut rows, mut cases, mut truth) = (Vec::new(), Vec::new(), String::from("case,class\n"));
    if !a.json {
        println!("{:<28} {:<20} {:<20} {:>11} {:>8}", "case", "truth", "verdict", "probability", "regions");
    }
    for seed in (0..u64::from(a.repeat)).map(|i| a.seed.wrapping_add(i)) {
        for class in Class::ALL {
            let (row, document) = one(a, &job, class, seed)?;
            confusion.add(row.truth, &row.verdict);
            truth += &format!("{},{}\n", row.case, row.truth);
            cases.push(CaseRow::done(&row.case, &row.case, document));
            if !a.json {
                println!("{}", line(&row));
            }
            rows.push(row);
        }
    }
    cases_csv(&a.out.join("cases.csv"), &job.types(), &cases)?;
    let path = a.out.join("truth.csv");
    std::fs::write(&path, truth).with_context(|| format!("{} cannot be written", path.display()))?;
    if a.json {
        let (accuracy, accuracy_interval_95) = confusion.accuracy();
        super::print_json(&Answer { cases: &rows, confusion: &confusion, accuracy, accuracy_interval_95 })?;
    } else {
        if a.repeat > 1 {
            println!("\n{}", confusion.to_markdown());
        }
        println!("Synthetic patients, research use only. Reports are in {}", a.out.display());
    }
    Ok(DONE)
}

fn line(r: &Row) -> String {
    let probability = r.probability.map_or_else(|| "-".into(), |p| format!("{p:.3}"));
    format!("{:<28} {:<20} {:<20} {probability:>11} {:>8}", r.case, r.truth, r.verdict, r.regions)
}

/// Makes one phantom as a DICOM series, screens it from its files and reports it. The series of a long
/// run is taken away again: 37 MB each.
fn one(a: &Demo, job: &Job, class: Class, seed: u64) -> Result<(Row, Document)> {
    let case = format!("{}-{seed}", class.name());
    let bar = Bar::new(&case);
    if bar.cancelled() {
        return Err(Cancelled.into());
    }
    bar.stage("making the phantom", 0);
    let phantom = render(class, seed, &RenderOptions::default());
    let dir = a.out.join(&case);
    let folder = dir.join("phantom");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("{} cannot be replaced", folder.display()))?;
    }
    super::make_folder(&dir)?;
    super::phantom::save(&phantom, Format::Dicom, &folder)?;
    let found = find_sources(&[folder.join("ct")], &Limits::default())?;
    let source = found.sources.first().context("the phantom's own files cannot be read")?;
    let document = job.screen(source, &dir, false, &bar)?;
    bar.finish();
    if a.repeat > 1 {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    let row = Row {
        case,
        seed,
        truth: class.name(),
        verdict: document.verdict.kind.clone(),
        probability: document.verdict.probability,
        regions: document.regions.len(),
        true_regions: phantom.regions.len(),
        seconds: document.timings_s.total,
    };
    Ok((row, document))
}
