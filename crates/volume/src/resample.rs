//! Values of a volume at the voxel centres of another grid.
//!
//! A centre up to half a voxel beyond the outermost source centres still lies in a source voxel
//! and is clamped to it; farther out the result is the `outside` value.

use crate::{Geometry, Mask, Volume};
use rayon::prelude::*;

/// Places closer to each other than this, in source voxels, count as the same: what rounding
/// errors of the geometry may move.
const SAME: f64 = 1e-6;

/// Trilinear interpolation of HU at the voxel centres of `target`, rounded half to even.
/// `outside` where `target` reaches beyond the source voxels. The axes may differ.
pub fn resample_linear(source: &Volume<i16>, target: &Geometry, outside: i16) -> Volume<i16> {
    linear(source, target, outside)
}

/// As [`resample_linear`], of real values and without rounding.
pub fn resample_linear_f32(source: &Volume<f32>, target: &Geometry, outside: f32) -> Volume<f32> {
    linear(source, target, outside)
}

/// The label of the source voxel that holds each voxel centre of `target`, 0 outside.
/// The axes may differ.
pub fn resample_nearest(source: &Mask, target: &Geometry) -> Mask {
    let size = source.geometry.size;
    let nx = target.size[0];
    let mut out = Mask::filled(target.clone(), 0);
    if same_axes(&source.geometry, target) {
        let [xs, ys, zs] = axis_places(&source.geometry, target)
            .map(|axis| axis.centres().map(|c| nearest(c, axis.source_len)).collect::<Vec<_>>());
        out.data.par_chunks_mut(nx.max(1)).enumerate().for_each(|(row, out)| {
            let (y, z) = (ys[row % ys.len()], zs[row / ys.len()]);
            let (Some(y), Some(z)) = (y, z) else { return };
            let start = source.offset([0, y, z]);
            for (out, x) in out.iter_mut().zip(&xs) {
                *out = x.map_or(0, |x| source.data[start + x]);
            }
        });
    } else {
        let places = Affine::new(&source.geometry, target);
        out.data.par_chunks_mut(nx.max(1)).enumerate().for_each(|(row, out)| {
            let place = places.along(row);
            for (x, out) in out.iter_mut().enumerate() {
                let c = place(x);
                let v = (nearest(c[0], size[0]), nearest(c[1], size[1]), nearest(c[2], size[2]));
                if let (Some(x), Some(y), Some(z)) = v {
                    *out = source.at([x, y, z]);
                }
            }
        });
    }
    out
}

/// Area-weighted mean of HU over each voxel of `target`, rounded half to even: brings a volume to
/// a coarser grid of the same axes without aliasing.
///
/// Along an axis where `target` is not coarser this interpolates linearly. A voxel that reaches
/// beyond the source takes the mean of what lies inside, and `outside` when its centre lies
/// outside. When the axes differ, the volume is first averaged along its own axes to `target`'s
/// spacings, then interpolated.
pub fn resample_mean(source: &Volume<i16>, target: &Geometry, outside: i16) -> Volume<i16> {
    if !same_axes(&source.geometry, target) {
        let coarse = source.geometry.resampled(target.spacing_mm);
        return linear(&resample_mean(source, &coarse, outside), target, outside);
    }
    let taps = axis_places(&source.geometry, target)
        .map(|axis| axis.centres().map(|c| mean_taps(c, axis.step, axis.source_len)).collect());
    separable(source, target, &taps, outside)
}

fn linear<T: Value>(source: &Volume<T>, target: &Geometry, outside: T) -> Volume<T> {
    if same_axes(&source.geometry, target) {
        let taps = axis_places(&source.geometry, target)
            .map(|axis| axis.centres().map(|c| linear_taps(c, axis.source_len)).collect());
        return separable(source, target, &taps, outside);
    }
    let places = Affine::new(&source.geometry, target);
    let mut out = Volume::filled(target.clone(), outside);
    out.data.par_chunks_mut(target.size[0].max(1)).enumerate().for_each(|(row, out)| {
        let place = places.along(row);
        for (x, out) in out.iter_mut().enumerate() {
            if let Some(v) = trilinear(source, place(x)) {
                *out = T::from_f32(v);
            }
        }
    });
    out
}

