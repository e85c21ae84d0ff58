//! The truth regions that are taught and scored: one definition for the detector's targets, the
//! classifier's candidates and the recall of both.

pub(crate) use pleura_evaluate::LEAST_ML;
use pleura_phantom::{TruthRegion, regions_of};
use pleura_screen::JOINED_MM;
use pleura_volume::Mask;

/// The regions of an infection: its voxels grouped over gaps of up to [`JOINED_MM`], groups longer
/// than 60 mm cut into equal parts, boxes tight around the infected voxels themselves. Those under
/// [`LEAST_ML`] are among them.
pub(crate) fn regions(infection: &Mask) -> Vec<TruthRegion> {
    regions_of(infection, JOINED_MM)
}

/// Whether a region is large enough to be asked for.
pub(crate) fn is_asked(region: &TruthRegion) -> bool {
    region.volume_ml >= LEAST_ML
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleura_volume::{Box3, Geometry, VoxelBox};

    /// 2 mm voxels; cubes of 4 voxels (0.512 ml) from the corners given.
    fn cubes(corners: &[[usize; 3]]) -> Mask {
        let mut mask = Mask::filled(Geometry::axis_aligned([60, 20, 20], [3.0, 0.0, -9.0], [2.0; 3]), 0);
        for i in 0..mask.data.len() {
            let v = [i % 60, i / 60 % 20, i / 1200];
            let inside = |c: &[usize; 3]| (0..3).all(|a| (c[a]..c[a] + 4).contains(&v[a]));
            mask.data[i] = u8::from(corners.iter().any(inside));
        }
        mask
    }

    #[test]
    fn near_flecks_are_one_region_and_far_ones_two() {
        // Two clean voxels, 4 mm, between the faces.
        let near = cubes(&[[5, 5, 5], [11, 5, 5]]);
        let found = regions(&near);
        assert_eq!(found.len(), 1);
        assert!((found[0].volume_ml - 2.0 * 0.512).abs() < 1e-9, "only infected voxels count");
        let tight = VoxelBox { min: [5; 3], max: [15, 9, 9] };
        assert_eq!(found[0].box_mm, near.geometry.box_mm(&tight));
        // Five clean voxels, 10 mm.
        let far = regions(&cubes(&[[5, 5, 5], [14, 5, 5]]));
        assert_eq!(far.len(), 2);
        assert!(far.iter().all(is_asked));
    }

    #[test]
    fn what_is_too_small_stays_known_but_is_not_asked_for() {
        let mut mask = cubes(&[]);
        assert!(regions(&mask).is_empty());
        // 24 voxels are 0.192 ml, 25 are 0.2.
        mask.data[1200 * 8 + 60 * 8..][..24].fill(1);
        assert!(regions(&mask).len() == 1 && !regions(&mask).iter().any(is_asked));
        mask.data[1200 * 8 + 60 * 8 + 24] = 1;
        assert!(regions(&mask).iter().all(is_asked));
    }

    #[test]
    fn joined_regions_are_cut_at_60_mm() {
        let corners: Vec<[usize; 3]> = (0..8).map(|k| [6 * k + 1, 5, 5]).collect();
        let found = regions(&cubes(&corners));
        // 46 voxels, 92 mm: two parts.
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|r| Box3::size(&r.box_mm)[0] <= 60.0));
    }
}
