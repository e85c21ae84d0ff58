//! Anchors, coding, suppression and proposals, on values worked out by hand.
#![allow(clippy::unwrap_used)]

mod common;

use common::{formula_weights, image, recipe};
use pleura_nets::boxes::*;
use pleura_nets::{AnchorSpec, Executor, InputRecipe, NetsError, specs};
use pleura_volume::{Box3, Geometry, Mask, Volume};
use proptest::prelude::*;

fn cube(at: f64, edge: f64) -> Box3 {
    Box3::cube([at; 3], edge)
}

#[test]
fn overlap_of_two_shifted_cubes() {
    // Edge 10, shifted by 5 along x: common 500, union 1500.
    let (a, b) = (Box3::cube([0.0; 3], 10.0), Box3::cube([5.0, 0.0, 0.0], 10.0));
    assert!((a.iou(&b) - 1.0 / 3.0).abs() < 1e-12);
}

#[test]
fn a_box_is_coded_by_its_shift_and_growth() {
    let anchor = Box3::cube([10.0, 20.0, 30.0], 20.0);
    // Centre (15, 18, 30), edges (20, 40, 10).
    let target = Box3 { min: [5.0, -2.0, 25.0], max: [25.0, 38.0, 35.0] };
    let code = encode(&anchor, &target);
    let ln2 = std::f32::consts::LN_2;
    let want = [0.25, -0.1, 0.0, 0.0, ln2, -ln2];
    assert!(code.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{code:?}");
    assert_eq!(decode(&anchor, &[0.0; 6]), anchor);
}

#[test]
fn a_stray_output_makes_no_endless_box() {
    let b = decode(&cube(0.0, 10.0), &[0.0, 0.0, 0.0, 80.0, f32::INFINITY, -90.0]);
    let e2 = std::f64::consts::E.powi(2);
    let want = [10.0 * e2, 10.0 * e2, 10.0 / e2];
    assert!(b.size().iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-9), "{b:?}");
    let nan = decode(&cube(0.0, 10.0), &[f32::NAN; 6]);
    assert_eq!(clip(&nan, &cube(0.0, 100.0)), None);
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(
        anchor_centre in [-300.0..300.0f64, -300.0..300.0, -300.0..300.0],
        edge in 5.0..80.0f64,
        shift in [-2.0..2.0f64, -2.0..2.0, -2.0..2.0],
        growth in [-1.9..1.9f64, -1.9..1.9, -1.9..1.9],
    ) {
        let anchor = Box3::cube(anchor_centre, edge);
        let half = growth.map(|g| edge * g.exp() / 2.0);
        let centre: [f64; 3] = std::array::from_fn(|a| anchor_centre[a] + shift[a] * edge);
        let target = Box3 {
            min: std::array::from_fn(|a| centre[a] - half[a]),
            max: std::array::from_fn(|a| centre[a] + half[a]),
        };
        let back = decode(&anchor, &encode(&anchor, &target));
        for a in 0..3 {
            prop_assert!((back.min[a] - target.min[a]).abs() < 1e-3);
            prop_assert!((back.max[a] - target.max[a]).abs() < 1e-3);
        }
    }

    #[test]
    fn what_is_kept_does_not_overlap_and_what_is_dropped_does(
        at in prop::collection::vec((0.0..40.0f64, 0.0..40.0f64, 5.0..20.0f64, 0u8..4), 0..30),
    ) {
        let boxes: Vec<(Box3, f32)> =
            at.iter().map(|&(x, y, e, s)| (Box3::cube([x, y, 0.0], e), f32::from(s))).collect();
        let kept = nms(&boxes, 0.3, 100);
        for (i, b) in boxes.iter().enumerate() {
            let beaten = kept.iter().any(|&k| k != i && b.0.iou(&boxes[k].0) > 0.3 && (boxes[k].1, i) >= (b.1, k));
            prop_assert_eq!(kept.contains(&i), !beaten);
        }
    }
}

#[test]
fn the_best_of_overlapping_boxes_stays_and_ties_go_by_index() {
    let boxes = [
        (cube(0.0, 10.0), 0.5),
        (cube(1.0, 10.0), 0.9), // IoU with the first 729 / 1271 = 0.57
        (cube(50.0, 10.0), 0.5),
        (cube(50.0, 10.0), 0.5),
        (cube(100.0, 10.0), 0.7),
    ];
    assert_eq!(nms(&boxes, 0.5, 10), [1, 4, 2]);
    assert_eq!(nms(&boxes, 0.6, 10), [1, 4, 0, 2]);
    assert_eq!(nms(&boxes, 0.5, 2), [1, 4]);
    assert!(nms(&[], 0.5, 2).is_empty());
}

#[test]
fn anchors_are_centred_on_their_cells() {
    let grid = Geometry::axis_aligned([10, 8, 4], [-100.0, 0.0, 50.0], [2.0; 3]);
    let spec = AnchorSpec { stride: 4, edges_mm: vec![10.0, 30.0] };
    let cells = feature_grid(&spec, &grid);
    assert_eq!(cells, [1, 2, 3]);
    let boxes = anchor_boxes(&spec, cells, &grid);
    assert_eq!(boxes.len(), 12);
    // The first cell covers voxels 0 to 3: centre 1.5 voxels = 3 mm from the first voxel's.
    assert_eq!(boxes[0], Box3::cube([-97.0, 3.0, 53.0], 10.0));
    assert_eq!(boxes[1], Box3::cube([-97.0, 3.0, 53.0], 30.0));
    assert_eq!(boxes[2], Box3::cube([-89.0, 3.0, 53.0], 10.0), "x runs fastest");
    assert_eq!(boxes[6], Box3::cube([-97.0, 11.0, 53.0], 10.0));
}

