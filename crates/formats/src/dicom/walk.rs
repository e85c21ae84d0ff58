//! A first look over a data set: its tags and lengths, before anything of it is parsed.
//!
//! The parser behind this crate recurses into sequences and asks for the memory that a length
//! states before it has read a byte of it. What it is handed has therefore been walked here,
//! in constant space: every length fits in what is left, and sequences nest only so deep.
//! Headers are read as PS3.5 section 7.1 and annex A lay them out.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use std::io::Read;

/// Sequences inside sequences; a CT nests three or four.
const DEEPEST: usize = 16;
/// Most attributes in one file. Each costs the parser some hundred bytes; a CT has a hundred, an
/// enhanced one some sixty for each frame.
const MOST_ATTRIBUTES: usize = 4_000_000;
/// Most bytes of one attribute that is not the picture.
const MOST_BYTES: u64 = 256 << 20;
/// The length that says "until a delimiter".
const UNDEFINED: u32 = u32::MAX;

const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_END: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);

/// How headers are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coding {
    pub(crate) explicit: bool,
    pub(crate) big_endian: bool,
}

/// Something that was entered and not yet left.
struct Open {
    kind: Kind,
    /// Where it ends, if it says so.
    end: Option<u64>,
}

#[derive(PartialEq)]
enum Kind {
    Sequence,
    Item,
    /// The pieces of a compressed picture.
    Fragments,
}

/// Moves a reader on by some bytes, and says by how many it could.
pub(crate) type Skip<R> = fn(&mut R, u64) -> std::io::Result<u64>;

struct Walk<'a, R> {
    from: &'a mut R,
    skip: Skip<R>,
    at: u64,
    end: u64,
    coding: Coding,
    open: Vec<Open>,
}

/// Walks a data set up to its picture, or past it, and returns how many bytes that is.
/// `end` is the number of bytes there are, or `u64::MAX` when that is not known beforehand.
///
/// # Errors
/// What is wrong, as half a sentence.
pub(crate) fn look<R: Read>(
    from: &mut R,
    skip: Skip<R>,
    end: u64,
    coding: Coding,
    with_pixels: bool,
) -> Result<u64, String> {
    let mut walk = Walk { from, skip, at: 0, end, coding, open: Vec::new() };
    for _ in 0..MOST_ATTRIBUTES {
        walk.leave()?;
        let before = walk.at;
        let root = walk.open.is_empty();
        let Some(tag) = walk.tag()? else {
            // Encoders forget the end of the pieces; a cut inside a piece is found by its length.
            let whole = walk.open.last().is_none_or(|o| o.kind == Kind::Fragments);
            return if whole { Ok(walk.at) } else { Err("it ends inside a sequence".into()) };
        };
        if root && (tag > tags::PIXEL_DATA && tag.group() != ITEM.group()) {
            return Ok(before);
        }
        if root && tag == tags::PIXEL_DATA && !with_pixels {
            return Ok(before);
        }
        match walk.open.last().map(|o| &o.kind) {
            None | Some(Kind::Item) => walk.attribute(tag)?,
            Some(Kind::Sequence) => walk.item(tag)?,
            Some(Kind::Fragments) => walk.fragment(tag)?,
        }
    }
    Err(format!("it holds more than {MOST_ATTRIBUTES} attributes"))
}

