//! Exact Euclidean distances, one axis after the other.
//!
//! Squared distances along x come from two sweeps; along y and z each line is replaced by the
//! lower envelope of the parabolas rooted at its voxels (Felzenszwalb and Huttenlocher, Distance
//! Transforms of Sampled Functions, Theory of Computing 8, 2012).

use crate::rows::{along_y, along_z};
use crate::{Geometry, Mask, Volume};
use rayon::prelude::*;

/// Distance in mm from each nonzero voxel's centre to the centre of the nearest zero voxel of the
/// volume; 0 in zero voxels, infinity everywhere when there is no zero voxel.
///
/// Equals `scipy.ndimage.distance_transform_edt` with `sampling` = the spacing. What lies outside
/// the grid does not count.
pub fn distance_transform(mask: &Mask) -> Volume<f32> {
    distances(mask, true)
}

/// As [`distance_transform`], within each axial slice on its own (2D): infinity throughout a slice
/// without a zero voxel.
pub fn distance_transform_slices(mask: &Mask) -> Volume<f32> {
    distances(mask, false)
}

fn distances(mask: &Mask, across_slices: bool) -> Volume<f32> {
    let mut data = squared_distances(&mask.data, &mask.geometry, |v| v == 0, f32::INFINITY, across_slices);
    data.par_chunks_mut(1 << 16).for_each(|part| part.iter_mut().for_each(|d| *d = d.sqrt()));
    Volume { geometry: mask.geometry.clone(), data }
}

/// Squared distance in mm² of every voxel to the nearest voxel for which `is_site` holds, within
/// the volume or (`across_slices` false) within the voxel's own axial slice. Above `limit`
/// it is infinite, which spares work far from the sites.
pub(crate) fn squared_distances(
    data: &[u8],
    geometry: &Geometry,
    is_site: impl Fn(u8) -> bool + Sync,
    limit: f32,
    across_slices: bool,
) -> Vec<f32> {
    let (size, spacing) = (geometry.size, geometry.spacing_mm);
    let nx = size[0].max(1);
    let mut out = vec![0.0f32; data.len()];
    out.par_chunks_mut(nx).zip(data.par_chunks(nx)).for_each(|(out, row)| {
        sweep_row(row, out, spacing[0] as f32, limit, &is_site);
    });
    along_y(&mut out, size, |rows| envelope_columns(rows, spacing[1], limit));
    if across_slices && size[2] > 1 {
        along_z(&mut out, size, |rows| envelope_columns(rows, spacing[2], limit));
    }
    out
}

/// Squared distances to the sites of the same row, infinite above `limit`.
fn sweep_row(row: &[u8], out: &mut [f32], step_mm: f32, limit: f32, is_site: &impl Fn(u8) -> bool) {
    let mut steps = f32::INFINITY;
    for (out, &v) in out.iter_mut().zip(row) {
        steps = if is_site(v) { 0.0 } else { steps + 1.0 };
        *out = steps;
    }
    steps = f32::INFINITY;
    for out in out.iter_mut().rev() {
        steps = (steps + 1.0).min(*out);
        let mm = steps * step_mm;
        *out = if mm * mm > limit { f32::INFINITY } else { mm * mm };
    }
}

/// Columns handled together: their values share cache lines.
const BLOCK: usize = 16;

/// Lets the squared distances of each column (one value a row) spread along the column.
fn envelope_columns(rows: &mut [&mut [f32]], step_mm: f64, limit: f32) {
    let (n, width) = (rows.len(), rows.first().map_or(0, |row| row.len()));
    let mut block = vec![0.0f32; n * BLOCK];
    let mut sites = Vec::with_capacity(n);
    for x0 in (0..width).step_by(BLOCK) {
        let columns = BLOCK.min(width - x0);
        for (i, row) in rows.iter().enumerate() {
            for (k, &v) in row[x0..x0 + columns].iter().enumerate() {
                block[k * n + i] = v;
            }
        }
        for column in block.chunks_mut(n).take(columns) {
            envelope(column, step_mm * step_mm, limit, &mut sites);
        }
        for (i, row) in rows.iter_mut().enumerate() {
            for (k, v) in row[x0..x0 + columns].iter_mut().enumerate() {
                *v = block[k * n + i];
            }
        }
    }
}

/// A parabola of the lower envelope: lowest from `from` on, until the next one's `from`.
struct Site {
    at: f64,
    height: f64,
    from: f64,
}

/// Replaces `line[p]` by the least `line[q] + weight * (p - q)²` over all q, infinite above `limit`.
fn envelope(line: &mut [f32], weight: f64, limit: f32, sites: &mut Vec<Site>) {
    // No parabola from beyond a zero voxel can win on this side of it: stretches between zero
    // voxels are solved apart, and zero voxels themselves cost nothing.
    let mut start = 0;
    while start < line.len() {
        if line[start] == 0.0 {
            start += 1;
            continue;
        }
        let end = line[start..].iter().position(|&v| v == 0.0).map_or(line.len(), |k| start + k);
        let (low, high) = (start.saturating_sub(1), (end + 1).min(line.len()));
        lower_envelope(&line[low..high], low, weight, sites);
        if !sites.is_empty() {
            let mut k = 0;
            for (p, out) in line[start..end].iter_mut().enumerate() {
                let p = (start + p) as f64;
                while k + 1 < sites.len() && sites[k + 1].from <= p {
                    k += 1;
                }
                let d = p - sites[k].at;
                let squared = (sites[k].height + weight * d * d) as f32;
                *out = if squared > limit { f32::INFINITY } else { squared };
            }
        }
        start = end;
    }
}

/// The parabolas that are lowest somewhere, from left to right; `first` is the place of `heights[0]`.
fn lower_envelope(heights: &[f32], first: usize, weight: f64, sites: &mut Vec<Site>) {
    sites.clear();
    for (i, &height) in heights.iter().enumerate() {
        if height == f32::INFINITY {
            continue;
        }
        let (at, height) = ((first + i) as f64, f64::from(height));
        let mut from = f64::NEG_INFINITY;
        while let Some(last) = sites.last() {
            let middle = (at + last.at) / 2.0;
            let crossing = middle + (height - last.height) / (2.0 * weight * (at - last.at));
            if crossing > last.from {
                from = crossing;
                break;
            }
            sites.pop();
        }
        sites.push(Site { at, height, from });
    }
}
