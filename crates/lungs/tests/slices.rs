//! Hand-made lung masks on axial slices.

#![allow(clippy::unwrap_used)]

use pleura_lungs::{LungOptions, LungStatus, find};
use pleura_volume::{Geometry, NoProgress, Volume};
use std::path::{Path, PathBuf};
use tiff::decoder::{Decoder, DecodingResult};

fn read(path: &Path) -> (usize, usize, Vec<i16>) {
    let mut decoder = Decoder::new(std::fs::File::open(path).unwrap()).unwrap();
    let (w, h) = decoder.dimensions().unwrap();
    let data = match decoder.read_image().unwrap() {
        DecodingResult::I16(v) => v,
        DecodingResult::U8(v) => v.into_iter().map(i16::from).collect(),
        other => panic!("{} holds {other:?}", path.display()),
    };
    (w as usize, h as usize, data)
}

#[test]
fn forty_slices_agree_with_their_hand_made_masks() {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/lung-slices-with-masks"));
    let Ok(listing) = std::fs::read_dir(dir.join("images")) else {
        eprintln!("skipped: no lung slices with masks beside this checkout");
        return;
    };
    let mut images: Vec<PathBuf> = listing.map(|e| e.unwrap().path()).collect();
    images.sort();
    let mut dices = Vec::new();
    for image in &images {
        let (nx, ny, data) = read(image);
        let (_, _, truth) = read(&dir.join("masks").join(image.file_name().unwrap()));
        // The files state no spacing: 0.7 mm pixels and 5 mm slices are typical of the set.
        let geometry = Geometry::axis_aligned([nx, ny, 1], [0.0; 3], [0.7, 0.7, 5.0]);
        let lungs = find(&Volume { geometry, data }, &LungOptions::default(), &NoProgress).unwrap();
        assert_eq!(lungs.status, LungStatus::Partial, "a single slice is never a whole lung");
        let pairs = lungs.mask.data.iter().zip(&truth).map(|(&a, &b)| (a != 0, b != 0));
        let (mut both, mut sum) = (0usize, 0usize);
        pairs.for_each(|(a, b)| {
            both += usize::from(a && b);
            sum += usize::from(a) + usize::from(b);
        });
        dices.push(2.0 * both as f64 / sum as f64);
    }
    let mean = dices.iter().sum::<f64>() / dices.len() as f64;
    let worst = dices.iter().copied().fold(1.0, f64::min);
    println!("{} slices: mean Dice {mean:.4}, worst {worst:.4}", dices.len());
    assert!(mean >= 0.985, "mean {mean}");
    assert!(worst >= 0.90, "worst {worst}");
}
