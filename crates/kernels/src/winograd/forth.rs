//! Rows of input, or of a result's gradient, made points.

use super::TILE;
use super::transform::{POINTS, SIDE, points};
use crate::Shape;
use crate::finish::Shared;
use crate::isa::{Isa, Job, Vector};
use crate::kept::Kept;
use crate::map::Source;
use crate::tile::zipped;

/// Channels of the tiles of a row that are transformed at a time: their six rows stay in the nearest cache.
const STRIP: usize = 96;

/// Whether the channels of two neighbouring tiles can be laid down in turns.
pub(super) fn can_be_zipped(isa: Isa, channels: usize, columns: usize) -> bool {
    zipped::at_hand(isa) && columns.is_multiple_of(2) && (channels == 8 || channels.is_multiple_of(16))
}

/// Values to be cut into tiles of `N` by `N`, [`TILE`] apart: 6 of an input, 4 of a result's gradient.
#[derive(Clone, Copy)]
pub(super) struct Tiles<'a, const N: usize> {
    pub isa: Isa,
    pub x: &'a Source<'a>,
    pub xs: Shape,
    /// Zeros above and left of the values; what lies beyond them is zero, too.
    pub pad: [usize; 2],
    /// Tiles of a row.
    pub columns: usize,
    /// Whether the channels of two neighbouring tiles are laid down in turns.
    pub zipped: bool,
}

impl<const N: usize> Tiles<'_, N> {
    /// Tiles of a row that are transformed at a time.
    fn strip(&self) -> usize {
        let tiles = STRIP / self.xs.c.max(1);
        // Two are zipped at a time, and there is an even number of them then.
        let tiles = if self.zipped { tiles.max(1).next_multiple_of(2) } else { tiles };
        tiles.clamp(1, self.columns)
    }

    /// Floats of a strip's row.
    fn wide(&self) -> usize {
        (self.strip() * TILE + N - TILE) * self.xs.c
    }

    /// Floats that [`Tiles::fill`] takes of [`Kept::Rows`].
    pub fn room(&self) -> usize {
        self.xs.w * self.xs.c + SIDE * self.wide()
    }

    /// Transforms the tiles of a row: of a slice, counted over all samples, or of zeros. Point `p` of them goes to
    /// `points[p * apart + first..]`, tile by tile.
    ///
    /// # Safety
    /// Nothing else reads or writes those places.
    pub unsafe fn fill(&self, slice: Option<usize>, row: usize, points: Shared, to: [usize; 2]) {
        let c = self.xs.c;
        let [apart, first] = to;
        let Some(slice) = slice else {
            for p in 0..POINTS {
                // SAFETY: the caller's promise.
                unsafe { points.slice(p * apart + first, self.columns * c) }.fill(0.0);
            }
            return;
        };
        // SAFETY: the caller's promise.
        Kept::Rows.lend(self.room(), |rows| unsafe {
            Kept::Pointwise.lend(self.x.room(super::seen_rows(self.xs)), |made| {
                self.strips(slice, row, points, to, (rows, made));
            });
        });
    }

    /// The same by way of `rows`: a row of zeros, and six rows transformed along height, a strip of tiles at a time;
    /// and of `made`, for the rows that are seen where they are to be computed.
    ///
    /// # Safety
    /// As [`Tiles::fill`].
    unsafe fn strips(
        &self,
        slice: usize,
        row: usize,
        points: Shared,
        to: [usize; 2],
        (rows, made): (&mut [f32], &mut [f32]),
    ) {
        let (c, [apart, first]) = (self.xs.c, to);
        assert!(!self.zipped || can_be_zipped(self.isa, c, self.columns));
        let (line, strip, wide) = (self.xs.w * c, self.strip(), self.wide());
        let (zeros, rows) = rows.split_at_mut(line);
        let [top, bottom] = [0, N].map(|i| (row * TILE + i).saturating_sub(self.pad[0]).min(self.xs.h));
        if bottom - top < N {
            zeros.fill(0.0);
        }
        let places = [top, bottom].map(|y| (slice * self.xs.h + y) * self.xs.w);
        // SAFETY: what wide kernels read is not stored in place.
        let values = unsafe { self.x.read(places[0]..places[1], made) };
        let seen: [&[f32]; N] = std::array::from_fn(|i| {
            let y = (row * TILE + i).checked_sub(self.pad[0]).filter(|&y| y < self.xs.h);
            y.map_or(&*zeros, |y| &values[(y - top) * line..][..line])
        });
        let left = self.pad[1] * c;
        for from in (0..self.columns).step_by(strip) {
            let columns = strip.min(self.columns - from);
            // The strip in a row with its padding, and what of it is no padding.
            let (low, high) = (from * TILE * c, ((from + columns) * TILE + N - TILE) * c);
            let begin = left.clamp(low, high);
            let end = (left + line).clamp(begin, high);
            for row in rows.chunks_exact_mut(wide) {
                row[..begin - low].fill(0.0);
                row[end - low..high - low].fill(0.0);
            }
            if begin < end {
                let seen: [&[f32]; N] = seen.map(|row| &row[begin - left..end - left]);
                let rows = rows[begin - low..].as_mut_ptr();
                // SAFETY: it reads the rows seen and writes as many floats of each of six rows, `wide` apart.
                unsafe { self.isa.run(&AlongHeight { seen: &seen, count: end - begin, rows, wide }) };
            }
            let to: [*mut f32; POINTS] = std::array::from_fn(|p| {
                // SAFETY: the caller's promise.
                unsafe { points.slice(p * apart + first + from * c, columns * c) }.as_mut_ptr()
            });
            // SAFETY: the rows hold `columns` tiles, and so do the points' places.
            unsafe {
                self.isa.run(&AlongWidth::<N> { rows, wide, columns, c, zipped: self.zipped, to: &to })
            };
        }
    }
}

