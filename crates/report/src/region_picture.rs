//! The axial slice of a region, with its box and the line to the pleura.

use crate::canvas::{Canvas, Ink};
use crate::document::{RegionPart, Side};
use crate::picture::{Plane, STRIP, View, framed, mark_sides, nearest, outline, shown};
use pleura_screen::{Case, IRRELEVANT};
use pleura_volume::{Mask, Volume};

/// The lung window: centre -600, width 1500 HU.
const WINDOW_HU: [f32; 2] = [-1350.0, 150.0];

/// The way from a region's centre to the nearest lung edge in its slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdgeLine {
    /// Point on the edge, fractional voxels x, y.
    pub to: [f64; 2],
    /// Length, mm.
    pub length_mm: f64,
}

/// The shortest way from a point of slice `z` (fractional voxels) to the lung edge; `None` outside
/// the lungs. Measured as the relative distance-from-edge is: from the centre of the pixel that
/// holds the point to the nearest pixel outside, less half a pixel.
pub fn line_to_edge(lungs: &Mask, z: usize, [x, y]: [f64; 2]) -> Option<EdgeLine> {
    let [nx, ny, nz] = lungs.size();
    let [dx, dy, _] = lungs.geometry.spacing_mm;
    let [px, py] = [(x + 0.5).floor(), (y + 0.5).floor()];
    if z >= nz || !(px >= 0.0 && py >= 0.0 && px < nx as f64 && py < ny as f64) {
        return None;
    }
    let slice = lungs.slice(z);
    let (cx, cy) = (px as isize, py as isize);
    let lung = |x: isize, y: isize| {
        let inside = x >= 0 && y >= 0 && x < nx as isize && y < ny as isize;
        inside && slice[y as usize * nx + x as usize] != 0
    };
    if !lung(cx, cy) {
        return None;
    }
    // One ring beyond the slice: what lies there is outside.
    let mut best: Option<(f64, [isize; 2])> = None;
    for v in -1..=ny as isize {
        let down = (v - cy) as f64 * dy;
        if best.is_some_and(|(d, _)| down.abs() >= d) {
            continue;
        }
        for u in -1..=nx as isize {
            let far = ((u - cx) as f64 * dx).hypot(down);
            if best.is_none_or(|(d, _)| far < d) && !lung(u, v) {
                best = Some((far, [u, v]));
            }
        }
    }
    let (far, [u, v]) = best?;
    let length_mm = (far - (dx + dy) / 4.0).max(0.0);
    let part = length_mm / far.max(1e-9);
    Some(EdgeLine { to: [px + (u as f64 - px) * part, py + (v as f64 - py) * part], length_mm })
}

/// Draws one region.
pub fn draw(volume: &Volume<i16>, case: &Case, region: &RegionPart) -> Canvas {
    let lungs = &case.lungs.mask;
    let z = region.slice_index.min(volume.size()[2].saturating_sub(1));
    let part = shown(lungs);
    let [width, height, _] = part.size();
    let [dx, dy, _] = volume.geometry.spacing_mm;
    let view = View::new([part.min[0], part.min[1]], [width, height], [dx, dy]);
    let b = &region.box_voxels;
    let centre = [0, 1].map(|a| (b.min[a] + b.max[a]) as f64 / 2.0 - 0.5);
    let line = line_to_edge(lungs, z, centre);

    let mut canvas = framed(&view, &title(region, line));
    let [nx, ny, _] = volume.size();
    let plane = Plane { values: volume.slice(z).iter().map(|&v| f32::from(v)).collect(), width: nx };
    for y in 0..view.size[1] {
        for x in 0..view.size[0] {
            let hu = plane.at(view.voxel([x, y]));
            let brightness = (hu - WINDOW_HU[0]) / (WINDOW_HU[1] - WINDOW_HU[0]);
            canvas.set(x + view.left, y + STRIP, Ink::grey(brightness));
        }
    }
    let label = |mask: &Mask, pixel: [usize; 2]| {
        let [x, y] = nearest(view.voxel(pixel), [nx, ny]);
        mask.at([x, y, z])
    };
    outline(&mut canvas, &view, Ink::INFECTED, |p| label(&case.infection, p));
    outline(&mut canvas, &view, Ink::LUNG, |p| label(lungs, p));
    let ink = ink(case, &region.kind);
    canvas.frame(view.face([b.min[0], b.min[1]]), view.face([b.max[0], b.max[1]]), 2, ink);
    let from = view.pixel(centre);
    if let Some(line) = line {
        let to = view.pixel(line.to);
        canvas.line(from, to, Ink::PLEURA);
        canvas.fill([to[0] - 1, to[1] - 1], [to[0] + 2, to[1] + 2], Ink::PLEURA);
    }
    canvas.fill([from[0] - 1, from[1] - 1], [from[0] + 2, from[1] + 2], Ink::PLEURA);
    mark_sides(&mut canvas);
    canvas
}

/// The colour of a region's class.
pub fn ink(case: &Case, kind: &str) -> Ink {
    if kind == IRRELEVANT {
        return Ink::IRRELEVANT;
    }
    Ink::infection_type(case.classes.iter().position(|c| c == kind).unwrap_or(0))
}

fn title(region: &RegionPart, line: Option<EdgeLine>) -> String {
    let side = match region.side {
        Side::Right => "right",
        Side::Left => "left",
    };
    let away = match line {
        Some(line) => format!("{:.0} mm to the edge", line.length_mm),
        None => "outside the lung".into(),
    };
    format!(
        "#{} {} {:.2}  {side}, slice {}, {away}",
        region.id, region.kind, region.confidence, region.slice_index
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleura_volume::Geometry;

    #[test]
    fn the_line_runs_to_the_nearest_edge_and_has_its_length() {
        // Lung: x 4 to 13, y 2 to 17 in slice 1; pixels of 2 mm.
        let mut lungs = Mask::filled(Geometry::axis_aligned([20, 20, 3], [0.0; 3], [2.0, 2.0, 5.0]), 0);
        for y in 2..18 {
            let i = lungs.offset([4, y, 1]);
            lungs.data[i..i + 10].fill(1);
        }
        // From x 6 the outside pixel x 3 is 6 mm away: 5 mm to the face at x 3.5.
        let line = line_to_edge(&lungs, 1, [6.0, 10.0]).unwrap();
        assert_eq!(line.length_mm, 5.0);
        assert_eq!(line.to, [3.5, 10.0]);
        assert_eq!(line_to_edge(&lungs, 0, [6.0, 10.0]), None);
        assert_eq!(line_to_edge(&lungs, 1, [16.0, 10.0]), None);
        assert_eq!(line_to_edge(&lungs, 1, [-2.0, 99.0]), None);
    }
}
