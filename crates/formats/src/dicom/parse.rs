//! Reads the attributes of a data set that a CT is understood by, and passes over all others
//! (PS3.5 section 7.1 and annex A).
//!
//! Files come from outside: every length is held against what is left, sequences nest only so
//! deep, and no memory is asked for but for the few attributes named in [`super::wanted`]. What
//! is unknown or private costs a skip. Encoders err in value representations more than in
//! anything else, so these are followed for lengths and believed for little more.

use super::set::{Element, Set, Value};
use super::wanted::is_wanted;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use std::io::Read;

/// Sequences inside sequences; a CT nests three or four.
const DEEPEST: usize = 16;
/// Most attributes in one file; a CT has a hundred, an enhanced one some sixty for each frame.
const MOST_ATTRIBUTES: usize = 4_000_000;
/// Most bytes of one attribute that is not the picture.
const MOST_BYTES: u32 = 256 << 20;
/// Most bytes of an attribute that is kept; the longest are lookup tables and offset tables.
const MOST_KEPT: u32 = 1 << 20;
/// The length that says "until a delimiter".
const UNDEFINED: u32 = u32::MAX;

const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_END: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);

/// How headers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coding {
    pub(crate) explicit: bool,
    pub(crate) big_endian: bool,
}

/// Where the picture lies in the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Bytes before its value.
    pub(crate) offset: u64,
    /// Bytes of its value; `None` when it comes in fragments.
    pub(crate) length: Option<u64>,
    /// Whether it is written as 16-bit words, which a big-endian file turns around.
    pub(crate) words: bool,
}

/// Moves a reader on by some bytes, and says by how many it could.
pub(crate) type Skip<R> = fn(&mut R, u64) -> std::io::Result<u64>;

struct Parser<'a, R> {
    from: &'a mut R,
    skip: Skip<R>,
    at: u64,
    end: u64,
    big_endian: bool,
    left: usize,
}

/// Reads a data set up to its picture into `set`, which keeps what was read when the rest is
/// damaged. `end` is the number of bytes there are, or `u64::MAX` when that is not known.
///
/// # Errors
/// What is wrong, as half a sentence.
pub(crate) fn parse<R: Read>(
    from: &mut R,
    skip: Skip<R>,
    end: u64,
    coding: Coding,
    set: &mut Set,
) -> Result<Option<Place>, String> {
    let big_endian = coding.big_endian;
    let mut parser = Parser { from, skip, at: 0, end, big_endian, left: MOST_ATTRIBUTES };
    parser.root(coding.explicit, set)
}

