//! Where voxels lie in the patient.

use serde::{Deserialize, Serialize};

/// Maps voxel indices to LPS millimetres.
///
/// Index `(0, 0, 0)` is the centre of the first voxel; a voxel reaches half a step to each side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Geometry {
    /// Voxel counts along x, y, z.
    pub size: [usize; 3],
    /// LPS position in mm of the centre of voxel (0, 0, 0).
    pub origin_mm: [f64; 3],
    /// Distance in mm between voxel centres along x, y, z.
    pub spacing_mm: [f64; 3],
    /// `axes[a]` is the unit vector, in LPS, of index axis `a` (x, y, z).
    pub axes: [[f64; 3]; 3],
}

impl Geometry {
    /// A grid whose axes are the patient's: x to the left, y to the back, z to the head.
    pub fn axis_aligned(size: [usize; 3], origin_mm: [f64; 3], spacing_mm: [f64; 3]) -> Self {
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        Self { size, origin_mm, spacing_mm, axes }
    }

    /// Number of voxels.
    pub fn len(&self) -> usize {
        self.size.iter().product()
    }

    /// True when the grid holds no voxel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Volume of one voxel in millilitres.
    pub fn voxel_ml(&self) -> f64 {
        self.spacing_mm.iter().product::<f64>() / 1000.0
    }

    /// LPS mm of a (fractional) voxel index `[x, y, z]`.
    pub fn to_lps(&self, index: [f64; 3]) -> [f64; 3] {
        let mut p = self.origin_mm;
        for (a, axis) in self.axes.iter().enumerate() {
            let step = index[a] * self.spacing_mm[a];
            for (c, p) in p.iter_mut().enumerate() {
                *p += step * axis[c];
            }
        }
        p
    }

    /// Fractional voxel index `[x, y, z]` of a point in LPS mm. Axes must be orthonormal.
    pub fn to_index(&self, lps_mm: [f64; 3]) -> [f64; 3] {
        let d: [f64; 3] = std::array::from_fn(|c| lps_mm[c] - self.origin_mm[c]);
        std::array::from_fn(|a| {
            let along: f64 = (0..3).map(|c| d[c] * self.axes[a][c]).sum();
            along / self.spacing_mm[a]
        })
    }

    /// Rows of the 4 x 4 matrix that maps `[x, y, z, 1]` to LPS mm.
    pub fn affine(&self) -> [[f64; 4]; 4] {
        let row = |c: usize| {
            let step = |a: usize| self.axes[a][c] * self.spacing_mm[a];
            [step(0), step(1), step(2), self.origin_mm[c]]
        };
        [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]
    }

    /// The geometry of the sub-grid `b` of this grid.
    pub fn cropped(&self, b: &VoxelBox) -> Self {
        let origin_mm = self.to_lps(b.min.map(|i| i as f64));
        Self { size: b.size(), origin_mm, ..self.clone() }
    }

    /// The same field of view (outer faces of the outer voxels) sampled at about `spacing_mm`:
    /// sizes are rounded up, the spacing kept exactly, the grid centred on the old one.
    pub fn resampled(&self, spacing_mm: [f64; 3]) -> Self {
        let size: [usize; 3] = std::array::from_fn(|a| {
            let extent = self.size[a] as f64 * self.spacing_mm[a];
            ((extent / spacing_mm[a] - 1e-6).ceil() as usize).max(1)
        });
        let first: [f64; 3] = std::array::from_fn(|a| {
            let centre = (self.size[a] as f64 - 1.0) / 2.0;
            centre - (size[a] as f64 - 1.0) / 2.0 * spacing_mm[a] / self.spacing_mm[a]
        });
        Self { size, origin_mm: self.to_lps(first), spacing_mm, axes: self.axes }
    }

    /// The axis-aligned LPS box around the outer faces of the voxels of `b`.
    pub fn box_mm(&self, b: &VoxelBox) -> Box3 {
        let mut out = Box3 { min: [f64::INFINITY; 3], max: [f64::NEG_INFINITY; 3] };
        for corner in 0..8 {
            let index: [f64; 3] = std::array::from_fn(|a| {
                let face = if corner >> a & 1 == 0 { b.min[a] } else { b.max[a] };
                face as f64 - 0.5
            });
            let p = self.to_lps(index);
            for (c, p) in p.into_iter().enumerate() {
                out.min[c] = out.min[c].min(p);
                out.max[c] = out.max[c].max(p);
            }
        }
        out
    }

