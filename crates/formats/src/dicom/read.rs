//! From the files of one series to a scan.

use super::header::Header;
use super::pixels::{Padding, PixelFile};
use super::resample::resample;
use super::stack::{self, Slice, Stack};
use super::{Problem, warning};
use crate::bounds;
use crate::hounsfield::{AIR_HU, doubt};
use crate::{Error, InputFrame, Limits, Result, Scan, SeriesFacts, SourceFormat, Warning};
use pleura_volume::Volume;
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Reads the files of one series; `folder` names it in errors.
pub(crate) fn read_series(folder: &Path, files: &[PathBuf], limits: &Limits) -> Result<Scan> {
    let headers: Vec<Option<Header>> = files
        .par_iter()
        .map(|f| Header::read(f, limits).map_err(|damage| damage.error))
        .collect::<Result<_>>()?;
    let headers: Vec<Header> = headers.into_iter().flatten().collect();
    let refuse = |reason: String| Error::Refused { path: folder.to_owned(), reason };
    let (headers, mut warnings) = without_localizers(headers);
    if let Some((h, problem)) = headers.iter().find_map(|h| Some((h, h.problem()?))) {
        return Err(problem.at(&h.path));
    }
    check_sizes(&headers)?;
    let stack = plan(&headers).map_err(|problem| problem.at(folder))?;
    let voxels =
        stack.slices.len().max(stack.geometry.size[2]).saturating_mul(stack.slices[0].size.iter().product());
    if voxels.max(stack.geometry.len()) > limits.voxels {
        return Err(refuse(format!("Its {voxels} voxels are more than the limit of {}.", limits.voxels)));
    }
    let (data, padding) = decode(&headers, &stack, limits)?;
    warnings.extend(stack.warnings.iter().cloned());
    warnings.extend(padding_warning(&padding));
    if headers.iter().any(|h| h.lossy) {
        let message = "The pictures were compressed with loss; fine detail may be missing or made up.";
        warnings.push(warning("lossy-compression", message, vec![]));
    }
    check_rescale(&headers, &data, &mut warnings).map_err(|problem| problem.at(folder))?;
    let data = if stack.blends.is_none() && stack.tilt.is_none() { data } else { resample(&stack, &data) };
    warnings.extend(doubt(&data));
    warnings.extend(bounds::coarse(&stack.geometry));
    let mut frame = InputFrame::nearest(stack.geometry.clone());
    number_slices(&frame, &mut warnings);
    frame.sop_instance_uids = instances(&frame, &headers, &stack);
    let volume = frame.turned(Volume { geometry: stack.geometry.clone(), data });
    Ok(Scan { volume, frame, facts: facts(&headers, &stack), format: SourceFormat::Dicom, warnings })
}

/// Localizers show the body from the side: they are told and left out.
pub(crate) fn without_localizers(headers: Vec<Header>) -> (Vec<Header>, Vec<Warning>) {
    let total = headers.len();
    let (localizers, kept): (Vec<Header>, Vec<Header>) = headers.into_iter().partition(Header::is_localizer);
    if localizers.is_empty() || kept.is_empty() {
        // A series of nothing but localizers is refused as such.
        return (if kept.is_empty() { localizers } else { kept }, vec![]);
    }
    let message =
        format!("{} of {total} images are localizers (scout views) and were left out.", localizers.len());
    (kept, vec![warning("localizer-dropped", message, vec![])])
}

/// The grid of a series. Headers must be free of problems.
pub(crate) fn plan(headers: &[Header]) -> std::result::Result<Stack, Problem> {
    let slices = headers.iter().enumerate().flat_map(|(file, h)| {
        h.planes().iter().enumerate().map(move |(frame, plane)| Slice {
            file,
            frame,
            size: [h.pixels.columns, h.pixels.rows],
            plane: plane.clone(),
            number: h.instance_number.filter(|_| h.pixels.frames == 1),
            frame_of_reference: h.frame_of_reference.clone(),
        })
    });
    let mut stack = stack::build(slices.collect(), headers.first().and_then(|h| h.between))?;
    if headers.iter().any(|h| h.frames.as_ref().is_ok_and(|f| f.assumed)) {
        let message = "The frames do not say where they lie; their order and distance were followed along the \
                       normal of the first.";
        stack.warnings.push(warning("frame-positions-assumed", message, vec![]));
    }
    Ok(stack)
}

/// Refuses a header that promises more pixels than its file could hold under any compression,
/// before memory is asked for them.
fn check_sizes(headers: &[Header]) -> Result<()> {
    for h in headers {
        let length = std::fs::metadata(&h.path).map_err(|e| Error::unreadable(&h.path, e))?.len();
        let pixels = h.pixels.columns.saturating_mul(h.pixels.rows).saturating_mul(h.pixels.frames) as u64;
        // Deflate shrinks 1032 to 1 at best, the other codings less.
        if pixels > length.saturating_mul(1032) {
            let reason = "Its header promises more pixels than the file can hold.".to_owned();
            return Err(Error::Refused { path: h.path.clone(), reason });
        }
    }
    Ok(())
}