/// `N` rows of values to six rows of points.
struct AlongHeight<'a, const N: usize> {
    seen: &'a [&'a [f32]; N],
    count: usize,
    rows: *mut f32,
    wide: usize,
}

impl<const N: usize> Job for AlongHeight<'_, N> {
    // Needs: `count` floats in each row seen; six rows to write, `wide` apart.
    #[inline(always)]
    unsafe fn run<V: Vector>(&self) {
        // Vectors are to be stored within lines of the cache, those of the first row at least, and of the others where
        // rows are whole lines: what a row begins with before one is stored apart.
        let before = (self.rows.addr() / size_of::<f32>()).wrapping_neg() % V::LANES;
        // SAFETY: k and the lanes stay below `count`.
        unsafe {
            let mut k = before.min(self.count);
            self.some::<V>(0, k);
            while k + V::LANES <= self.count {
                let mut d = [V::splat(0.0); N];
                for (d, seen) in d.iter_mut().zip(self.seen) {
                    debug_assert!(k + V::LANES <= seen.len());
                    *d = V::load(seen.as_ptr().add(k));
                }
                for (i, v) in points(d).into_iter().enumerate() {
                    v.store(self.rows.add(i * self.wide + k));
                }
                k += V::LANES;
            }
            self.some::<V>(k, self.count - k);
        }
    }
}

impl<const N: usize> AlongHeight<'_, N> {
    /// The `n` floats from `k` on, fewer than a vector has.
    ///
    /// # Safety
    /// As its `run`, for these floats.
    #[inline(always)]
    unsafe fn some<V: Vector>(&self, k: usize, n: usize) {
        if n == 0 {
            return;
        }
        // SAFETY: the caller's promise.
        unsafe {
            let mut d = [V::splat(0.0); N];
            for (d, seen) in d.iter_mut().zip(self.seen) {
                debug_assert!(k + n <= seen.len() && n < V::LANES);
                *d = V::load_first(seen.as_ptr().add(k), n);
            }
            for (i, v) in points(d).into_iter().enumerate() {
                v.store_first(self.rows.add(i * self.wide + k), n);
            }
        }
    }
}

/// Six rows of points along height to the points of each tile.
struct AlongWidth<'a, const N: usize> {
    rows: &'a [f32],
    wide: usize,
    columns: usize,
    c: usize,
    zipped: bool,
    /// Where each point's tiles of this row begin.
    to: &'a [*mut f32; POINTS],
}

