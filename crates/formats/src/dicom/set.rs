//! The attributes kept of a data set, and typed access to them.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

/// Some attributes of a data set, in the order of the file.
#[derive(Debug, Clone)]
pub(crate) struct Set {
    elements: Vec<Element>,
    big_endian: bool,
}

/// One attribute as the file writes it.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    pub(crate) tag: Tag,
    pub(crate) vr: VR,
    pub(crate) value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Bytes(Vec<u8>),
    Items(Vec<Set>),
}

impl Set {
    pub(crate) fn new(big_endian: bool) -> Self {
        Self { elements: Vec::new(), big_endian }
    }

    /// Of attributes that are there twice the first counts; so a set is never larger than the list
    /// of what is wanted.
    pub(crate) fn put(&mut self, element: Element) {
        if !self.has(element.tag) {
            self.elements.push(element);
        }
    }

    fn get(&self, tag: Tag) -> Option<&Element> {
        self.elements.iter().find(|e| e.tag == tag)
    }

    pub(crate) fn has(&self, tag: Tag) -> bool {
        self.get(tag).is_some()
    }

    fn bytes(&self, tag: Tag) -> Option<(&[u8], VR)> {
        match self.get(tag)? {
            Element { vr, value: Value::Bytes(bytes), .. } => Some((bytes, *vr)),
            _ => None,
        }
    }
}

/// Text of an attribute, trimmed; `None` when absent, empty or not text.
pub(crate) fn text(set: &Set, tag: Tag) -> Option<String> {
    let (bytes, _) = set.bytes(tag)?;
    // Only names and descriptions hold more than ASCII, and they are shown, not compared.
    let value = String::from_utf8_lossy(bytes);
    let value = value.trim_matches([' ', '\0', '\t', '\n', '\r']);
    (!value.is_empty()).then(|| value.to_owned())
}

/// Backslash-separated values of a text attribute, each trimmed.
pub(crate) fn texts(set: &Set, tag: Tag) -> Vec<String> {
    let whole = text(set, tag).unwrap_or_default();
    whole.split('\\').map(|v| v.trim().to_owned()).filter(|v| !v.is_empty()).collect()
}

/// Numbers of an attribute, written as text or in binary; none when one of them is no finite
/// number. The file's own representation is followed where it is one of numbers; what is written
/// as unknown or as plain bytes is read as the dictionary says.
pub(crate) fn numbers(set: &Set, tag: Tag) -> Vec<f64> {
    let Some((bytes, vr)) = set.bytes(tag) else { return vec![] };
    let known = || StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed());
    let vr = if matches!(vr, VR::UN | VR::OB | VR::OW) { known() } else { vr };
    let values = match vr {
        VR::US => binary(bytes, set.big_endian, |b| f64::from(u16::from_ne_bytes(b))),
        VR::SS => binary(bytes, set.big_endian, |b| f64::from(i16::from_ne_bytes(b))),
        VR::UL => binary(bytes, set.big_endian, |b| f64::from(u32::from_ne_bytes(b))),
        VR::SL => binary(bytes, set.big_endian, |b| f64::from(i32::from_ne_bytes(b))),
        VR::FL => binary(bytes, set.big_endian, |b| f64::from(f32::from_ne_bytes(b))),
        VR::FD => binary(bytes, set.big_endian, f64::from_ne_bytes),
        // Some exporters write a decimal comma.
        _ => texts(set, tag).iter().map(|v| v.replace(',', ".").parse().unwrap_or(f64::NAN)).collect(),
    };
    if values.iter().all(|v| v.is_finite()) { values } else { vec![] }
}

/// Binary numbers of `N` bytes each, handed on in this machine's order of bytes.
fn binary<const N: usize>(bytes: &[u8], big_endian: bool, number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    let turn = big_endian != cfg!(target_endian = "big");
    let each = |&(mut b): &[u8; N]| {
        if turn {
            b.reverse();
        }
        number(b)
    };
    bytes.as_chunks().0.iter().map(each).collect()
}

/// The first number of an attribute.
pub(crate) fn number(set: &Set, tag: Tag) -> Option<f64> {
    numbers(set, tag).first().copied()
}

/// A whole number of an attribute.
pub(crate) fn integer(set: &Set, tag: Tag) -> Option<i64> {
    number(set, tag).map(|v| v as i64)
}

/// 16-bit words of an attribute, whatever it is written as.
pub(crate) fn words(set: &Set, tag: Tag) -> Vec<u16> {
    let Some((bytes, _)) = set.bytes(tag) else { return vec![] };
    let turn = |&b: &[u8; 2]| if set.big_endian { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) };
    bytes.as_chunks().0.iter().map(turn).collect()
}

/// 64-bit offsets of an attribute.
pub(crate) fn offsets(set: &Set, tag: Tag) -> Vec<u64> {
    let Some((bytes, _)) = set.bytes(tag) else { return vec![] };
    bytes.as_chunks().0.iter().map(|&b| u64::from_le_bytes(b)).collect()
}

/// Items of a sequence.
pub(crate) fn items(set: &Set, tag: Tag) -> &[Set] {
    match set.get(tag) {
        Some(Element { value: Value::Items(items), .. }) => items,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_dictionary_std::tags;

    fn with(tag: Tag, vr: VR, bytes: &[u8], big_endian: bool) -> Set {
        let mut set = Set::new(big_endian);
        set.put(Element { tag, vr, value: Value::Bytes(bytes.to_vec()) });
        set
    }

    #[test]
    fn numbers_are_read_whatever_they_are_written_as() {
        let rows = |vr, bytes: &[u8], big| numbers(&with(tags::ROWS, vr, bytes, big), tags::ROWS);
        assert_eq!(rows(VR::US, b"\x01\x02", false), [513.0]);
        assert_eq!(rows(VR::US, b"\x01\x02", true), [258.0]);
        assert_eq!(rows(VR::UN, b"\x01\x02", false), [513.0], "as the dictionary says");
        assert_eq!(rows(VR::SS, b"\xff\xff", false), [-1.0]);
        assert_eq!(rows(VR::IS, b" 513 ", false), [513.0]);
        assert_eq!(rows(VR::UL, b"\x01\0\0\0", false), [1.0]);
        let slope =
            |vr, bytes: &[u8]| numbers(&with(tags::RESCALE_SLOPE, vr, bytes, false), tags::RESCALE_SLOPE);
        assert_eq!(slope(VR::DS, b"1,5\\2 "), [1.5, 2.0]);
        assert_eq!(slope(VR::UN, b"1.5 "), [1.5]);
        assert_eq!(slope(VR::FD, &2.5_f64.to_le_bytes()), [2.5]);
        assert_eq!(slope(VR::DS, b"1\\nan"), [0.0; 0]);
        assert_eq!(slope(VR::DS, b"one"), [0.0; 0]);
    }
}
