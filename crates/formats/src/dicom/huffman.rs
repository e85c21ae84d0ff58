//! What all Huffman-coded JPEG scans share: entropy-coded segments, their bits, and the codes
//! (ITU-T T.81 annexes C and F.2.2).

/// Bits looked up at once.
pub(crate) const LOOK: u32 = 12;

/// Why coded data that ends too soon is refused.
pub(crate) const CUT: &str = "the coded data is cut short";

/// A set of Huffman codes.
#[derive(Debug, Clone)]
pub(crate) struct Codes {
    /// For every next [`LOOK`] bits: the length of the code (low byte, 0 when it is longer) and its value.
    fast: Vec<u16>,
    /// For each code length: the codes below which one of that length lies (left-aligned to 16
    /// bits), and how to get from the code to the index of its value.
    ends: [(u32, i32); 17],
    values: Vec<u8>,
}

impl Codes {
    /// From the counts for each length and the values (T.81 annex C).
    ///
    /// # Errors
    /// The reason when the counts describe no prefix code.
    pub(crate) fn new(counts: &[u8; 16], values: &[u8]) -> Result<Self, String> {
        let damaged = "a Huffman table is damaged";
        let total: usize = counts.iter().map(|&c| usize::from(c)).sum();
        if total != values.len() {
            return Err(damaged.into());
        }
        let mut codes = Self { fast: vec![0; 1 << LOOK], ends: [(0, 0); 17], values: values.to_vec() };
        let (mut code, mut index) = (0_u32, 0_usize);
        for length in 1..=16_u32 {
            let count = u32::from(counts[length as usize - 1]);
            let first = code;
            code += count;
            if code > 1 << length {
                return Err(damaged.into());
            }
            if length <= LOOK {
                let spare = LOOK - length;
                for (i, &value) in (first..code).zip(&values[index..]) {
                    let entry = u16::from(value) << 8 | length as u16;
                    codes.fast[(i << spare) as usize..((i + 1) << spare) as usize].fill(entry);
                }
            }
            codes.ends[length as usize] = (code << (16 - length), index as i32 - first as i32);
            index += count as usize;
            code <<= 1;
        }
        Ok(codes)
    }

    /// All values that have a code.
    pub(crate) fn values(&self) -> &[u8] {
        &self.values
    }

    /// The value and the length of the code that `next` (16 bits) starts with.
    pub(crate) fn look(&self, next: u32) -> Option<(u8, u32)> {
        let entry = self.fast[(next >> (16 - LOOK)) as usize];
        if entry & 0xff != 0 {
            return Some(((entry >> 8) as u8, u32::from(entry & 0xff)));
        }
        let length = (1..=16).find(|&l| next < self.ends[l as usize].0)?;
        let code = (next >> (16 - length)) as i32;
        let index = usize::try_from(code + self.ends[length as usize].1).ok()?;
        Some((*self.values.get(index)?, length))
    }
}

/// The signed difference that `bits` of a category stand for (T.81 F.2.2.1).
pub(crate) fn extend(bits: u32, category: u32) -> i32 {
    if category == 0 {
        0
    } else if bits >> (category - 1) == 0 {
        bits as i32 - (1 << category) + 1
    } else {
        bits as i32
    }
}

/// One entropy-coded segment, its stuffed bytes removed and zeros appended.
pub(crate) struct Segment {
    bytes: Vec<u8>,
    coded: usize,
}

impl Segment {
    /// The segment at the start of `data`; what follows it, from the marker on.
    pub(crate) fn cut(data: &[u8]) -> (Self, &[u8]) {
        // Stuffing is a zero after ff, and fill bytes are further ff; all else is a marker.
        let marker = |w: &[u8]| w[0] == 0xff && !matches!(w[1], 0 | 0xff);
        let end = data.windows(2).position(marker).unwrap_or(data.len());
        let (coded, rest) = data.split_at(end);
        let mut bytes = Vec::with_capacity(end + 16);
        let mut parts = coded.split(|&b| b == 0xff);
        bytes.extend_from_slice(parts.next().unwrap_or_default());
        for part in parts {
            // An empty part is a fill byte, or the end.
            if let [0, part @ ..] = part {
                bytes.push(0xff);
                bytes.extend_from_slice(part);
            }
        }
        let coded = bytes.len();
        bytes.extend([0; 16]);
        (Self { bytes, coded }, rest)
    }

    /// Its bits, from the first on.
    pub(crate) fn bits(&self) -> Bits<'_> {
        Bits { bytes: &self.bytes, coded: self.coded, at: 0, held: 0, count: 0 }
    }
}

/// What follows a restart marker, if one is there.
pub(crate) fn after_restart(rest: &[u8]) -> &[u8] {
    match rest {
        [0xff, 0xd0..=0xd7, tail @ ..] => tail,
        _ => rest,
    }
}

/// Bits of one entropy-coded segment; past the end they are zero.
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    coded: usize,
    at: usize,
    /// The next bits, left-aligned.
    pub(crate) held: u64,
    count: u32,
}

impl Bits<'_> {
    /// Makes sure of 32 bits.
    pub(crate) fn fill(&mut self) {
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

    /// Drops `n` bits, of those that [`Bits::fill`] made sure of.
    pub(crate) fn drop(&mut self, n: u32) {
        self.held <<= n;
        self.count -= n;
    }

    /// Takes `n` bits, 16 at most, of those that [`Bits::fill`] made sure of.
    pub(crate) fn take(&mut self, n: u32) -> u32 {
        // Two shifts, because a shift by 64 is not one.
        let v = (self.held >> 1 >> (63 - n)) as u32;
        self.drop(n);
        v
    }

    /// Whether more bits were used than there are.
    pub(crate) fn overrun(&self) -> bool {
        // Bits still held were read ahead, not used.
        self.at * 8 - self.count as usize > self.coded * 8
    }

    /// The next value, and 16 bits more.
    pub(crate) fn value(&mut self, codes: &Codes) -> Option<u8> {
        self.fill();
        let (value, length) = codes.look((self.held >> 48) as u32)?;
        self.drop(length);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_tables_are_refused() {
        let one = |n: u8| [n, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(Codes::new(&one(3), &[0, 1, 2]).is_err());
        assert!(Codes::new(&one(1), &[0, 1]).is_err());
    }

    #[test]
    fn short_and_long_codes_by_hand() {
        // 0 -> 7; 10 -> 8; then one code of 13 bits: 110 and ten zeros -> 9.
        let codes = Codes::new(&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], &[7, 8, 9]).unwrap();
        assert_eq!(codes.look(0x7fff), Some((7, 1)));
        assert_eq!(codes.look(0xbfff), Some((8, 2)));
        assert_eq!(codes.look(0xc007), Some((9, 13)));
        assert_eq!(codes.look(0xc008), None, "no code");
    }

    #[test]
    fn segments_end_at_markers_and_lose_their_stuffing() {
        let (segment, rest) = Segment::cut(&[0x12, 0xff, 0, 0x34, 0xff, 0xff, 0xd9, 1]);
        assert_eq!(
            (segment.bytes[..segment.coded].to_vec(), rest),
            (vec![0x12, 0xff, 0x34], &[0xff, 0xd9, 1][..])
        );
        let mut bits = segment.bits();
        bits.fill();
        assert_eq!((bits.take(12), bits.take(12)), (0x12f, 0xf34));
        assert!(!bits.overrun());
        bits.fill();
        bits.take(1);
        assert!(bits.overrun());
    }
}