#[test]
fn anchors_are_matched_by_overlap_and_no_truth_is_left_out() {
    use AnchorMatch::{Ignored, Negative, Positive};
    let anchors = [cube(0.0, 10.0), cube(1.0, 10.0), cube(3.0, 10.0), cube(50.0, 10.0), cube(200.0, 10.0)];
    // IoU with the first truth: 1, 729/1271 = 0.57, 343/1657 = 0.21, 0, 0.
    // The second is small (27/1000 of the fourth anchor), the third touches nothing.
    let truths = [cube(0.0, 10.0), cube(50.0, 3.0), cube(180.0, 4.0)];
    let got = match_anchors(&anchors, &truths, 0.5, 0.1);
    assert_eq!(got, [Positive(0), Positive(0), Ignored, Positive(1), Positive(2)]);
    assert_eq!(match_anchors(&anchors, &[], 0.5, 0.1), [Negative; 5]);
    // Two truths, the same best anchor: the later one takes its next best.
    let twins = [cube(0.0, 10.0), cube(0.0, 9.0)];
    assert_eq!(match_anchors(&anchors, &twins, 0.9, 0.01)[..2], [Positive(0), Positive(1)]);
}

#[test]
fn proposals_are_thresholded_decoded_and_clipped() {
    let grid = Geometry::axis_aligned([8, 8, 4], [0.0; 3], [2.0; 3]);
    // Four cells with two anchors each, all far below the threshold but three.
    let mut objectness = [-9.0f32; 8];
    let mut offsets = [0.0f32; 48];
    objectness[0] = 3f32.ln(); // score 3/4, cube of 10 at (3, 3, 3), reaching out of the grid
    objectness[6] = 0.0; // score 1/2, cube of 10 at (11, 11, 3)
    offsets[36] = 0.1; // moved by 1 mm along x
    objectness[2] = -0.1; // score below 1/2
    let got = proposals(&objectness, &offsets, &recipe(), &grid).unwrap();
    assert_eq!(got.len(), 2);
    assert!((got[0].1 - 0.75).abs() < 1e-6 && got[1].1 == 0.5);
    // The grid's outer faces: -1 to 15 along x and y, -1 to 7 along z.
    assert_eq!(got[0].0, Box3 { min: [-1.0; 3], max: [8.0, 8.0, 7.0] });
    let want = Box3 { min: [7.0, 6.0, -1.0], max: [15.0, 15.0, 7.0] };
    assert!(got[1].0.iou(&want) > 0.999_999, "{:?}", got[1].0);
    let short = proposals(&objectness[1..], &offsets, &recipe(), &grid);
    assert!(matches!(short, Err(NetsError::Input(_))));
    assert!(proposals(&[f32::NAN; 8], &offsets, &recipe(), &grid).unwrap().is_empty());
}

#[test]
fn without_the_objectness_head_there_are_no_proposals() {
    let spec = specs::vnet_ir_rpn(&[8, 8, 8, 8], 2);
    let grid = Geometry::axis_aligned([24, 16, 16], [0.0; 3], [2.0; 3]);
    let x = image(grid.len());
    let count = |weights: &pleura_nets::Weights| {
        let out = Executor::new(&spec, weights).unwrap().run(&x, [1, 16, 16, 24], None).unwrap();
        proposals(&out[0].data, &out[1].data, &recipe(), &grid).unwrap().len()
    };
    let mut weights = formula_weights(&spec);
    assert!(count(&weights) > 3);
    let head = weights.0.get_mut("rpn_objectness.weight").unwrap();
    head.data.fill(0.0);
    let prior = weights.0.get_mut("rpn_objectness.bias").unwrap();
    prior.data.fill(-4.6);
    assert_eq!(count(&weights), 0, "the voxel head must not be able to propose");
}

#[test]
fn the_input_is_windowed_and_masked_with_a_margin() {
    let recipe = InputRecipe { low_hu: -1000.0, high_hu: 1000.0, outside_hu: Some(0.0), mask_margin: 1 };
    let grid = Geometry::axis_aligned([5, 1, 1], [0.0; 3], [1.0; 3]);
    let hu = Volume { geometry: grid.clone(), data: vec![-3000i16, -500, 500, 1500, -1000] };
    assert_eq!(recipe.apply(&hu, None).unwrap(), [0.0, 0.25, 0.75, 1.0, 0.0]);
    let mask = Mask { geometry: grid.clone(), data: vec![0, 0, 1, 0, 0] };
    assert_eq!(recipe.apply(&hu, Some(&mask)).unwrap(), [0.5, 0.25, 0.75, 1.0, 0.5]);
    let leave = InputRecipe { outside_hu: None, ..recipe.clone() };
    assert_eq!(leave.apply(&hu, Some(&mask)).unwrap(), recipe.apply(&hu, None).unwrap());
    let other = Mask::filled(Geometry { size: [4, 1, 1], ..grid }, 1);
    assert!(matches!(recipe.apply(&hu, Some(&other)), Err(NetsError::Input(_))));
}
