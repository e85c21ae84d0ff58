//! The body's fields on a coarse lattice, scaled to millimetres, interpolated per voxel row.

use crate::body::{BODY, Body, CHEST, DIAPHRAGM, FIELDS, HEART, MAJOR, MEDIASTINUM, MINOR};
use crate::rng::smooth_max;
pub(crate) use crate::types::Lobe;
use rayon::prelude::*;

/// Lattice step, mm: the fields bend slowly; their combinations, which have edges, are made per voxel.
const STEP: f32 = 6.0;

/// Fields that are divided by their gradient so that they measure distance.
const SCALED: [usize; 7] = [BODY, CHEST, DIAPHRAGM, MEDIASTINUM, HEART, MAJOR, MINOR];

/// Values of all fields at a point.
pub(crate) type Values = [f32; FIELDS];

/// A lattice of field values, kept where a scan needs them and computed anew elsewhere.
pub(crate) struct Fields {
    low: [f32; 3],
    n: [usize; 3],
    /// The lattice points that are kept: the first and how many along each axis.
    from: [usize; 3],
    size: [usize; 3],
    data: Vec<Values>,
    body: Body,
}

impl Fields {
    /// Samples `body` over the box `low..high` (mm), keeping what lies within `near` along x and y.
    pub fn sample(body: &Body, low: [f32; 3], high: [f32; 3], near: [[f32; 2]; 2]) -> Self {
        let low: [f32; 3] = low.map(|v| v - 2.0 * STEP);
        let n: [usize; 3] = std::array::from_fn(|a| ((high[a] - low[a]) / STEP).ceil() as usize + 3);
        let mut out = Self { low, n, from: [0; 3], size: n, data: Vec::new(), body: body.clone() };
        for (a, near) in near.into_iter().enumerate() {
            let [first, last] = near.map(|v| out.cell(a, v).0);
            (out.from[a], out.size[a]) = (first, last + 2 - first);
        }
        // one more point on each side for the gradients
        let from = out.from.map(|v| v.saturating_sub(1));
        let size: [usize; 3] = std::array::from_fn(|a| (out.from[a] + out.size[a] + 1).min(n[a]) - from[a]);
        let mut raw = vec![[0.0; FIELDS]; size[0] * size[1] * size[2]];
        raw.par_chunks_mut(size[0]).enumerate().for_each(|(row, values)| {
            out.raw([from[0], from[1] + row % size[1], from[2] + row / size[1]], values);
        });
        let stride = [1, size[0], size[0] * size[1]];
        let mut data = vec![[0.0; FIELDS]; out.size[0] * out.size[1] * out.size[2]];
        data.par_chunks_mut(out.size[0]).enumerate().for_each(|(row, values)| {
            let at = [0, row % out.size[1], row / out.size[1]];
            let mut at: [usize; 3] = std::array::from_fn(|a| at[a] + out.from[a]);
            let start: usize = (0..3).map(|a| (at[a] - from[a]) * stride[a]).sum();
            for (x, v) in values.iter_mut().enumerate() {
                *v = out.in_millimetres(
                    at,
                    |a, up| &raw[start + x + if up { stride[a] } else { 0 } - if up { 0 } else { stride[a] }],
                    &raw[start + x],
                );
                at[0] += 1;
            }
        });
        Self { data, ..out }
    }

    /// Fields as the body has them, on lattice points from `at` along x.
    fn raw(&self, at: [usize; 3], out: &mut [Values]) {
        let [_, y, z] = std::array::from_fn(|a| self.low[a] + STEP * at[a] as f32);
        self.body.row([self.low[0], STEP], at[0], y, z, out);
    }

