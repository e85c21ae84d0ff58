//! The stages of a layer: its parts, transformed, multiplied, and transformed back.

use super::back::{Back, Place};
use super::forth::Tiles;
use super::transform::{POINTS, SIDE};
use super::{Cut, POSITIONS, TILE};
use crate::finish::{Ending, Shared};
use crate::isa::Isa;
use crate::kept::{Kept, Room};
use crate::panels::{Panel, Panels, WIDEST};
use crate::tile::{Plain, Tap, multiply};
use crate::{Conv, Shape};
use rayon::prelude::*;

/// Floats between the points' planes beyond their length, so that a tile's points do not all fall on
/// the same lines of a cache.
pub(super) const APART: usize = 16;

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
        jobs => (0..jobs).into_par_iter().for_each(|i| part(i).alone(weights, y, end)),
    }
}

/// What [`convolve`] takes at most, beside its operands, on some threads.
pub(crate) fn room(conv: &Conv, xs: Shape, threads: usize) -> Room {
    let ys = conv.output(xs);
    let cut = Cut::new(conv, ys);
    let part = Part::new(Isa::Portable, conv, (&[], xs, ys), &cut, 0);
    let products = POINTS * POSITIONS.min(part.slices * part.plane()) * WIDEST;
    // One part has its points once, and all threads work on it.
    let [points, threads] = match cut.jobs() {
        1 => [1, threads],
        jobs => [threads.min(jobs); 2],
    };
    Room {
        points: points * POINTS * part.apart(),
        rows: threads * part.tiles().room(),
        products: threads * products,
    }
}

/// Some slices and rows of tiles of the result.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    isa: Isa,
    conv: &'a Conv,
    x: &'a [f32],
    xs: Shape,
    ys: Shape,
    /// Tiles of a row.
    pub columns: usize,
    /// First slice and slices, of all samples' slices with their padding along depth.
    pub slice: usize,
    pub slices: usize,
    /// First row of tiles and rows.
    pub row: usize,
    pub rows: usize,
}

impl<'a> Part<'a> {
    /// The part of a job.
    pub fn new(
        isa: Isa,
        conv: &'a Conv,
        (x, xs, ys): (&'a [f32], Shape, Shape),
        cut: &Cut,
        job: usize,
    ) -> Self {
        let high = cut.tiles[0].div_ceil(cut.rows);
        let (slice, row) = (job / high * cut.slices, job % high * cut.rows);
        let slices = cut.slices.min(cut.total - slice);
        let rows = cut.rows.min(cut.tiles[0] - row);
        Self { isa, conv, x, xs, ys, columns: cut.tiles[1], slice, slices, row, rows }
    }

    /// Tiles of a slice.
    pub fn plane(&self) -> usize {
        self.rows * self.columns
    }

    /// Slices of the input that the part sees.
    pub fn seen(&self) -> usize {
        self.slices + self.conv.kernel[0] - 1
    }

    /// Floats between two points' planes `[seen][rows][columns][c]`.
    pub fn apart(&self) -> usize {
        self.seen() * self.plane() * self.xs.c + APART
    }

    /// Sample and slice within it of a slice of all samples' slices with their padding.
    pub fn sample(&self, slice: usize) -> (usize, usize) {
        let deep = self.ys.d + self.conv.kernel[0] - 1;
        (slice / deep, slice % deep)
    }

    /// The whole part on this thread.
    fn alone(&self, weights: &Panels, y: Shared, end: &Ending) {
        Kept::Points.lend(POINTS * self.apart(), |points| {
            let shared = Shared::new(points);
            for i in 0..self.seen() * self.rows {
                // SAFETY: one thread fills, and nothing reads yet.
                unsafe { self.fill(i / self.rows, i % self.rows, shared) };
            }
            let chunks = self.chunks();
            for panel in weights.iter() {
                chunks.iter().for_each(|&chunk| self.multiply(points, panel, chunk, y, end));
            }
        });
    }

    /// The whole part on all threads, where there is one part only: as many pieces of weights as there
    /// are panels, read once each.
    fn shared(&self, weights: &Panels, y: Shared, end: &Ending) {
        Kept::Points.lend(POINTS * self.apart(), |points| {
            let shared = Shared::new(points);
            (0..self.seen() * self.rows).into_par_iter().for_each(|i| {
                // SAFETY: each row of each slice has places of its own, and nothing reads yet.
                unsafe { self.fill(i / self.rows, i % self.rows, shared) };
            });
            let (points, chunks) = (&*points, self.chunks());
            (0..weights.len() * chunks.len()).into_par_iter().for_each(|i| {
                let (panel, chunk) = (weights.panel(i / chunks.len()), chunks[i % chunks.len()]);
                self.multiply(points, panel, chunk, y, end);
            });
        });
    }

    /// The input, to be cut into tiles.
    fn tiles(&self) -> Tiles<'a, SIDE> {
        let pad = [self.conv.pad[1], self.conv.pad[2]];
        Tiles { isa: self.isa, x: self.x, xs: self.xs, pad, columns: self.columns }
    }

