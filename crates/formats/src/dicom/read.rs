//! From the files of one series to a scan.

use super::header::Header;
use super::pixels::{Padding, PixelFile};
use super::stack::{self, Slice, Stack, Tilt};
use crate::hounsfield::{AIR_HU, doubt, to_hu};
use crate::{Error, InputFrame, Limits, Result, Scan, SeriesFacts, SourceFormat, Warning};
use pleura_volume::Volume;
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Reads the files of one series; `folder` names it in errors.
pub(crate) fn read_series(folder: &Path, files: &[PathBuf], limits: &Limits) -> Result<Scan> {
    let headers: Vec<Option<Header>> =
        files.par_iter().map(|f| Header::read(f, limits)).collect::<Result<_>>()?;
    let headers: Vec<Header> = headers.into_iter().flatten().collect();
    let refuse = |reason: String| Error::Refused { path: folder.to_owned(), reason };
    let (headers, mut warnings) = without_localizers(headers);
    if let Some((h, reason)) = headers.iter().find_map(|h| Some((h, h.problem()?))) {
        return Err(Error::Refused { path: h.path.clone(), reason });
    }
    check_sizes(&headers)?;
    let stack = plan(&headers).map_err(refuse)?;
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
        warnings.push(Warning { code: "lossy-compression".into(), message: message.into(), slices: vec![] });
    }
    rescale_warning(&headers, &data, &mut warnings).map_err(refuse)?;
    let data = if stack.blends.is_none() && stack.tilt.is_none() { data } else { resample(&stack, &data) };
    warnings.extend(doubt(&data));
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
    (kept, vec![Warning { code: "localizer-dropped".into(), message, slices: vec![] }])
}

/// The grid of a series. Headers must be free of problems.
pub(crate) fn plan(headers: &[Header]) -> std::result::Result<Stack, String> {
    let mut slices = Vec::new();
    for (file, h) in headers.iter().enumerate() {
        for (frame, plane) in h.planes.clone()?.into_iter().enumerate() {
            slices.push(Slice {
                file,
                frame,
                size: [h.pixels.columns, h.pixels.rows],
                plane,
                acquisition: h.acquisition,
                temporal: h.temporal,
                number: h.instance_number,
            });
        }
    }
    stack::build(slices, headers.first().and_then(|h| h.between))
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
        .map(|(i, h)| Ok((i, PixelFile::open(&h.path, limits)?)))
        .collect::<Result<_>>()?;
    let padding = data
        .par_chunks_mut(pixels)
        .zip(&stack.slices)
        .map(|(out, s)| match many.get(&s.file) {
            Some(file) => file.frame(s.frame, &s.plane, out),
            None => PixelFile::open(&headers[s.file].path, limits)?.frame(0, &s.plane, out),
        })
        .collect::<Result<_>>()?;
    Ok((data, padding))
}

fn padding_warning(padding: &[Padding]) -> Option<Warning> {
    let pixels: usize = padding.iter().map(|p| p.replaced).sum();
    if pixels > 0 {
        let message = format!("{pixels} padding pixels outside the field of view were set to {AIR_HU} HU.");
        return Some(Warning { code: "padding-replaced".into(), message, slices: vec![] });
    }
    padding.iter().any(|p| p.ignored).then(|| Warning {
        code: "padding-ignored".into(),
        message:
            "The padding value stands for tissue or air that also occurs in the picture; it was not used."
                .into(),
        slices: vec![],
    })
}

/// A CT without slope and intercept is taken as HU only when its values say so themselves.
fn rescale_warning(
    headers: &[Header],
    data: &[i16],
    warnings: &mut Vec<Warning>,
) -> std::result::Result<(), String> {
    let planes = || headers.iter().flat_map(|h| h.planes.as_deref().unwrap_or_default());
    let missing = planes().filter(|p| p.rescale.is_none()).count();
    if missing == 0 {
        return Ok(());
    }
    if missing < planes().count() || data.iter().min().is_none_or(|&m| m > -500) {
        return Err("Rescale Slope and Intercept are missing and the values are not Hounsfield units.".into());
    }
    warnings.push(Warning {
        code: "rescale-missing".into(),
        message: "Rescale Slope and Intercept are missing; the values were taken as Hounsfield units.".into(),
        slices: vec![],
    });
    Ok(())
}

/// Fills the grid slice by slice between the decoded ones, undoing sideways steps.
fn resample(stack: &Stack, data: &[i16]) -> Vec<i16> {
    let [nx, ny, nz] = stack.geometry.size;
    let pixels: usize = stack.slices[0].size.iter().product();
    let mut out = vec![AIR_HU; nx * ny * nz];
    out.par_chunks_mut(nx * ny).enumerate().for_each(|(k, out)| {
        let (lower, upper, weight) = match &stack.blends {
            Some(b) => (b[k].lower, b[k].upper, b[k].weight),
            None => (k, k, 0.0),
        };
        let slice = |i: usize| shifted(&data[i * pixels..(i + 1) * pixels], stack, i);
        let low = slice(lower);
        if weight == 0.0 {
            out.iter_mut().zip(&low).for_each(|(o, &v)| *o = to_hu(v));
            return;
        }
        let high = slice(upper);
        out.iter_mut().zip(low.iter().zip(&high)).for_each(|(o, (a, b))| *o = to_hu(a + (b - a) * weight));
    });
    out
}

/// Slice `i` on the columns and rows of the grid, between its pixels linearly, air outside.
fn shifted(from: &[i16], stack: &Stack, i: usize) -> Vec<f64> {
    let Some(Tilt { steps, before }) = &stack.tilt else {
        return from.iter().map(|&v| f64::from(v)).collect();
    };
    let [columns, rows] = stack.slices[i].size;
    let [nx, ny, _] = stack.geometry.size;
    let at = |x: isize, y: isize| {
        let inside = (0..columns as isize).contains(&x) && (0..rows as isize).contains(&y);
        f64::from(if inside { from[y as usize * columns + x as usize] } else { AIR_HU })
    };
    let source = |index: usize, a: usize| index as f64 - before[a] as f64 - steps[i][a];
    let mut out = Vec::with_capacity(nx * ny);
    for y in 0..ny {
        let sy = source(y, 1);
        let (y0, fy) = (sy.floor() as isize, sy - sy.floor());
        for x in 0..nx {
            let sx = source(x, 0);
            let (x0, fx) = (sx.floor() as isize, sx - sx.floor());
            let top = at(x0, y0) * (1.0 - fx) + at(x0 + 1, y0) * fx;
            let bottom = at(x0, y0 + 1) * (1.0 - fx) + at(x0 + 1, y0 + 1) * fx;
            out.push(top * (1.0 - fy) + bottom * fy);
        }
    }
    out
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
            w.message.push_str(&format!(" Counted from the feet, from 0: {}.", stack::ranges(&w.slices)));
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
