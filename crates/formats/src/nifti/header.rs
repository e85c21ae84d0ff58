//! The header: 348 bytes (NIfTI-1) or 540 bytes (NIfTI-2), either byte order.

use crate::grids::values::Number;

fn number(code: i32) -> Option<Number> {
    Some(match code {
        2 => Number::U8,
        4 => Number::I16,
        8 => Number::I32,
        16 => Number::F32,
        64 => Number::F64,
        256 => Number::I8,
        512 => Number::U16,
        768 => Number::U32,
        1024 => Number::I64,
        1280 => Number::U64,
        _ => return None,
    })
}

/// What is used of a header, in the file's own terms.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) big_endian: bool,
    /// Header and voxels in one file (magic `n+1`, `n+2`).
    pub(crate) single: bool,
    pub(crate) size: [usize; 3],
    pub(crate) number: Number,
    pub(crate) offset: u64,
    pub(crate) slope: f64,
    pub(crate) intercept: f64,
    pub(crate) pixdim: [f64; 4],
    pub(crate) qform_code: i32,
    pub(crate) sform_code: i32,
    /// Quaternion b, c, d and offset x, y, z.
    pub(crate) quaternion: [f64; 6],
    /// Rows of the sform.
    pub(crate) srow: [[f64; 4]; 3],
    /// Millimetres per unit of length.
    pub(crate) unit_mm: f64,
}

impl Header {
    /// Whether the values are scaled: a slope of zero or not-a-number means they are not (nifti1.h).
    pub(crate) fn is_scaled(&self) -> bool {
        let usable = self.slope.is_finite() && self.slope != 0.0 && self.intercept.is_finite();
        usable && (self.slope, self.intercept) != (1.0, 0.0)
    }
}

/// Reads numbers of one byte order out of a header.
struct Fields<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl Fields<'_> {
    fn get<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut b = [0; N];
        if let Some(from) = self.bytes.get(at..at + N) {
            b.copy_from_slice(from);
        }
        if self.big {
            b.reverse();
        }
        b
    }
    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.get(at))
    }
    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.get(at))
    }
    fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.get(at))
    }
    fn f32(&self, at: usize) -> f64 {
        f64::from(f32::from_le_bytes(self.get(at)))
    }
    fn f64(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.get(at))
    }
}

/// Whether a file that starts with these bytes, 348 or more, is a NIfTI file or the header of a pair.
pub(crate) fn is_nifti(bytes: &[u8]) -> bool {
    version(bytes).is_some_and(|(_, two)| magic(bytes, two).is_some())
}

/// Whether the numbers are big-endian, and whether it is NIfTI-2: the header starts with its size.
fn version(bytes: &[u8]) -> Option<(bool, bool)> {
    [false, true].into_iter().find_map(|big| match (Fields { bytes, big }).i32(0) {
        348 => Some((big, false)),
        540 => Some((big, true)),
        _ => None,
    })
}

/// Whether header and voxels are one file.
fn magic(bytes: &[u8], two: bool) -> Option<bool> {
    match (bytes.get(if two { 4..7 } else { 344..347 })?, two) {
        (b"n+1", false) | (b"n+2", true) => Some(true),
        (b"ni1", false) | (b"ni2", true) => Some(false),
        _ => None,
    }
}

/// Parses the first bytes of a file: 540 of them, or all there are.
///
/// # Errors
/// The reason, as a plain sentence, when it is no NIfTI header or promises what is not read here.
pub(crate) fn parse(bytes: &[u8]) -> Result<Header, String> {
    let Some((big_endian, two)) = version(bytes) else {
        return Err("This is not a NIfTI file: the header does not start with its size.".into());
    };
    let length = if two { 540 } else { 348 };
    if bytes.len() < length {
        return Err("The file ends inside the NIfTI header.".into());
    }
    let Some(single) = magic(bytes, two) else {
        return Err("The NIfTI magic is missing: Analyze 7.5 and other formats are not read.".into());
    };
    let f = Fields { bytes, big: big_endian };
    let code = i32::from(f.i16(if two { 12 } else { 70 }));
    let number = number(code).ok_or_else(|| {
        format!("Voxels of data type {code} are not read: complex, colour and 128-bit types are not CT.")
    })?;
    let dim: [i64; 8] =
        std::array::from_fn(|i| if two { f.i64(16 + 8 * i) } else { f.i16(40 + 2 * i).into() });
    let real =
        |one: usize, other: usize, i: usize| if two { f.f64(other + 8 * i) } else { f.f32(one + 4 * i) };
    let units = if two { f.i32(500) } else { i32::from(bytes[123]) };
    let vox_offset = if two { f.i64(168) } else { f.f32(108) as i64 };
    let (slope, intercept) = (real(112, 176, 0), real(116, 184, 0));
    if slope.is_finite() && slope != 0.0 && !intercept.is_finite() {
        return Err("Its values are scaled, but scl_inter is no number.".into());
    }
    Ok(Header {
        big_endian,
        single,
        size: size(dim)?,
        number,
        offset: offset(vox_offset, single, length as u64)?,
        slope,
        intercept,
        pixdim: std::array::from_fn(|i| real(76, 104, i)),
        qform_code: if two { f.i32(344) } else { f.i16(252).into() },
        sform_code: if two { f.i32(348) } else { f.i16(254).into() },
        quaternion: std::array::from_fn(|i| real(256, 352, i)),
        srow: std::array::from_fn(|r| std::array::from_fn(|c| real(280, 400, r * 4 + c))),
        unit_mm: match units & 7 {
            1 => 1000.0,
            3 => 0.001,
            _ => 1.0,
        },
    })
}

/// Where the voxels start: in a single file behind the header and the 4 bytes that say whether
/// anything extends it, where nothing else is stated.
fn offset(stated: i64, single: bool, header: u64) -> Result<u64, String> {
    match (single, u64::try_from(stated)) {
        (true, Ok(0)) => Ok(header + 4),
        (true, Ok(at)) if at < header => {
            Err(format!("Its voxels are said to start at byte {at}, in the header."))
        }
        (_, Ok(at)) => Ok(at),
        (_, Err(_)) => Err(format!("Its voxels are said to start at byte {stated}.")),
    }
}

/// Columns, rows and slices; more than one volume is refused.
fn size(dim: [i64; 8]) -> Result<[usize; 3], String> {
    let [rank, dims @ ..] = dim;
    if !(1..=7).contains(&rank) {
        return Err(format!("The header claims {rank} dimensions; 2 or 3 are expected."));
    }
    let used = &dims[..rank as usize];
    if used.iter().take(3).any(|&d| d < 1) {
        return Err("The header claims a size of zero or less.".into());
    }
    if used.iter().skip(3).any(|&d| d > 1) {
        return Err("The file holds more than one volume; give one volume per file.".into());
    }
    Ok(std::array::from_fn(|a| used.get(a).map_or(1, |&d| d as usize)))
}
