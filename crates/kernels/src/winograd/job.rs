//! The stages of a layer: its parts, transformed, multiplied, and transformed back.

use super::back::{Back, Place};
use super::forth::{Tiles, can_be_zipped};
use super::transform::{POINTS, SIDE};
use super::{Cut, POSITIONS, TILE};
use crate::finish::{Ending, Shared};
use crate::isa::Isa;
use crate::kept::{Kept, Room};
use crate::map::Source;
use crate::panels::{Panel, Panels, WIDEST};
use crate::tile::{Plain, Tap, multiply, zipped};
use crate::{Conv, Shape};
use rayon::prelude::*;
use std::ops::Range;

/// Floats between the points' planes beyond their length, so that a tile's points do not all fall on
/// the same lines of a cache.
pub(super) const APART: usize = 16;

/// Positions of a depth for which it pays to multiply them apart from others, without the kernel's slices that see
/// padding there.
const ENOUGH: usize = 12;

/// Convolves with weights of [`super::pack`]; kernel `[kd, 3, 3]`, stride 1.
pub(crate) fn convolve(
    isa: Isa,
    conv: &Conv,
    x: &Source,
    xs: Shape,
    weights: &Panels,
    y: Shared,
    end: &Ending,
) {
    let ys = conv.output(xs);
    assert!(conv.kernel[1..] == [3, 3] && conv.stride == [1; 3] && [xs.c, x.channels()] == [conv.c_in; 2]);
    let rows = POINTS * conv.kernel[0] * conv.c_in;
    assert_eq!((weights.rows, weights.columns), (rows, ys.c), "weights packed for another layer");
    if ys.is_empty() {
        return;
    }
    let cut = Cut::new(conv, ys);
    let part = |i: usize| Part::new(isa, conv, (x, xs, ys), &cut, i).zipped_where_it_pays();
    match cut.jobs() {
        1 => part(0).shared(weights, y, end),
        jobs => (0..jobs).into_par_iter().for_each(|i| part(i).alone(weights, y, end)),
    }
}

/// What [`convolve`] takes at most, beside its operands, on some threads.
pub(crate) fn room(conv: &Conv, xs: Shape, threads: usize) -> Room {
    let ys = conv.output(xs);
    let cut = Cut::new(conv, ys);
    let none = Source::Values(&[], xs.c);
    let part = Part::new(Isa::best(), conv, (&none, xs, ys), &cut, 0).zipped_where_it_pays();
    let products = POINTS * POSITIONS.min(part.results() * part.plane()) * WIDEST;
    // One part has its points once, and all threads work on it.
    let [points, threads] = match cut.jobs() {
        1 => [1, threads],
        jobs => [threads.min(jobs); 2],
    };
    Room {
        points: points * POINTS * part.apart(),
        rows: threads * part.tiles().room(),
        products: threads * products,
        pointwise: 0,
    }
}

/// Places of the input that a row of tiles sees at most.
pub(crate) fn seen_rows(xs: Shape) -> usize {
    SIDE.min(xs.h) * xs.w
}

/// Some samples, slices and rows of tiles of the result. Slices are counted as they lie: the first of each sample,
/// then the second of each.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    isa: Isa,
    conv: &'a Conv,
    x: &'a Source<'a>,
    xs: Shape,
    ys: Shape,
    /// Tiles of a row.
    pub columns: usize,
    /// First sample and samples.
    sample: usize,
    samples: usize,
    /// First slice of each sample's result, and slices.
    slice: usize,
    slices: usize,
    /// First row of tiles and rows.
    pub row: usize,
    pub rows: usize,
    /// Whether the points of two neighbouring tiles lie in turns.
    zipped: bool,
}

/// Positions that go together into a product of matrices, and the kernel's slices that see more than padding there.
struct Chunk {
    from: usize,
    count: usize,
    taps: Range<usize>,
}

