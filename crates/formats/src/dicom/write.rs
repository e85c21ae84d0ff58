//! Writing a synthetic CT as a DICOM series: CT Image Storage (PS3.3 A.3), explicit VR little
//! endian, 16-bit signed HU.

use super::uid::derived;
use crate::atomic::write_whole;
use crate::{Error, Result};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use pleura_volume::Volume;
use rayon::prelude::*;
use std::path::Path;

/// What a written series says of itself. All of it is made up: no field may come from a patient.
#[derive(Debug, Clone, PartialEq)]
pub struct DicomTags {
    /// Seed of the UIDs: the same seed, texts and grid give the same UIDs, anything else others.
    pub seed: u64,
    /// Series Description.
    pub series_description: String,
    /// Convolution Kernel; letters, digits, `_` and spaces.
    pub kernel: String,
    /// Slice Thickness, mm.
    pub slice_thickness_mm: f64,
    /// Patient ID; the patient's name is always `PHANTOM^PLEURA`.
    pub patient_id: String,
    /// Image Comments, after the words that say it is synthetic.
    pub comments: String,
}

impl Default for DicomTags {
    fn default() -> Self {
        Self {
            seed: 0,
            series_description: "Synthetic chest CT".into(),
            kernel: "STANDARD".into(),
            slice_thickness_mm: 1.0,
            patient_id: "PHANTOM".into(),
            comments: String::new(),
        }
    }
}

/// Elements that all files of the series share.
type Elements = Vec<(Tag, VR, PrimitiveValue)>;

/// Writes `volume` (HU, any orthogonal orientation) as `IM00001.dcm`, ... into `dir`, which is
/// made if missing; one file per slice, slice 0 first. Same input, same bytes.
///
/// # Errors
/// [`Error::Io`]; [`Error::Refused`] when the volume is empty or too large for DICOM.
pub fn write_dicom_series(dir: &Path, volume: &Volume<i16>, tags: &DicomTags) -> Result<()> {
    let g = &volume.geometry;
    let fits = g.size[..2].iter().all(|n| (1..=usize::from(u16::MAX)).contains(n));
    if !fits || volume.data.len() != g.len() || g.is_empty() {
        let reason = "The volume to write is empty or has more than 65535 columns or rows.".into();
        return Err(Error::Refused { path: dir.to_owned(), reason });
    }
    std::fs::create_dir_all(dir).map_err(|source| Error::Io { path: dir.to_owned(), source })?;
    let identity = [
        "pleura".to_owned(),
        tags.seed.to_string(),
        tags.series_description.clone(),
        tags.kernel.clone(),
        tags.patient_id.clone(),
        tags.comments.clone(),
        format!("{g:?}"),
    ];
    let uid = |role: &str| {
        let parts: Vec<&str> = identity.iter().map(String::as_str).chain([role]).collect();
        derived(&parts)
    };
    let common = common(volume, tags, &uid);
    (0..g.size[2]).into_par_iter().try_for_each(|k| {
        let path = dir.join(format!("IM{:05}.dcm", k + 1));
        let instance = uid(&format!("instance {k}"));
        let elements = common.iter().cloned().chain(of_slice(volume, k, &instance));
        let set = InMemDicomObject::from_element_iter(elements.map(|(t, vr, v)| DataElement::new(t, vr, v)));
        let meta = FileMetaTableBuilder::new()
            .media_storage_sop_class_uid(uids::CT_IMAGE_STORAGE)
            .media_storage_sop_instance_uid(instance)
            .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
        write_whole(&path, |out| {
            let file = set.with_meta(meta).map_err(std::io::Error::other)?;
            file.write_all(out).map_err(std::io::Error::other)
        })
    })
}

/// A decimal string of at most 16 characters (PS3.5 6.2), as exact as that allows.
fn decimal(v: f64) -> String {
    let plain = format!("{v}");
    if plain.len() <= 16 {
        return plain;
    }
    let digits = (0..=14).rev().map(|d| format!("{v:.d$}")).find(|s| s.len() <= 16);
    digits.unwrap_or_else(|| format!("{v:.8e}"))
}

fn decimals(values: &[f64]) -> PrimitiveValue {
    // Adding zero turns a negative zero into a plain one.
    PrimitiveValue::Strs(values.iter().map(|&v| decimal(v + 0.0)).collect())
}

/// Text without the backslash, which would split it, and of the length its VR allows.
fn clean(text: &str, length: usize) -> String {
    text.chars().filter(|c| c.is_ascii() && !c.is_ascii_control() && *c != '\\').take(length).collect()
}

