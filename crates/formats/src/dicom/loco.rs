//! The scan of a JPEG-LS picture of one component (ITU-T T.87 annexes A and F).

use super::huffman::CUT;

/// What the coder of a picture was set to (T.87 C.2.4.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Presets {
    /// Largest sample.
    most: i32,
    /// Most that a decoded sample differs from the true one; 0 is lossless.
    near: i32,
    /// Differences between neighbours are told apart at these.
    thresholds: [i32; 3],
    /// How many samples a context remembers.
    reset: i32,
    /// How many different prediction errors there are, and how many bits they take.
    range: i32,
    bits: u32,
    /// Most bits of one code.
    limit: u32,
}

impl Presets {
    /// For samples of `precision` bits (2 to 16); `given` are the values of the file (the largest
    /// sample, three thresholds, the reset), 0 where the default holds.
    ///
    /// # Errors
    /// The reason when they contradict each other.
    pub(crate) fn new(precision: u8, near: u8, given: [u16; 5]) -> Result<Self, String> {
        let [most, t1, t2, t3, reset] = given.map(i32::from);
        let full = (1 << precision) - 1;
        let most = if most == 0 { full } else { most };
        let near = i32::from(near);
        let defaults = default_thresholds(most, near);
        let pick = |given: i32, default: i32| if given == 0 { default } else { given };
        let thresholds = [pick(t1, defaults[0]), pick(t2, defaults[1]), pick(t3, defaults[2])];
        let reset = pick(reset, 64);
        let ordered = near < thresholds[0] && thresholds.is_sorted() && thresholds[2] <= most;
        if most > full || near > 255.min(most / 2) || !ordered || !(3..=most.max(255)).contains(&reset) {
            return Err("its JPEG-LS parameters are impossible".into());
        }
        let range = (most + 2 * near) / (2 * near + 1) + 1;
        let bits = (range as u32).next_power_of_two().ilog2();
        let sample = (most as u32 + 1).next_power_of_two().ilog2().max(2);
        Ok(Self { most, near, thresholds, reset, range, bits, limit: 2 * (sample + sample.max(8)) })
    }
}

/// T.87 C.2.4.1.1.1.
fn default_thresholds(most: i32, near: i32) -> [i32; 3] {
    let kept = |t: i32, least: i32| if t > most || t < least { least } else { t };
    let scaled = |basic: i32, least: i32, more: i32| {
        if most >= 128 {
            (most.min(4095) + 128) / 256 * (basic - least) + least + more
        } else {
            (basic / (256 / (most + 1)) + more).max(least)
        }
    };
    let t1 = kept(scaled(3, 2, 3 * near), near + 1);
    let t2 = kept(scaled(7, 3, 5 * near), t1);
    [t1, t2, kept(scaled(21, 4, 7 * near), t2)]
}

/// Bits of the scan: after a byte of ones, the first bit of the next is not data.
struct Bits<'a> {
    rest: &'a [u8],
    /// The next bits, left-aligned.
    held: u64,
    count: u32,
    stuffed: bool,
    /// Bits of zero that were added after the end.
    made_up: u32,
}

impl Bits<'_> {
    /// Makes sure of 57 bits; past the end they are zero.
    fn fill(&mut self) {
        while self.count <= 56 {
            let (byte, width) = match (self.stuffed, self.rest) {
                (true, [byte @ ..0x80, tail @ ..]) => {
                    self.rest = tail;
                    (*byte, 7)
                }
                // A byte of ones before a byte with its first bit set is a marker.
                (false, [0xff, 0x80..=0xff, ..]) | (true, _) | (_, []) => {
                    self.rest = &[];
                    self.made_up = self.made_up.saturating_add(8);
                    (0, 8)
                }
                (false, [byte, tail @ ..]) => {
                    self.rest = tail;
                    (*byte, 8)
                }
            };
            self.stuffed = byte == 0xff;
            self.held |= u64::from(byte) << (64 - width - self.count);
            self.count += width;
        }
    }

    /// Drops `n` bits, of those that [`Bits::fill`] made sure of.
    fn drop(&mut self, n: u32) {
        self.held <<= n;
        self.count -= n;
    }

    /// Takes `n` bits, 32 at most, of those that [`Bits::fill`] made sure of.
    fn take(&mut self, n: u32) -> u32 {
        // Two shifts, because a shift by 64 is not one.
        let v = (self.held >> 1 >> (63 - n)) as u32;
        self.drop(n);
        v
    }

    /// Whether more bits were used than there are.
    fn overrun(&self) -> bool {
        self.made_up > self.count
    }

    /// A Golomb code of `k` low bits and at most `limit` bits (T.87 A.5.3); `bits` are those of a
    /// value written in full.
    fn golomb(&mut self, k: u32, limit: u32, bits: u32) -> Option<u32> {
        self.fill();
        let zeros = self.held.leading_zeros();
        let most = limit - bits - 1;
        if zeros > most {
            return None;
        }
        self.drop(zeros + 1);
        self.fill();
        Some(if zeros < most { zeros << k | self.take(k) } else { self.take(bits) + 1 })
    }
}

