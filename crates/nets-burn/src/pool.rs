//! Large buffers kept from one step to the next. Fresh memory costs a page fault for every 4 KiB and a pass
//! of zeros: together a third of a training step.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Floats below which a buffer is not worth keeping.
const LARGE: usize = 1 << 13;

/// Buffers by their length, and how many networks there are to use them.
struct Pool {
    networks: usize,
    shelves: BTreeMap<usize, Shelf>,
}

/// Buffers of one length.
#[derive(Default)]
struct Shelf {
    kept: Vec<Vec<f32>>,
    /// Taken and not yet given back: no more are kept than were asked for.
    lent: usize,
}

impl Pool {
    const fn new() -> Self {
        Self { networks: 0, shelves: BTreeMap::new() }
    }

    fn take(&mut self, n: usize) -> Option<Vec<f32>> {
        let shelf = self.shelves.entry(n).or_default();
        shelf.lent += 1;
        shelf.kept.pop()
    }

    fn give(&mut self, values: Vec<f32>) {
        let wanted = self.networks > 0;
        if let Some(shelf) = self.shelves.get_mut(&values.len()).filter(|s| wanted && s.lent > 0) {
            shelf.lent -= 1;
            shelf.kept.push(values);
        }
    }

    fn leave(&mut self) {
        self.networks -= 1;
        if self.networks == 0 {
            self.shelves.clear();
        }
    }
}

static POOL: Mutex<Pool> = Mutex::new(Pool::new());

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A vector of `n` floats of any value, to be overwritten whole.
pub(crate) fn take(n: usize) -> Vec<f32> {
    let kept = if n < LARGE { None } else { pool().take(n) };
    kept.unwrap_or_else(|| vec![0.0; n])
}

/// Keeps a vector that is no longer needed, as long as there is a network that asks for such.
pub(crate) fn give(values: Vec<f32>) {
    if values.len() >= LARGE {
        pool().give(values);
    }
}

/// While one of these lives, buffers are kept; the last one frees them.
#[derive(Debug, Clone)]
pub(crate) struct Kept(#[expect(dead_code, reason = "held to be dropped")] Arc<Counted>);

#[derive(Debug)]
struct Counted;

impl Kept {
    pub(crate) fn new() -> Self {
        pool().networks += 1;
        Self(Arc::new(Counted))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        pool().leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_while_there_is_a_network_and_is_freed_after_it() {
        let mut pool = Pool { networks: 1, ..Pool::new() };
        assert_eq!(pool.take(3), None);
        pool.give(vec![7.0; 3]);
        pool.give(vec![8.0; 3]);
        assert_eq!(pool.take(3), Some(vec![7.0; 3]));
        assert_eq!(pool.take(3), None, "one was lent, so one was kept");
        pool.give(vec![9.0; 3]);
        pool.leave();
        assert_eq!(pool.take(3), None, "nobody would use it");
    }
}
