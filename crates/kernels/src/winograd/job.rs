//! The three stages of a layer: transform, products, transform back.

use super::transform::{POINTS, SIDE, input, output};
use super::{Cut, POSITIONS, TILE};
use crate::finish::{Ending, Results, Shared};
use crate::isa::{Isa, Job, Vector};
use crate::panels::{Panel, Panels, WIDEST};
use crate::tile::{Plain, Store, Tap, multiply};
use crate::{Conv, Shape};
use rayon::prelude::*;

/// Floats between the points' planes beyond their length, so that a tile's points do not all fall on
/// the same lines of a cache.
const APART: usize = 16;

/// Positions of a sample for which it pays to leave out the slices between samples.
const ENOUGH: usize = 12;

/// Convolves with weights of [`super::pack`]; kernel `[kd, 3, 3]`, stride 1.
pub(crate) fn convolve(
    isa: Isa,
    conv: &Conv,
    x: &[f32],
    xs: Shape,
    weights: &Panels,
    y: Shared,
    end: &Ending,
) {
    let ys = conv.output(xs);
    assert_eq!(x.len(), xs.len(), "values do not fit their shape");
    assert!(conv.kernel[1..] == [3, 3] && conv.stride == [1; 3] && xs.c == conv.c_in);
    let rows = POINTS * conv.kernel[0] * conv.c_in;
    assert_eq!((weights.rows, weights.columns), (rows, ys.c), "weights packed for another layer");
    if ys.is_empty() {
        return;
    }
    let cut = Cut::new(conv, ys);
    let part = |i: usize| Part::new(isa, conv, (x, xs, ys), &cut, i);
    match cut.jobs() {
        1 => part(0).shared(weights, y, end),
        jobs => (0..jobs).into_par_iter().for_each_init(Room::default, |room, i| {
            part(i).alone(weights, y, end, room);
        }),
    }
}

/// Floats that [`convolve`] takes at most, beside its operands, on some threads.
pub(crate) fn room(conv: &Conv, xs: Shape, threads: usize) -> usize {
    let ys = conv.output(xs);
    let cut = Cut::new(conv, ys);
    let part = Part::new(Isa::Portable, conv, (&[], xs, ys), &cut, 0);
    let rows = xs.w * xs.c + SIDE * (part.columns * TILE + 2) * xs.c;
    let products = POINTS * POSITIONS.min(part.slices * part.plane()) * WIDEST;
    let points = POINTS * part.apart();
    match cut.jobs() {
        1 => points + threads * (rows + products),
        jobs => threads.min(jobs) * (points + rows + products),
    }
}

/// Buffers of a thread.
#[derive(Default)]
struct Room {
    points: Vec<f32>,
    rows: Vec<f32>,
    products: Vec<f32>,
}

/// Makes `room` at least `len` long.
fn at_least(room: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if room.len() < len {
        room.resize(len, 0.0);
    }
    &mut room[..len]
}

/// Some slices and rows of tiles of the result.
#[derive(Clone, Copy)]
struct Part<'a> {
    isa: Isa,
    conv: &'a Conv,
    x: &'a [f32],
    xs: Shape,
    ys: Shape,
    /// Tiles of a row.
    columns: usize,
    /// First slice and slices, of all samples' slices with their padding along depth.
    slice: usize,
    slices: usize,
    /// First row of tiles and rows.
    row: usize,
    rows: usize,
}

