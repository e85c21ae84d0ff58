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
    // Voxels with the same two neighbours on the reduced grid.
    let spans: Vec<&[Between]> = across.chunk_by(|a, b| (a.low, a.high) == (b.low, b.high)).collect();
    let filled: Vec<bool> = lungs.data.par_chunks(cx).map(|row| row.iter().any(|&v| v != 0)).collect();
    out.data.par_chunks_mut((nx * ny).max(1)).enumerate().for_each(|(z, slice)| {
        let through = between(z, coarse.factor[2], cz);
        let planes = [through.low, through.high];
        let mut mixed = Mixed { level: vec![0.0; cx], near: vec![0; cx] };
        for (y, row) in slice.chunks_mut(nx).enumerate() {
            let down = between(y, coarse.factor[1], cy);
            let rows = planes.map(|z| [down.low, down.high].map(|y| z * cy + y));
            if !rows.iter().flatten().any(|&r| filled[r]) {
                continue;
            }
            mixed.mix(rows.map(|pair| pair.map(|r| &lungs.data[r * cx..(r + 1) * cx])), down.t, through.t);
            let hu = &volume.slice(z)[y * nx..(y + 1) * nx];
            let mut x = 0;
            for &span in &spans {
                let part = x..x + span.len();
                x = part.end;
                mixed.decide(span, &hu[part.clone()], below_hu, &mut row[part]);
            }
        }
    });
    out
}

/// The reduced mask between four of its rows.
struct Mixed {
    /// 0 to 1: how much of it is lung.
    level: Vec<f32>,
    /// The label nearest by.
    near: Vec<u8>,
}

impl Mixed {
    fn mix(&mut self, rows: [[&[u8]; 2]; 2], down: f32, up: f32) {
        // The nearest label first, then any of the four.
        let (z, y) = (usize::from(up > 0.5), usize::from(down > 0.5));
        let [a, b, c, d] = [rows[z][y], rows[z][1 - y], rows[1 - z][y], rows[1 - z][1 - y]];
        let first = |a: u8, b: u8| if a != 0 { a } else { b };
        let labels = a.iter().zip(b).zip(c.iter().zip(d));
        for (near, ((&a, &b), (&c, &d))) in self.near.iter_mut().zip(labels) {
            *near = first(first(a, b), first(c, d));
        }
        let on = |label: u8| f32::from(u8::from(label != 0));
        let [[a, b], [c, d]] = rows;
        let labels = a.iter().zip(b).zip(c.iter().zip(d));
        for (level, ((&a, &b), (&c, &d))) in self.level.iter_mut().zip(labels) {
            let low = on(a) + (on(b) - on(a)) * down;
            let high = on(c) + (on(d) - on(c)) * down;
            *level = low + (high - low) * up;
        }
    }

    /// Labels the voxels of a span.
    fn decide(&self, span: &[Between], hu: &[i16], below_hu: i16, out: &mut [u8]) {
        let Some(&Between { low, high, .. }) = span.first() else { return };
        let (from, to) = (self.level[low], self.level[high]);
        let near = [self.near[low], self.near[high]];
        // Away from the edge HU has no say.
        if from.max(to) <= 0.5 - SAY {
            return;
        }
        if from.min(to) > 0.5 + SAY && near[0] == near[1] {
            out.fill(near[0]);
            return;
        }
        for ((out, &hu), b) in out.iter_mut().zip(hu).zip(span) {
            let s = from + (to - from) * b.t;
            if s <= 0.5 - SAY {
                continue;
            }
            let say = f32::from(below_hu.saturating_sub(hu)) / FULL_SAY_HU * SAY;
            if s + say.clamp(-SAY, SAY) > 0.5 {
                let closer = usize::from(b.t > 0.5);
                *out = if near[closer] != 0 { near[closer] } else { near[1 - closer] };
            }
        }
    }
}
