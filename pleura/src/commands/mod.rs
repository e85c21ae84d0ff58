//! One module a command: reads what was typed, calls the libraries, prints.

mod cohort;
mod convert;
mod demo;
mod evaluate;
mod inspect;
mod lungs;
#[cfg(feature = "train")]
mod measure;
mod phantom;
#[cfg(feature = "train")]
mod reproduce;
mod screen;
#[cfg(feature = "train")]
mod shortcut;
#[cfg(feature = "train")]
mod train;

use crate::cli::{Cli, Command};
use crate::failure::{DONE, Usage};
use anyhow::Result;
use clap::CommandFactory;
use pleura_formats::{Limits, Scan, find_sources};
use std::path::Path;

/// Runs a command and says with which exit code to end.
pub fn run(command: Command) -> Result<u8> {
    match command {
        Command::Screen(a) => screen::run(&a),
        Command::Demo(a) => demo::run(&a),
        Command::Inspect(a) => inspect::run(&a),
        Command::Lungs(a) => lungs::run(&a),
        Command::Convert(a) => convert::run(&a),
        Command::Phantom(a) => phantom::run(&a),
        Command::Cohort(a) => cohort::run(&a),
        #[cfg(feature = "train")]
        Command::Train(a) => train::run(&a),
        #[cfg(feature = "train")]
        Command::Reproduce(a) => reproduce::run(&a),
        #[cfg(feature = "train")]
        Command::Measure(a) => measure::run(&a),
        #[cfg(feature = "train")]
        Command::Shortcut(a) => shortcut::run(&a),
        Command::Evaluate(a) => evaluate::run(&a),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "pleura", &mut std::io::stdout());
            Ok(DONE)
        }
    }
}

/// The only scan at `input`; several are a matter for `pleura screen`.
fn the_only_scan(input: &Path, limits: &Limits) -> Result<Scan> {
    let mut found = find_sources(&[input.to_path_buf()], limits)?;
    if let Some(refused) = found.refused.pop().filter(|_| found.sources.is_empty()) {
        return Err(refused.into());
    }
    let Some(source) = found.sources.pop().filter(|_| found.sources.is_empty()) else {
        let text = format!(
            "{}: holds several scans; name one of them (`pleura inspect` lists them)",
            input.display()
        );
        return Err(Usage(text).into());
    };
    let scan = pleura_formats::read(&source, limits)?;
    Ok(scan)
}

/// Refuses an output file that is not NIfTI.
fn nifti_output(path: &Path) -> Result<()> {
    let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    if name.ends_with(".nii") || name.ends_with(".nii.gz") {
        return Ok(());
    }
    Err(Usage(format!("{}: the output must end in .nii or .nii.gz", path.display())).into())
}

/// Refuses a folder for results that is a file, before any work is done.
fn not_a_file(out: &Path) -> Result<()> {
    if out.is_file() {
        return Err(
            Usage(format!("{}: is a file, where a folder for the results is needed", out.display())).into()
        );
    }
    Ok(())
}

/// Refuses to write over the input.
fn not_the_input(input: &Path, out: &Path) -> Result<()> {
    if let (Ok(input), Ok(out)) = (input.canonicalize(), out.canonicalize())
        && input == out
    {
        return Err(Usage(format!("{}: is the input; name another file", out.display())).into());
    }
    Ok(())
}

/// Makes the folder that a file is to be written to; called once there is something to write.
fn make_folder_of(path: &Path) -> Result<()> {
    path.parent().filter(|p| !p.as_os_str().is_empty()).map_or(Ok(()), make_folder)
}

/// Makes a folder and those above it.
fn make_folder(path: &Path) -> Result<()> {
    use anyhow::Context;
    std::fs::create_dir_all(path).with_context(|| format!("{}: the folder cannot be made", path.display()))
}

/// Prints warnings on standard error.
fn print_warnings(warnings: &[pleura_formats::Warning]) {
    for w in warnings {
        eprintln!("warning ({}): {}", w.code, w.message);
    }
}

/// `value` as indented JSON on standard output.
fn print_json<T: serde::Serialize>(value: &T) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
