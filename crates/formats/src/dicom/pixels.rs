//! Pixel data: from the file's bytes to HU.

use super::coding::Coding;
use super::frames::Plane;
use super::header::Header;
use super::object::{Object, Picture, Piece, read_piece};
use super::set::{Set, integer, items, offsets, text, words};
use crate::bounds;
use crate::hounsfield::{AIR_HU, to_hu};
use crate::{Error, Limits, Result};
use dicom_dictionary_std::tags;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

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
    /// Values go through this instead of slope and intercept.
    lut: Option<Arc<Lut>>,
    /// Where each frame's pieces begin, 64 bits wide; mostly empty.
    offsets: Vec<u64>,
    coding: Coding,
    pub(crate) syntax: String,
}

/// A Modality LUT (PS3.3 C.11.1).
#[derive(Debug, PartialEq)]
struct Lut {
    /// Stored value that the first entry stands for; lower ones give the first entry too.
    first: i32,
    entries: Vec<u16>,
    /// What the entries mean.
    kind: String,
}

impl Lut {
    fn of(set: &Set) -> Option<Self> {
        let item = items(set, tags::MODALITY_LUT_SEQUENCE).first()?;
        let first = words(item, tags::LUT_DESCRIPTOR).get(1).copied().unwrap_or(0);
        let signed = integer(set, tags::PIXEL_REPRESENTATION) == Some(1);
        let first = if signed { i32::from(first as i16) } else { i32::from(first) };
        let kind = text(item, tags::MODALITY_LUT_TYPE).unwrap_or_else(|| "US".into());
        Some(Self { first, entries: words(item, tags::LUT_DATA), kind })
    }

    /// The entry for a stored value. The standard's entries are unsigned, in which no HU below
    /// water can be said; those that say HU are therefore signed.
    fn hu(&self, value: i32) -> i16 {
        let last = self.entries.len().saturating_sub(1);
        let index = value.saturating_sub(self.first).clamp(0, last as i32) as usize;
        self.entries.get(index).map_or(AIR_HU, |&v| v as i16)
    }
}