/// All slices of the stack, decoded in parallel, one after the other.
fn decode(headers: &[Header], stack: &Stack, limits: &Limits) -> Result<(Vec<i16>, Vec<Padding>)> {
    let [columns, rows] = stack.slices[0].size;
    let pixels = columns * rows;
    let mut data = vec![0_i16; pixels * stack.slices.len()];
    // Files of several frames are opened once.
    let many: HashMap<usize, PixelFile> = headers
        .iter()
        .enumerate()
        .filter(|(_, h)| h.pixels.frames > 1)
        .map(|(i, h)| Ok((i, PixelFile::open(h, limits)?)))
        .collect::<Result<_>>()?;
    let padding = data
        .par_chunks_mut(pixels)
        .zip(&stack.slices)
        .map(|(out, s)| match many.get(&s.file) {
            Some(file) => file.frame(s.frame, &s.plane, out),
            None => PixelFile::open(&headers[s.file], limits)?.frame(0, &s.plane, out),
        })
        .collect::<Result<_>>()?;
    Ok((data, padding))
}

fn padding_warning(padding: &[Padding]) -> Option<Warning> {
    let pixels: usize = padding.iter().map(|p| p.replaced).sum();
    if pixels > 0 {
        let message = format!("{pixels} padding pixels outside the field of view were set to {AIR_HU} HU.");
        return Some(warning("padding-replaced", message, vec![]));
    }
    let message =
        "The padding value stands for tissue or air that also occurs in the picture; it was not used.";
    padding.iter().any(|p| p.ignored).then(|| warning("padding-ignored", message, vec![]))
}

/// A CT without slope and intercept, or with a lookup table instead, is taken as HU only when its
/// values say so themselves.
fn check_rescale(
    headers: &[Header],
    data: &[i16],
    warnings: &mut Vec<Warning>,
) -> std::result::Result<(), Problem> {
    let stated = |h: &Header| h.planes().iter().filter(|p| p.rescale.is_some()).count();
    let by_slope: usize = headers.iter().filter(|h| h.pixels.lut_type().is_none()).map(stated).sum();
    let by_table: usize =
        headers.iter().filter(|h| h.pixels.lut_type().is_some()).map(|h| h.planes().len()).sum();
    let all: usize = headers.iter().map(|h| h.planes().len()).sum();
    if by_slope == all {
        return Ok(());
    }
    let (code, what, message) = if by_table > 0 {
        let message = "The values go through a lookup table instead of a slope, which says that it gives HU.";
        ("modality-lut", "The values of its lookup table", message)
    } else {
        let message = "Rescale Slope and Intercept are missing; the values were taken as Hounsfield units.";
        ("rescale-missing", "Rescale Slope and Intercept are missing and the values", message)
    };
    if ![0, all].contains(&by_slope)
        || ![0, all].contains(&by_table)
        || data.iter().min().is_none_or(|&m| m > -500)
    {
        return Err(Problem::new(code, format!("{what} are not Hounsfield units.")));
    }
    warnings.push(warning(code, message, vec![]));
    Ok(())
}

/// Turns the slice numbers of warnings from the stack's order to the oriented grid's, and says
/// them; drops them where the stack does not run along z.
pub(crate) fn number_slices(frame: &InputFrame, warnings: &mut [Warning]) {
    let count = frame.stored.size[2];
    for w in warnings.iter_mut().filter(|w| !w.slices.is_empty()) {
        if frame.axes[2] != 2 {
            w.slices.clear();
            continue;
        }
        if frame.flips[2] {
            w.slices.iter_mut().for_each(|k| *k = count.saturating_sub(1 + *k));
            w.slices.reverse();
        }
        if count > 1 {
            w.message.push_str(&format!(" Counted from the feet, from 0: {}.", ranges(&w.slices)));
        }
    }
}

/// SOP Instance UIDs of the oriented slices, where each slice is one file's and the stack runs
/// along z; else none.
fn instances(frame: &InputFrame, headers: &[Header], stack: &Stack) -> Vec<String> {
    let mut uids: Vec<String> = stack.slices.iter().map(|s| headers[s.file].instance.clone()).collect();
    if frame.axes[2] != 2 || stack.blends.is_some() || uids.iter().any(String::is_empty) {
        return vec![];
    }
    if frame.flips[2] {
        uids.reverse();
    }
    uids
}

fn facts(headers: &[Header], stack: &Stack) -> SeriesFacts {
    let first = &stack.slices[0];
    let h = &headers[first.file];
    let stated = |v: &String| (!v.is_empty()).then(|| v.clone());
    SeriesFacts {
        study_instance_uid: stated(&h.study),
        series_instance_uid: stated(&h.series),
        frame_of_reference_uid: h.frame_of_reference.clone(),
        slice_thickness_mm: first.plane.thickness,
        kernel: h.kernel.clone(),
        scanner: h.scanner.clone(),
        patient: h.patient.clone(),
    }
}

/// `3, 7-9` for `[3, 7, 8, 9]`.
fn ranges(values: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &v in values {
        match parts.last_mut() {
            Some(last) if last.1 + 1 == v => last.1 = v,
            _ => parts.push((v, v)),
        }
    }
    let part = |&(a, b): &(usize, usize)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    parts.iter().map(part).collect::<Vec<_>>().join(", ")
}
