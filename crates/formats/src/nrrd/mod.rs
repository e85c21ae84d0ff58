//! NRRD: a text header with the voxels behind it (.nrrd) or in files beside it (.nhdr).
//! Source: the definition of the NRRD file format, version 5 (teem).

mod header;

pub(crate) use header::is_nrrd;

use crate::grids::Grid;
use crate::grids::input::{self, Packing, Place, Skip};
use crate::grids::place::{self, position_unknown, toward, warning};
use crate::grids::text::{Lines, beside, brief, counted, exactly, numbers, whole};
use crate::grids::values::{Coding, Number, Values};
use crate::types::ORIENTATION_UNKNOWN;
use crate::{Error, Limits, Result, Warning};
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
    let h = header::read(lines, limits.files)?;
    let size = size(&h)?;
    let (geometry, warnings) = lie(&h, size)?;
    let attached = h.data_files.is_empty() && h.get("data file").is_none();
    let files = if attached { vec![path.to_owned()] } else { files(path, &h, size[2], limits)? };
    let number = number(h.required("type")?)?;
    let (packing, coding) = encoding(h.required("encoding")?)?;
    let big_endian = match h.get("endian").map(str::to_ascii_lowercase).as_deref() {
        Some("big") => true,
        Some("little") => false,
        Some(other) => return Err(format!("The byte order {} is not known.", brief(other))),
        None if number.bytes() == 1 || coding == Coding::Text => false,
        None => return Err("The header does not state the byte order (\"endian\").".into()),
    };
    let values = Values { number, big_endian, scale: None, coding };
    let skip = |field: &str| h.get(field).map_or(Ok([0_i64]), |v| exactly(field, v));
    let ([line_skip], [byte_skip]) = (skip("line skip")?, skip("byte skip")?);
    let skip = match byte_skip {
        -1 if coding == Coding::Binary => Skip::UpToTheLast,
        0.. => Skip::Bytes(byte_skip as u64),
        _ => return Err(format!("A byte skip of {byte_skip} is not allowed.")),
    };
    let lines_to_skip =
        u64::try_from(line_skip).map_err(|_| format!("A line skip of {line_skip} is not allowed."))?;
    let at = if attached { lines.at } else { 0 };
    let place = Place { at, lines: lines_to_skip, packing, skip, open_end: false };
    Ok(Grid { geometry, warnings, values, files, place })
}

fn size(h: &Header) -> Reason<[usize; 3]> {
    let [rank]: [usize; 1] = exactly("dimension", h.required("dimension")?)?;
    let sizes: Vec<usize> = numbers("sizes", h.required("sizes")?)?;
    if rank != 3 || sizes.len() != 3 {
        return Err(format!("It has {rank} dimensions; a volume of 3 is expected."));
    }
    if sizes.contains(&0) {
        return Err("The header claims a size of zero.".into());
    }
    let spatial =
        |kind: &str| ["domain", "space", "???", "none"].contains(&kind.to_ascii_lowercase().as_str());
    if let Some(kind) = h.get("kinds").and_then(|k| k.split_whitespace().find(|k| !spatial(k))) {
        return Err(format!("One of its axes is of the kind {}, not a direction in space.", brief(kind)));
    }
    Ok([sizes[0], sizes[1], sizes[2]])
}

fn number(name: &str) -> Reason<Number> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "signed char" | "int8" | "int8_t" => whole(1, true),
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => whole(1, false),
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => whole(2, true),
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => whole(2, false),
        "int" | "signed int" | "int32" | "int32_t" => whole(4, true),
        "uint" | "unsigned int" | "uint32" | "uint32_t" => whole(4, false),
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64"
        | "int64_t" => whole(8, true),
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => {
            whole(8, false)
        }
        "float" => Number::F32,
        "double" => Number::F64,
        _ => return Err(format!("Voxels of type {} are not read.", brief(name))),
    })
}

fn encoding(name: &str) -> Reason<(Packing, Coding)> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "raw" => (Packing::Plain, Coding::Binary),
        "gz" | "gzip" => (Packing::Gzip, Coding::Binary),
        "bz2" | "bzip2" => (Packing::Bzip2, Coding::Binary),
        "txt" | "text" | "ascii" => (Packing::Plain, Coding::Text),
        "hex" => (Packing::Plain, Coding::Hex),
        _ => return Err(format!("The encoding {} is not known.", brief(name))),
    })
}

