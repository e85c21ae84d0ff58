//! Saves phantoms with their truth, all classes in turn:
//! `cargo run --release -p pleura-phantom --example save -- FOLDER CLASS FIRST_SEED COUNT [2mm] [b] [SLICES]`.
//! CLASS may be `all`. Each goes to FOLDER/CLASS-SEED as NIfTI; `2mm` writes the detector's grid.

use pleura_phantom::{Class, Error, Grid, RenderOptions, TextureFamily, render, save_nifti, save_truth};
use std::path::PathBuf;

fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = PathBuf::from(args.first().map_or("phantoms", String::as_str));
    let class = args.get(1).and_then(|a| Class::from_name(a));
    let number = |i: usize, default: u64| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let has = |word: &str| args.iter().any(|a| a == word);
    let options = RenderOptions {
        grid: if has("2mm") { Grid::Detector { spacing_mm: 2.0 } } else { Grid::Scanner },
        texture: if has("b") { TextureFamily::B } else { TextureFamily::A },
        slices: args.iter().skip(4).find_map(|a| a.parse().ok()).unwrap_or(70),
        ..Default::default()
    };
    for seed in number(2, 1)..number(2, 1) + number(3, 1) {
        let class = class.unwrap_or(Class::ALL[seed as usize % 3]);
        let phantom = render(class, seed, &options);
        let case = dir.join(format!("{}-{seed}", class.name()));
        save_nifti(&phantom, &case)?;
        save_truth(&phantom, &case)?;
    }
    Ok(())
}
