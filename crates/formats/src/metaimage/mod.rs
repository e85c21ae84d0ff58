//! MetaImage: a text header with the voxels behind it (.mha) or in files beside it (.mhd).
//! Source: the MetaIO documentation of the MetaImage format; where it is silent, what ITK does.

mod header;

pub(crate) use header::is_metaimage;

use crate::grids::input::{self, Packing, Place, Skip};
use crate::grids::place::{self, ORIENTATION_DISPUTED, position_unknown, toward, warning};
use crate::grids::text::{beside, brief, counted, exactly, numbers, whole};
use crate::grids::values::{Coding, Number, Values};
use crate::grids::{Grid, text::Lines};
use crate::types::ORIENTATION_UNKNOWN;
use crate::{Error, InputFrame, Limits, Result, Warning};
use header::Header;
use pleura_volume::Geometry;
use std::path::{Path, PathBuf};

type Reason<T> = std::result::Result<T, String>;

/// The header of a file.
pub(crate) fn grid(path: &Path, limits: &Limits) -> Result<Grid> {
    let mut lines = Lines::of(path).map_err(|e| input::failed(path, e))?;
    of_lines(path, &mut lines, limits).map_err(|reason| Error::Refused { path: path.to_owned(), reason })
}

fn of_lines(path: &Path, lines: &mut Lines, limits: &Limits) -> Reason<Grid> {
    let h = header::read(lines)?;
    must_be_ct(&h)?;
    let size = size(&h)?;
    let (geometry, warnings) = lie(&h, size)?;
    let files = files(path, &h, lines, size[2], limits)?;
    let packed = h.is_true("CompressedData").unwrap_or(false);
    let binary = h.is_true("BinaryData").unwrap_or(true);
    let big = h.is_true("BinaryDataByteOrderMSB").or(h.is_true("ElementByteOrderMSB")).unwrap_or(false);
    let values = Values {
        number: number(h.required("ElementType")?)?,
        big_endian: big,
        scale: None,
        coding: if binary { Coding::Binary } else { Coding::Text },
    };
    let local = files == [path];
    let stated: [i64; 1] = h.get("HeaderSize").map_or(Ok([0]), |v| exactly("HeaderSize", v))?;
    let (at, skip) = match stated[0] {
        -1 => (0, Skip::UpToTheLast),
        0 if local => (lines.at, Skip::Bytes(0)),
        bytes if bytes >= 0 && (!local || bytes as u64 >= lines.at) => (bytes as u64, Skip::Bytes(0)),
        bytes => return Err(format!("Its HeaderSize of {bytes} bytes is impossible.")),
    };
    let at = if local && packed { at.max(lines.at) } else { at };
    let packing = if packed { Packing::Zlib } else { Packing::Plain };
    let place = Place { at, lines: 0, packing, skip, open_end: false };
    Ok(Grid { geometry, warnings, values, files, place })
}

/// Refuses what the header itself says is no CT, or holds more than one value a voxel.
fn must_be_ct(h: &Header) -> Reason<()> {
    let kind = h.get("ObjectType").unwrap_or("Image");
    if !kind.eq_ignore_ascii_case("image") {
        return Err(format!("It holds a {}, not an image.", brief(kind)));
    }
    if let Some(modality) = h.get("Modality").map(|m| m.trim_start_matches("MET_MOD_"))
        && !["CT", "OTHER", "UNKNOWN", ""].contains(&modality)
    {
        return Err(format!("The modality is {}; only CT is read.", brief(modality)));
    }
    if let Some(channels) = h.get("ElementNumberOfChannels").filter(|c| *c != "1") {
        return Err(format!(
            "It holds {} values a voxel; colour pictures and vectors are not CT.",
            brief(channels)
        ));
    }
    // Programs disagree on whether these are to be applied.
    let one = |key, plain: f64| h.get(key).is_none_or(|v| v.parse() == Ok(plain));
    if !one("ElementToIntensityFunctionSlope", 1.0) || !one("ElementToIntensityFunctionOffset", 0.0) {
        let reason = "It scales its values by ElementToIntensityFunctionSlope or -Offset, which most programs ignore; \
                      store HU as they are.";
        return Err(reason.into());
    }
    Ok(())
}

fn size(h: &Header) -> Reason<[usize; 3]> {
    let [rank]: [usize; 1] = exactly("NDims", h.required("NDims")?)?;
    let sizes: Vec<usize> = numbers("DimSize", h.required("DimSize")?)?;
    if rank != 3 || sizes.len() != 3 {
        return Err(format!("It has {rank} dimensions; a volume of 3 is expected."));
    }
    if sizes.contains(&0) {
        return Err("The header claims a size of zero.".into());
    }
    Ok([sizes[0], sizes[1], sizes[2]])
}

