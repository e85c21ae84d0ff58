//! From what a header says of its axes to a geometry.

use crate::{Warning, bounds};
use pleura_volume::Geometry;

/// Axes may lean this far (as a cosine) before the grid counts as sheared.
const SHEAR: f64 = 1e-3;

/// The grid whose index axes step by `columns` (LPS mm) from `origin_mm`.
///
/// # Errors
/// The reason, as a plain sentence, when the steps are singular, sheared or no number, or no
/// scanner makes such a grid.
pub(crate) fn geometry(
    size: [usize; 3],
    columns: [[f64; 3]; 3],
    origin_mm: [f64; 3],
) -> Result<Geometry, String> {
    let spacing_mm = columns.map(|c| dot(c, c).sqrt());
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
    let geometry = Geometry { size, origin_mm, spacing_mm, axes };
    bounds::check(&geometry)?;
    Ok(geometry)
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The patient's direction that a letter stands for, as a unit vector in LPS.
pub(crate) fn toward(letter: char) -> Option<[f64; 3]> {
    Some(match letter.to_ascii_uppercase() {
        'L' => [1.0, 0.0, 0.0],
        'R' => [-1.0, 0.0, 0.0],
        'P' => [0.0, 1.0, 0.0],
        'A' => [0.0, -1.0, 0.0],
        'S' => [0.0, 0.0, 1.0],
        'I' => [0.0, 0.0, -1.0],
        _ => return None,
    })
}

pub(crate) fn warning(code: &str, message: impl Into<String>) -> Warning {
    Warning { code: code.into(), message: message.into(), slices: vec![] }
}

/// Code of the warning that a header says two things about where its voxels lie.
pub(crate) const ORIENTATION_DISPUTED: &str = "orientation-disputed";

/// The warning that a file does not say where in the patient its first voxel lies.
pub(crate) fn position_unknown() -> Warning {
    let message = "The file does not say where its first voxel lies; positions are counted from there.";
    warning("position-unknown", message)
}
