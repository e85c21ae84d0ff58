//! What a convolution reads: maps that are there, and results of 1 x 1 x 1 convolutions that are computed where
//! they are read, a few places at a time, and never stored as a whole.

use crate::finish::{Ending, Finish, Shared};
use crate::isa::Isa;
use crate::panels::Panels;
use crate::tile::{Tap, multiply};
use crate::{Conv, Packed, Shape};
use rayon::prelude::*;
use std::ops::Range;

/// A map that a convolution reads.
#[derive(Debug, Clone, Copy)]
pub enum Map<'a> {
    /// Values `[n, d, h, w, c]`, and `c`.
    Values(&'a [f32], usize),
    /// Values computed where they are read, by some readers more than once: where maps are larger than the caches
    /// this costs less than storing and loading them.
    Pointwise(Pointwise<'a>),
}

/// A 1 x 1 x 1 convolution of maps (values, channels) that lie side by side along channels. Its ending has no residual.
#[derive(Debug, Clone, Copy)]
pub struct Pointwise<'a> {
    /// The convolution.
    pub conv: &'a Conv,
    /// What it reads.
    pub maps: &'a [(&'a [f32], usize)],
    /// Its weights.
    pub weights: &'a Packed,
    /// What follows the sum.
    pub finish: Finish<'a>,
}

/// A checked [`Map`], ready to be read by several threads.
pub(crate) enum Source<'a> {
    Values(&'a [f32], usize),
    Pointwise { isa: Isa, maps: &'a [(&'a [f32], usize)], weights: &'a Panels, end: Ending<'a> },
}

/// Places of a pointwise job.
pub(crate) const PLACES: usize = 512;

/// Panics unless each of some maps (values, channels) has so many places; their channels together.
pub(crate) fn channels(maps: &[(&[f32], usize)], places: usize) -> usize {
    let fit = |(x, c): &(&[f32], usize)| Some(x.len()) == places.checked_mul(*c);
    assert!(maps.iter().all(fit), "values do not fit their shape");
    maps.iter().map(|m| m.1).sum()
}

/// Some places of maps, side by side.
pub(crate) fn taps<'a>(maps: &[(&'a [f32], usize)], places: Range<usize>) -> Vec<Tap<'a>> {
    let tap = |&(x, c): &(&'a [f32], usize)| Tap { x: &x[places.start * c..places.end * c], step: c, run: c };
    maps.iter().map(tap).collect()
}

impl<'a> Source<'a> {
    /// Panics unless the map has as many places as `xs`.
    pub fn new(isa: Isa, map: Map<'a>, xs: Shape) -> Self {
        match map {
            Map::Values(x, c) => {
                channels(&[(x, c)], xs.places());
                Self::Values(x, c)
            }
            Map::Pointwise(Pointwise { conv, maps, weights, finish }) => {
                assert!(conv.is_pointwise(), "only 1 x 1 x 1 convolutions are computed where they are read");
                assert!(finish.residual.is_none(), "a residual is added to what is stored");
                assert_eq!(channels(maps, xs.places()), conv.c_in, "channels do not fit the convolution");
                let end = finish.prepare(xs.with(xs.space(), conv.c_out));
                Self::Pointwise { isa, maps, weights: weights.of(conv), end }
            }
        }
    }

    pub fn channels(&self) -> usize {
        match self {
            Self::Values(_, c) => *c,
            Self::Pointwise { weights, .. } => weights.columns,
        }
    }

    /// Floats that [`Source::read`] needs for some places.
    pub fn room(&self, places: usize) -> usize {
        match self {
            Self::Values(..) => 0,
            Self::Pointwise { weights, .. } => places * weights.columns,
        }
    }

    /// The values of some places, by way of `room`.
    pub fn read<'b>(&self, places: Range<usize>, room: &'b mut [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        let (isa, maps, weights, end) = match self {
            Self::Values(x, c) => return &x[places.start * c..places.end * c],
            Self::Pointwise { isa, maps, weights, end } => (*isa, maps, weights, end),
        };
        let (count, c) = (places.len(), weights.columns);
        let room = &mut room[..count * c];
        let (taps, to) = (taps(maps, places), Shared::new(room));
        for panel in weights.iter() {
            // SAFETY: no one else has the room, and its panels are written one by one.
            let store = unsafe { to.results(end, 0, c, panel.first) };
            multiply(isa, &taps, count, panel, &store);
        }
        room
    }

    /// All values, on all threads; `room` is for all places.
    pub fn read_all<'b>(&self, room: &'b mut [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        let c = match self {
            Self::Values(x, _) => return x,
            Self::Pointwise { weights, .. } => weights.columns,
        };
        room.par_chunks_mut(PLACES * c).enumerate().for_each(|(i, room)| {
            self.read(i * PLACES..i * PLACES + room.len() / c, room);
        });
        room
    }
}
