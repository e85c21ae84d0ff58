//! `pleura inspect`.

use crate::cli::Inspect;
use crate::failure::{DONE, REFUSED};
use anyhow::Result;
use pleura_formats::{SeriesReport, inspect};

pub fn run(a: &Inspect) -> Result<u8> {
    let found = inspect(&a.input, &a.limits.limits())?;
    if a.json {
        super::print_json(&found)?;
    } else {
        found.series.iter().for_each(print);
        super::print_warnings(&found.warnings);
        found.refused.iter().for_each(|(path, reason)| eprintln!("refused: {}: {reason}", path.display()));
    }
    Ok(if found.series.iter().any(|s| s.screened) { DONE } else { REFUSED })
}

fn print(s: &SeriesReport) {
    let mark = if s.screened { "screened" } else { "passed over" };
    println!("{} ({mark}: {})", s.path.display(), s.reason);
    let what = [
        Some(format!("study {}", s.study)),
        s.number.map(|n| format!("series {n}")),
        s.modality.clone(),
        s.description.clone(),
        s.plane.map(String::from),
        s.kernel.as_ref().map(|k| format!("kernel {k}")),
        s.scanner.clone(),
        s.encoding.clone(),
    ];
    println!("  {}", what.into_iter().flatten().collect::<Vec<_>>().join(", "));
    if let (Some([x, y, z]), Some([dx, dy, dz])) = (s.size_voxels, s.spacing_mm) {
        println!("  {x} x {y} x {z} voxels of {dx:.3} x {dy:.3} x {dz:.3} mm, {} files", s.files);
    }
    s.warnings.iter().for_each(|w| println!("  warning ({}): {}", w.code, w.message));
}