/// A voxel value that can be averaged.
trait Value: Copy + Send + Sync {
    fn to_f32(self) -> f32;
    fn from_f32(v: f32) -> Self;
}

impl Value for f32 {
    fn to_f32(self) -> f32 {
        self
    }
    fn from_f32(v: f32) -> Self {
        v
    }
}

impl Value for i16 {
    fn to_f32(self) -> f32 {
        f32::from(self)
    }
    fn from_f32(v: f32) -> Self {
        // At 1.5 * 2^23 a step of f32 is 1, so adding it rounds half to even; unlike
        // `round_ties_even` this needs no call on older processors.
        const ONES: f32 = 12_582_912.0;
        ((v.clamp(-32768.0, 32767.0) + ONES) - ONES) as i16
    }
}

fn same_axes(a: &Geometry, b: &Geometry) -> bool {
    let (a, b) = (a.axes.as_flattened(), b.axes.as_flattened());
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-7)
}

/// Where the centres of a target axis lie on the source axis of the same direction, in voxels.
struct AxisPlaces {
    first: f64,
    step: f64,
    len: usize,
    source_len: usize,
}

impl AxisPlaces {
    fn centres(&self) -> impl Iterator<Item = f64> {
        (0..self.len).map(|i| self.first + self.step * i as f64)
    }
}

fn axis_places(source: &Geometry, target: &Geometry) -> [AxisPlaces; 3] {
    let first = source.to_index(target.origin_mm);
    std::array::from_fn(|a| AxisPlaces {
        first: first[a],
        step: target.spacing_mm[a] / source.spacing_mm[a],
        len: target.size[a],
        source_len: source.size[a],
    })
}

/// Maps target voxels to source indices.
struct Affine {
    first: [f64; 3],
    /// Source index step of one target voxel along x, y, z.
    steps: [[f64; 3]; 3],
    rows_per_slice: usize,
}

impl Affine {
    fn new(source: &Geometry, target: &Geometry) -> Self {
        let first = source.to_index(target.origin_mm);
        let steps = std::array::from_fn(|a| {
            let next = source.to_index(target.to_lps(std::array::from_fn(|i| f64::from(i == a))));
            std::array::from_fn(|c| next[c] - first[c])
        });
        Self { first, steps, rows_per_slice: target.size[1] }
    }

    /// The source index of voxel x of a row (row = z * ny + y).
    fn along(&self, row: usize) -> impl Fn(usize) -> [f64; 3] {
        let (y, z) = ((row % self.rows_per_slice) as f64, (row / self.rows_per_slice) as f64);
        let [step, step_y, step_z] = self.steps;
        let start: [f64; 3] = std::array::from_fn(|c| self.first[c] + y * step_y[c] + z * step_z[c]);
        move |x| std::array::from_fn(|c| start[c] + x as f64 * step[c])
    }
}

/// `c` clamped to the centres of an axis of `len` voxels, when it lies in one of them.
fn clamped(c: f64, len: usize) -> Option<f64> {
    let reach = len as f64 - 0.5 + SAME;
    (len > 0 && c >= -0.5 - SAME && c <= reach).then(|| c.clamp(0.0, len as f64 - 1.0))
}

/// The voxel whose centre is nearest to `c`; the later one half way.
fn nearest(c: f64, len: usize) -> Option<usize> {
    clamped(c, len).map(|c| (c + 0.5 + SAME) as usize)
}

/// The voxel at or before `c`, and how far `c` lies on the way to the next one (0 inclusive to 1).
fn between(c: f64, len: usize) -> Option<(usize, f32)> {
    let c = clamped(c, len)?;
    let first = (c + SAME) as usize;
    let part = c - first as f64;
    Some((first, if part < SAME { 0.0 } else { part as f32 }))
}

