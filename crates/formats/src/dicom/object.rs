//! Opening a DICOM file (PS3.10 section 7).

use super::parse::{self, Coding, Place};
use super::set::Set;
use crate::{Error, Limits};
use dicom_dictionary_std::uids::{
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN,
    JPIP_REFERENCED_DEFLATE, JPIPHTJ2K_REFERENCED_DEFLATE,
};
use flate2::bufread::DeflateDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Explicit VR Big Endian, retired but still met.
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
/// Of old GE archives: headers implicit and little endian, pixels big endian.
const GE_BIG_ENDIAN: &str = "1.2.840.113619.5.2";
/// A CT's header without its picture fits in this many bytes.
const BUFFER: usize = 1 << 14;

/// The attributes of a file, and where its picture lies.
pub(crate) struct Object {
    pub(crate) set: Set,
    /// Transfer syntax UID.
    pub(crate) syntax: String,
    pub(crate) picture: Option<Picture>,
}

/// Where the picture of a file lies and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Where the data set begins in the file.
    begin: u64,
    deflated: bool,
    place: Place,
    /// Whether its bytes are to be turned around, word by word or two by two.
    pub(crate) big_endian: bool,
}

/// What is wrong with a file, and what of it could be read before that.
pub(crate) struct Damaged {
    pub(crate) error: Error,
    pub(crate) set: Option<Set>,
}

/// What the first bytes of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// The mark at byte 128, or a data set that starts at once.
    Dicom,
    /// Nothing, or nothing but zeros, and too short for the mark: what an interrupted copy leaves.
    Stub,
    Other,
}

/// Whether a file looks like DICOM. What cannot be opened does when its name ends in `.dcm`.
pub(crate) fn look(path: &Path) -> Look {
    let mut start = [0; 132];
    let Ok(n) = File::open(path).and_then(|mut f| read_up_to(&mut f, &mut start)) else {
        let named = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("dcm"));
        return if named { Look::Dicom } else { Look::Other };
    };
    let start = &start[..n];
    if marked(start) || bare(start) {
        Look::Dicom
    } else if n < 132 && start.iter().take(128).all(|&b| b == 0) {
        Look::Stub
    } else {
        Look::Other
    }
}

