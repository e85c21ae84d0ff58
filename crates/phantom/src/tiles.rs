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
        let [(x, fx), (y, fy), (z, fz)] = p.map(split);
        let i0 = [x, y, z].map(|v| v as usize & mask);
        let i1 = i0.map(|v| (v + 1) & mask);
        let row = |z: usize, y: usize| {
            let base = (z << (2 * self.bits)) | (y << self.bits);
            let (a, b) = (self.data[base | i0[0]], self.data[base | i1[0]]);
            a + (b - a) * fx
        };
        let plane = |z: usize| {
            let (a, b) = (row(z, i0[1]), row(z, i1[1]));
            a + (b - a) * fy
        };
        let (a, b) = (plane(i0[2]), plane(i1[2]));
        a + (b - a) * fz
    }

    /// The block blurred by about a lattice step and scaled to unit deviation.
    fn softened(&self) -> Self {
        let mut out = Self { bits: self.bits, data: self.data.clone() };
        let n = 1usize << self.bits;
        let mut from = vec![0.0; out.data.len()];
        for pass in 0..6 {
            let axis = pass % 3;
            std::mem::swap(&mut from, &mut out.data);
            out.data.par_chunks_mut(n).enumerate().for_each(|(row, values)| {
                let line = |row: usize| &from[row * n..][..n];
                let own = line(row);
                if axis == 0 {
                    for (x, v) in values.iter_mut().enumerate() {
                        *v = 0.5 * own[x] + 0.25 * (own[(x + 1) % n] + own[(x + n - 1) % n]);
                    }
                    return;
                }
                let stride = if axis == 1 { 1 } else { n };
                let k = row / stride % n;
                let base = row - k * stride;
                let (up, down) = (line(base + (k + 1) % n * stride), line(base + (k + n - 1) % n * stride));
                for (((v, o), u), d) in values.iter_mut().zip(own).zip(up).zip(down) {
                    *v = 0.5 * o + 0.25 * (u + d);
                }
            });
        }
        out.normalised()
    }

    /// Scaled to mean 0 and deviation 1; the sums run in order, so that every machine has the same.
    fn normalised(mut self) -> Self {
        let n = self.data.len() as f64;
        let mean = self.data.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let var = self.data.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        let scale = 1.0 / var.sqrt();
        self.data.par_iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) * scale) as f32);
        self
    }
}

/// The four lattice rows of a block around a line of points along x: looked up faster than the block.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Values at (y, z), (y + 1, z), (y, z + 1), (y + 1, z + 1) for each x, the first x again at the end;
    /// empty until the line is laid.
    rows: Vec<[f32; 4]>,
    f: [f32; 2],
}

impl Line {
    /// Forgets the line.
    pub fn lift(&mut self) {
        self.rows.clear();
    }

