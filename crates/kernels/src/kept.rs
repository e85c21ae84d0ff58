//! Buffers that each thread keeps from call to call: fresh memory costs a page fault for every page, a fifth of a
//! training step.

use std::cell::Cell;

/// What a thread keeps a buffer for; one that is in use is not used twice.
#[derive(Clone, Copy)]
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
}

thread_local! {
    static BUFFERS: [Cell<Vec<f32>>; 5] = const { [const { Cell::new(Vec::new()) }; 5] };
}

impl Kept {
    /// Lends `work` a buffer of `len` floats of any value.
    pub fn lend<R>(self, len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
        let mut buffer = BUFFERS.with(|all| all[self as usize].take());
        if buffer.len() < len {
            buffer.resize(len, 0.0);
        }
        let result = work(&mut buffer[..len]);
        BUFFERS.with(|all| all[self as usize].set(buffer));
        result
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