impl<'a> Part<'a> {
    /// The part of a job.
    fn new(isa: Isa, conv: &'a Conv, (x, xs, ys): (&'a [f32], Shape, Shape), cut: &Cut, job: usize) -> Self {
        let high = cut.tiles[0].div_ceil(cut.rows);
        let (slice, row) = (job / high * cut.slices, job % high * cut.rows);
        let slices = cut.slices.min(cut.total - slice);
        let rows = cut.rows.min(cut.tiles[0] - row);
        Self { isa, conv, x, xs, ys, columns: cut.tiles[1], slice, slices, row, rows }
    }

    /// Tiles of a slice.
    fn plane(&self) -> usize {
        self.rows * self.columns
    }

    /// Slices of the input that the part sees.
    fn seen(&self) -> usize {
        self.slices + self.conv.kernel[0] - 1
    }

    /// Floats between two points' planes `[seen][rows][columns][c]`.
    fn apart(&self) -> usize {
        self.seen() * self.plane() * self.xs.c + APART
    }

    /// Sample and slice within it of a slice of all samples' slices with their padding.
    fn sample(&self, slice: usize) -> (usize, usize) {
        let deep = self.ys.d + self.conv.kernel[0] - 1;
        (slice / deep, slice % deep)
    }

    /// The whole part on this thread.
    fn alone(&self, weights: &Panels, y: Shared, end: &Ending, room: &mut Room) {
        let points = at_least(&mut room.points, POINTS * self.apart());
        let shared = Shared::new(points);
        for i in 0..self.seen() * self.rows {
            // SAFETY: one thread fills, and nothing reads yet.
            unsafe { self.fill(i / self.rows, i % self.rows, shared, &mut room.rows) };
        }
        let chunks = self.chunks();
        for panel in weights.iter() {
            for &(from, count) in &chunks {
                self.multiply(points, panel, (from, count), &mut room.products, y, end);
            }
        }
    }

    /// The whole part on all threads, where there is one part only: as many pieces of weights as there
    /// are panels, read once each.
    fn shared(&self, weights: &Panels, y: Shared, end: &Ending) {
        let mut points = vec![0.0; POINTS * self.apart()];
        let shared = Shared::new(&mut points);
        (0..self.seen() * self.rows).into_par_iter().for_each_init(Vec::new, |rows, i| {
            // SAFETY: each row of each slice has places of its own, and nothing reads yet.
            unsafe { self.fill(i / self.rows, i % self.rows, shared, rows) };
        });
        let chunks = self.chunks();
        (0..weights.len() * chunks.len()).into_par_iter().for_each_init(Vec::new, |products, i| {
            let (panel, chunk) = (weights.panel(i / chunks.len()), chunks[i % chunks.len()]);
            self.multiply(&points, panel, chunk, products, y, end);
        });
    }

    /// Transforms the tiles of one row of one slice.
    ///
    /// # Safety
    /// Nothing else reads or writes the points of that row and slice.
    unsafe fn fill(&self, slice: usize, row: usize, points: Shared, rows: &mut Vec<f32>) {
        let c = self.xs.c;
        let (line, wide) = (self.xs.w * c, (self.columns * TILE + 2) * c);
        let first = (slice * self.rows + row) * self.columns * c;
        let (n, d) = self.sample(self.slice + slice);
        let Some(z) = d.checked_sub(self.conv.pad[0]).filter(|&z| z < self.xs.d) else {
            for p in 0..POINTS {
                // SAFETY: the caller's promise.
                unsafe { points.slice(p * self.apart() + first, self.columns * c) }.fill(0.0);
            }
            return;
        };
        // A row of zeros, then six rows transformed along height.
        let (zeros, rows) = at_least(rows, line + SIDE * wide).split_at_mut(line);
        zeros.fill(0.0);
        let seen: [&[f32]; SIDE] = std::array::from_fn(|i| {
            let y = ((self.row + row) * TILE + i).checked_sub(self.conv.pad[1]).filter(|&y| y < self.xs.h);
            y.map_or(&*zeros, |y| &self.x[((n * self.xs.d + z) * self.xs.h + y) * line..][..line])
        });
        let left = (self.conv.pad[2] * c).min(wide);
        let count = line.min(wide - left);
        for row in rows.chunks_exact_mut(wide) {
            row[..left].fill(0.0);
            row[left + count..].fill(0.0);
        }
        // SAFETY: `fill` reads `count` floats of each row seen and writes them within `rows`.
        unsafe { self.isa.run(&AlongHeight { seen: &seen, count, rows: rows.as_mut_ptr().add(left), wide }) };
        let to: [*mut f32; POINTS] = std::array::from_fn(|p| {
            // SAFETY: the caller's promise.
            unsafe { points.slice(p * self.apart() + first, self.columns * c) }.as_mut_ptr()
        });
        // SAFETY: the rows are `columns` tiles and two places wide, the points' planes `columns` tiles.
        unsafe { self.isa.run(&AlongWidth { rows, wide, columns: self.columns, c, to: &to }) };
    }

    /// The positions that go together into a product of matrices: first and count, at most [`POSITIONS`].
    ///
    /// What lies between two samples is no result, and left out where a sample alone has positions enough.
    fn chunks(&self) -> Vec<(usize, usize)> {
        let (plane, all) = (self.plane(), self.slices * self.plane());
        let mut spans = vec![(0, all)];
        if self.ys.d * plane >= ENOUGH {
            let is_result = |s: &usize| self.sample(self.slice + s).1 < self.ys.d;
            spans.clear();
            for slice in (0..self.slices).filter(is_result) {
                match spans.last_mut() {
                    Some((_, to)) if *to == slice * plane => *to += plane,
                    _ => spans.push((slice * plane, (slice + 1) * plane)),
                }
            }
        }
        let cut = |(from, to): (usize, usize)| {
            (from..to).step_by(POSITIONS).map(move |at| (at, POSITIONS.min(to - at)))
        };
        spans.into_iter().flat_map(cut).collect()
    }

    /// The results of `count` positions from `from` on, for one panel's channels.
    fn multiply(
        &self,
        points: &[f32],
        panel: Panel,
        (from, count): (usize, usize),
        room: &mut Vec<f32>,
        y: Shared,
        end: &Ending,
    ) {
        let (c, plane, width) = (self.xs.c, self.plane(), panel.width);
        let products = at_least(room, POINTS * count * width);
        for (p, products) in products.chunks_exact_mut(count * width).enumerate() {
            let tap = |z: usize| {
                let at = p * self.apart() + (from + z * plane) * c;
                Tap { x: &points[at..at + count * c], step: c, run: c }
            };
            let taps: Vec<Tap> = (0..self.conv.kernel[0]).map(tap).collect();
            let part = panel.part(p, self.conv.kernel[0] * c);
            multiply(self.isa, &taps, count, part, &Plain::new(products, width));
        }
        let back = Back { part: self, products, from, count, panel, y, end };
        // SAFETY: the products are those of `count` positions; each position has results of its own, and
        // each panel channels of its own.
        unsafe { self.isa.run(&back) };
    }
}

