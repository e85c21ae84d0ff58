//! JPEG frames: lossless (processes 14 and 14 SV1) and 8-bit baseline.

use jpeg_decoder::{Decoder, PixelFormat};

/// Decodes one frame of `columns` x `rows` samples to unsigned words.
///
/// # Errors
/// The reason when the stream is damaged, of another size, or of a kind that is not read.
pub(crate) fn decode(stream: &[u8], columns: usize, rows: usize) -> Result<Vec<u16>, String> {
    let mut decoder = Decoder::new(stream);
    decoder.read_info().map_err(|e| e.to_string())?;
    let info = decoder.info().ok_or("the JPEG header is missing")?;
    if (usize::from(info.width), usize::from(info.height)) != (columns, rows) {
        return Err(format!("the JPEG image is {} x {}, not {columns} x {rows}", info.width, info.height));
    }
    let format = info.pixel_format;
    let bytes = decoder.decode().map_err(|e| e.to_string())?;
    let words: Vec<u16> = match format {
        PixelFormat::L8 => bytes.iter().map(|&b| b.into()).collect(),
        PixelFormat::L16 => bytes.as_chunks().0.iter().map(|&b| u16::from_ne_bytes(b)).collect(),
        _ => return Err("the JPEG image is in colour".into()),
    };
    if words.len() < columns * rows {
        return Err("the JPEG image is incomplete".into());
    }
    Ok(words)
}
