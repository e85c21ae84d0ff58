//! What must hold for any volume.

use pleura_volume::*;
use proptest::prelude::*;

/// A small grid, anywhere, with any right-handed or left-handed axes.
fn geometries() -> impl Strategy<Value = Geometry> {
    let sizes = (1usize..20, 1usize..10, 1usize..7).prop_map(|(x, y, z)| [x, y, z]);
    let origins = prop::array::uniform3(-500.0..500.0);
    let spacings = prop::array::uniform3(0.3..6.0);
    let turns = prop::array::uniform3(0.0..std::f64::consts::TAU);
    (sizes, origins, spacings, turns, any::<bool>()).prop_map(|(size, origin_mm, spacing_mm, turn, flip)| {
        let mut axes = Geometry::axis_aligned(size, origin_mm, spacing_mm).axes;
        for (a, angle) in turn.into_iter().enumerate() {
            axes = turned(axes, a, angle);
        }
        if flip {
            axes[0] = axes[0].map(|v| -v);
        }
        Geometry { size, origin_mm, spacing_mm, axes }
    })
}

fn turned(axes: [[f64; 3]; 3], around: usize, angle: f64) -> [[f64; 3]; 3] {
    let (b, c) = ((around + 1) % 3, (around + 2) % 3);
    axes.map(|v| {
        let mut w = v;
        w[b] = v[b] * angle.cos() - v[c] * angle.sin();
        w[c] = v[b] * angle.sin() + v[c] * angle.cos();
        w
    })
}

fn scans() -> impl Strategy<Value = Volume<i16>> {
    geometries().prop_flat_map(|geometry| {
        prop::collection::vec(any::<i16>(), geometry.len())
            .prop_map(move |data| Volume { geometry: geometry.clone(), data })
    })
}

fn masks() -> impl Strategy<Value = Mask> {
    (geometries(), 0.0..1.0f64).prop_flat_map(|(geometry, share)| {
        prop::collection::vec(prop::bool::weighted(share), geometry.len())
            .prop_map(move |data| Volume { geometry: geometry.clone(), data }.map(u8::from))
    })
}

fn shapes() -> impl Strategy<Value = Structuring> {
    prop_oneof![
        (0.0..8.0).prop_map(|radius_mm| Structuring::Ball { radius_mm }),
        prop::array::uniform3(0usize..6).prop_map(|voxels| Structuring::Box { voxels }),
    ]
}

fn within(a: &Mask, b: &Mask) -> bool {
    a.data.iter().zip(&b.data).all(|(&a, &b)| a <= b)
}

/// Distance to the nearest zero voxel, by looking at all of them.
fn distance_by_search(mask: &Mask, v: [usize; 3], same_slice: bool) -> f32 {
    let mut least = f64::INFINITY;
    for w in voxels(mask.size()).filter(|w| mask.at(*w) == 0 && (!same_slice || w[2] == v[2])) {
        let step = |a: usize| (w[a].abs_diff(v[a])) as f64 * mask.geometry.spacing_mm[a];
        least = least.min((0..3).map(|a| step(a).powi(2)).sum());
    }
    least.sqrt() as f32
}

