//! From the header's transforms (RAS) to a geometry (LPS), and back.

use super::header::Header;
use pleura_volume::Geometry;

/// Axes may lean this far (as a cosine) before the grid counts as sheared.
const SHEAR: f64 = 1e-3;

/// Where the voxels lie; and whether the file says so at all. The sform is preferred, then the
/// qform, then the spacing alone (the standard's method 1: x right, y front, z head).
///
/// # Errors
/// The reason when the transform is singular, sheared or not a number.
pub(crate) fn geometry(h: &Header) -> Result<(Geometry, bool), String> {
    let (columns, origin, known) = if h.sform_code > 0 {
        let columns = std::array::from_fn(|a| std::array::from_fn(|c| h.srow[c][a]));
        (columns, h.srow.map(|row| row[3]), true)
    } else if h.qform_code > 0 {
        let [b, c, d, x, y, z] = h.quaternion;
        (rotation([b, c, d], h), [x, y, z], true)
    } else {
        let d = |a: usize| if h.pixdim[a + 1] > 0.0 { h.pixdim[a + 1] } else { 1.0 };
        ([[d(0), 0.0, 0.0], [0.0, d(1), 0.0], [0.0, 0.0, d(2)]], [0.0; 3], false)
    };
    let lps = |v: [f64; 3]| [-v[0] * h.unit_mm, -v[1] * h.unit_mm, v[2] * h.unit_mm];
    let columns = columns.map(lps);
    let spacing_mm = columns.map(|c| dot(c, c).sqrt());
    let origin_mm = lps(origin);
    let finite = spacing_mm.iter().chain(&origin_mm).all(|v| v.is_finite());
    if !finite || spacing_mm.iter().any(|&s| s < 1e-3) {
        return Err(
            "The transform from voxels to the patient is singular, so the geometry cannot be trusted.".into(),
        );
    }
    let axes: [[f64; 3]; 3] = std::array::from_fn(|a| columns[a].map(|c| c / spacing_mm[a]));
    if [(0, 1), (0, 2), (1, 2)].iter().any(|&(a, b)| dot(axes[a], axes[b]).abs() > SHEAR) {
        return Err(
            "The axes of the voxel grid are not at right angles; resample the file to a plain grid.".into()
        );
    }
    Ok((Geometry { size: h.size, origin_mm, spacing_mm, axes }, known))
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Columns of the qform: the quaternion's rotation times the spacing, the third column mirrored
/// where pixdim[0] is -1.
fn rotation([b, c, d]: [f64; 3], h: &Header) -> [[f64; 3]; 3] {
    let rest = 1.0 - (b * b + c * c + d * d);
    // A quaternion a rounding error longer than 1 is a half turn.
    let (a, b, c, d) = if rest < 1e-7 {
        let n = (b * b + c * c + d * d).sqrt();
        (0.0, b / n, c / n, d / n)
    } else {
        (rest.sqrt(), b, c, d)
    };
    let r = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c + a * d), 2.0 * (b * d - a * c)],
        [2.0 * (b * c - a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d + a * b)],
        [2.0 * (b * d + a * c), 2.0 * (c * d - a * b), a * a + d * d - b * b - c * c],
    ];
    let mirror = if h.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let scale = [h.pixdim[1], h.pixdim[2], h.pixdim[3] * mirror];
    std::array::from_fn(|col| r[col].map(|v| v * scale[col]))
}

/// The quaternion `b, c, d` and mirror sign of a grid, in RAS.
pub(crate) fn quaternion(g: &Geometry) -> ([f64; 3], f64) {
    let mut col = g.axes.map(|v| [-v[0], -v[1], v[2]]);
    let cross = [
        col[0][1] * col[1][2] - col[0][2] * col[1][1],
        col[0][2] * col[1][0] - col[0][0] * col[1][2],
        col[0][0] * col[1][1] - col[0][1] * col[1][0],
    ];
    let mirror = if dot(cross, col[2]) < 0.0 { -1.0 } else { 1.0 };
    col[2] = col[2].map(|v| v * mirror);
    // Of the four, the component that is largest is found by a root, the others from it.
    let [x, y, z] = [col[0][0], col[1][1], col[2][2]];
    let four = [1.0 + x + y + z, 1.0 + x - y - z, 1.0 - x + y - z, 1.0 - x - y + z];
    let largest = (1..4).fold(0, |best, i| if four[i] > four[best] { i } else { best });
    let s = 2.0 * four[largest].max(0.0).sqrt();
    let m = |row: usize, c: usize| col[c][row];
    let q = match largest {
        0 => [s / 4.0, (m(2, 1) - m(1, 2)) / s, (m(0, 2) - m(2, 0)) / s, (m(1, 0) - m(0, 1)) / s],
        1 => [(m(2, 1) - m(1, 2)) / s, s / 4.0, (m(0, 1) + m(1, 0)) / s, (m(0, 2) + m(2, 0)) / s],
        2 => [(m(0, 2) - m(2, 0)) / s, (m(0, 1) + m(1, 0)) / s, s / 4.0, (m(1, 2) + m(2, 1)) / s],
        _ => [(m(1, 0) - m(0, 1)) / s, (m(0, 2) + m(2, 0)) / s, (m(1, 2) + m(2, 1)) / s, s / 4.0],
    };
    // The file keeps b, c, d only and takes a as positive.
    let sign = if q[0] < 0.0 { -1.0 } else { 1.0 };
    ([q[1] * sign, q[2] * sign, q[3] * sign], mirror)
}