fn trilinear<T: Value>(source: &Volume<T>, c: [f64; 3]) -> Option<f32> {
    let [nx, ny, nz] = source.geometry.size;
    let ((x, u), (y, v), (z, w)) = (between(c[0], nx)?, between(c[1], ny)?, between(c[2], nz)?);
    let step = |stride: usize, part: f32| if part > 0.0 { stride } else { 0 };
    let (dx, dy, dz) = (step(1, u), step(nx, v), step(nx * ny, w));
    let at = |offset: usize| source.data[offset].to_f32();
    let mix = |a: f32, b: f32, part: f32| if part > 0.0 { a * (1.0 - part) + b * part } else { a };
    let along_x = |offset: usize| mix(at(offset), at(offset + dx), u);
    let along_y = |offset: usize| mix(along_x(offset), along_x(offset + dy), v);
    let start = source.offset([x, y, z]);
    Some(mix(along_y(start), along_y(start + dz), w))
}

/// The source voxels `first..` that make one target voxel along an axis, and their shares, which
/// add to 1. No share: the target voxel lies outside.
struct Taps {
    first: usize,
    shares: Vec<f32>,
}

fn linear_taps(c: f64, len: usize) -> Taps {
    match between(c, len) {
        None => Taps { first: 0, shares: Vec::new() },
        Some((first, 0.0)) => Taps { first, shares: vec![1.0] },
        Some((first, part)) => Taps { first, shares: vec![1.0 - part, part] },
    }
}

fn mean_taps(c: f64, width: f64, len: usize) -> Taps {
    if width < 1.0 + SAME || clamped(c, len).is_none() {
        return linear_taps(c, len);
    }
    // Measured from the first voxel's outer face: voxel i covers i to i + 1.
    let low = (c + 0.5 - width / 2.0).max(0.0);
    let high = (c + 0.5 + width / 2.0).min(len as f64);
    let first = (low + SAME) as usize;
    let end = ((high - SAME).ceil() as usize).clamp(first + 1, len);
    let overlap = |i: usize| high.min(i as f64 + 1.0) - low.max(i as f64);
    let total: f64 = (first..end).map(overlap).sum();
    Taps { first, shares: (first..end).map(|i| (overlap(i) / total) as f32).collect() }
}

/// Weighted sums along z and y into one source row, then along x.
fn separable<T: Value>(
    source: &Volume<T>,
    target: &Geometry,
    taps: &[Vec<Taps>; 3],
    outside: T,
) -> Volume<T> {
    let ([xs, ys, zs], nx) = (taps, source.geometry.size[0]);
    let mut out = Volume::filled(target.clone(), outside);
    let rows = out.data.par_chunks_mut(target.size[0].max(1)).enumerate();
    rows.for_each_init(
        || vec![0.0f32; nx],
        |sum, (row, out)| {
            let (y, z) = (&ys[row % ys.len()], &zs[row / ys.len()]);
            if y.shares.is_empty() || z.shares.is_empty() {
                return;
            }
            sum.fill(0.0);
            for (k, z_share) in z.shares.iter().enumerate() {
                for (j, y_share) in y.shares.iter().enumerate() {
                    let start = source.offset([0, y.first + j, z.first + k]);
                    let share = z_share * y_share;
                    let values = &source.data[start..start + nx];
                    sum.iter_mut().zip(values).for_each(|(sum, v)| *sum += share * v.to_f32());
                }
            }
            for (out, x) in out.iter_mut().zip(xs).filter(|(_, x)| !x.shares.is_empty()) {
                let values = &sum[x.first..x.first + x.shares.len()];
                *out = T::from_f32(x.shares.iter().zip(values).map(|(share, v)| share * v).sum());
            }
        },
    );
    out
}
