//! Noise blocks that tile space, computed once per process and looked up everywhere.

use crate::rng::{Rng, mix};
use rayon::prelude::*;
use std::sync::OnceLock;

/// A cube of values repeated through space.
pub(crate) struct Tile {
    bits: u32,
    data: Vec<f32>,
}

impl Tile {
    /// Value at a point in lattice units, trilinear, periodic.
    #[inline]
    pub fn at(&self, p: [f32; 3]) -> f32 {
        let mask = (1usize << self.bits) - 1;
        // a cast and a correction: much faster than calling floor
        let floor = p.map(|v| v as i32 - i32::from(v < 0.0));
        let f: [f32; 3] = std::array::from_fn(|a| p[a] - floor[a] as f32);
        let i0 = floor.map(|v| v as usize & mask);
        let i1 = i0.map(|v| (v + 1) & mask);
        let row = |z: usize, y: usize| {
            let base = (z << (2 * self.bits)) | (y << self.bits);
            let (a, b) = (self.data[base | i0[0]], self.data[base | i1[0]]);
            a + (b - a) * f[0]
        };
        let plane = |z: usize| {
            let (a, b) = (row(z, i0[1]), row(z, i1[1]));
            a + (b - a) * f[1]
        };
        let (a, b) = (plane(i0[2]), plane(i1[2]));
        a + (b - a) * f[2]
    }

    /// The block blurred by about a lattice step and scaled to unit deviation.
    fn softened(&self) -> Self {
        let mut out = Self { bits: self.bits, data: self.data.clone() };
        let n = 1usize << self.bits;
        for pass in 0..6 {
            let stride = 1usize << (self.bits * (pass % 3));
            let from = out.data.clone();
            out.data.par_iter_mut().enumerate().for_each(|(i, v)| {
                let k = i / stride % n;
                let base = i - k * stride;
                let (up, down) = (base + (k + 1) % n * stride, base + (k + n - 1) % n * stride);
                *v = 0.5 * from[i] + 0.25 * (from[up] + from[down]);
            });
        }
        out.normalised()
    }

    fn from_fn(bits: u32, f: impl Fn([usize; 3]) -> f32 + Sync) -> Self {
        let n = 1usize << bits;
        let mut data = vec![0.0; n * n * n];
        data.par_chunks_mut(n).enumerate().for_each(|(row, values)| {
            for (x, v) in values.iter_mut().enumerate() {
                *v = f([x, row & (n - 1), row >> bits]);
            }
        });
        Self { bits, data }
    }

    fn normalised(mut self) -> Self {
        let n = self.data.len() as f64;
        let mean = self.data.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let var = self.data.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        let scale = 1.0 / var.sqrt();
        self.data.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) * scale) as f32);
        self
    }
}

/// The blocks.
pub(crate) struct Tiles {
    /// Independent normal values, one a lattice point: interpolated, smooth noise of about unit deviation.
    pub white: Tile,
    /// The same blurred: without the lattice's corners, so that what bends by it has none either.
    soft: Tile,
    /// Sum of octaves with a spectrum falling as 1/f; unit deviation, 128 lattice steps.
    pub fractal: Tile,
    /// Value 0 to 1 of the Voronoi cell at a point; cells about 8 lattice steps wide.
    pub cell: Tile,
    /// Distance in lattice steps to the cell's wall.
    pub wall: Tile,
}

/// Lattice steps across a mean Voronoi cell.
pub(crate) const CELL_STEPS: f32 = 8.0;

fn hash_unit(i: [usize; 3], salt: u64) -> f32 {
    let key = (i[0] as u64) | (i[1] as u64) << 20 | (i[2] as u64) << 40;
    (mix(mix(key ^ salt).wrapping_add(0x1234_5678_9ABC_DEF1)) >> 40) as f32 / 16_777_216.0
}

fn voronoi(p: [usize; 3]) -> (f32, f32) {
    const CELLS: usize = 8; // 64 steps / 8
    let c = p.map(|v| v / 8);
    let (mut best, mut second, mut id) = (f32::MAX, f32::MAX, 0.0);
    for k in 0..27usize {
        let d = [k % 3, k / 3 % 3, k / 9];
        let cell: [usize; 3] = std::array::from_fn(|a| (c[a] + d[a] + CELLS - 1) % CELLS);
        let mut r2 = 0.0;
        for a in 0..3 {
            let site = (c[a] as f32 + d[a] as f32 - 1.0 + hash_unit(cell, 11 + a as u64)) * CELL_STEPS;
            r2 += (p[a] as f32 - site).powi(2);
        }
        if r2 < best {
            (second, best, id) = (best, r2, hash_unit(cell, 99));
        } else if r2 < second {
            second = r2;
        }
    }
    (id, (second.sqrt() - best.sqrt()) / 2.0)
}

