//! From the header's transforms (RAS) to a geometry (LPS), and back.

use super::header::Header;
use crate::grids::place;
use pleura_volume::Geometry;

/// The sform and the qform may put a corner this far apart, mm, before they disagree: single
/// precision and a rounded quaternion are no dispute.
const APART_MM: f64 = 0.5;

/// What the header says of how the voxels lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One transform, or two that agree.
    Agreed,
    /// An sform, and a qform that says something else.
    Disputed,
    /// Neither.
    Unknown,
}

/// Steps along the three axes and the first voxel's place.
type Affine = ([[f64; 3]; 3], [f64; 3]);

/// Where the voxels lie; and what the file says of it. The sform is preferred, then the
/// qform, then the spacing alone (the standard's method 1: x right, y front, z head).
///
/// # Errors
/// The reason when the transform cannot be trusted.
pub(crate) fn geometry(h: &Header) -> Result<(Geometry, Form), String> {
    let sform = (h.sform_code > 0).then(|| -> Affine {
        (std::array::from_fn(|a| std::array::from_fn(|c| h.srow[c][a])), h.srow.map(|row| row[3]))
    });
    let [b, c, d, x, y, z] = h.quaternion;
    let qform = (h.qform_code > 0).then(|| -> Affine { (rotation([b, c, d], h), [x, y, z]) });
    let (affine, form) = match (sform, qform) {
        (Some(s), Some(q)) if apart(h, &s, &q) => (s, Form::Disputed),
        (Some(s), _) => (s, Form::Agreed),
        (None, Some(q)) => (q, Form::Agreed),
        (None, None) => {
            let d = |a: usize| if h.pixdim[a + 1] > 0.0 { h.pixdim[a + 1] } else { 1.0 };
            let plain = ([[d(0), 0.0, 0.0], [0.0, d(1), 0.0], [0.0, 0.0, d(2)]], [0.0; 3]);
            (plain, Form::Unknown)
        }
    };
    let lps = |v: [f64; 3]| [-v[0] * h.unit_mm, -v[1] * h.unit_mm, v[2] * h.unit_mm];
    Ok((place::geometry(h.size, affine.0.map(lps), lps(affine.1))?, form))
}

/// Whether two transforms put a corner of the grid at places more than [`APART_MM`] apart.
fn apart(h: &Header, one: &Affine, other: &Affine) -> bool {
    let at = |(columns, origin): &Affine, corner: usize, c: usize| -> f64 {
        let step = |a: usize| if corner >> a & 1 == 1 { (h.size[a] - 1) as f64 * columns[a][c] } else { 0.0 };
        origin[c] + (0..3).map(step).sum::<f64>()
    };
    (0..8).any(|corner| {
        let squares = (0..3).map(|c| (at(one, corner, c) - at(other, corner, c)).powi(2));
        let distance = squares.sum::<f64>().sqrt() * h.unit_mm;
        distance.is_nan() || distance > APART_MM
    })
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
