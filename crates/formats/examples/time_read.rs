//! Times finding and reading what the arguments name, and writes it back as NIfTI and DICOM.
//! `cargo run -p pleura-formats --example time_read -- PATH [OUT]`

use pleura_formats::{DicomTags, Limits, find_sources, read, write_dicom_series, write_nifti_i16};
use std::path::PathBuf;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).map(PathBuf::from);
    let path = args.next().ok_or("give a path")?;
    let limits = Limits::default();
    let start = Instant::now();
    let search = find_sources(&[path], &limits)?;
    println!("found {} in {:.3} s", search.sources.len(), start.elapsed().as_secs_f64());
    search.refused.iter().for_each(|e| println!("refused: {e}"));
    let out = args.next();
    for source in &search.sources {
        let start = Instant::now();
        let scan = read(source, &limits)?;
        println!("{} {:?} read in {:.3} s", source.name, scan.volume.size(), start.elapsed().as_secs_f64());
        let Some(out) = &out else { continue };
        std::fs::create_dir_all(out)?;
        let start = Instant::now();
        write_nifti_i16(&out.join(format!("{}.nii.gz", source.name)), &scan.volume, Some(&scan.frame))?;
        println!("  .nii.gz written in {:.3} s", start.elapsed().as_secs_f64());
        let start = Instant::now();
        write_dicom_series(&out.join(&source.name), &scan.volume, &DicomTags::default())?;
        println!("  DICOM written in {:.3} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}
