//! Products made results.

use super::TILE;
use super::transform::{SIDE, output};
use crate::Shape;
use crate::finish::{Ending, Results, Shared};
use crate::isa::{Job, Vector};
use crate::panels::Panel;
use crate::tile::Store;

/// Where a tile's results begin, and their rows and columns.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub at: usize,
    pub size: [usize; 2],
}

/// The products of some positions to their results.
pub(super) struct Back<'a> {
    pub ys: Shape,
    /// `[36][count][width]`.
    pub products: &'a [f32],
    pub places: &'a [Place],
    pub count: usize,
    /// Whether the lanes of two neighbouring positions lie in turns.
    pub zipped: bool,
    pub panel: Panel<'a>,
    pub y: Shared<'a>,
    pub end: &'a Ending<'a>,
}

impl Job for Back<'_> {
    // Needs: products of that size, of an even number of positions where lanes lie in turns; results that nothing else
    // reads or writes.
    #[inline(always)]
    unsafe fn run<V: Vector>(&self) {
        let width = self.panel.width;
        let mut q = 0;
        // SAFETY: alone by the caller's promise; lanes stay below the width: one that V does not divide is
        // 8, Half's lanes. Two positions of 8 lanes lie side by side.
        unsafe {
            while q < self.count {
                if width == 8 && V::LANES == 16 && q + 1 < self.count {
                    self.two_tiles::<V>(q);
                    q += 2;
                    continue;
                }
                let mut lane = 0;
                while lane + V::LANES <= width {
                    self.tile::<V>(q, lane);
                    lane += V::LANES;
                }
                if lane < width {
                    self.tile::<V::Half>(q, lane);
                }
                q += 1;
            }
        }
    }
}

impl<'a> Back<'a> {
    /// Where the results of position `q` go, and how many rows and columns of them there are. The store is checked
    /// for all of them.
    ///
    /// # Safety
    /// Nothing else reads or writes the results.
    #[inline(always)]
    unsafe fn place(&self, q: usize) -> (Results<'a>, [usize; 2]) {
        let (ys, Place { at, size }) = (self.ys, self.places[q]);
        // SAFETY: the caller's promise.
        let store = unsafe { self.y.results(self.end, at, ys.c, self.panel.first) };
        store.check((size[0] - 1) * ys.w + size[1], self.panel.width);
        (store, size)
    }

    /// The products along height made results, for the lanes from `lane` of position `q` on: six columns.
    ///
    /// # Safety
    /// The processor has the vector's instruction set; the lanes lie within the products.
    #[inline(always)]
    unsafe fn columns<V: Vector>(&self, q: usize, lane: usize) -> [[V; TILE]; SIDE] {
        // SAFETY: the caller's promise.
        unsafe {
            let from = self.products.as_ptr().add(q * self.panel.width + lane);
            let mut columns = [[V::splat(0.0); TILE]; SIDE];
            for (j, column) in columns.iter_mut().enumerate() {
                let mut m = [V::splat(0.0); SIDE];
                for (i, m) in m.iter_mut().enumerate() {
                    let plane = (i * SIDE + j) * self.count * self.panel.width;
                    debug_assert!(plane + q * self.panel.width + lane + V::LANES <= self.products.len());
                    *m = V::load(from.add(plane));
                }
                *column = output(m);
            }
            columns
        }
    }

    /// # Safety
    /// As its `run`, for the lanes from `lane` on of position `q`.
    #[inline(always)]
    unsafe fn tile<V: Vector>(&self, q: usize, lane: usize) {
        // SAFETY: the caller's promise; the store is checked for these rows and columns.
        unsafe {
            let (store, size) = self.place(q);
            let columns = self.columns::<V>(q, lane);
            for r in 0..size[0] {
                let row = along_width(&columns, r);
                for (s, v) in row.into_iter().enumerate().take(size[1]) {
                    store.put(r * self.ys.w + s, lane, v);
                }
            }
        }
    }

    /// # Safety
    /// As its `run`, for the eight lanes of the positions `q` and `q + 1`, halves of vectors of sixteen.
    #[inline(always)]
    unsafe fn two_tiles<V: Vector>(&self, q: usize) {
        // SAFETY: the caller's promise; each store is checked for its rows and columns.
        unsafe {
            let places = [self.place(q), self.place(q + 1)];
            let columns = self.columns::<V>(q, 0);
            for r in 0..TILE {
                let mut row = along_width(&columns, r);
                if self.zipped && places[0].1 == [TILE; 2] && places[1].1 == [TILE; 2] {
                    let (left, right) = (row[0].unzip(row[1]), row[2].unzip(row[3]));
                    places[0].0.put_twos(r * self.ys.w, &[left[0], right[0]]);
                    places[1].0.put_twos(r * self.ys.w, &[left[1], right[1]]);
                    continue;
                }
                if self.zipped {
                    for v in &mut row {
                        let [even, odd] = v.unzip(*v);
                        *v = V::join(even.low(), odd.low());
                    }
                }
                if places[0].1 == [TILE; 2] && places[1].1 == [TILE; 2] {
                    // Neighbouring results of a tile lie side by side: two of them at a time.
                    let low = [V::join(row[0].low(), row[1].low()), V::join(row[2].low(), row[3].low())];
                    let high = [V::join(row[0].high(), row[1].high()), V::join(row[2].high(), row[3].high())];
                    places[0].0.put_twos(r * self.ys.w, &low);
                    places[1].0.put_twos(r * self.ys.w, &high);
                    continue;
                }
                let (store, size) = &places[0];
                if r < size[0] {
                    for (s, v) in row.into_iter().enumerate().take(size[1]) {
                        store.put(r * self.ys.w + s, 0, v.low());
                    }
                }
                let (store, size) = &places[1];
                if r < size[0] {
                    for (s, v) in row.into_iter().enumerate().take(size[1]) {
                        store.put(r * self.ys.w + s, 0, v.high());
                    }
                }
            }
        }
    }
}

/// The results of row `r`.
///
/// # Safety
/// The processor has the vector's instruction set.
#[inline(always)]
unsafe fn along_width<V: Vector>(columns: &[[V; TILE]; SIDE], r: usize) -> [V; TILE] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut row = [V::splat(0.0); SIDE];
        for (row, column) in row.iter_mut().zip(columns) {
            *row = column[r];
        }
        output(row)
    }
}
