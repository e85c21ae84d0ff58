//! A healthy scan of a patient who lies turned, or is larger, holds no more lung than it did: muscle
//! and fat outside the ribs were once taken for airless lobes (213 to 744 ml).

#![allow(clippy::unwrap_used)]

use pleura_formats::{Limits, find_sources, read};
use pleura_lungs::{LungOptions, LungStatus, find, volumes_ml};
use pleura_volume::{Geometry, NoProgress, Volume, resample_linear};
use std::path::Path;

fn lungs_ml(volume: &Volume<i16>) -> [f64; 2] {
    let lungs = find(volume, &LungOptions::default(), &NoProgress).unwrap();
    assert_eq!(lungs.status, LungStatus::Ok);
    volumes_ml(&lungs.mask)
}

/// The scan as if the patient had turned about the long axis.
fn turned(volume: &Volume<i16>, degrees: f64) -> Volume<i16> {
    let g = &volume.geometry;
    let (sin, cos) = degrees.to_radians().sin_cos();
    let axes = [[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]];
    let middle = g.size.map(|n| (n as f64 - 1.0) / 2.0);
    let mut seen = Geometry { axes, ..g.clone() };
    let (from, to) = (seen.to_lps(middle), g.to_lps(middle));
    (0..3).for_each(|a| seen.origin_mm[a] += to[a] - from[a]);
    Volume { geometry: g.clone(), data: resample_linear(volume, &seen, -1000).data }
}

#[test]
fn turning_or_enlarging_a_healthy_patient_adds_no_lung() {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/ct/normal/normal001"));
    if !dir.exists() {
        eprintln!("skipped: no real scan beside this checkout");
        return;
    }
    let limits = Limits::default();
    let search = find_sources(&[dir.to_path_buf()], &limits).unwrap();
    let scan = read(&search.sources[0], &limits).unwrap().volume;
    let plain = lungs_ml(&scan);
    let near = |found: [f64; 2], scale: f64| {
        for (found, plain) in found.iter().zip(plain) {
            let expected = plain * scale.powi(3);
            assert!((found / expected - 1.0).abs() < 0.02, "{found:.0} ml in place of {expected:.0}");
        }
    };
    for degrees in [-20.0, 20.0] {
        near(lungs_ml(&turned(&scan, degrees)), 1.0);
    }
    for scale in [1.2, 1.3] {
        let mut larger = scan.clone();
        larger.geometry.spacing_mm = larger.geometry.spacing_mm.map(|s| s * scale);
        near(lungs_ml(&larger), scale);
    }
}
