//! Planes of the scene through the scanner into slices.

use crate::body::Body;
use crate::render::{Grid, RenderOptions};
use crate::rng::{Rng, step};
use crate::scanner::{Place, ScanLook, blur, rays};
use crate::slice::{Buckets, Plane, Raster, Scene, Scratch};
use pleura_volume::{Geometry, Volume};
use rayon::prelude::*;

/// What the scanner hands out.
pub(crate) struct Scan {
    pub hu: Volume<i16>,
    /// See [`crate::slice::Plane::labels`].
    pub labels: Vec<u8>,
    pub slice_mm: f64,
    pub noise_hu: f64,
    /// From the scene's coordinates to the file's, mm.
    pub offset: [f64; 3],
}

/// Positions of all slices and what lies between them.
struct Stack {
    raster: Raster,
    slices: usize,
    z0: f32,
    dz: f32,
    /// Of a slice, mm: overlapping slices are thicker than their distance.
    thickness: f32,
    /// Planes per slice, odd.
    planes: usize,
    /// Weights of the planes around a slice's middle, symmetrical, the middle first.
    profile: Vec<f32>,
    kernel: bool,
    gain: f32,
    /// Thick slices that were resampled onto this stack.
    thick: Option<Thick>,
}

/// Slices that a scanner made before they were resampled: their thickness and distance and where the
/// first lies before the stack's, in slices of the stack.
#[derive(Debug, Clone, Copy)]
struct Thick {
    thickness: f32,
    distance: f32,
    first: f32,
}

impl Thick {
    /// Averages the stack over each thick slice, then interpolates between the two around each slice of
    /// the stack: the stair steps that resampled thick slices have.
    fn resample(&self, hu: &mut [i16], area: usize) {
        let slices = hu.len() / area;
        let count = ((slices as f32 + self.first) / self.distance).ceil() as usize + 2;
        let thick: Vec<Vec<f32>> = (0..count)
            .into_par_iter()
            .map(|k| {
                let middle = k as f32 * self.distance - self.first;
                let mut sum = vec![0.0f32; area];
                let mut total = 0.0;
                let [low, high] = [-0.5, 0.5].map(|s| middle + s * self.thickness);
                for i in (low - 0.5).floor() as i32..=(high + 0.5).ceil() as i32 {
                    let weight = (high.min(i as f32 + 0.5) - low.max(i as f32 - 0.5)).max(0.0);
                    if weight > 0.0 {
                        total += weight;
                        let i = i.clamp(0, slices as i32 - 1) as usize;
                        for (s, &v) in sum.iter_mut().zip(&hu[i * area..(i + 1) * area]) {
                            *s += weight * f32::from(v);
                        }
                    }
                }
                sum.iter_mut().for_each(|s| *s /= total);
                sum
            })
            .collect();
        hu.par_chunks_mut(area).enumerate().for_each(|(i, out)| {
            let u = (i as f32 + self.first) / self.distance;
            let k = u as usize;
            let f = u - k as f32;
            for ((o, a), b) in out.iter_mut().zip(&thick[k]).zip(&thick[k + 1]) {
                *o = rounded(a + (b - a) * f);
            }
        });
    }
}

/// How and where a body is scanned.
pub(crate) struct Protocol {
    stack: Stack,
    look: ScanLook,
    /// From the scene's coordinates to the files', mm.
    offset: [f64; 3],
    seed: u64,
}

impl Protocol {
    /// Draws the scan of a body.
    pub fn draw(body: &Body, seed: u64, options: &RenderOptions) -> Self {
        let mut rng = Rng::new(seed, 4);
        let room = Room::draw(body, &mut rng);
        let stack = match options.grid {
            Grid::Scanner => scanner_stack(&room, options.slices.clamp(1, 1000), &mut rng),
            Grid::Detector { spacing_mm } => {
                detector_stack(&room, spacing_mm.clamp(1.0, 5.0) as f32, &mut rng)
            }
        };
        let look = ScanLook::draw(seed, stack.raster.dx, body.half, body.height * 0.98);
        let offset = [rng.range(-8.0, 8.0), rng.range(-190.0, 10.0), rng.range(-900.0, 300.0)]
            .map(|v| f64::from(v.round()));
        Self { stack, look, offset, seed }
    }

