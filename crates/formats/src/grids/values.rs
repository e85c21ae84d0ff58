//! Numbers as files store them, and the way to HU.

use crate::hounsfield::to_hu;
use std::io::{BufRead, Error, ErrorKind, Read, Result};

/// Number type of the voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    U8,
    I8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl Number {
    /// Bytes per voxel.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }
}

/// How the numbers are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Binary,
    /// The bytes of the binary form as pairs of hexadecimal digits, with white space anywhere.
    Hex,
    /// Decimal numbers between white space or commas.
    Text,
}

/// What is needed to read values.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    pub(crate) number: Number,
    pub(crate) big_endian: bool,
    /// Slope and intercept, where the stored values are not meant as they are.
    pub(crate) scale: Option<(f64, f64)>,
    pub(crate) coding: Coding,
}

impl Values {
    /// The fewest bytes of a file in which `n` values can be written.
    pub(crate) fn least_bytes(&self, n: usize) -> u64 {
        let plain = (n as u64).saturating_mul(self.number.bytes() as u64);
        match self.coding {
            Coding::Binary => plain,
            Coding::Hex => plain.saturating_mul(2),
            // A digit each, and something between them.
            Coding::Text => (n as u64).saturating_mul(2).saturating_sub(1),
        }
    }

    /// Appends `n` values in HU and says how many were no number or had to be clipped.
    pub(crate) fn read(&self, n: usize, from: &mut dyn BufRead, data: &mut Vec<i16>) -> Result<u64> {
        match self.coding {
            Coding::Binary => self.binary(n, from, data),
            Coding::Hex => self.binary(n, &mut Hex { from }, data),
            Coding::Text => self.text(n, from, data),
        }
    }

    fn text(&self, n: usize, from: &mut dyn BufRead, data: &mut Vec<i16>) -> Result<u64> {
        let mut hu = self.hounsfield();
        let mut word = Vec::new();
        for _ in 0..n {
            next_word(from, &mut word)?;
            let value = std::str::from_utf8(&word).ok().and_then(|w| w.parse().ok());
            let wrong =
                || Error::new(ErrorKind::InvalidData, "something else than a number stands among them");
            data.push(hu.of(value.ok_or_else(wrong)?));
        }
        Ok(hu.odd)
    }

    fn binary(&self, n: usize, from: &mut dyn Read, data: &mut Vec<i16>) -> Result<u64> {
        let step = self.number.bytes();
        let mut buffer = vec![0_u8; (1 << 20).min(n * step)];
        let mut hu = self.hounsfield();
        let mut left = n;
        while left > 0 {
            let now = (buffer.len() / step).min(left);
            left -= now;
            let bytes = &mut buffer[..now * step];
            from.read_exact(bytes)?;
            if self.big_endian {
                bytes.chunks_exact_mut(step).for_each(<[u8]>::reverse);
            }
            self.decode(bytes, &mut hu, data);
        }
        Ok(hu.odd)
    }

    /// Little-endian bytes to HU.
    fn decode(&self, bytes: &[u8], hu: &mut Hounsfield, data: &mut Vec<i16>) {
        macro_rules! each {
            ($t:ty) => {
                data.extend(bytes.as_chunks().0.iter().map(|&b| hu.of(<$t>::from_le_bytes(b) as f64)))
            };
        }
        match self.number {
            Number::I16 if self.scale.is_none() => {
                data.extend(bytes.as_chunks().0.iter().map(|&b| i16::from_le_bytes(b)));
            }
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

    fn hounsfield(&self) -> Hounsfield {
        let (slope, intercept) = self.scale.unwrap_or((1.0, 0.0));
        Hounsfield { slope, intercept, odd: 0 }
    }
}

/// Scales, rounds and counts what does not fit.
struct Hounsfield {
    slope: f64,
    intercept: f64,
    odd: u64,
}

impl Hounsfield {
    fn of(&mut self, stored: f64) -> i16 {
        let value = stored * self.slope + self.intercept;
        // Also true for a value that is no number.
        self.odd += u64::from(!(-32768.5..=32767.5).contains(&value));
        to_hu(value)
    }
}

/// No number needs more characters.
const LONGEST_WORD: usize = 64;

/// Replaces `word` by the next one; an empty one at the end is an error.
fn next_word(from: &mut dyn BufRead, word: &mut Vec<u8>) -> Result<()> {
    word.clear();
    loop {
        let chunk = from.fill_buf()?;
        if chunk.is_empty() {
            return if word.is_empty() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) };
        }
        let before = if word.is_empty() { chunk.iter().take_while(|b| is_between(**b)).count() } else { 0 };
        let letters = chunk[before..].iter().take_while(|b| !is_between(**b)).count();
        if word.len() + letters > LONGEST_WORD {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "something longer than any number stands among them",
            ));
        }
        word.extend(&chunk[before..before + letters]);
        let ended = before + letters < chunk.len();
        from.consume(before + letters);
        if ended {
            return Ok(());
        }
    }
}

