//! The reduced grid on which shapes are found.

use pleura_volume::{Geometry, Mask, Volume};
use rayon::prelude::*;

/// Below this no scanner measures anything: the value marks what lies outside the field of view.
const PADDING_BELOW_HU: i16 = -1500;
/// Outside air; padding counts as this in means.
const AIR_HU: i32 = -1000;

/// A scan averaged over whole blocks of voxels.
pub(crate) struct Coarse {
    /// Mean HU of each block.
    pub hu: Volume<i16>,
    /// 1 where the block holds nothing but padding.
    pub void: Mask,
    /// Voxels of the scan per block along x, y, z (the last block may hold fewer).
    pub factor: [usize; 3],
}

impl Coarse {
    /// Averages blocks of at most `grid_mm` an edge, of at least one voxel.
    pub fn new(volume: &Volume<i16>, grid_mm: f64) -> Self {
        let fine = &volume.geometry;
        let factor: [usize; 3] = std::array::from_fn(|a| {
            let fits = (grid_mm / fine.spacing_mm[a] + 1e-6).floor();
            // NaN and infinity (a spacing of 0) fall to one voxel and the whole axis.
            (fits.max(1.0) as usize).min(fine.size[a].max(1))
        });
        let geometry = coarse_geometry(fine, factor);
        let least = |part: &[i16]| part.iter().fold(i16::MAX, |low, &v| low.min(v));
        let lowest = volume.data.par_chunks(1 << 16).map(least).min().unwrap_or(0);
        // Padding may also be written as the scanner's lowest value, exactly constant.
        let padding = if (-1100..=-1000).contains(&lowest) { lowest } else { PADDING_BELOW_HU };

        let [cx, cy, _] = geometry.size;
        let mut hu = Volume::filled(geometry.clone(), 0i16);
        let mut void = Mask::filled(geometry, 0);
        let plane = (cx * cy).max(1);
        hu.data.par_chunks_mut(plane).zip(void.data.par_chunks_mut(plane)).enumerate().for_each(
            |(z, (hu, void))| {
                let mut columns = Columns::new(volume.size()[0]);
                for y in 0..cy {
                    let rows = columns.read(volume, factor, [y, z]);
                    let row = y * cx..(y + 1) * cx;
                    columns.average(factor[0], rows, &mut hu[row.clone()]);
                    columns.mark_void(factor[0], padding, &mut void[row]);
                }
            },
        );
        Self { hu, void, factor }
    }

    /// Volume of one block, ml.
    pub fn voxel_ml(&self) -> f64 {
        self.hu.geometry.voxel_ml()
    }

    /// Area of one block in the slice, mm2.
    pub fn pixel_mm2(&self) -> f64 {
        let s = self.hu.geometry.spacing_mm;
        s[0] * s[1]
    }

    /// A mask of this grid.
    pub fn mask(&self, data: Vec<u8>) -> Mask {
        Mask { geometry: self.hu.geometry.clone(), data }
    }
}

fn coarse_geometry(fine: &Geometry, factor: [usize; 3]) -> Geometry {
    let first = factor.map(|f| (f as f64 - 1.0) / 2.0);
    Geometry {
        size: std::array::from_fn(|a| fine.size[a].div_ceil(factor[a])),
        origin_mm: fine.to_lps(first),
        spacing_mm: std::array::from_fn(|a| fine.spacing_mm[a] * factor[a] as f64),
        axes: fine.axes,
    }
}

/// One row of blocks, summed up over y and z but not yet over x.
struct Columns {
    /// Sum of HU of each column; padding counts as air.
    sums: Vec<i32>,
    /// Highest HU of each column.
    highest: Vec<i16>,
}

impl Columns {
    fn new(nx: usize) -> Self {
        Self { sums: vec![0; nx], highest: vec![i16::MIN; nx] }
    }

    /// Reads the row of blocks `[y, z]`; gives the number of the scan's rows in it.
    fn read(&mut self, volume: &Volume<i16>, factor: [usize; 3], [y, z]: [usize; 2]) -> usize {
        let [nx, ny, nz] = volume.size();
        self.sums.fill(0);
        self.highest.fill(i16::MIN);
        let mut rows = 0;
        for fz in z * factor[2]..((z + 1) * factor[2]).min(nz) {
            for fy in y * factor[1]..((y + 1) * factor[1]).min(ny) {
                let start = (fz * ny + fy) * nx;
                let row = &volume.data[start..start + nx];
                for ((&v, sum), highest) in row.iter().zip(&mut self.sums).zip(&mut self.highest) {
                    let hu = if v < PADDING_BELOW_HU { AIR_HU } else { i32::from(v) };
                    // Unchecked, so that it becomes vector code.
                    *sum = sum.wrapping_add(hu);
                    *highest = v.max(*highest);
                }
                rows += 1;
            }
        }
        rows
    }

    /// Mean HU of each block.
    fn average(&self, factor: usize, rows: usize, out: &mut [i16]) {
        for (out, block) in out.iter_mut().zip(self.sums.chunks(factor)) {
            let sum = block.iter().fold(0i32, |a, &b| a.wrapping_add(b));
            let mean = f64::from(sum) / (block.len() * rows) as f64;
            // Half away from zero, as `round` does with a call.
            *out = (mean + 0.5f64.copysign(mean)) as i16;
        }
    }

    /// 1 where a block holds padding only.
    fn mark_void(&self, factor: usize, padding: i16, out: &mut [u8]) {
        for (out, block) in out.iter_mut().zip(self.highest.chunks(factor)) {
            *out = u8::from(block.iter().all(|&v| v <= padding));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_averaged_and_padding_is_seen() {
        let g = Geometry::axis_aligned([5, 2, 1], [0.0; 3], [1.0, 1.0, 3.0]);
        let data = vec![-2000, -2000, 10, 20, 7, -2000, -2000, 30, 40, 8];
        let c = Coarse::new(&Volume { geometry: g, data }, 2.0);
        assert_eq!(c.factor, [2, 2, 1]);
        assert_eq!(c.hu.size(), [3, 1, 1]);
        // The last block holds one column only: the mean of 7 and 8, rounded away from zero.
        assert_eq!(c.hu.data, [-1000, 25, 8]);
        assert_eq!(c.void.data, [1, 0, 0]);
        assert_eq!(c.hu.geometry.origin_mm, [0.5, 0.5, 0.0]);
        assert_eq!(c.hu.geometry.spacing_mm, [2.0, 2.0, 3.0]);
    }

    #[test]
    fn a_spacing_of_nothing_makes_one_block() {
        let g = Geometry::axis_aligned([4, 1, 1], [0.0; 3], [0.0, 9.0, 9.0]);
        let c = Coarse::new(&Volume { geometry: g, data: vec![1, 2, 3, 4] }, 2.0);
        assert_eq!(c.hu.size(), [1, 1, 1]);
    }
}
