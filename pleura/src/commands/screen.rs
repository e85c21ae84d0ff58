//! `pleura screen`.

use crate::bars::Bar;
use crate::cli::{Profile, Screen};
use crate::failure::{DONE, FAILED, REFUSED, exit_code, sentence};
use anyhow::{Context, Result};
use pleura_formats::{Limits, Source, find_sources, read};
use pleura_report::{
    CaseRow, Document, Meta, ModelInfo, REPORT_JSON, Software, Status, cases_csv, summary_line, to_json_line,
};
use pleura_screen::{IRRELEVANT, Models, Options, role_name};
use pleura_volume::Progress;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How every scan of a run is screened and reported.
pub struct Job {
    pub models: Models,
    pub options: Options,
    pub masks: bool,
    pub with_patient: bool,
    pub limits: Limits,
}

impl Job {
    pub fn new(models: &[PathBuf], profile: Profile) -> Result<Self> {
        let profile = match profile {
            Profile::Calibrated => pleura_screen::Profile::Calibrated,
            Profile::Paper => pleura_screen::Profile::Paper,
        };
        let options = Options { profile, ..Options::default() };
        Ok(Self {
            models: crate::models::load(models)?,
            options,
            masks: false,
            with_patient: false,
            limits: Limits::default(),
        })
    }

    /// Reads one scan, screens it and writes its report into `out`; with `resume`, a report that is
    /// there already and answers the same question is kept.
    pub fn screen(
        &self,
        source: &Source,
        out: &Path,
        resume: bool,
        progress: &dyn Progress,
    ) -> Result<Document> {
        let mut meta = self.meta(source)?;
        if let Some(document) = Document::read(&out.join(REPORT_JSON)).ok().filter(|_| resume)
            && document.answers(&meta, self.options.profile, out)
        {
            return Ok(document);
        }
        let start = Instant::now();
        progress.stage("reading", 0);
        let scan = read(source, &self.limits)?;
        scan.check_orientation(&source.path)?;
        meta.read_s = start.elapsed().as_secs_f64();
        let case = pleura_screen::screen(&scan.volume, &self.models, &self.options, progress)
            .with_context(|| source.path.display().to_string())?;
        progress.stage("report", 0);
        Ok(pleura_report::write(out, &scan, &case, &meta)?)
    }

    /// What a report says of itself.
    fn meta(&self, source: &Source) -> Result<Meta> {
        let models = self.models.facts().map(|f| ModelInfo {
            role: role_name(f.role).into(),
            name: f.name.clone(),
            version: f.version.clone(),
            sha256: f.sha256.clone(),
            trained_on: f.trained_on.clone(),
        });
        Ok(Meta {
            name: source.name.clone(),
            fingerprint: pleura_report::fingerprint(source.files_on_disk())?,
            software: Software { name: "pleura".into(), version: env!("CARGO_PKG_VERSION").into() },
            models: models.to_vec(),
            read_s: 0.0,
            with_patient: self.with_patient,
            masks: self.masks,
        })
    }

    /// The infection types of the classifier, in its order.
    pub fn types(&self) -> Vec<String> {
        let classes = &self.models.classifier.classes;
        classes.iter().filter(|c| *c != IRRELEVANT).cloned().collect()
    }
}

pub fn run(a: &Screen) -> Result<u8> {
    let limits = a.limits.limits();
    super::not_a_file(&a.out)?;
    let found = find_sources(&a.input, &limits)?;
    super::print_warnings(&found.warnings);
    let plain = Job::new(&a.models.files, a.profile)?;
    let job = Job { masks: a.masks, with_patient: a.with_patient, limits, ..plain };
    match (a.input.as_slice(), found.sources.as_slice(), found.refused.is_empty()) {
        ([_], [source], true) => only_one(a, &job, source),
        (_, [], false) if found.refused.len() == 1 => {
            tell_of_earlier_report(&a.out);
            found.refused.into_iter().next().map_or(Ok(REFUSED), |e| Err(e.into()))
        }
        _ => many(a, &job, &found.sources, &found.refused),
    }
}

fn only_one(a: &Screen, job: &Job, source: &Source) -> Result<u8> {
    let bar = Bar::new("");
    let document = job.screen(source, &a.out, a.resume, &bar);
    bar.finish();
    if document.is_err() {
        tell_of_earlier_report(&a.out);
    }
    print(a, &source.name, &document?)?;
    Ok(DONE)
}

/// Says that a report in `dir` is not one of this run: nothing is deleted, and nothing mistaken.
fn tell_of_earlier_report(dir: &Path) {
    if dir.join(REPORT_JSON).exists() {
        eprintln!("warning (earlier-report): {}: the report there is of an earlier run", dir.display());
    }
}

fn print(a: &Screen, name: &str, document: &Document) -> Result<()> {
    let line = if a.json { to_json_line(document)? } else { summary_line(name, document) };
    println!("{line}");
    Ok(())
}

fn many(a: &Screen, job: &Job, sources: &[Source], refused: &[pleura_formats::Error]) -> Result<u8> {
    super::make_folder(&a.out)?;
    let table = a.out.join("cases.csv");
    tell_of_earlier_report(&a.out);
    let turned_down: Vec<CaseRow> = refused.iter().map(refused_row).collect();
    let mut rows: Vec<CaseRow> = Vec::new();
    let mut code = if refused.is_empty() { DONE } else { REFUSED };
    // Written again after each case, so that an interrupted run leaves a table of what is done.
    let write = |rows: &[CaseRow]| cases_csv(&table, &job.types(), rows.iter().chain(&turned_down));
    write(&rows)?;
    for (i, source) in sources.iter().enumerate() {
        let bar = Bar::new(&format!("{}/{} {}", i + 1, sources.len(), source.name));
        let dir = a.out.join(&source.name);
        let input = source.path.display().to_string();
        let outcome = job.screen(source, &dir, a.resume, &bar);
        bar.finish();
        match outcome {
            Ok(document) => {
                print(a, &source.name, &document)?;
                rows.push(CaseRow::done(&source.name, &input, document));
            }
            Err(e) if bar.cancelled() => return Err(e),
            Err(e) => {
                tell_of_earlier_report(&dir);
                let status = if exit_code(&e) == REFUSED { Status::Refused } else { Status::Failed };
                code = worse(code, if status == Status::Refused { REFUSED } else { FAILED });
                rows.push(CaseRow::not_done(&source.name, &input, status, &sentence(&e)));
            }
        }
        write(&rows)?;
    }
    rows.iter()
        .chain(&turned_down)
        .filter(|r| r.status != Status::Done)
        .for_each(|r| eprintln!("{}: {}", r.status.name(), r.error));
    Ok(code)
}

/// The row of an input that was refused before it was known to hold a scan.
fn refused_row(e: &pleura_formats::Error) -> CaseRow {
    let path = e.path();
    let name =
        path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    CaseRow::not_done(&name, &path.display().to_string(), Status::Refused, &e.to_string())
}

/// A failure of ours outranks a refused input, which outranks success.
fn worse(a: u8, b: u8) -> u8 {
    let rank = |code| [DONE, REFUSED, FAILED].iter().position(|c| *c == code);
    if rank(a) >= rank(b) { a } else { b }
}
