//! From the reduced grid back to the scan's own, with the edge where the HU put it.

use crate::coarse::Coarse;
use pleura_volume::{Mask, Volume};
use rayon::prelude::*;

/// How far the HU of a voxel may overrule the interpolated reduced mask (0 to 1), and the HU
/// difference to the threshold at which it fully does. With 0.4, a voxel farther than about one
/// block from the reduced edge keeps its class whatever its HU: vessels stay in, bowel stays out.
const SAY: f32 = 0.4;
const FULL_SAY_HU: f32 = 320.0;

/// A place on the reduced grid between two of its samples.
#[derive(Debug, Clone, Copy)]
struct Between {
    low: usize,
    high: usize,
    /// Weight of `high`.
    t: f32,
}

fn between(i: usize, factor: usize, n: usize) -> Between {
    let p = (i as f32 + 0.5) / factor as f32 - 0.5;
    let low = p.floor().max(0.0) as usize;
    let high = (low + 1).min(n - 1);
    let low = low.min(n - 1);
    Between { low, high, t: (p - low as f32).clamp(0.0, 1.0) }
}

/// The lungs on the scan's grid.
///
/// The reduced mask is interpolated linearly; near its edge, where that lies between 0 and 1, a
/// voxel is lung or not by its HU.
pub(crate) fn refine(volume: &Volume<i16>, coarse: &Coarse, lungs: &Mask, below_hu: i16) -> Mask {
    let [nx, ny, _] = volume.size();
    let [cx, cy, cz] = lungs.size();
    let mut out = Mask::filled(volume.geometry.clone(), 0);
    let across: Vec<Between> = (0..nx).map(|x| between(x, coarse.factor[0], cx)).collect();
    out.data.par_chunks_mut((nx * ny).max(1)).enumerate().for_each(|(z, slice)| {
        let through = between(z, coarse.factor[2], cz);
        let planes = [lungs.slice(through.low), lungs.slice(through.high)];
        let mut level = vec![0f32; cx];
        let mut near = vec![0u8; cx];
        for (y, row) in slice.chunks_mut(nx).enumerate() {
            let down = between(y, coarse.factor[1], cy);
            if !mix_rows(planes, cx, down, through.t, &mut level, &mut near) {
                continue;
            }
            let hu = &volume.slice(z)[y * nx..(y + 1) * nx];
            for ((out, &hu), b) in row.iter_mut().zip(hu).zip(&across) {
                let s = level[b.low] + (level[b.high] - level[b.low]) * b.t;
                if s <= 0.5 - SAY {
                    continue;
                }
                let say = f32::from(below_hu.saturating_sub(hu)) / FULL_SAY_HU * SAY;
                if s + say.clamp(-SAY, SAY) > 0.5 {
                    let closer = if b.t > 0.5 { b.high } else { b.low };
                    let other = b.low + b.high - closer;
                    *out = if near[closer] != 0 { near[closer] } else { near[other] };
                }
            }
        }
    });
    out
}

/// The reduced mask between four rows: its level and its label; false when all is 0.
fn mix_rows(
    planes: [&[u8]; 2],
    cx: usize,
    down: Between,
    up: f32,
    level: &mut [f32],
    near: &mut [u8],
) -> bool {
    let rows = planes.map(|p| [down.low, down.high].map(|y| &p[y * cx..(y + 1) * cx]));
    let mut any = 0;
    for x in 0..cx {
        let v = rows.map(|pair| pair.map(|r| r[x]));
        let one = v.map(|pair| {
            let [a, b] = pair.map(|l| f32::from(u8::from(l != 0)));
            a + (b - a) * down.t
        });
        level[x] = one[0] + (one[1] - one[0]) * up;
        // The nearest label first, then any of the four.
        let (z, y) = (usize::from(up > 0.5), usize::from(down.t > 0.5));
        let order = [v[z][y], v[z][1 - y], v[1 - z][y], v[1 - z][1 - y]];
        near[x] = order.into_iter().find(|&l| l != 0).unwrap_or(0);
        any |= near[x];
    }
    any != 0
}