/// What is remembered of the samples with one kind of neighbourhood.
#[derive(Debug, Clone, Copy)]
struct Context {
    /// Sum of the sizes of the errors, and how many they are.
    sum: u32,
    count: i32,
    /// Sum of the errors, and what to add to the prediction for it. For runs the first is how many
    /// errors were negative.
    bias: i32,
    correction: i32,
}

impl Context {
    /// The number of low bits that suits the errors so far.
    fn low_bits(sum: u32, count: i32) -> u32 {
        let (count, mut k) = (count as u32, 0);
        while count << k < sum {
            k += 1;
        }
        k
    }

    /// Halves what is remembered, now and then, and counts one more.
    fn age(&mut self, reset: i32) {
        if self.count == reset {
            self.sum >>= 1;
            // Toward minus infinity, as an arithmetic shift does.
            self.bias >>= 1;
            self.count >>= 1;
        }
        self.count += 1;
    }

    /// T.87 A.6.
    fn learn(&mut self, error: i32, presets: &Presets) {
        self.sum += error.unsigned_abs();
        self.bias += error * (2 * presets.near + 1);
        self.age(presets.reset);
        if self.bias <= -self.count {
            self.bias = (self.bias + self.count).max(1 - self.count);
            self.correction = (self.correction - 1).max(-128);
        } else if self.bias > 0 {
            self.bias = (self.bias - self.count).min(0);
            self.correction = (self.correction + 1).min(127);
        }
    }
}

/// Low bits of the length of a run, by how long runs were (T.87 A.7.1).
const RUN_BITS: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

struct Decoder<'a> {
    bits: Bits<'a>,
    presets: &'a Presets,
    /// The class of a difference between neighbours (-4 to 4), from minus the largest sample on.
    classes: Vec<i8>,
    contexts: [Context; 365],
    /// Where a run ends at a sample unlike the one above, and at one like it.
    run_contexts: [Context; 2],
    run_index: usize,
}

/// Decodes the scan that starts at `data` (after the SOS header).
///
/// # Errors
/// The reason when the data is cut short or damaged.
pub(crate) fn decode(
    data: &[u8],
    columns: usize,
    rows: usize,
    presets: &Presets,
) -> Result<Vec<u16>, String> {
    let sum = ((presets.range + 32) / 64).max(2) as u32;
    let context = Context { sum, count: 1, bias: 0, correction: 0 };
    let mut decoder = Decoder {
        bits: Bits { rest: data, held: 0, count: 0, stuffed: false, made_up: 0 },
        presets,
        classes: (-presets.most..=presets.most).map(|d| class(d, presets)).collect(),
        contexts: [context; 365],
        run_contexts: [context; 2],
        run_index: 0,
    };
    let mut out = Vec::new();
    // One sample more at both ends: left of the row, and above it at the right.
    let mut above = vec![0; columns + 2];
    let mut row = vec![0; columns + 2];
    for _ in 0..rows {
        above[columns + 1] = above[columns];
        row[0] = above[1];
        let read = decoder.row(&mut row, &above);
        if decoder.bits.overrun() {
            return Err(CUT.into());
        }
        read.ok_or("it holds an impossible code")?;
        out.extend(row[1..=columns].iter().map(|&v| v as u16));
        std::mem::swap(&mut row, &mut above);
    }
    Ok(out)
}

/// T.87 A.3.3.
fn class(d: i32, presets: &Presets) -> i8 {
    let [t1, t2, t3] = presets.thresholds;
    let size = d.abs();
    let class = if size <= presets.near {
        0
    } else if size < t1 {
        1
    } else if size < t2 {
        2
    } else if size < t3 {
        3
    } else {
        4
    };
    if d < 0 { -class } else { class }
}