impl<const N: usize> Job for AlongWidth<'_, N> {
    // Needs: six rows of `columns` tiles; `columns * c` floats to write at each point. Where the channels are zipped
    // vectors of sixteen lanes, an even number of tiles, and 8 channels or a multiple of 16.
    #[inline(always)]
    unsafe fn run<V: Vector>(&self) {
        for i in 0..SIDE {
            let mut j = 0;
            while (self.zipped || self.c == 8 && V::LANES == 16) && j + 1 < self.columns {
                // SAFETY: two tiles of eight channels, or of sixteen at a time, lie within the rows and the points'
                // planes.
                unsafe {
                    match (self.zipped, self.c) {
                        (false, _) => self.two_tiles::<V>(i, j),
                        (true, 8) => self.zip_of_eight::<V>(i, j),
                        (true, c) => {
                            let mut k = 0;
                            while k < c {
                                self.zip_of_sixteen::<V>(i, j, k);
                                k += 16;
                            }
                        }
                    }
                }
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

impl<const N: usize> AlongWidth<'_, N> {
    /// Whether the rows hold tile `j` of row `i`, and a place has `channels`.
    fn holds(&self, i: usize, j: usize, channels: usize) -> bool {
        let end = (j * TILE + N) * self.c;
        channels <= self.c && end <= self.wide && i * self.wide + end <= self.rows.len()
    }

    /// Two neighbouring tiles of eight channels, halves of vectors of sixteen.
    ///
    /// # Safety
    /// As its `run`, for the tiles `j` and `j + 1`, row `i`.
    #[inline(always)]
    unsafe fn two_tiles<V: Vector>(&self, i: usize, j: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            debug_assert!(self.holds(i, j + 1, self.c) && j + 2 <= self.columns);
            let from = self.rows.as_ptr().add(i * self.wide + j * TILE * self.c);
            let mut d = [V::splat(0.0); N];
            for (m, d) in d.iter_mut().enumerate() {
                let at = from.add(m * self.c);
                *d = V::join(V::Half::load(at), V::Half::load(at.add(TILE * self.c)));
            }
            for (v, to) in points(d).into_iter().zip(&self.to[i * SIDE..][..SIDE]) {
                v.store(to.add(j * self.c));
            }
        }
    }

    /// Two neighbouring tiles of eight channels, their lanes in turns.
    ///
    /// # Safety
    /// As [`AlongWidth::two_tiles`].
    #[inline(always)]
    unsafe fn zip_of_eight<V: Vector>(&self, i: usize, j: usize) {
        // SAFETY: the caller's promise: two columns at a time, N of them, four further on for the second tile.
        unsafe {
            debug_assert!(self.holds(i, j + 1, self.c) && j + 2 <= self.columns);
            let from = self.rows.as_ptr().add(i * self.wide + j * TILE * self.c);
            let mut d = [V::splat(0.0); N];
            for (m, d) in d.chunks_exact_mut(2).enumerate() {
                let at = from.add(m * V::LANES);
                d.copy_from_slice(&V::load(at).zip(V::load(at.add(TILE * self.c))));
            }
            for (v, to) in points(d).into_iter().zip(&self.to[i * SIDE..][..SIDE]) {
                v.store(to.add(j * self.c));
            }
        }
    }

    /// Sixteen channels from `k` on of two neighbouring tiles, their lanes in turns.
    ///
    /// # Safety
    /// As [`AlongWidth::two_tiles`], for these channels.
    #[inline(always)]
    unsafe fn zip_of_sixteen<V: Vector>(&self, i: usize, j: usize, k: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            debug_assert!(self.holds(i, j + 1, k + V::LANES) && j + 2 <= self.columns);
            let from = self.rows.as_ptr().add(i * self.wide + j * TILE * self.c + k);
            let (mut low, mut high) = ([V::splat(0.0); N], [V::splat(0.0); N]);
            for (m, (low, high)) in low.iter_mut().zip(&mut high).enumerate() {
                let at = from.add(m * self.c);
                [*low, *high] = V::load(at).zip(V::load(at.add(TILE * self.c)));
            }
            for (half, d) in [low, high].into_iter().enumerate() {
                for (v, to) in points(d).into_iter().zip(&self.to[i * SIDE..][..SIDE]) {
                    v.store(to.add(j * self.c + 2 * k + half * V::LANES));
                }
            }
        }
    }

    /// # Safety
    /// As its `run`, for the `n` channels from `k` on of tile `j`, row `i`.
    #[inline(always)]
    unsafe fn tile<V: Vector>(&self, i: usize, j: usize, k: usize, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            debug_assert!(self.holds(i, j, k + n) && j < self.columns);
            let from = self.rows.as_ptr().add(i * self.wide + j * TILE * self.c + k);
            let to = &self.to[i * SIDE..][..SIDE];
            let mut d = [V::splat(0.0); N];
            if n == V::LANES {
                for (m, d) in d.iter_mut().enumerate() {
                    *d = V::load(from.add(m * self.c));
                }
                for (v, to) in points(d).into_iter().zip(to) {
                    v.store(to.add(j * self.c + k));
                }
            } else {
                for (m, d) in d.iter_mut().enumerate() {
                    *d = V::load_first(from.add(m * self.c), n);
                }
                for (v, to) in points(d).into_iter().zip(to) {
                    v.store_first(to.add(j * self.c + k), n);
                }
            }
        }
    }
}
