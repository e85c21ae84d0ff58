//! Buffers that each thread keeps from call to call: fresh memory costs a page fault for every page, a fifth of a
//! training step.

use std::cell::Cell;
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
    /// Weights as they came.
    Weights,
    /// Weights in the order of a kernel.
    Panels,
}

thread_local! {
    static BUFFERS: [Cell<Vec<f32>>; 8] = const { [const { Cell::new(Vec::new()) }; 8] };
}

impl Kept {
    /// Lends `work` a buffer of `len` floats of any value.
    pub fn lend<R>(self, len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
        work(&mut self.take(len))
    }

    /// A buffer of `len` floats of any value, until it is dropped.
    pub fn take(self, len: usize) -> Lent {
        let mut buffer = BUFFERS.with(|all| all[self as usize].take());
        if buffer.len() < len {
            buffer.resize(len, 0.0);
        }
        Lent { buffer, len, of: self }
    }
}

/// A buffer that goes back when it is dropped, to the thread that drops it.
#[derive(Debug, Clone)]
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

impl Drop for Lent {
    fn drop(&mut self) {
        // Where several were lent the largest is kept. A thread that ends keeps none.
        let _ = BUFFERS.try_with(|all| {
            let (own, other) = (std::mem::take(&mut self.buffer), all[self.of as usize].take());
            all[self.of as usize].set(if own.len() < other.len() { other } else { own });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_and_is_not_lent_twice_at_a_time() {
        let at = Kept::Sums.lend(10, |a| {
            a.fill(1.0);
            Kept::Sums.lend(10, |b| assert!(b.iter().all(|v| *v == 0.0), "another one"));
            a.as_ptr()
        });
        Kept::Sums.lend(4, |c| assert_eq!((c.as_ptr(), c.len(), c[0]), (at, 4, 1.0)));
    }
}
