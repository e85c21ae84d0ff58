//! From HU to the input channel: the one place where intensities are scaled.

use crate::{InputRecipe, NetsError, Result};
use pleura_volume::{Mask, Structuring, Volume, dilate};
use rayon::prelude::*;

impl InputRecipe {
    /// One value: clipped to the window, scaled so that its ends are 0 and 1.
    pub fn scale(&self, hu: f32) -> f32 {
        let width = (self.high_hu - self.low_hu).max(f32::MIN_POSITIVE);
        ((hu - self.low_hu) / width).clamp(0.0, 1.0)
    }

    /// The input channel `[z, y, x]` of a scan or patch in HU.
    ///
    /// With a mask (same grid, lungs not 0) and an `outside_hu`, voxels farther than `mask_margin`
    /// voxels (along each axis) from the lungs are set to `outside_hu` first.
    ///
    /// # Errors
    /// [`NetsError::Input`] when the mask has another size.
    pub fn apply(&self, hu: &Volume<i16>, mask: Option<&Mask>) -> Result<Vec<f32>> {
        let (Some(outside), Some(mask)) = (self.outside_hu, mask) else {
            return Ok(hu.data.par_iter().map(|&v| self.scale(f32::from(v))).collect());
        };
        if mask.size() != hu.size() {
            let what = format!("mask of {:?} voxels on a scan of {:?}", mask.size(), hu.size());
            return Err(NetsError::Input(what));
        }
        let voxels = [2 * self.mask_margin + 1; 3];
        let inside = dilate(mask, Structuring::Box { voxels });
        let outside = self.scale(outside);
        let one = |(&v, &m): (&i16, &u8)| if m != 0 { self.scale(f32::from(v)) } else { outside };
        Ok(hu.data.par_iter().zip(&inside.data).map(one).collect())
    }
}