impl<'a> Part<'a> {
    /// The part of a job.
    pub fn new(
        isa: Isa,
        conv: &'a Conv,
        (x, xs, ys): (&'a Source<'a>, Shape, Shape),
        cut: &Cut,
        job: usize,
    ) -> Self {
        let [all_samples, all_slices] = cut.all;
        let (high, deep) = (cut.tiles[0].div_ceil(cut.rows), all_slices.div_ceil(cut.slices));
        let (row, slice) = (job % high * cut.rows, job / high % deep * cut.slices);
        let sample = job / high / deep * cut.samples;
        let samples = cut.samples.min(all_samples - sample);
        let slices = cut.slices.min(all_slices - slice);
        let rows = cut.rows.min(cut.tiles[0] - row);
        Self {
            isa,
            conv,
            x,
            xs,
            ys,
            columns: cut.tiles[1],
            sample,
            samples,
            slice,
            slices,
            row,
            rows,
            zipped: false,
        }
    }

    /// The same, points lying in turns where a vector then holds the products of all channels at two positions.
    fn zipped_where_it_pays(self) -> Self {
        Self { zipped: self.ys.c <= 8 && can_be_zipped(self.isa, self.xs.c, self.columns), ..self }
    }

    /// Tiles of a slice.
    pub fn plane(&self) -> usize {
        self.rows * self.columns
    }

    /// Slices of the result, of all samples together.
    pub fn results(&self) -> usize {
        self.slices * self.samples
    }

    /// Slices of the input that the part sees, padding included, of all samples together.
    pub fn seen(&self) -> usize {
        (self.slices + self.conv.kernel[0] - 1) * self.samples
    }

    /// Floats between two points' planes `[seen][rows][columns][c]`.
    pub fn apart(&self) -> usize {
        self.seen() * self.plane() * self.xs.c + APART
    }

    /// Positions from those that one slice of the kernel sees to those that the next one does.
    pub fn deeper(&self) -> usize {
        self.samples * self.plane()
    }

    /// Sample and slice of the result's `slice`-th slice in this part.
    pub fn place(&self, slice: usize) -> (usize, usize) {
        (self.sample + slice % self.samples, self.slice + slice / self.samples)
    }

    /// The slice of the input, counted over all samples, that lies at `slice` of those seen; none where padding does.
    fn source(&self, slice: usize) -> Option<usize> {
        let (n, d) = self.place(slice);
        let z = d.checked_sub(self.conv.pad[0]).filter(|&z| z < self.xs.d)?;
        Some(n * self.xs.d + z)
    }

    /// Whether products leave out what sees padding alone.
    fn leaves_out_padding(&self) -> bool {
        self.deeper() >= ENOUGH
    }

    /// The whole part on this thread.
    fn alone(&self, weights: &Panels, y: Shared, end: &Ending) {
        Kept::Points.lend(POINTS * self.apart(), |points| {
            let shared = Shared::new(points);
            for i in (0..self.seen() * self.rows).filter(|i| self.is_read(i / self.rows)) {
                // SAFETY: one thread fills, and nothing reads yet.
                unsafe { self.fill(i / self.rows, i % self.rows, shared) };
            }
            let chunks = self.chunks();
            for panel in weights.iter() {
                chunks.iter().for_each(|chunk| self.multiply(points, panel, chunk, y, end));
            }
        });
    }

    /// The whole part on all threads, where there is one part only: as many pieces of weights as there
    /// are panels, read once each.
    fn shared(&self, weights: &Panels, y: Shared, end: &Ending) {
        Kept::Points.lend(POINTS * self.apart(), |points| {
            let shared = Shared::new(points);
            (0..self.seen() * self.rows).into_par_iter().filter(|i| self.is_read(i / self.rows)).for_each(
                |i| {
                    // SAFETY: each row of each slice has places of its own, and nothing reads yet.
                    unsafe { self.fill(i / self.rows, i % self.rows, shared) };
                },
            );
            let (points, chunks) = (&*points, self.chunks());
            (0..weights.len() * chunks.len()).into_par_iter().for_each(|i| {
                let (panel, chunk) = (weights.panel(i / chunks.len()), &chunks[i % chunks.len()]);
                self.multiply(points, panel, chunk, y, end);
            });
        });
    }