/// Whether a byte stands between numbers.
pub(crate) fn is_between(b: u8) -> bool {
    b.is_ascii_whitespace() || b == b','
}

/// Pairs of hexadecimal digits read as the bytes they stand for.
struct Hex<'a> {
    from: &'a mut dyn BufRead,
}

impl Hex<'_> {
    /// The next digit; `None` at the end.
    fn digit(&mut self) -> Result<Option<u8>> {
        loop {
            let Some(&b) = self.from.fill_buf()?.first() else { return Ok(None) };
            self.from.consume(1);
            if b.is_ascii_whitespace() {
                continue;
            }
            let wrong = || Error::new(ErrorKind::InvalidData, "something else than hexadecimal digits");
            return (b as char).to_digit(16).map(|d| Some(d as u8)).ok_or_else(wrong);
        }
    }
}

impl Read for Hex<'_> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        for (n, byte) in to.iter_mut().enumerate() {
            match (self.digit()?, self.digit()?) {
                (Some(high), Some(low)) => *byte = high << 4 | low,
                (Some(_), None) => return Err(ErrorKind::UnexpectedEof.into()),
                (None, _) => return Ok(n),
            }
        }
        Ok(to.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &Values, n: usize, mut from: &[u8]) -> Result<(Vec<i16>, u64)> {
        let mut data = Vec::new();
        let odd = values.read(n, &mut from, &mut data)?;
        Ok((data, odd))
    }

    #[test]
    fn text_and_hex_say_the_same_as_binary() {
        let mut values =
            Values { number: Number::I16, big_endian: false, scale: None, coding: Coding::Binary };
        let want = (vec![-1000, 1, 258], 0);
        assert_eq!(read(&values, 3, b"\x18\xfc\x01\0\x02\x01").unwrap(), want);
        values.coding = Coding::Text;
        assert_eq!(read(&values, 3, b" -1000,\n1.0\t2.58e2").unwrap(), want);
        values.coding = Coding::Hex;
        assert_eq!(read(&values, 3, b"18fC 01\n0002 0 1").unwrap(), want);
        values.big_endian = true;
        assert_eq!(read(&values, 3, b"FC18 0001 0102").unwrap(), want);
    }

    #[test]
    fn scaling_clipping_and_missing_numbers_are_counted() {
        let values =
            Values { number: Number::F64, big_endian: false, scale: Some((2.0, -1.0)), coding: Coding::Text };
        assert_eq!(read(&values, 4, b"0.75 nan 1e9 -2").unwrap(), (vec![0, -1024, 32767, -5], 2));
    }

    #[test]
    fn what_is_no_number_or_missing_is_an_error() {
        let text = Values { number: Number::U8, big_endian: false, scale: None, coding: Coding::Text };
        assert_eq!(read(&text, 3, b"1 2").unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(read(&text, 2, b"1 two").unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(read(&text, 1, &[b'7'; 10_000]).unwrap_err().kind(), ErrorKind::InvalidData);
        let hex = Values { coding: Coding::Hex, ..text };
        assert_eq!(read(&hex, 2, b"01 0").unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(read(&hex, 1, b"0x").unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
