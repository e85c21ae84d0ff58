//! Eight lanes in plain Rust.

use super::Vector;

/// An array that compilers like to keep in registers.
#[derive(Clone, Copy)]
pub(crate) struct Eight([f32; 8]);

impl Eight {
    #[inline(always)]
    fn map(mut self, b: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        for lane in 0..8 {
            self.0[lane] = f(self.0[lane], b.0[lane]);
        }
        self
    }
}

impl Vector for Eight {
    type Half = Self;
    const LANES: usize = 8;
    // Of the sixteen that hold four floats, on any x86-64 processor.
    const REGISTERS: usize = 8;

    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        Self([v; 8])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises eight readable floats; an array of floats has their alignment.
        Self(unsafe { *from.cast() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises eight writable floats; an array of floats has their alignment.
        unsafe { *to.cast() = self.0 }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        let mut out = [0.0; 8];
        for (lane, out) in out.iter_mut().enumerate().take(n) {
            // SAFETY: the caller promises `n` readable floats.
            *out = unsafe { *from.add(lane) };
        }
        Self(out)
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize) {
        for (lane, v) in self.0.into_iter().enumerate().take(n) {
            // SAFETY: the caller promises `n` writable floats.
            unsafe { *to.add(lane) = v };
        }
    }
    #[inline(always)]
    unsafe fn join(low: Self, _: Self) -> Self {
        low
    }
    #[inline(always)]
    unsafe fn low(self) -> Self::Half {
        self
    }
    #[inline(always)]
    unsafe fn high(self) -> Self::Half {
        self
    }
    #[inline(always)]
    unsafe fn add_product(mut self, a: Self, b: Self) -> Self {
        for lane in 0..8 {
            self.0[lane] += a.0[lane] * b.0[lane];
        }
        self
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        self.map(b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        self.map(b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        self.map(b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn max(self, b: Self) -> Self {
        self.map(b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(self, b: Self) -> Self {
        self.map(b, |a, b| if a < b { a } else { b })
    }
}
