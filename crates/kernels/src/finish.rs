//! What happens to a sum before it is stored, and where it goes.

use crate::Shape;
use crate::isa::{self, Vector};
use crate::tile::Store;
use std::marker::PhantomData;

/// What follows the sum.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Act<'a> {
    /// Nothing.
    #[default]
    None,
    /// max(x, 0).
    Relu,
    /// x, or the channel's slope times x where negative.
    PRelu(&'a [f32]),
}

/// A map that is stored, to be read or added to a sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stored<'a> {
    /// In an array.
    Array(&'a [f32]),
    /// Where the result is to be that it is read or added for: no array is needed for both. Both have as many channels.
    InPlace,
}

/// The end of a layer: `act(sum + bias)`, or with a residual `(r, scale)` `act(r + scale * (sum + bias))`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Finish<'a> {
    /// Added, one value a channel.
    pub bias: Option<&'a [f32]>,
    /// What the sum is added to, and the sum's factor.
    pub residual: Option<(Stored<'a>, f32)>,
    /// The activation.
    pub act: Act<'a>,
}

/// Floats of a line of the caches.
const LINE: usize = 16;

/// Channels beyond the last that a panel may reach. Their values are the first ones' again: so two positions of eight
/// channels are ended as one of sixteen.
const SPARE: usize = 32;

impl<'a> Finish<'a> {
    /// Panics unless every operand is as long as the result's shape `ys` asks.
    pub(crate) fn prepare(&self, ys: Shape) -> Ending<'a> {
        self.prepare_together(ys, 1)
    }

    /// The same for `count` places of a row that are ended as one with the channels of all of them.
    pub(crate) fn prepare_together(&self, ys: Shape, count: usize) -> Ending<'a> {
        let together = Shape { w: ys.w / count, c: ys.c * count, ..ys };
        let padded = |values: &[f32]| {
            assert_eq!(values.len(), ys.c, "the bias or the slopes do not fit the result");
            values.iter().copied().cycle().take(together.c + SPARE).collect()
        };
        if let Some((Stored::Array(residual), _)) = self.residual {
            assert_eq!(residual.len(), ys.len(), "the residual does not fit the result");
        }
        let (rectified, slope) = match self.act {
            Act::None => (false, None),
            Act::Relu => (true, None),
            Act::PRelu(slope) => (false, Some(padded(slope))),
        };
        let bias = self.bias.map_or_else(|| vec![0.0; together.c + SPARE], padded);
        Ending { bias, residual: self.residual, rectified, slope, shape: together }
    }
}

/// A checked [`Finish`] with room for whole vectors.
pub(crate) struct Ending<'a> {
    bias: Vec<f32>,
    residual: Option<(Stored<'a>, f32)>,
    rectified: bool,
    slope: Option<Vec<f32>>,
    shape: Shape,
}

/// A result that several threads fill, each its own places.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    to: *mut f32,
    len: usize,
    values: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer is read and written only through `Shared::results`, `Shared::slice` and
// `Shared::values`, whose callers promise that no two threads touch the same place.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub fn new(values: &'a mut [f32]) -> Self {
        Self { to: values.as_mut_ptr(), len: values.len(), values: PhantomData }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// A store for the channels of a panel: position `p` begins at `at + p * step` of the result, and
    /// the panel's first channel is `first` beyond that.
    ///
    /// # Safety
    /// While the store lives, nothing else reads or writes the places it covers.
    pub unsafe fn results(self, ending: &'a Ending<'a>, at: usize, step: usize, first: usize) -> Results<'a> {
        let whole = self.len == ending.shape.len();
        // `Results` checks each place against the result, but not against what is added to it.
        assert!(whole || ending.residual.is_none(), "the result does not fit its shape");
        Results { y: self, ending, at, step, first }
    }

    /// Asks for the `width` values at each of some rows and columns of places, `steps` apart, from `at` on, so that they
    /// are near when they are written. A hint: nothing is read.
    pub fn fetch(self, at: usize, width: usize, steps: [usize; 2], [rows, columns]: [usize; 2]) {
        // Columns that lie side by side are one.
        let (columns, width) = if steps[1] == width { (1, columns * width) } else { (columns, width) };
        for r in 0..rows {
            for c in 0..columns {
                let from = self.to.wrapping_add(at + r * steps[0] + c * steps[1]);
                for lane in (0..width).step_by(LINE) {
                    isa::fetch(from.wrapping_add(lane));
                }
            }
        }
    }

    /// The values `at..at + len`, to be read.
    ///
    /// # Safety
    /// While the slice lives, nothing writes its places.
    pub unsafe fn values(self, at: usize, len: usize) -> &'a [f32] {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.len));
        // SAFETY: within the length of the slice that this was made of; read alone by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.to.add(at), len) }
    }

    /// The values `at..at + len`.
    ///
    /// # Safety
    /// While the slice lives, nothing else reads or writes its places.
    pub unsafe fn slice(self, at: usize, len: usize) -> &'a mut [f32] {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.len));
        // SAFETY: within the length of the slice that this was made of; alone by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.to.add(at), len) }
    }
}

