//! JPEG XL pictures of one channel (ISO/IEC 18181-1), decoded by the library jxl.

use jxl::api::{
    Endianness, Event, JxlBitDepth, JxlColorType, JxlDataFormat, JxlDecoder, JxlDecoderOptions,
    JxlOutputBuffer, JxlPixelFormat, ProfileLevel,
};

/// Decodes one frame of `columns` x `rows` samples to unsigned words.
///
/// # Errors
/// The reason when the stream is damaged, of another size, or of a kind that is not read.
pub(crate) fn decode(stream: &[u8], columns: usize, rows: usize) -> Result<Vec<u16>, String> {
    let mut options = JxlDecoderOptions::default();
    options.adjust_orientation = false;
    // A frame may reach beyond the picture, but not far.
    options.sample_limit = Some(4 * columns * rows + (1 << 16));
    options.high_precision = true;
    options.max_profile_level = ProfileLevel::Main10;
    let mut decoder = JxlDecoder::new(options);
    let mut input = stream;
    next(&mut decoder, &mut input, None, Event::BasicInfo)?;
    prepare(&mut decoder, columns, rows)?;
    next(&mut decoder, &mut input, None, Event::FrameHeader)?;
    // Rows of words must lie at even addresses.
    let mut bytes = vec![0; 2 * columns * rows + 1];
    let start = bytes.as_ptr().align_offset(2);
    let words = &mut bytes[start..start + 2 * columns * rows];
    let buffer = JxlOutputBuffer::new(words, rows, 2 * columns);
    // More frames would be a film; DICOM has a stream for each.
    next(&mut decoder, &mut input, Some(buffer), Event::FrameComplete { has_more_frames: false })?;
    Ok(words.as_chunks().0.iter().map(|&w| u16::from_le_bytes(w)).collect())
}

/// Reads on; the next event must be `expected`.
fn next(
    decoder: &mut JxlDecoder,
    input: &mut &[u8],
    mut buffer: Option<JxlOutputBuffer>,
    expected: Event,
) -> Result<(), String> {
    match decoder.process(input, buffer.as_mut().map(std::slice::from_mut), None) {
        Ok(event) if event == expected => Ok(()),
        Ok(Event::NeedMoreInput { .. }) => Err("the JPEG XL stream is cut short".into()),
        Ok(_) => Err("the JPEG XL stream does not hold one picture".into()),
        Err(e) => Err(format!("the JPEG XL stream is damaged: {e}")),
    }
}

/// Checks what the picture is, and asks for its samples as they are.
fn prepare(decoder: &mut JxlDecoder, columns: usize, rows: usize) -> Result<(), String> {
    let info = decoder.basic_info().ok_or("the JPEG XL stream has no header")?;
    let (width, height) = info.size;
    let bits = match info.bit_depth {
        JxlBitDepth::Int { bits_per_sample: bits @ 2..=16 } => bits as u8,
        _ => return Err("the samples of the JPEG XL picture are no whole numbers of 2 to 16 bits".into()),
    };
    if (width, height) != (columns, rows) {
        return Err(format!(
            "the JPEG XL picture is {width} x {height} of {bits} bits, not {columns} x {rows}"
        ));
    }
    let grey = decoder.current_pixel_format().is_some_and(|f| f.color_type == JxlColorType::Grayscale);
    if !grey || !info.extra_channels.is_empty() {
        return Err("the JPEG XL picture is in colour".into());
    }
    let format = JxlPixelFormat {
        color_type: JxlColorType::Grayscale,
        color_data_format: Some(JxlDataFormat::U16 { endianness: Endianness::LittleEndian, bit_depth: bits }),
        extra_channel_format: vec![],
    };
    decoder.set_pixel_format(format).map_err(|e| e.to_string())
}
