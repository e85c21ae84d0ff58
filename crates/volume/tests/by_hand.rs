//! Small cases worked out by hand.

use pleura_volume::*;

fn line(values: &[i16], spacing_mm: f64) -> Volume<i16> {
    let geometry = Geometry::axis_aligned([values.len(), 1, 1], [0.0; 3], [spacing_mm, 1.0, 1.0]);
    Volume { geometry, data: values.to_vec() }
}

fn grid(size: [usize; 3], origin_x: f64, spacing_x: f64) -> Geometry {
    Geometry::axis_aligned(size, [origin_x, 0.0, 0.0], [spacing_x, 1.0, 1.0])
}

#[test]
fn halves_round_to_the_even_neighbour() {
    // Half way between 0 and 1, 1 and 2, 2 and 3; then -3 and -2.
    let half_way = resample_linear(&line(&[0, 1, 2, 3], 1.0), &grid([3, 1, 1], 0.5, 1.0), -9);
    assert_eq!(half_way.data, [0, 2, 2]);
    let half_way = resample_linear(&line(&[-3, -2, -1], 1.0), &grid([2, 1, 1], 0.5, 1.0), -9);
    assert_eq!(half_way.data, [-2, -2]);
}

#[test]
fn values_are_held_for_half_a_voxel_and_outside_beyond() {
    // Centres at -1, -0.5, 0, 0.5, 1, 1.5, 2: the voxels reach from -0.5 to 1.5.
    let out = resample_linear(&line(&[10, 20], 1.0), &grid([7, 1, 1], -1.0, 0.5), -9);
    assert_eq!(out.data, [-9, 10, 10, 15, 20, 20, -9]);
}

#[test]
fn the_whole_range_survives() {
    let extremes = line(&[i16::MIN, i16::MAX], 1.0);
    assert_eq!(resample_linear(&extremes, &extremes.geometry, 0), extremes);
    assert_eq!(resample_mean(&extremes, &extremes.geometry, 0), extremes);
}

#[test]
fn a_mean_takes_each_voxel_by_its_covered_share() {
    // Voxels of 1 mm averaged over 2.5 mm: (10 + 20 + 15) / 2.5 and (15 + 40 + 50) / 2.5.
    let coarse = line(&[10, 20, 30, 40, 50], 1.0).geometry.resampled([2.5, 1.0, 1.0]);
    assert_eq!(coarse.size, [2, 1, 1]);
    assert_eq!(resample_mean(&line(&[10, 20, 30, 40, 50], 1.0), &coarse, 0).data, [18, 42]);
}

#[test]
fn a_mean_over_the_border_counts_only_what_is_inside() {
    // Three voxels of 1 mm on two of 2 mm, centred: each reaches half a voxel beyond.
    let source = line(&[0, 90, 30], 1.0);
    let coarse = source.geometry.resampled([2.0, 1.0, 1.0]);
    assert_eq!(resample_mean(&source, &coarse, -9).data, [30, 50]);
    // A voxel whose centre lies outside is not made up from its corner; the next one takes
    // a quarter of 0, all of 90 and three quarters of 30, over 2.
    assert_eq!(resample_mean(&source, &grid([2, 1, 1], -0.75, 2.0), -9).data, [-9, 56]);
}

#[test]
fn a_mean_on_a_finer_grid_interpolates() {
    let fine = resample_mean(&line(&[0, 40], 4.0), &grid([5, 1, 1], 0.0, 1.0), -9);
    assert_eq!(fine.data, [0, 10, 20, 30, 40]);
}

#[test]
fn a_mean_on_turned_axes_keeps_a_constant() {
    let geometry = Geometry::axis_aligned([20, 20, 20], [0.0; 3], [1.0; 3]);
    let source = Volume::filled(geometry.clone(), 123i16);
    let (c, s) = (0.8, 0.6);
    let mut target = geometry.resampled([2.0; 3]);
    target.axes = [[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]];
    target.size = [3, 3, 3];
    target.origin_mm = [9.0, 6.0, 8.0];
    assert_eq!(resample_mean(&source, &target, 0).data, [123; 27]);
}

#[test]
fn nearest_takes_the_later_voxel_half_way() {
    let labels = line(&[1, 2, 3], 1.0).map(|v| v as u8);
    assert_eq!(resample_nearest(&labels, &grid([5, 1, 1], -0.5, 1.0)).data, [1, 2, 3, 3, 0]);
}

