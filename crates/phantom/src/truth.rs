//! Truth regions from labels.

use crate::types::TruthRegion;
use pleura_volume::{GroupBox, Mask, group_boxes};

/// Largest edge of a truth region, mm (contract).
pub const MAX_EDGE_MM: f64 = 60.0;
/// Smallest region that counts, ml (ours).
pub const MIN_VOLUME_ML: f64 = 0.1;

/// Connected components (26 neighbours) of the nonzero voxels, those longer than 60 mm cut into equal
/// parts along each long edge, without those under 0.1 ml.
pub fn truth_regions(infection: &Mask) -> Vec<TruthRegion> {
    let mut found = regions_of(infection, 0.0);
    found.retain(|r| r.volume_ml >= MIN_VOLUME_ML);
    found
}

/// Regions of the nonzero voxels grouped over gaps of up to `gap_mm`, small ones too.
pub fn regions_of(infection: &Mask, gap_mm: f64) -> Vec<TruthRegion> {
    let g = &infection.geometry;
    let region = |(b, n): GroupBox| TruthRegion { box_mm: g.box_mm(&b), volume_ml: n as f64 * g.voxel_ml() };
    group_boxes(infection, gap_mm, MAX_EDGE_MM).into_iter().map(region).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleura_volume::{Geometry, Volume};

    #[test]
    fn a_long_bar_is_cut_into_equal_parts_and_specks_are_dropped() {
        let g = Geometry::axis_aligned([80, 20, 20], [10.0, 0.0, -5.0], [2.0, 2.0, 2.0]);
        let mut m = Volume::filled(g, 0u8);
        // a bar of 65 x 3 x 4 voxels: 130 mm long, so three parts of at most 22 voxels
        for z in 5..9 {
            for y in 4..7 {
                for x in 2..67 {
                    let o = m.offset([x, y, z]);
                    m.data[o] = 1;
                }
            }
        }
        let speck = m.offset([75, 15, 15]);
        m.data[speck] = 1; // 0.008 ml
        let r = truth_regions(&m);
        assert_eq!(r.len(), 3);
        // by hand: part k holds x with (x - 2) * 3 / 65 == k: 22, 22 and 21 voxels
        let ml: Vec<f64> = r.iter().map(|r| r.volume_ml).collect();
        assert_eq!(ml, [22, 22, 21].map(|n| f64::from(n * 12) * 0.008));
        assert_eq!(r[0].box_mm.min, [10.0 + 2.0 * 2.0 - 1.0, 7.0, 4.0]);
        assert_eq!(r[0].box_mm.max, [10.0 + 24.0 * 2.0 - 1.0, 13.0, 12.0]);
        assert!(r.iter().all(|r| r.box_mm.size().iter().all(|&e| e <= MAX_EDGE_MM)));
    }
}