/// Where the voxels lie, in LPS: by `space directions` in a `space` of the patient; with
/// `spacings` alone the orientation is unknown; with neither nothing can be measured.
fn lie(h: &Header, size: [usize; 3]) -> Reason<(Geometry, Vec<Warning>)> {
    let mut warnings = Vec::new();
    let unknown = |what: &str| {
        let message = format!(
            "The file does not say how it lies in the patient ({what}); x was taken to run to the left, y to the back, \
             z to the head, so left and right may be exchanged."
        );
        warning(ORIENTATION_UNKNOWN, message)
    };
    for unit in h.quoted("space units").into_iter().chain(h.quoted("units")) {
        if !["", "mm", "???", "millimeter", "millimeters", "millimetre"]
            .contains(&unit.to_lowercase().as_str())
        {
            return Err(format!("Lengths are in {}; only mm is read.", brief(unit)));
        }
    }
    let space = h.get("space").map(axes_of).transpose()?.flatten();
    let signs = space.unwrap_or([1.0; 3]);
    let lps = |v: [f64; 3]| std::array::from_fn(|c| v[c] * signs[c]);
    let columns = match (header::vectors(h.get("space directions").unwrap_or(""))?, h.get("spacings")) {
        (v, _) if v.len() == 3 => {
            if space.is_none() {
                warnings.push(unknown("its space is none of the patient's"));
            }
            let columns: Option<Vec<[f64; 3]>> = v.into_iter().collect();
            let columns = columns.ok_or("One of its axes has no direction in space.")?;
            [lps(columns[0]), lps(columns[1]), lps(columns[2])]
        }
        (v, _) if !v.is_empty() => return Err("The header's \"space directions\" are not three.".into()),
        (_, Some(spacings)) => {
            warnings.push(unknown("it has no space directions"));
            let [x, y, z] = exactly("spacings", spacings)?;
            [[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, z]]
        }
        _ => {
            return Err(
                "The header states neither space directions nor spacings, so nothing can be measured.".into(),
            );
        }
    };
    let origin = match header::vectors(h.get("space origin").unwrap_or(""))?.as_slice() {
        [Some(origin)] => lps(*origin),
        [] => {
            warnings.push(position_unknown());
            [0.0; 3]
        }
        _ => return Err("The header's \"space origin\" is not one point.".into()),
    };
    Ok((place::geometry(size, columns, origin)?, warnings))
}

/// The factors that turn coordinates of a space into LPS; `None` for a space that is not the
/// patient's.
fn axes_of(space: &str) -> Reason<Option<[f64; 3]>> {
    let lower = space.to_ascii_lowercase();
    let words: Vec<&str> = lower.split('-').collect();
    if matches!(words.as_slice(), ["scanner", "xyz"] | ["3d", "right" | "left", "handed"]) {
        return Ok(None);
    }
    let letters: Vec<char> = match words.as_slice() {
        [letters] => letters.chars().collect(),
        _ => words.iter().filter_map(|word| word.chars().next()).collect(),
    };
    let toward: Option<Vec<[f64; 3]>> = letters.iter().map(|&c| toward(c)).collect();
    match toward.as_deref() {
        // A space names its axes in the order left or right, front or back, head or feet.
        Some([x, y, z]) if x[0] != 0.0 && y[1] != 0.0 && z[2] != 0.0 => Ok(Some([x[0], y[1], z[2]])),
        _ => Err(format!("The space {} is not known.", brief(space))),
    }
}

/// The files that a detached header names.
fn files(path: &Path, h: &Header, slices: usize, limits: &Limits) -> Reason<Vec<PathBuf>> {
    let named = h.get("data file").unwrap_or_default();
    let words: Vec<&str> = named.split_whitespace().collect();
    let names = match words.as_slice() {
        ["LIST", ..] => h.data_files.clone(),
        [pattern, range @ ..] if pattern.contains('%') && (3..=4).contains(&range.len()) => {
            let n: Vec<i64> = numbers("data file", &range[..3].join(" "))?;
            counted(pattern, [n[0], n[1], n[2]], limits.files)?
        }
        _ => vec![named.to_owned()],
    };
    if names.len() > 1 && names.len() != slices {
        return Err(format!("It names {} data files for {slices} slices.", names.len()));
    }
    names.iter().map(|name| beside(path, name)).collect()
}