impl Decoder<'_> {
    /// One row; both have a sample more at either end. `None` for a code that cannot be.
    fn row(&mut self, row: &mut [i32], above: &[i32]) -> Option<()> {
        let mut x = 1;
        while x + 1 < row.len() {
            let (a, b, c, d) = (row[x - 1], above[x], above[x - 1], above[x + 1]);
            let class = |difference: i32| i32::from(self.classes[(difference + self.presets.most) as usize]);
            let context = 81 * class(d - b) + 9 * class(b - c) + class(c - a);
            if context == 0 {
                x = self.run(row, above, x)?;
            } else {
                row[x] = self.sample(context, [a, b, c])?;
                x += 1;
            }
        }
        Some(())
    }

    /// A sample by itself (T.87 A.4 and A.5), from those left, above, and above left.
    fn sample(&mut self, context: i32, [a, b, c]: [i32; 3]) -> Option<i32> {
        let presets = self.presets;
        let negative = context < 0;
        let context = &mut self.contexts[context.unsigned_abs() as usize];
        let predicted = if c >= a.max(b) {
            a.min(b)
        } else if c <= a.min(b) {
            a.max(b)
        } else {
            a + b - c
        };
        let correction = if negative { -context.correction } else { context.correction };
        let predicted = (predicted + correction).clamp(0, presets.most);
        let k = Context::low_bits(context.sum, context.count);
        let code = self.bits.golomb(k, presets.limit, presets.bits)?;
        // No stream that a coder wrote has larger ones; without a bound the sums would run over.
        if code > presets.range as u32 {
            return None;
        }
        let half = (code >> 1) as i32;
        let mut error = if code & 1 == 0 { half } else { -half - 1 };
        if k == 0 && presets.near == 0 && 2 * context.bias <= -context.count {
            error = -error - 1;
        }
        context.learn(error, presets);
        Some(reconstruct(predicted, if negative { -error } else { error }, presets))
    }

    /// A run of samples like the one to the left, and the one that ends it (T.87 A.7); gives where
    /// to go on.
    fn run(&mut self, row: &mut [i32], above: &[i32], start: usize) -> Option<usize> {
        let end = row.len() - 1;
        let a = row[start - 1];
        let mut x = start;
        loop {
            self.bits.fill();
            let low = RUN_BITS[self.run_index];
            if self.bits.take(1) == 0 {
                x += self.bits.take(low) as usize;
                break;
            }
            x += 1 << low;
            if x <= end {
                self.run_index = (self.run_index + 1).min(31);
            }
            if x >= end {
                x = end;
                break;
            }
        }
        row.get_mut(start..x).filter(|_| x <= end)?.fill(a);
        if x < end {
            row[x] = self.after_run(a, above[x])?;
            self.run_index = self.run_index.saturating_sub(1);
            x += 1;
        }
        Some(x)
    }

    /// The sample that ends a run (T.87 A.7.2).
    fn after_run(&mut self, a: i32, b: i32) -> Option<i32> {
        let presets = self.presets;
        let like = (a - b).abs() <= presets.near;
        let context = &mut self.run_contexts[usize::from(like)];
        let sum = if like { context.sum + (context.count as u32 >> 1) } else { context.sum };
        let k = Context::low_bits(sum, context.count);
        let limit = presets.limit - RUN_BITS[self.run_index] - 1;
        let code = self.bits.golomb(k, limit, presets.bits)?;
        if code > presets.range as u32 {
            return None;
        }
        let doubled = code + u32::from(like);
        let size = doubled.div_ceil(2) as i32;
        let mostly_negative = 2 * context.bias >= context.count;
        let negative = (k != 0 || mostly_negative) == (doubled & 1 == 1);
        let error = if negative { -size } else { size };
        context.bias += i32::from(error < 0);
        context.sum += (code + 1 - u32::from(like)) >> 1;
        context.age(presets.reset);
        let (predicted, error) = if like { (a, error) } else { (b, if a > b { -error } else { error }) };
        Some(reconstruct(predicted, error, presets))
    }
}

/// The sample, from its prediction and the error of it, modulo the range (T.87 A.4.5 and A.8).
fn reconstruct(predicted: i32, error: i32, presets: &Presets) -> i32 {
    let step = 2 * presets.near + 1;
    let mut sample = predicted + error * step;
    if sample < -presets.near {
        sample += presets.range * step;
    } else if sample > presets.most + presets.near {
        sample -= presets.range * step;
    }
    sample.clamp(0, presets.most)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The samples and the coded bytes that T.87 H.3 works out.
    #[test]
    fn the_standards_example_decodes() {
        let data = [
            0xc0, 0x00, 0x00, 0x6c, 0x80, 0x20, 0x8e, 0x01, 0xc0, 0x00, 0x00, 0x57, 0x40, 0x00, 0x00, 0x6e,
            0xe6, 0x00, 0x00, 0x01, 0xbc, 0x18, 0x00, 0x00, 0x05, 0xd8, 0x00, 0x00, 0x91, 0x60, 0xff, 0xd9,
        ];
        let presets = Presets::new(8, 0, [0; 5]).unwrap();
        let samples = [0, 0, 90, 74, 68, 50, 43, 205, 64, 145, 145, 145, 100, 145, 145, 145];
        assert_eq!(decode(&data, 4, 4, &presets).unwrap(), samples);
        assert_eq!(decode(&data[..20], 4, 4, &presets).unwrap_err(), CUT);
    }

    /// T.87 table C.2 for 8 bits without loss; the others by hand from C.2.4.1.1.1.
    #[test]
    fn default_thresholds_by_depth() {
        assert_eq!(default_thresholds(255, 0), [3, 7, 21]);
        assert_eq!(default_thresholds(4095, 0), [18, 67, 276]);
        assert_eq!(default_thresholds(65535, 0), [18, 67, 276]);
        assert_eq!(default_thresholds(255, 3), [12, 22, 42]);
        assert!(Presets::new(8, 0, [0, 9, 7, 0, 0]).is_err(), "thresholds fall");
        assert!(Presets::new(8, 200, [0; 5]).is_err());
    }
}
