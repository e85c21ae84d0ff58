//! What is in there, and what would be screened.

use crate::dicom::choose::Series;
use crate::dicom::pixels::syntax_name;
use crate::dicom::read::{plan, without_localizers};
use crate::nifti;
use crate::search::{Found, find};
use crate::{InputFrame, Limits, Result, SourceFormat, Warning};
use pleura_volume::Geometry;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One series or file. Holds nothing that names the patient.
#[derive(Debug, Clone, Serialize)]
pub struct SeriesReport {
    /// The file, or the first file of the series.
    pub path: PathBuf,
    /// File format.
    pub format: SourceFormat,
    /// Number of the study among those found, from 1; series of one study share it.
    pub study: usize,
    /// DICOM modality.
    pub modality: Option<String>,
    /// Series Number.
    pub number: Option<i64>,
    /// Series Description.
    pub description: Option<String>,
    /// Series Instance UID.
    pub series_instance_uid: Option<String>,
    /// Reconstruction kernel.
    pub kernel: Option<String>,
    /// Manufacturer and model.
    pub scanner: Option<String>,
    /// How the pixels are coded.
    pub encoding: Option<String>,
    /// Number of files.
    pub files: usize,
    /// Slices of the oriented grid.
    pub slices: usize,
    /// Voxels along x, y, z of the oriented grid.
    pub size_voxels: Option<[usize; 3]>,
    /// Spacing along x, y, z of the oriented grid, mm.
    pub spacing_mm: Option<[f64; 3]>,
    /// `axial`, `coronal` or `sagittal`: the plane in which the slices lie as stored.
    pub plane: Option<&'static str>,
    /// Slice thickness as stated, mm.
    pub slice_thickness_mm: Option<f64>,
    /// What should be known of its geometry.
    pub warnings: Vec<Warning>,
    /// Whether this one would be screened.
    pub screened: bool,
    /// Why, or why not.
    pub reason: String,
}

/// Everything found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Inspection {
    /// Every series and file.
    pub series: Vec<SeriesReport>,
    /// What could not be looked at: path and reason.
    pub refused: Vec<(PathBuf, String)>,
    /// What was passed over.
    pub warnings: Vec<Warning>,
}

/// Looks at every series below `paths`, from the headers alone, and says which would be screened
/// and why.
///
/// # Errors
/// As [`crate::find_sources`].
pub fn inspect(paths: &[PathBuf], limits: &Limits) -> Result<Inspection> {
    let mut out = Inspection::default();
    let mut number = 0;
    for Found { studies, nifti, refused, passed, .. } in find(paths, limits) {
        out.refused.extend(refused.iter().map(|e| (e.path().to_owned(), e.reason())));
        out.warnings.extend(passed.into_iter().map(|p| p.1));
        for path in &nifti {
            number += 1;
            match of_nifti(path, number) {
                Ok(report) => out.series.push(report),
                Err(e) => out.refused.push((path.clone(), e.reason())),
            }
        }
        for study in &studies {
            number += 1;
            // A damaged file beside it keeps the chosen series from being screened.
            out.refused.extend(study.damage.clone());
            for (i, series) in study.series.iter().enumerate() {
                let why = study.chosen.as_ref().filter(|c| c.0 == i).map(|c| match &study.damage {
                    Some((_, reason)) => Err(reason.clone()),
                    None => Ok(c.1.clone()),
                });
                out.series.extend(of_dicom(series, number, why));
            }
        }
    }
    Ok(out)
}

/// The plane of the stored slices, by the patient axis nearest to the third stored axis.
fn plane(g: &Geometry) -> &'static str {
    let frame = InputFrame::nearest(g.clone());
    ["sagittal", "coronal", "axial"][frame.axes.iter().position(|&a| a == 2).unwrap_or(2)]
}

fn of_nifti(path: &Path, study: usize) -> Result<SeriesReport> {
    let (geometry, warnings, encoding) = nifti::read::describe(path)?;
    let oriented = InputFrame::nearest(geometry.clone()).oriented();
    Ok(SeriesReport {
        path: path.to_owned(),
        format: SourceFormat::Nifti,
        study,
        modality: None,
        number: None,
        description: None,
        series_instance_uid: None,
        kernel: None,
        scanner: None,
        encoding: Some(encoding),
        files: 1,
        slices: oriented.size[2],
        size_voxels: Some(oriented.size),
        spacing_mm: Some(oriented.spacing_mm),
        plane: Some(plane(&geometry)),
        slice_thickness_mm: None,
        warnings,
        screened: true,
        reason: "a volume of its own".into(),
    })
}

/// `chosen` says why it is screened, or why it is not although it was chosen.
fn of_dicom(
    series: &Series,
    study: usize,
    chosen: Option<std::result::Result<String, String>>,
) -> Option<SeriesReport> {
    let h = series.speaker()?;
    let stated = |v: &String| (!v.is_empty()).then(|| v.clone());
    let mut report = SeriesReport {
        path: h.path.clone(),
        format: SourceFormat::Dicom,
        study,
        modality: stated(&h.modality),
        number: h.series_number,
        description: h.description.clone(),
        series_instance_uid: stated(&h.series),
        kernel: h.kernel.clone(),
        scanner: h.scanner.clone(),
        encoding: Some(syntax_name(&h.pixels.syntax)),
        files: series.headers.len(),
        slices: series.headers.iter().map(|h| h.pixels.frames).sum(),
        size_voxels: None,
        spacing_mm: None,
        plane: None,
        slice_thickness_mm: h.planes.as_ref().ok().and_then(|p| p.first()?.thickness),
        warnings: vec![],
        screened: false,
        reason: "another series of the study is fitter".into(),
    };
    if let Some(problem) = &series.problem {
        report.reason.clone_from(problem);
        return Some(report);
    }
    let (headers, mut warnings) = without_localizers(series.headers.clone());
    match headers.iter().find_map(|h| h.problem()).map_or_else(|| plan(&headers), Err) {
        Err(reason) => report.reason = reason,
        Ok(stack) => {
            let frame = InputFrame::nearest(stack.geometry.clone());
            let oriented = frame.oriented();
            warnings.extend(series.dropped.iter().chain(&stack.warnings).cloned());
            crate::dicom::read::number_slices(&frame, &mut warnings);
            report.plane = Some(plane(&stack.geometry));
            report.slices = stack.geometry.size[2];
            (report.size_voxels, report.spacing_mm) = (Some(oriented.size), Some(oriented.spacing_mm));
            match chosen {
                Some(Ok(why)) => (report.screened, report.reason) = (true, why),
                Some(Err(damage)) => report.reason = damage,
                None => {}
            }
        }
    }
    report.warnings = warnings;
    Some(report)
}
