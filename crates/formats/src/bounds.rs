//! What a grid may be before it is believed: wide enough for any CT, and narrow enough that a
//! wrong unit or a damaged number is noticed.

use crate::Warning;
use pleura_volume::Geometry;

/// Widest distance between pixels, mm.
pub(crate) const PIXEL_MM: f64 = 10.0;
/// Widest distance between slices, mm.
pub(crate) const SLICE_MM: f64 = 50.0;
/// Longest grid along any axis, mm; whole-body CT reaches 2 m.
pub(crate) const EXTENT_MM: f64 = 3000.0;
/// Farthest a voxel may lie from the patient's origin, mm.
pub(crate) const POSITION_MM: f64 = 1e6;
/// Most rows, columns or slices: what DICOM's 16 bits can say.
pub(crate) const VOXELS: usize = 65_535;

/// Whether a position can be one in a scanner.
pub(crate) fn is_near(position_mm: &[f64; 3]) -> bool {
    position_mm.iter().all(|p| p.abs() <= POSITION_MM)
}

/// The wider spacing within slices and the spacing of slices, mm. Which axis runs across the slices is not
/// known here: it is taken to be the one with the widest spacing.
fn pixel_and_slice(g: &Geometry) -> [f64; 2] {
    let mut spacing = g.spacing_mm;
    spacing.sort_by(f64::total_cmp);
    let [_, pixel, slice] = spacing;
    [pixel, slice]
}

/// Refuses a grid that no scanner makes.
///
/// # Errors
/// The reason, as a plain sentence.
pub(crate) fn check(g: &Geometry) -> Result<(), String> {
    if g.size.iter().any(|&n| n > VOXELS) {
        return Err(format!("Its grid of {:?} voxels has more than {VOXELS} along one axis.", g.size));
    }
    let [pixel, slice] = pixel_and_slice(g);
    // Written so that what is not a number is refused too.
    if !(pixel <= PIXEL_MM && slice <= SLICE_MM) {
        return Err(format!(
            "Its voxels are {:.4} x {:.4} x {:.4} mm apart; more than {PIXEL_MM} mm in a slice or {SLICE_MM} mm \
             between slices is no CT.",
            g.spacing_mm[0], g.spacing_mm[1], g.spacing_mm[2]
        ));
    }
    let extent = (0..3).map(|a| g.size[a] as f64 * g.spacing_mm[a]).fold(0.0, f64::max);
    if extent > EXTENT_MM {
        return Err(format!("It is {extent:.0} mm long along one axis; more than {EXTENT_MM} mm is no CT."));
    }
    if !is_near(&g.origin_mm) {
        return Err(FAR.into());
    }
    Ok(())
}

/// Widest pixels and slices that the method was made for, mm: beyond, foci fall between voxels (ours).
const COARSE_PIXEL_MM: f64 = 2.0;
const COARSE_SLICE_MM: f64 = 10.0;

/// Tells of a grid so coarse that foci are lost in it.
pub(crate) fn coarse(g: &Geometry) -> Option<Warning> {
    let [pixel, slice] = pixel_and_slice(g);
    let message = format!(
        "Its voxels are {:.2} x {:.2} x {:.2} mm; what is smaller cannot be seen, and volumes are rough.",
        g.spacing_mm[0], g.spacing_mm[1], g.spacing_mm[2]
    );
    (pixel > COARSE_PIXEL_MM || slice > COARSE_SLICE_MM).then(|| Warning {
        code: "coarse-voxels".into(),
        message,
        slices: vec![],
    })
}

/// Why a position is refused.
pub(crate) const FAR: &str =
    "It lies more than a kilometre from the patient, so its position cannot be trusted.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_grids_are_told_whichever_axis_runs_across_the_slices() {
        let code = |spacing| {
            coarse(&Geometry::axis_aligned([64, 64, 64], [0.0; 3], spacing)).map(|w| (w.code, w.message))
        };
        assert_eq!(code([0.98, 0.98, 10.0]), None);
        assert_eq!(code([2.0, 0.98, 0.98]), None, "sagittal");
        let (found, message) = code([4.17, 4.17, 5.0]).expect("wide pixels");
        assert_eq!(found, "coarse-voxels");
        assert!(message.contains("4.17 x 4.17 x 5.00 mm"), "{message}");
        assert!(code([0.7, 0.7, 12.0]).is_some());
    }

    #[test]
    fn grids_that_no_scanner_makes_are_refused() {
        let grid = |size, origin: f64, spacing| Geometry::axis_aligned(size, [origin, 0.0, 0.0], spacing);
        assert_eq!(check(&grid([512, 512, 60], -250.0, [0.98, 0.98, 50.0])), Ok(()));
        assert_eq!(check(&grid([60, 512, 512], -250.0, [10.0, 0.98, 0.98])), Ok(()), "sagittal");
        let reason = |size, origin, spacing| check(&grid(size, origin, spacing)).unwrap_err();
        assert!(reason([8, 8, 8], 0.0, [11.0, 11.0, 5.0]).contains("no CT"));
        assert!(reason([8, 8, 8], 0.0, [1.0, 1.0, 50.1]).contains("no CT"));
        assert!(reason([8, 8, 8], 0.0, [1.0, f64::NAN, 1.0]).contains("no CT"));
        assert!(reason([512, 512, 61], 0.0, [1.0, 1.0, 50.0]).contains("3050 mm"));
        assert!(reason([70_000, 8, 8], 0.0, [0.01, 1.0, 1.0]).contains("65535"));
        assert!(reason([8, 8, 8], 1e7, [1.0; 3]).contains("kilometre"));
        assert!(reason([8, 8, 8], f64::NAN, [1.0; 3]).contains("kilometre"));
    }
}
