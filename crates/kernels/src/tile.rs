//! The forward micro-kernel: a tile of positions by channels in registers.

#[cfg(target_arch = "x86_64")]
mod pairs;
pub(crate) mod zipped;

use crate::isa::{Isa, Job, Vector, fetch};
use crate::panels::Panel;

/// Rows of weights that are fetched beforehand: the processor by itself stops at each page of memory.
const AHEAD: usize = 16;

/// A contiguous run of input floats at each position.
pub(crate) struct Tap<'a> {
    /// From the first position's run on.
    pub x: &'a [f32],
    /// Floats between the runs of neighbouring positions.
    pub step: usize,
    /// Floats of a run.
    pub run: usize,
}

/// Where sums go.
pub(crate) trait Store {
    /// Panics unless every sum of `positions` by `width` lanes has a place.
    fn check(&self, positions: usize, width: usize);
    /// Takes the sum of a position, for the lanes of a vector from `lane` on.
    ///
    /// # Safety
    /// The processor has the vector's instruction set; position and lanes are within what
    /// [`Store::check`] let pass.
    unsafe fn put<V: Vector>(&self, position: usize, lane: usize, sum: V);
    /// Takes the sums of neighbouring positions from `position` on, two in the halves of each vector.
    ///
    /// # Safety
    /// As [`Store::put`] for all of them; the vectors have sixteen lanes, and [`Store::check`] let a width of eight
    /// pass.
    unsafe fn put_twos<V: Vector>(&self, position: usize, sums: &[V]);
}

/// Sums without an ending: `[positions][width]`.
pub(crate) struct Plain<'a> {
    to: *mut f32,
    len: usize,
    width: usize,
    sums: std::marker::PhantomData<&'a mut [f32]>,
}

impl<'a> Plain<'a> {
    /// Sums into `sums` for a panel of `width` lanes.
    pub fn new(sums: &'a mut [f32], width: usize) -> Self {
        Self { to: sums.as_mut_ptr(), len: sums.len(), width, sums: std::marker::PhantomData }
    }
}

impl Store for Plain<'_> {
    fn check(&self, positions: usize, width: usize) {
        assert_eq!((self.len, self.width), (positions * width, width));
    }
    #[inline(always)]
    unsafe fn put<V: Vector>(&self, position: usize, lane: usize, sum: V) {
        debug_assert!(position * self.width + lane + V::LANES <= self.len);
        // SAFETY: `check` saw to it that position and lanes lie within `len`.
        unsafe { sum.store(self.to.add(position * self.width + lane)) }
    }
    #[inline(always)]
    unsafe fn put_twos<V: Vector>(&self, position: usize, sums: &[V]) {
        for (i, sums) in sums.iter().enumerate() {
            debug_assert!((position + 2 * i) * 8 + V::LANES <= self.len);
            // SAFETY: as `put`; positions of eight lanes lie side by side.
            unsafe { sums.store(self.to.add((position + 2 * i) * 8)) }
        }
    }
}

/// Sums, for each of `positions` and each lane of `panel`, the products of the runs with the weights.
pub(crate) fn multiply<S: Store>(isa: Isa, taps: &[Tap], positions: usize, panel: Panel, store: &S) {
    if positions == 0 {
        return;
    }
    for tap in taps {
        let reach = (positions - 1).checked_mul(tap.step).and_then(|r| r.checked_add(tap.run));
        assert!(reach.is_some_and(|r| r <= tap.x.len()), "a run lies outside of its input");
    }
    let rows: usize = taps.iter().map(|t| t.run).sum();
    assert!(matches!(panel.width, 8 | 16 | 32));
    assert_eq!(panel.weights.len(), rows * panel.width, "weights do not fit the runs");
    store.check(positions, panel.width);
    let product = Product { taps, positions, panel, store };
    #[cfg(target_arch = "x86_64")]
    if isa.at_hand() == Isa::Avx512 && pairs::fits(&product) {
        // SAFETY: the set is at hand; the asserts bound every access.
        return unsafe { pairs::run(&product) };
    }
    // SAFETY: the asserts bound every access of `Product::run`.
    unsafe { isa.run(&product) }
}

struct Product<'a, S> {
    taps: &'a [Tap<'a>],
    positions: usize,
    panel: Panel<'a>,
    store: &'a S,
}