fn voxels([nx, ny, nz]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..nz).flat_map(move |z| (0..ny).flat_map(move |y| (0..nx).map(move |x| [x, y, z])))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn indices_come_back_from_lps(geometry in geometries(), index in prop::array::uniform3(-50.0..50.0)) {
        let back = geometry.to_index(geometry.to_lps(index));
        for a in 0..3 {
            prop_assert!((back[a] - index[a]).abs() < 1e-6);
        }
    }

    #[test]
    fn a_box_of_voxels_comes_back_from_mm_on_straight_axes(size in prop::array::uniform3(1usize..20),
        origin in prop::array::uniform3(-500.0..500.0), spacing in prop::array::uniform3(0.3..6.0),
        at in prop::array::uniform3(0.0..1.0f64)) {
        let geometry = Geometry::axis_aligned(size, origin, spacing);
        let min: [usize; 3] = std::array::from_fn(|a| (at[a] * size[a] as f64) as usize);
        let b = VoxelBox { min, max: std::array::from_fn(|a| min[a] + (size[a] - min[a]).div_ceil(2)) };
        prop_assert_eq!(geometry.voxel_box(&geometry.box_mm(&b)), b);
    }

    #[test]
    fn a_crop_leaves_voxels_where_they_were(scan in scans()) {
        let b = VoxelBox { min: scan.size().map(|n| n / 3), max: scan.size() };
        let crop = scan.cropped(&b);
        prop_assert_eq!(&resample_linear(&scan, &crop.geometry, 0), &crop);
    }

    #[test]
    fn resampling_to_the_same_grid_changes_nothing(scan in scans()) {
        let grid = &scan.geometry;
        prop_assert_eq!(&resample_linear(&scan, grid, 0), &scan);
        prop_assert_eq!(&resample_mean(&scan, grid, 0), &scan);
        let real = scan.map(f32::from);
        prop_assert_eq!(&resample_linear_f32(&real, grid, 0.0), &real);
        let labels = scan.map(|v| v as u8);
        prop_assert_eq!(&resample_nearest(&labels, grid), &labels);
    }

    /// The same places written with other axes take the path for any axes.
    #[test]
    fn a_permuted_grid_gives_permuted_voxels(scan in scans()) {
        let g = &scan.geometry;
        let permuted = Geometry {
            size: [g.size[2], g.size[0], g.size[1]],
            origin_mm: g.origin_mm,
            spacing_mm: [g.spacing_mm[2], g.spacing_mm[0], g.spacing_mm[1]],
            axes: [g.axes[2], g.axes[0], g.axes[1]],
        };
        let linear = resample_linear(&scan, &permuted, 0);
        let labels = scan.map(|v| v as u8);
        let nearest = resample_nearest(&labels, &permuted);
        for [x, y, z] in voxels(g.size) {
            prop_assert_eq!(linear.at([z, x, y]), scan.at([x, y, z]));
            prop_assert_eq!(nearest.at([z, x, y]), labels.at([x, y, z]));
        }
    }

    #[test]
    fn resampled_values_stay_between_the_extremes(scan in scans(), spacing in prop::array::uniform3(0.3..9.0)) {
        let (low, high) = (*scan.data.iter().min().unwrap(), *scan.data.iter().max().unwrap());
        let target = scan.geometry.resampled(spacing);
        for resampled in [resample_linear(&scan, &target, low), resample_mean(&scan, &target, low)] {
            prop_assert!(resampled.data.iter().all(|v| (low..=high).contains(v)));
        }
    }

    #[test]
    fn a_mask_lies_between_its_erosion_and_its_dilation(mask in masks(), shape in shapes()) {
        let (opened, closed) = (open(&mask, shape), close(&mask, shape));
        prop_assert!(within(&erode(&mask, shape), &opened));
        prop_assert!(within(&opened, &mask));
        prop_assert!(within(&mask, &closed));
        prop_assert!(within(&closed, &dilate(&mask, shape)));
        prop_assert_eq!(&open(&opened, shape), &opened);
        prop_assert_eq!(&close(&closed, shape), &closed);
    }

    #[test]
    fn a_ball_of_no_radius_changes_nothing(mask in masks()) {
        let point = Structuring::Ball { radius_mm: 0.0 };
        prop_assert_eq!(&dilate(&mask, point), &mask);
        prop_assert_eq!(&erode(&mask, point), &mask);
        prop_assert_eq!(&close_slices(&mask, -1.0), &mask);
    }

    #[test]
    fn distances_are_those_found_by_search(mask in masks()) {
        let (all, by_slice) = (distance_transform(&mask), distance_transform_slices(&mask));
        for v in voxels(mask.size()) {
            for (found, same_slice) in [(all.at(v), false), (by_slice.at(v), true)] {
                let expected = distance_by_search(&mask, v, same_slice);
                prop_assert!(found == expected || (found - expected).abs() < 1e-4, "{found} {expected}");
            }
        }
    }

    #[test]
    fn distances_change_by_no_more_than_the_step(mask in masks()) {
        prop_assume!(mask.data.contains(&0));
        let d = distance_transform(&mask);
        for v in voxels(mask.size()) {
            for a in (0..3).filter(|&a| v[a] > 0) {
                let mut w = v;
                w[a] -= 1;
                prop_assert!(f64::from((d.at(v) - d.at(w)).abs()) <= mask.geometry.spacing_mm[a] + 1e-4);
            }
        }
    }

    #[test]
    fn filling_adds_only_what_is_enclosed(mask in masks()) {
        let (filled, by_slice) = (fill_holes(&mask), fill_holes_slices(&mask));
        prop_assert!(within(&mask, &filled));
        // Enclosed in space is enclosed in the slice.
        prop_assert!(within(&filled, &by_slice));
        prop_assert_eq!(&fill_holes(&filled), &filled);
    }
}

/// Deep enough for several tasks; the answers of one thread and of five are the same.
#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let geometry = Geometry::axis_aligned([23, 19, 70], [0.0; 3], [0.7, 0.9, 2.0]);
    let mut state = 7u64;
    let data = (0..geometry.len()).map(|_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        u8::from(state >> 33 & 255 < 80)
    });
    let mask = Mask { data: data.collect(), geometry };
    let ball = Structuring::Ball { radius_mm: 1.5 };
    let all = || {
        let found = connected_components(&mask, Connectivity::Six);
        let boxes = component_boxes(&found);
        (found, boxes, fill_holes(&mask), close(&mask, ball), distance_transform(&mask))
    };
    let with = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(all);
    assert_eq!(with(1), with(5));
}
