//! Rows of input made points.

use super::TILE;
use super::transform::{POINTS, SIDE, input};
use crate::isa::{Job, Vector};

/// Six rows of input to six rows of points.
pub(super) struct AlongHeight<'a> {
    pub seen: &'a [&'a [f32]; SIDE],
    pub count: usize,
    pub rows: *mut f32,
    pub wide: usize,
}

impl Job for AlongHeight<'_> {
    // Needs: `count` floats in each row seen; six rows to write, `wide` apart.
    #[inline(always)]
    unsafe fn run<V: Vector>(&self) {
        let mut k = 0;
        // SAFETY: k and the lanes stay below `count`.
        unsafe {
            while k + V::LANES <= self.count {
                let mut d = [V::splat(0.0); SIDE];
                for (d, seen) in d.iter_mut().zip(self.seen) {
                    *d = V::load(seen.as_ptr().add(k));
                }
                for (i, v) in input(d).into_iter().enumerate() {
                    v.store(self.rows.add(i * self.wide + k));
                }
                k += V::LANES;
            }
            if k < self.count {
                let n = self.count - k;
                let mut d = [V::splat(0.0); SIDE];
                for (d, seen) in d.iter_mut().zip(self.seen) {
                    *d = V::load_first(seen.as_ptr().add(k), n);
                }
                for (i, v) in input(d).into_iter().enumerate() {
                    v.store_first(self.rows.add(i * self.wide + k), n);
                }
            }
        }
    }
}

/// Six rows of points along height to the points of each tile.
pub(super) struct AlongWidth<'a> {
    pub rows: &'a [f32],
    pub wide: usize,
    pub columns: usize,
    pub c: usize,
    /// Where each point's tiles of this row begin.
    pub to: &'a [*mut f32; POINTS],
}

impl Job for AlongWidth<'_> {
    // Needs: rows of `columns` tiles and two places more; `columns * c` floats to write at each point.
    #[inline(always)]
    unsafe fn run<V: Vector>(&self) {
        for i in 0..SIDE {
            let mut j = 0;
            while self.c == 8 && V::LANES == 16 && j + 1 < self.columns {
                // SAFETY: two tiles of eight channels lie within the rows and the points' planes.
                unsafe { self.two_tiles::<V>(i, j) };
                j += 2;
            }
            for j in j..self.columns {
                let mut k = 0;
                // SAFETY: k and the lanes stay below the number of channels.
                unsafe {
                    while k + V::LANES <= self.c {
                        self.tile::<V>(i, j, k, V::LANES);
                        k += V::LANES;
                    }
                    while k < self.c {
                        self.tile::<V::Half>(i, j, k, (self.c - k).min(V::Half::LANES));
                        k += V::Half::LANES;
                    }
                }
            }
        }
    }
}

impl AlongWidth<'_> {
    /// Two neighbouring tiles of eight channels, halves of vectors of sixteen.
    ///
    /// # Safety
    /// As its `run`, for the tiles `j` and `j + 1`, row `i`.
    #[inline(always)]
    unsafe fn two_tiles<V: Vector>(&self, i: usize, j: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let from = self.rows.as_ptr().add(i * self.wide + j * TILE * self.c);
            let mut d = [V::splat(0.0); SIDE];
            for (m, d) in d.iter_mut().enumerate() {
                let at = from.add(m * self.c);
                *d = V::join(V::Half::load(at), V::Half::load(at.add(TILE * self.c)));
            }
            for (v, to) in input(d).into_iter().zip(&self.to[i * SIDE..][..SIDE]) {
                v.store(to.add(j * self.c));
            }
        }
    }

    /// # Safety
    /// As its `run`, for the `n` channels from `k` on of tile `j`, row `i`.
    #[inline(always)]
    unsafe fn tile<V: Vector>(&self, i: usize, j: usize, k: usize, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let from = self.rows.as_ptr().add(i * self.wide + j * TILE * self.c + k);
            let to = &self.to[i * SIDE..][..SIDE];
            let mut d = [V::splat(0.0); SIDE];
            if n == V::LANES {
                for (m, d) in d.iter_mut().enumerate() {
                    *d = V::load(from.add(m * self.c));
                }
                for (v, to) in input(d).into_iter().zip(to) {
                    v.store(to.add(j * self.c + k));
                }
            } else {
                for (m, d) in d.iter_mut().enumerate() {
                    *d = V::load_first(from.add(m * self.c), n);
                }
                for (v, to) in input(d).into_iter().zip(to) {
                    v.store_first(to.add(j * self.c + k), n);
                }
            }
        }
    }
}