    /// The input, to be cut into tiles.
    fn tiles(&self) -> Tiles<'a, SIDE> {
        let pad = [self.conv.pad[1], self.conv.pad[2]];
        Tiles { isa: self.isa, x: self.x, xs: self.xs, pad, columns: self.columns, zipped: self.zipped }
    }

    /// Transforms the tiles of one row of one slice.
    ///
    /// # Safety
    /// Nothing else reads or writes the points of that row and slice.
    pub unsafe fn fill(&self, slice: usize, row: usize, points: Shared) {
        let to = [self.apart(), (slice * self.rows + row) * self.columns * self.xs.c];
        // SAFETY: the caller's promise.
        unsafe { self.tiles().fill(self.source(slice), self.row + row, points, to) };
    }

    /// Whether products read a slice of those seen.
    fn is_read(&self, slice: usize) -> bool {
        !self.leaves_out_padding() || self.source(slice).is_some()
    }

    /// The positions that go together, at most [`POSITIONS`].
    fn chunks(&self) -> Vec<Chunk> {
        let deep = self.conv.kernel[0];
        // Of each depth the kernel's slices that see the input, then the depths that are alike.
        let mut spans: Vec<(usize, Range<usize>)> = Vec::new();
        for d in 0..self.slices {
            let is_seen = |tap: &usize| self.source((d + tap) * self.samples).is_some();
            let taps = match (0..deep).find(is_seen).zip((0..deep).rfind(is_seen)) {
                _ if !self.leaves_out_padding() => 0..deep,
                Some((first, last)) => first..last + 1,
                None => 0..0,
            };
            match spans.last_mut() {
                Some((count, others)) if *others == taps => *count += self.deeper(),
                _ => spans.push((self.deeper(), taps)),
            }
        }
        let (mut chunks, mut start) = (Vec::new(), 0);
        for (count, taps) in spans {
            for at in (0..count).step_by(POSITIONS) {
                let count = POSITIONS.min(count - at);
                chunks.push(Chunk { from: start + at, count, taps: taps.clone() });
            }
            start += count;
        }
        chunks
    }

    /// Where the results of `count` positions from `from` on go.
    fn places(&self, from: usize, count: usize) -> Vec<Place> {
        let (ys, plane) = (self.ys, self.plane());
        let (mut slice, tile) = (from / plane, from % plane);
        let (mut row, mut column) = (tile / self.columns, tile % self.columns);
        let mut places = Vec::with_capacity(count);
        while places.len() < count {
            let (n, d) = self.place(slice);
            let h = (self.row + row) * TILE;
            let line = ((n * ys.d + d) * ys.h + h) * ys.w;
            for w in (column..self.columns.min(column + count - places.len())).map(|column| column * TILE) {
                places.push(Place { at: (line + w) * ys.c, size: [TILE.min(ys.h - h), TILE.min(ys.w - w)] });
            }
            (row, column) = (row + 1, 0);
            if row == self.rows {
                (slice, row) = (slice + 1, 0);
            }
        }
        places
    }

    /// The results of a chunk, for one panel's channels.
    fn multiply(&self, points: &[f32], panel: Panel, chunk: &Chunk, y: Shared, end: &Ending) {
        let (c, width, Chunk { from, count, taps: seen }) = (self.xs.c, panel.width, chunk);
        let places = self.places(*from, *count);
        let mut taps: Vec<Tap> = seen.clone().map(|_| Tap { x: &[], step: c, run: c }).collect();
        Kept::Products.lend(POINTS * count * width, |products| {
            for (p, products) in products.chunks_exact_mut(count * width).enumerate() {
                for place in &places[p * count / POINTS..(p + 1) * count / POINTS] {
                    y.fetch(place.at + panel.first, width, [self.ys.w * self.ys.c, self.ys.c], place.size);
                }
                for (z, tap) in seen.clone().zip(&mut taps) {
                    let at = p * self.apart() + (from + z * self.deeper()) * c;
                    tap.x = &points[at..at + count * c];
                }
                let part = panel.rows((p * self.conv.kernel[0] + seen.start) * c, seen.len() * c);
                if self.zipped {
                    zipped::multiply(&taps, part, products);
                } else {
                    multiply(self.isa, &taps, *count, part, &Plain::new(products, width));
                }
            }
            let back = Back {
                ys: self.ys,
                products,
                places: &places,
                count: *count,
                zipped: self.zipped,
                panel,
                y,
                end,
            };
            // SAFETY: the products are those of `count` positions; each position has results of its own, and
            // each panel channels of its own.
            unsafe { self.isa.run(&back) };
        });
    }
}
