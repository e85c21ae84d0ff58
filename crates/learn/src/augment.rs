//! What is changed on the fly, so that the network does not learn one scanner by heart.

use crate::rng::Rng;
use serde::{Deserialize, Serialize};

/// Strength of the augmentation; 0 switches a part off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// HU values are shifted by up to this, either way.
    pub shift_hu: f64,
    /// HU differences are scaled by up to this share, either way.
    pub gain: f64,
    /// Noise is added with a standard deviation of up to this, HU.
    pub noise_hu: f64,
    /// Share of the blurred image mixed in, up to this.
    pub blur: f64,
    /// Share of the difference to the blurred image added, up to this.
    pub sharpen: f64,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self { shift_hu: 15.0, gain: 0.03, noise_hu: 15.0, blur: 0.7, sharpen: 0.4 }
    }
}

impl AugmentConfig {
    /// Changes an image of `size` (x, y, z) in place.
    pub(crate) fn apply(&self, hu: &mut [f32], size: [usize; 3], rng: &mut Rng) {
        let shift = rng.between(-self.shift_hu, self.shift_hu) as f32;
        let gain = 1.0 + rng.between(-self.gain, self.gain) as f32;
        let mix = rng.between(-self.sharpen, self.blur) as f32;
        let noise = rng.between(0.0, self.noise_hu) as f32;
        let softened = rng.chance(0.5);
        // Scaled about air, which every scanner calls -1000.
        hu.iter_mut().for_each(|v| *v = (*v + 1000.0) * gain - 1000.0 + shift);
        if mix != 0.0 {
            let soft = smoothed(hu, size);
            hu.iter_mut().zip(soft).for_each(|(v, s)| *v += mix * (s - *v));
        }
        if noise > 0.0 {
            let mut grain: Vec<f32> = (0..hu.len()).map(|_| gaussian(rng)).collect();
            if softened {
                // Smoothing 1-2-1 along x and y leaves (3/8)^(2/2) of the deviation.
                grain = smoothed(&grain, [size[0], size[1], 1]).into_iter().map(|g| g / 0.375).collect();
            }
            hu.iter_mut().zip(grain).for_each(|(v, g)| *v += noise * g);
        }
    }
}

/// About normal: the sum of four uniform numbers from one draw, of deviation 1.
fn gaussian(rng: &mut Rng) -> f32 {
    let bits = rng.bits();
    let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xffff).sum();
    (sum as f32 / 65536.0 - 2.0) * 3f32.sqrt()
}

/// Smoothed by 1-2-1 along each axis longer than 1; edges repeat. A depth of 1 means that every
/// slice is smoothed for itself.
fn smoothed(values: &[f32], size: [usize; 3]) -> Vec<f32> {
    let [nx, ny, nz] = size;
    let mut v = values.to_vec();
    for (n, step) in [(nx, 1), (ny, nx), (nz, nx * ny)] {
        if n < 2 {
            continue;
        }
        let old = v.clone();
        let last = old.len() - 1;
        for (i, v) in v.iter_mut().enumerate() {
            let at = i / step % n;
            let before = old[if at == 0 { i } else { i - step }];
            let after = old[if at + 1 == n { i } else { (i + step).min(last) }];
            *v = 0.25 * before + 0.5 * old[i] + 0.25 * after;
        }
    }
    v
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_a_point_spreads_it_by_one_two_one() {
        let mut v = vec![0.0; 27];
        v[13] = 64.0;
        let s = smoothed(&v, [3, 3, 3]);
        assert_eq!((s[13], s[12], s[0]), (8.0, 4.0, 1.0));
    }

    #[test]
    fn noise_has_the_deviation_asked_for() {
        let mut rng = Rng::at(3, &[]);
        let g: Vec<f32> = (0..40_000).map(|_| gaussian(&mut rng)).collect();
        let deviation = |g: &[f32]| (g.iter().map(|v| v * v).sum::<f32>() / g.len() as f32).sqrt();
        assert!((deviation(&g) - 1.0).abs() < 0.02);
        let soft: Vec<f32> = smoothed(&g, [200, 200, 1]).into_iter().map(|v| v / 0.375).collect();
        assert!((deviation(&soft) - 1.0).abs() < 0.03);
    }

    #[test]
    fn the_same_place_changes_the_same_way() {
        let image: Vec<f32> = (0..125).map(|i| i as f32).collect();
        let run = |place: u64| {
            let mut v = image.clone();
            AugmentConfig::default().apply(&mut v, [5, 5, 5], &mut Rng::at(1, &[place]));
            v
        };
        assert_eq!(run(4), run(4));
        assert_ne!(run(4), run(5));
    }
}