    /// The smallest voxel box of this grid that covers the LPS box `b`, clipped to the grid.
    /// Faces within a thousandth of a voxel of a boundary count as on it.
    pub fn voxel_box(&self, b: &Box3) -> VoxelBox {
        let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for corner in 0..8 {
            let p = std::array::from_fn(|c| if corner >> c & 1 == 0 { b.min[c] } else { b.max[c] });
            let index = self.to_index(p);
            for a in 0..3 {
                low[a] = low[a].min(index[a] + 0.5);
                high[a] = high[a].max(index[a] + 0.5);
            }
        }
        let clip = |v: f64, a: usize| v.clamp(0.0, self.size[a] as f64) as usize;
        VoxelBox {
            min: std::array::from_fn(|a| clip((low[a] + 1e-3).floor(), a)),
            max: std::array::from_fn(|a| clip((high[a] - 1e-3).ceil(), a)),
        }
    }
}

/// A box of voxels: `min` inclusive, `max` exclusive, `[x, y, z]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VoxelBox {
    /// First voxel inside.
    pub min: [usize; 3],
    /// First voxel outside.
    pub max: [usize; 3],
}

impl VoxelBox {
    /// Voxel counts along x, y, z.
    pub fn size(&self) -> [usize; 3] {
        std::array::from_fn(|a| self.max[a].saturating_sub(self.min[a]))
    }

    /// True when the box holds no voxel.
    pub fn is_empty(&self) -> bool {
        self.size().contains(&0)
    }

    /// Whether the voxel `[x, y, z]` lies inside.
    pub fn contains(&self, v: [usize; 3]) -> bool {
        (0..3).all(|a| (self.min[a]..self.max[a]).contains(&v[a]))
    }

    /// Grown by `by` voxels on each side and clipped to a grid of `size`.
    pub fn grown(&self, by: [usize; 3], size: [usize; 3]) -> Self {
        Self {
            min: std::array::from_fn(|a| self.min[a].saturating_sub(by[a])),
            max: std::array::from_fn(|a| (self.max[a] + by[a]).min(size[a])),
        }
    }
}

/// An axis-aligned box in LPS millimetres.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Box3 {
    /// Lower corner, mm.
    pub min: [f64; 3],
    /// Upper corner, mm.
    pub max: [f64; 3],
}

impl Box3 {
    /// A cube of edge `edge_mm` around `center_mm`.
    pub fn cube(center_mm: [f64; 3], edge_mm: f64) -> Self {
        Self { min: center_mm.map(|c| c - edge_mm / 2.0), max: center_mm.map(|c| c + edge_mm / 2.0) }
    }

    /// Centre, mm.
    pub fn center(&self) -> [f64; 3] {
        std::array::from_fn(|a| (self.min[a] + self.max[a]) / 2.0)
    }

    /// Edges along x, y, z, mm; never negative.
    pub fn size(&self) -> [f64; 3] {
        std::array::from_fn(|a| (self.max[a] - self.min[a]).max(0.0))
    }

    /// Volume in cubic millimetres.
    pub fn volume(&self) -> f64 {
        self.size().iter().product()
    }

    /// Whether a point lies inside (faces included).
    pub fn contains(&self, p: [f64; 3]) -> bool {
        (0..3).all(|a| self.min[a] <= p[a] && p[a] <= self.max[a])
    }

    /// Intersection over union, 0 to 1; 0 when both are empty.
    pub fn iou(&self, other: &Self) -> f64 {
        // Most pairs are far apart: thousands of proposals are thinned by this.
        if (0..3).any(|a| self.max[a] <= other.min[a] || other.max[a] <= self.min[a]) {
            return 0.0;
        }
        let common = Self {
            min: std::array::from_fn(|a| self.min[a].max(other.min[a])),
            max: std::array::from_fn(|a| self.max[a].min(other.max[a])),
        };
        let inter = common.volume();
        let union = self.volume() + other.volume() - inter;
        if union > 0.0 { inter / union } else { 0.0 }
    }
}
