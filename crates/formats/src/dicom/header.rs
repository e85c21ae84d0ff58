//! What one DICOM file says of itself, without its pixels.

use super::object::{self, Object, integer, items, number, numbers, text, texts};
use super::pixels::PixelFormat;
use crate::bounds;
use crate::{Error, Limits, Result};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use std::path::{Path, PathBuf};

/// Where one slice lies, and how its values become HU.
#[derive(Debug, Clone)]
pub(crate) struct Plane {
    /// LPS mm of the centre of the first pixel.
    pub(crate) position: [f64; 3],
    /// Unit vectors along a row (x) and down a column (y).
    pub(crate) axes: [[f64; 3]; 2],
    /// Distance between pixels along x and y, mm.
    pub(crate) spacing: [f64; 2],
    /// Slope and intercept, where stated.
    pub(crate) rescale: Option<(f64, f64)>,
    /// Slice thickness, mm.
    pub(crate) thickness: Option<f64>,
}

/// One file, its patient kept apart.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) path: PathBuf,
    pub(crate) study: String,
    pub(crate) series: String,
    pub(crate) instance: String,
    pub(crate) frame_of_reference: Option<String>,
    pub(crate) modality: String,
    pub(crate) image_type: Vec<String>,
    pub(crate) description: Option<String>,
    pub(crate) kernel: Option<String>,
    pub(crate) scanner: Option<String>,
    pub(crate) patient: Option<String>,
    pub(crate) series_number: Option<i64>,
    pub(crate) instance_number: Option<i64>,
    pub(crate) acquisition: Option<i64>,
    pub(crate) temporal: Option<i64>,
    pub(crate) lossy: bool,
    /// Distance between slices as stated; used for a single slice only.
    pub(crate) between: Option<f64>,
    pub(crate) pixels: PixelFormat,
    /// The slices: one, or the frames of an enhanced image; or why they cannot be placed.
    pub(crate) planes: std::result::Result<Vec<Plane>, String>,
    /// What the values mean, where stated ("HU", "US", ...).
    pub(crate) rescale_type: Option<String>,
    pub(crate) enhanced: bool,
    has_modality_lut: bool,
}

impl Header {
    /// Reads a file up to its pixel data. `None` for DICOM files that are no images.
    pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Option<Self>> {
        let object = object::open(path, false, limits)?;
        let header = Self::of(path, &object);
        if header.is_none() && should_hold_image(&object.set) {
            let reason = "The DICOM file ends before its picture; it may be cut short.".into();
            return Err(Error::Refused { path: path.to_owned(), reason });
        }
        Ok(header)
    }

    fn of(path: &Path, object: &Object) -> Option<Self> {
        let set = &object.set;
        let pixels = PixelFormat::of(object)?;
        let class = text(set, tags::SOP_CLASS_UID).unwrap_or_default();
        let enhanced = [uids::ENHANCED_CT_IMAGE_STORAGE, uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE]
            .contains(&class.as_str());
        let join = |a: Option<String>, b: Option<String>| match (a, b) {
            (Some(a), Some(b)) => Some(format!("{a} {b}")),
            (a, b) => a.or(b),
        };
        let whole = |tag| integer(set, tag);
        let planes = if enhanced { frames(set) } else { plane(set, &[set]).map(|p| vec![p]) };
        Some(Self {
            path: path.to_owned(),
            study: text(set, tags::STUDY_INSTANCE_UID).unwrap_or_default(),
            series: text(set, tags::SERIES_INSTANCE_UID).unwrap_or_default(),
            instance: text(set, tags::SOP_INSTANCE_UID).unwrap_or_default(),
            frame_of_reference: text(set, tags::FRAME_OF_REFERENCE_UID),
            modality: text(set, tags::MODALITY).unwrap_or_default(),
            image_type: texts(set, tags::IMAGE_TYPE),
            description: text(set, tags::SERIES_DESCRIPTION),
            kernel: texts(set, tags::CONVOLUTION_KERNEL).first().cloned(),
            scanner: join(text(set, tags::MANUFACTURER), text(set, tags::MANUFACTURER_MODEL_NAME)),
            patient: join(text(set, tags::PATIENT_NAME), text(set, tags::PATIENT_ID)),
            series_number: whole(tags::SERIES_NUMBER),
            instance_number: whole(tags::INSTANCE_NUMBER),
            acquisition: whole(tags::ACQUISITION_NUMBER),
            temporal: whole(tags::TEMPORAL_POSITION_IDENTIFIER),
            lossy: text(set, tags::LOSSY_IMAGE_COMPRESSION).as_deref() == Some("01"),
            between: number(set, tags::SPACING_BETWEEN_SLICES).map(f64::abs),
            rescale_type: text(set, tags::RESCALE_TYPE).or_else(|| shared_rescale_type(set)),
            has_modality_lut: !items(set, tags::MODALITY_LUT_SEQUENCE).is_empty(),
            pixels,
            planes,
            enhanced,
        })
    }

