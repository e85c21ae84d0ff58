//! DICOM: reading CT series (PS3.3 C.7.6, C.8.2) and writing them.

pub(crate) mod choose;
pub(crate) mod header;
pub(crate) mod jpeg;
pub(crate) mod lossless;
pub(crate) mod object;
pub(crate) mod pixels;
pub(crate) mod read;
pub(crate) mod rle;
pub(crate) mod stack;
pub(crate) mod uid;
pub(crate) mod walk;
pub(crate) mod write;
