//! Finding the lungs in a chest CT.

use pleura_volume::{Mask, Volume};
use serde::{Deserialize, Serialize};

/// Label of the patient's right lung in [`Lungs::mask`].
pub const RIGHT: u8 = 1;
/// Label of the patient's left lung in [`Lungs::mask`].
pub const LEFT: u8 = 2;

/// How far the lung mask can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LungStatus {
    /// Two whole lungs of plausible shape.
    Ok,
    /// Some lung was found, but not two whole ones; [`Lungs::reasons`] says what is wrong.
    Partial,
    /// Nothing that can be called lung.
    NotFound,
}

/// The lungs of one scan.
#[derive(Debug, Clone)]
pub struct Lungs {
    /// [`RIGHT`], [`LEFT`] or 0 a voxel, on the grid of the volume.
    pub mask: Mask,
    /// How far to trust the mask.
    pub status: LungStatus,
    /// Plain sentences that say why the status is not `Ok`; empty when it is.
    pub reasons: Vec<String>,
}
