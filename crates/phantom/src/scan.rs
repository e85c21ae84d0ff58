//! Planes of the scene through the scanner into slices.

use crate::render::{Grid, RenderOptions};
use crate::rng::{Rng, step};
use crate::scanner::{Place, ScanLook, blur, rays};
use crate::slice::{Buckets, Raster, Scene, Scratch};
use pleura_volume::{Geometry, Volume};
use rayon::prelude::*;

/// What the scanner hands out.
pub(crate) struct Scan {
    pub hu: Volume<i16>,
    /// See [`crate::slice::Plane::labels`].
    pub labels: Vec<u8>,
    pub slice_mm: f64,
    pub noise_hu: f64,
}

/// Positions of all slices and what lies between them.
struct Stack {
    raster: Raster,
    slices: usize,
    z0: f32,
    dz: f32,
    /// Planes per slice, odd.
    planes: usize,
    /// Weights of the planes around a slice's middle, symmetrical, the middle first.
    profile: Vec<f32>,
    kernel: bool,
    gain: f32,
}

/// Scans the scene.
pub(crate) fn scan(scene: &Scene, seed: u64, options: &RenderOptions) -> Scan {
    let mut rng = Rng::new(seed, 4);
    let (fov, centre) = field_of_view(scene, &mut rng);
    let [low, high] = scene.body.z_range();
    let (low, high) = (low - rng.range(4.0, 26.0), high + rng.range(4.0, 22.0));
    let truncated = rng.chance(0.35);
    let (stack, slice_mm) = match options.grid {
        Grid::Scanner => {
            scanner_stack(options.slices.clamp(1, 1000), fov, centre, [low, high], truncated, &mut rng)
        }
        Grid::Detector { spacing_mm } => {
            detector_stack(spacing_mm.clamp(1.0, 5.0) as f32, fov, centre, [low, high], truncated, &mut rng)
        }
    };
    let look = ScanLook::draw(seed, stack.raster.dx, scene.body.half, scene.body.height * 0.98);
    let offset: [f64; 3] = [rng.range(-8.0, 8.0), rng.range(-190.0, 10.0), rng.range(-900.0, 300.0)]
        .map(|v| f64::from(v.round()));
    let (hu, labels) = slices(scene, &stack, &look, seed);
    let r = &stack.raster;
    let spacing = f64::from(r.dx);
    // short decimals in the files
    let origin = [f64::from(r.x0) + offset[0], f64::from(r.y0) + offset[1], f64::from(stack.z0) + offset[2]]
        .map(|v: f64| (v * 8.0).round() / 8.0);
    let geometry =
        Geometry::axis_aligned([r.nx, r.ny, stack.slices], origin, [spacing, spacing, hundredths(stack.dz)]);
    Scan {
        hu: Volume { geometry, data: hu },
        labels,
        slice_mm,
        noise_hu: f64::from(look.noise_hu * stack.gain),
    }
}

/// Rounded to a hundredth of a millimetre.
fn hundredths(v: f32) -> f64 {
    (f64::from(v) * 100.0).round() / 100.0
}

/// Edge of the field of view and its centre, mm: the lungs always fit, the body not always.
fn field_of_view(scene: &Scene, rng: &mut Rng) -> (f32, [f32; 2]) {
    let lungs = 2.0 * scene.body.half[0] + 24.0;
    let wide = 2.0 * (scene.body.half[0] + scene.body.fat) + 60.0;
    let fov = if rng.chance(0.65) { rng.range(wide, wide * 1.15) } else { rng.range(lungs * 1.05, wide) };
    (fov.clamp(lungs, 500.0), [rng.range(-6.0, 6.0), rng.range(-4.0, 16.0)])
}

fn scanner_stack(
    slices: usize,
    fov: f32,
    centre: [f32; 2],
    z: [f32; 2],
    truncated: bool,
    rng: &mut Rng,
) -> (Stack, f64) {
    let n = 512;
    // a hundredth of a millimetre, kept exact in the files
    let dx = ((fov / n as f32) * 512.0).round() / 512.0;
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
    let raster = raster(dx, n, centre, (0.45 * dx).max(0.36 * sub), truncated.then_some(fov));
    (
        Stack { raster, slices, z0: z[0] + dz / 2.0, dz, planes, profile, kernel: true, gain: 1.0 },
        hundredths(thickness),
    )
}

