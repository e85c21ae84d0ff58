//! JPEG lossless, sequential, Huffman coded (ITU-T T.81 annex H; DICOM processes 14 and 14 SV1).

use super::huffman::{Bits, CUT, Codes, LOOK, Segment, after_restart, extend};
use super::jpeg::Frame;

/// The codes of the differences: for every 12 next bits, how many to drop and what they mean.
pub(crate) struct Table<'a> {
    /// Low byte: bits used, 0 when the code is longer than 12 bits. Bit 8: the rest is the
    /// difference itself (code and extra bits fit), else the number of extra bits. From bit 16: that.
    fast: Vec<u32>,
    codes: &'a Codes,
}

impl<'a> Table<'a> {
    /// # Errors
    /// The reason when a value is no category (0 to 16).
    pub(crate) fn new(codes: &'a Codes) -> Result<Self, String> {
        if codes.values().iter().any(|&v| v > 16) {
            return Err("a Huffman table is damaged".into());
        }
        let entry = |pattern: u32| match codes.look(pattern << (16 - LOOK)) {
            Some((category, length)) if length <= LOOK => {
                let extra = u32::from(category);
                if extra < 16 && length + extra <= LOOK {
                    let bits = pattern >> (LOOK - length - extra) & ((1 << extra) - 1);
                    (extend(bits, extra) as u16 as u32) << 16 | 1 << 8 | (length + extra)
                } else {
                    extra << 16 | length
                }
            }
            _ => 0,
        };
        Ok(Self { fast: (0..1 << LOOK).map(entry).collect(), codes })
    }

    /// The next difference, modulo 2^16.
    fn difference(&self, bits: &mut Bits) -> Option<u16> {
        bits.fill();
        let entry = self.fast[(bits.held >> (64 - LOOK)) as usize];
        let used = entry & 0xff;
        if entry & 0x100 != 0 {
            bits.drop(used);
            return Some((entry >> 16) as u16);
        }
        let category = if used != 0 {
            bits.drop(used);
            entry >> 16
        } else {
            let (value, length) = self.codes.look((bits.held >> 48) as u32)?;
            bits.drop(length);
            u32::from(value)
        };
        if category == 16 {
            return Some(32768);
        }
        let extra = bits.take(category);
        Some(extend(extra, category) as u16)
    }
}

/// Decodes the scan that starts at `data` (after the SOS header).
///
/// # Errors
/// The reason when the data is cut short or holds a code that no table knows.
pub(crate) fn decode(
    data: &[u8],
    frame: &Frame,
    table: &Table,
    (predictor, shift): (u8, u8),
    restart: usize,
) -> Result<Vec<u16>, String> {
    let (columns, rows) = (frame.columns, frame.rows);
    if !restart.is_multiple_of(columns) {
        return Err("its restart interval does not end with a row".into());
    }
    // Every sample takes a bit at least.
    if columns * rows > data.len().saturating_mul(8) {
        return Err(CUT.into());
    }
    // Rows that are coded together; without restarts, all.
    let together = if restart == 0 { rows } else { restart / columns };
    let start = 1_u16.checked_shl(u32::from(frame.precision - shift - 1)).unwrap_or(0);
    let mut out = vec![0_u16; columns * rows];
    let mut rest = data;
    for part in out.chunks_mut(columns * together) {
        let (segment, next) = Segment::cut(rest);
        rest = after_restart(next);
        rows_of(&mut segment.bits(), table, part, columns, predictor, start)?;
    }
    out.iter_mut().for_each(|v| *v <<= shift);
    Ok(out)
}

/// One run of rows that starts afresh (T.81 H.1.2.1).
fn rows_of(
    bits: &mut Bits,
    table: &Table,
    part: &mut [u16],
    columns: usize,
    kind: u8,
    start: u16,
) -> Result<(), String> {
    let (first, others) = part.split_at_mut(columns);
    row_of(bits, table, first, start, |left, _| left)?;
    let mut above: &[u16] = first;
    for row in others.chunks_mut(columns) {
        // Most CT is predicted from the left: a loop of its own keeps the choice out of it.
        match kind {
            1 => row_of(bits, table, row, above[0], |left, _| left),
            kind => row_of(bits, table, row, above[0], |left, x| predict(kind, left, above[x], above[x - 1])),
        }?;
        above = row;
    }
    Ok(())
}

/// One row, its first sample predicted by `start`, the others by what is left of and above them.
#[inline(always)]
fn row_of(
    bits: &mut Bits,
    table: &Table,
    row: &mut [u16],
    start: u16,
    predict: impl Fn(u16, usize) -> u16,
) -> Result<(), String> {
    let unknown = "it holds an unknown code";
    let mut left = start.wrapping_add(table.difference(bits).ok_or(unknown)?);
    row[0] = left;
    for (x, v) in row.iter_mut().enumerate().skip(1) {
        left = predict(left, x).wrapping_add(table.difference(bits).ok_or(unknown)?);
        *v = left;
    }
    if bits.overrun() { Err(CUT.into()) } else { Ok(()) }
}

/// Table H.1: from left, above, and above left.
fn predict(kind: u8, a: u16, b: u16, c: u16) -> u16 {
    let (l, u, d) = (i32::from(a), i32::from(b), i32::from(c));
    (match kind {
        2 => u,
        3 => d,
        4 => l + u - d,
        5 => l + ((u - d) >> 1),
        6 => u + ((l - d) >> 1),
        7 => (l + u) >> 1,
        _ => l,
    }) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_by_hand() {
        // Categories 0, 1, 2 with codes 0, 10, 110.
        let codes = Codes::new(&[1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0, 1, 2]).unwrap();
        let table = Table::new(&codes).unwrap();
        // +1: 10 1, 0: 0, -3: 110 00, -1: 10 0, padded with ones.
        let data = [0b1010_1100, 0b0100_1111, 0xff, 0xd9];
        let frame = Frame { precision: 4, columns: 2, rows: 2 };
        assert_eq!(decode(&data, &frame, &table, (1, 0), 0).unwrap(), [9, 9, 6, 5]);
        // Prediction from above: the last is 9 - 1.
        assert_eq!(decode(&data, &frame, &table, (2, 0), 0).unwrap(), [9, 9, 6, 8]);
        assert!(decode(&data[..1], &frame, &table, (1, 0), 0).is_err());
    }

    #[test]
    fn values_that_are_no_category_are_refused() {
        let codes = Codes::new(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[17]).unwrap();
        assert!(Table::new(&codes).is_err());
    }
}
