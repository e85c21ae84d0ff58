//! Reading NIfTI, streamed: never more memory than the volume and a megabyte.

use super::header::{Header, Number};
use super::{Kind, affine, header, kind, partner};
use crate::bounds;
use crate::hounsfield::{doubt, to_hu};
use crate::types::ORIENTATION_UNKNOWN;
use crate::{Error, InputFrame, Limits, Result, Scan, SeriesFacts, SourceFormat, Warning};
use flate2::bufread::MultiGzDecoder;
use pleura_volume::{Geometry, Volume};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The most that deflate can shrink anything: 1032 to 1.
const DEFLATE_RATIO: u64 = 1032;

/// Reads a .nii, .nii.gz, or the .hdr of a pair.
pub(crate) fn read_nifti(path: &Path, limits: &Limits) -> Result<Scan> {
    let (h, mut from) = open(path)?;
    let refuse = |reason: String| Error::Refused { path: path.to_owned(), reason };
    let voxels = check_size(&h, &from, limits).map_err(refuse)?;
    let (geometry, mut warnings) = place(&h).map_err(refuse)?;
    skip(&mut from.reader, h.offset - from.read).map_err(|e| from.failed(e))?;
    let mut data: Vec<i16> = Vec::new();
    data.try_reserve_exact(voxels).map_err(|_| refuse("There is not enough memory for it.".into()))?;
    let odd = fill(&mut data, voxels, &h, &mut from.reader).map_err(|e| from.failed(e))?;
    if odd > 0 {
        let message = format!("{odd} voxels hold no number or lie outside -32768 to 32767 and were clipped.");
        warnings.push(warning("values-clipped", &message));
    }
    warnings.extend(doubt(&data));
    let frame = InputFrame::nearest(geometry.clone());
    let volume = frame.turned(Volume { geometry, data });
    Ok(Scan { volume, frame, facts: SeriesFacts::default(), format: SourceFormat::Nifti, warnings })
}

/// The grid, and what should be known of it.
fn place(h: &Header) -> std::result::Result<(Geometry, Vec<Warning>), String> {
    let (geometry, known) = affine::geometry(h)?;
    bounds::check(&geometry)?;
    let mut warnings = Vec::new();
    if !known {
        warnings.push(warning(
            ORIENTATION_UNKNOWN,
            "The file does not say how it lies in the patient; x was taken to run to the right, y to the front, \
             z to the head, so left and right may be exchanged.",
        ));
    }
    if h.size.contains(&1) {
        warnings.push(warning("single-slice", "The file holds a single slice."));
    }
    Ok((geometry, warnings))
}

/// Grid, warnings and number type, from the header alone.
pub(crate) fn describe(path: &Path) -> Result<(Geometry, Vec<Warning>, String)> {
    let (h, _) = open(path)?;
    let (geometry, warnings) =
        place(&h).map_err(|reason| Error::Refused { path: path.to_owned(), reason })?;
    Ok((geometry, warnings, format!("{:?}", h.number).to_lowercase()))
}

fn warning(code: &str, message: &str) -> Warning {
    Warning { code: code.into(), message: message.into(), slices: vec![] }
}

/// Where the voxels come from.
pub(crate) struct Input {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    /// Bytes of it already read.
    read: u64,
    /// The most bytes it can still hold.
    at_most: u64,
    gzipped: bool,
}

impl Input {
    fn open(path: &Path) -> Result<Self> {
        let io = |e| Error::unreadable(path, e);
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut file = BufReader::with_capacity(1 << 18, file);
        let gzipped = file.fill_buf().map_err(io)?.starts_with(&[0x1f, 0x8b]);
        let (reader, at_most): (Box<dyn BufRead>, u64) = if gzipped {
            let unpacked = BufReader::with_capacity(1 << 18, MultiGzDecoder::new(file));
            (Box::new(unpacked), length.saturating_mul(DEFLATE_RATIO))
        } else {
            (Box::new(file), length)
        };
        Ok(Self { path: path.to_owned(), reader, read: 0, at_most, gzipped })
    }

    fn failed(&self, e: std::io::Error) -> Error {
        let reason = match e.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                "The file ends before the voxels its header promises; it may be cut short.".to_owned()
            }
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => {
                format!("The compressed data is damaged ({e}).")
            }
            _ => return Error::unreadable(&self.path, e),
        };
        Error::Refused { path: self.path.clone(), reason }
    }
}

