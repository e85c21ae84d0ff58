//! The body's fields on a coarse lattice, scaled to millimetres, interpolated per voxel row.

use crate::body::{BODY, Body, CHEST, DIAPHRAGM, FIELDS, HEART, MAJOR, MEDIASTINUM, MINOR};
use crate::rng::smooth_max;
use rayon::prelude::*;

/// Lattice step, mm: the fields bend slowly; their combinations, which have edges, are made per voxel.
const STEP: f32 = 6.0;

/// Fields that are divided by their gradient so that they measure distance.
const SCALED: [usize; 7] = [BODY, CHEST, DIAPHRAGM, MEDIASTINUM, HEART, MAJOR, MINOR];

/// Values of all fields at a point.
pub(crate) type Values = [f32; FIELDS];

/// A lattice of field values.
pub(crate) struct Fields {
    low: [f32; 3],
    n: [usize; 3],
    data: Vec<Values>,
}

impl Fields {
    /// Samples `body` over the box `low..high` (mm).
    pub fn sample(body: &Body, low: [f32; 3], high: [f32; 3]) -> Self {
        let low: [f32; 3] = low.map(|v| v - 2.0 * STEP);
        let n: [usize; 3] = std::array::from_fn(|a| ((high[a] - low[a]) / STEP).ceil() as usize + 3);
        let mut data = vec![[0.0; FIELDS]; n[0] * n[1] * n[2]];
        data.par_chunks_mut(n[0]).enumerate().for_each(|(row, out)| {
            let (y, z) = (row % n[1], row / n[1]);
            body.row(low[0], STEP, low[1] + STEP * y as f32, low[2] + STEP * z as f32, out);
        });
        let raw = Self { low, n, data };
        raw.in_millimetres()
    }

    fn in_millimetres(self) -> Self {
        let n = self.n;
        let stride = [1, n[0], n[0] * n[1]];
        let mut out = self.data.clone();
        out.par_chunks_mut(n[0]).enumerate().for_each(|(row, values)| {
            let (y, z) = (row % n[1], row / n[1]);
            for (x, v) in values.iter_mut().enumerate() {
                let i = row * n[0] + x;
                let at = [x, y, z];
                let mut squared = [0.0f32; FIELDS];
                for a in 0..3 {
                    let up = if at[a] + 1 < n[a] { i + stride[a] } else { i };
                    let down = if at[a] > 0 { i - stride[a] } else { i };
                    let span = ((up - down) / stride[a]) as f32 * STEP;
                    let (hi, lo) = (&self.data[up], &self.data[down]);
                    for k in 0..FIELDS {
                        let g = (hi[k] - lo[k]) / span;
                        squared[k] += g * g;
                    }
                }
                for k in SCALED {
                    v[k] /= squared[k].sqrt().clamp(0.35, 3.0);
                }
            }
        });
        Self { data: out, ..self }
    }

    /// Blends the lattice rows around `(y, z)` into `row`, to be read by [`Fields::along`].
    pub fn row(&self, y: f32, z: f32, row: &mut Vec<Values>) {
        let (iy, fy) = self.cell(1, y);
        let (iz, fz) = self.cell(2, z);
        let nx = self.n[0];
        let base = |z: usize, y: usize| (z * self.n[1] + y) * nx;
        let corners = [
            (base(iz, iy), (1.0 - fy) * (1.0 - fz)),
            (base(iz, iy + 1), fy * (1.0 - fz)),
            (base(iz + 1, iy), (1.0 - fy) * fz),
            (base(iz + 1, iy + 1), fy * fz),
        ];
        row.clear();
        row.resize(nx, [0.0; FIELDS]);
        for (start, w) in corners {
            for (out, v) in row.iter_mut().zip(&self.data[start..start + nx]) {
                for k in 0..FIELDS {
                    out[k] += w * v[k];
                }
            }
        }
    }

