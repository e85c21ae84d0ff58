//! JPEG streams of one component: the markers (ITU-T T.81 annex B). What follows them is decoded
//! in `lossless` and `dct`.

use super::dct::{Picture, Scan};
use super::huffman::Codes;
use super::lossless;

/// Size and depth of the picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) precision: u8,
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// What the markers before a scan set up.
#[derive(Default)]
struct Tables {
    dc: [Option<Codes>; 4],
    ac: [Option<Codes>; 4],
    steps: [Option<[u16; 64]>; 4],
    /// Samples or blocks between restart markers; 0 where there are none.
    restart: usize,
}

/// What the frame header announces.
enum Kind {
    Lossless(Frame),
    /// With the number of its table of quantization steps.
    Lossy(Picture, usize),
}

/// Decodes one frame of `columns` x `rows` samples to unsigned words.
///
/// # Errors
/// The reason when the stream is damaged, of another size, or of a kind that is not read.
pub(crate) fn decode(stream: &[u8], columns: usize, rows: usize) -> Result<Vec<u16>, String> {
    let mut tables = Tables::default();
    let mut kind: Option<Kind> = None;
    let mut rest = stream.strip_prefix(&[0xff, 0xd8]).ok_or("it is no JPEG stream")?;
    loop {
        let (marker, body, tail) = next_marker(rest).ok_or("the JPEG stream is cut short")?;
        rest = tail;
        match marker {
            0xc0..=0xc3 if kind.is_some() => return Err("it has two JPEG frames".into()),
            0xc3 => kind = Some(Kind::Lossless(frame_of(body, columns, rows)?)),
            0xc0..=0xc2 => {
                let frame = frame_of(body, columns, rows)?;
                let steps = body.get(8).map_or(0, |&i| usize::from(i));
                kind = Some(Kind::Lossy(Picture::new(frame, marker == 0xc2, stream.len())?, steps));
            }
            0xc4 => tables.huffman(body)?,
            0xc5..=0xc7 | 0xc9..=0xcf => {
                return Err("it is hierarchical or arithmetic JPEG, which is not read".into());
            }
            0xdb => tables.quantization(body)?,
            0xdd => tables.restart = body.get(..2).map_or(0, |b| usize::from(b[0]) << 8 | usize::from(b[1])),
            0xda => match kind.as_mut().ok_or("a JPEG scan comes before its frame")? {
                Kind::Lossless(frame) => return tables.lossless(rest, body, frame),
                Kind::Lossy(picture, steps) => {
                    rest = tables.lossy(rest, body, picture)?;
                    if picture.is_sequential() {
                        return tables.finish(picture, *steps);
                    }
                }
            },
            0xd9 => {
                return match &kind {
                    Some(Kind::Lossy(picture, steps)) if !picture.is_empty() => {
                        tables.finish(picture, *steps)
                    }
                    _ => Err("the JPEG stream holds no picture".into()),
                };
            }
            _ => {}
        }
    }
}

/// The next marker, its body, and what follows; markers without a body have an empty one.
fn next_marker(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let start = data.iter().position(|&b| b == 0xff)?;
    let start = start + data[start..].iter().position(|&b| b != 0xff)?;
    let (marker, rest) = (data[start], &data[start + 1..]);
    if matches!(marker, 0 | 1 | 0xd0..=0xd9) {
        return Some((marker, &[], rest));
    }
    let length = usize::from(*rest.first()?) << 8 | usize::from(*rest.get(1)?);
    let (body, rest) = rest.split_at_checked(length.max(2))?;
    Some((marker, &body[2..], rest))
}

fn frame_of(body: &[u8], columns: usize, rows: usize) -> Result<Frame, String> {
    let &[precision, h1, h0, w1, w0, components, ..] = body else {
        return Err("its JPEG header is cut short".into());
    };
    let height = usize::from(h1) << 8 | usize::from(h0);
    let width = usize::from(w1) << 8 | usize::from(w0);
    if components != 1 {
        return Err("the JPEG picture is in colour".into());
    }
    if (width, height) != (columns, rows) || !(2..=16).contains(&precision) {
        return Err(format!(
            "the JPEG picture is {width} x {height} of {precision} bits, not {columns} x {rows}"
        ));
    }
    Ok(Frame { precision, columns, rows })
}

impl Tables {
    /// One or more Huffman tables. One that is damaged counts as missing: it may not be used.
    fn huffman(&mut self, mut body: &[u8]) -> Result<(), String> {
        while let [id, rest @ ..] = body {
            let counts: &[u8; 16] = rest.first_chunk().ok_or("a Huffman table is cut short")?;
            let total: usize = counts.iter().map(|&c| usize::from(c)).sum();
            let values = rest.get(16..16 + total).ok_or("a Huffman table is cut short")?;
            body = &rest[16 + total..];
            let class = if id >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            if let Some(slot) = class.get_mut(usize::from(id & 15)) {
                *slot = Codes::new(counts, values).ok();
            }
        }
        Ok(())
    }

    /// One or more tables of quantization steps, of 8 or 16 bits.
    fn quantization(&mut self, mut body: &[u8]) -> Result<(), String> {
        while let [id, rest @ ..] = body {
            let wide = id >> 4 != 0;
            let bytes = if wide { 128 } else { 64 };
            let (steps, after) = rest.split_at_checked(bytes).ok_or("a quantization table is cut short")?;
            body = after;
            if let Some(slot) = self.steps.get_mut(usize::from(id & 15)) {
                *slot = Some(std::array::from_fn(|i| {
                    if wide { u16::from_be_bytes([steps[2 * i], steps[2 * i + 1]]) } else { steps[i].into() }
                }));
            }
        }
        Ok(())
    }

    fn lossless(&self, data: &[u8], body: &[u8], frame: &Frame) -> Result<Vec<u16>, String> {
        let &[1, _, table, predictor, _, shift] = body else {
            return Err("its JPEG scan is not of one component".into());
        };
        let table = self.dc.get(usize::from(table >> 4)).and_then(Option::as_ref);
        let table = lossless::Table::new(table.ok_or("a Huffman table is missing")?)?;
        let shift = shift & 15;
        if !(1..=7).contains(&predictor) || shift >= frame.precision {
            return Err("its JPEG scan has an impossible predictor".into());
        }
        lossless::decode(data, frame, &table, (predictor, shift), self.restart)
    }

    /// Adds a scan to the picture; gives what follows it.
    fn lossy<'a>(&self, data: &'a [u8], body: &[u8], picture: &mut Picture) -> Result<&'a [u8], String> {
        let &[1, _, tables, first, last, bits] = body else {
            return Err("its JPEG scan is not of one component".into());
        };
        let dc = self.dc.get(usize::from(tables >> 4)).and_then(Option::as_ref);
        let ac = self.ac.get(usize::from(tables & 15)).and_then(Option::as_ref);
        let scan = Scan {
            first: first.into(),
            last: last.into(),
            high: (bits >> 4).into(),
            low: (bits & 15).into(),
        };
        picture.scan(data, scan, (dc, ac), self.restart)
    }

    fn finish(&self, picture: &Picture, steps: usize) -> Result<Vec<u16>, String> {
        let steps = self.steps.get(steps).and_then(Option::as_ref);
        Ok(picture.finish(steps.ok_or("a quantization table is missing")?))
    }
}