impl<S: Store> Job for Product<'_, S> {
    // Needs: every run of every position lies in its slice, the panel has a row of 8, 16 or 32 lanes
    // for each float of the runs, and the store has checked positions and width.
    #[inline(always)]
    unsafe fn run<V: Vector>(&self) {
        let mut lane = 0;
        // SAFETY: lanes stay below the width; a width that V does not divide is 8, Half's lanes.
        unsafe {
            while lane + 2 * V::LANES <= self.panel.width {
                self.columns::<V, 2>(lane);
                lane += 2 * V::LANES;
            }
            if lane + V::LANES <= self.panel.width {
                self.columns::<V, 1>(lane);
            } else if lane < self.panel.width {
                self.columns::<V::Half, 1>(lane);
            }
        }
    }
}

impl<S: Store> Product<'_, S> {
    /// # Safety
    /// As [`Job::run`], for `B` vectors from `lane` on.
    #[inline(always)]
    unsafe fn columns<V: Vector, const B: usize>(&self, lane: usize) {
        let step = self.taps.first().map_or(0, |t| t.step);
        // A step known beforehand needs no arithmetic of addresses, which would take ports from the products where
        // a vector is as wide as two of them.
        let known = V::REGISTERS > 16 && self.taps.iter().all(|t| t.step == step);
        // SAFETY: the caller's promise; the steps are those of the taps.
        unsafe {
            match step {
                8 if known => self.rows::<V, B, 8>(lane),
                16 if known => self.rows::<V, B, 16>(lane),
                32 if known => self.rows::<V, B, 32>(lane),
                64 if known => self.rows::<V, B, 64>(lane),
                128 if known => self.rows::<V, B, 128>(lane),
                256 if known => self.rows::<V, B, 256>(lane),
                _ => self.rows::<V, B, 0>(lane),
            }
        }
    }

    /// # Safety
    /// As [`Product::columns`]; `STEP` is the step of every tap, or 0.
    #[inline(always)]
    unsafe fn rows<V: Vector, const B: usize, const STEP: usize>(&self, lane: usize) {
        let mut p = 0;
        // SAFETY: positions p.. up to the tile's height are within the row.
        unsafe {
            // With one vector of weights each product reads a factor of its own, as many as a core can read: the
            // weights are to be read seldom.
            if 25 * B < V::REGISTERS {
                while p + 24 <= self.positions {
                    self.tile::<V, B, 24, STEP>(lane, p);
                    p += 24;
                }
            }
            // Twelve positions where there is room for their sums, the weights and a factor.
            if 13 * B < V::REGISTERS {
                while p + 12 <= self.positions {
                    self.tile::<V, B, 12, STEP>(lane, p);
                    p += 12;
                }
            }
            while p + 6 <= self.positions {
                self.tile::<V, B, 6, STEP>(lane, p);
                p += 6;
            }
            match self.positions - p {
                1 => self.tile::<V, B, 1, 0>(lane, p),
                2 => self.tile::<V, B, 2, 0>(lane, p),
                3 => self.tile::<V, B, 3, 0>(lane, p),
                4 => self.tile::<V, B, 4, 0>(lane, p),
                5 => self.tile::<V, B, 5, 0>(lane, p),
                _ => {}
            }
        }
    }

    /// # Safety
    /// As [`Product::rows`], for the positions `first..first + P`.
    #[inline(always)]
    unsafe fn tile<V: Vector, const B: usize, const P: usize, const STEP: usize>(
        &self,
        lane: usize,
        first: usize,
    ) {
        // SAFETY: offsets stay within what the caller promises.
        unsafe {
            let width = self.panel.width;
            let mut sums = [[V::splat(0.0); B]; P];
            let mut w = self.panel.weights.as_ptr().add(lane);
            for tap in self.taps {
                let step = if STEP > 0 { STEP } else { tap.step };
                let x = tap.x.as_ptr().add(first * step);
                for k in 0..tap.run {
                    let mut weights = [V::splat(0.0); B];
                    for (b, weights) in weights.iter_mut().enumerate() {
                        *weights = V::load(w.add(b * V::LANES));
                        fetch(w.wrapping_add(AHEAD * width + b * V::LANES));
                    }
                    debug_assert!(
                        w.add((B - 1) * V::LANES) <= self.panel.weights.as_ptr_range().end.sub(V::LANES)
                    );
                    for (p, sums) in sums.iter_mut().enumerate() {
                        debug_assert!((first + p) * step + k < tap.x.len());
                        let value = V::splat(*x.add(p * step + k));
                        for (sum, weight) in sums.iter_mut().zip(weights) {
                            *sum = sum.add_product(value, weight);
                        }
                    }
                    w = w.wrapping_add(width);
                }
            }
            for (p, sums) in sums.into_iter().enumerate() {
                for (b, sum) in sums.into_iter().enumerate() {
                    self.store.put(first + p, lane + b * V::LANES, sum);
                }
            }
        }
    }
}
