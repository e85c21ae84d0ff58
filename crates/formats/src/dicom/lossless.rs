//! JPEG lossless, sequential, Huffman coded (ITU-T T.81 annex H; DICOM processes 14 and 14 SV1).

use super::jpeg::Frame;

/// Bits looked up at once.
const LOOK: u32 = 12;

/// A Huffman table: for every 12 next bits, how many to drop and what they mean.
pub(crate) struct Table {
    /// Low byte: bits used, 0 when the code is longer than 12 bits. Bit 8: the rest is the
    /// difference itself (code and extra bits fit), else the number of extra bits. From bit 16: that.
    fast: Vec<u32>,
    /// For each code length: the codes below which one of that length lies (left-aligned to 16
    /// bits), and how to get from the code to the index of its value.
    ends: [(u32, i32); 17],
    values: Vec<u8>,
}

impl Table {
    /// From the counts for each length and the values (T.81 annex C).
    ///
    /// # Errors
    /// The reason when the counts describe no prefix code or a value is no category (0 to 16).
    pub(crate) fn new(counts: &[u8; 16], values: &[u8]) -> Result<Self, String> {
        let total: usize = counts.iter().map(|&c| usize::from(c)).sum();
        if total != values.len() || values.iter().any(|&v| v > 16) {
            return Err("a Huffman table is damaged".into());
        }
        let mut table = Self { fast: vec![0; 1 << LOOK], ends: [(0, 0); 17], values: values.to_vec() };
        let (mut code, mut index) = (0_u32, 0_usize);
        for length in 1..=16_u32 {
            let count = u32::from(counts[length as usize - 1]);
            let first = code;
            for i in 0..count {
                table.enter(first + i, length, values[index + i as usize]);
            }
            code += count;
            if code > 1 << length {
                return Err("a Huffman table is damaged".into());
            }
            table.ends[length as usize] = (code << (16 - length), index as i32 - first as i32);
            index += count as usize;
            code <<= 1;
        }
        Ok(table)
    }

    /// Enters all 12-bit patterns that start with `code`.
    fn enter(&mut self, code: u32, length: u32, category: u8) {
        if length > LOOK || code >> length != 0 {
            return;
        }
        let extra = u32::from(category);
        let first = code << (LOOK - length);
        for pattern in first..first + (1 << (LOOK - length)) {
            self.fast[pattern as usize] = if extra < 16 && length + extra <= LOOK {
                let bits = pattern >> (LOOK - length - extra) & ((1 << extra) - 1);
                (extend(bits, extra) as u16 as u32) << 16 | 1 << 8 | (length + extra)
            } else {
                extra << 16 | length
            };
        }
    }
}

/// The signed difference that `bits` of a category stand for (T.81 F.2.2.1).
fn extend(bits: u32, category: u32) -> i32 {
    if category == 0 {
        0
    } else if bits >> (category - 1) == 0 {
        bits as i32 - (1 << category) + 1
    } else {
        bits as i32
    }
}

