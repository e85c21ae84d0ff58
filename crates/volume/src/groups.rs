//! Marked voxels grouped over small gaps, long groups cut into parts.

use crate::{
    Components, Connectivity, Mask, Structuring, VoxelBox, component_boxes, connected_components, dilate,
};

/// A group of voxels, or a part of one: the smallest box around them, and how many they are.
pub type GroupBox = (VoxelBox, usize);

/// The nonzero voxels grouped by 26 neighbours and over gaps of up to about `gap_mm` (0: none), each
/// group longer than `most_edge_mm` cut into equal parts along each long edge, each box tight around the
/// voxels of its part. Ordered by the group's first voxel, then part (z slowest).
pub fn group_boxes(mask: &Mask, gap_mm: f64, most_edge_mm: f64) -> Vec<GroupBox> {
    let Some(around) = mask.bounding_box(|v| v != 0) else { return Vec::new() };
    let inside = mask.cropped(&around);
    let mut groups = match gap_mm > 0.0 {
        // Two voxels meet when the balls around them do.
        true => {
            let grown = dilate(&inside, Structuring::Ball { radius_mm: gap_mm / 2.0 });
            connected_components(&grown, Connectivity::TwentySix)
        }
        false => connected_components(&inside, Connectivity::TwentySix),
    };
    let unmarked = groups.labels.data.iter_mut().zip(&inside.data).filter(|(_, m)| **m == 0);
    unmarked.for_each(|(label, _)| *label = 0);
    let moved = |(b, n): GroupBox| {
        let by = |v: [usize; 3]| std::array::from_fn(|a| v[a] + around.min[a]);
        (VoxelBox { min: by(b.min), max: by(b.max) }, n)
    };
    cut(&groups, most_edge_mm).into_iter().map(moved).collect()
}

fn cut(groups: &Components, most_edge_mm: f64) -> Vec<GroupBox> {
    let (g, boxes) = (&groups.labels.geometry, component_boxes(groups));
    let parts: Vec<[usize; 3]> = boxes
        .iter()
        .map(|b| {
            let mm = |a: usize| b.size()[a] as f64 * g.spacing_mm[a];
            std::array::from_fn(|a| ((mm(a) / most_edge_mm) - 1e-9).ceil().max(1.0) as usize)
        })
        .collect();
    // All parts of all groups in their order, z slowest.
    let mut starts = vec![0];
    for n in &parts {
        starts.push(starts[starts.len() - 1] + n.iter().product::<usize>());
    }
    let empty = VoxelBox { min: [usize::MAX; 3], max: [0; 3] };
    let mut found = vec![(empty, 0usize); starts[parts.len()]];
    let [nx, ny, _] = g.size;
    for (i, &label) in groups.labels.data.iter().enumerate().filter(|(_, l)| **l != 0) {
        let label = label as usize;
        let v = [i % nx, i / nx % ny, i / nx / ny];
        let (b, n) = (&boxes[label], &parts[label]);
        let size = b.size();
        let part: [usize; 3] = std::array::from_fn(|a| (v[a] - b.min[a]) * n[a] / size[a].max(1));
        let (part_box, count) = &mut found[starts[label] + (part[2] * n[1] + part[1]) * n[0] + part[0]];
        part_box.min = std::array::from_fn(|a| part_box.min[a].min(v[a]));
        part_box.max = std::array::from_fn(|a| part_box.max[a].max(v[a] + 1));
        *count += 1;
    }
    found.retain(|(_, n)| *n > 0);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Geometry, Volume};

    #[test]
    fn near_voxels_make_one_group_and_long_groups_are_cut() {
        let mut m = Volume::filled(Geometry::axis_aligned([90, 6, 6], [5.0; 3], [2.0; 3]), 0u8);
        // x 2..6 and, two clean voxels on, 8..12; far off a bar of 36 voxels, 72 mm.
        let marked = (2..6).chain(8..12).chain(40..76);
        for x in marked {
            let at = m.offset([x, 3, 4]);
            m.data[at] = 1;
        }
        let bar = |from: usize, to: usize| VoxelBox { min: [from, 3, 4], max: [to, 4, 5] };
        let halves = [(bar(40, 58), 18), (bar(58, 76), 18)];
        let apart = [(bar(2, 6), 4), (bar(8, 12), 4), halves[0], halves[1]];
        assert_eq!(group_boxes(&m, 0.0, 60.0), apart);
        // Boxes are tight around what is marked, not around what was grown.
        assert_eq!(group_boxes(&m, 6.0, 60.0), [(bar(2, 12), 8), halves[0], halves[1]]);
        assert!(group_boxes(&Volume::filled(m.geometry, 0), 6.0, 60.0).is_empty());
    }
}
