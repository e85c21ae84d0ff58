//! What a convolution reads: maps that are stored, and results of 1 x 1 x 1 convolutions that are computed where
//! they are read, some rows or some hundred places at a time.

use crate::finish::{Ending, Finish, Shared, Stored};
use crate::isa::Isa;
use crate::panels::Panels;
use crate::tile::{Tap, multiply};
use crate::{Conv, Packed, Shape};
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
/// Only for a reader that is 1 x 1 x 1 as well may a map be stored in place, in that of the reader's result.
#[derive(Debug, Clone, Copy)]
pub struct Pointwise<'a> {
    /// The convolution.
    pub conv: &'a Conv,
    /// What it reads.
    pub maps: &'a [(Stored<'a>, usize)],
    /// Its weights.
    pub weights: &'a Packed,
    /// What follows the sum.
    pub finish: Finish<'a>,
}

/// A checked [`Map`], ready to be read by several threads.
pub(crate) enum Source<'a> {
    Values(&'a [f32], usize),
    Pointwise { isa: Isa, maps: Vec<(Values<'a>, usize)>, weights: &'a Panels, end: Ending<'a> },
}

/// A checked [`Stored`].
#[derive(Clone, Copy)]
pub(crate) enum Values<'a> {
    Array(&'a [f32]),
    Result(Shared<'a>),
}

/// Places of a pointwise job.
pub(crate) const PLACES: usize = 512;

impl<'a> Source<'a> {
    /// Panics unless the map has as many places as `xs`. What is stored in place lies in `result`, which only a
    /// 1 x 1 x 1 convolution has for it.
    pub fn new(isa: Isa, map: Map<'a>, xs: Shape, result: Option<Shared<'a>>) -> Self {
        let fit = |len: usize, c: usize| {
            assert_eq!(Some(len), xs.places().checked_mul(c), "values do not fit their shape");
        };
        match map {
            Map::Values(x, c) => {
                fit(x.len(), c);
                Self::Values(x, c)
            }
            Map::Pointwise(Pointwise { conv, maps, weights, finish }) => {
                assert!(conv.is_pointwise(), "only 1 x 1 x 1 convolutions are computed where they are read");
                assert!(finish.residual.is_none(), "a residual is added to what is stored");
                let channels: usize = maps.iter().map(|m| m.1).sum();
                assert_eq!(channels, conv.c_in, "channels do not fit the convolution");
                let stored = |&(map, c): &(Stored<'a>, usize)| {
                    let values = match (map, result) {
                        (Stored::Array(x), _) => Values::Array(x),
                        (Stored::InPlace, Some(result)) => Values::Result(result),
                        (Stored::InPlace, None) => panic!("only a 1 x 1 x 1 convolution reads in place"),
                    };
                    fit(values.len(), c);
                    (values, c)
                };
                let end = finish.prepare(xs.with(xs.space(), conv.c_out));
                Self::Pointwise {
                    isa,
                    maps: maps.iter().map(stored).collect(),
                    weights: weights.of(conv),
                    end,
                }
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
    ///
    /// # Safety
    /// Nothing writes these places of the result meanwhile, where a map is stored in place.
    pub unsafe fn read<'b>(&self, places: Range<usize>, room: &'b mut [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        let (isa, maps, weights, end) = match self {
            Self::Values(x, c) => return &x[places.start * c..places.end * c],
            Self::Pointwise { isa, maps, weights, end } => (*isa, maps, weights, end),
        };
        let (count, c) = (places.len(), weights.columns);
        let room = &mut room[..count * c];
        let tap = |&(values, c): &(Values<'a>, usize)| {
            // SAFETY: the caller's promise.
            let x = unsafe { values.slice(places.start * c, count * c) };
            Tap { x, step: c, run: c }
        };
        let taps: Vec<Tap> = maps.iter().map(tap).collect();
        let to = Shared::new(room);
        for panel in weights.iter() {
            // SAFETY: no one else has the room, and its panels are written one by one.
            let store = unsafe { to.results(end, 0, c, panel.first) };
            multiply(isa, &taps, count, panel, &store);
        }
        room
    }

    /// Puts the values of some places into `to`. Panics where a map is stored in place.
    pub fn put(&self, places: Range<usize>, to: &mut [f32]) {
        match self {
            Self::Values(x, c) => to.copy_from_slice(&x[places.start * c..places.end * c]),
            Self::Pointwise { maps, .. } => {
                assert!(maps.iter().all(|(values, _)| matches!(values, Values::Array(_))));
                // SAFETY: nothing is stored in place.
                unsafe { self.read(places, to) };
            }
        }
    }
}

impl<'a> Values<'a> {
    fn len(&self) -> usize {
        match self {
            Self::Array(x) => x.len(),
            Self::Result(y) => y.len(),
        }
    }

    /// The values `at..at + len`.
    ///
    /// # Safety
    /// As [`Source::read`], while the slice lives.
    unsafe fn slice(self, at: usize, len: usize) -> &'a [f32] {
        match self {
            Self::Array(x) => &x[at..at + len],
            // SAFETY: the caller's promise.
            Self::Result(y) => unsafe { y.values(at, len) },
        }
    }
}