    /// Whether [`Line::at`] has something to look up.
    pub fn is_laid(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Lays the line through `y` and `z` of a block, lattice units.
    pub fn lay(&mut self, tile: &Tile, y: f32, z: f32) {
        let n = 1usize << tile.bits;
        let [(y, fy), (z, fz)] = [y, z].map(split);
        let row = |y: i32, z: i32| {
            let (y, z) = (y as usize & (n - 1), z as usize & (n - 1));
            &tile.data[(z * n + y) * n..][..n]
        };
        let (a, b, c, d) = (row(y, z), row(y + 1, z), row(y, z + 1), row(y + 1, z + 1));
        self.rows.clear();
        self.rows.extend(a.iter().zip(b).zip(c.iter().zip(d)).map(|((a, b), (c, d))| [*a, *b, *c, *d]));
        self.rows.push(self.rows[0]);
        self.f = [fy, fz];
    }

    /// Value at `x` of the line, lattice units: what [`Tile::at`] gives, bit for bit.
    #[inline]
    pub fn at(&self, x: f32) -> f32 {
        let (i, f) = split(x);
        let i = i as usize & (self.rows.len() - 2);
        let (a, b) = (&self.rows[i], &self.rows[i + 1]);
        let v: [f32; 4] = std::array::from_fn(|k| a[k] + (b[k] - a[k]) * f);
        let (low, high) = (v[0] + (v[1] - v[0]) * self.f[0], v[2] + (v[3] - v[2]) * self.f[0]);
        low + (high - low) * self.f[1]
    }
}

/// Lattice point below a position and how far beyond it the position lies.
#[inline]
fn split(v: f32) -> (i32, f32) {
    // a cast and a correction: much faster than calling floor
    let floor = v as i32 - i32::from(v < 0.0);
    (floor, v - floor as f32)
}

/// The blocks.
pub(crate) struct Tiles {
    /// Independent normal values, one a lattice point: interpolated, smooth noise of about unit deviation.
    pub white: Tile,
    /// The same blurred: without the lattice's corners, so that what bends by it has none either.
    pub soft: Tile,
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

/// Voronoi cells across the block's 64 steps, one site in each cube of this lattice.
const CELLS: usize = 8;

/// Value of the cell and distance to its wall for a row of eight points from `8 * c`, at `y` and `z` in
/// that cube. The nearest two sites are among those of the 27 cubes around.
fn voronoi(sites: &[([f32; 3], f32)], c: [usize; 3], y: usize, z: usize) -> ([f32; CELLS], [f32; CELLS]) {
    let (mut best, mut second, mut id) = ([f32::MAX; CELLS], [f32::MAX; CELLS], [0.0; CELLS]);
    for k in 0..27usize {
        let d = [k % 3, k / 3 % 3, k / 9];
        let cell: [usize; 3] = std::array::from_fn(|a| (c[a] + d[a] + CELLS - 1) % CELLS);
        let (within, value) = sites[(cell[2] * CELLS + cell[1]) * CELLS + cell[0]];
        let site: [f32; 3] =
            std::array::from_fn(|a| (c[a] as f32 + d[a] as f32 - 1.0 + within[a]) * CELL_STEPS);
        let dy = ((c[1] * CELLS + y) as f32 - site[1]).powi(2);
        let dz = ((c[2] * CELLS + z) as f32 - site[2]).powi(2);
        for x in 0..CELLS {
            let r2 = ((c[0] * CELLS + x) as f32 - site[0]).powi(2) + dy + dz;
            let nearest = r2 < best[x];
            second[x] = if nearest { best[x] } else { second[x].min(r2) };
            id[x] = if nearest { value } else { id[x] };
            best[x] = best[x].min(r2);
        }
    }
    (id, std::array::from_fn(|x| (second[x].sqrt() - best[x].sqrt()) / 2.0))
}

/// The two blocks of the Voronoi cells.
fn cells() -> (Tile, Tile) {
    let sites: Vec<([f32; 3], f32)> = (0..CELLS.pow(3))
        .map(|i| {
            let cell = [i % CELLS, i / CELLS % CELLS, i / CELLS / CELLS];
            (std::array::from_fn(|a| hash_unit(cell, 11 + a as u64)), hash_unit(cell, 99))
        })
        .collect();
    const EDGE: usize = 64;
    let (mut cell, mut wall) = (vec![0.0; EDGE.pow(3)], vec![0.0; EDGE.pow(3)]);
    cell.par_chunks_mut(EDGE).zip(wall.par_chunks_mut(EDGE)).enumerate().for_each(|(row, (id, gap))| {
        let (y, z) = (row % EDGE, row / EDGE);
        for cx in 0..CELLS {
            let (i, g) = voronoi(&sites, [cx, y / CELLS, z / CELLS], y % CELLS, z % CELLS);
            id[cx * CELLS..][..CELLS].copy_from_slice(&i);
            gap[cx * CELLS..][..CELLS].copy_from_slice(&g);
        }
    });
    (Tile { bits: 6, data: cell }, Tile { bits: 6, data: wall })
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
            let white = white();
            let soft = white.softened();
            let fractal = fractal(&white).normalised();
            let (cell, wall) = cells();
            Self { white, soft, fractal, cell, wall }
        })
    }
}

