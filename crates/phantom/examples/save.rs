//! Saves a phantom with its truth: `cargo run -p pleura-phantom --example save -- FOLDER CLASS SEED [SLICES]`.

use pleura_phantom::{Class, Error, RenderOptions, render, save_dicom, save_truth};
use std::path::PathBuf;

fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = PathBuf::from(args.first().map_or("phantom", String::as_str));
    let class = args.get(1).and_then(|a| Class::from_name(a)).unwrap_or(Class::Covid19);
    let seed = args.get(2).and_then(|a| a.parse().ok()).unwrap_or(1);
    let slices = args.get(3).and_then(|a| a.parse().ok()).unwrap_or(70);
    let phantom = render(class, seed, &RenderOptions { slices, ..Default::default() });
    save_dicom(&phantom, &dir.join("dicom"))?;
    save_truth(&phantom, &dir)
}