    /// Values at lattice point `at`, divided by their gradients, from those at the point and beside it.
    fn in_millimetres<'a>(
        &self,
        at: [usize; 3],
        beside: impl Fn(usize, bool) -> &'a Values,
        here: &'a Values,
    ) -> Values {
        let mut squared = [0.0f32; FIELDS];
        for (a, &i) in at.iter().enumerate() {
            let (is_last, is_first) = (i + 1 >= self.n[a], i == 0);
            let high = if is_last { here } else { beside(a, true) };
            let low = if is_first { here } else { beside(a, false) };
            let span = if is_last || is_first { STEP } else { 2.0 * STEP };
            for k in 0..FIELDS {
                let g = (high[k] - low[k]) / span;
                squared[k] += g * g;
            }
        }
        let mut out = *here;
        for k in SCALED {
            out[k] /= squared[k].sqrt().clamp(0.35, 3.0);
        }
        out
    }

    /// Values at a lattice point.
    fn value(&self, at: [usize; 3]) -> Values {
        let i: [usize; 3] = std::array::from_fn(|a| at[a].wrapping_sub(self.from[a]));
        if (0..3).all(|a| i[a] < self.size[a]) {
            return self.data[(i[2] * self.size[1] + i[1]) * self.size[0] + i[0]];
        }
        let raw = |at: [usize; 3]| {
            let mut out = [[0.0; FIELDS]];
            self.raw(at, &mut out);
            out[0]
        };
        let around: [[Values; 2]; 3] = std::array::from_fn(|a| {
            [false, true].map(|up| {
                let mut to = at;
                to[a] = if up { at[a] + 1 } else { at[a].saturating_sub(1) };
                raw(to)
            })
        });
        self.in_millimetres(at, |a, up| &around[a][usize::from(up)], &raw(at))
    }

    /// Blends the lattice rows around `(y, z)`, which must lie near, into `row`, to be read by
    /// [`Fields::along`].
    pub fn row(&self, y: f32, z: f32, row: &mut Vec<Values>) {
        let (iy, fy) = self.cell(1, y);
        let (iz, fz) = self.cell(2, z);
        let [nx, ny, _] = self.size;
        let line = |z: usize, y: usize| &self.data[((z - self.from[2]) * ny + y - self.from[1]) * nx..][..nx];
        let (a, b) = (line(iz, iy), line(iz, iy + 1));
        let (c, d) = (line(iz + 1, iy), line(iz + 1, iy + 1));
        let w = [(1.0 - fy) * (1.0 - fz), fy * (1.0 - fz), (1.0 - fy) * fz, fy * fz];
        row.clear();
        row.extend(a.iter().zip(b).zip(c.iter().zip(d)).map(|((a, b), (c, d))| -> Values {
            std::array::from_fn(|k| 0.0 + w[0] * a[k] + w[1] * b[k] + w[2] * c[k] + w[3] * d[k])
        }));
    }

    /// Where `x`, which must lie near, is on a row blended by [`Fields::row`].
    pub fn column(&self, x: f32) -> (usize, f32) {
        let (i, f) = self.cell(0, x);
        (i - self.from[0], f)
    }

    /// Values at a column of a row.
    #[inline]
    pub fn along(row: &[Values], (i, f): (usize, f32)) -> Values {
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
            let v = self.value([ix + dx, iy + dy, iz + dz]);
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

    /// The lattice points that are kept and their values, for drawing places.
    pub fn points(&self) -> impl Iterator<Item = ([f32; 3], &Values)> {
        let [nx, ny, _] = self.size;
        self.data.iter().enumerate().map(move |(i, v)| {
            let at = [i % nx, i / nx % ny, i / nx / ny];
            (std::array::from_fn(|a| self.low[a] + STEP * (self.from[a] + at[a]) as f32), v)
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

impl Lobe {
    /// All lobes, in their order.
    pub(crate) const ALL: [Lobe; 5] =
        [Lobe::LeftLower, Lobe::LeftUpper, Lobe::RightLower, Lobe::RightMiddle, Lobe::RightUpper];

    /// Lobe of a point in the lungs.
    pub(crate) fn of(x: f32, v: &Values) -> Self {
        match (x > 0.0, v[MAJOR] < 0.0, v[MINOR] < 0.0) {
            (true, true, _) => Self::LeftLower,
            (true, false, _) => Self::LeftUpper,
            (false, true, _) => Self::RightLower,
            (false, false, true) => Self::RightMiddle,
            (false, false, false) => Self::RightUpper,
        }
    }

    /// Signed distance to the lobe's fissures, negative inside; only meaningful within the lung.
    pub(crate) fn distance(self, x: f32, v: &Values) -> f32 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// Every field, whether kept or computed anew, and every place in the lungs: as on the whole lattice.
    #[test]
    fn what_is_kept_changes_no_value() {
        for seed in 0..3 {
            let body = Body::draw(seed, [12.0, 0.0]);
            let (low, high) = ([-300.0, -240.0, -140.0], [300.0, 240.0, 270.0]);
            let whole = Fields::sample(&body, low, high, [[-1e3, 1e3]; 2]);
            let near = std::array::from_fn(|a| [-1.25 * body.half[a] - 20.0, 1.25 * body.half[a] + 50.0]);
            let part = Fields::sample(&body, low, high, near);
            assert!(part.data.len() * 3 < whole.data.len() * 2);
            let mut r = Rng::new(seed, 9);
            for _ in 0..500 {
                let p = std::array::from_fn(|a| r.range(low[a] - 30.0, high[a] + 30.0));
                assert_eq!(part.at(p).map(f32::to_bits), whole.at(p).map(f32::to_bits), "{p:?}");
            }
            let lungs = |f: &Fields| -> Vec<[f32; 3]> {
                f.points().filter(|(_, v)| lung_distance(v) < STEP * 0.5).map(|(p, _)| p).collect()
            };
            assert!(lungs(&part) == lungs(&whole), "seed {seed}");
        }
    }
}
