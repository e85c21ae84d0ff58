//! What is in there, and what would be screened.

use crate::dicom::pixels::syntax_name;
use crate::dicom::series::Series;
use crate::grids;
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
    /// Stable code of what keeps it from being screened, if anything does (docs/input.md).
    pub code: Option<&'static str>,
    /// Why it is screened, or why not.
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
    find(paths, limits, &mut |Found { studies, volumes, refused, passed, archive, .. }| {
        let (first, first_refused) = (out.series.len(), out.refused.len());
        out.refused.extend(refused.iter().map(|e| (e.path().to_owned(), e.reason())));
        out.warnings.extend(passed.into_iter().map(|p| p.1));
        for (path, format) in &volumes {
            number += 1;
            match of_volume(path, *format, number, limits) {
                Ok(report) => out.series.push(report),
                Err(e) => out.refused.push((path.clone(), e.reason())),
            }
        }
        for study in &studies {
            number += 1;
            for (i, series) in study.series.iter().enumerate() {
                let reason = match &study.choice {
                    Some(choice) => choice.reasons[i].clone(),
                    None => series.problem.as_ref().map(|p| p.text.clone()).unwrap_or_default(),
                };
                let damaged = series.problem.as_ref().filter(|p| p.code == "file-damaged");
                out.refused.extend(damaged.and_then(|p| Some((series.culprit.clone()?, p.text.clone()))));
                let screened = study.choice.as_ref().is_some_and(|c| c.index == i);
                out.series.extend(of_dicom(series, number, screened, reason));
            }
        }
        if let Some(unpacked) = archive {
            out.series[first..].iter_mut().for_each(|s| s.path = unpacked.told(&s.path));
            out.refused[first_refused..].iter_mut().for_each(|r| r.0 = unpacked.told(&r.0));
        }
    });
    Ok(out)
}

/// The plane of the stored slices, by the patient axis nearest to the third stored axis.
fn plane(g: &Geometry) -> &'static str {
    let frame = InputFrame::nearest(g.clone());
    ["sagittal", "coronal", "axial"][frame.axes.iter().position(|&a| a == 2).unwrap_or(2)]
}

fn of_volume(path: &Path, format: SourceFormat, study: usize, limits: &Limits) -> Result<SeriesReport> {
    let (geometry, warnings, encoding) = grids::read::describe(path, format, limits)?;
    let oriented = InputFrame::nearest(geometry.clone()).oriented();
    Ok(SeriesReport {
        path: path.to_owned(),
        format,
        study,
        modality: None,
        number: None,
        description: None,
        series_instance_uid: None,
        kernel: None,
        scanner: None,
        encoding: Some(encoding),
        files: grids::files(path, format, limits).len(),
        slices: oriented.size[2],
        size_voxels: Some(oriented.size),
        spacing_mm: Some(oriented.spacing_mm),
        plane: Some(plane(&geometry)),
        slice_thickness_mm: None,
        warnings,
        screened: true,
        code: None,
        reason: "a volume of its own".into(),
    })
}

fn of_dicom(series: &Series, study: usize, screened: bool, reason: String) -> Option<SeriesReport> {
    let h = series.speaker()?;
    let stated = |v: &String| (!v.is_empty()).then(|| v.clone());
    let oriented = series.oriented();
    let mut warnings = series.warnings.clone();
    if let Some(stack) = &series.stack {
        warnings.extend(stack.warnings.iter().cloned());
        crate::dicom::read::number_slices(&InputFrame::nearest(stack.geometry.clone()), &mut warnings);
    }
    let slices = series.headers.iter().filter(|h| h.is_image()).map(|h| h.pixels.frames).sum();
    Some(SeriesReport {
        path: h.path.clone(),
        format: SourceFormat::Dicom,
        study,
        modality: stated(&h.modality),
        number: h.series_number,
        description: h.description.clone(),
        series_instance_uid: stated(&h.series),
        kernel: h.kernel.clone(),
        scanner: h.scanner.clone(),
        encoding: h.is_image().then(|| syntax_name(&h.pixels.syntax)),
        files: series.headers.len(),
        slices: series.stack.as_ref().map_or(slices, |s| s.geometry.size[2]),
        size_voxels: oriented.as_ref().map(|g| g.size),
        spacing_mm: oriented.as_ref().map(|g| g.spacing_mm),
        plane: series.stack.as_ref().map(|s| plane(&s.geometry)),
        slice_thickness_mm: h.planes().first().and_then(|p| p.thickness),
        warnings,
        screened,
        code: series.problem.as_ref().map(|p| p.code),
        reason,
    })
}