#[test]
fn a_grid_without_zeros_is_infinitely_far() {
    let geometry = Geometry::axis_aligned([3, 4, 5], [0.0; 3], [1.0, 2.0, 3.0]);
    let full = Mask::filled(geometry.clone(), 2);
    assert!(distance_transform(&full).data.iter().all(|&d| d == f32::INFINITY));
    let mut with_zero = full;
    with_zero.data[0] = 0;
    let far = distance_transform(&with_zero);
    // 2 steps of 1 mm, 3 of 2 mm, 4 of 3 mm: the root of 4 + 36 + 144.
    assert_eq!(far.at([2, 3, 4]), 184f32.sqrt());
    // Only the first slice holds a zero.
    let by_slice = distance_transform_slices(&with_zero);
    assert_eq!(by_slice.at([2, 3, 0]), 40f32.sqrt());
    assert!(by_slice.slice(1).iter().all(|&d| d == f32::INFINITY));
}

#[test]
fn the_edge_of_the_grid_neither_eats_nor_grows_a_mask() {
    let geometry = Geometry::axis_aligned([4, 3, 2], [0.0; 3], [1.0; 3]);
    for shape in [Structuring::Ball { radius_mm: 2.0 }, Structuring::Box { voxels: [5, 5, 5] }] {
        let full = Mask::filled(geometry.clone(), 1);
        assert_eq!(erode(&full, shape), full);
        let none = Mask::filled(geometry.clone(), 0);
        assert_eq!(dilate(&none, shape), none);
    }
}

#[test]
fn a_ball_counts_voxels_exactly_on_its_surface() {
    // 3 x 0.7 mm is 2.0999999999999996 in binary.
    let mut mask = Mask::filled(grid([9, 1, 1], 0.0, 0.7), 0);
    mask.data[4] = 7;
    assert_eq!(dilate(&mask, Structuring::Ball { radius_mm: 2.1 }).data, [0, 1, 1, 1, 1, 1, 1, 1, 0]);
}

#[test]
fn empty_grids_stay_empty() {
    let geometry = Geometry::axis_aligned([0, 3, 2], [0.0; 3], [1.0; 3]);
    let (mask, scan) = (Mask::filled(geometry.clone(), 0), Volume::filled(geometry.clone(), 0i16));
    assert_eq!(connected_components(&mask, Connectivity::Six).sizes, [0]);
    assert_eq!(component_boxes(&connected_components(&mask, Connectivity::TwentySix)).len(), 1);
    assert!(distance_transform(&mask).data.is_empty());
    assert!(fill_holes(&mask).data.is_empty());
    assert!(dilate(&mask, Structuring::Box { voxels: [3; 3] }).data.is_empty());
    assert!(erode(&mask, Structuring::Ball { radius_mm: 3.0 }).data.is_empty());
    let target = Geometry::axis_aligned([2, 1, 1], [0.0; 3], [1.0; 3]);
    assert_eq!(resample_linear(&scan, &target, -5).data, [-5, -5]);
    assert_eq!(resample_mean(&scan, &target, -5).data, [-5, -5]);
    assert_eq!(resample_nearest(&mask, &target).data, [0, 0]);
    let full = Volume::filled(target, 1i16);
    assert!(resample_linear(&full, &geometry, 0).data.is_empty());
}

#[test]
fn half_overlapping_cubes_have_an_iou_of_a_third() {
    let a = Box3::cube([0.0; 3], 2.0);
    let b = Box3::cube([1.0, 0.0, 0.0], 2.0);
    assert!((a.iou(&b) - 1.0 / 3.0).abs() < 1e-12);
    assert_eq!(a.iou(&Box3::cube([9.0; 3], 2.0)), 0.0);
}

#[test]
fn a_resampled_grid_is_centred_on_the_old_one() {
    // 10 voxels of 0.7 mm reach from -0.35 to 6.65 mm; 4 of 2 mm, centred, from -0.85 to 7.15.
    let coarse = grid([10, 1, 1], 0.0, 0.7).resampled([2.0, 1.0, 1.0]);
    assert_eq!(coarse.size, [4, 1, 1]);
    assert!((coarse.origin_mm[0] - 0.15).abs() < 1e-12);
}