impl<R: Read> Walk<'_, R> {
    /// Leaves what ends here by its own length.
    fn leave(&mut self) -> Result<(), String> {
        while let Some(end) = self.open.last().and_then(|o| o.end) {
            if self.at > end {
                return Err("a sequence is longer than it says".into());
            }
            if self.at < end {
                break;
            }
            self.open.pop();
        }
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).map_err(|_| "it ends inside an attribute")?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn short(&self, bytes: [u8; 2]) -> u16 {
        if self.coding.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn long(&mut self) -> Result<u32, String> {
        let bytes = self.bytes()?;
        Ok(if self.coding.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// The next tag; none at the end of the data.
    fn tag(&mut self) -> Result<Option<Tag>, String> {
        let mut first = [0];
        if self.from.read(&mut first).map_err(|e| e.to_string())? == 0 {
            return Ok(None);
        }
        self.at += 1;
        let [second] = self.bytes()?;
        let element = self.bytes()?;
        Ok(Some(Tag(self.short([first[0], second]), self.short(element))))
    }

    /// The value representation and length that follow a tag.
    fn header(&mut self, tag: Tag) -> Result<(VR, u32), String> {
        if tag.group() == ITEM.group() {
            return Ok((VR::UN, self.long()?));
        }
        if !self.coding.explicit {
            let known = StandardDataDictionary.by_tag(tag).map(|entry| entry.vr().relaxed());
            return Ok((known.unwrap_or(VR::UN), self.long()?));
        }
        use VR::*;
        let vr = VR::from_binary(self.bytes()?).unwrap_or(UN);
        let rest = self.bytes()?;
        Ok(match vr {
            AE | AS | AT | CS | DA | DS | DT | FL | FD | IS | LO | LT | PN | SH | SL | SS | ST | TM | UI
            | UL | US => (vr, self.short(rest).into()),
            _ => (vr, self.long()?),
        })
    }

    fn attribute(&mut self, tag: Tag) -> Result<(), String> {
        let (vr, length) = self.header(tag)?;
        if tag == ITEM_END {
            self.open.pop();
            return Ok(());
        }
        if length == UNDEFINED {
            let fragments = tag == tags::PIXEL_DATA;
            return self.enter(if fragments { Kind::Fragments } else { Kind::Sequence }, tag, length);
        }
        if vr == VR::SQ { self.enter(Kind::Sequence, tag, length) } else { self.pass(tag, length) }
    }

    fn item(&mut self, tag: Tag) -> Result<(), String> {
        let length = self.long()?;
        match tag {
            ITEM => self.enter(Kind::Item, tag, length),
            SEQUENCE_END => {
                self.open.pop();
                Ok(())
            }
            _ => Err("a sequence holds something else than items".into()),
        }
    }

    fn fragment(&mut self, tag: Tag) -> Result<(), String> {
        let length = self.long()?;
        match tag {
            ITEM if length != UNDEFINED => self.pass(tags::PIXEL_DATA, length),
            SEQUENCE_END => {
                self.open.pop();
                Ok(())
            }
            _ => Err("its compressed picture is not in pieces".into()),
        }
    }

    fn enter(&mut self, kind: Kind, tag: Tag, length: u32) -> Result<(), String> {
        let end = if length == UNDEFINED { None } else { Some(self.fits(tag, length)?) };
        self.open.push(Open { kind, end });
        if self.open.iter().filter(|o| o.kind != Kind::Item).count() > DEEPEST {
            return Err(format!("its sequences are nested more than {DEEPEST} deep"));
        }
        Ok(())
    }

    /// Where a value of this length ends.
    fn fits(&self, tag: Tag, length: u32) -> Result<u64, String> {
        let end = self.at + u64::from(length);
        if end > self.end {
            return Err(format!(
                "attribute {tag} is said to hold {length} bytes, but {} are left",
                self.end - self.at
            ));
        }
        Ok(end)
    }

    fn pass(&mut self, tag: Tag, length: u32) -> Result<(), String> {
        let end = self.fits(tag, length)?;
        if tag != tags::PIXEL_DATA && u64::from(length) > MOST_BYTES {
            return Err(format!("attribute {tag} holds {length} bytes, more than any CT needs"));
        }
        let passed = (self.skip)(self.from, length.into()).map_err(|e| e.to_string())?;
        if passed < length.into() {
            return Err(format!("attribute {tag} is said to hold {length} bytes, but {passed} are left"));
        }
        self.at = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMPLICIT: Coding = Coding { explicit: false, big_endian: false };
    const EXPLICIT: Coding = Coding { explicit: true, big_endian: false };
    const BIG: Coding = Coding { explicit: true, big_endian: true };

    fn over(bytes: &[u8], coding: Coding, with_pixels: bool) -> Result<u64, String> {
        let skip: Skip<&[u8]> = |from, n| {
            let n = from.len().min(n as usize);
            *from = &from[n..];
            Ok(n as u64)
        };
        look(&mut &bytes[..], skip, bytes.len() as u64, coding, with_pixels)
    }

    #[test]
    fn stops_before_or_behind_the_picture_in_each_coding() {
        // Rows (0028,0010) = 2 and two bytes of Pixel Data, then one attribute behind it.
        let implicit = b"\x28\0\x10\0\x02\0\0\0\x02\0\xe0\x7f\x10\0\x02\0\0\0ab\xfc\xff\xfc\xff\0\0\0\0";
        assert_eq!((over(implicit, IMPLICIT, false), over(implicit, IMPLICIT, true)), (Ok(10), Ok(20)));
        let explicit = b"\x28\0\x10\0US\x02\0\x02\0\xe0\x7f\x10\0OW\0\0\x02\0\0\0ab";
        assert_eq!((over(explicit, EXPLICIT, false), over(explicit, EXPLICIT, true)), (Ok(10), Ok(24)));
        let big = b"\0\x28\0\x10US\0\x02\0\x02\x7f\xe0\0\x10OW\0\0\0\0\0\x02ab";
        assert_eq!((over(big, BIG, false), over(big, BIG, true)), (Ok(10), Ok(24)));
        let pieces = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\0\0\0\0\xfe\xff\0\xe0\x02\0\0\0ab\xfe\xff\xdd\xe0\0\0\0\0";
        assert_eq!(over(pieces, EXPLICIT, true), Ok(pieces.len() as u64));
        assert_eq!(over(&pieces[..30], EXPLICIT, true), Ok(30), "the end of the pieces may be missing");
        assert!(over(&pieces[..29], EXPLICIT, true).unwrap_err().contains("said to hold 2 bytes"));
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        let one = b"\x08\0\x60\0\xf0\xff\xff\xffCT";
        assert!(over(one, IMPLICIT, false).unwrap_err().contains("(0008,0060) is said to hold 4294967280"));
        assert!(over(b"\x08\0\x60\0CS\x04\0CT", EXPLICIT, false).unwrap_err().contains("but 2 are left"));
        assert!(over(b"\x08\0\x60\0CS", EXPLICIT, false).unwrap_err().contains("ends inside"));
    }

    #[test]
    fn nesting_is_bounded_whether_lengths_are_stated_or_not() {
        // (0008,1140) is a sequence; each level is its header and an item's.
        let undefined =
            |deep: usize| b"\x08\0\x40\x11\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff".repeat(deep);
        assert!(over(&undefined(300_000), IMPLICIT, false).unwrap_err().contains("nested more than 16"));
        assert_eq!(over(&undefined(16), IMPLICIT, false).unwrap_err(), "it ends inside a sequence");
        let stated = |deep: usize| -> Vec<u8> {
            (0..deep).fold(vec![], |inner, _| {
                let length = inner.len() as u32;
                let mut level = b"\x08\0\x40\x11".to_vec();
                level.extend((length + 8).to_le_bytes());
                level.extend(b"\xfe\xff\0\xe0");
                level.extend(length.to_le_bytes());
                level.extend(inner);
                level
            })
        };
        assert_eq!(over(&stated(16), IMPLICIT, false), Ok(16 * 16));
        assert!(over(&stated(17), IMPLICIT, false).unwrap_err().contains("nested more than 16"));
    }
}