    /// A scout view: it shows the body from the side, not in slices.
    pub(crate) fn is_localizer(&self) -> bool {
        self.image_type
            .iter()
            .any(|t| ["LOCALIZER", "SCOUT", "TOPOGRAM"].contains(&t.to_uppercase().as_str()))
    }

    /// Whether it is no CT slice at all, whatever else is wrong with it: leaving it out of a
    /// series loses none of the body.
    pub(crate) fn is_foreign(&self) -> bool {
        self.modality != "CT" || self.pixels.is_colour() || (self.pixels.frames > 1 && !self.enhanced)
    }

    /// Why this file cannot be screened; `None` when it can.
    pub(crate) fn problem(&self) -> Option<String> {
        let m = &self.modality;
        if m != "CT" {
            let what =
                if m.is_empty() { "not stated".into() } else { m.chars().take(16).collect::<String>() };
            return Some(format!("The modality is {what}; only CT is read."));
        }
        if self.is_localizer() {
            return Some("It is a localizer (scout view), not a stack of slices.".into());
        }
        if let Some(problem) = self.pixels.problem() {
            return Some(problem);
        }
        if self.has_modality_lut {
            return Some("Its values go through a lookup table instead of a slope; they are not HU.".into());
        }
        if let Some(unit) =
            self.rescale_type.as_deref().filter(|&u| u != "HU" && (self.enhanced || u != "US"))
        {
            let unit: String = unit.chars().take(16).collect();
            return Some(format!(
                "Its values are not Hounsfield units (Rescale Type {unit}), as in a derived map."
            ));
        }
        if !self.enhanced && self.pixels.frames > 1 {
            return Some("It holds several frames but is not an enhanced CT image.".into());
        }
        match &self.planes {
            Err(reason) => Some(reason.clone()),
            Ok(p) if p.len() != self.pixels.frames => {
                Some("It describes another number of frames than it says it holds.".into())
            }
            Ok(_) => None,
        }
    }
}

/// Whether a file without picture attributes should have them: it says that it is a CT, or it
/// ends before it could say what it is. A directory of files says neither.
fn should_hold_image(set: &InMemDicomObject) -> bool {
    let ct = [
        uids::CT_IMAGE_STORAGE,
        uids::ENHANCED_CT_IMAGE_STORAGE,
        uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE,
    ];
    match text(set, tags::SOP_CLASS_UID) {
        Some(class) => ct.contains(&class.as_str()),
        None => set.get(tags::MODALITY).is_none() && set.get(tags::DIRECTORY_RECORD_SEQUENCE).is_none(),
    }
}

