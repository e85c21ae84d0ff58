//! Many cases: cases.csv and a line for the terminal.

use crate::document::{Document, NOT_ANALYSABLE};
use crate::files::{Beside, put};
use crate::{Error, Result};
use pleura_screen::{LungStatus, no_infection};
use std::fs;
use std::path::Path;

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A report was written, whatever the verdict.
    Done,
    /// The input was refused.
    Refused,
    /// Anything else went wrong.
    Failed,
}

impl Status {
    /// The word in cases.csv.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// One row of cases.csv.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseRow {
    /// Name of the case, that of its folder.
    pub case: String,
    /// The input as the user gave it.
    pub input: String,
    /// How it ended.
    pub status: Status,
    /// What report.json says; none unless done.
    pub document: Option<Document>,
    /// Why it is not done.
    pub error: String,
}

impl CaseRow {
    /// The row of a case with a report.
    pub fn done(case: &str, input: &str, document: Document) -> Self {
        let status = Status::Done;
        Self {
            case: case.into(),
            input: input.into(),
            status,
            document: Some(document),
            error: String::new(),
        }
    }

    /// The row of a case without one.
    pub fn not_done(case: &str, input: &str, status: Status, error: &str) -> Self {
        Self { case: case.into(), input: input.into(), status, document: None, error: error.into() }
    }
}

/// Writes cases.csv; the file appears whole or not at all.
///
/// Columns: case, input, status, verdict, probability, one a finding of `types` with its
/// probability, regions (all proposals), lungs_ml, involvement_pct, warnings (codes), seconds,
/// error, no_infection (its probability). A field that a spreadsheet would run as a formula gets an apostrophe in front.
///
/// # Errors
/// [`Error::Io`] when it cannot be written.
pub fn cases_csv<'a>(
    path: &Path,
    types: &[String],
    rows: impl IntoIterator<Item = &'a CaseRow>,
) -> Result<()> {
    let fail = |e: csv::Error| Error::encode("table")(e.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    let before = ["case", "input", "status", "verdict", "probability"];
    let after = ["regions", "lungs_ml", "involvement_pct", "warnings", "seconds", "error", "no_infection"];
    let header = before.into_iter().chain(types.iter().map(String::as_str)).chain(after);
    writer.write_record(header.map(harmless)).map_err(fail)?;
    for row in rows {
        writer.write_record(fields(row, types).iter().map(|f| harmless(f))).map_err(fail)?;
    }
    let bytes = writer.into_inner().map_err(|e| Error::encode("table")(e.to_string()))?;
    let beside = Beside::new(path)?;
    let new = beside.new.join("cases.csv");
    put(&new, &bytes)?;
    fs::rename(&new, path).map_err(Error::io(path))
}

fn fields(row: &CaseRow, types: &[String]) -> Vec<String> {
    let d = row.document.as_ref();
    let or_empty = |v: Option<String>| v.unwrap_or_default();
    let finding = |kind: &String| {
        let found = d.and_then(|d| d.findings.iter().find(|f| f.kind == *kind));
        or_empty(found.map(|f| format!("{:.4}", f.probability)))
    };
    let mut all = vec![row.case.clone(), row.input.clone(), row.status.name().into()];
    all.push(or_empty(d.map(|d| d.verdict.kind.clone())));
    all.push(or_empty(d.and_then(|d| d.verdict.probability).map(|p| format!("{p:.4}"))));
    all.extend(types.iter().map(finding));
    all.push(or_empty(d.map(|d| d.regions.len().to_string())));
    all.push(or_empty(d.map(|d| format!("{:.0}", d.lungs.volume_ml))));
    all.push(or_empty(d.map(|d| format!("{:.2}", d.lungs.involvement_pct()))));
    let codes = |d: &Document| d.input.warnings.iter().map(|w| w.code.as_str()).collect::<Vec<_>>().join(" ");
    all.push(or_empty(d.map(codes)));
    all.push(or_empty(d.map(|d| format!("{:.1}", d.timings_s.total))));
    all.push(row.error.clone());
    // Without findings nothing was looked at.
    let told = |d: &Document| !d.findings.is_empty();
    let clear = |d: &Document| no_infection(d.findings.iter().map(|f| f.probability), d.profile);
    all.push(or_empty(d.filter(|d| told(d)).map(|d| format!("{:.4}", clear(d)))));
    all
}

/// Disarms what a spreadsheet would take for a formula.
fn harmless(field: &str) -> String {
    let formula =
        field.trim_start().starts_with(['=', '+', '-', '@']) || field.starts_with(['\t', '\r', '\n']);
    if formula { format!("'{field}") } else { field.to_owned() }
}

/// One line a case for the terminal.
pub fn summary_line(case: &str, d: &Document) -> String {
    let verdict = match d.verdict.probability {
        Some(p) => format!("{} {p:.3}", d.verdict.kind),
        None => d.verdict.kind.clone(),
    };
    let status = match d.lungs.status {
        LungStatus::Ok => "ok",
        LungStatus::Partial => "partial",
        LungStatus::NotFound => "not found",
    };
    let infected = d.regions.iter().filter(|r| r.kind != pleura_screen::IRRELEVANT).count();
    let warnings = match d.input.warnings.len() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        n => format!(", {n} warnings"),
    };
    let seen = if d.verdict.kind == NOT_ANALYSABLE {
        String::new()
    } else {
        let (involved, all) = (d.lungs.involvement_pct(), d.regions.len());
        format!(", {involved:.1} % involved; {infected} of {all} regions infected")
    };
    let (litres, seconds) = (d.lungs.volume_ml / 1000.0, d.timings_s.total);
    format!("{case}: {verdict}; lungs {status}, {litres:.1} l{seen}{warnings}; {seconds:.1} s")
}
