//! Buffers that each thread keeps from call to call: fresh memory costs a page fault for every page, a fifth of a
//! training step.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// What a thread keeps a buffer for; one that is in use is not used twice.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kept {
    /// Transformed input.
    Points,
    /// Transformed gradients.
    Gradients,
    /// Rows of input on their way to a kernel.
    Rows,
    /// Products of points.
    Products,
    /// Sums of a gradient's parts.
    Sums,
    /// Values spread by a stride, or padded.
    Spread,
    /// Values that are computed where they are read.
    Pointwise,
    /// Weights as they came.
    Weights,
    /// Weights in the order of a kernel, or their gradients.
    Panels,
}

thread_local! {
    static BUFFERS: [RefCell<Vec<Vec<f32>>>; 9] = const { [const { RefCell::new(Vec::new()) }; 9] };
}

/// Floats of weights that are kept for the next layers beside those of the largest, of either kind: a network in training
/// packs all of its weights at each step, and those of its layers differ by far in size.
const WEIGHTS: usize = 1 << 22;

impl Kept {
    /// Lends `work` a buffer of `len` floats of any value.
    pub fn lend<R>(self, len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
        work(&mut self.take(len))
    }

    /// A buffer of `len` floats of any value, until it is dropped.
    pub fn take(self, len: usize) -> Lent {
        let (most, keeps) = match self {
            // Weights may be held for long, and then not in a buffer that is much too large.
            Self::Weights | Self::Panels => (len.saturating_mul(2), true),
            _ => (usize::MAX, false),
        };
        let kept = BUFFERS.with(|all| {
            let mut kept = all[self as usize].borrow_mut();
            let fits = |b: &Vec<f32>| (len..=most).contains(&b.len());
            let best = (0..kept.len()).filter(|&i| fits(&kept[i])).min_by_key(|&i| kept[i].len());
            if best.is_none() && !keeps {
                // Not grown: that would copy what nobody wants, with both in memory.
                kept.clear();
            }
            best.map(|i| kept.swap_remove(i))
        });
        Lent { buffer: kept.unwrap_or_else(|| vec![0.0; len]), len, of: self }
    }

    /// Takes a buffer back: the largest is kept, and of weights as many others as there is room for, the larger ones
    /// first.
    fn give(self, buffer: Vec<f32>) {
        let room = if matches!(self, Self::Weights | Self::Panels) { WEIGHTS } else { 0 };
        // A thread that ends keeps none.
        let _ = BUFFERS.try_with(|all| {
            let mut kept = all[self as usize].borrow_mut();
            kept.insert(0, buffer);
            kept.sort_by_key(|b| std::cmp::Reverse(b.len()));
            let mut left = room;
            let mut fits = |b: &Vec<f32>| {
                let after = left.checked_sub(b.len());
                left = after.unwrap_or(0);
                after.is_some()
            };
            let others = kept.iter().skip(1).take_while(|b| fits(b)).count();
            kept.truncate(1 + others);
        });
    }
}

/// Floats of working buffers, all threads together, by their kinds. Each is kept for the largest call there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    pub(crate) points: usize,
    pub(crate) rows: usize,
    pub(crate) products: usize,
    pub(crate) pointwise: usize,
}

impl Room {
    /// What two calls hold, one after the other.
    pub fn max(self, other: Self) -> Self {
        Self {
            points: self.points.max(other.points),
            rows: self.rows.max(other.rows),
            products: self.products.max(other.products),
            pointwise: self.pointwise.max(other.pointwise),
        }
    }

    /// Bytes of all kinds together.
    pub fn bytes(self) -> usize {
        (self.points + self.rows + self.products + self.pointwise) * size_of::<f32>()
    }
}

/// A buffer that goes back when it is dropped, to the thread that drops it.
#[derive(Debug)]
pub(crate) struct Lent {
    buffer: Vec<f32>,
    len: usize,
    of: Kept,
}

impl Deref for Lent {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer[..self.len]
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[..self.len]
    }
}