/// Bits of one entropy-coded segment, its stuffed bytes removed and 16 zero bytes appended.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    /// Makes sure of 32 bits; past the end they are zero.
    fn fill(&mut self) {
        if self.count < 32 {
            let next = self
                .bytes
                .get(self.at..self.at + 4)
                .map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
            self.at += 4;
            self.held |= u64::from(next) << (32 - self.count);
            self.count += 32;
        }
    }

    fn take(&mut self, n: u32) -> u32 {
        // Two shifts, because a shift by 64 is not one.
        let v = (self.held >> 1 >> (63 - n)) as u32;
        self.held <<= n;
        self.count -= n;
        v
    }

    /// The next difference, modulo 2^16.
    fn difference(&mut self, table: &Table) -> Option<u16> {
        self.fill();
        let entry = table.fast[(self.held >> (64 - LOOK)) as usize];
        let used = entry & 0xff;
        if entry & 0x100 != 0 {
            self.held <<= used;
            self.count -= used;
            return Some((entry >> 16) as u16);
        }
        let category = if used != 0 {
            self.take(used);
            entry >> 16
        } else {
            let next = (self.held >> 48) as u32;
            let length = (1..=16).find(|&l| next < table.ends[l as usize].0)?;
            let code = self.take(length) as i32;
            u32::from(*table.values.get(usize::try_from(code + table.ends[length as usize].1).ok()?)?)
        };
        if category == 16 {
            return Some(32768);
        }
        let bits = self.take(category);
        Some(extend(bits, category) as u16)
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
    // Rows that are coded together; without restarts, all.
    let together = if restart == 0 { rows } else { restart / columns };
    let mut out = vec![0_u16; columns * rows];
    let mut rest = data;
    for part in out.chunks_mut(columns * together) {
        let (bytes, coded, next) = segment(rest);
        rest = next;
        let mut bits = Bits { bytes: &bytes, at: 0, held: 0, count: 0 };
        let start = 1_u16.checked_shl(u32::from(frame.precision - shift - 1)).unwrap_or(0);
        rows_of(&mut bits, table, part, columns, predictor, start).ok_or("it holds an unknown code")?;
        // Bits still held were read ahead, not used.
        if bits.at * 8 - bits.count as usize > coded * 8 {
            return Err("the coded data is cut short".into());
        }
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
) -> Option<()> {
    let (first, others) = part.split_at_mut(columns);
    let mut left = start;
    for v in first.iter_mut() {
        left = left.wrapping_add(bits.difference(table)?);
        *v = left;
    }
    let mut above: &[u16] = first;
    for row in others.chunks_mut(columns) {
        let mut left = above[0].wrapping_add(bits.difference(table)?);
        row[0] = left;
        if kind == 1 {
            for v in &mut row[1..] {
                left = left.wrapping_add(bits.difference(table)?);
                *v = left;
            }
        } else {
            for (v, over) in row[1..].iter_mut().zip(above.windows(2)) {
                left = predict(kind, left, over[1], over[0]).wrapping_add(bits.difference(table)?);
                *v = left;
            }
        }
        above = row;
    }
    Some(())
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

/// The bytes up to the next marker without stuffing, how many they are before the zeros that are
/// appended, and what follows the marker.
fn segment(data: &[u8]) -> (Vec<u8>, usize, &[u8]) {
    let mut bytes = Vec::with_capacity(data.len() + 16);
    let mut rest = data;
    loop {
        let ff = rest.iter().position(|&b| b == 0xff).unwrap_or(rest.len());
        bytes.extend_from_slice(&rest[..ff]);
        rest = &rest[ff..];
        match rest {
            [0xff, 0, tail @ ..] => {
                bytes.push(0xff);
                rest = tail;
            }
            // Fill bytes may stand before a marker.
            [0xff, 0xff, ..] => rest = &rest[1..],
            [0xff, _, tail @ ..] => {
                rest = tail;
                break;
            }
            _ => {
                rest = &[];
                break;
            }
        }
    }
    let coded = bytes.len();
    bytes.extend([0; 16]);
    (bytes, coded, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_by_hand() {
        // Categories 0, 1, 2 with codes 0, 10, 110.
        let table = Table::new(&[1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0, 1, 2]).unwrap();
        // +1: 10 1, 0: 0, -3: 110 00, -1: 10 0, padded with ones.
        let data = [0b1010_1100, 0b0100_1111, 0xff, 0xd9];
        let frame = Frame { precision: 4, columns: 2, rows: 2 };
        assert_eq!(decode(&data, &frame, &table, (1, 0), 0).unwrap(), [9, 9, 6, 5]);
        // Prediction from above: the last is 9 - 1.
        assert_eq!(decode(&data, &frame, &table, (2, 0), 0).unwrap(), [9, 9, 6, 8]);
        assert!(decode(&data[..1], &frame, &table, (1, 0), 0).is_err());
    }

    #[test]
    fn impossible_tables_are_refused() {
        assert!(Table::new(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0, 1, 2]).is_err());
        assert!(Table::new(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[17]).is_err());
    }
}
