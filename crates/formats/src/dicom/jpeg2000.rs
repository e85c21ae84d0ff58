//! JPEG 2000 code streams of one component (ITU-T T.800), decoded by hayro-jpeg2000. Their headers
//! are looked at first, because what is asked for there is paid for in memory and time.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

/// Most tiles of one picture: their numbers have 16 bits.
const TILES: u64 = 65_535;

/// Decodes one frame of `columns` x `rows` samples to words, in two's complement where the samples
/// have a sign.
///
/// # Errors
/// The reason when the stream is damaged, of another size, or of a kind that is not read.
pub(crate) fn decode(stream: &[u8], columns: usize, rows: usize) -> Result<Vec<u16>, String> {
    let stream = code_stream(stream).ok_or("it is no JPEG 2000 stream")?;
    let (precision, signed) = size(stream, columns, rows)?;
    coding_style(stream)?;
    let settings = DecodeSettings { strict: true, ..DecodeSettings::default() };
    let damaged = |e| format!("the JPEG 2000 stream is damaged: {e}");
    let image = Image::new(stream, &settings).map_err(damaged)?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(damaged)?;
    let [component] = decoded.components() else {
        return Err("the JPEG 2000 picture is in colour".into());
    };
    // The library shifts all samples to unsigned, those with a sign too.
    let middle = if signed { 1_i32 << (precision - 1) } else { 0 };
    let most = (1_i32 << precision) - 1;
    let word = |&v: &f32| ((v.round() as i32).clamp(0, most) - middle) as u16;
    Ok(component.samples().iter().map(word).collect())
}

/// The bare code stream; some writers wrap it in a JP2 file, against PS3.5 A.4.4.
fn code_stream(stream: &[u8]) -> Option<&[u8]> {
    let mark = [0xff, 0x4f, 0xff, 0x51];
    if stream.starts_with(&mark) {
        return Some(stream);
    }
    let mut boxes = stream;
    while let Some((head, rest)) = boxes.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let body = if length == 0 { rest } else { rest.get(..length.checked_sub(8)?)? };
        if &head[4..] == b"jp2c" {
            return Some(body).filter(|b| b.starts_with(&mark));
        }
        boxes = &rest[body.len()..];
    }
    None
}

/// Checks the SIZ segment (T.800 A.5.1), the first of a stream; gives the bits of a sample and
/// whether it has a sign.
fn size(stream: &[u8], columns: usize, rows: usize) -> Result<(u8, bool), String> {
    let short = "its JPEG 2000 header is cut short";
    let body: &[u8; 37] = stream.get(6..).and_then(|b| b.first_chunk()).ok_or(short)?;
    let word = |i: usize| u64::from(u32::from_be_bytes([body[i], body[i + 1], body[i + 2], body[i + 3]]));
    let [x1, y1, x0, y0, tile_x, tile_y, tile_x0, tile_y0] = [2, 6, 10, 14, 18, 22, 26, 30].map(word);
    let (width, height) = (x1.saturating_sub(x0), y1.saturating_sub(y0));
    if (body[34], body[35]) != (0, 1) {
        return Err("the JPEG 2000 picture is in colour".into());
    }
    let (precision, signed) = ((body[36] & 0x7f) + 1, body[36] & 0x80 != 0);
    let unsampled = stream.get(43..45) == Some(&[1, 1]);
    if (width, height) != (columns as u64, rows as u64) || !(2..=16).contains(&precision) || !unsampled {
        return Err(format!(
            "the JPEG 2000 picture is {width} x {height} of {precision} bits, not {columns} x {rows}"
        ));
    }
    let tiles = |end: u64, start: u64, tile: u64| end.saturating_sub(start).div_ceil(tile.max(1));
    if tiles(x1, tile_x0, tile_x).saturating_mul(tiles(y1, tile_y0, tile_y)) > TILES {
        return Err(format!("the JPEG 2000 picture has more than {TILES} tiles"));
    }
    Ok((precision, signed))
}

/// Looks through the headers of the picture and of its tile-parts for what the library would read as
/// something else (the block coding of part 15, HTJ2K) or spend too much on (tiny precincts).
fn coding_style(stream: &[u8]) -> Result<(), String> {
    let (mut at, mut part_end) = (2, stream.len());
    while let Some(&[0xff, marker, high, low]) = stream.get(at..).and_then(|rest| rest.first_chunk()) {
        if marker == DATA {
            if part_end <= at {
                break;
            }
            at = part_end;
            continue;
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        let body = stream.get(at + 4..at + 2 + length).unwrap_or_default();
        match (marker, body) {
            (TILE_PART, [_, _, l3, l2, l1, l0, ..]) => {
                let bytes = u32::from_be_bytes([*l3, *l2, *l1, *l0]) as usize;
                part_end = if bytes == 0 { stream.len() } else { at + bytes };
            }
            (CAPABILITIES, _) => return Err(HIGH_THROUGHPUT.into()),
            (STYLE, [_, _, _, _, _, _, _, _, blocks, _, precincts @ ..])
            | (COMPONENT_STYLE, [_, _, _, _, _, blocks, _, precincts @ ..]) => {
                if blocks & 0x40 != 0 {
                    return Err(HIGH_THROUGHPUT.into());
                }
                // The lowest resolution may be small itself.
                if precincts.iter().skip(1).any(|p| p & 15 < 2 || p >> 4 < 2) {
                    return Err("its JPEG 2000 precincts are too small".into());
                }
            }
            _ => {}
        }
        at += 2 + length;
    }
    Ok(())
}

/// Markers (T.800 table A.2; capabilities: T.814).
const CAPABILITIES: u8 = 0x50;
const STYLE: u8 = 0x52;
const COMPONENT_STYLE: u8 = 0x53;
const TILE_PART: u8 = 0x90;
const DATA: u8 = 0x93;

const HIGH_THROUGHPUT: &str = "it is high-throughput JPEG 2000, which is not read";