impl PixelFormat {
    /// Of an object without an image, no rows and columns.
    pub(crate) fn of(object: &Object) -> Self {
        let set = &object.set;
        // Bounded far above any real size, so that sums and products of them stay numbers.
        let size = |tag| {
            integer(set, tag).and_then(|v| u32::try_from(v).ok()).filter(|&v| v > 0).map(|v| v as usize)
        };
        let whole = |tag| integer(set, tag);
        let stored = whole(tags::BITS_STORED).or_else(|| whole(tags::BITS_ALLOCATED)).unwrap_or(0);
        let padding = whole(tags::PIXEL_PADDING_VALUE);
        let limit = whole(tags::PIXEL_PADDING_RANGE_LIMIT);
        Self {
            rows: size(tags::ROWS).unwrap_or(0),
            columns: size(tags::COLUMNS).unwrap_or(0),
            frames: size(tags::NUMBER_OF_FRAMES).unwrap_or(1),
            samples: whole(tags::SAMPLES_PER_PIXEL).unwrap_or(1),
            photometric: text(set, tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_else(|| "MONOCHROME2".into()),
            allocated: whole(tags::BITS_ALLOCATED).unwrap_or(0),
            stored,
            high: whole(tags::HIGH_BIT).unwrap_or(stored.saturating_sub(1)),
            signed: whole(tags::PIXEL_REPRESENTATION) == Some(1),
            padding: padding.map(|p| (p, limit.unwrap_or(p))),
            lut: Lut::of(set).map(Arc::new),
            offsets: offsets(set, tags::EXTENDED_OFFSET_TABLE),
            coding: Coding::of(&object.syntax),
            syntax: object.syntax.clone(),
        }
    }

    /// What the values mean that a lookup table gives.
    pub(crate) fn lut_type(&self) -> Option<&str> {
        self.lut.as_deref().map(|lut| lut.kind.as_str())
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

    /// Bytes of all frames when they are not compressed.
    pub(crate) fn need(&self) -> u64 {
        let pixels = self.pixels().saturating_mul(self.frames);
        pixels.saturating_mul(self.allocated.max(0) as usize / 8) as u64
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

/// The pixel data of one file, still coded, and mostly still in the file.
pub(crate) struct PixelFile {
    path: PathBuf,
    format: PixelFormat,
    picture: Picture,
    data: Coded,
}

enum Coded {
    /// Lies here in the file.
    Native(Piece),
    /// Was unpacked from a deflated file.
    Inflated(Vec<u8>),
    Fragments {
        offsets: Vec<u64>,
        fragments: Vec<Piece>,
    },
}

impl PixelFile {
    /// Finds the file's pixel data. The format must have no [`PixelFormat::problem`].
    pub(crate) fn open(header: &Header, limits: &Limits) -> Result<Self> {
        let refuse = |reason: &str| Error::Refused { path: header.path.clone(), reason: reason.into() };
        let format = header.pixels.clone();
        let picture = header.picture.clone().ok_or_else(|| refuse("It holds no pixel data."))?;
        let need = format.need();
        let short = || refuse("Its pixel data is cut short; copy the file again.");
        if picture.length().is_some_and(|have| have < need) {
            return Err(short());
        }
        let unreadable = |e| Error::unreadable(&header.path, e);
        let data = match picture.inflate(&header.path, need, limits).map_err(unreadable)? {
            Some(bytes) if (bytes.len() as u64) < need => return Err(short()),
            Some(bytes) => Coded::Inflated(bytes),
            None => {
                let mut file = File::open(&header.path).map_err(unreadable)?;
                let pieces = picture.pieces(&mut file);
                let pieces = pieces.map_err(|e| {
                    refuse(&format!("Its pixel data cannot be read: {e}; copy the file again."))
                })?;
                Coded::of(&format, &picture, pieces, &mut file).map_err(unreadable)?
            }
        };
        Ok(Self { path: header.path.clone(), format, picture, data })
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
    fn words(&self, index: usize) -> std::result::Result<Vec<u16>, String> {
        let f = &self.format;
        let n = f.pixels();
        let length = n * f.allocated as usize / 8;
        // A frame of 8-bit pixels may begin in the middle of a word.
        let (start, skip) = (index * length / 2 * 2, index * length % 2);
        match &self.data {
            Coded::Inflated(bytes) => {
                let part = bytes.get(start..start + skip + length).ok_or("it is cut short")?;
                Ok(self.native(part, skip))
            }
            Coded::Native((at, have)) => {
                let want = (skip + length).next_multiple_of(2) as u64;
                let piece = (at + start as u64, want.min(have - start as u64));
                let part =
                    self.file().and_then(|mut f| read_piece(&mut f, piece)).map_err(|e| e.to_string())?;
                Ok(self.native(&part, skip))
            }
            Coded::Fragments { offsets, fragments } => {
                let stream = self.stream(frame_pieces(offsets, fragments, index, f.frames)?);
                let stream = stream.map_err(|e| e.to_string())?;
                f.coding.decode(&stream, (f.columns, f.rows), f.allocated as usize / 8)
            }
        }
    }

    /// The coded stream of some pieces.
    fn stream(&self, pieces: &[Piece]) -> std::io::Result<Vec<u8>> {
        let mut file = self.file()?;
        let mut stream = Vec::new();
        for &piece in pieces {
            stream.append(&mut read_piece(&mut file, piece)?);
        }
        Ok(stream)
    }

    fn file(&self) -> std::io::Result<File> {
        File::open(&self.path)
    }

    /// Words of uncompressed bytes, of which the first `skip` belong to the frame before.
    fn native(&self, bytes: &[u8], skip: usize) -> Vec<u16> {
        let (big_endian, in_words) = (self.picture.big_endian, self.picture.in_words());
        let pairs = || bytes.as_chunks::<2>().0.iter();
        match (self.format.allocated, big_endian) {
            (8, true) if in_words => {
                let turned = pairs().flat_map(|&[a, b]| [b, a]).map(u16::from);
                turned.skip(skip).take(self.format.pixels()).collect()
            }
            (8, _) => bytes.iter().skip(skip).take(self.format.pixels()).map(|&v| v.into()).collect(),
            (_, true) => pairs().map(|&v| u16::from_be_bytes(v)).collect(),
            (_, false) => pairs().map(|&v| u16::from_le_bytes(v)).collect(),
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
        let hu = |value: i32| match &f.lut {
            Some(lut) => lut.hu(value),
            None => to_hu(f64::from(value) * slope + intercept),
        };
        if f.lut.is_none() && slope == 1.0 && intercept.fract() == 0.0 && intercept.abs() < 1e6 {
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

impl Coded {
    /// The offset table is the first fragment, unless the data set holds one of 64 bits (PS3.5 A.4).
    fn of(
        format: &PixelFormat,
        picture: &Picture,
        pieces: Vec<Piece>,
        file: &mut File,
    ) -> std::io::Result<Self> {
        let mut pieces = pieces.into_iter();
        let first = pieces.next().unwrap_or((0, 0));
        if picture.length().is_some() {
            return Ok(Self::Native(first));
        }
        let mut offsets = format.offsets.clone();
        if offsets.is_empty() {
            let table = read_piece(file, first)?;
            offsets = table.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b).into()).collect();
        }
        Ok(Self::Fragments { offsets, fragments: pieces.collect() })
    }
}

/// The pieces of one frame: all of a single frame; of many frames one each, or those between two
/// entries of the offset table.
fn frame_pieces<'a>(
    offsets: &[u64],
    fragments: &'a [Piece],
    index: usize,
    frames: usize,
) -> std::result::Result<&'a [Piece], String> {
    if frames == 1 {
        return Ok(fragments);
    }
    if fragments.len() == frames {
        return fragments.get(index..=index).ok_or("a frame is missing".into());
    }
    let (Some(first), true) = (fragments.first(), offsets.len() == frames) else {
        return Err("it does not say where each frame begins".into());
    };
    // Offsets count from the header of the first fragment.
    let at = |offset: u64| fragments.partition_point(|f| f.0 - first.0 < offset);
    let (start, end) = (at(offsets[index]), offsets.get(index + 1).map_or(fragments.len(), |&o| at(o)));
    fragments.get(start..end).filter(|f| !f.is_empty()).ok_or("a frame is missing".into())
}

#[cfg(test)]
mod tests;
