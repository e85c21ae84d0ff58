//! How pixels are coded in a file, and decoding one frame of them.

use super::{jpeg, jpeg2000, jpegls, jpegxl, rle};

/// How pixels are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Native,
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
    JpegXl,
    /// Known or unknown, but not read.
    Other,
}

/// Most pixels of a compressed slice, 4096 x 4096: more than any CT has, and few enough to decode
/// whatever a few bytes may promise.
const PIXELS: usize = 1 << 24;

impl Coding {
    /// Of a transfer syntax (PS3.5 section 10, PS3.6 annex A).
    pub(crate) fn of(syntax: &str) -> Self {
        match syntax {
            "1.2.840.10008.1.2"
            | "1.2.840.10008.1.2.1"
            | "1.2.840.10008.1.2.1.99"
            | "1.2.840.10008.1.2.2"
            // Of old GE archives, pixels big endian.
            | "1.2.840.113619.5.2" => Self::Native,
            "1.2.840.10008.1.2.5" => Self::Rle,
            // Baseline, extended, spectral selection, full progression, lossless, lossless SV1.
            "1.2.840.10008.1.2.4.50"
            | "1.2.840.10008.1.2.4.51"
            | "1.2.840.10008.1.2.4.53"
            | "1.2.840.10008.1.2.4.55"
            | "1.2.840.10008.1.2.4.57"
            | "1.2.840.10008.1.2.4.70" => Self::Jpeg,
            // Lossless, near-lossless.
            "1.2.840.10008.1.2.4.80" | "1.2.840.10008.1.2.4.81" => Self::JpegLs,
            // Lossless only, any.
            "1.2.840.10008.1.2.4.90" | "1.2.840.10008.1.2.4.91" => Self::Jpeg2000,
            // Lossless, recompressed JPEG, any.
            "1.2.840.10008.1.2.4.110" | "1.2.840.10008.1.2.4.111" | "1.2.840.10008.1.2.4.112" => Self::JpegXl,
            _ => Self::Other,
        }
    }

    /// Decodes one frame of `columns` x `rows` samples of `bytes` bytes (1 or 2) to words.
    ///
    /// # Errors
    /// The reason when the stream is damaged, of another size, or of a kind that is not read.
    pub(crate) fn decode(
        self,
        stream: &[u8],
        (columns, rows): (usize, usize),
        bytes: usize,
    ) -> Result<Vec<u16>, String> {
        if columns.saturating_mul(rows) > PIXELS {
            return Err(format!("a slice of {columns} x {rows} pixels is no CT"));
        }
        match self {
            Self::Rle => rle::decode(stream, columns * rows, bytes),
            Self::Jpeg => jpeg::decode(stream, columns, rows),
            Self::JpegLs => jpegls::decode(stream, columns, rows),
            Self::Jpeg2000 => jpeg2000::decode(stream, columns, rows),
            Self::JpegXl => jpegxl::decode(stream, columns, rows),
            Self::Native | Self::Other => {
                Err("it is compressed where its transfer syntax says it is not".into())
            }
        }
    }
}
