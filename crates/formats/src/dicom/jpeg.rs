//! JPEG frames: the markers (ITU-T T.81 annex B). Lossless scans are decoded here, because they
//! are most of the CT that is compressed and deserve speed; 8-bit lossy ones by jpeg-decoder.

use super::lossless::{self, Table};
use jpeg_decoder::{Decoder, PixelFormat};

/// Size and depth of the picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) precision: u8,
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// Decodes one frame of `columns` x `rows` samples to unsigned words.
///
/// # Errors
/// The reason when the stream is damaged, of another size, or of a kind that is not read.
pub(crate) fn decode(stream: &[u8], columns: usize, rows: usize) -> Result<Vec<u16>, String> {
    let mut tables: [Option<Table>; 4] = [const { None }; 4];
    let mut restart = 0;
    let mut frame: Option<Frame> = None;
    let mut rest = stream.strip_prefix(&[0xff, 0xd8]).ok_or("it is no JPEG stream")?;
    loop {
        let (marker, body, tail) = next_marker(rest).ok_or("the JPEG stream is cut short")?;
        rest = tail;
        match marker {
            0xc3 => frame = Some(frame_of(body, columns, rows)?),
            0xc0..=0xc2 => return lossy(stream, body, columns, rows),
            0xc4 => huffman(body, &mut tables)?,
            0xc5..=0xc7 | 0xc9..=0xcf => {
                return Err("it is hierarchical or arithmetic JPEG, which is not read".into());
            }
            0xdd => restart = body.get(..2).map_or(0, |b| usize::from(b[0]) << 8 | usize::from(b[1])),
            0xda => {
                let frame = frame.ok_or("a JPEG scan comes before its frame")?;
                let &[1, _, table, predictor, _, shift] = body else {
                    return Err("its JPEG scan is not of one component".into());
                };
                let table = tables.get(usize::from(table >> 4)).and_then(Option::as_ref);
                let table = table.ok_or("a Huffman table is missing")?;
                let shift = shift & 15;
                if !(1..=7).contains(&predictor) || shift >= frame.precision {
                    return Err("its JPEG scan has an impossible predictor".into());
                }
                return lossless::decode(rest, &frame, table, (predictor, shift), restart);
            }
            0xd9 => return Err("the JPEG stream holds no picture".into()),
            _ => {}
        }
    }
}

/// The next marker, its body, and what follows. Markers without a body do not occur before a scan.
fn next_marker(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let start = data.iter().position(|&b| b == 0xff)?;
    let start = start + data[start..].iter().position(|&b| b != 0xff)?;
    let marker = data[start];
    if marker == 0xd9 {
        return Some((marker, &[], &[]));
    }
    let length = usize::from(*data.get(start + 1)?) << 8 | usize::from(*data.get(start + 2)?);
    let body = data.get(start + 3..start + 1 + length.max(2))?;
    Some((marker, body, &data[start + 1 + length.max(2)..]))
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

/// One or more Huffman tables.
fn huffman(mut body: &[u8], tables: &mut [Option<Table>; 4]) -> Result<(), String> {
    while let [id, rest @ ..] = body {
        let counts: &[u8; 16] = rest.first_chunk().ok_or("a Huffman table is cut short")?;
        let total: usize = counts.iter().map(|&c| usize::from(c)).sum();
        let values = rest.get(16..16 + total).ok_or("a Huffman table is cut short")?;
        body = &rest[16 + total..];
        // Class 1 is for the coefficients of lossy scans.
        if let (0, Some(slot)) = (id >> 4, tables.get_mut(usize::from(id & 15))) {
            *slot = Table::new(counts, values).ok();
        }
    }
    Ok(())
}

fn lossy(stream: &[u8], body: &[u8], columns: usize, rows: usize) -> Result<Vec<u16>, String> {
    let frame = frame_of(body, columns, rows)?;
    if frame.precision != 8 {
        return Err(format!(
            "it is lossy JPEG of {} bits, which is not read; convert it first, for example with dcmdjpeg",
            frame.precision
        ));
    }
    let mut decoder = Decoder::new(stream);
    let bytes = decoder.decode().map_err(|e| e.to_string())?;
    if decoder.info().is_none_or(|i| i.pixel_format != PixelFormat::L8) {
        return Err("the JPEG picture is in colour".into());
    }
    Ok(bytes.into_iter().map(u16::from).collect())
}