    /// Values at `x` on a row blended by [`Fields::row`].
    pub fn along(&self, row: &[Values], x: f32) -> Values {
        let (i, f) = self.cell(0, x);
        let (a, b) = (&row[i], &row[i + 1]);
        std::array::from_fn(|k| a[k] + (b[k] - a[k]) * f)
    }

    /// Values at a point.
    pub fn at(&self, p: [f32; 3]) -> Values {
        let [(ix, fx), (iy, fy), (iz, fz)] = [self.cell(0, p[0]), self.cell(1, p[1]), self.cell(2, p[2])];
        let mut out = [0.0; FIELDS];
        for k in 0..8usize {
            let (dx, dy, dz) = (k & 1, k >> 1 & 1, k >> 2);
            let pick = |d: usize, f: f32| if d == 1 { f } else { 1.0 - f };
            let w = pick(dx, fx) * pick(dy, fy) * pick(dz, fz);
            let v = &self.data[((iz + dz) * self.n[1] + iy + dy) * self.n[0] + ix + dx];
            for (o, v) in out.iter_mut().zip(v) {
                *o += w * v;
            }
        }
        out
    }

    /// Cell and fraction, clamped to the lattice.
    fn cell(&self, axis: usize, v: f32) -> (usize, f32) {
        let u = ((v - self.low[axis]) / STEP).clamp(0.0, (self.n[axis] - 2) as f32);
        let i = (u as usize).min(self.n[axis] - 2);
        (i, u - i as f32)
    }

    /// Lattice points and their values, for drawing places.
    pub fn points(&self) -> impl Iterator<Item = ([f32; 3], &Values)> {
        self.data.iter().enumerate().map(|(i, v)| {
            let at = [i % self.n[0], i / self.n[0] % self.n[1], i / self.n[0] / self.n[1]];
            (std::array::from_fn(|a| self.low[a] + STEP * at[a] as f32), v)
        })
    }

    /// Edge of a lattice cell, mm.
    pub const fn step_mm() -> f32 {
        STEP
    }
}

/// Signed distance to the lungs' surface, negative inside, mm: inside the rib cage, above the
/// diaphragm, beside the mediastinum, not in fluid.
pub(crate) fn lung_distance(v: &Values) -> f32 {
    use crate::body::FLUID;
    // the lung rounds the corners beside the spine and behind the breast bone, not its sharp recesses
    smooth_max(v[CHEST], -v[MEDIASTINUM], 9.0).max(v[DIAPHRAGM]).max(-v[FLUID])
}

/// The lobes, in the order of the tables in the literature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lobe {
    LeftLower,
    LeftUpper,
    RightLower,
    RightMiddle,
    RightUpper,
}

impl Lobe {
    pub const ALL: [Lobe; 5] =
        [Lobe::LeftLower, Lobe::LeftUpper, Lobe::RightLower, Lobe::RightMiddle, Lobe::RightUpper];

    /// Lobe of a point in the lungs.
    pub fn of(x: f32, v: &Values) -> Self {
        match (x > 0.0, v[MAJOR] < 0.0, v[MINOR] < 0.0) {
            (true, true, _) => Self::LeftLower,
            (true, false, _) => Self::LeftUpper,
            (false, true, _) => Self::RightLower,
            (false, false, true) => Self::RightMiddle,
            (false, false, false) => Self::RightUpper,
        }
    }

    /// Signed distance to the lobe's fissures, negative inside; only meaningful within the lung.
    pub fn distance(self, x: f32, v: &Values) -> f32 {
        let other_side =
            if (x > 0.0) == matches!(self, Self::LeftLower | Self::LeftUpper) { -60.0 } else { 60.0 };
        let own = match self {
            Self::LeftLower | Self::RightLower => v[MAJOR],
            Self::LeftUpper => -v[MAJOR],
            Self::RightMiddle => (-v[MAJOR]).max(v[MINOR]),
            Self::RightUpper => (-v[MAJOR]).max(-v[MINOR]),
        };
        own.max(other_side)
    }
}
