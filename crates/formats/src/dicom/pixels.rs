//! Pixel data: from the file's bytes to HU.

use super::coding::Coding;
use super::header::Plane;
use super::object::{self, Object, integer, text};
use crate::bounds;
use crate::hounsfield::{AIR_HU, to_hu};
use crate::{Error, Limits, Result};
use dicom_core::value::{PrimitiveValue, Value};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};
use std::path::{Path, PathBuf};

/// The attributes that say how to read the pixels (PS3.3 C.7.6.3).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PixelFormat {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) frames: usize,
    samples: i64,
    photometric: String,
    allocated: i64,
    stored: i64,
    high: i64,
    signed: bool,
    /// Pixel Padding Value, and the other end of its range.
    padding: Option<(i64, i64)>,
    coding: Coding,
    pub(crate) syntax: String,
}

impl PixelFormat {
    /// `None` when the object is no image.
    pub(crate) fn of(object: &Object) -> Option<Self> {
        let set = &object.set;
        // Bounded far above any real size, so that sums and products of them stay numbers.
        let size = |tag| {
            integer(set, tag).and_then(|v| u32::try_from(v).ok()).filter(|&v| v > 0).map(|v| v as usize)
        };
        let whole = |tag| integer(set, tag);
        let stored = whole(tags::BITS_STORED).or_else(|| whole(tags::BITS_ALLOCATED)).unwrap_or(0);
        let padding = whole(tags::PIXEL_PADDING_VALUE);
        let limit = whole(tags::PIXEL_PADDING_RANGE_LIMIT);
        Some(Self {
            rows: size(tags::ROWS)?,
            columns: size(tags::COLUMNS)?,
            frames: size(tags::NUMBER_OF_FRAMES).unwrap_or(1),
            samples: whole(tags::SAMPLES_PER_PIXEL).unwrap_or(1),
            photometric: text(set, tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_else(|| "MONOCHROME2".into()),
            allocated: whole(tags::BITS_ALLOCATED).unwrap_or(0),
            stored,
            high: whole(tags::HIGH_BIT).unwrap_or(stored.saturating_sub(1)),
            signed: whole(tags::PIXEL_REPRESENTATION) == Some(1),
            padding: padding.map(|p| (p, limit.unwrap_or(p))),
            coding: Coding::of(&object.syntax),
            syntax: object.syntax.clone(),
        })
    }

    /// Whether this is a picture for the eye and no slice.
    pub(crate) fn is_colour(&self) -> bool {
        self.samples != 1 || !self.photometric.starts_with("MONOCHROME")
    }

    /// Why these pixels cannot be read; `None` when they can.
    pub(crate) fn problem(&self) -> Option<String> {
        if self.is_colour() {
            return Some("It is a colour picture, not a CT slice.".into());
        }
        if self.rows.max(self.columns) > bounds::VOXELS {
            return Some(format!("Its size of {} x {} pixels is impossible.", self.columns, self.rows));
        }
        if self.photometric == "MONOCHROME1" {
            return Some("Its grey scale is inverted (MONOCHROME1), which no CT in HU is.".into());
        }
        let fits = (1..=self.allocated).contains(&self.stored)
            && (self.stored - 1..self.allocated).contains(&self.high);
        if !matches!(self.allocated, 8 | 16) || !fits {
            return Some(format!(
                "Pixels of {} bits of which {} are used are not read; CT has 16 or 8.",
                self.allocated, self.stored
            ));
        }
        if self.coding == Coding::Other {
            return Some(format!(
                "Its compression is not read: {}. Convert it first, for example with dcmdjpeg, dcmdjpls or gdcmconv.",
                syntax_name(&self.syntax)
            ));
        }
        None
    }

    fn pixels(&self) -> usize {
        self.rows * self.columns
    }
}

/// The transfer syntax by name and UID.
pub(crate) fn syntax_name(uid: &str) -> String {
    let clean: String = uid.chars().filter(|c| c.is_ascii_digit() || *c == '.').take(64).collect();
    match TransferSyntaxRegistry.get(&clean) {
        Some(syntax) => format!("{} ({clean})", syntax.name()),
        None => format!("transfer syntax {clean}"),
    }
}

/// What happened to the padding while a slice was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Padding {
    /// Pixels set to air because the file calls them padding.
    pub(crate) replaced: usize,
    /// The padding value means tissue, so it was not believed.
    pub(crate) ignored: bool,
}

