//! Instruction sets and the few vector operations that the kernels are written in.

use std::sync::OnceLock;

/// Lanes of one vector.
pub(crate) const LANES: usize = 8;

/// An instruction set that the kernels know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust, on any processor.
    Portable,
    /// AVX2 with FMA (x86-64, 2013 on).
    Avx2,
}

impl Isa {
    /// The best set of this processor.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| *Self::available().last().unwrap_or(&Isa::Portable))
    }

    /// Every set that this processor can run, the best one last.
    pub fn available() -> Vec<Self> {
        let mut all = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            all.push(Isa::Avx2);
        }
        all
    }

    /// This set where the processor has it, the portable one elsewhere.
    pub(crate) fn checked(self) -> Self {
        if self == Isa::best() { self } else { Isa::Portable }
    }
}

/// A vector of [`LANES`] floats.
pub(crate) trait Vector: Copy {
    /// All lanes zero.
    ///
    /// # Safety
    /// The processor has the instruction set; so for every method here.
    unsafe fn zero() -> Self;
    /// All lanes `v`.
    ///
    /// # Safety
    /// As [`Vector::zero`].
    unsafe fn splat(v: f32) -> Self;
    /// Reads [`LANES`] floats.
    ///
    /// # Safety
    /// As [`Vector::zero`]; `from` is valid for [`LANES`] reads.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes [`LANES`] floats.
    ///
    /// # Safety
    /// As [`Vector::zero`]; `to` is valid for [`LANES`] writes.
    unsafe fn store(self, to: *mut f32);
    /// `self + a * b`.
    ///
    /// # Safety
    /// As [`Vector::zero`].
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
}

impl Vector for [f32; LANES] {
    #[inline(always)]
    unsafe fn zero() -> Self {
        [0.0; LANES]
    }
    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        [v; LANES]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises LANES readable floats; an array of floats has their alignment.
        unsafe { *from.cast::<Self>() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises LANES writable floats; an array of floats has their alignment.
        unsafe { *to.cast::<Self>() = self }
    }
    #[inline(always)]
    unsafe fn add_product(mut self, a: Self, b: Self) -> Self {
        for lane in 0..LANES {
            self[lane] += a[lane] * b[lane];
        }
        self
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };

    impl super::Vector for __m256 {
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller promises AVX2 and FMA; so below.
            unsafe { _mm256_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn splat(v: f32) -> Self {
            // SAFETY: as above.
            unsafe { _mm256_set1_ps(v) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: as above, and eight readable floats.
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: as above, and eight writable floats.
            unsafe { _mm256_storeu_ps(to, self) }
        }
        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: as above.
            unsafe { _mm256_fmadd_ps(a, b, self) }
        }
    }
}