    /// The lowest and highest x and y of the pixels' centres, mm.
    pub fn extent(&self) -> [[f32; 2]; 2] {
        let r = &self.stack.raster;
        [(r.x0, r.nx), (r.y0, r.ny)].map(|(start, n)| [start, start + r.dx * (n - 1) as f32])
    }

    /// Scans the scene.
    pub fn scan(&self, scene: &Scene) -> Scan {
        let stack = &self.stack;
        let (hu, labels) = self.slices(scene);
        let r = &stack.raster;
        let spacing = f64::from(r.dx);
        let start = [r.x0, r.y0, stack.z0].map(f64::from);
        // short decimals in the files
        let origin = std::array::from_fn(|a| ((start[a] + self.offset[a]) * 8.0).round() / 8.0);
        let spacing = [spacing, spacing, hundredths(stack.dz)];
        let geometry = Geometry::axis_aligned([r.nx, r.ny, stack.slices], origin, spacing);
        Scan {
            hu: Volume { geometry, data: hu },
            labels,
            slice_mm: hundredths(stack.thickness),
            noise_hu: f64::from(self.look.noise_hu * stack.gain),
            offset: self.offset,
        }
    }

    /// Renders slab by slab, so that the planes of one slab are in memory at a time.
    fn slices(&self, scene: &Scene) -> (Vec<i16>, Vec<u8>) {
        const SLAB: usize = 16;
        let stack = &self.stack;
        let r = &stack.raster;
        let area = r.nx * r.ny;
        let sub = stack.dz / stack.planes as f32;
        let reach = stack.profile.len() - 1;
        let total = stack.slices * stack.planes + 2 * reach;
        let middle = stack.planes / 2 + reach;
        let first = stack.z0 - sub * middle as f32;
        let buckets = Buckets::sort(scene, first, sub, total, r.blur);
        let tiles = self.look.noise_tiles();
        let mut hu = vec![0i16; area * stack.slices];
        let mut labels = vec![0u8; area * stack.slices];
        let mut planes: Vec<Plane> = Vec::new();
        for slab in (0..stack.slices).step_by(SLAB) {
            let count = SLAB.min(stack.slices - slab);
            let from = slab * stack.planes;
            let needed = from + stack.planes / 2..(slab + count - 1) * stack.planes + middle + reach + 1;
            // the last planes of the slab before lie in this one's first slices too
            let kept = if slab == 0 { 0 } else { (2 * reach + 1).saturating_sub(stack.planes) };
            planes.drain(..planes.len() - kept);
            planes.par_extend((needed.start + kept..needed.end).into_par_iter().map_init(
                Scratch::default,
                |s, i| {
                    let own = i >= middle && (i - middle).is_multiple_of(stack.planes);
                    scene.plane(r, &buckets, i, first + sub * i as f32, own, s)
                },
            ));
            let out = hu[slab * area..(slab + count) * area].par_chunks_mut(area);
            let lab = labels[slab * area..(slab + count) * area].par_chunks_mut(area);
            out.zip(lab).enumerate().for_each(|(k, (out, lab))| {
                let slice = slab + k;
                let i = slice * stack.planes + middle - needed.start;
                lab.copy_from_slice(&planes[i].labels);
                let mut image: Vec<f32> = planes[i].hu.iter().map(|v| v * stack.profile[0]).collect();
                for (o, &w) in stack.profile.iter().enumerate().skip(1) {
                    for side in [i - o, i + o] {
                        for (v, p) in image.iter_mut().zip(&planes[side].hu) {
                            *v += w * p;
                        }
                    }
                }
                self.develop(scene, &mut image, slice, &tiles);
                let padding = if stack.kernel { self.look.padding } else { -1024 };
                store(&image, r, padding, out);
            });
        }
        if let Some(thick) = &stack.thick {
            thick.resample(&mut hu, area);
        }
        (hu, labels)
    }

