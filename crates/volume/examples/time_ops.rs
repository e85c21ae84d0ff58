//! Prints the seconds each operation takes on a made-up chest-like scan of 512 x 512 x 133 voxels.
//!
//! `RAYON_NUM_THREADS=2 cargo run -p pleura-volume --example time_ops`

use pleura_volume::*;
use std::time::Instant;

fn main() {
    let geometry = Geometry::axis_aligned([512, 512, 133], [0.0; 3], [0.7, 0.7, 2.5]);
    let scan = made_up_scan(&geometry);
    let mask = scan.map(|v| u8::from(v < -400));
    println!("{} threads, {} of {} voxels inside", rayon_threads(), inside(&mask), mask.data.len());

    let found = timed("connected_components, 6", || connected_components(&mask, Connectivity::Six));
    println!("  {} components", found.count());
    timed("connected_components, 26", || connected_components(&mask, Connectivity::TwentySix));
    timed("connected_components_2d", || connected_components_2d(&mask, false));
    timed("component_boxes", || component_boxes(&found));
    timed("distance_transform", || distance_transform(&mask));
    timed("distance_transform_slices", || distance_transform_slices(&mask));
    timed("fill_holes", || fill_holes(&mask));
    timed("fill_holes_slices", || fill_holes_slices(&mask));
    timed("dilate, ball 5 mm", || dilate(&mask, Structuring::Ball { radius_mm: 5.0 }));
    timed("close, ball 5 mm", || close(&mask, Structuring::Ball { radius_mm: 5.0 }));
    timed("dilate, box 5 x 5 x 3", || dilate(&mask, Structuring::Box { voxels: [5, 5, 3] }));
    timed("close_slices, 5 mm", || close_slices(&mask, 5.0));
    let coarse = geometry.resampled([2.0; 3]);
    timed("resample_mean to 2 mm", || resample_mean(&scan, &coarse, -1024));
    let mut turned = geometry.clone();
    timed("resample_linear to the same grid", || resample_linear(&scan, &turned, -1024));
    turned.axes = [[0.8, 0.6, 0.0], [-0.6, 0.8, 0.0], [0.0, 0.0, 1.0]];
    timed("resample_linear, turned axes", || resample_linear(&scan, &turned, -1024));
    timed("resample_nearest, turned axes", || resample_nearest(&mask, &turned));
    timed("resample_nearest to 2 mm", || resample_nearest(&mask, &coarse));
}

fn timed<R>(name: &str, f: impl Fn() -> R) -> R {
    let start = Instant::now();
    let result = f();
    println!("{:6.3} s  {name}", start.elapsed().as_secs_f64());
    result
}

fn rayon_threads() -> usize {
    rayon::current_num_threads()
}

fn inside(mask: &Mask) -> usize {
    mask.data.iter().filter(|&&v| v != 0).count()
}

/// Air, an elliptic body, two airy ellipsoids, and speckle in all of it.
fn made_up_scan(geometry: &Geometry) -> Volume<i16> {
    let [nx, ny, nz] = geometry.size;
    let mut scan = Volume::filled(geometry.clone(), -1000i16);
    let mut state = 1u64;
    for z in 0..nz {
        for y in 0..ny {
            for x in 0..nx {
                let p = [x as f64 / nx as f64, y as f64 / ny as f64, z as f64 / nz as f64];
                let in_ellipsoid = |c: [f64; 3], r: [f64; 3]| {
                    (0..3).map(|a| ((p[a] - c[a]) / r[a]).powi(2)).sum::<f64>() < 1.0
                };
                let body = in_ellipsoid([0.5, 0.5, 0.5], [0.45, 0.35, 9.0]);
                let lung = in_ellipsoid([0.3, 0.5, 0.5], [0.15, 0.25, 0.45])
                    || in_ellipsoid([0.7, 0.5, 0.5], [0.15, 0.25, 0.45]);
                let hu = if lung {
                    -800
                } else if body {
                    40
                } else {
                    -1000
                };
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let speckle = if state >> 58 == 0 { 600 } else { (state >> 59) as i16 };
                let offset = scan.offset([x, y, z]);
                scan.data[offset] = hu + if lung { speckle } else { speckle.min(31) };
            }
        }
    }
    scan
}
