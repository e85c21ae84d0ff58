//! JPEG-LS of one component, lossless and near-lossless: the markers (ITU-T T.87 annex C). The
//! scan is decoded in `loco`.

use super::loco::{self, Presets};

/// Decodes one frame of `columns` x `rows` samples to unsigned words.
///
/// # Errors
/// The reason when the stream is damaged, of another size, or of a kind that is not read.
pub(crate) fn decode(stream: &[u8], columns: usize, rows: usize) -> Result<Vec<u16>, String> {
    let mut precision = None;
    let mut presets = [0; 5];
    let mut rest = stream.strip_prefix(&[0xff, 0xd8]).ok_or("it is no JPEG-LS stream")?;
    loop {
        let (marker, body, tail) = next_marker(rest).ok_or("the JPEG-LS stream is cut short")?;
        rest = tail;
        match (marker, body) {
            (0xf7, body) => precision = Some(frame_of(body, columns, rows)?),
            // Preset parameters; what else this marker may hold is for palettes and giant pictures.
            (0xf8, [1, values @ ..]) => {
                for (preset, value) in presets.iter_mut().zip(values.as_chunks::<2>().0) {
                    *preset = u16::from_be_bytes(*value);
                }
            }
            (0xdd, body) if body.iter().any(|&b| b != 0) => {
                return Err("it is JPEG-LS with restart markers, which is not read".into());
            }
            (0xc0..=0xc3, _) => return Err("it is JPEG, not JPEG-LS".into()),
            (0xda, body) => {
                let precision = precision.ok_or("a JPEG-LS scan comes before its frame")?;
                let &[1, _, 0, near, 0, 0] = body else {
                    return Err("its JPEG-LS scan is of a kind that is not read".into());
                };
                let presets = Presets::new(precision, near, presets)?;
                return loco::decode(rest, columns, rows, &presets);
            }
            (0xd9, _) => return Err("the JPEG-LS stream holds no picture".into()),
            _ => {}
        }
    }
}

/// The next marker, its body, and what follows.
fn next_marker(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [0xff, rest @ ..] = data else { return None };
    let start = rest.iter().position(|&b| b != 0xff)?;
    let (marker, rest) = (rest[start], &rest[start + 1..]);
    if marker == 0xd9 {
        return Some((marker, &[], rest));
    }
    let length = usize::from(*rest.first()?) << 8 | usize::from(*rest.get(1)?);
    let (body, rest) = rest.split_at_checked(length.max(2))?;
    Some((marker, &body[2..], rest))
}

/// Bits of a sample.
fn frame_of(body: &[u8], columns: usize, rows: usize) -> Result<u8, String> {
    let &[precision, h1, h0, w1, w0, components, ..] = body else {
        return Err("its JPEG-LS header is cut short".into());
    };
    let height = usize::from(u16::from_be_bytes([h1, h0]));
    let width = usize::from(u16::from_be_bytes([w1, w0]));
    if components != 1 {
        return Err("the JPEG-LS picture is in colour".into());
    }
    if (width, height) != (columns, rows) || !(2..=16).contains(&precision) {
        return Err(format!(
            "the JPEG-LS picture is {width} x {height} of {precision} bits, not {columns} x {rows}"
        ));
    }
    Ok(precision)
}
