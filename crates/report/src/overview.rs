//! The coronal overview: both lungs seen from the front, infected depth tinted, regions framed.

use crate::canvas::{Canvas, Ink};
use crate::document::RegionPart;
use crate::picture::{Plane, STRIP, View, framed, mark_sides, outline, shown};
use crate::region_picture::ink;
use embedded_graphics::mono_font::iso_8859_1::FONT_7X13_BOLD;
use pleura_screen::Case;
use pleura_volume::{Volume, VoxelBox};

/// Mean density along the depth that is drawn black and white, HU.
const WINDOW_HU: [f32; 2] = [-750.0, 50.0];

/// Infected depth that is tinted fully, mm.
const FULL_TINT_MM: f32 = 24.0;

/// Sums along the depth (y) of the part shown; x fastest, rows from the head down.
struct Projection {
    mean_hu: Plane,
    infected_mm: Plane,
    lung: Vec<u8>,
    size: [usize; 2],
}

/// Draws the overview.
pub fn draw(volume: &Volume<i16>, case: &Case, regions: &[RegionPart]) -> Canvas {
    let part = shown(&case.lungs.mask);
    let [width, depth, height] = part.size();
    let [dx, _, dz] = volume.geometry.spacing_mm;
    let view = View::new([0, 0], [width, height], [dx, dz]);
    let mut canvas = framed(&view, "Both lungs from the front; infected tissue tinted");
    if depth > 0 {
        let projection = project(volume, case, &part);
        paint(&mut canvas, &view, &projection);
    }
    // Irrelevant regions first: the others are drawn over them.
    let mut order: Vec<&RegionPart> = regions.iter().collect();
    order.sort_by_key(|r| ink(case, &r.kind) != Ink::IRRELEVANT);
    for region in order {
        frame_region(&mut canvas, &view, &part, region, ink(case, &region.kind));
    }
    mark_sides(&mut canvas);
    canvas
}

fn project(volume: &Volume<i16>, case: &Case, part: &VoxelBox) -> Projection {
    let [width, depth, height] = part.size();
    let mut p = Projection {
        mean_hu: Plane { values: vec![0.0; width * height], width },
        infected_mm: Plane { values: vec![0.0; width * height], width },
        lung: vec![0; width * height],
        size: [width, height],
    };
    let dy = volume.geometry.spacing_mm[1] as f32;
    for (row, z) in (part.min[2]..part.max[2]).rev().enumerate() {
        for y in part.min[1]..part.max[1] {
            let start = volume.offset([part.min[0], y, z]);
            for x in 0..width {
                let at = row * width + x;
                // Metal and padding must not outweigh the rest.
                p.mean_hu.values[at] += f32::from(volume.data[start + x].clamp(-1024, 300)) / depth as f32;
                p.infected_mm.values[at] += f32::from(u8::from(case.infection.data[start + x] != 0)) * dy;
                p.lung[at] = p.lung[at].max(case.lungs.mask.data[start + x]);
            }
        }
    }
    p
}

fn paint(canvas: &mut Canvas, view: &View, projection: &Projection) {
    for y in 0..view.size[1] {
        for x in 0..view.size[0] {
            let at = view.voxel([x, y]);
            let brightness = (projection.mean_hu.at(at) - WINDOW_HU[0]) / (WINDOW_HU[1] - WINDOW_HU[0]);
            let ink = Ink::tinted(brightness, projection.infected_mm.at(at) / FULL_TINT_MM);
            canvas.set(x + view.left, y + STRIP, ink);
        }
    }
    outline(canvas, view, Ink::LUNG, |p| {
        let [x, z] = crate::picture::nearest(view.voxel(p), projection.size);
        projection.lung.get(z * projection.size[0] + x).copied().unwrap_or(0)
    });
}

fn frame_region(canvas: &mut Canvas, view: &View, part: &VoxelBox, region: &RegionPart, ink: Ink) {
    let b = &region.box_voxels;
    let across = |x: usize| x.clamp(part.min[0], part.max[0]) - part.min[0];
    let down = |z: usize| part.max[2] - z.clamp(part.min[2], part.max[2]);
    let min = view.face([across(b.min[0]), down(b.max[2])]);
    let max = view.face([across(b.max[0]), down(b.min[2])]);
    canvas.frame(min, max, 1, ink);
    canvas.text(&region.id.to_string(), [min[0] + 2, min[1] + 1], &FONT_7X13_BOLD, ink, Some(Ink::BLACK));
}
