//! Resampled values equal SimpleITK's (tests/fixtures/make.py).

mod common;

use common::{fixture, mask};
use pleura_volume::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    source: Geometry,
    target: Geometry,
    values: Vec<i16>,
    labels: String,
    linear: Vec<f32>,
    nearest: String,
}

#[derive(Deserialize)]
struct MeanCase {
    source: Geometry,
    target: Geometry,
    values: Vec<i16>,
    mean: Vec<f32>,
}

#[test]
fn linear_is_simpleitks_on_straight_flipped_and_oblique_axes() {
    for case in fixture::<Case>("resample") {
        let source = Volume { geometry: case.source.clone(), data: case.values.clone() };
        let real = resample_linear_f32(&source.map(f32::from), &case.target, -2000.0);
        assert_near(&real.data, &case.linear, 0.01);
        let rounded = resample_linear(&source, &case.target, -2000);
        assert_eq!(rounded.geometry, case.target);
        assert_near(&rounded.map(f32::from).data, &case.linear, 0.501);
        // The case looks at both sides of the border.
        let outside = case.linear.iter().filter(|&&v| v == -2000.0).count();
        assert!(outside > 0 && outside < case.linear.len());
    }
}

#[test]
fn nearest_is_simpleitks_on_straight_flipped_and_oblique_axes() {
    for case in fixture::<Case>("resample") {
        let resampled = resample_nearest(&mask(&case.source, &case.labels), &case.target);
        assert_eq!(resampled, mask(&case.target, &case.nearest));
    }
}

#[test]
fn means_are_those_of_the_covered_area() {
    for case in fixture::<MeanCase>("mean") {
        let source = Volume { geometry: case.source, data: case.values };
        let means = resample_mean(&source, &case.target, -2000);
        assert_near(&means.map(f32::from).data, &case.mean, 0.501);
    }
}

fn assert_near(ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len());
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() < tolerance, "voxel {i}: {a} instead of {b}");
    }
}
