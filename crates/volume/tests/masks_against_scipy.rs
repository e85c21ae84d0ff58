//! Components, distances, holes and morphology equal scipy's (tests/fixtures/make.py).

mod common;

use common::{fixture, mask};
use pleura_volume::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Case {
    size: [usize; 3],
    spacing_mm: [f64; 3],
    mask: String,
    components_6: Vec<u32>,
    components_26: Vec<u32>,
    components_4_by_slice: Vec<u32>,
    components_8_by_slice: Vec<u32>,
    boxes_6: Vec<[[usize; 3]; 2]>,
    distance_mm: Vec<f32>,
    distance_by_slice_mm: Vec<f32>,
    filled: String,
    filled_by_slice: String,
    radius_mm: f64,
    /// Dilated, eroded, opened, closed.
    ball: [String; 4],
    disc: [String; 4],
    box_voxels: [usize; 3],
    #[serde(rename = "box")]
    boxed: [String; 4],
}

impl Case {
    fn geometry(&self) -> Geometry {
        Geometry::axis_aligned(self.size, [0.0; 3], self.spacing_mm)
    }

    fn mask(&self) -> Mask {
        mask(&self.geometry(), &self.mask)
    }
}

fn cases() -> Vec<Case> {
    fixture("masks")
}

#[test]
fn components_are_scipys_numbered_by_first_voxel() {
    for case in cases() {
        for (connectivity, expected) in
            [(Connectivity::Six, &case.components_6), (Connectivity::TwentySix, &case.components_26)]
        {
            let found = connected_components(&case.mask(), connectivity);
            assert_eq!(found.labels.data, by_first_voxel(expected));
            assert_eq!(found.sizes, counts(&found.labels.data, found.count()));
        }
    }
}

#[test]
fn components_of_slices_are_scipys_and_rise_with_the_slice() {
    for case in cases() {
        for (eight, expected) in [(false, &case.components_4_by_slice), (true, &case.components_8_by_slice)] {
            let found = connected_components_2d(&case.mask(), eight);
            let (mut all, mut before) = (Vec::new(), 0);
            for slice in expected.chunks(case.size[0] * case.size[1]) {
                let labels = by_first_voxel(slice);
                all.extend(labels.iter().map(|&l| if l == 0 { 0 } else { l + before }));
                before += labels.iter().max().unwrap();
            }
            assert_eq!(found.labels.data, all);
            assert_eq!(found.sizes, counts(&all, before as usize));
        }
    }
}

#[test]
fn component_boxes_are_scipys() {
    for case in cases() {
        let found = connected_components(&case.mask(), Connectivity::Six);
        let boxes = component_boxes(&found);
        assert_eq!(boxes[0], VoxelBox { min: [0; 3], max: case.size });
        let mut ours: Vec<_> = boxes[1..].iter().map(|b| [b.min, b.max]).collect();
        let mut scipys = case.boxes_6.clone();
        ours.sort_unstable();
        scipys.sort_unstable();
        assert_eq!(ours, scipys);
        // Each box belongs to its label.
        for (label, b) in boxes.iter().enumerate().skip(1) {
            assert_eq!(found.labels.bounding_box(|l| l as usize == label), Some(*b));
        }
    }
}

#[test]
fn distances_are_scipys() {
    for case in cases() {
        assert_close(&distance_transform(&case.mask()).data, &case.distance_mm);
        let by_slice: Vec<f32> =
            case.distance_by_slice_mm.iter().map(|&d| if d < 0.0 { f32::INFINITY } else { d }).collect();
        assert_close(&distance_transform_slices(&case.mask()).data, &by_slice);
    }
}

#[test]
fn holes_are_scipys() {
    for case in cases() {
        let geometry = case.geometry();
        assert_eq!(fill_holes(&case.mask()), mask(&geometry, &case.filled));
        assert_eq!(fill_holes_slices(&case.mask()), mask(&geometry, &case.filled_by_slice));
    }
}

#[test]
fn morphology_is_scipys() {
    for case in cases() {
        let (m, r) = (case.mask(), case.radius_mm);
        let ball = Structuring::Ball { radius_mm: r };
        let boxed = Structuring::Box { voxels: case.box_voxels };
        let expected = |digits: &[String; 4]| digits.each_ref().map(|d| mask(&case.geometry(), d));
        let all = |s| [dilate(&m, s), erode(&m, s), open(&m, s), close(&m, s)];
        assert_eq!(all(ball), expected(&case.ball));
        assert_eq!(all(boxed), expected(&case.boxed));
        let slices = [dilate_slices(&m, r), erode_slices(&m, r), open_slices(&m, r), close_slices(&m, r)];
        assert_eq!(slices, expected(&case.disc));
    }
}

/// The same labels renumbered 1.. in order of their first voxel.
fn by_first_voxel(labels: &[u32]) -> Vec<u32> {
    let mut new = BTreeMap::from([(0, 0)]);
    let renumber = |&label: &u32| {
        let next = new.len() as u32;
        *new.entry(label).or_insert(next)
    };
    labels.iter().map(renumber).collect()
}

fn counts(labels: &[u32], highest: usize) -> Vec<usize> {
    (0..=highest).map(|l| labels.iter().filter(|&&v| v as usize == l).count()).collect()
}

fn assert_close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!(a == b || (a - b).abs() < 1e-4, "voxel {i}: {a} instead of {b}");
    }
}