    /// Transforms the tiles of one row of one slice.
    ///
    /// # Safety
    /// Nothing else reads or writes the points of that row and slice.
    pub unsafe fn fill(&self, slice: usize, row: usize, points: Shared) {
        let (n, d) = self.sample(self.slice + slice);
        let seen = d.checked_sub(self.conv.pad[0]).filter(|&z| z < self.xs.d);
        let first = (slice * self.rows + row) * self.columns * self.xs.c;
        let to = [self.apart(), first];
        // SAFETY: the caller's promise.
        unsafe { self.tiles().fill(seen.map(|z| n * self.xs.d + z), self.row + row, points, to) };
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

    /// Where the results of `count` positions from `from` on go.
    fn places(&self, from: usize, count: usize) -> Vec<Place> {
        let (ys, plane) = (self.ys, self.plane());
        let (mut slice, tile) = (from / plane, from % plane);
        let (mut row, mut column) = (tile / self.columns, tile % self.columns);
        let mut places = Vec::with_capacity(count);
        while places.len() < count {
            let (n, d) = self.sample(self.slice + slice);
            let h = (self.row + row) * TILE;
            let line = ((n * ys.d + d) * ys.h + h) * ys.w;
            for w in (column..self.columns.min(column + count - places.len())).map(|column| column * TILE) {
                let size = if d < ys.d { [TILE.min(ys.h - h), TILE.min(ys.w - w)] } else { [0; 2] };
                places.push(Place { at: (line + w) * ys.c, size });
            }
            (row, column) = (row + 1, 0);
            if row == self.rows {
                (slice, row) = (slice + 1, 0);
            }
        }
        places
    }

    /// The results of `count` positions from `from` on, for one panel's channels.
    fn multiply(&self, points: &[f32], panel: Panel, (from, count): (usize, usize), y: Shared, end: &Ending) {
        let (c, plane, width) = (self.xs.c, self.plane(), panel.width);
        let places = self.places(from, count);
        let mut taps: Vec<Tap> = (0..self.conv.kernel[0]).map(|_| Tap { x: &[], step: c, run: c }).collect();
        Kept::Products.lend(POINTS * count * width, |products| {
            for (p, products) in products.chunks_exact_mut(count * width).enumerate() {
                for place in &places[p * count / POINTS..(p + 1) * count / POINTS] {
                    y.fetch(place.at + panel.first, width, [self.ys.w * self.ys.c, self.ys.c], place.size);
                }
                for (z, tap) in taps.iter_mut().enumerate() {
                    let at = p * self.apart() + (from + z * plane) * c;
                    tap.x = &points[at..at + count * c];
                }
                let part = panel.part(p, self.conv.kernel[0] * c);
                multiply(self.isa, &taps, count, part, &Plain::new(products, width));
            }
            let back = Back { ys: self.ys, products, places: &places, count, panel, y, end };
            // SAFETY: the products are those of `count` positions; each position has results of its own, and
            // each panel channels of its own.
            unsafe { self.isa.run(&back) };
        });
    }
}
