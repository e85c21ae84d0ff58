//! Lossy JPEG of one component, 8 or 12 bit: sequential (baseline and extended, DICOM processes 1,
//! 2 and 4) and progressive (processes 6, 8, 10 and 12), Huffman coded (ITU-T T.81 annexes F and G).

use super::huffman::{Bits, CUT, Codes, Segment, after_restart, extend};
use super::idct;
use super::jpeg::Frame;

/// Most scans of one picture; each coefficient's every bit in a scan of its own stays far below.
const SCANS: usize = 500;

/// Where the coefficients of a block lie, in the order that they are coded in (T.81 figure A.6).
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// What a scan codes: the coefficients `first` to `last`, from bit `low` up; `high` is the bit that
/// earlier scans reached, 0 when there was none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan {
    pub(crate) first: usize,
    pub(crate) last: usize,
    pub(crate) high: u32,
    pub(crate) low: u32,
}

/// A picture whose coefficients are being gathered, scan by scan.
pub(crate) struct Picture {
    frame: Frame,
    progressive: bool,
    /// Blocks in a row of the picture.
    across: usize,
    blocks: Vec<[i16; 64]>,
    scans: usize,
}

impl Picture {
    /// An empty one for `frame`, whose stream has `bytes` bytes.
    ///
    /// # Errors
    /// The reason when the stream cannot hold that many blocks, or the depth is not 8 or 12 bits.
    pub(crate) fn new(frame: Frame, progressive: bool, bytes: usize) -> Result<Self, String> {
        if !matches!(frame.precision, 8 | 12) {
            return Err(format!("it is lossy JPEG of {} bits, which does not exist", frame.precision));
        }
        let across = frame.columns.div_ceil(8);
        let blocks = across * frame.rows.div_ceil(8);
        // The first coefficient of every block takes a bit at least.
        if blocks > bytes.saturating_mul(8) {
            return Err(CUT.into());
        }
        Ok(Self { frame, progressive, across, blocks: vec![[0; 64]; blocks], scans: 0 })
    }

    /// Whether nothing was decoded yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.scans == 0
    }

    /// Whether one scan holds everything.
    pub(crate) fn is_sequential(&self) -> bool {
        !self.progressive
    }

    /// Adds the scan that starts at `data`; gives what follows it. `dc` and `ac` are the codes of
    /// the first and of the other coefficients, `restart` the blocks between restart markers.
    ///
    /// # Errors
    /// The reason when the data is cut short or damaged.
    pub(crate) fn scan<'a>(
        &mut self,
        data: &'a [u8],
        scan: Scan,
        (dc, ac): (Option<&Codes>, Option<&Codes>),
        restart: usize,
    ) -> Result<&'a [u8], String> {
        let Scan { first, last, high, low } = scan;
        let whole = (first, last, high, low) == (0, 63, 0, 0);
        let possible = first <= last
            && last < 64
            && low < 14
            && (high == 0 || high == low + 1)
            && if self.progressive { (first == 0) == (last == 0) } else { whole };
        if !possible {
            return Err("its JPEG scan is impossible".into());
        }
        self.scans += 1;
        if self.scans > SCANS {
            return Err(format!("it has more than {SCANS} JPEG scans"));
        }
        let together = if restart == 0 { self.blocks.len() } else { restart };
        let mut rest = data;
        for part in self.blocks.chunks_mut(together) {
            let (segment, next) = Segment::cut(rest);
            rest = after_restart(next);
            let mut coded = Coded { bits: segment.bits(), dc, ac, last: 0, run: 0 };
            for block in part {
                let read = match (self.progressive, first, high) {
                    (false, ..) => coded.whole(block),
                    (true, 0, 0) => coded.first_dc(block, low),
                    (true, 0, _) => coded.more_dc(block, low),
                    (true, _, 0) => coded.first_ac(block, scan),
                    (true, ..) => coded.more_ac(block, scan),
                };
                read.ok_or("it holds an unknown code, or a table is missing")?;
                if coded.bits.overrun() {
                    return Err(CUT.into());
                }
            }
        }
        Ok(rest)
    }

    /// The picture, from the coefficients times `steps` (in the order that they are coded in).
    pub(crate) fn finish(&self, steps: &[u16; 64]) -> Vec<u16> {
        let Frame { precision, columns, rows } = self.frame;
        let mut out = vec![0; columns * rows];
        for (stripe, blocks) in out.chunks_mut(8 * columns).zip(self.blocks.chunks(self.across)) {
            for (x, block) in blocks.iter().enumerate() {
                let mut coefficients = [0.0; 64];
                for (i, &place) in ZIGZAG.iter().enumerate() {
                    coefficients[place] = f32::from(block[i]) * f32::from(steps[i]);
                }
                let samples = idct::samples(&coefficients, precision);
                for (row, samples) in stripe.chunks_mut(columns).zip(samples.as_chunks::<8>().0) {
                    let part = &mut row[8 * x..columns.min(8 * x + 8)];
                    part.copy_from_slice(&samples[..part.len()]);
                }
            }
        }
        out
    }
}