fn common(volume: &Volume<i16>, t: &DicomTags, uid: &dyn Fn(&str) -> String) -> Elements {
    let g = &volume.geometry;
    let text = |tag, vr, v: &str| (tag, vr, PrimitiveValue::from(v));
    let short = |tag, v: u16| (tag, VR::US, PrimitiveValue::from(v));
    let several =
        |tag, vr, v: &[&str]| (tag, vr, PrimitiveValue::Strs(v.iter().map(|s| (*s).to_owned()).collect()));
    let kernel: String = clean(&t.kernel.to_uppercase(), 16)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == ' ' { c } else { '_' })
        .collect();
    let comments = clean(&format!("SYNTHETIC phantom, not a patient. {}", t.comments), 10_000);
    let [x, y, _] = g.axes;
    vec![
        text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"),
        several(tags::IMAGE_TYPE, VR::CS, &["ORIGINAL", "PRIMARY", "AXIAL"]),
        text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
        text(tags::STUDY_DATE, VR::DA, ""),
        text(tags::STUDY_TIME, VR::TM, ""),
        text(tags::ACCESSION_NUMBER, VR::SH, ""),
        text(tags::MODALITY, VR::CS, "CT"),
        text(tags::MANUFACTURER, VR::LO, "pleura"),
        text(tags::REFERRING_PHYSICIAN_NAME, VR::PN, ""),
        text(tags::STUDY_DESCRIPTION, VR::LO, "Synthetic chest CT"),
        text(tags::SERIES_DESCRIPTION, VR::LO, clean(&t.series_description, 64).trim()),
        text(tags::MANUFACTURER_MODEL_NAME, VR::LO, "pleura phantom"),
        text(tags::PATIENT_NAME, VR::PN, "PHANTOM^PLEURA"),
        text(tags::PATIENT_ID, VR::LO, clean(&t.patient_id, 64).trim()),
        text(tags::PATIENT_BIRTH_DATE, VR::DA, ""),
        text(tags::PATIENT_SEX, VR::CS, "O"),
        text(tags::BODY_PART_EXAMINED, VR::CS, "CHEST"),
        (tags::SLICE_THICKNESS, VR::DS, decimals(&[t.slice_thickness_mm])),
        text(tags::KVP, VR::DS, ""),
        text(tags::SOFTWARE_VERSIONS, VR::LO, env!("CARGO_PKG_VERSION")),
        text(tags::CONVOLUTION_KERNEL, VR::SH, kernel.trim()),
        text(tags::PATIENT_POSITION, VR::CS, "HFS"),
        text(tags::STUDY_INSTANCE_UID, VR::UI, &uid("study")),
        text(tags::SERIES_INSTANCE_UID, VR::UI, &uid("series")),
        text(tags::STUDY_ID, VR::SH, "1"),
        text(tags::SERIES_NUMBER, VR::IS, "1"),
        text(tags::ACQUISITION_NUMBER, VR::IS, "1"),
        (tags::IMAGE_ORIENTATION_PATIENT, VR::DS, decimals(&[x[0], x[1], x[2], y[0], y[1], y[2]])),
        text(tags::FRAME_OF_REFERENCE_UID, VR::UI, &uid("frame of reference")),
        text(tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""),
        text(tags::IMAGE_COMMENTS, VR::LT, comments.trim()),
        text(tags::QUALITY_CONTROL_IMAGE, VR::CS, "YES"),
        short(tags::SAMPLES_PER_PIXEL, 1),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        short(tags::ROWS, g.size[1] as u16),
        short(tags::COLUMNS, g.size[0] as u16),
        (tags::PIXEL_SPACING, VR::DS, decimals(&[g.spacing_mm[1], g.spacing_mm[0]])),
        short(tags::BITS_ALLOCATED, 16),
        short(tags::BITS_STORED, 16),
        short(tags::HIGH_BIT, 15),
        short(tags::PIXEL_REPRESENTATION, 1),
        several(tags::WINDOW_CENTER, VR::DS, &["-600", "40"]),
        several(tags::WINDOW_WIDTH, VR::DS, &["1500", "400"]),
        text(tags::RESCALE_INTERCEPT, VR::DS, "0"),
        text(tags::RESCALE_SLOPE, VR::DS, "1"),
        text(tags::RESCALE_TYPE, VR::LO, "HU"),
    ]
}

fn of_slice(volume: &Volume<i16>, k: usize, instance: &str) -> Elements {
    let g = &volume.geometry;
    let position = g.to_lps([0.0, 0.0, k as f64]);
    let [x, y, _] = g.axes;
    let normal = super::stack::normal(&[x, y]);
    let words = volume.slice(k).iter().map(|&v| v as u16).collect();
    vec![
        (tags::SOP_INSTANCE_UID, VR::UI, PrimitiveValue::from(instance)),
        (tags::INSTANCE_NUMBER, VR::IS, PrimitiveValue::from((k + 1).to_string())),
        (tags::IMAGE_POSITION_PATIENT, VR::DS, decimals(&position)),
        (tags::SLICE_LOCATION, VR::DS, decimals(&[super::stack::dot(position, normal)])),
        (tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words)),
    ]
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn decimals_fit_in_16_characters() {
        for (v, s) in
            [(0.7, "0.7"), (-1.0 / 3.0, "-0.3333333333333"), (-123.456_789_012_345_67, "-123.45678901235")]
        {
            assert_eq!(decimal(v), s);
        }
        assert!(decimal(1e-300).len() <= 16 && decimal(f64::MAX).len() <= 16);
    }
}