impl<R: Read> Parser<'_, R> {
    /// The outermost data set; stops at the picture, or at what lies behind where it would be.
    fn root(&mut self, explicit: bool, set: &mut Set) -> Result<Option<Place>, String> {
        while let Some(tag) = self.tag()? {
            if tag.group() == ITEM.group() {
                // Left over from a sequence that said its length and closed itself all the same.
                self.long()?;
            } else if tag == tags::PIXEL_DATA {
                let (vr, length) = self.header(tag, explicit)?;
                let length = if length == UNDEFINED { None } else { Some(u64::from(length)) };
                if let Some(length) = length {
                    self.fits(tag, length)?;
                }
                return Ok(Some(Place { offset: self.at, length, words: vr != VR::OB }));
            } else if tag > tags::PIXEL_DATA {
                return Ok(None);
            } else {
                self.attribute(tag, explicit, 0, Some(&mut *set))?;
            }
        }
        Ok(None)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).map_err(|_| "it ends inside an attribute")?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn short(&self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn long(&mut self) -> Result<u32, String> {
        let bytes = self.bytes()?;
        Ok(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// The next tag; none at the end of the data.
    fn tag(&mut self) -> Result<Option<Tag>, String> {
        self.left = self.left.checked_sub(1).ok_or("it holds more attributes than any CT")?;
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
    fn header(&mut self, tag: Tag, explicit: bool) -> Result<(VR, u32), String> {
        let known = || StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed());
        if !explicit {
            return Ok((known(), self.long()?));
        }
        let [a, b, rest @ ..]: [u8; 4] = self.bytes()?;
        if !(a.is_ascii_uppercase() && b.is_ascii_uppercase()) {
            // No representation at all: either an implicit header, or the two letters left blank.
            let implicit = (a, b) != (0, 0) && rest == [0, 0];
            return Ok(match ([a, b], rest) {
                ([0xff, 0xff], [0xff, 0xff]) => (known(), UNDEFINED),
                (length, _) if implicit => (known(), self.short(length).into()),
                _ => (known(), self.short(rest).into()),
            });
        }
        use VR::*;
        // A representation newer than this list has a long length (PS3.5 7.1.2).
        let vr = VR::from_binary([a, b]).unwrap_or(UN);
        Ok(match vr {
            AE | AS | AT | CS | DA | DS | DT | FL | FD | IS | LO | LT | PN | SH | SL | SS | ST | TM | UI
            | UL | US => (vr, self.short(rest).into()),
            _ => (vr, self.long()?),
        })
    }

    /// One attribute: into `set` when it is wanted, else past it.
    fn attribute(
        &mut self,
        tag: Tag,
        explicit: bool,
        depth: usize,
        set: Option<&mut Set>,
    ) -> Result<(), String> {
        let (vr, length) = self.header(tag, explicit)?;
        let set = set.filter(|_| is_wanted(tag));
        let known = || StandardDataDictionary.by_tag(tag).is_some_and(|e| e.vr().relaxed() == VR::SQ);
        if length == UNDEFINED && (tag == tags::PIXEL_DATA || matches!(vr, VR::OB | VR::OW)) {
            return self.fragments();
        }
        // What is written as unknown is implicit inside (PS3.5 6.2.2, note 2).
        let inside = explicit && vr != VR::UN;
        match set {
            Some(set) if vr == VR::SQ || (vr == VR::UN || length == UNDEFINED) && known() => {
                let mut items = Vec::new();
                self.items(tag, length, inside, depth + 1, Some(&mut items))?;
                set.put(Element { tag, vr: VR::SQ, value: Value::Items(items) });
            }
            _ if length == UNDEFINED => self.items(tag, length, inside, depth + 1, None)?,
            Some(set) if length <= MOST_KEPT => {
                self.fits(tag, length.into())?;
                let mut bytes = Vec::with_capacity(length as usize);
                let read =
                    self.from.take(length.into()).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
                if read < length as usize {
                    return Err(short_of(tag, length.into(), read as u64));
                }
                self.at += u64::from(length);
                set.put(Element { tag, vr, value: Value::Bytes(bytes) });
            }
            _ => self.pass(tag, length)?,
        }
        Ok(())
    }

    /// The items of a sequence.
    fn items(
        &mut self,
        tag: Tag,
        length: u32,
        explicit: bool,
        depth: usize,
        mut into: Option<&mut Vec<Set>>,
    ) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("its sequences are nested more than {DEEPEST} deep"));
        }
        let end = if length == UNDEFINED { None } else { Some(self.fits(tag, length.into())?) };
        while end.is_none_or(|end| self.at < end) {
            let next = self.tag()?.ok_or("it ends inside a sequence")?;
            let length = self.long()?;
            match next {
                ITEM => {
                    let mut set = Set::new(self.big_endian);
                    let kept = into.is_some().then_some(&mut set);
                    self.item(length, explicit, depth, kept)?;
                    if let Some(items) = into.as_deref_mut() {
                        items.push(set);
                    }
                }
                SEQUENCE_END => return Ok(()),
                _ => return Err("a sequence holds something else than items".into()),
            }
        }
        if end.is_some_and(|end| self.at > end) {
            Err("a sequence is longer than it says".into())
        } else {
            Ok(())
        }
    }

    fn item(
        &mut self,
        length: u32,
        explicit: bool,
        depth: usize,
        mut set: Option<&mut Set>,
    ) -> Result<(), String> {
        let end = if length == UNDEFINED { None } else { Some(self.fits(ITEM, length.into())?) };
        if let (Some(_), None) = (end, &set) {
            return self.pass(ITEM, length);
        }
        while end.is_none_or(|end| self.at < end) {
            let tag = self.tag()?.ok_or("it ends inside a sequence")?;
            if tag == ITEM_END {
                self.long()?;
                return Ok(());
            }
            self.attribute(tag, explicit, depth, set.as_deref_mut())?;
        }
        if end.is_some_and(|end| self.at > end) {
            Err("a sequence is longer than it says".into())
        } else {
            Ok(())
        }
    }

    /// Past the pieces of a compressed value, such as an icon's.
    fn fragments(&mut self) -> Result<(), String> {
        loop {
            let tag = self.tag()?.ok_or("it ends inside a sequence")?;
            let length = self.long()?;
            match tag {
                ITEM if length != UNDEFINED => self.pass(tag, length)?,
                SEQUENCE_END => return Ok(()),
                _ => return Err("its compressed picture is not in pieces".into()),
            }
        }
    }

    /// Where a value of this length ends.
    fn fits(&self, tag: Tag, length: u64) -> Result<u64, String> {
        let end = self.at + length;
        if end > self.end {
            return Err(short_of(tag, length, self.end - self.at));
        }
        Ok(end)
    }

    fn pass(&mut self, tag: Tag, length: u32) -> Result<(), String> {
        let end = self.fits(tag, length.into())?;
        if length > MOST_BYTES {
            return Err(format!("attribute {tag} holds {length} bytes, more than any CT needs"));
        }
        let passed = (self.skip)(self.from, length.into()).map_err(|e| e.to_string())?;
        if passed < length.into() {
            return Err(short_of(tag, length.into(), passed));
        }
        self.at = end;
        Ok(())
    }
}

fn short_of(tag: Tag, length: u64, left: u64) -> String {
    format!("attribute {tag} is said to hold {length} bytes, but {left} are left")
}

#[cfg(test)]
mod tests {
    use super::super::set::{integer, items, number, text};
    use super::*;

