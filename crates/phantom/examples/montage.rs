//! Writes six slices of a phantom as a PGM picture, window -1350..150 HU, head at the lower right:
//! `cargo run -p pleura-phantom --example montage -- OUT.pgm CLASS SEED [detector] [lobar] [b] [truth]`.

use pleura_phantom::{Class, Grid, RenderOptions, TextureFamily, render};

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| args.iter().any(|a| a == word);
    let class = args.iter().find_map(|a| Class::from_name(a)).unwrap_or(Class::Covid19);
    let seed = args.iter().find_map(|a| a.parse().ok()).unwrap_or(1);
    let options = RenderOptions {
        grid: if has("detector") { Grid::Detector { spacing_mm: 2.0 } } else { Grid::Scanner },
        lobar_consolidation: has("lobar"),
        texture: if has("b") { TextureFamily::B } else { TextureFamily::A },
        ..Default::default()
    };
    let p = render(class, seed, &options);
    println!(
        "{:?}\n{:?}\nregions {} irrelevant {}",
        p.volume.size(),
        p.latents,
        p.regions.len(),
        p.irrelevant.len()
    );
    let [nx, ny, nz] = p.volume.size();
    let mut picture = vec![0u8; 6 * nx * ny];
    for k in 0..6 {
        let z = (nz as f64 * [0.12, 0.25, 0.4, 0.55, 0.7, 0.85][k]) as usize;
        for (i, &hu) in p.volume.slice(z).iter().enumerate() {
            let mut grey = ((f64::from(hu) + 1350.0) / 1500.0 * 255.0).clamp(0.0, 255.0) as u8;
            if has("truth") && p.infection.slice(z)[i] != 0 {
                grey = 255 - grey / 2;
            }
            let (x, y) = (i % nx + k % 3 * nx, i / nx + k / 3 * ny);
            picture[y * 3 * nx + x] = grey;
        }
    }
    let mut file = format!("P5 {} {} 255\n", 3 * nx, 2 * ny).into_bytes();
    file.extend(picture);
    std::fs::write(args.first().map_or("montage.pgm", String::as_str), file)
}