/// Six rows of input to six rows of points.
struct AlongHeight<'a> {
    seen: &'a [&'a [f32]; SIDE],
    count: usize,
    rows: *mut f32,
    wide: usize,
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
struct AlongWidth<'a> {
    rows: &'a [f32],
    wide: usize,
    columns: usize,
    c: usize,
    /// Where each point's tiles of this row begin.
    to: &'a [*mut f32; POINTS],
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

/// The products of some positions to their results.
struct Back<'a> {
    part: &'a Part<'a>,
    /// `[36][count][width]`.
    products: &'a [f32],
    from: usize,
    count: usize,
    panel: Panel<'a>,
    y: Shared<'a>,
    end: &'a Ending<'a>,
}

impl Job for Back<'_> {
    // Needs: products of that size; results that nothing else reads or writes.
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
    /// Where the results of position `q` go, and how many rows and columns of them there are; `None` between
    /// samples. The store is checked for all of them.
    ///
    /// # Safety
    /// Nothing else reads or writes the results.
    #[inline(always)]
    unsafe fn place(&self, q: usize) -> Option<(Results<'a>, [usize; 2])> {
        let (part, ys) = (self.part, self.part.ys);
        let (tile, slice) = ((self.from + q) % part.plane(), (self.from + q) / part.plane());
        let (n, d) = part.sample(part.slice + slice);
        if d >= ys.d {
            return None;
        }
        let [h, w] = [(part.row + tile / part.columns) * TILE, tile % part.columns * TILE];
        let size = [TILE.min(ys.h - h), TILE.min(ys.w - w)];
        let at = (((n * ys.d + d) * ys.h + h) * ys.w + w) * ys.c;
        // SAFETY: the caller's promise.
        let store = unsafe { self.y.results(self.end, at, ys.c, self.panel.first) };
        store.check((size[0] - 1) * ys.w + size[1], self.panel.width);
        Some((store, size))
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
                    *m = V::load(from.add((i * SIDE + j) * self.count * self.panel.width));
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
            let Some((store, size)) = self.place(q) else { return };
            let columns = self.columns::<V>(q, lane);
            for r in 0..size[0] {
                let row = along_width(&columns, r);
                for (s, v) in row.into_iter().enumerate().take(size[1]) {
                    store.put(r * self.part.ys.w + s, lane, v);
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
                let row = along_width(&columns, r);
                if let Some((store, size)) = places[0].as_ref().filter(|p| r < p.1[0]) {
                    for (s, v) in row.into_iter().enumerate().take(size[1]) {
                        store.put(r * self.part.ys.w + s, 0, v.low());
                    }
                }
                if let Some((store, size)) = places[1].as_ref().filter(|p| r < p.1[0]) {
                    for (s, v) in row.into_iter().enumerate().take(size[1]) {
                        store.put(r * self.part.ys.w + s, 0, v.high());
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