/// The pixel data of one file, still coded.
pub(crate) struct PixelFile {
    path: PathBuf,
    format: PixelFormat,
    data: Coded,
}

enum Coded {
    Words(Vec<u16>),
    Bytes(Vec<u8>),
    Fragments { offsets: Vec<u32>, fragments: Vec<Vec<u8>> },
}

impl PixelFile {
    /// Reads the file's pixel data. The format must have no [`PixelFormat::problem`].
    pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Self> {
        let refuse = |reason: &str| Error::Refused { path: path.to_owned(), reason: reason.into() };
        let mut object = object::open(path, true, limits)?;
        let format = PixelFormat::of(&object).ok_or_else(|| refuse("It holds no image."))?;
        if let Some(problem) = format.problem() {
            return Err(refuse(&problem));
        }
        let data = take_pixels(&mut object.set).ok_or_else(|| refuse("It holds no pixel data."))?;
        let file = Self { path: path.to_owned(), format, data };
        let have = match &file.data {
            Coded::Words(w) => w.len() * 2,
            Coded::Bytes(b) => b.len(),
            Coded::Fragments { .. } => usize::MAX,
        };
        let bytes = file.format.allocated as usize / 8;
        let need = file.format.pixels().saturating_mul(file.format.frames).saturating_mul(bytes);
        if have < need {
            return Err(refuse("Its pixel data is cut short; copy the file again."));
        }
        Ok(file)
    }

    /// Decodes a frame to HU into `out` (rows x columns).
    pub(crate) fn frame(&self, index: usize, plane: &Plane, out: &mut [i16]) -> Result<Padding> {
        let refuse = |reason: String| Error::Refused { path: self.path.clone(), reason };
        let words =
            self.words(index).map_err(|e| refuse(format!("Its pixel data cannot be decoded: {e}.")))?;
        if words.len() < out.len() || out.len() != self.format.pixels() {
            return Err(refuse("Its pixel data is not of the size its header says.".into()));
        }
        Ok(self.to_hu(&words, plane.rescale.unwrap_or((1.0, 0.0)), out))
    }

