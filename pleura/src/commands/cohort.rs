//! `pleura cohort`.

use crate::bars::Bar;
use crate::cli::Cohort as Arguments;
use crate::failure::{DONE, Usage};
use anyhow::Result;
use pleura_phantom::{Cohort, CohortSpec, TRUTH_FILE, render};
use pleura_volume::{Cancelled, Progress};

pub fn run(a: &Arguments) -> Result<u8> {
    if !(a.scale > 0.0 && a.scale <= 10.0) {
        return Err(Usage("--scale must be above 0 and at most 10".into()).into());
    }
    let spec = CohortSpec { seed: a.seed, ..CohortSpec::paper() }.scaled(a.scale);
    let cohort = Cohort::new(&spec);
    super::make_folder(&a.out)?;
    cohort.write_manifest(&a.out.join("cohort.csv"))?;
    if !a.list {
        write_cases(a, &cohort)?;
    }
    let manifest = a.out.join("cohort.csv");
    if a.json {
        super::print_json(&serde_json::json!({ "cases": cohort.cases.len(), "manifest": manifest }))?;
    } else {
        println!("{} cases, {}", cohort.cases.len(), manifest.display());
    }
    Ok(DONE)
}

fn write_cases(a: &Arguments, cohort: &Cohort) -> Result<()> {
    let folder = a.out.join("cases");
    super::make_folder(&folder)?;
    let bar = Bar::new("");
    bar.stage("rendering", cohort.cases.len() as u64);
    for (i, case) in cohort.cases.iter().enumerate() {
        if bar.cancelled() {
            return Err(Cancelled.into());
        }
        let dir = folder.join(&case.name);
        let there = dir.join("truth").join(TRUTH_FILE).exists();
        if there && !a.resume {
            let text = format!("{}: is there already; --resume keeps it and goes on", dir.display());
            return Err(Usage(text).into());
        }
        if !there {
            let phantom = render(case.class, case.seed, &case.options);
            super::phantom::save(&phantom, a.format, &dir)?;
        }
        bar.done(i as u64 + 1);
    }
    bar.finish();
    Ok(())
}