/// Reads the header; the reader stands behind it, or at the start of the pair's image file.
pub(crate) fn open(path: &Path) -> Result<(Header, Input)> {
    let refuse = |reason: String| Error::Refused { path: path.to_owned(), reason };
    let mut from = Input::open(path)?;
    let mut bytes = Vec::with_capacity(540);
    from.reader.by_ref().take(348).read_to_end(&mut bytes).map_err(|e| from.failed(e))?;
    if bytes.starts_with(&540_i32.to_le_bytes()) || bytes.starts_with(&540_i32.to_be_bytes()) {
        from.reader.by_ref().take(192).read_to_end(&mut bytes).map_err(|e| from.failed(e))?;
    }
    let h = header::parse(&bytes).map_err(refuse)?;
    from.read = bytes.len() as u64;
    if h.single {
        return Ok((h, from));
    }
    if kind(path) != Some(Kind::Header) {
        return Err(refuse(
            "The header says the voxels are in an .img file, but this is not an .hdr.".into(),
        ));
    }
    let Some(image) = partner(path, "img") else {
        return Err(refuse("The .img file that holds its voxels is missing beside it.".into()));
    };
    Ok((h, Input::open(&image)?))
}

/// Number of voxels, once they are known to fit the limits and the file.
fn check_size(h: &Header, from: &Input, limits: &Limits) -> std::result::Result<usize, String> {
    let [x, y, z] = h.size;
    let voxels = x.checked_mul(y).and_then(|n| n.checked_mul(z)).filter(|&n| n <= limits.voxels);
    let Some(voxels) = voxels else {
        return Err(format!("Its {x} x {y} x {z} voxels are more than the limit of {}.", limits.voxels));
    };
    let needed = (voxels as u64).saturating_mul(h.number.bytes() as u64).saturating_add(h.offset);
    if needed > from.at_most {
        return Err(format!(
            "The header promises {x} x {y} x {z} voxels ({needed} bytes), more than the file holds."
        ));
    }
    if from.gzipped && needed > limits.unpacked_bytes {
        return Err(format!("It unpacks to {needed} bytes, over the limit of {}.", limits.unpacked_bytes));
    }
    Ok(voxels)
}

fn skip(from: &mut dyn BufRead, bytes: u64) -> std::io::Result<()> {
    let skipped = std::io::copy(&mut from.take(bytes), &mut std::io::sink())?;
    if skipped < bytes { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// Appends `voxels` values in HU and says how many were no number or had to be clipped.
fn fill(data: &mut Vec<i16>, voxels: usize, h: &Header, from: &mut dyn BufRead) -> std::io::Result<u64> {
    let (slope, intercept) = if h.is_scaled() { (h.slope, h.intercept) } else { (1.0, 0.0) };
    let step = h.number.bytes();
    let mut buffer = vec![0_u8; (1 << 20).min(voxels * step)];
    let mut odd = 0_u64;
    while data.len() < voxels {
        let n = (buffer.len() / step).min(voxels - data.len());
        let bytes = &mut buffer[..n * step];
        from.read_exact(bytes)?;
        if h.big_endian {
            bytes.chunks_exact_mut(step).for_each(<[u8]>::reverse);
        }
        if h.number == Number::I16 && slope == 1.0 && intercept == 0.0 {
            data.extend(bytes.as_chunks().0.iter().map(|&b| i16::from_le_bytes(b)));
            continue;
        }
        let mut push = |value: f64| {
            let value = value * slope + intercept;
            // Also true for a value that is no number.
            odd += u64::from(!(-32768.5..=32767.5).contains(&value));
            data.push(to_hu(value));
        };
        macro_rules! each {
            ($t:ty) => {
                bytes.as_chunks().0.iter().for_each(|&b| push(<$t>::from_le_bytes(b) as f64))
            };
        }
        match h.number {
            Number::U8 => each!(u8),
            Number::I8 => each!(i8),
            Number::I16 => each!(i16),
            Number::U16 => each!(u16),
            Number::I32 => each!(i32),
            Number::U32 => each!(u32),
            Number::I64 => each!(i64),
            Number::U64 => each!(u64),
            Number::F32 => each!(f32),
            Number::F64 => each!(f64),
        }
    }
    Ok(odd)
}

/// Whether the header says 8-bit whole numbers without scaling: labels, which cannot be HU.
/// False when the header cannot be read, so that reading it tells why.
pub(crate) fn is_label_map(path: &Path) -> bool {
    open(path).is_ok_and(|(h, _)| matches!(h.number, Number::U8 | Number::I8) && !h.is_scaled())
}
