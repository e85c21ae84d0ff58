//! The scanner: kernel, slice sensitivity, noise, streaks, field of view.

use crate::fft::transform_2d;
use crate::rng::{Rng, mix, step};
use rayon::prelude::*;

/// Edge of a noise tile, pixels.
const EDGE: usize = 512;

/// How a case was scanned.
#[derive(Debug, Clone)]
pub(crate) struct ScanLook {
    seed: u64,
    pixel_mm: f32,
    /// Deviation of the kernel, mm.
    soft_mm: f32,
    /// Edge overshoot and its reach, mm.
    sharp: f32,
    sharp_mm: f32,
    /// Noise in soft tissue in the middle of the chest, HU.
    pub noise_hu: f32,
    /// Share of a slice's noise that it has in common with each neighbour.
    through: f32,
    streaks: f32,
    /// HU written outside the field of view.
    pub padding: i16,
    /// Position of the shoulders, z mm, and the middle of the chest.
    shoulders: f32,
    half: [f32; 2],
}

/// Where a slice lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub x0: f32,
    pub y0: f32,
    pub z: f32,
    pub nx: usize,
}

impl ScanLook {
    /// Draws a scanner. `thin` is the ratio of slice spacing to a thick slice's 5 mm.
    pub fn draw(seed: u64, pixel_mm: f32, half: [f32; 2], shoulders: f32) -> Self {
        let mut r = Rng::new(seed, 3);
        let sharp_kernel = r.chance(0.5);
        let noise_hu = if sharp_kernel { r.log_range(12.0, 50.0) } else { r.log_range(5.0, 22.0) };
        Self {
            seed,
            pixel_mm,
            soft_mm: if sharp_kernel { r.range(0.25, 0.5) } else { r.range(0.45, 0.85) },
            sharp: if sharp_kernel { r.range(0.2, 1.1) } else { r.range(0.0, 0.15) },
            sharp_mm: r.range(0.8, 1.5),
            noise_hu,
            through: r.range(0.1, 0.45),
            streaks: r.log_range(0.15, 1.3),
            padding: if r.chance(0.2) { -2000 } else { -1024 },
            shoulders,
            half,
        }
    }

    /// Two independent tiles of noise with the spectrum of filtered back-projection: ramp times the
    /// kernel's transfer function (its power is ramp times transfer function squared, the ramp's own
    /// square root coming from the projections' count falling with frequency), unit deviation. The first
    /// row comes again at the end, so that a row of pixels may start anywhere.
    pub fn noise_tiles(&self) -> [Vec<f32>; 2] {
        let mut rng = Rng::new(self.seed, 40);
        let seeds: Vec<u64> = (0..EDGE).map(|_| rng.bits()).collect();
        let mut data = vec![(0.0f32, 0.0f32); EDGE * EDGE];
        let cycles: Vec<f32> = (0..EDGE)
            .map(|i| {
                (if i < EDGE / 2 { i as f32 } else { i as f32 - EDGE as f32 }) / (EDGE as f32 * self.pixel_mm)
            })
            .collect();
        let gauss = |f2: f32, sigma: f32| libm::expf(-2.0 * (std::f32::consts::PI * sigma).powi(2) * f2);
        data.par_chunks_mut(EDGE).enumerate().for_each(|(y, row)| {
            let mut rng = Rng::new(seeds[y], 0);
            for (x, v) in row.iter_mut().enumerate() {
                let f2 = cycles[x].powi(2) + cycles[y].powi(2);
                let f = f2.sqrt();
                let transfer =
                    gauss(f2, self.soft_mm) * (1.0 + self.sharp * (1.0 - gauss(f2, self.sharp_mm)));
                // back-projection leaves power proportional to |f|
                let amplitude = (f + 0.004).sqrt() * transfer;
                *v = (amplitude * (rng.unit() - 0.5), amplitude * (rng.unit() - 0.5));
            }
        });
        transform_2d(&mut data, EDGE);
        let unit = |v: Vec<f32>| {
            let power = v.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / v.len() as f64;
            let scale = (1.0 / power.sqrt().max(1e-20)) as f32;
            let start = &v[..EDGE];
            v.iter().chain(start).map(|x| x * scale).collect::<Vec<f32>>()
        };
        [unit(data.iter().map(|c| c.0).collect()), unit(data.iter().map(|c| c.1).collect())]
    }