    const IMPLICIT: Coding = Coding { explicit: false, big_endian: false };
    const EXPLICIT: Coding = Coding { explicit: true, big_endian: false };
    const BIG: Coding = Coding { explicit: true, big_endian: true };

    fn over(bytes: &[u8], coding: Coding) -> (Set, Result<Option<Place>, String>) {
        let skip: Skip<&[u8]> = |from, n| {
            let n = from.len().min(n as usize);
            *from = &from[n..];
            Ok(n as u64)
        };
        let mut set = Set::new(coding.big_endian);
        let found = parse(&mut &bytes[..], skip, bytes.len() as u64, coding, &mut set);
        (set, found)
    }

    fn place(bytes: &[u8], coding: Coding) -> (u64, Option<u64>) {
        let place = over(bytes, coding).1.unwrap().unwrap();
        (place.offset, place.length)
    }

    #[test]
    fn finds_the_picture_in_each_coding() {
        // Rows (0028,0010) = 2 and two bytes of Pixel Data, then one attribute behind it.
        let implicit = b"\x28\0\x10\0\x02\0\0\0\x02\0\xe0\x7f\x10\0\x02\0\0\0ab\xfc\xff\xfc\xff\0\0\0\0";
        assert_eq!(place(implicit, IMPLICIT), (18, Some(2)));
        let explicit = b"\x28\0\x10\0US\x02\0\x02\0\xe0\x7f\x10\0OW\0\0\x02\0\0\0ab";
        assert_eq!(place(explicit, EXPLICIT), (22, Some(2)));
        let big = b"\0\x28\0\x10US\0\x02\0\x02\x7f\xe0\0\x10OW\0\0\0\0\0\x02ab";
        assert_eq!(place(big, BIG), (22, Some(2)));
        for (bytes, coding) in [(&implicit[..], IMPLICIT), (explicit, EXPLICIT), (big, BIG)] {
            assert_eq!(integer(&over(bytes, coding).0, tags::ROWS), Some(2));
        }
        let pieces = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\0\0\0\0";
        assert_eq!(place(pieces, EXPLICIT), (12, None));
        assert!(over(&explicit[..23], EXPLICIT).1.unwrap_err().contains("but 1 are left"));
    }

    #[test]
    fn a_length_beyond_the_end_is_refused_and_what_came_before_is_kept() {
        let one = b"\x08\0\x60\0\xf0\xff\xff\xffCT";
        let said = |bytes, coding| over(bytes, coding).1.unwrap_err();
        assert!(said(one, IMPLICIT).contains("(0008,0060) is said to hold 4294967280"));
        assert!(said(b"\x08\0\x60\0CS\x04\0CT", EXPLICIT).contains("but 2 are left"));
        assert!(said(b"\x08\0\x60\0CS", EXPLICIT).contains("ends inside"));
        let (set, found) = over(b"\x08\0\x60\0CS\x02\0CT\x28\0\x10\0US\x02\0", EXPLICIT);
        assert_eq!((text(&set, tags::MODALITY).as_deref(), found.is_err()), (Some("CT"), true));
    }

    #[test]
    fn nesting_is_bounded() {
        // (0008,1140) is a sequence; each level is its header and an item's.
        let undefined =
            |deep: usize| b"\x08\0\x40\x11\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff".repeat(deep);
        assert!(over(&undefined(300_000), IMPLICIT).1.unwrap_err().contains("nested more than 16"));
        assert_eq!(over(&undefined(16), IMPLICIT).1.unwrap_err(), "it ends inside a sequence");
    }

    #[test]
    fn unknown_private_and_misnamed_attributes_are_passed_over() {
        // A private sequence written as unknown is implicit inside, whatever surrounds it.
        let private = b"\x09\0\x01\x10UN\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff\
            \x09\0\x02\x10\x04\0\0\0abcd\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0";
        // A representation that does not exist has a long length; a blank one a short one; and an
        // implicit header may stand among explicit ones.
        let odd = b"\x0b\0\x01\x10QX\0\0\x02\0\0\0ab\x0b\0\x02\x10  \x02\0ab\x0b\0\x03\x10\x02\0\0\0ab";
        let rows = b"\x28\0\x10\0UN\0\0\x02\0\0\0\x07\0\x28\0\x11\0IS\x02\08 ";
        let (set, found) = over(&[&private[..], odd, rows].concat(), EXPLICIT);
        assert_eq!(found, Ok(None));
        assert_eq!((integer(&set, tags::ROWS), integer(&set, tags::COLUMNS)), (Some(7), Some(8)));
    }

    #[test]
    fn a_sequence_written_as_unknown_is_entered_when_it_is_wanted() {
        // (0028,9145) with Rescale Slope 2 in implicit coding, of stated length.
        let bytes = b"\x28\0\x45\x91UN\0\0\x12\0\0\0\xfe\xff\0\xe0\x0a\0\0\0\x28\0\x53\x10\x02\0\0\x002 ";
        let (set, found) = over(bytes, EXPLICIT);
        assert_eq!(found, Ok(None));
        let item = &items(&set, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE)[0];
        assert_eq!(number(item, tags::RESCALE_SLOPE), Some(2.0));
    }
}