fn detector_stack(
    dx: f32,
    fov: f32,
    centre: [f32; 2],
    z: [f32; 2],
    truncated: bool,
    rng: &mut Rng,
) -> (Stack, f64) {
    let n = (fov / dx).ceil() as usize;
    let slices = ((z[1] - z[0]) / dx).ceil() as usize;
    let thickness = rng.log_range(1.0, 6.0);
    // the variance that the scan's own slices had, in voxels of this grid
    let w = (thickness * thickness / 12.0 / (2.0 * dx * dx)).min(0.3);
    let profile = vec![1.0 - 2.0 * w, w];
    // how much of the noise the resampling leaves
    let gain = rng.range(0.3, 0.75) * (0.7 / dx).sqrt().min(1.0) * 1.4;
    let raster = raster(dx, n, centre, 0.42 * dx, truncated.then_some(fov));
    (
        Stack { raster, slices, z0: z[0] + dx / 2.0, dz: dx, planes: 1, profile, kernel: false, gain },
        hundredths(thickness),
    )
}

fn raster(dx: f32, n: usize, centre: [f32; 2], blur: f32, circle: Option<f32>) -> Raster {
    let half = dx * (n - 1) as f32 / 2.0;
    let radius = circle.map_or(f32::MAX, |fov| (fov / 2.0).powi(2));
    Raster { x0: centre[0] - half, y0: centre[1] - half, dx, nx: n, ny: n, blur, view2: radius }
}

/// Renders slab by slab, so that the planes of one slab are in memory at a time.
fn slices(scene: &Scene, stack: &Stack, look: &ScanLook, seed: u64) -> (Vec<i16>, Vec<u8>) {
    const SLAB: usize = 16;
    let r = &stack.raster;
    let area = r.nx * r.ny;
    let sub = stack.dz / stack.planes as f32;
    let reach = stack.profile.len() - 1;
    let total = stack.slices * stack.planes + 2 * reach;
    let middle = stack.planes / 2 + reach;
    let first = stack.z0 - sub * middle as f32;
    let buckets = Buckets::sort(scene, first, sub, total, r.blur);
    let tiles = look.noise_tiles();
    let mut hu = vec![0i16; area * stack.slices];
    let mut labels = vec![0u8; area * stack.slices];
    for slab in (0..stack.slices).step_by(SLAB) {
        let count = SLAB.min(stack.slices - slab);
        let from = slab * stack.planes;
        let needed = from + stack.planes / 2..(slab + count - 1) * stack.planes + middle + reach + 1;
        let planes: Vec<_> = needed
            .clone()
            .into_par_iter()
            .map_init(Scratch::default, |s, i| {
                let own = i >= middle && (i - middle).is_multiple_of(stack.planes);
                scene.plane(r, &buckets, i, first + sub * i as f32, own, s)
            })
            .collect();
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
            let z = stack.z0 + stack.dz * slice as f32;
            develop(scene, stack, look, seed, &mut image, slice, z, &tiles);
            store(&image, r, look.padding, stack.kernel, out);
        });
    }
    (hu, labels)
}

/// Kernel, noise, streaks.
#[allow(clippy::too_many_arguments)]
fn develop(
    scene: &Scene,
    stack: &Stack,
    look: &ScanLook,
    seed: u64,
    image: &mut [f32],
    slice: usize,
    z: f32,
    tiles: &[Vec<f32>; 2],
) {
    let r = &stack.raster;
    let mut scratch = Vec::new();
    if stack.kernel {
        look.kernel(image, r.nx, &mut scratch);
    } else {
        // between a slight blur and a slight sharpening: what resampling leaves of the kernel
        let w = Rng::new(seed, 5).range(-0.05, 0.14);
        blur(image, r.nx, &[1.0 - 2.0 * w, w], &mut scratch);
    }
    let place = Place { x0: r.x0, y0: r.y0, z, nx: r.nx, ny: r.ny };
    look.noise(image, &place, slice, stack.gain, tiles);
    for &m in &scene.painted.metal {
        rays(image, &place, r.dx, m, seed);
    }
}

/// Rounds half to even, clips at -1024 and 3071, and writes the padding value outside the view.
fn store(image: &[f32], r: &Raster, padding: i16, pad: bool, out: &mut [i16]) {
    let centre = [r.x0 + r.dx * (r.nx - 1) as f32 / 2.0, r.y0 + r.dx * (r.ny - 1) as f32 / 2.0];
    for (i, (o, v)) in out.iter_mut().zip(image).enumerate() {
        let x = r.x0 + r.dx * (i % r.nx) as f32 - centre[0];
        let y = r.y0 + r.dx * (i / r.nx) as f32 - centre[1];
        *o = if x * x + y * y > r.view2 {
            if pad { padding } else { -1024 }
        } else {
            v.round_ties_even().clamp(-1024.0, 3071.0) as i16
        };
    }
}
