//! DICOM: reading CT series (PS3.3 C.7.6, C.8.2, C.8.15) and writing them.

pub(crate) mod choose;
pub(crate) mod coding;
pub(crate) mod damage;
pub(crate) mod dct;
pub(crate) mod directory;
pub(crate) mod frames;
pub(crate) mod header;
pub(crate) mod huffman;
pub(crate) mod idct;
pub(crate) mod jpeg;
pub(crate) mod jpeg2000;
pub(crate) mod jpegls;
pub(crate) mod jpegxl;
pub(crate) mod loco;
pub(crate) mod lossless;
pub(crate) mod object;
pub(crate) mod parse;
pub(crate) mod pixels;
pub(crate) mod read;
pub(crate) mod resample;
pub(crate) mod rle;
pub(crate) mod series;
pub(crate) mod set;
pub(crate) mod spread;
pub(crate) mod stack;
pub(crate) mod uid;
pub(crate) mod volumes;
pub(crate) mod wanted;
pub(crate) mod write;

use crate::{Error, Warning};
use std::path::Path;

/// Why something cannot be used: a code of the table in docs/input.md, and plain sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    pub(crate) text: String,
}

impl Problem {
    pub(crate) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The problem as an error with this file or folder.
    pub(crate) fn at(self, path: &Path) -> Error {
        Error::Unfit { path: path.to_owned(), code: self.code, reason: self.text }
    }
}

pub(crate) fn warning(code: &str, message: impl Into<String>, slices: Vec<usize>) -> Warning {
    Warning { code: code.into(), message: message.into(), slices }
}