impl Clone for Lent {
    fn clone(&self) -> Self {
        Self { buffer: self.to_vec(), len: self.len, of: self.of }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.of.give(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conv, Finish, Isa, Map, Pointwise, Shape, Stored};

    #[test]
    fn a_buffer_comes_back_and_is_not_lent_twice_at_a_time() {
        let at = Kept::Sums.lend(10, |a| {
            a.fill(1.0);
            Kept::Sums.lend(10, |b| assert!(b.iter().all(|v| *v == 0.0), "another one"));
            a.as_ptr()
        });
        Kept::Sums.lend(4, |c| assert_eq!((c.as_ptr(), c.len(), c[0]), (at, 4, 1.0)));
    }

    #[test]
    fn small_weights_leave_a_large_buffer_where_it_is() {
        let at = Kept::Panels.take(10).as_ptr();
        let small = Kept::Panels.take(4);
        assert_ne!(small.as_ptr(), at);
        drop((small.clone(), small));
        assert_eq!(Kept::Panels.take(9).as_ptr(), at);
    }

    #[test]
    fn weights_of_several_layers_come_back_until_there_are_too_many() {
        let sizes = [1000, 40, 8000];
        let taken = || sizes.map(|n| Kept::Weights.take(n));
        let at = taken().each_ref().map(|b| b.as_ptr());
        assert_eq!(taken().each_ref().map(|b| b.as_ptr()), at);
        // The largest is kept whatever its size, and others while there is room.
        let count = || BUFFERS.with(|all| all[Kept::Weights as usize].borrow().len());
        drop(Kept::Weights.take(WEIGHTS + 1));
        assert_eq!(count(), 4);
        drop((Kept::Weights.take(WEIGHTS + 1), Kept::Weights.take(WEIGHTS)));
        assert_eq!(count(), 2);
    }

    /// Fills what this thread keeps.
    fn fill(value: f32) {
        use Kept::*;
        for kind in [Points, Gradients, Rows, Products, Sums, Spread, Pointwise] {
            kind.lend(1 << 18, |b| b.fill(value));
        }
        BUFFERS.with(|all| {
            let weights = [Weights, Panels].map(|kind| all[kind as usize].borrow_mut());
            weights.into_iter().for_each(|mut kept| kept.iter_mut().for_each(|b| b.fill(value)));
        });
    }

    #[test]
    fn nothing_is_read_that_was_not_written_before() {
        let x = Shape { n: 2, d: 3, h: 9, w: 15, c: 8 };
        for stride in [1, 2] {
            let conv = Conv { c_in: 8, c_out: 12, kernel: [3; 3], stride: [stride; 3], pad: [1; 3] };
            let values = |n: usize| (0..n).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect::<Vec<_>>();
            let (v, w, g) = (values(x.len()), values(12 * 8 * 27), values(conv.output(x).len()));
            let point = Conv { c_out: 8, kernel: [1; 3], stride: [1; 3], pad: [0; 3], ..conv };
            let run = |value: f32| {
                rayon::broadcast(|_| fill(value));
                let mut out = [g.clone(), v.clone(), w.clone(), g.clone()];
                conv.forward(Isa::best(), &v, x, &conv.pack(&w), &Finish::default(), &mut out[0]);
                rayon::broadcast(|_| fill(value));
                let maps = [(Stored::Array(&v), 8)];
                let weights = point.pack(&w[..64]);
                let made =
                    Pointwise { conv: &point, maps: &maps, weights: &weights, finish: Finish::default() };
                let maps = [Map::Pointwise(made)];
                conv.forward_of(Isa::best(), &maps, x, &conv.pack(&w), &Finish::default(), &mut out[3]);
                fill(value);
                conv.input_gradient(Isa::best(), &g, x, &w, &mut out[1]);
                fill(value);
                conv.weight_gradient(Isa::best(), &v, x, &g, &mut out[2], None);
                out
            };
            assert_eq!(run(0.0), run(f32::NAN));
        }
    }
}
