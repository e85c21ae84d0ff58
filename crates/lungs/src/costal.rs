//! Opacities that touch the ribs: dents in the smooth outer outline of a lung.

use crate::coarse::Coarse;
use crate::{LEFT, RIGHT};
use pleura_volume::Mask;
use rayon::prelude::*;

/// Directions a side, from straight front over lateral to straight back.
const DIRECTIONS: usize = 90;
/// Those that look at ribs, not at breastbone, heart or spine.
const COSTAL: std::ops::Range<usize> = 24..80;
/// Widest dent that is closed, in directions to each side of its middle: about 18 mm at a radius
/// of 100 mm.
const REACH: usize = 5;
/// A dent is soft tissue; bone bounds it, HU.
const TISSUE_BELOW_HU: i16 = 130;
/// Lung must lie behind the dent, at this share of its radius at least.
const BEHIND: f32 = 0.6;

/// Closes narrow dents of each lung's outline along the ribs, slice by slice, seen from the
/// middle of the chest: the radius as a function of the direction is closed in one dimension.
pub(crate) fn close_dents(coarse: &Coarse, lungs: &mut Mask, blocked: &[&Mask], middle_x: f64) {
    let Some(found) = lungs.bounding_box(|v| v != 0) else { return };
    let [nx, ny, _] = lungs.size();
    let [dx, dy, _] = lungs.geometry.spacing_mm;
    let middle_y = (found.min[1] + found.max[1] - 1) as f64 / 2.0;
    let polar: Vec<(u8, usize, f32)> = (0..nx * ny)
        .map(|i| {
            let (x, y) = (((i % nx) as f64 - middle_x) * dx, ((i / nx) as f64 - middle_y) * dy);
            let angle = f64::atan2(x.abs(), -y) / std::f64::consts::PI;
            let direction = ((angle * DIRECTIONS as f64) as usize).min(DIRECTIONS - 1);
            (if x > 0.0 { LEFT } else { RIGHT }, direction, x.hypot(y) as f32)
        })
        .collect();
    lungs.data.par_chunks_mut((nx * ny).max(1)).enumerate().for_each(|(z, slice)| {
        let mut radius = [[0f32; DIRECTIONS]; 2];
        for (&v, &(side, k, r)) in slice.iter().zip(&polar) {
            if v == side {
                let own = &mut radius[usize::from(side == LEFT)][k];
                *own = own.max(r);
            }
        }
        let closed = radius.map(|r| closing(&r));
        for (i, (v, &(side, k, r))) in slice.iter_mut().zip(&polar).enumerate() {
            let s = usize::from(side == LEFT);
            let dent = *v == 0
                && COSTAL.contains(&k)
                && r > radius[s][k]
                && r <= closed[s][k]
                && radius[s][k] > BEHIND * closed[s][k];
            let at = z * nx * ny + i;
            if dent && coarse.hu.data[at] < TISSUE_BELOW_HU && blocked.iter().all(|b| b.data[at] == 0) {
                *v = side;
            }
        }
    });
}

/// The largest value within reach, then the smallest of those.
fn closing(radius: &[f32; DIRECTIONS]) -> [f32; DIRECTIONS] {
    let window = |k: usize| k.saturating_sub(REACH)..(k + REACH + 1).min(DIRECTIONS);
    let high: [f32; DIRECTIONS] =
        std::array::from_fn(|k| radius[window(k)].iter().copied().fold(0.0, f32::max));
    std::array::from_fn(|k| high[window(k)].iter().copied().fold(f32::INFINITY, f32::min))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_dent_closes_and_a_wide_one_does_not() {
        let mut narrow = [100.0; DIRECTIONS];
        narrow[40..46].fill(80.0);
        assert_eq!(closing(&narrow), [100.0; DIRECTIONS]);
        let mut wide = [100.0; DIRECTIONS];
        wide[30..50].fill(80.0);
        assert_eq!(closing(&wide), wide);
    }
}