/// One segment while it is read. Every method gives `None` for a code that is not in its table.
struct Coded<'a> {
    bits: Bits<'a>,
    dc: Option<&'a Codes>,
    ac: Option<&'a Codes>,
    /// The first coefficient of the block before.
    last: i16,
    /// Blocks to come that end at once.
    run: u32,
}

impl Coded<'_> {
    fn extended(&mut self, category: u8) -> Option<i32> {
        if category > 15 {
            return None;
        }
        let bits = self.bits.take(category.into());
        Some(extend(bits, category.into()))
    }

    fn bit(&mut self) -> bool {
        self.bits.fill();
        self.bits.take(1) == 1
    }

    /// The first coefficient, as difference to that of the block before.
    fn first_dc(&mut self, block: &mut [i16; 64], low: u32) -> Option<()> {
        let category = self.bits.value(self.dc?)?;
        self.last = self.last.wrapping_add(self.extended(category)? as i16);
        block[0] = self.last << low;
        Some(())
    }

    fn more_dc(&mut self, block: &mut [i16; 64], low: u32) -> Option<()> {
        block[0] |= i16::from(self.bit()) << low;
        Some(())
    }

    /// A whole block (T.81 F.2.2).
    fn whole(&mut self, block: &mut [i16; 64]) -> Option<()> {
        self.first_dc(block, 0)?;
        let ac = self.ac?;
        let mut at = 1;
        while at < 64 {
            let value = self.bits.value(ac)?;
            let (zeros, category) = (usize::from(value >> 4), value & 15);
            if category == 0 {
                if zeros < 15 {
                    break;
                }
                at += 16;
                continue;
            }
            at += zeros;
            *block.get_mut(at)? = self.extended(category)? as i16;
            at += 1;
        }
        Some(())
    }

    /// How many blocks end here, this one included.
    fn end_of_blocks(&mut self, exponent: usize) -> u32 {
        self.bits.fill();
        (1 << exponent) + self.bits.take(exponent as u32)
    }

    /// Some coefficients for the first time (T.81 G.1.2.2).
    fn first_ac(&mut self, block: &mut [i16; 64], Scan { first, last, low, .. }: Scan) -> Option<()> {
        if self.run > 0 {
            self.run -= 1;
            return Some(());
        }
        let ac = self.ac?;
        let mut at = first;
        while at <= last {
            let value = self.bits.value(ac)?;
            let (zeros, category) = (usize::from(value >> 4), value & 15);
            if category != 0 {
                at += zeros;
                *block.get_mut(at)? = (self.extended(category)? << low) as i16;
                at += 1;
            } else if zeros == 15 {
                at += 16;
            } else {
                self.run = self.end_of_blocks(zeros) - 1;
                break;
            }
        }
        Some(())
    }

    /// One bit more of some coefficients (T.81 G.1.2.3).
    fn more_ac(&mut self, block: &mut [i16; 64], Scan { first, last, low, .. }: Scan) -> Option<()> {
        let mut at = first;
        if self.run == 0 {
            let ac = self.ac?;
            while at <= last {
                let value = self.bits.value(ac)?;
                let (zeros, category) = (usize::from(value >> 4), value & 15);
                let new = match category {
                    0 if zeros < 15 => {
                        self.run = self.end_of_blocks(zeros);
                        break;
                    }
                    0 => 0,
                    1 if self.bit() => 1 << low,
                    1 => -1 << low,
                    _ => return None,
                };
                at = self.refine(block, at, last, low, zeros);
                if new != 0 {
                    *block.get_mut(at).filter(|_| at <= last)? = new;
                }
                at += 1;
            }
        }
        if self.run > 0 {
            self.refine(block, at, last, low, 64);
            self.run -= 1;
        }
        Some(())
    }

    /// Reads a bit for every coefficient that is not zero, up to the zero after `zeros` others;
    /// gives where that is.
    fn refine(&mut self, block: &mut [i16; 64], from: usize, last: usize, low: u32, zeros: usize) -> usize {
        let mut left = zeros;
        for (at, coefficient) in block.iter_mut().enumerate().take(last + 1).skip(from) {
            if *coefficient == 0 {
                if left == 0 {
                    return at;
                }
                left -= 1;
            } else if self.bit() && *coefficient >> low & 1 == 0 {
                *coefficient = coefficient.wrapping_add(coefficient.signum() << low);
            }
        }
        last + 1
    }
}
