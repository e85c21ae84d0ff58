//! Reading the volume that a header describes.

use super::Grid;
use super::input::Input;
use super::place::warning;
use super::text::brief;
use crate::bounds;
use crate::hounsfield::doubt;
use crate::{Error, InputFrame, Limits, Result, Scan, SeriesFacts, SourceFormat, Warning};
use pleura_volume::{Geometry, Volume};
use std::path::Path;

/// Reads a volume file, streamed: never more memory than the volume and a megabyte, and one more
/// volume where its axes have to be exchanged.
pub(crate) fn read(path: &Path, format: SourceFormat, limits: &Limits) -> Result<Scan> {
    let grid = header(path, format, limits)?;
    let (voxels, each) = check(path, &grid, limits)?;
    let mut data: Vec<i16> = Vec::new();
    let no_room =
        |_| Error::Refused { path: path.into(), reason: "There is not enough memory for it.".into() };
    data.try_reserve_exact(voxels).map_err(no_room)?;
    let mut odd = 0;
    for file in &grid.files {
        let input = Input::open(file, &grid.place, &grid.values, each, limits);
        let read = input.and_then(|input| input.read(&grid.values, each, &mut data));
        odd += read.map_err(|e| named_by(path, e))?;
    }
    let mut warnings = grid.warnings;
    if odd > 0 {
        let message = format!("{odd} voxels hold no number or lie outside -32768 to 32767 and were clipped.");
        warnings.push(warning("values-clipped", message));
    }
    warnings.extend(doubt(&data));
    warnings.extend(bounds::coarse(&grid.geometry));
    let frame = InputFrame::nearest(grid.geometry.clone());
    let volume = frame.turned(Volume { geometry: grid.geometry, data });
    Ok(Scan { volume, frame, facts: SeriesFacts::default(), format, warnings })
}

/// Grid, warnings and number type, from the header and the sizes of the files alone.
pub(crate) fn describe(
    path: &Path,
    format: SourceFormat,
    limits: &Limits,
) -> Result<(Geometry, Vec<Warning>, String)> {
    let grid = header(path, format, limits)?;
    check(path, &grid, limits)?;
    Ok((grid.geometry, grid.warnings, format!("{:?}", grid.values.number).to_lowercase()))
}

/// What is wrong with a data file is told of the header that names it.
fn named_by(header: &Path, e: Error) -> Error {
    if e.path() == header {
        return e;
    }
    let name = e.path().file_name().unwrap_or_default().to_string_lossy();
    Error::Refused {
        path: header.to_owned(),
        reason: format!("Its data file {}: {}", brief(&name), e.reason()),
    }
}

/// The header of a file of this format.
pub(crate) fn header(path: &Path, format: SourceFormat, limits: &Limits) -> Result<Grid> {
    let mut grid = match format {
        SourceFormat::MetaImage => crate::metaimage::grid(path, limits),
        SourceFormat::Nrrd => crate::nrrd::grid(path, limits),
        SourceFormat::Nifti | SourceFormat::Dicom => crate::nifti::grid(path),
    }?;
    if grid.geometry.size.contains(&1) {
        grid.warnings.push(warning("single-slice", "The file holds a single slice."));
    }
    Ok(grid)
}

/// Number of voxels, and of those in each file, once they are known to be within the limits
/// and within what the files can hold: memory is asked for after that.
fn check(path: &Path, grid: &Grid, limits: &Limits) -> Result<(usize, usize)> {
    let refuse = |reason| Err(Error::Refused { path: path.to_owned(), reason });
    let [x, y, z] = grid.geometry.size;
    let voxels = x.checked_mul(y).and_then(|n| n.checked_mul(z)).filter(|&n| n <= limits.voxels);
    let Some(voxels) = voxels else {
        return refuse(format!("Its {x} x {y} x {z} voxels are more than the limit of {}.", limits.voxels));
    };
    let files = grid.files.len();
    if files == 0 || !z.is_multiple_of(files) {
        return refuse(format!(
            "Its {z} slices cannot be spread evenly over the {files} data files it names."
        ));
    }
    for file in &grid.files {
        let input = Input::open(file, &grid.place, &grid.values, voxels / files, limits);
        input.map_err(|e| named_by(path, e))?;
    }
    Ok((voxels, voxels / files))
}

/// Whether the header says 8-bit whole numbers without scaling: labels, which cannot be HU.
/// False when the header cannot be read, so that reading it tells why.
pub(crate) fn is_label_map(path: &Path, format: SourceFormat, limits: &Limits) -> bool {
    use super::values::Number::{I8, U8};
    header(path, format, limits).is_ok_and(|g| matches!(g.values.number, U8 | I8) && g.values.scale.is_none())
}
