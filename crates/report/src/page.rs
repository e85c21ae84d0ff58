//! report.html: one self-contained page.

use crate::document::{Document, FindingPart, NO_INFECTION, NOT_ANALYSABLE, RegionPart, Side};
use crate::{Error, Result};
use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pleura_formats::SourceFormat;
use pleura_screen::{IRRELEVANT, LungStatus, Profile, percent};

/// The pictures of a report, as PNG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pictures {
    /// Coronal overview.
    pub overview: Vec<u8>,
    /// One a region, in the document's order.
    pub regions: Vec<Vec<u8>>,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    d: &'a Document,
    title: String,
    tone: &'static str,
    verdict: String,
    probability: Option<String>,
    profile: &'static str,
    format: &'static str,
    lung_status: &'static str,
    assessed: bool,
    overview: String,
    findings: Vec<FindingRow>,
    together: &'static str,
    infected: Vec<RegionCard<'a>>,
    irrelevant: Vec<RegionCard<'a>>,
}

struct FindingRow {
    label: String,
    percent: String,
    width: String,
    regions: String,
}

struct RegionCard<'a> {
    r: &'a RegionPart,
    label: String,
    percent: String,
    side: &'static str,
    classes: Vec<String>,
    patches: Vec<PatchRow>,
    size: String,
    marked: &'static str,
    image: String,
}

struct PatchRow {
    slice: usize,
    place: &'static str,
    kind: String,
    percents: Vec<String>,
    distance: String,
}

/// Renders the page.
///
/// # Errors
/// [`Error::Encode`] when the template fails.
pub fn render(d: &Document, pictures: &Pictures) -> Result<String> {
    let cards = || d.regions.iter().zip(&pictures.regions).map(|(r, png)| card(r, png));
    let page = Page {
        d,
        title: d.input.name.clone().unwrap_or_else(|| neutral_title(d)),
        tone: tone(&d.verdict.kind),
        verdict: label(&d.verdict.kind),
        probability: d.verdict.probability.map(percent),
        profile: match d.profile {
            Profile::Paper => "paper (plain noisy-or)",
            Profile::Calibrated => "calibrated (one leaky noisy-or, shared by the types, with thresholds)",
        },
        together: match d.profile {
            Profile::Paper => "Each type has a probability of its own; together they need not make 100 %.",
            Profile::Calibrated => "What the types leave to 100 % is the probability of no infection.",
        },
        format: format_name(d.input.format),
        lung_status: match d.lungs.status {
            LungStatus::Ok => "found whole",
            LungStatus::Partial => "found in part",
            LungStatus::NotFound if d.lungs.volume_ml > 0.0 => "too little to analyse",
            LungStatus::NotFound => "not found",
        },
        assessed: d.verdict.kind != NOT_ANALYSABLE,
        overview: data_uri(&pictures.overview),
        findings: d.findings.iter().map(finding).collect(),
        infected: cards().filter(|c| c.r.kind != IRRELEVANT).collect(),
        irrelevant: cards().filter(|c| c.r.kind == IRRELEVANT).collect(),
    };
    page.render().map_err(|e| Error::encode("page")(e.to_string()))
}

/// What the page is called where the input's name, often the patient's, is not to be shown.
fn neutral_title(d: &Document) -> String {
    format!("Chest CT ({}, {} slices)", format_name(d.input.format), d.input.slices)
}

fn format_name(format: SourceFormat) -> &'static str {
    match format {
        SourceFormat::Dicom => "DICOM series",
        SourceFormat::Nifti => "NIfTI",
        SourceFormat::MetaImage => "MetaImage",
        SourceFormat::Nrrd => "NRRD",
    }
}

/// What a class or verdict is called on the page.
pub fn label(kind: &str) -> String {
    match kind {
        "covid-19" => "COVID-19 pneumonia",
        "influenza-a" => "Influenza-A viral pneumonia",
        NO_INFECTION => "No infection found",
        "indeterminate" => "Indeterminate",
        NOT_ANALYSABLE => "Not analysable",
        "irrelevant" => "Irrelevant to infection",
        other => other,
    }
    .to_owned()
}

/// Colour of the verdict: never green, a negative result excludes nothing.
fn tone(kind: &str) -> &'static str {
    match kind {
        NO_INFECTION => "calm",
        "indeterminate" | NOT_ANALYSABLE => "open",
        _ => "alert",
    }
}

fn finding(f: &FindingPart) -> FindingRow {
    let regions = match f.regions.as_slice() {
        [] => "no region".to_owned(),
        [one] => format!("region {one}"),
        many => {
            let ids: Vec<String> = many.iter().map(usize::to_string).collect();
            format!("regions {}", ids.join(", "))
        }
    };
    FindingRow {
        label: label(&f.kind),
        percent: percent(f.probability),
        width: format!("{:.1}", 100.0 * f.probability.clamp(0.0, 1.0)),
        regions,
    }
}

fn card<'a>(r: &'a RegionPart, png: &[u8]) -> RegionCard<'a> {
    const PLACES: [&str; 3] = ["caudal", "centre", "cranial"];
    let names: Vec<String> =
        r.patches.first().map(|p| p.probabilities.keys().cloned().collect()).unwrap_or_default();
    let patch = |(i, p): (usize, &crate::document::PatchPart)| PatchRow {
        slice: p.slice_index,
        place: PLACES.get(i).copied().unwrap_or(""),
        kind: p.kind.clone(),
        percents: names.iter().map(|n| percent(p.probabilities.get(n).copied().unwrap_or(0.0))).collect(),
        distance: format!("{:.3}", p.distance_from_edge),
    };
    let [x, y, z] = r.box_mm.size();
    RegionCard {
        r,
        label: label(&r.kind),
        percent: percent(r.confidence),
        side: match r.side {
            Side::Right => "right lung",
            Side::Left => "left lung",
        },
        patches: r.patches.iter().enumerate().map(patch).collect(),
        classes: names.clone(),
        size: format!("{x:.0} × {y:.0} × {z:.0} mm"),
        // The voxel head marks tissue whatever the vote says of the region.
        marked: if r.kind == IRRELEVANT { "Marked as if infected" } else { "Infected inside the box" },
        image: data_uri(png),
    }
}

fn data_uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}
