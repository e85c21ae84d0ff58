//! A case as JSON, HTML and pictures.
//!
//! [`write`] makes the folder of one scan; [`cases_csv`] and [`summary_line`] speak of many. The
//! content is a [`Document`], which is report.json to the letter.

mod canvas;
mod cases;
mod document;
mod error;
mod files;
mod fingerprint;
mod json;
mod overview;
mod page;
mod picture;
mod region_picture;

pub use cases::{CaseRow, Status, cases_csv, summary_line};
pub use document::{
    Document, FindingPart, INTENDED_USE, Input, LungSide, LungsPart, Meta, ModelInfo, NOTICE, Orientation,
    PatchPart, RegionPart, SCHEMA, Side, Software, Timings, VerdictPart,
};
pub use error::{Error, Result};
pub use files::{IMAGES, MASKS, REPORT_HTML, REPORT_JSON, pictures, write, write_masks};
pub use fingerprint::fingerprint;
pub use json::{five_digits, to_json, to_json_line};
pub use page::{Pictures, label, render};
