//! What one DICOM file says of itself, without its pixels.

use super::Problem;
use super::frames::{Frames, Plane, frames};
use super::object::{self, Object, Picture};
use super::pixels::PixelFormat;
use super::set::{Set, integer, number, text, texts};
use crate::{Error, Limits};
use dicom_dictionary_std::{tags, uids};
use std::path::{Path, PathBuf};

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
    pub(crate) lossy: bool,
    /// Distance between slices as stated; used for a single slice only.
    pub(crate) between: Option<f64>,
    pub(crate) pixels: PixelFormat,
    /// Where the pixels lie in the file.
    pub(crate) picture: Option<Picture>,
    /// The slices, or why they cannot be placed.
    pub(crate) frames: Result<Frames, Problem>,
    enhanced: bool,
}

/// A file that cannot be read to its picture, and the series that it belongs to where it says so
/// before the damage.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) error: Error,
    /// Study and Series Instance UID.
    pub(crate) series: Option<(String, String)>,
    /// Whether there is nothing in it, so that it may be no image at all.
    pub(crate) stub: bool,
}

impl Damage {
    /// A file that is empty or holds nothing but zeros.
    pub(crate) fn stub(path: &Path) -> Self {
        let reason =
            "The file is empty or holds nothing but zeros, as after a copy that was broken off.".into();
        let error = Error::Refused { path: path.to_owned(), reason };
        Self { error, series: None, stub: true }
    }
}

impl Header {
    /// Reads a file up to its pixel data. `None` for a directory of files.
    pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Option<Self>, Damage> {
        let object = object::open(path, limits).map_err(|damaged| {
            let series = damaged.set.as_ref().and_then(|set| {
                Some((
                    text(set, tags::STUDY_INSTANCE_UID).unwrap_or_default(),
                    text(set, tags::SERIES_INSTANCE_UID)?,
                ))
            });
            Damage { error: damaged.error, series, stub: false }
        })?;
        let set = &object.set;
        if set.has(tags::DIRECTORY_RECORD_SEQUENCE) {
            return Ok(None);
        }
        let header = Self::of(path, &object);
        if header.picture.is_none() && should_hold_image(set) {
            let reason = "The DICOM file ends before its picture; it may be cut short.".into();
            let error = Error::Refused { path: path.to_owned(), reason };
            let series = (!header.series.is_empty()).then_some((header.study, header.series));
            return Err(Damage { error, series, stub: false });
        }
        if header.series.is_empty() && !header.is_image() {
            // Every object of a study names its series: this may be what is left of a slice.
            let reason = "The DICOM file names no series and holds no image; it may be damaged.".into();
            return Err(Damage {
                error: Error::Refused { path: path.to_owned(), reason },
                series: None,
                stub: false,
            });
        }
        Ok(Some(header))
    }

    fn of(path: &Path, object: &Object) -> Self {
        let set = &object.set;
        let pixels = PixelFormat::of(object);
        let class = text(set, tags::SOP_CLASS_UID).unwrap_or_default();
        let enhanced = [uids::ENHANCED_CT_IMAGE_STORAGE, uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE]
            .contains(&class.as_str());
        let join = |a: Option<String>, b: Option<String>| match (a, b) {
            (Some(a), Some(b)) => Some(format!("{a} {b}")),
            (a, b) => a.or(b),
        };
        let frames = frames(set, pixels.frames);
        let first = frames.as_ref().ok().and_then(|f| f.planes.first());
        let kernel = first.and_then(|p| p.kind.kernel.clone());
        Self {
            path: path.to_owned(),
            study: text(set, tags::STUDY_INSTANCE_UID).unwrap_or_default(),
            series: text(set, tags::SERIES_INSTANCE_UID).unwrap_or_default(),
            instance: text(set, tags::SOP_INSTANCE_UID).unwrap_or_default(),
            frame_of_reference: text(set, tags::FRAME_OF_REFERENCE_UID),
            modality: text(set, tags::MODALITY).unwrap_or_default(),
            image_type: texts(set, tags::IMAGE_TYPE),
            description: text(set, tags::SERIES_DESCRIPTION),
            kernel: kernel.or_else(|| texts(set, tags::CONVOLUTION_KERNEL).first().cloned()),
            scanner: join(text(set, tags::MANUFACTURER), text(set, tags::MANUFACTURER_MODEL_NAME)),
            patient: join(text(set, tags::PATIENT_NAME), text(set, tags::PATIENT_ID)),
            series_number: integer(set, tags::SERIES_NUMBER),
            instance_number: integer(set, tags::INSTANCE_NUMBER),
            lossy: text(set, tags::LOSSY_IMAGE_COMPRESSION).as_deref() == Some("01"),
            between: number(set, tags::SPACING_BETWEEN_SLICES).map(f64::abs),
            pixels,
            picture: object.picture.clone(),
            frames,
            enhanced,
        }
    }