impl Tiles {
    /// Smooth noise of unit deviation that changes over about one step, for things that bend.
    pub fn soft(&self, p: [f32; 3]) -> f32 {
        self.soft.at(p.map(|v| v * 2.0))
    }

    /// The shared blocks, made at first use.
    pub fn get() -> &'static Self {
        static TILES: OnceLock<Tiles> = OnceLock::new();
        TILES.get_or_init(|| {
            let mut rng = Rng::new(0x71E5, 0);
            let values: Vec<f32> = (0..1 << 18).map(|_| rng.normal()).collect();
            let white = Tile { bits: 6, data: values };
            let soft = white.softened();
            // lattice noise of 2, 4, ... 32 steps; equal weights fall as 1/f in three dimensions' amplitude
            let fractal = Tile::from_fn(7, |p| {
                let mut sum = 0.0;
                for octave in 0..6u32 {
                    let scale = 1.0 / (1u32 << octave) as f32;
                    let weight = 0.55 + 0.15 * octave as f32;
                    // lattice points per 128 steps: 128 >> octave, which divides the white tile's period
                    // only for octave >= 1; the finest octave repeats within the block, unseen.
                    let q = p.map(|v| v as f32 * scale + 17.0 * octave as f32);
                    sum += weight * wrapped(&white, q, 128 >> octave, octave);
                }
                sum
            })
            .normalised();
            let cells: Vec<(f32, f32)> =
                (0..1usize << 18).into_par_iter().map(|i| voronoi([i & 63, i >> 6 & 63, i >> 12])).collect();
            let cell = Tile { bits: 6, data: cells.iter().map(|c| c.0).collect() };
            let wall = Tile { bits: 6, data: cells.iter().map(|c| c.1).collect() };
            Self { white, soft, fractal, cell, wall }
        })
    }
}

/// White noise at `p`, wrapped so that it repeats after `period` lattice steps.
fn wrapped(white: &Tile, p: [f32; 3], period: u32, octave: u32) -> f32 {
    let floor = p.map(f32::floor);
    let f: [f32; 3] = std::array::from_fn(|a| p[a] - floor[a]);
    let shift = 17 * octave as usize;
    let mut sum = 0.0;
    for k in 0..8usize {
        let mut w = 1.0;
        let i: [usize; 3] = std::array::from_fn(|a| {
            let up = k >> a & 1;
            w *= if up == 1 { f[a] } else { 1.0 - f[a] };
            (floor[a] as usize - shift + up) % period as usize + shift
        });
        sum += w * white.data[(i[2] & 63) << 12 | (i[1] & 63) << 6 | (i[0] & 63)];
    }
    sum
}

/// A case's own view of a block: lattice steps per mm and an offset, so that no two cases share noise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    scale: f32,
    offset: [f32; 3],
}

impl View {
    /// Draws an offset; `step_mm` is the length of a lattice step.
    pub fn draw(rng: &mut Rng, step_mm: f32) -> Self {
        Self { scale: 1.0 / step_mm, offset: std::array::from_fn(|_| rng.range(0.0, 128.0)) }
    }

    /// As [`View::draw`], the step drawn between two lengths.
    pub fn between(rng: &mut Rng, low_mm: f32, high_mm: f32) -> Self {
        let step_mm = rng.range(low_mm, high_mm);
        Self::draw(rng, step_mm)
    }

    /// Lattice position of a point in mm.
    pub fn place(&self, p: [f32; 3]) -> [f32; 3] {
        std::array::from_fn(|a| p[a] * self.scale + self.offset[a])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_repeat_without_a_seam() {
        let t = Tiles::get();
        for tile in [&t.white, &t.soft, &t.fractal, &t.cell, &t.wall] {
            let period = (1u32 << tile.bits) as f32;
            let a = tile.at([3.25, -7.5, 11.75]);
            let b = tile.at([3.25 + period, -7.5 - period, 11.75 + 2.0 * period]);
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
        // a step across the seam is no larger than steps elsewhere
        let jump = |x: f32| (t.fractal.at([x, 5.0, 9.0]) - t.fractal.at([x + 1.0, 5.0, 9.0])).abs();
        let worst = (0..120).map(|i| jump(i as f32)).fold(0.0f32, f32::max);
        assert!(jump(127.0) < 2.0 * worst, "{} {worst}", jump(127.0));
    }
}