    /// Kernel, noise, streaks.
    fn develop(&self, scene: &Scene, image: &mut [f32], slice: usize, tiles: &[Vec<f32>; 2]) {
        let (stack, look) = (&self.stack, &self.look);
        let r = &stack.raster;
        let mut scratch = Vec::new();
        if stack.kernel {
            look.kernel(image, r.nx, &mut scratch);
        } else {
            // between a slight blur and a slight sharpening: what resampling leaves of the kernel
            let w = Rng::new(self.seed, 5).range(-0.08, 0.14);
            blur(image, r.nx, &[1.0 - 2.0 * w, w], &mut scratch);
        }
        let z = stack.z0 + stack.dz * slice as f32;
        let place = Place { x0: r.x0, y0: r.y0, z, nx: r.nx };
        look.noise(image, &place, slice, stack.gain, tiles);
        for &m in &scene.painted.metal {
            rays(image, &place, r.dx, m, self.seed);
        }
    }
}

/// Rounded to a hundredth of a millimetre.
fn hundredths(v: f32) -> f64 {
    (f64::from(v) * 100.0).round() / 100.0
}

/// What of the scene is scanned, mm.
struct Room {
    /// Edge of the field of view and its centre: the lungs always fit, the body not always.
    fov: f32,
    centre: [f32; 2],
    z: [f32; 2],
    /// Whether nothing is seen outside the circle in the field of view.
    round: bool,
}

impl Room {
    fn draw(body: &Body, rng: &mut Rng) -> Self {
        let lungs = 2.0 * body.half[0] + 24.0;
        let wide = 2.0 * (body.half[0] + body.fat) + 60.0;
        let fov = if rng.chance(0.65) { rng.range(wide, wide * 1.15) } else { rng.range(lungs * 1.05, wide) };
        let fov = fov.clamp(lungs, 500.0);
        let centre = [rng.range(-6.0, 6.0), rng.range(-4.0, 16.0)];
        let [low, high] = body.z_range();
        let z = [low - rng.range(4.0, 26.0), high + rng.range(4.0, 22.0)];
        Self { fov, centre, z, round: rng.chance(0.35) }
    }

    /// `n` by `n` pixels of edge `dx` mm.
    fn raster(&self, dx: f32, n: usize, blur: f32) -> Raster {
        let half = dx * (n - 1) as f32 / 2.0;
        let view2 = if self.round { (self.fov / 2.0).powi(2) } else { f32::MAX };
        Raster { x0: self.centre[0] - half, y0: self.centre[1] - half, dx, nx: n, ny: n, blur, view2 }
    }
}

fn scanner_stack(room: &Room, slices: usize, rng: &mut Rng) -> Stack {
    let (n, z) = (512, room.z);
    // a hundredth of a millimetre, kept exact in the files
    let dx = ((room.fov / n as f32) * 512.0).round() / 512.0;
    let dz = (((z[1] - z[0]) / slices as f32) * 20.0).ceil().max(1.0) / 20.0;
    let planes = if dz <= 1.7 {
        1
    } else if dz <= 6.5 {
        3
    } else {
        5
    };
    // overlapping slices are thicker than their distance
    let thickness = dz * if rng.chance(0.4) { rng.range(1.1, 1.8) } else { 1.0 };
    let sub = dz / planes as f32;
    let reach = (0.6 * thickness / sub).floor() as usize;
    let mut profile: Vec<f32> =
        (0..=reach).map(|k| step(0.6 * thickness, 0.4 * thickness, sub * k as f32)).collect();
    let sum = profile[0] + 2.0 * profile[1..].iter().sum::<f32>();
    profile.iter_mut().for_each(|w| *w /= sum);
    let raster = room.raster(dx, n, (0.45 * dx).max(0.36 * sub));
    Stack {
        raster,
        slices,
        z0: z[0] + dz / 2.0,
        dz,
        thickness,
        planes,
        profile,
        kernel: true,
        gain: 1.0,
        thick: None,
    }
}

