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

static POOL: Mutex<Pool> = Mutex::new(Pool { networks: 0, shelves: BTreeMap::new() });

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A vector of `n` floats of any value, to be overwritten whole.
pub(crate) fn take(n: usize) -> Vec<f32> {
    let mut kept = None;
    if n >= LARGE {
        let mut pool = pool();
        let shelf = pool.shelves.entry(n).or_default();
        shelf.lent += 1;
        kept = shelf.kept.pop();
    }
    kept.unwrap_or_else(|| vec![0.0; n])
}

/// Keeps a vector that is no longer needed, as long as there is a network that asks for such.
pub(crate) fn give(values: Vec<f32>) {
    let mut pool = pool();
    let wanted = pool.networks > 0;
    if let Some(shelf) = pool.shelves.get_mut(&values.len()).filter(|s| wanted && s.lent > 0) {
        shelf.lent -= 1;
        shelf.kept.push(values);
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
        let mut pool = pool();
        pool.networks -= 1;
        if pool.networks == 0 {
            pool.shelves.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_while_there_is_a_network_and_is_freed_after_it() {
        let network = Kept::new();
        let kept = |n: usize| pool().shelves.get(&n).map_or(0, |s| s.kept.len());
        let mut buffer = take(LARGE + 1);
        buffer[3] = 7.0;
        give(buffer);
        let again = take(LARGE + 1);
        assert_eq!((again.len(), again[3]), (LARGE + 1, 7.0));
        give(again);
        give(vec![1.0; LARGE + 1]);
        assert_eq!(kept(LARGE + 1), 1, "one was asked for");
        give(take(LARGE - 1));
        assert_eq!(kept(LARGE - 1), 0, "small ones are not kept");
        drop(network);
        assert_eq!(kept(LARGE + 1), 0);
        give(take(LARGE + 1));
        assert_eq!(kept(LARGE + 1), 0, "nobody would use it");
    }
}