fn read_up_to(from: &mut impl Read, to: &mut [u8]) -> std::io::Result<usize> {
    let mut n = 0;
    while n < to.len() {
        match from.read(&mut to[n..])? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

fn marked(start: &[u8]) -> bool {
    start.get(128..132) == Some(b"DICM")
}

/// A data set without preamble: group 2 or 8, a low element, and a short value.
fn bare(start: &[u8]) -> bool {
    let explicit = |start: &[u8]| start[4].is_ascii_uppercase() && start[5].is_ascii_uppercase();
    match start {
        [2 | 8, 0, e, 0, a, b, c, d, ..] if *e < 0x20 => {
            explicit(start) || u32::from_le_bytes([*a, *b, *c, *d]) < 128
        }
        // Big endian has no implicit form.
        [0, 8, 0, e, _, _, _, _, ..] if *e < 0x20 => explicit(start),
        _ => false,
    }
}

/// Opens a file and reads it up to its picture.
///
/// # Errors
/// When it cannot be read, is not DICOM or is damaged.
pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Object, Damaged> {
    let io = |source| Damaged { error: Error::unreadable(path, source), set: None };
    let damaged = |what: &str, set| {
        let reason = format!("The DICOM file cannot be read: {what}. It may be damaged or cut short.");
        Damaged { error: Error::Refused { path: path.to_owned(), reason }, set }
    };
    let file = File::open(path).map_err(io)?;
    let end = file.metadata().map_err(io)?.len();
    let mut file = BufReader::with_capacity(BUFFER, file);
    let start = file.fill_buf().map_err(io)?;
    if !marked(start) && !bare(start) {
        let error = Error::Refused { path: path.to_owned(), reason: "This is not a DICOM file.".into() };
        return Err(Damaged { error, set: None });
    }
    if marked(start) {
        file.consume(132);
    }
    let syntax = match syntax(&mut file) {
        Ok(Some(syntax)) => syntax,
        Ok(None) => return Err(damaged("its file header is damaged", None)),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(damaged("it ends inside its file header", None));
        }
        Err(e) => return Err(io(e)),
    };
    let begin = file.stream_position().map_err(io)?;
    let deflated =
        [DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, JPIP_REFERENCED_DEFLATE, JPIPHTJ2K_REFERENCED_DEFLATE]
            .contains(&syntax.as_str());
    let mut set = Set::new(syntax == BIG_ENDIAN);
    let found = if deflated {
        let coding = Coding { explicit: true, big_endian: false };
        let mut inflated = DeflateDecoder::new(file).take(limits.unpacked_bytes);
        parse::parse(&mut inflated, read_over, u64::MAX, coding, &mut set)
    } else {
        let coding = coding(&syntax, file.fill_buf().map_err(io)?);
        let skip: parse::Skip<BufReader<File>> = |from, n| from.seek_relative(n as i64).map(|()| n);
        parse::parse(&mut file, skip, end.saturating_sub(begin), coding, &mut set)
    };
    let big_endian = [BIG_ENDIAN, GE_BIG_ENDIAN].contains(&syntax.as_str());
    match found {
        Ok(place) => {
            let picture = place.map(|place| Picture { begin, deflated, place, big_endian });
            Ok(Object { set, syntax, picture })
        }
        Err(what) => Err(damaged(&what, Some(set))),
    }
}

/// Moves on in what can only be read.
fn read_over(from: &mut impl Read, bytes: u64) -> std::io::Result<u64> {
    std::io::copy(&mut from.take(bytes), &mut std::io::sink())
}

/// How a transfer syntax writes its headers; what is not known is explicit, little endian. Of
/// explicit and implicit the first attribute is believed rather than the file's header.
fn coding(syntax: &str, start: &[u8]) -> Coding {
    let big_endian = syntax == BIG_ENDIAN;
    let explicit = match start {
        [_, _, _, _, a, b, ..] => a.is_ascii_uppercase() && b.is_ascii_uppercase(),
        _ => ![IMPLICIT_VR_LITTLE_ENDIAN, GE_BIG_ENDIAN].contains(&syntax),
    };
    Coding { explicit: explicit || big_endian, big_endian }
}

/// Reads group 2 (always explicit, little endian) for its Transfer Syntax UID, and stops at the
/// data set. A data set without file header is taken as what its first element looks like.
fn syntax(file: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut found = None;
    loop {
        let next = file.fill_buf()?;
        let &[2, 0, element, 0, v0, v1, l0, l1, ..] = next else {
            let explicit = next.get(4).is_some_and(u8::is_ascii_uppercase);
            let bare = match next {
                [0, 8, ..] => Some(BIG_ENDIAN),
                [8, 0, ..] if explicit => Some(EXPLICIT_VR_LITTLE_ENDIAN),
                [8, 0, ..] => Some(IMPLICIT_VR_LITTLE_ENDIAN),
                _ => None,
            };
            return Ok(found.or(bare.map(str::to_owned)));
        };
        let long = [*b"OB", *b"UN", *b"UT", *b"OW"].contains(&[v0, v1]);
        file.consume(8);
        let mut length = u64::from(u16::from_le_bytes([l0, l1]));
        if long {
            let mut bytes = [0; 4];
            file.read_exact(&mut bytes)?;
            length = u32::from_le_bytes(bytes).into();
        }
        let mut value = Vec::new();
        file.take(length).read_to_end(&mut value)?;
        if element == 0x10 {
            let text = String::from_utf8_lossy(&value);
            found = Some(text.trim_matches(['\0', ' ']).to_owned());
        }
    }
}

/// One piece of a picture: where it lies and how long it is.
pub(crate) type Piece = (u64, u64);

impl Picture {
    /// Bytes of its value when it is not compressed.
    pub(crate) fn length(&self) -> Option<u64> {
        self.place.length
    }

    /// Whether 8-bit pixels are written in words.
    pub(crate) fn in_words(&self) -> bool {
        self.place.words
    }

    /// The whole of a deflated data set's picture, at most `most` bytes of it; `None` when the
    /// file is not deflated and its pieces can be read one by one.
    pub(crate) fn inflate(
        &self,
        path: &Path,
        most: u64,
        limits: &Limits,
    ) -> std::io::Result<Option<Vec<u8>>> {
        let Some(length) = self.place.length.filter(|_| self.deflated) else { return Ok(None) };
        let mut file = BufReader::new(File::open(path)?);
        file.seek(SeekFrom::Start(self.begin))?;
        let mut set = DeflateDecoder::new(file);
        read_over(&mut set, self.place.offset)?;
        let mut bytes = Vec::new();
        set.take(length.min(most).min(limits.unpacked_bytes)).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// The pieces of the picture in the file: one when it is not compressed; else its fragments,
    /// of which the first is the offset table (PS3.5 A.4).
    ///
    /// # Errors
    /// What is wrong, as half a sentence.
    pub(crate) fn pieces(&self, file: &mut (impl Read + Seek)) -> Result<Vec<Piece>, String> {
        let mut at = self.begin + self.place.offset;
        if let Some(length) = self.place.length {
            return Ok(vec![(at, length)]);
        }
        if self.deflated {
            return Err("it is compressed twice".into());
        }
        let io = |e: std::io::Error| e.to_string();
        let end = file.seek(SeekFrom::End(0)).map_err(io)?;
        let mut pieces = Vec::new();
        loop {
            let mut header = [0; 8];
            file.seek(SeekFrom::Start(at)).map_err(io)?;
            // Encoders forget the end of the pieces; a cut inside a piece is found by its length.
            let n = read_up_to(file, &mut header).map_err(io)?;
            let [a, b, c, d, length @ ..] = header;
            let length = u64::from(u32::from_le_bytes(length));
            match [a, b, c, d] {
                _ if n < 8 => return Ok(pieces),
                [0xfe, 0xff, 0xdd, 0xe0] => return Ok(pieces),
                [0xfe, 0xff, 0, 0xe0] if at + 8 + length <= end => pieces.push((at + 8, length)),
                [0xfe, 0xff, 0, 0xe0] => return Err("it is cut short".into()),
                _ => return Err("it is not in pieces".into()),
            }
            at += 8 + length;
        }
    }
}

/// The bytes of a piece.
///
/// # Errors
/// When the file is shorter.
pub(crate) fn read_piece(file: &mut (impl Read + Seek), piece: Piece) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(piece.0))?;
    let mut bytes = Vec::with_capacity(usize::try_from(piece.1).unwrap_or(0).min(1 << 26));
    file.take(piece.1).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < piece.1 { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}
