//! 3 x 3 x 3 convolutions, forward and backward, as shares of the machine's peak of multiply-adds.
//! `cargo run --release -p pleura-kernels --example throughput [rounds] [> run.csv]`
//!
//! Operations are counted as those of direct convolution, so Winograd's method can pass the peak. Each
//! round times the peak of the instruction set and then each kernel; the shares printed are medians of
//! the rounds' own. Time is that of the processor, all threads together, divided by their number: what
//! other programs take of the machine falls out, but not what they take of caches and memory. Threads that
//! wait for others fall out, too; they count in `share_by_wall`, by the time that passes.

use pleura_kernels::{Conv, Finish, Isa, Shape};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Instant;

/// The binary's allocator: it asks for large pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Processor seconds of this process so far.
#[cfg(target_os = "linux")]
fn clock() -> f64 {
    #[repr(C)]
    struct Time {
        seconds: std::ffi::c_long,
        nanoseconds: std::ffi::c_long,
    }
    unsafe extern "C" {
        fn clock_gettime(clock: std::ffi::c_int, to: *mut Time) -> std::ffi::c_int;
    }
    const PROCESS: std::ffi::c_int = 2;
    let mut time = Time { seconds: 0, nanoseconds: 0 };
    // SAFETY: `Time` is the system's timespec, and valid for writes.
    unsafe { clock_gettime(PROCESS, &mut time) };
    (time.seconds as f64 + time.nanoseconds as f64 / 1e9) / rayon::current_num_threads() as f64
}

/// Seconds since the first call.
#[cfg(not(target_os = "linux"))]
fn clock() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_secs_f64()
}

/// Seconds of the processor, and those that pass.
fn seconds(work: impl FnOnce()) -> [f64; 2] {
    let (start, wall) = (clock(), Instant::now());
    work();
    [clock() - start, wall.elapsed().as_secs_f64()]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// GFLOP/s of multiply-adds on registers alone, all threads together, by either time.
fn peak(isa: Isa) -> [f64; 2] {
    const STEPS: usize = 2_000_000;
    let threads = rayon::current_num_threads();
    let floats = match isa {
        Isa::Portable => return [f64::NAN; 2],
        Isa::Avx2 => 8,
        Isa::Avx512 => 16,
    };
    let work = || {
        (0..threads).into_par_iter().with_max_len(1).for_each(|_| {
            #[cfg(target_arch = "x86_64")]
            if isa == Isa::Avx512 {
                // SAFETY: the sets are those of `Isa::available`.
                black_box(unsafe { x86::avx512(STEPS) });
            } else {
                // SAFETY: as above.
                black_box(unsafe { x86::avx2(STEPS) });
            }
        });
    };
    seconds(work).map(|s| (threads * STEPS * 12 * 2 * floats) as f64 / s / 1e9)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// # Safety
    /// The processor has AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2(steps: usize) -> [f32; 8] {
        let (a, b) = (_mm256_set1_ps(0.999), _mm256_set1_ps(1e-6));
        let mut sums = [_mm256_set1_ps(1.0); 12];
        for _ in 0..steps {
            sums.iter_mut().for_each(|s| *s = _mm256_fmadd_ps(*s, a, b));
        }
        let total = sums.into_iter().reduce(|a, b| _mm256_add_ps(a, b)).unwrap_or(a);
        let mut out = [0.0; 8];
        // SAFETY: room for eight floats.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), total) };
        out
    }

    /// # Safety
    /// The processor has AVX-512 Foundation.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn avx512(steps: usize) -> [f32; 16] {
        let (a, b) = (_mm512_set1_ps(0.999), _mm512_set1_ps(1e-6));
        let mut sums = [_mm512_set1_ps(1.0); 12];
        for _ in 0..steps {
            sums.iter_mut().for_each(|s| *s = _mm512_fmadd_ps(*s, a, b));
        }
        let total = sums.into_iter().reduce(|a, b| _mm512_add_ps(a, b)).unwrap_or(a);
        let mut out = [0.0; 16];
        // SAFETY: room for sixteen floats.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), total) };
        out
    }
}

fn main() {
    let rounds = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(5);
    eprintln!("{} threads", rayon::current_num_threads());
    println!(
        "set,channels_in,channels_out,depth,height,width,method,pass,peak_gflops,gflops,share_of_peak,share_by_wall"
    );
    let sizes = [(1, 8, 96), (8, 8, 96), (16, 16, 96), (32, 32, 48), (64, 64, 24), (128, 128, 12)];
    for isa in Isa::available() {
        for (c_in, c_out, edge) in sizes {
            let conv = Conv { c_in, c_out, kernel: [3; 3], stride: [1; 3], pad: [1; 3] };
            time(isa, conv, Shape { n: 1, d: edge, h: edge, w: edge, c: c_in }, rounds);
        }
        let flat = [(32, 32), (64, 16), (128, 8), (256, 4)];
        for (c, edge) in flat {
            let conv = Conv { c_in: c, c_out: c, kernel: [1, 3, 3], stride: [1; 3], pad: [0, 1, 1] };
            time(isa, conv, Shape { n: 32, d: 1, h: edge, w: edge, c }, rounds);
        }
    }
}

fn time(isa: Isa, conv: Conv, xs: Shape, rounds: usize) {
    let x: Vec<f32> = (0..xs.len()).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    let w: Vec<f32> =
        (0..conv.c_out * conv.c_in * conv.taps()).map(|i| (i * 17 % 89) as f32 / 89.0).collect();
    let (mut y, mut gx, mut gw) = (vec![0.0; conv.output(xs).len()], x.clone(), w.clone());
    let packed = conv.pack(&w);
    let mut rates = [const { Vec::new() }; 3];
    let (mut shares, mut by_wall) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
    let mut peaks = Vec::new();
    for round in 0..=rounds {
        let runs: [&mut dyn FnMut(); 3] = [
            &mut || conv.forward(isa, &x, xs, &packed, &Finish::default(), &mut y),
            &mut || conv.input_gradient(isa, &gy(conv, xs, &x), xs, &w, &mut gx),
            &mut || conv.weight_gradient(isa, &x, xs, &gy(conv, xs, &x), &mut gw, None),
        ];
        for (i, run) in runs.into_iter().enumerate() {
            let peak = peak(isa);
            let rate = seconds(run).map(|s| conv.flops(xs) / s / 1e9);
            // The first round packs weights and fetches memory.
            if round > 0 {
                peaks.push(peak[0]);
                rates[i].push(rate[0]);
                shares[i].push(rate[0] / peak[0]);
                by_wall[i].push(rate[1] / peak[1]);
            }
        }
    }
    let peak = median(peaks);
    for (i, pass) in ["forward", "input gradient", "weight gradient"].into_iter().enumerate() {
        let method = conv.method(xs);
        let [rate, share, wall] = [&rates[i], &shares[i], &by_wall[i]].map(|v| median(v.clone()));
        println!(
            "{isa:?},{},{},{},{},{},{method:?},{pass},{peak:.0},{rate:.0},{share:.2},{wall:.2}",
            conv.c_in, conv.c_out, xs.d, xs.h, xs.w
        );
    }
}

/// A gradient of the result: the input itself where it has its size, else ones.
fn gy(conv: Conv, xs: Shape, x: &[f32]) -> std::borrow::Cow<'_, [f32]> {
    if conv.c_in == conv.c_out { x.into() } else { vec![1.0; conv.output(xs).len()].into() }
}
