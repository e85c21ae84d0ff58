//! Times finding and reading what the argument names, tells the warnings and the peak of memory,
//! and with a second argument writes it there as NIfTI; with `--inspect` only looks at the headers.
//! `cargo run --release -p pleura-formats --example time_read -- [--inspect] PATH [OUT]`

use pleura_formats::{Limits, find_sources, inspect, read, write_nifti_i16};
use std::path::PathBuf;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args: Vec<PathBuf> = std::env::args().skip(1).map(PathBuf::from).collect();
    let look = args.iter().any(|a| a.as_os_str() == "--inspect");
    args.retain(|a| a.as_os_str() != "--inspect");
    let mut args = args.into_iter();
    let path = args.next().ok_or("give a path")?;
    let limits = Limits::default();
    let start = Instant::now();
    if look {
        let found = inspect(&[path], &limits)?;
        println!("{} series in {:.3} s", found.series.len(), start.elapsed().as_secs_f64());
        return Ok(());
    }
    let search = find_sources(&[path], &limits)?;
    println!("found {} in {:.3} s", search.sources.len(), start.elapsed().as_secs_f64());
    search.refused.iter().for_each(|e| println!("refused ({}): {e}", e.code()));
    let out = args.next();
    for source in &search.sources {
        let start = Instant::now();
        let scan = read(source, &limits)?;
        println!("{} {:?} read in {:.3} s", source.name, scan.volume.size(), start.elapsed().as_secs_f64());
        scan.warnings.iter().for_each(|w| println!("  warning {} {}", w.code, w.message));
        if let Some(peak) = peak_bytes() {
            println!("  peak bytes: {peak}");
        }
        let Some(out) = &out else { continue };
        std::fs::create_dir_all(out)?;
        let start = Instant::now();
        write_nifti_i16(&out.join(format!("{}.nii.gz", source.name)), &scan.volume, Some(&scan.frame))?;
        println!("  .nii.gz written in {:.3} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// The most memory this process has held, where the system tells (Linux).
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
