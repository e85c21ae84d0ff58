//! Voxel arrays with their geometry.

use crate::{Geometry, VoxelBox};
use rayon::prelude::*;

/// A dense array of voxels `[z, y, x]` (x fastest) and where it lies. `Volume<i16>` is in HU.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume<T> {
    /// Where the voxels lie.
    pub geometry: Geometry,
    /// Voxel values; `geometry.len()` of them.
    pub data: Vec<T>,
}

/// A label per voxel, 0 outside.
pub type Mask = Volume<u8>;

impl<T: Copy + Send + Sync> Volume<T> {
    /// A volume of one value.
    pub fn filled(geometry: Geometry, value: T) -> Self {
        let data = vec![value; geometry.len()];
        Self { geometry, data }
    }

    /// Voxel counts along x, y, z.
    pub fn size(&self) -> [usize; 3] {
        self.geometry.size
    }

    /// Offset of voxel `[x, y, z]` in `data`.
    pub fn offset(&self, v: [usize; 3]) -> usize {
        let [nx, ny, _] = self.geometry.size;
        (v[2] * ny + v[1]) * nx + v[0]
    }

    /// Value of voxel `[x, y, z]`. Panics when it lies outside.
    pub fn at(&self, v: [usize; 3]) -> T {
        self.data[self.offset(v)]
    }

    /// The axial slice `z`, row by row.
    pub fn slice(&self, z: usize) -> &[T] {
        let n = self.geometry.size[0] * self.geometry.size[1];
        &self.data[z * n..(z + 1) * n]
    }

    /// The axial slice `z`, row by row, to write.
    pub fn slice_mut(&mut self, z: usize) -> &mut [T] {
        let n = self.geometry.size[0] * self.geometry.size[1];
        &mut self.data[z * n..(z + 1) * n]
    }

    /// A volume of the same grid, each voxel mapped.
    pub fn map<U: Send>(&self, f: impl Fn(T) -> U + Sync + Send) -> Volume<U> {
        let data = self.data.par_iter().map(|&v| f(v)).collect();
        Volume { geometry: self.geometry.clone(), data }
    }

    /// The part inside `b`.
    pub fn cropped(&self, b: &VoxelBox) -> Self {
        let size = b.size();
        let mut data = Vec::with_capacity(size.iter().product());
        for z in b.min[2]..b.max[2] {
            for y in b.min[1]..b.max[1] {
                let start = self.offset([b.min[0], y, z]);
                data.extend_from_slice(&self.data[start..start + size[0]]);
            }
        }
        Self { geometry: self.geometry.cropped(b), data }
    }

    /// The smallest box around the voxels for which `inside` holds.
    pub fn bounding_box(&self, inside: impl Fn(T) -> bool + Sync + Send) -> Option<VoxelBox> {
        let [nx, ny, _] = self.geometry.size;
        self.data
            .par_chunks(nx.max(1))
            .enumerate()
            .filter_map(|(row, values)| {
                let first = values.iter().position(|&v| inside(v))?;
                let last = values.iter().rposition(|&v| inside(v))?;
                let (y, z) = (row % ny, row / ny);
                Some(VoxelBox { min: [first, y, z], max: [last + 1, y + 1, z + 1] })
            })
            .reduce_with(|a, b| VoxelBox {
                min: std::array::from_fn(|i| a.min[i].min(b.min[i])),
                max: std::array::from_fn(|i| a.max[i].max(b.max[i])),
            })
    }
}