fn number(element: &str) -> Reason<Number> {
    Ok(match element {
        "MET_CHAR" => whole(1, true),
        "MET_UCHAR" => whole(1, false),
        "MET_SHORT" => whole(2, true),
        "MET_USHORT" => whole(2, false),
        // Four bytes on every system, as in ITK.
        "MET_INT" | "MET_LONG" => whole(4, true),
        "MET_UINT" | "MET_ULONG" => whole(4, false),
        "MET_LONG_LONG" => whole(8, true),
        "MET_ULONG_LONG" => whole(8, false),
        "MET_FLOAT" => Number::F32,
        "MET_DOUBLE" => Number::F64,
        _ => return Err(format!("Voxels of type {} are not read.", brief(element))),
    })
}

/// Where the voxels lie: LPS throughout, each group of three numbers in TransformMatrix the
/// direction of one axis. Without it, the letters of AnatomicalOrientation say from where each
/// axis comes.
fn lie(h: &Header, size: [usize; 3]) -> Reason<(Geometry, Vec<Warning>)> {
    let spacing = h.get("ElementSpacing").or(h.get("ElementSize"));
    let spacing =
        spacing.ok_or("The header does not state ElementSpacing, so nothing in it can be measured.")?;
    let spacing: [f64; 3] = exactly("ElementSpacing", spacing)?;
    let matrix = h.first(&["TransformMatrix", "Rotation", "Orientation"]);
    let letters = h.get("AnatomicalOrientation").and_then(letters);
    let mut warnings = Vec::new();
    let axes = match (matrix, letters) {
        (Some(m), _) => {
            let m: [f64; 9] = exactly("TransformMatrix", m)?;
            [[m[0], m[1], m[2]], [m[3], m[4], m[5]], [m[6], m[7], m[8]]]
        }
        (None, Some(letters)) => letters,
        (None, None) => {
            let message = "The file does not say how it lies in the patient; x was taken to run to the left, y to \
                           the back, z to the head, so left and right may be exchanged.";
            warnings.push(warning(ORIENTATION_UNKNOWN, message));
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        }
    };
    let origin = match h.first(&["Offset", "Position", "Origin"]) {
        Some(origin) => exactly("Offset", origin)?,
        None => {
            warnings.push(position_unknown());
            [0.0; 3]
        }
    };
    let columns = std::array::from_fn(|a| axes[a].map(|c| c * spacing[a]));
    let geometry = place::geometry(size, columns, origin)?;
    if let Some(letters) = letters.filter(|_| matrix.is_some())
        && !same_way(&geometry, letters)
    {
        let message = "The file's TransformMatrix and AnatomicalOrientation put left, back or head at different sides; \
                       the matrix was followed, as other programs do.";
        warnings.push(warning(ORIENTATION_DISPUTED, message));
    }
    Ok((geometry, warnings))
}

/// The directions that three letters stand for: each says from where an axis comes.
fn letters(word: &str) -> Option<[[f64; 3]; 3]> {
    let axes: Vec<[f64; 3]> =
        word.chars().map(|c| toward(c).map(|v| v.map(|c| 0.0 - c))).collect::<Option<_>>()?;
    let axes: [[f64; 3]; 3] = axes.try_into().ok()?;
    let each_once = (0..3).all(|c| axes.iter().filter(|axis| axis[c] != 0.0).count() == 1);
    each_once.then_some(axes)
}

/// Whether a grid's axes are nearest to the directions given.
fn same_way(geometry: &Geometry, axes: [[f64; 3]; 3]) -> bool {
    let frame = |axes| {
        let frame = InputFrame::nearest(Geometry { axes, ..geometry.clone() });
        (frame.axes, frame.flips)
    };
    frame(geometry.axes) == frame(axes)
}

/// The files that hold the voxels: this one, one beside it, or one for each slice.
fn files(path: &Path, h: &Header, lines: &mut Lines, slices: usize, limits: &Limits) -> Reason<Vec<PathBuf>> {
    let named = h.required("ElementDataFile")?;
    let words: Vec<&str> = named.split_whitespace().collect();
    let names = match words.as_slice() {
        [one] if one.eq_ignore_ascii_case("local") => return Ok(vec![path.to_owned()]),
        [list, ..] if list.eq_ignore_ascii_case("list") => listed(lines, limits)?,
        [pattern, range @ ..] if pattern.contains('%') && (2..=3).contains(&range.len()) => {
            let n: Vec<i64> = numbers("ElementDataFile", &range.join(" "))?;
            counted(pattern, [n[0], n[1], n.get(2).copied().unwrap_or(1)], limits.files)?
        }
        _ => vec![named.to_owned()],
    };
    if names.len() > 1 && names.len() != slices {
        return Err(format!("It names {} data files for {slices} slices.", names.len()));
    }
    names.iter().map(|name| beside(path, name)).collect()
}

/// The names that follow, one a line.
fn listed(lines: &mut Lines, limits: &Limits) -> Reason<Vec<String>> {
    let mut names = Vec::new();
    while let Some(line) = lines.line()? {
        if !line.trim().is_empty() {
            names.push(line.trim().to_owned());
        }
        if names.len() > limits.files {
            return Err(format!("It names more than {} data files.", limits.files));
        }
    }
    Ok(names)
}
