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
    let framed: Vec<(&RegionPart, [[i32; 2]; 2])> =
        order.into_iter().map(|r| (r, frame(&view, &part, r))).collect();
    for (region, [min, max]) in &framed {
        canvas.frame(*min, *max, 1, ink(case, &region.kind));
    }
    // Numbers after all frames, so that none is crossed out by one.
    let mut taken = Vec::new();
    for (region, frame) in &framed {
        let text = region.id.to_string();
        let at = free_place(frame, text.len() as i32, &taken);
        taken.push((at, text.len() as i32));
        canvas.text(&text, at, &FONT_7X13_BOLD, ink(case, &region.kind), Some(Ink::BLACK));
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

/// Corners of a region's frame in the picture.
fn frame(view: &View, part: &VoxelBox, region: &RegionPart) -> [[i32; 2]; 2] {
    let b = &region.box_voxels;
    let across = |x: usize| x.clamp(part.min[0], part.max[0]) - part.min[0];
    let down = |z: usize| part.max[2] - z.clamp(part.min[2], part.max[2]);
    [view.face([across(b.min[0]), down(b.max[2])]), view.face([across(b.max[0]), down(b.min[2])])]
}

/// Width and height of a digit, pixels.
const DIGIT: [i32; 2] = [7, 13];

/// Where inside its frame a number of `digits` digits covers none of those `taken` (place, digits):
/// the first free place from the upper left on, that corner itself where the frame is full.
fn free_place(frame: &[[i32; 2]; 2], digits: i32, taken: &[([i32; 2], i32)]) -> [i32; 2] {
    let [min, max] = frame;
    let first = [min[0] + 2, min[1] + 1];
    let free = |at: &[i32; 2]| {
        taken.iter().all(|(other, n)| {
            (at[1] - other[1]).abs() >= DIGIT[1]
                || at[0] + digits * DIGIT[0] < other[0]
                || other[0] + n * DIGIT[0] < at[0]
        })
    };
    let places = (first[1]..=(max[1] - DIGIT[1]).max(first[1])).step_by(3).flat_map(|y| {
        (first[0]..=(max[0] - digits * DIGIT[0]).max(first[0])).step_by(3).map(move |x| [x, y])
    });
    places.into_iter().find(free).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_one_place_are_set_apart() {
        let frame = [[10, 10], [60, 60]];
        let mut taken = Vec::new();
        for _ in 0..6 {
            let at = free_place(&frame, 2, &taken);
            assert!(at[0] >= 10 && at[0] + 14 <= 60 && at[1] >= 10 && at[1] + 13 <= 60, "{at:?}");
            taken.push((at, 2));
        }
        for (i, (a, _)) in taken.iter().enumerate() {
            for (b, _) in &taken[..i] {
                assert!((a[0] - b[0]).abs() >= 14 || (a[1] - b[1]).abs() >= 13, "{a:?} {b:?}");
            }
        }
        assert_eq!(free_place(&[[10, 10], [12, 12]], 2, &[([12, 11], 2)]), [12, 11], "no room");
    }
}