/// Where the sums of one panel go.
pub(crate) struct Results<'a> {
    y: Shared<'a>,
    ending: &'a Ending<'a>,
    at: usize,
    step: usize,
    first: usize,
}

impl Results<'_> {
    /// Where what the sums are added to begins.
    #[inline(always)]
    fn held(&self) -> Option<*const f32> {
        self.ending.residual.map(|(residual, _)| match residual {
            Stored::Array(values) => values.as_ptr(),
            Stored::InPlace => self.y.to.cast_const(),
        })
    }
}

impl Store for Results<'_> {
    fn check(&self, positions: usize, width: usize) {
        let channels = self.ending.shape.c;
        let last = (self.first + width).min(channels);
        assert!(self.first < channels && self.first + width <= channels + SPARE);
        let reach = (positions - 1).checked_mul(self.step).and_then(|r| r.checked_add(self.at + last));
        assert!(reach.is_some_and(|r| r <= self.y.len), "a position lies outside of the result");
    }

    #[inline(always)]
    unsafe fn put<V: Vector>(&self, position: usize, lane: usize, sum: V) {
        let channel = self.first + lane;
        let at = self.at + position * self.step + channel;
        let held = self.held();
        // SAFETY: `check` saw to it that the channels there are lie within the result, which is as
        // long as the residual; bias and slopes are long enough for every lane. What stands in place
        // is read before it is written over, and each sum is put once.
        unsafe {
            if channel + V::LANES <= self.ending.shape.c {
                let mut residual = V::splat(0.0);
                if let Some(held) = held {
                    residual = V::load(held.add(at));
                }
                self.ending.of(sum, channel, residual).store(self.y.to.add(at));
            } else if channel < self.ending.shape.c {
                let n = self.ending.shape.c - channel;
                let mut residual = V::splat(0.0);
                if let Some(held) = held {
                    residual = V::load_first(held.add(at), n);
                }
                self.ending.of(sum, channel, residual).store_first(self.y.to.add(at), n);
            }
        }
    }

    #[inline(always)]
    unsafe fn put_twos<V: Vector>(&self, position: usize, sums: &[V]) {
        let side_by_side = (self.step, self.first, self.ending.shape.c) == (8, 0, 8);
        // SAFETY: the caller's promise, and as `put`: positions of eight channels that lie side by side are
        // sixteen values.
        unsafe {
            if side_by_side && self.ending.is_plain_relu() {
                // By far the most frequent: decided once for all of them.
                let (to, bias) = (self.y.to.add(self.at + position * 8), V::load(self.ending.bias.as_ptr()));
                for (i, sums) in sums.iter().enumerate() {
                    sums.add(bias).max(V::splat(0.0)).store(to.add(i * V::LANES));
                }
            } else if side_by_side {
                for (i, sums) in sums.iter().enumerate() {
                    let at = self.at + (position + 2 * i) * 8;
                    let held = self.held().map_or(V::splat(0.0), |held| V::load(held.add(at)));
                    self.ending.of(*sums, 0, held).store(self.y.to.add(at));
                }
            } else {
                for (i, sums) in sums.iter().enumerate() {
                    self.put(position + 2 * i, 0, sums.low());
                    self.put(position + 2 * i + 1, 0, sums.high());
                }
            }
        }
    }
}

impl Ending<'_> {
    /// Whether a bias and a ReLU are all.
    #[inline(always)]
    fn is_plain_relu(&self) -> bool {
        self.rectified && self.residual.is_none() && self.slope.is_none()
    }

    /// # Safety
    /// The processor has the vector's instruction set; `channel` and the lanes that follow are within
    /// the channels and their spare room.
    #[inline(always)]
    unsafe fn of<V: Vector>(&self, sum: V, channel: usize, residual: V) -> V {
        // SAFETY: the caller's promise.
        unsafe {
            let mut v = sum.add(V::load(self.bias.as_ptr().add(channel)));
            if let Some((_, scale)) = self.residual {
                v = residual.add_product(V::splat(scale), v);
            }
            let zero = V::splat(0.0);
            if self.rectified {
                return v.max(zero);
            }
            match &self.slope {
                Some(slope) => {
                    let slope = V::load(slope.as_ptr().add(channel));
                    zero.max(v).add_product(slope, zero.min(v))
                }
                None => v,
            }
        }
    }
}
