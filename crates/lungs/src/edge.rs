//! How far a point lies from the edge of the lungs: the location signal of the paper.

use pleura_volume::{Geometry, Mask, VoxelBox, distance_transform_slices};

/// Distances to the lung edge within one axial slice.
///
/// Paper: relative distance-from-edge, the minimum distance from the lung mask's edge to the
/// patch's centre over the diagonal of the minimum circumscribed rectangle of the lungs. Ours,
/// where it is silent: both in mm and within the patch's axial slice; the rectangle is
/// axis-aligned around both lungs, at the *outer faces* of their outermost pixels; the edge runs
/// along pixel faces too. The distance of a lung pixel is measured from its centre to the centre
/// of the nearest pixel outside (beyond the slice counts as outside), less half the mean pixel
/// size: a pixel whose neighbour is outside has half a pixel, exactly the distance from its
/// centre to the face between them where pixels are square.
#[derive(Debug, Clone)]
pub struct SliceEdge {
    /// The rectangle around both lungs; empty in a slice without lung.
    rectangle: VoxelBox,
    /// Distance of each of its pixels' centres to the edge, mm; 0 outside the lungs.
    distance_mm: Vec<f32>,
    /// Diagonal of the rectangle around both lungs, mm; 0 in a slice without lung.
    pub diagonal_mm: f64,
}

/// Measures slice `z` of a lung mask (any non-zero label is lung).
///
/// Gives a slice without lung, where every distance is 0, when `z` lies outside the mask.
pub fn slice_edge(lungs: &Mask, z: usize) -> SliceEdge {
    let [nx, ny, nz] = lungs.size();
    let [dx, dy, _] = lungs.geometry.spacing_mm;
    let whole = VoxelBox { min: [0, 0, z], max: [nx, ny, if z < nz { z + 1 } else { z }] };
    let slice = lungs.cropped(&whole);
    let Some(found) = slice.bounding_box(|v| v != 0) else {
        let rectangle = VoxelBox { min: [0; 3], max: [0; 3] };
        return SliceEdge { rectangle, distance_mm: Vec::new(), diagonal_mm: 0.0 };
    };
    let [width, height, _] = found.size();

    // One ring of outside around the rectangle: no nearest outside pixel lies farther out.
    let grid = Geometry::axis_aligned([width + 2, height + 2, 1], [0.0; 3], [dx, dy, 1.0]);
    let mut framed = Mask::filled(grid, 0);
    for y in 0..height {
        let from = slice.offset([found.min[0], found.min[1] + y, 0]);
        let to = framed.offset([1, y + 1, 0]);
        framed.data[to..to + width].copy_from_slice(&slice.data[from..from + width]);
    }
    let centres = distance_transform_slices(&framed);
    let half_pixel = ((dx + dy) / 4.0) as f32;
    let mut distance_mm = Vec::with_capacity(width * height);
    for y in 0..height {
        let row = centres.offset([1, y + 1, 0]);
        distance_mm.extend(centres.data[row..row + width].iter().map(|d| (d - half_pixel).max(0.0)));
    }
    SliceEdge { rectangle: found, distance_mm, diagonal_mm: (width as f64 * dx).hypot(height as f64 * dy) }
}

impl SliceEdge {
    /// Distance in mm from the point to the lung edge; 0 outside the lungs and the slice.
    ///
    /// `x` and `y` are voxel indices, whole numbers at pixel centres; a point takes the value of
    /// the pixel that holds it.
    pub fn distance_mm(&self, x: f64, y: f64) -> f64 {
        let [width, height, _] = self.rectangle.size();
        let x = (x + 0.5).floor() - self.rectangle.min[0] as f64;
        let y = (y + 0.5).floor() - self.rectangle.min[1] as f64;
        if !(x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64) {
            return 0.0;
        }
        self.distance_mm.get(y as usize * width + x as usize).map_or(0.0, |&d| f64::from(d))
    }

    /// Relative distance-from-edge of the point: its distance over the diagonal, from 0 to below 0.5.
    pub fn relative(&self, x: f64, y: f64) -> f64 {
        if self.diagonal_mm > 0.0 { self.distance_mm(x, y) / self.diagonal_mm } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Right lung: x 2 to 6, y 1 to 5 (5 x 5 pixels); left lung: x 10 to 12, y 3 to 4.
    fn two_lungs(spacing: [f64; 3]) -> Mask {
        let mut m = Mask::filled(Geometry::axis_aligned([16, 8, 2], [0.0; 3], spacing), 0);
        for y in 1..=5 {
            for x in 2..=6 {
                let i = m.offset([x, y, 1]);
                m.data[i] = 1;
            }
        }
        for y in 3..=4 {
            for x in 10..=12 {
                let i = m.offset([x, y, 1]);
                m.data[i] = 2;
            }
        }
        m
    }

    #[test]
    fn the_diagonal_spans_both_lungs_and_distances_count_half_a_pixel() {
        let e = slice_edge(&two_lungs([2.0, 2.0, 5.0]), 1);
        // Rectangle: x 2..=12 is 11 pixels = 22 mm, y 1..=5 is 5 pixels = 10 mm.
        assert_eq!(e.diagonal_mm, 22f64.hypot(10.0));
        // Centre of the right lung: 3 pixels to the nearest outside centre, less half: 5 mm.
        assert_eq!(e.distance_mm(4.0, 3.0), 5.0);
        assert_eq!(e.distance_mm(2.0, 3.0), 1.0);
        assert_eq!(e.distance_mm(3.4, 3.4), 3.0);
        assert_eq!(e.distance_mm(11.0, 4.0), 1.0);
        assert!((e.relative(4.0, 3.0) - 5.0 / 22f64.hypot(10.0)).abs() < 1e-12);
    }

    #[test]
    fn outside_the_lungs_the_distance_is_zero() {
        let m = two_lungs([2.0, 2.0, 5.0]);
        let e = slice_edge(&m, 1);
        for (x, y) in [(8.0, 3.0), (0.0, 0.0), (-3.0, 2.0), (4.0, 99.0), (f64::NAN, 1.0)] {
            assert_eq!(e.relative(x, y), 0.0);
        }
        for z in [0, 7] {
            assert_eq!(slice_edge(&m, z).diagonal_mm, 0.0);
            assert_eq!(slice_edge(&m, z).relative(4.0, 3.0), 0.0);
        }
    }

    #[test]
    fn pixels_that_are_not_square_are_measured_in_mm() {
        // 1 mm along x, 4 mm along y: the centre is 3 x 1 mm from the side, 3 x 4 mm from the top.
        let e = slice_edge(&two_lungs([1.0, 4.0, 5.0]), 1);
        assert_eq!(e.diagonal_mm, 11f64.hypot(20.0));
        assert!((e.distance_mm(4.0, 3.0) - (3.0 - 1.25)).abs() < 1e-6);
    }

    #[test]
    fn a_lung_on_the_frame_ends_there() {
        let m = Mask::filled(Geometry::axis_aligned([5, 3, 1], [0.0; 3], [1.0, 1.0, 1.0]), 1);
        let e = slice_edge(&m, 0);
        assert_eq!(e.distance_mm(2.0, 1.0), 1.5);
        assert_eq!(e.distance_mm(0.0, 0.0), 0.5);
    }
}
