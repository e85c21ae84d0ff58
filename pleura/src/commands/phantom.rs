//! `pleura phantom`.

use crate::cli::{ClassName, Format, Phantom};
use crate::failure::{DONE, Usage};
use anyhow::{Context, Result};
use pleura_phantom::{Class, RenderOptions, render, save_dicom, save_nifti, save_truth};
use serde::Serialize;
use std::path::Path;

impl From<ClassName> for Class {
    fn from(name: ClassName) -> Self {
        match name {
            ClassName::Covid19 => Class::Covid19,
            ClassName::InfluenzaA => Class::InfluenzaA,
            ClassName::NoInfectionFound => Class::NoInfection,
        }
    }
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    class: Class,
    seed: u64,
    regions: usize,
    infected_ml: f64,
    out: &'a Path,
}

pub fn run(a: &Phantom) -> Result<u8> {
    let holds_something = a.out.read_dir().is_ok_and(|mut d| d.next().is_some());
    if holds_something {
        return Err(Usage(format!("{}: the folder is not empty; name another", a.out.display())).into());
    }
    let options = RenderOptions { slices: a.slices.into(), ..RenderOptions::default() };
    let phantom = render(a.class.into(), a.seed, &options);
    save(&phantom, a.format, &a.out)?;
    let answer = Answer {
        class: phantom.class,
        seed: phantom.seed,
        regions: phantom.regions.len(),
        infected_ml: phantom.regions.iter().map(|r| r.volume_ml).sum(),
        out: &a.out,
    };
    if a.json {
        super::print_json(&answer)?;
    } else {
        let Answer { regions, infected_ml, .. } = answer;
        println!(
            "{}: {regions} regions, {infected_ml:.0} ml infected, {}",
            phantom.class.name(),
            a.out.display()
        );
    }
    Ok(DONE)
}

/// Writes the CT (`ct/` or `ct.nii.gz`) and the truth (`truth/`) into `dir`, which appears whole or not
/// at all.
pub fn save(phantom: &pleura_phantom::Phantom, format: Format, dir: &Path) -> Result<()> {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let beside = dir.with_file_name(name);
    let written = write_into(phantom, format, &beside).and_then(|()| {
        if dir.exists() {
            std::fs::remove_dir(dir).with_context(|| format!("{}: cannot be replaced", dir.display()))?;
        }
        std::fs::rename(&beside, dir).with_context(|| format!("{}: cannot be written", dir.display()))
    });
    if written.is_err() {
        // The first failure is the one to tell.
        let _ = std::fs::remove_dir_all(&beside);
    }
    written
}

fn write_into(phantom: &pleura_phantom::Phantom, format: Format, dir: &Path) -> Result<()> {
    super::make_folder(dir)?;
    match format {
        Format::Dicom => save_dicom(phantom, &dir.join("ct"))?,
        Format::Nifti => save_nifti(phantom, dir)?,
    }
    Ok(save_truth(phantom, &dir.join("truth"))?)
}