fn detector_stack(room: &Room, dx: f32, rng: &mut Rng) -> Stack {
    let (n, z) = ((room.fov / dx).ceil() as usize, room.z);
    let slices = ((z[1] - z[0]) / dx).ceil() as usize;
    let thickness = rng.log_range(1.0, 6.5);
    let (distance, first) = (thickness / dx * rng.range(0.6, 1.0), rng.unit());
    let thick = (thickness > 1.4 * dx).then_some(Thick {
        thickness: thickness / dx,
        distance,
        first: first * distance,
    });
    // the variance that the scan's own slices had, in voxels of this grid
    let w = if thick.is_some() { 0.0 } else { (thickness * thickness / 12.0 / (2.0 * dx * dx)).min(0.3) };
    let profile = vec![1.0 - 2.0 * w, w];
    // how much of the noise the resampling leaves; averaging over thick slices comes on top
    let averaged = if thick.is_some() { 0.85 * (thickness / dx).sqrt() } else { 1.0 };
    let gain = rng.range(0.55, 1.4) * (0.7 / dx).sqrt().min(1.0) * 1.4 * averaged;
    let raster = room.raster(dx, n, 0.42 * dx);
    let z0 = z[0] + dx / 2.0;
    Stack { raster, slices, z0, dz: dx, thickness, planes: 1, profile, kernel: false, gain, thick }
}

/// Rounds half to even, clips at -1024 and 3071, and writes the padding value outside the view.
fn store(image: &[f32], r: &Raster, padding: i16, out: &mut [i16]) {
    for (iy, (out, image)) in out.chunks_exact_mut(r.nx).zip(image.chunks_exact(r.nx)).enumerate() {
        let y = r.y0 + r.dx * iy as f32;
        for (ix, (o, v)) in out.iter_mut().zip(image).enumerate() {
            *o =
                if r.hides(r.x0 + r.dx * ix as f32, y) { padding } else { rounded(v.clamp(-1024.0, 3071.0)) };
        }
    }
}

/// Rounds half to even; for values within a few thousand.
fn rounded(v: f32) -> i16 {
    // beyond 2^23 floats are whole numbers, so that adding rounds as the standard does; without a
    // call into the mathematics library, which the oldest processors need for rounding
    const WHOLE: f32 = 12_582_912.0; // 1.5 * 2^23
    (v + WHOLE - WHOLE) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: slices 2 stack slices thick and apart, the first half a slice before the stack's first.
    #[test]
    fn thick_slices_average_and_interpolate() {
        let mut hu = vec![0, 10, 20, 30, 40, 50];
        let thick = Thick { thickness: 2.0, distance: 2.0, first: -0.5 };
        thick.resample(&mut hu, 1);
        // means 5, 25, 45 and, past the end, 50 at 0.5, 2.5, 4.5, 6.5; the first is extrapolated to 0
        assert_eq!(hu, [0, 10, 20, 30, 40, 46]);
    }

    #[test]
    fn rounding_is_half_to_even() {
        for (v, want) in [(0.5, 0), (1.5, 2), (-0.5, 0), (-2.5, -2), (-1023.6, -1024), (3070.5, 3070)] {
            assert_eq!(rounded(v), want, "{v}");
        }
        for i in -4_100_000..12_300_000 {
            let v = i as f32 / 4000.0;
            assert_eq!(rounded(v), v.round_ties_even() as i16, "{v}");
        }
    }
}