    /// The kernel in-plane: a Gaussian, then overshoot.
    pub fn kernel(&self, image: &mut [f32], nx: usize, scratch: &mut Vec<f32>) {
        let soft = taps((self.soft_mm / self.pixel_mm).min(3.0));
        blur(image, nx, &soft, scratch);
        if self.sharp > 0.05 {
            let wide = taps((self.sharp_mm / self.pixel_mm).min(3.0));
            let before = image.to_vec();
            blur(image, nx, &wide, scratch);
            for (v, b) in image.iter_mut().zip(before) {
                *v = b + self.sharp * (b - *v);
            }
        }
    }

    /// Adds noise and streaks to slice `index`; `gain` scales the noise (averaging over coarse voxels).
    pub fn noise(&self, image: &mut [f32], at: &Place, index: usize, gain: f32, tiles: &[Vec<f32>; 2]) {
        let own = (1.0 - 2.0 * self.through * self.through).max(0.1).sqrt();
        let parts: Vec<(usize, usize, f32)> =
            [(index, self.through), (index + 1, own), (index + 2, self.through)]
                .into_iter()
                .map(|(k, w)| {
                    let h = mix(self.seed ^ mix(k as u64 + 77));
                    ((h >> 60) as usize & 1, (h & 0x3_FFFF) as usize, w)
                })
                .collect();
        let shoulder = step(self.shoulders - 70.0, self.shoulders, at.z);
        let low = step(10.0, -40.0, at.z);
        let level = self.noise_hu * gain * (1.0 + 0.8 * shoulder + 0.15 * low);
        let streak = self.streaks * self.noise_hu * gain * (shoulder + 0.12);
        let columns: Vec<Column> = (0..at.nx)
            .map(|ix| {
                let x = (at.x0 + self.pixel_mm * ix as f32) / (self.half[0] * 1.3);
                // photon starvation: noise drawn out sideways
                let u = (ix as f32 * 0.09) + (parts[1].1 & 511) as f32;
                let i = u as usize;
                Column { x2: x * x, near: [i & 511, (i + 1) & 511], f: u - i as f32 }
            })
            .collect();
        for (iy, row) in image.chunks_exact_mut(at.nx).enumerate() {
            let y = (at.y0 + self.pixel_mm * iy as f32) / (self.half[1] * 1.35);
            let part = |&(tile, shift, w): &(usize, usize, f32)| {
                (w, &tiles[tile][((iy << 9) + shift) & (EDGE * EDGE - 1)..][..at.nx])
            };
            let (own, before, after) = (part(&parts[1]), part(&parts[0]), part(&parts[2]));
            let line = &tiles[1 - parts[1].0][((iy << 9) + parts[1].1) & 0x3_FE00..][..EDGE];
            let noise = before.1.iter().zip(own.1).zip(after.1);
            for ((v, c), ((a, b), d)) in row.iter_mut().zip(&columns).zip(noise) {
                let r2 = (c.x2 + y * y).min(1.6);
                let n = 0.0 + before.0 * a + own.0 * b + after.0 * d;
                let s = line[c.near[0]] * (1.0 - c.f) + line[c.near[1]] * c.f;
                *v += level * (1.12 - 0.5 * r2) * n + streak * (1.2 - r2).max(0.1) * s;
            }
        }
    }
}

/// What the noise needs of a column of pixels: its squared distance from the chest's middle in units of
/// the chest's width, the two places of a streak it lies between and how far it is from the first.
struct Column {
    x2: f32,
    near: [usize; 2],
    f: f32,
}

/// Bright and dark rays from metal in a plane.
pub(crate) fn rays(image: &mut [f32], at: &Place, pixel_mm: f32, metal: [f32; 3], seed: u64) {
    let fade = 1.0 - ((at.z - metal[2]).abs() / 9.0).min(1.0);
    if fade <= 0.0 {
        return;
    }
    for (i, v) in image.iter_mut().enumerate() {
        let dx = at.x0 + pixel_mm * (i % at.nx) as f32 - metal[0];
        let dy = at.y0 + pixel_mm * (i / at.nx) as f32 - metal[1];
        let r = (dx * dx + dy * dy).sqrt();
        let angle = (libm::atan2f(dy, dx) + std::f32::consts::PI) * 14.0;
        let (k, f) = (angle as u64, angle - angle.floor());
        let value = |k: u64| (mix(seed ^ mix(k % 88)) >> 40) as f32 / 8_388_608.0 - 1.0;
        let ray = value(k) * (1.0 - f) + value(k + 1) * f;
        *v += fade * 320.0 * ray * ray * ray / (1.0 + r / 25.0);
    }
}

