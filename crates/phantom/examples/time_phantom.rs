//! Times phantoms, the first call in the process apart, one JSON object a line:
//! `cargo run --release -p pleura-phantom --example time_phantom -- [2mm|scanner] [CLASS] [SEED] [CALLS]`.
//!
//! `cpu_s` is what all threads of the process spent (Linux, else null); `bytes` is a fingerprint of
//! voxels and truth, so that two builds can be compared.

#[path = "../tests/fingerprint/mod.rs"]
mod fingerprint;

use fingerprint::fingerprint;
use pleura_phantom::{Class, Grid, RenderOptions, render};
use std::time::Instant;

/// Seconds of processor time of all living threads, as the Linux scheduler counts them.
fn cpu_seconds() -> Option<f64> {
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let line = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += line.split(' ').next()?.parse::<f64>().ok()?;
    }
    Some(nanoseconds * 1e-9)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let detector = RenderOptions { grid: Grid::Detector { spacing_mm: 2.0 }, ..Default::default() };
    let wanted = |name: &str| args.first().is_none_or(|a| a == name);
    let class = args.get(1).and_then(|a| Class::from_name(a));
    let seed = args.get(2).and_then(|a| a.parse().ok());
    let calls = args.get(3).and_then(|a| a.parse().ok()).unwrap_or(6);
    let mut first = true;
    for (name, options) in [("2mm", detector), ("scanner", RenderOptions::default())] {
        for i in (0..calls).filter(|_| wanted(name)) {
            let class = class.unwrap_or(Class::ALL[i % 3]);
            let seed = seed.unwrap_or(i as u64);
            let (start, cpu) = (Instant::now(), cpu_seconds());
            let p = render(class, seed, &options);
            let seconds = start.elapsed().as_secs_f64();
            let cpu = cpu.zip(cpu_seconds()).map_or("null".into(), |(a, b)| format!("{:.4}", b - a));
            println!(
                "{{\"grid\": \"{name}\", \"class\": \"{}\", \"seed\": {seed}, \"size\": {:?}, \"first\": {first}, \
                 \"wall_s\": {seconds:.4}, \"cpu_s\": {cpu}, \"bytes\": \"{:016x}\"}}",
                class.name(),
                p.volume.size(),
                fingerprint(&p)
            );
            first = false;
        }
    }
}
