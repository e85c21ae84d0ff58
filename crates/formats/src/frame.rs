//! The way between a file's own grid and the oriented grid.

use crate::InputFrame;
use pleura_volume::{Geometry, Volume};
use rayon::prelude::*;

/// The six orders in which three stored axes can stand behind x, y, z.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

impl InputFrame {
    /// The frame of a volume that already is in the oriented grid.
    pub fn identity(geometry: Geometry) -> Self {
        Self { axes: [0, 1, 2], flips: [false; 3], stored: geometry, sop_instance_uids: vec![] }
    }

    /// The frame that turns a stored grid into the oriented one: of the 48 ways to permute and
    /// flip, the one whose axes come nearest to left, back and head (largest sum of cosines).
    pub fn nearest(stored: Geometry) -> Self {
        let closeness = |order: &[usize; 3]| -> f64 { (0..3).map(|a| stored.axes[order[a]][a].abs()).sum() };
        let mut axes = ORDERS[0];
        for order in &ORDERS[1..] {
            // A hair more is needed, so that a grid turned by 45 degrees keeps its own order.
            if closeness(order) > closeness(&axes) + 1e-9 {
                axes = *order;
            }
        }
        let flips = std::array::from_fn(|a| stored.axes[axes[a]][a] < 0.0);
        Self { axes, flips, stored, sop_instance_uids: vec![] }
    }

    /// Geometry of the oriented grid.
    pub fn oriented(&self) -> Geometry {
        let s = &self.stored;
        let mut corner = [0.0; 3];
        for a in 0..3 {
            if self.flips[a] {
                corner[self.axes[a]] = s.size[self.axes[a]].saturating_sub(1) as f64;
            }
        }
        let sign = |a: usize| if self.flips[a] { -1.0 } else { 1.0 };
        Geometry {
            size: self.axes.map(|s_axis| s.size[s_axis]),
            origin_mm: s.to_lps(corner).map(|c| c + 0.0),
            spacing_mm: self.axes.map(|s_axis| s.spacing_mm[s_axis]),
            axes: std::array::from_fn(|a| s.axes[self.axes[a]].map(|c| c * sign(a) + 0.0)),
        }
    }

    /// The stored voxels, permuted and flipped into the oriented grid. `stored` must have the
    /// size of [`InputFrame::stored`].
    pub fn orient<T: Copy + Send + Sync>(&self, stored: &Volume<T>) -> Volume<T> {
        let (start, strides) = self.walk();
        Volume { geometry: self.oriented(), data: gather(&stored.data, self.oriented().size, start, strides) }
    }

    /// As [`InputFrame::orient`], without a copy where nothing moves.
    pub(crate) fn turned<T: Copy + Send + Sync>(&self, stored: Volume<T>) -> Volume<T> {
        if self.axes == [0, 1, 2] && self.flips == [false; 3] { stored } else { self.orient(&stored) }
    }

    /// The exact inverse of [`InputFrame::orient`]. `oriented` must have the oriented size.
    pub fn restore<T: Copy + Send + Sync>(&self, oriented: &Volume<T>) -> Volume<T> {
        let size = self.oriented().size;
        let oriented_strides = [1, size[0], size[0] * size[1]];
        let mut start = 0;
        let mut strides = [0; 3];
        for a in 0..3 {
            let step = oriented_strides[a] as isize;
            if self.flips[a] {
                start += oriented_strides[a] * size[a].saturating_sub(1);
            }
            strides[self.axes[a]] = if self.flips[a] { -step } else { step };
        }
        let data = gather(&oriented.data, self.stored.size, start, strides);
        Volume { geometry: self.stored.clone(), data }
    }

    /// Offset in the stored array of oriented voxel (0, 0, 0), and the stored steps along x, y, z.
    fn walk(&self) -> (usize, [isize; 3]) {
        let n = self.stored.size;
        let stored_strides = [1, n[0], n[0] * n[1]];
        let mut start = 0;
        let strides = std::array::from_fn(|a| {
            let axis = self.axes[a];
            let step = stored_strides[axis] as isize;
            if self.flips[a] {
                start += stored_strides[axis] * n[axis].saturating_sub(1);
            }
            if self.flips[a] { -step } else { step }
        });
        (start, strides)
    }
}

/// The array of `size` whose voxel `[i, j, k]` is `from[start + i s0 + j s1 + k s2]`.
fn gather<T: Copy + Send + Sync>(from: &[T], size: [usize; 3], start: usize, s: [isize; 3]) -> Vec<T> {
    let [nx, ny, nz] = size;
    let Some(&any) = from.first() else { return vec![] };
    let mut out = vec![any; nx * ny * nz];
    out.par_chunks_mut((nx * ny).max(1)).enumerate().for_each(|(k, slice)| {
        for (j, row) in slice.chunks_mut(nx.max(1)).enumerate() {
            let at = start as isize + j as isize * s[1] + k as isize * s[2];
            if s[0] == 1 {
                row.copy_from_slice(&from[at as usize..at as usize + nx]);
            } else {
                for (i, v) in row.iter_mut().enumerate() {
                    *v = from[(at + i as isize * s[0]) as usize];
                }
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored_as(order: [usize; 3], signs: u8, size: [usize; 3]) -> Geometry {
        let mut g = Geometry::axis_aligned(size, [-10.0, 20.0, 5.0], [0.5, 1.5, 3.0]);
        g.axes = std::array::from_fn(|s| {
            let mut axis = [0.0; 3];
            axis[order[s]] = if signs >> s & 1 == 1 { -1.0 } else { 1.0 };
            axis
        });
        g
    }

    proptest! {
        #[test]
        fn restore_undoes_orient_in_all_48_orientations(
            order in 0_usize..6, signs in 0_u8..8, size in prop::array::uniform3(1_usize..5)
        ) {
            let stored = stored_as(ORDERS[order], signs, size);
            let data: Vec<u32> = (0..stored.len() as u32).collect();
            let volume = Volume { geometry: stored.clone(), data };
            let frame = InputFrame::nearest(stored.clone());
            let oriented = frame.orient(&volume);
            // The oriented axes are exactly left, back, head ...
            prop_assert_eq!(oriented.geometry.axes, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
            // ... every voxel keeps its place in the patient ...
            for k in 0..size[2] { for j in 0..size[1] { for i in 0..size[0] {
                let mm = stored.to_lps([i as f64, j as f64, k as f64]);
                let at = oriented.geometry.to_index(mm).map(|v| v.round() as usize);
                prop_assert_eq!(oriented.at(at), volume.at([i, j, k]));
            }}}
            // ... and the way back is exact.
            prop_assert_eq!(frame.restore(&oriented), volume);
        }
    }

    #[test]
    fn a_tilted_grid_keeps_its_exact_axes() {
        let mut g = Geometry::axis_aligned([2, 2, 2], [0.0; 3], [1.0; 3]);
        let (c, s) = (0.96, 0.28);
        g.axes = [[-1.0, 0.0, 0.0], [0.0, -c, -s], [0.0, -s, c]];
        let frame = InputFrame::nearest(g);
        assert_eq!(frame.flips, [true, true, false]);
        assert_eq!(frame.oriented().axes, [[1.0, 0.0, 0.0], [0.0, c, s], [0.0, -s, c]]);
    }
}