/// The plane that the nearest of `groups` describes; `set` is asked for what they leave open.
fn plane(set: &InMemDicomObject, groups: &[&InMemDicomObject]) -> std::result::Result<Plane, String> {
    // An attribute stands in the set itself, or one level down in a functional group macro.
    let find = |macro_tag, tag| -> Vec<f64> {
        let nested = groups.iter().flat_map(|g| items(g, macro_tag)).map(|item| numbers(item, tag));
        nested.chain([numbers(set, tag)]).find(|v| !v.is_empty()).unwrap_or_default()
    };
    let position = find(tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT);
    let orientation = find(tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT);
    let spacing = find(tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING);
    let thickness = find(tags::PIXEL_MEASURES_SEQUENCE, tags::SLICE_THICKNESS).first().copied();
    let slope = find(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, tags::RESCALE_SLOPE).first().copied();
    let intercept = find(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, tags::RESCALE_INTERCEPT).first().copied();
    let Ok(position) = <[f64; 3]>::try_from(position) else {
        return Err("It does not say where it lies (Image Position Patient is missing or broken).".into());
    };
    let Ok(o) = <[f64; 6]>::try_from(orientation) else {
        return Err("It does not say how it lies (Image Orientation Patient is missing or broken).".into());
    };
    let Ok([down, across]) = <[f64; 2]>::try_from(spacing) else {
        return Err("It does not say how large its pixels are (Pixel Spacing is missing or broken).".into());
    };
    let possible = 0.01..=bounds::PIXEL_MM;
    if !possible.contains(&down) || !possible.contains(&across) {
        return Err(format!("Its Pixel Spacing of {down} x {across} mm is impossible."));
    }
    if !bounds::is_near(&position) {
        return Err(bounds::FAR.into());
    }
    let rescale = slope.zip(intercept);
    if rescale.is_some_and(|(slope, _)| slope == 0.0) {
        return Err("Its Rescale Slope is zero, so its values mean nothing.".into());
    }
    let axes = orthonormal([o[0], o[1], o[2]], [o[3], o[4], o[5]])?;
    let thickness = thickness.filter(|&t| t > 0.0);
    Ok(Plane { position, axes, spacing: [across, down], rescale, thickness })
}

/// The two directions made exactly perpendicular and of length one; refused when they are far
/// from it.
fn orthonormal(x: [f64; 3], y: [f64; 3]) -> std::result::Result<[[f64; 3]; 2], String> {
    let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let (lx, ly) = (dot(x, x).sqrt(), dot(y, y).sqrt());
    let lean = dot(x, y);
    if !(0.9..1.1).contains(&lx) || !(0.9..1.1).contains(&ly) || lean.abs() > 0.01 {
        return Err("Its Image Orientation Patient is no pair of perpendicular directions.".into());
    }
    let x = x.map(|v| v / lx);
    let lean = dot(x, y);
    let y: [f64; 3] = std::array::from_fn(|c| y[c] - lean * x[c]);
    let ly = dot(y, y).sqrt();
    Ok([x, y.map(|v| v / ly)])
}

/// Planes of an enhanced multi-frame image (PS3.3 C.7.6.16), frame by frame.
fn frames(set: &InMemDicomObject) -> std::result::Result<Vec<Plane>, String> {
    let shared = items(set, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE);
    let per_frame = items(set, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    if per_frame.is_empty() {
        return Err("It is a multi-frame image without per-frame positions.".into());
    }
    per_frame
        .iter()
        .map(|frame| {
            let groups: Vec<&InMemDicomObject> = [frame].into_iter().chain(shared).collect();
            plane(set, &groups)
        })
        .collect()
}

fn shared_rescale_type(set: &InMemDicomObject) -> Option<String> {
    let groups = [tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE];
    let transforms = groups
        .iter()
        .flat_map(|&g| items(set, g).first())
        .flat_map(|g| items(g, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE));
    transforms.filter_map(|t| text(t, tags::RESCALE_TYPE)).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_made_perpendicular_or_refused() {
        let [x, y] = orthonormal([1.0, 1e-3, 0.0], [0.0, 1.0, 0.0]).unwrap();
        assert!((x[0] * y[0] + x[1] * y[1]).abs() < 1e-15);
        assert!(orthonormal([1.0, 0.0, 0.0], [0.1, 1.0, 0.0]).is_err());
        assert!(orthonormal([0.0; 3], [0.0, 1.0, 0.0]).is_err());
    }
}
