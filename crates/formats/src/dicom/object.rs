//! Opening a DICOM file, and typed access to its attributes.

use super::walk::{self, Coding};
use crate::{Error, Limits, Result};
use dicom_core::Tag;
use dicom_dictionary_std::uids::{
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN,
    JPIP_REFERENCED_DEFLATE, JPIPHTJ2K_REFERENCED_DEFLATE,
};
use dicom_object::file::ReadPreamble;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject, OpenFileOptions};
use flate2::bufread::DeflateDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Explicit VR Big Endian, retired but still met.
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// A parsed data set and how its file is encoded.
pub(crate) struct Object {
    pub(crate) set: InMemDicomObject,
    /// Transfer syntax UID.
    pub(crate) syntax: String,
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
    matches!(start, [2 | 8, 0, e, 0, _, _, _, _, ..] if *e < 0x20) && {
        let explicit = start[4].is_ascii_uppercase() && start[5].is_ascii_uppercase();
        let length = u32::from_le_bytes([start[4], start[5], start[6], start[7]]);
        explicit || length < 128
    }
}

/// Opens a file up to its pixel data, or with it.
///
/// # Errors
/// [`Error::Refused`] when it cannot be read, is not DICOM or is damaged.
pub(crate) fn open(path: &Path, with_pixels: bool, limits: &Limits) -> Result<Object> {
    let io = |source| Error::unreadable(path, source);
    let damaged = |what: &str| Error::Refused {
        path: path.to_owned(),
        reason: format!("The DICOM file cannot be read: {what}. It may be damaged or cut short."),
    };
    let file = File::open(path).map_err(io)?;
    let end = file.metadata().map_err(io)?.len();
    let mut file = BufReader::with_capacity(1 << 16, file);
    let start = file.fill_buf().map_err(io)?;
    if !marked(start) && !bare(start) {
        return Err(Error::Refused { path: path.to_owned(), reason: "This is not a DICOM file.".into() });
    }
    if marked(start) {
        file.consume(132);
    }
    let syntax = match syntax(&mut file) {
        Ok(Some(syntax)) => syntax,
        Ok(None) => return Err(damaged("its file header is damaged")),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(damaged("it ends inside its file header"));
        }
        Err(e) => return Err(io(e)),
    };
    // The data set is handed on behind a file header of our own: the file's may be missing or
    // hold values that dicom-object refuses, and deflated data is inflated here under the limit.
    let begin = file.stream_position().map_err(io)?;
    let deflated =
        [DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, JPIP_REFERENCED_DEFLATE, JPIPHTJ2K_REFERENCED_DEFLATE]
            .contains(&syntax.as_str());
    let set: Box<dyn Read> = if deflated {
        let mut inflated = DeflateDecoder::new(&mut file).take(limits.unpacked_bytes);
        let walked = walk::look(&mut inflated, read_over, u64::MAX, coding(&syntax), with_pixels);
        let length = walked.map_err(|e| damaged(&e))?;
        file.seek(SeekFrom::Start(begin)).map_err(io)?;
        Box::new(DeflateDecoder::new(file).take(length))
    } else {
        let skip: walk::Skip<BufReader<File>> = |from, n| from.seek_relative(n as i64).map(|()| n);
        let walked = walk::look(&mut file, skip, end.saturating_sub(begin), coding(&syntax), with_pixels);
        let length = walked.map_err(|e| damaged(&e))?;
        // Back without giving up the buffer, which mostly holds the whole header.
        let now = file.stream_position().map_err(io)?;
        file.seek_relative(begin as i64 - now as i64).map_err(io)?;
        Box::new(file.take(length))
    };
    // dicom-object refuses syntaxes that it has not heard of, though all but two write data sets alike.
    let alike = ![IMPLICIT_VR_LITTLE_ENDIAN, BIG_ENDIAN].contains(&syntax.as_str());
    let header = file_header(if alike { EXPLICIT_VR_LITTLE_ENDIAN } else { &syntax }).map_err(io)?;
    let options = OpenFileOptions::new().read_preamble(ReadPreamble::Always);
    let set = options.from_reader(header.as_slice().chain(set)).map_err(|e| damaged(&innermost(&e)))?;
    Ok(Object { set: set.into_inner(), syntax })
}

/// Moves on in what can only be read.
fn read_over(from: &mut impl Read, bytes: u64) -> std::io::Result<u64> {
    std::io::copy(&mut from.take(bytes), &mut std::io::sink())
}

/// How a transfer syntax writes its headers; what is not known is explicit, little endian.
fn coding(syntax: &str) -> Coding {
    Coding { explicit: syntax != IMPLICIT_VR_LITTLE_ENDIAN, big_endian: syntax == BIG_ENDIAN }
}

/// Reads group 2 (always explicit, little endian) for its Transfer Syntax UID, and stops at the
/// data set. A data set without file header is taken as what its first element looks like.
fn syntax(file: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut found = None;
    loop {
        let next = file.fill_buf()?;
        let &[2, 0, element, 0, v0, v1, l0, l1, ..] = next else {
            let explicit = next.get(4).is_some_and(u8::is_ascii_uppercase);
            let bare = if explicit { EXPLICIT_VR_LITTLE_ENDIAN } else { IMPLICIT_VR_LITTLE_ENDIAN };
            return Ok(found.or_else(|| next.starts_with(&[8, 0]).then(|| bare.to_owned())));
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

/// Preamble, mark and group 2 with nothing but a transfer syntax.
fn file_header(syntax: &str) -> std::io::Result<Vec<u8>> {
    let meta = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid("")
        .media_storage_sop_instance_uid("")
        .transfer_syntax(syntax)
        .build()
        .map_err(std::io::Error::other)?;
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    meta.write(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes)
}

/// The last cause in a chain of errors, which says what happened; the outer ones say where in
/// the library.
fn innermost(e: &dyn std::error::Error) -> String {
    let mut cause = e;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string().trim_end_matches('.').to_owned()
}

/// Text of an attribute, trimmed; `None` when absent, empty or not text.
pub(crate) fn text(set: &InMemDicomObject, tag: Tag) -> Option<String> {
    let value = set.get(tag)?.to_str().ok()?;
    let value = value.trim_matches([' ', '\0', '\t', '\n', '\r']);
    (!value.is_empty()).then(|| value.to_owned())
}

/// Backslash-separated values of a text attribute, each trimmed.
pub(crate) fn texts(set: &InMemDicomObject, tag: Tag) -> Vec<String> {
    let whole = text(set, tag).unwrap_or_default();
    whole.split('\\').map(|v| v.trim().to_owned()).filter(|v| !v.is_empty()).collect()
}

/// Numbers of an attribute, written as text (DS, IS) or in binary; finite ones only.
pub(crate) fn numbers(set: &InMemDicomObject, tag: Tag) -> Vec<f64> {
    // Some exporters write a decimal comma.
    let parse = |v: &String| v.replace(',', ".").parse::<f64>().ok().filter(|v| v.is_finite());
    texts(set, tag).iter().map(parse).collect::<Option<_>>().unwrap_or_default()
}

/// The first number of an attribute.
pub(crate) fn number(set: &InMemDicomObject, tag: Tag) -> Option<f64> {
    numbers(set, tag).first().copied()
}

/// A whole number of an attribute.
pub(crate) fn integer(set: &InMemDicomObject, tag: Tag) -> Option<i64> {
    number(set, tag).map(|v| v as i64)
}

/// Items of a sequence.
pub(crate) fn items(set: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    set.get(tag).and_then(|e| e.items()).unwrap_or_default()
}
