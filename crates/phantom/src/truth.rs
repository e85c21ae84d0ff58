//! Truth regions from labels.

use crate::types::TruthRegion;
use pleura_volume::{
    Components, Connectivity, Geometry, Mask, VoxelBox, component_boxes, connected_components,
};

/// Largest edge of a truth region, mm (contract).
pub const MAX_EDGE_MM: f64 = 60.0;
/// Smallest region that counts, ml (ours).
pub const MIN_VOLUME_ML: f64 = 0.1;

/// Connected components (26 neighbours) of the nonzero voxels as [`regions_of`] cuts them, without
/// those under 0.1 ml.
pub fn truth_regions(infection: &Mask) -> Vec<TruthRegion> {
    let Some(around) = infection.bounding_box(|v| v != 0) else { return Vec::new() };
    let components = connected_components(&infection.cropped(&around), Connectivity::TwentySix);
    let mut found = regions_of(&components, &infection.geometry, around.min);
    found.retain(|r| r.volume_ml >= MIN_VOLUME_ML);
    found
}

/// A region for each label, those longer than 60 mm cut into equal parts along each long edge, each
/// part's box drawn tight around its voxels. Ordered by label, then part (z slowest).
///
/// The labels are those of a box of voxels of the grid `g` that starts at its voxel `first`.
pub fn regions_of(components: &Components, g: &Geometry, first: [usize; 3]) -> Vec<TruthRegion> {
    let boxes = component_boxes(components);
    let parts: Vec<[usize; 3]> = boxes
        .iter()
        .map(|b| {
            let size = b.size();
            std::array::from_fn(|a| {
                ((size[a] as f64 * g.spacing_mm[a] / MAX_EDGE_MM) - 1e-9).ceil().max(1.0) as usize
            })
        })
        .collect();
    // all parts of all components in their order, z slowest
    let mut starts = vec![0];
    for n in &parts {
        starts.push(starts[starts.len() - 1] + n.iter().product::<usize>());
    }
    let empty = VoxelBox { min: [usize::MAX; 3], max: [0; 3] };
    let mut found = vec![(empty, 0usize); starts[parts.len()]];
    let [nx, ny, _] = components.labels.size();
    for (i, &label) in components.labels.data.iter().enumerate() {
        if label == 0 {
            continue;
        }
        let label = label as usize;
        let v = [i % nx, i / nx % ny, i / nx / ny];
        let (b, n) = (&boxes[label], &parts[label]);
        let size = b.size();
        let part: [usize; 3] = std::array::from_fn(|a| (v[a] - b.min[a]) * n[a] / size[a].max(1));
        let entry = &mut found[starts[label] + (part[2] * n[1] + part[1]) * n[0] + part[0]];
        let b = &mut entry.0;
        b.min = std::array::from_fn(|a| b.min[a].min(first[a] + v[a]));
        b.max = std::array::from_fn(|a| b.max[a].max(first[a] + v[a] + 1));
        entry.1 += 1;
    }
    found
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .map(|(b, n)| TruthRegion { box_mm: g.box_mm(&b), volume_ml: n as f64 * g.voxel_ml() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleura_volume::Volume;

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
