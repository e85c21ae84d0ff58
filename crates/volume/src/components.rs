//! Connected components of a mask.

use crate::runs::{Neighbours, RunComponents};
use crate::{Mask, Volume, VoxelBox};
use rayon::prelude::*;

/// Which voxels are neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connectivity {
    /// Those that share a face.
    Six,
    /// Those that share a face, an edge or a corner.
    TwentySix,
}

/// The connected components of a mask.
#[derive(Debug, Clone, PartialEq)]
pub struct Components {
    /// 0 in the background, 1.. in the components, numbered in order of their first voxel in
    /// storage order (x fastest, then y, then z).
    pub labels: Volume<u32>,
    /// Voxels of each label; `sizes[0]` is the background's. One more entry than components.
    pub sizes: Vec<usize>,
}

impl Components {
    /// Number of components, the background not counted.
    pub fn count(&self) -> usize {
        self.sizes.len().saturating_sub(1)
    }
}

/// The components of the nonzero voxels. Labels are those of `scipy.ndimage.label`, numbered by
/// first voxel, and the same for any number of threads.
pub fn connected_components(mask: &Mask, connectivity: Connectivity) -> Components {
    label(mask, Neighbours { diagonal: connectivity == Connectivity::TwentySix, across_slices: true })
}

/// The components within each axial slice on its own; `eight`: also across corners.
///
/// Labels are unique in the whole volume and rise with the slice: those of slice z come after all
/// those of the slices before.
pub fn connected_components_2d(mask: &Mask, eight: bool) -> Components {
    label(mask, Neighbours { diagonal: eight, across_slices: false })
}

fn label(mask: &Mask, neighbours: Neighbours) -> Components {
    let [nx, ny, _] = mask.geometry.size;
    let found = RunComponents::new(&mask.data, mask.geometry.size, neighbours, |v| v != 0);
    let mut sizes = vec![0usize; found.count + 1];
    for (run, label) in found.all() {
        sizes[label as usize] += (run.end - run.start) as usize;
    }
    sizes[0] = mask.data.len() - sizes.iter().sum::<usize>();
    let mut labels = vec![0u32; mask.data.len()];
    labels.par_chunks_mut((nx * ny).max(1)).enumerate().for_each(|(z, slice)| {
        for (y, row) in slice.chunks_mut(nx).enumerate() {
            for (run, label) in found.row(z * ny + y) {
                row[run.start as usize..run.end as usize].fill(label);
            }
        }
    });
    Components { labels: Volume { geometry: mask.geometry.clone(), data: labels }, sizes }
}

/// The smallest voxel box around each label: entry i is label i's, and entry 0 (the background's
/// place) is the whole grid. A label without voxels has an empty box.
pub fn component_boxes(components: &Components) -> Vec<VoxelBox> {
    let size = components.labels.geometry.size;
    let [nx, ny, nz] = size;
    let slices_per_task = nz.div_ceil(8).max(1);
    let empty = VoxelBox { min: [usize::MAX; 3], max: [0; 3] };
    let mut boxes = components
        .labels
        .data
        .par_chunks((nx * ny * slices_per_task).max(1))
        .enumerate()
        .map(|(task, part)| {
            let mut boxes = vec![empty; components.sizes.len()];
            for (row, labels) in part.chunks(nx).enumerate() {
                let (y, z) = (row % ny, row / ny + task * slices_per_task);
                grow_boxes(&mut boxes, labels, y, z);
            }
            boxes
        })
        .reduce(
            || vec![empty; components.sizes.len()],
            |mut a, b| {
                a.iter_mut().zip(&b).for_each(|(a, b)| join(a, b));
                a
            },
        );
    for b in boxes.iter_mut().filter(|b| b.max[0] == 0) {
        b.min = [0; 3];
    }
    if let Some(background) = boxes.first_mut() {
        *background = VoxelBox { min: [0; 3], max: size };
    }
    boxes
}

/// Grows the boxes by the labels of one row, run by run.
fn grow_boxes(boxes: &mut [VoxelBox], labels: &[u32], y: usize, z: usize) {
    let mut x = 0;
    for run in labels.chunk_by(|a, b| a == b) {
        let end = x + run.len();
        if run[0] != 0
            && let Some(b) = boxes.get_mut(run[0] as usize)
        {
            join(b, &VoxelBox { min: [x, y, z], max: [end, y + 1, z + 1] });
        }
        x = end;
    }
}

fn join(a: &mut VoxelBox, b: &VoxelBox) {
    for i in 0..3 {
        a.min[i] = a.min[i].min(b.min[i]);
        a.max[i] = a.max[i].max(b.max[i]);
    }
}
