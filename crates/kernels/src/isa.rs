//! Instruction sets and the few vector operations that the kernels are written in.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
pub(crate) use portable::Eight as Portable;
use std::sync::OnceLock;

/// An instruction set that the kernels know; a later one is a superset of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Plain Rust, on any processor.
    Portable,
    /// AVX2 with FMA (x86-64, 2013 on).
    Avx2,
    /// AVX-512 Foundation (x86-64 servers, 2017 on).
    Avx512,
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
            if std::is_x86_feature_detected!("avx512f") {
                all.push(Isa::Avx512);
            }
        }
        all
    }

    /// This set, or the best one where the processor lacks it.
    pub(crate) fn at_hand(self) -> Self {
        self.min(Isa::best())
    }

    /// Runs `job` with this set's vectors; with the best set's where the processor lacks this one.
    ///
    /// # Safety
    /// What [`Job::run`] asks for, but for the instruction set.
    pub(crate) unsafe fn run<J: Job>(self, job: &J) {
        // SAFETY: `best` was detected and includes every earlier set; the rest is the caller's promise.
        unsafe {
            match self.at_hand() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => x86::run_avx512(job),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => x86::run_avx2(job),
                _ => job.run::<portable::Eight>(),
            }
        }
    }
}

/// Plain loops, to be compiled for each instruction set.
pub trait Loops {
    /// Runs them. To be marked `#[inline(always)]`: what is not inlined is compiled for the oldest processor.
    fn run(self);
}

impl Isa {
    /// Runs loops as they are compiled for this set; for the best one where the processor lacks it. Whatever the
    /// set, values are the same: operations are neither reordered nor fused.
    pub fn run_loops<L: Loops>(self, loops: L) {
        match self.at_hand() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `best` was detected and includes every earlier set.
            Isa::Avx512 => unsafe { x86::loops_avx512(loops) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx2 => unsafe { x86::loops_avx2(loops) },
            _ => loops.run(),
        }
    }
}

/// Asks the processor to bring the line of `at` near. A hint: nothing is read, whatever the address.
#[inline(always)]
pub(crate) fn fetch(at: *const f32) {
    // SAFETY: a prefetch touches no memory as the program sees it, and faults at no address.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Work written once for all instruction sets.
pub(crate) trait Job {
    /// Does the work.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`, and whatever the job says.
    unsafe fn run<V: Vector>(&self);
}

/// A vector of floats. Methods are inlined into code compiled for the instruction set.
pub(crate) trait Vector: Copy {
    /// A vector for what is too narrow for this one: eight lanes.
    type Half: Vector;
    /// Floats of a vector, 8 or 16.
    const LANES: usize;
    /// Vectors that the registers hold.
    const REGISTERS: usize;

    /// All lanes `v`.
    ///
    /// # Safety
    /// The processor has the instruction set; so for every method here.
    unsafe fn splat(v: f32) -> Self;
    /// Reads a vector.
    ///
    /// # Safety
    /// As [`Vector::splat`]; `from` is valid for as many reads as there are lanes.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes a vector.
    ///
    /// # Safety
    /// As [`Vector::splat`]; `to` is valid for as many writes as there are lanes.
    unsafe fn store(self, to: *mut f32);
    /// Reads the first `n` lanes, zeros in the others.
    ///
    /// # Safety
    /// As [`Vector::splat`]; `from` is valid for `n` reads, `n` at most the number of lanes.
    unsafe fn load_first(from: *const f32, n: usize) -> Self;
    /// Writes the first `n` lanes.
    ///
    /// # Safety
    /// As [`Vector::splat`]; `to` is valid for `n` writes, `n` at most the number of lanes.
    unsafe fn store_first(self, to: *mut f32, n: usize);
    /// Sixteen lanes of two times eight; eight are only the first.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn join(low: Self::Half, high: Self::Half) -> Self;
    /// The first half of sixteen lanes, or all of eight.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn low(self) -> Self::Half;
    /// The second half of sixteen lanes, or all of eight.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn high(self) -> Self::Half;
    /// The lanes of both in turns, for sixteen lanes; eight come back as they are.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    #[inline(always)]
    unsafe fn zip(self, other: Self) -> [Self; 2] {
        [self, other]
    }
    /// The even lanes of both, and the odd ones: what [`Vector::zip`] was made of. Eight lanes come back as they are.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    #[inline(always)]
    unsafe fn unzip(self, other: Self) -> [Self; 2] {
        [self, other]
    }
    /// `self + a * b`.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// `self + b`.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn add(self, b: Self) -> Self;
    /// `self - b`.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn sub(self, b: Self) -> Self;
    /// `self * b`.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn mul(self, b: Self) -> Self;
    /// The larger of each lane; `b` where either is not a number.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn max(self, b: Self) -> Self;
    /// The smaller of each lane; `b` where either is not a number.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn min(self, b: Self) -> Self;
}
