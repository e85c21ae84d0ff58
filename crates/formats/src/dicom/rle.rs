//! RLE Lossless (PS3.5 annex G): byte planes, most significant first, each packed bits.

/// Unpacks one frame of `samples` samples of `bytes` bytes (1 or 2) to unsigned words.
///
/// # Errors
/// The reason when a segment is missing, too short, or lies outside the fragment.
pub(crate) fn decode(fragment: &[u8], samples: usize, bytes: usize) -> Result<Vec<u16>, String> {
    let word = |i: usize| {
        fragment.get(4 * i..4 * i + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
    };
    let segments = word(0).ok_or("the RLE header is missing")?;
    if segments != bytes {
        return Err(format!("{segments} RLE segments where {bytes} were expected"));
    }
    let mut out = vec![0_u16; samples];
    for i in 0..bytes {
        let start = word(i + 1).ok_or("the RLE header is cut short")?;
        let end = if i + 1 < bytes { word(i + 2).unwrap_or(0) } else { fragment.len() };
        let segment = fragment.get(start..end).ok_or("an RLE segment lies outside the data")?;
        unpack(segment, &mut out)?;
    }
    Ok(out)
}

/// Shifts each unpacked byte into the words.
fn unpack(segment: &[u8], out: &mut [u16]) -> Result<(), String> {
    let mut rest = segment;
    let mut at = 0;
    while at < out.len() {
        let [control, tail @ ..] = rest else { return Err("an RLE segment ends too soon".into()) };
        let n = usize::from(*control) + 1;
        rest = match control {
            0..=127 => {
                let literal = tail.get(..n).ok_or("an RLE segment ends too soon")?;
                for (word, &byte) in out[at..].iter_mut().zip(literal) {
                    *word = *word << 8 | u16::from(byte);
                }
                at += n;
                &tail[n..]
            }
            128 => tail,
            129.. => {
                let [byte, tail @ ..] = tail else { return Err("an RLE segment ends too soon".into()) };
                let run = 258 - n;
                for word in out[at..].iter_mut().take(run) {
                    *word = *word << 8 | u16::from(*byte);
                }
                at += run;
                tail
            }
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacks_runs_and_literals_by_hand() {
        // High bytes: 3 times 1, then 0; low bytes: literally 10, 20, 30, 40.
        let mut data = vec![0_u8; 64];
        data[0] = 2;
        data[4] = 64;
        data[8] = 68;
        data.extend([254, 1, 0, 0, 3, 10, 20, 30, 40]);
        assert_eq!(decode(&data, 4, 2).unwrap(), [266, 276, 286, 40]);
        assert!(decode(&data[..70], 4, 2).is_err());
        assert!(decode(&data, 4, 1).is_err());
        assert!(decode(&[], 4, 1).is_err());
    }
}