    /// Whether there is a picture in it; reports of dose and the like hold none.
    pub(crate) fn is_image(&self) -> bool {
        self.picture.is_some() && self.pixels.rows > 0 && self.pixels.columns > 0
    }

    /// Its slices, none when they cannot be placed.
    pub(crate) fn planes(&self) -> &[Plane] {
        self.frames.as_ref().map_or(&[], |f| &f.planes)
    }

    /// Whether one of these words stands in its Image Type.
    fn is_typed(&self, words: &[&str]) -> bool {
        self.image_type.iter().any(|t| words.contains(&t.to_uppercase().as_str()))
    }

    /// A scout view: it shows the body from the side, not in slices.
    pub(crate) fn is_localizer(&self) -> bool {
        self.is_typed(&["LOCALIZER", "SCOUT", "TOPOGRAM"])
    }

    /// A projection of many slices into one: no voxel of it is the HU of a place.
    fn is_projection(&self) -> bool {
        self.is_typed(&["MIP", "MINIP", "MAX_IP", "MIN_IP", "PROJECTION IMAGE", "VRT", "VOLUME_RENDER"])
    }

    /// Slices that were cut from a volume made of other slices.
    pub(crate) fn is_reformat(&self) -> bool {
        self.is_typed(&["MPR", "REFORMATTED", "CSA MPR", "CPR", "AVERAGE", "RESAMPLED"])
    }

    /// Whether it calls itself derived from other images, or is so by its kind.
    pub(crate) fn is_derived(&self) -> bool {
        self.is_reformat() || self.is_typed(&["DERIVED"])
    }

    /// Whether it is no CT slice at all, whatever else is wrong with it: leaving it out of a
    /// series loses none of the body.
    pub(crate) fn is_foreign(&self) -> bool {
        self.modality != "CT"
            || !self.is_image()
            || self.pixels.is_colour()
            || self.pixels.frames > 1 && self.frames.is_err()
    }

    /// Why this file cannot be screened; `None` when it can.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let stated = |s: &str| s.chars().take(16).collect::<String>();
        let m = if self.modality.is_empty() { "not stated".into() } else { stated(&self.modality) };
        if !self.is_image() {
            return Some(Problem::new("no-image", format!("It holds no image (its modality is {m}).")));
        }
        if self.modality != "CT" {
            return Some(Problem::new("not-ct", format!("The modality is {m}; only CT is read.")));
        }
        if self.is_localizer() {
            let text = "It is a localizer (scout view), not a stack of slices.";
            return Some(Problem::new("localizer", text));
        }
        if let Some(text) = self.pixels.problem() {
            return Some(Problem::new("pixels-unreadable", text));
        }
        if self.picture.as_ref().and_then(|p| p.length()).is_some_and(|have| have < self.pixels.need()) {
            let text = "Its header promises more pixels than the file holds; copy the file again.";
            return Some(Problem::new("pixels-missing", text));
        }
        if self.is_projection() {
            let text =
                "It is a projection of many slices (MIP or the like); its values are no HU of a place.";
            return Some(Problem::new("projection", text));
        }
        let lut = self.pixels.lut_type();
        let units = self.planes().iter().filter_map(|p| p.rescale_type.as_deref()).chain(lut);
        // "US" is "unspecified"; older scanners write it for HU, enhanced images for maps.
        let strict = self.enhanced || lut.is_some();
        if let Some(unit) = units.into_iter().find(|&u| u != "HU" && (strict || u != "US")) {
            let unit = stated(unit);
            let text =
                format!("Its values are not Hounsfield units (Rescale Type {unit}), as in a derived map.");
            return Some(Problem::new("not-hounsfield", text));
        }
        self.frames.as_ref().err().cloned()
    }
}

/// Whether a file without a picture should have one: it says that it is a CT or how large its
/// picture is, or it ends before it could say what it is.
fn should_hold_image(set: &Set) -> bool {
    let ct = [
        uids::CT_IMAGE_STORAGE,
        uids::ENHANCED_CT_IMAGE_STORAGE,
        uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE,
    ];
    match text(set, tags::SOP_CLASS_UID) {
        Some(class) => ct.contains(&class.as_str()) || set.has(tags::ROWS),
        None => !set.has(tags::MODALITY) || set.has(tags::ROWS),
    }
}