/// One side of a Gaussian's taps, the middle first.
pub(crate) fn taps(sigma: f32) -> Vec<f32> {
    let n = (2.6 * sigma).ceil().max(1.0) as usize;
    let mut w: Vec<f32> = (0..=n).map(|i| libm::expf(-0.5 * (i as f32 / sigma.max(0.05)).powi(2))).collect();
    let sum = w[0] + 2.0 * w[1..].iter().sum::<f32>();
    w.iter_mut().for_each(|v| *v /= sum);
    w
}

/// Separable blur with mirrored taps; edges repeat.
pub(crate) fn blur(image: &mut [f32], nx: usize, taps: &[f32], scratch: &mut Vec<f32>) {
    let ny = image.len() / nx;
    let reach = taps.len() - 1;
    scratch.clear();
    scratch.resize(image.len(), 0.0);
    for (out, row) in scratch.chunks_exact_mut(nx).zip(image.chunks_exact(nx)) {
        for (o, v) in out.iter_mut().zip(row) {
            *o = taps[0] * v;
        }
        for (k, &w) in taps.iter().enumerate().skip(1) {
            for x in 0..nx {
                if x >= k && x + k < nx {
                    break;
                }
                out[x] += w * (row[x.saturating_sub(k)] + row[(x + k).min(nx - 1)]);
            }
            if nx > 2 * k {
                for ((o, a), b) in out[k..nx - k].iter_mut().zip(&row[..nx - 2 * k]).zip(&row[2 * k..]) {
                    *o += w * (a + b);
                }
            }
            for x in (nx.saturating_sub(k)).max(k.min(nx))..nx {
                out[x] += w * (row[x.saturating_sub(k)] + row[(x + k).min(nx - 1)]);
            }
        }
    }
    for y in 0..ny {
        let out = &mut image[y * nx..(y + 1) * nx];
        for (o, v) in out.iter_mut().zip(&scratch[y * nx..(y + 1) * nx]) {
            *o = taps[0] * v;
        }
        for k in 1..=reach {
            let up = &scratch[y.saturating_sub(k) * nx..][..nx];
            let down = &scratch[(y + k).min(ny - 1) * nx..][..nx];
            for ((o, a), b) in out.iter_mut().zip(up).zip(down) {
                *o += taps[k] * (a + b);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blur_keeps_constants_and_spreads_a_point_by_its_taps() {
        let mut scratch = Vec::new();
        let w = taps(0.8);
        let mut flat = vec![3.0; 9 * 7];
        blur(&mut flat, 9, &w, &mut scratch);
        assert!(flat.iter().all(|v| (v - 3.0).abs() < 1e-5));
        let mut point = vec![0.0; 9 * 9];
        point[4 * 9 + 4] = 1.0;
        blur(&mut point, 9, &w, &mut scratch);
        assert!((point[4 * 9 + 4] - w[0] * w[0]).abs() < 1e-6);
        assert!((point[3 * 9 + 6] - w[1] * w[2]).abs() < 1e-6);
    }

    #[test]
    fn noise_has_unit_deviation_and_little_power_at_low_frequencies() {
        let look = ScanLook::draw(5, 0.7, [120.0, 85.0], 200.0);
        let [a, _] = look.noise_tiles();
        assert_eq!(a[EDGE * EDGE..], a[..EDGE]);
        let a = &a[..EDGE * EDGE];
        let var = a.iter().map(|v| v * v).sum::<f32>() / a.len() as f32;
        assert!((var - 1.0).abs() < 1e-3);
        // means over 16 x 16 blocks: white noise would leave 1/256 of the variance
        let mut blocks = 0.0;
        for by in 0..32 {
            for bx in 0..32 {
                let sum: f32 = (0..256).map(|i| a[(by * 16 + i / 16) * 512 + bx * 16 + i % 16]).sum();
                blocks += (sum / 256.0).powi(2) / 1024.0;
            }
        }
        assert!(blocks < 0.6 / 256.0 * 4.0, "{blocks}");
    }
}