    /// Stored words of one frame, one per pixel.
    fn words(&self, index: usize) -> std::result::Result<std::borrow::Cow<'_, [u16]>, String> {
        let f = &self.format;
        let n = f.pixels();
        let short = "it is cut short";
        match &self.data {
            Coded::Words(w) if f.allocated == 16 => {
                Ok(w.get(index * n..(index + 1) * n).ok_or(short)?.into())
            }
            Coded::Words(w) => {
                let bytes = w.iter().flat_map(|w| w.to_le_bytes()).skip(index * n).take(n);
                Ok(bytes.map(u16::from).collect::<Vec<_>>().into())
            }
            Coded::Bytes(b) if f.allocated == 8 => {
                let part = b.get(index * n..(index + 1) * n).ok_or(short)?;
                Ok(part.iter().map(|&v| v.into()).collect::<Vec<_>>().into())
            }
            Coded::Bytes(b) => {
                let part = b.get(2 * index * n..2 * (index + 1) * n).ok_or(short)?;
                Ok(part.as_chunks().0.iter().map(|&v| u16::from_le_bytes(v)).collect::<Vec<_>>().into())
            }
            Coded::Fragments { offsets, fragments } => {
                let stream = gather(offsets, fragments, index, f.frames)?;
                let words = f.coding.decode(&stream, (f.columns, f.rows), f.allocated as usize / 8)?;
                Ok(words.into())
            }
        }
    }

    /// Masks, extends the sign, applies slope and intercept, replaces padding.
    fn to_hu(&self, words: &[u16], (slope, intercept): (f64, f64), out: &mut [i16]) -> Padding {
        let f = &self.format;
        let down = (f.high + 1 - f.stored) as u32;
        let spare = 32 - f.stored as u32;
        let value = |word: u16| -> i32 {
            let bits = u32::from(word >> down) << spare;
            if f.signed { bits as i32 >> spare } else { (bits >> spare) as i32 }
        };
        let hu = |value: i32| to_hu(f64::from(value) * slope + intercept);
        if slope == 1.0 && intercept.fract() == 0.0 && intercept.abs() < 1e6 {
            let add = intercept as i32;
            for (out, &word) in out.iter_mut().zip(words) {
                *out = (value(word) + add).clamp(-32768, 32767) as i16;
            }
        } else {
            out.iter_mut().zip(words).for_each(|(out, &word)| *out = hu(value(word)));
        }
        let Some((a, b)) = f.padding else { return Padding::default() };
        // The attribute may be written signed or unsigned, whatever the pixels are.
        let as_stored = |p: i64| if f.signed { i32::from(p as i16) } else { i32::from(p as u16) };
        let (low, high) = (as_stored(a).min(as_stored(b)), as_stored(a).max(as_stored(b)));
        let tissue = |v: i32| (-900..=3071).contains(&hu(v));
        if tissue(low) || tissue(high) {
            return Padding { replaced: 0, ignored: true };
        }
        let mut replaced = 0;
        for (out, &word) in out.iter_mut().zip(words) {
            // Values wider than the stored bits are padding too when the whole word says so.
            let whole = if f.signed { i32::from(word as i16) } else { i32::from(word) };
            let pad = (low..=high).contains(&value(word)) || (low..=high).contains(&whole);
            if pad && *out != AIR_HU {
                *out = AIR_HU;
                replaced += 1;
            }
        }
        Padding { replaced, ignored: false }
    }
}

/// Moves the pixel data out of a data set.
fn take_pixels(set: &mut InMemDicomObject) -> Option<Coded> {
    match set.take(tags::PIXEL_DATA)?.into_value() {
        Value::Primitive(PrimitiveValue::U16(words)) => Some(Coded::Words(words.into_vec())),
        Value::Primitive(PrimitiveValue::U8(bytes)) => Some(Coded::Bytes(bytes.into_vec())),
        Value::Primitive(other) => Some(Coded::Bytes(other.to_bytes().into_owned())),
        Value::PixelSequence(sequence) => {
            let (offsets, fragments) = sequence.into_parts();
            Some(Coded::Fragments { offsets: offsets.into_vec(), fragments: fragments.into_vec() })
        }
        _ => None,
    }
}

/// The coded stream of one frame: all fragments of a single frame; of many frames one fragment
/// each, or those between two entries of the offset table (PS3.5 A.4).
fn gather<'a>(
    offsets: &[u32],
    fragments: &'a [Vec<u8>],
    index: usize,
    frames: usize,
) -> std::result::Result<std::borrow::Cow<'a, [u8]>, String> {
    if frames == 1 && fragments.len() > 1 {
        return Ok(fragments.concat().into());
    }
    if fragments.len() == frames {
        return Ok(fragments.get(index).ok_or("a frame is missing")?.into());
    }
    if offsets.len() != frames {
        return Err("it does not say where each frame begins".into());
    }
    let (start, end) = (offsets[index], offsets.get(index + 1).copied().unwrap_or(u32::MAX));
    let mut at = 0_u64;
    let mut stream = Vec::new();
    for fragment in fragments {
        if (u64::from(start)..u64::from(end)).contains(&at) {
            stream.extend_from_slice(fragment);
        }
        at += 8 + fragment.len() as u64;
    }
    Ok(stream.into())
}

#[cfg(test)]
mod tests;
