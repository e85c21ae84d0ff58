//! AVX2 with FMA, and AVX-512.

use super::{Job, Loops, Vector};
use std::arch::x86_64::*;

/// # Safety
/// As [`Job::run`]; the processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run_avx2<J: Job>(job: &J) {
    // SAFETY: the caller's promise.
    unsafe { job.run::<__m256>() }
}

/// # Safety
/// As [`Job::run`]; the processor has AVX-512 Foundation, AVX2 and FMA.
#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) unsafe fn run_avx512<J: Job>(job: &J) {
    // SAFETY: the caller's promise.
    unsafe { job.run::<__m512>() }
}

/// # Safety
/// The processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn loops_avx2<L: Loops>(loops: L) {
    loops.run();
}

/// # Safety
/// The processor has AVX-512 Foundation, AVX2 and FMA.
#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) unsafe fn loops_avx512<L: Loops>(loops: L) {
    loops.run();
}

/// The mask of the first `n` of eight lanes.
///
/// # Safety
/// The processor has AVX2; `n` is at most 8.
#[inline(always)]
unsafe fn first_of_8(n: usize) -> __m256i {
    const ON: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: eight integers from 8 - n on lie within the sixteen.
    unsafe { _mm256_loadu_si256(ON.as_ptr().add(8 - n).cast()) }
}

// In both: the caller promises the instruction set, and the reads and writes of the method's name.
impl Vector for __m256 {
    type Half = Self;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm256_set1_ps(v) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_storeu_ps(to, self) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        // SAFETY: the caller's promise; lanes that are masked out are not read.
        unsafe { _mm256_maskload_ps(from, first_of_8(n)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize) {
        // SAFETY: the caller's promise; lanes that are masked out are not written.
        unsafe { _mm256_maskstore_ps(to, first_of_8(n), self) }
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
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm256_fmadd_ps(a, b, self) }
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm256_add_ps(self, b) }
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm256_sub_ps(self, b) }
    }
    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm256_mul_ps(self, b) }
    }
    #[inline(always)]
    unsafe fn max(self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm256_max_ps(self, b) }
    }
    #[inline(always)]
    unsafe fn min(self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm256_min_ps(self, b) }
    }
}

impl Vector for __m512 {
    type Half = __m256;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm512_set1_ps(v) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_ps(to, self) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        // SAFETY: the caller's promise; lanes that are masked out are not read.
        unsafe { _mm512_maskz_loadu_ps(((1u32 << n) - 1) as u16, from) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize) {
        // SAFETY: the caller's promise; lanes that are masked out are not written.
        unsafe { _mm512_mask_storeu_ps(to, ((1u32 << n) - 1) as u16, self) }
    }
    #[inline(always)]
    unsafe fn join(low: __m256, high: __m256) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let low = _mm512_castps_pd(_mm512_castps256_ps512(low));
            _mm512_castpd_ps(_mm512_insertf64x4::<1>(low, _mm256_castps_pd(high)))
        }
    }
    #[inline(always)]
    unsafe fn low(self) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_castps512_ps256(self) }
    }
    #[inline(always)]
    unsafe fn high(self) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(self))) }
    }
    #[inline(always)]
    unsafe fn zip(self, other: Self) -> [Self; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let second = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
            [_mm512_permutex2var_ps(self, first, other), _mm512_permutex2var_ps(self, second, other)]
        }
    }
    #[inline(always)]
    unsafe fn unzip(self, other: Self) -> [Self; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
            [_mm512_permutex2var_ps(self, even, other), _mm512_permutex2var_ps(self, odd, other)]
        }
    }
    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm512_fmadd_ps(a, b, self) }
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm512_add_ps(self, b) }
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm512_sub_ps(self, b) }
    }
    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm512_mul_ps(self, b) }
    }
    #[inline(always)]
    unsafe fn max(self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm512_max_ps(self, b) }
    }
    #[inline(always)]
    unsafe fn min(self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm512_min_ps(self, b) }
    }
}
