//! A scan whose header has the patient the wrong way round, or that shows one lung only, is not
//! analysed with wrong sides: both once gave two lungs and the status ok.

#![allow(clippy::unwrap_used)]

use pleura_lungs::{LungOptions, LungStatus, Lungs, find, volumes_ml};
use pleura_phantom::{Class, Grid, RenderOptions, render};
use pleura_volume::{NoProgress, Volume, VoxelBox};

fn phantom(seed: u64) -> Volume<i16> {
    let grid = Grid::Detector { spacing_mm: 2.0 };
    let options = RenderOptions { grid, ..RenderOptions::default() };
    render(Class::NoInfection, seed, &options).volume
}

fn lungs(volume: &Volume<i16>) -> Lungs {
    find(volume, &LungOptions::default(), &NoProgress).unwrap()
}

/// The voxels mirrored along an axis, the header as it was.
fn mirrored(volume: &Volume<i16>, axis: usize) -> Volume<i16> {
    let size = volume.size();
    let mut out = volume.clone();
    for (i, v) in out.data.iter_mut().enumerate() {
        let mut at = [i % size[0], i / size[0] % size[1], i / (size[0] * size[1])];
        at[axis] = size[axis] - 1 - at[axis];
        *v = volume.data[volume.offset(at)];
    }
    out
}

#[test]
fn a_patient_the_wrong_way_round_is_noticed() {
    for seed in [1, 2, 3] {
        let volume = phantom(seed);
        let right = lungs(&volume);
        assert!(right.implausible.is_empty(), "{seed}: {:?}", right.implausible);
        for (axis, word) in [(1, "spine"), (2, "windpipe")] {
            let found = lungs(&mirrored(&volume, axis)).implausible;
            assert!(found.iter().any(|r| r.contains(word)), "{seed}, axis {axis}: {found:?}");
        }
    }
}

#[test]
fn one_lung_alone_keeps_its_side() {
    for seed in [1, 2, 3] {
        let volume = phantom(seed);
        let both = volumes_ml(&lungs(&volume).mask);
        let [nx, ny, nz] = volume.size();
        for (side, from, to, missing) in [(0, 0, nx / 2, "left"), (1, nx / 2, nx, "right")] {
            let half = volume.cropped(&VoxelBox { min: [from, 0, 0], max: [to, ny, nz] });
            let found = lungs(&half);
            let ml = volumes_ml(&found.mask);
            // The middle of the picture need not be that of the patient: a sliver of the other lung may be in it.
            assert!(ml[1 - side] < 0.01 * both[1 - side], "{seed}: {ml:?} of {both:?}");
            // Some of it is beyond the edge.
            assert!((0.6..1.02).contains(&(ml[side] / both[side])), "{seed}: {ml:?} of {both:?}");
            assert_eq!(found.status, LungStatus::Partial);
            let named = format!("The {missing} lung ");
            assert!(
                found.implausible.iter().any(|r| r.starts_with(&named)),
                "{seed}: {:?}",
                found.implausible
            );
        }
    }
}

#[test]
fn a_picture_narrowed_to_one_lung_keeps_its_side() {
    for seed in [1, 2, 3] {
        let volume = phantom(seed);
        let both = lungs(&volume).mask;
        let [_, ny, nz] = volume.size();
        for (side, label) in [(0, 1), (1, 2)] {
            // Both ends of the picture cut through the body.
            let b = both.bounding_box(|v| v == label).unwrap();
            let narrow = VoxelBox { min: [b.min[0], 0, 0], max: [b.max[0], ny, nz] };
            let found = lungs(&volume.cropped(&narrow));
            let ml = volumes_ml(&found.mask);
            assert!(ml[1 - side] < 0.05 * ml[side], "{seed}: {ml:?}");
            assert!(!found.implausible.is_empty());
        }
    }
}
