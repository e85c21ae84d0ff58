//! Times the lung extraction on a raw dump, and writes the mask where asked.
//!
//! `time_lungs RAW NX NY NZ DX DY DZ [RUNS] [MASK]`: RAW holds little-endian 16-bit HU, x fastest,
//! slice 0 the most caudal. Prints one line of JSON: the seconds of the best run, the status and
//! the volumes.

use pleura_lungs::{LungOptions, find, volumes_ml};
use pleura_volume::{Geometry, NoProgress, Volume};
use std::time::Instant;

type Anyhow = Box<dyn std::error::Error>;

fn main() -> Result<(), Anyhow> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.len() < 7 {
        return Err("usage: time_lungs RAW NX NY NZ DX DY DZ [RUNS] [MASK]".into());
    }
    let mut size = [0usize; 3];
    let mut spacing = [0f64; 3];
    for a in 0..3 {
        size[a] = args[1 + a].parse()?;
        spacing[a] = args[4 + a].parse()?;
    }
    let runs: usize = args.get(7).map_or(Ok(5), |v| v.parse())?;
    let bytes = std::fs::read(&args[0])?;
    let data: Vec<i16> = bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
    let volume = Volume { geometry: Geometry::axis_aligned(size, [0.0; 3], spacing), data };
    if volume.data.len() != volume.geometry.len() {
        return Err(format!("{} holds {} voxels, not {:?}", args[0], volume.data.len(), size).into());
    }
    let mut best = f64::INFINITY;
    let mut lungs = None;
    for _ in 0..runs.max(1) {
        let start = Instant::now();
        let found = find(&volume, &LungOptions::default(), &NoProgress)?;
        best = best.min(start.elapsed().as_secs_f64());
        lungs = Some(found);
    }
    let lungs = lungs.ok_or("no run")?;
    let [right, left] = volumes_ml(&lungs.mask);
    println!(
        "{{\"seconds\": {best:.4}, \"status\": \"{:?}\", \"right_ml\": {right:.0}, \"left_ml\": {left:.0}, \"reasons\": {:?}}}",
        lungs.status, lungs.reasons
    );
    if let Some(path) = args.get(8) {
        std::fs::write(path, &lungs.mask.data)?;
    }
    Ok(())
}
