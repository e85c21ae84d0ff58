//! DICOM: reading CT series (PS3.3 C.7.6, C.8.2) and writing them.

pub(crate) mod choose;
pub(crate) mod coding;
pub(crate) mod dct;
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
pub(crate) mod pixels;
pub(crate) mod read;
pub(crate) mod rle;
pub(crate) mod stack;
pub(crate) mod uid;
pub(crate) mod walk;
pub(crate) mod write;
