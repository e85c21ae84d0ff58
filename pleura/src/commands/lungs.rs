//! `pleura lungs`.

use crate::bars::Bar;
use crate::cli::Lungs;
use crate::failure::DONE;
use anyhow::Result;
use pleura_lungs::{LungOptions, LungStatus, find, volumes_ml};
use serde::Serialize;

/// What is printed with `--json`.
#[derive(Serialize)]
struct Answer {
    status: LungStatus,
    right_ml: f64,
    left_ml: f64,
    reasons: Vec<String>,
    warnings: Vec<pleura_formats::Warning>,
}

pub fn run(a: &Lungs) -> Result<u8> {
    super::nifti_output(&a.out)?;
    super::not_the_input(&a.input, &a.out)?;
    let scan = super::the_only_scan(&a.input, &a.limits.limits())?;
    let bar = Bar::new("");
    let lungs = find(&scan.volume, &LungOptions::default(), &bar)?;
    bar.finish();
    super::make_folder_of(&a.out)?;
    pleura_formats::write_nifti_u8(&a.out, &lungs.mask, Some(&scan.frame))?;
    let [right_ml, left_ml] = volumes_ml(&lungs.mask);
    if a.json {
        let (status, reasons, warnings) = (lungs.status, lungs.reasons, scan.warnings);
        super::print_json(&Answer { status, right_ml, left_ml, reasons, warnings })?;
        return Ok(DONE);
    }
    super::print_warnings(&scan.warnings);
    let status = match lungs.status {
        LungStatus::Ok => "ok",
        LungStatus::Partial => "partial",
        LungStatus::NotFound => "not-found",
    };
    println!("lungs {status}: right {right_ml:.0} ml, left {left_ml:.0} ml");
    lungs.reasons.iter().for_each(|r| println!("  {r}"));
    Ok(DONE)
}