/// Independent normal values from one stream, each part of it entered where its turn comes.
fn white() -> Tile {
    const PART: usize = 1 << 12;
    let mut data = vec![0.0; 1 << 18];
    data.par_chunks_mut(PART).enumerate().for_each(|(part, values)| {
        let mut rng = Rng::new(0x71E5, 0);
        rng.skip_normals(part * PART);
        values.fill_with(|| rng.normal());
    });
    Tile { bits: 6, data }
}

/// Edge of the fractal block, lattice steps, and its octaves.
const FRACTAL: usize = 128;
const OCTAVES: usize = 6;

/// Lattice noise of 1, 2, 4, ... 32 steps; equal weights fall as 1/f in three dimensions' amplitude.
fn fractal(white: &Tile) -> Tile {
    let mut data = vec![0.0f32; FRACTAL.pow(3)];
    data.par_chunks_mut(FRACTAL * FRACTAL).enumerate().for_each(|(z, plane)| {
        for octave in 0..OCTAVES {
            add_octave(white, octave, z, plane);
        }
    });
    Tile { bits: 7, data }
}

/// Adds white noise, stretched `1 << octave` times and trilinear between, to plane `z` of the fractal.
///
/// It repeats after `128 >> octave` lattice points, which divides the white block's period only for
/// octaves above the first; the finest octave repeats within the block, unseen.
fn add_octave(white: &Tile, octave: usize, z: usize, plane: &mut [f32]) {
    let weight = 0.55 + 0.15 * octave as f32;
    let (scale, period, shift) = (1usize << octave, FRACTAL >> octave, 17 * octave);
    // how much the lattice points below and above a value count along an axis, and which they are
    let share = |v: usize, up: usize| {
        let f = (v & (scale - 1)) as f32 / scale as f32;
        if up == 1 { f } else { 1.0 - f }
    };
    let point = |v: usize, up: usize| ((((v >> octave) + up) & (period - 1)) + shift) & 63;
    let along: [[f32; FRACTAL]; 2] = std::array::from_fn(|up| std::array::from_fn(|x| share(x, up)));
    // the rows between two lattice rows share the values at the corners around them
    for (block, rows) in plane.chunks_exact_mut(scale * FRACTAL).enumerate() {
        let corners: [[f32; FRACTAL]; 8] = std::array::from_fn(|k| {
            let base = point(z, k >> 2) << 12 | point(block * scale, k >> 1 & 1) << 6;
            std::array::from_fn(|x| white.data[base | point(x, k & 1)])
        });
        for (y, row) in rows.chunks_exact_mut(FRACTAL).enumerate() {
            let mut sum = [0.0f32; FRACTAL];
            for (k, corner) in corners.iter().enumerate() {
                let (wy, wz) = (share(y, k >> 1 & 1), share(z, k >> 2));
                for ((s, wx), c) in sum.iter_mut().zip(&along[k & 1]).zip(corner) {
                    *s += wx * wy * wz * c;
                }
            }
            for (v, s) in row.iter_mut().zip(sum) {
                *v += weight * s;
            }
        }
    }
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
        std::array::from_fn(|a| self.along(a, p[a]))
    }

    /// Lattice position along one axis.
    pub fn along(&self, axis: usize, v: f32) -> f32 {
        v * self.scale + self.offset[axis]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_what_its_block_gives() {
        let t = Tiles::get();
        let mut r = Rng::new(1, 1);
        let mut line = Line::default();
        for tile in [&t.white, &t.fractal] {
            for _ in 0..20 {
                let (y, z) = (r.range(-300.0, 300.0), r.range(-300.0, 300.0));
                line.lay(tile, y, z);
                for x in (0..50).map(|_| r.range(-300.0, 300.0)).chain([-1.0, 0.0, 63.5, 127.5]) {
                    assert_eq!(line.at(x).to_bits(), tile.at([x, y, z]).to_bits(), "{x} {y} {z}");
                }
            }
        }
    }

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
