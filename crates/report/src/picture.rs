//! What both kinds of picture share: the frame around an image, sampling, outlines.

use crate::canvas::{Canvas, Ink};
use embedded_graphics::mono_font::iso_8859_1::{FONT_7X13_BOLD, FONT_10X20};
use pleura_volume::{Geometry, Mask, VoxelBox};

/// Words on every picture.
pub const WORDS: &str = "Research use only. Not for diagnosis.";

/// Height of the strips above and below the image, pixels.
pub const STRIP: usize = 18;

/// The image of a picture fits into this many pixels across and down.
const LARGEST: [f64; 2] = [520.0, 440.0];

/// Pictures are at least this wide, so that the strips' words fit.
const LEAST_WIDTH: usize = 400;

/// From voxels of a plane to pixels of a picture. `u` runs to the right, `v` down.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// First voxel shown along u and v.
    pub first: [f64; 2],
    /// Pixels a voxel along u and v.
    pub scale: [f64; 2],
    /// Pixels of the image across and down.
    pub size: [usize; 2],
    /// Pixels left of the image.
    pub left: usize,
}

impl View {
    /// The view of `voxels` voxels from `first` on, `spacing_mm` apart, as large as fits, with
    /// square millimetres.
    pub fn new(first: [usize; 2], voxels: [usize; 2], spacing_mm: [f64; 2]) -> Self {
        let mm = [0, 1].map(|a| (voxels[a].max(1) as f64 * spacing_mm[a]).max(1e-3));
        let pixels_per_mm = (LARGEST[0] / mm[0]).min(LARGEST[1] / mm[1]);
        let size = mm.map(|mm| ((mm * pixels_per_mm).round() as usize).max(1));
        Self {
            first: first.map(|v| v as f64),
            scale: spacing_mm.map(|s| s * pixels_per_mm),
            size,
            left: LEAST_WIDTH.saturating_sub(size[0]) / 2,
        }
    }

    /// Pixels across of the whole picture.
    pub fn width(&self) -> usize {
        self.size[0].max(LEAST_WIDTH)
    }

    /// Pixels down of the whole picture.
    pub fn height(&self) -> usize {
        self.size[1] + 2 * STRIP
    }

    /// Fractional voxel (whole numbers at voxel centres) at the centre of an image pixel.
    pub fn voxel(&self, pixel: [usize; 2]) -> [f64; 2] {
        [0, 1].map(|a| self.first[a] - 0.5 + (pixel[a] as f64 + 0.5) / self.scale[a])
    }

    /// Pixel of the picture at a fractional voxel.
    pub fn pixel(&self, voxel: [f64; 2]) -> [i32; 2] {
        let offset = [self.left, STRIP];
        [0, 1].map(|a| ((voxel[a] + 0.5 - self.first[a]) * self.scale[a]).floor() as i32 + offset[a] as i32)
    }

    /// Pixel of the picture at the lower face of a voxel; the upper face is the next voxel's.
    pub fn face(&self, voxel: [usize; 2]) -> [i32; 2] {
        let offset = [self.left, STRIP];
        [0, 1].map(|a| ((voxel[a] as f64 - self.first[a]) * self.scale[a]).round() as i32 + offset[a] as i32)
    }
}

/// The part of the grid that pictures show: the lungs and some tissue around them, or the whole
/// grid where there are no lungs.
pub fn shown(lungs: &Mask) -> VoxelBox {
    const AROUND_MM: f64 = 20.0;
    let geometry: &Geometry = &lungs.geometry;
    let all = VoxelBox { min: [0; 3], max: geometry.size };
    let margin = geometry.spacing_mm.map(|s| (AROUND_MM / s).ceil() as usize);
    lungs.bounding_box(|v| v != 0).map_or(all, |b| b.grown(margin, geometry.size))
}

/// An empty picture with its strips: a title above, the words on use below.
pub fn framed(view: &View, title: &str) -> Canvas {
    let (width, height) = (view.width(), view.height());
    let mut canvas = Canvas::new(width, height, Ink::BLACK);
    canvas.fill([0, 0], [width as i32, STRIP as i32], Ink::STRIP);
    canvas.fill([0, (height - STRIP) as i32], [width as i32, height as i32], Ink::STRIP);
    canvas.text(title, [6, 3], &FONT_7X13_BOLD, Ink::WHITE, None);
    canvas.text(WORDS, [6, (height - STRIP + 3) as i32], &FONT_7X13_BOLD, Ink::WHITE, None);
    canvas
}

/// Marks the patient's right on the viewer's left and the patient's left on the viewer's right.
pub fn mark_sides(canvas: &mut Canvas) {
    let (width, height) = canvas.dimensions();
    let middle = (height / 2) as i32 - 10;
    canvas.text("R", [6, middle], &FONT_10X20, Ink::WHITE, Some(Ink::BLACK));
    canvas.text("L", [width as i32 - 16, middle], &FONT_10X20, Ink::WHITE, Some(Ink::BLACK));
}

/// Draws the edge of where `inside` holds, `inside` being asked at image pixels.
pub fn outline(canvas: &mut Canvas, view: &View, ink: Ink, inside: impl Fn([usize; 2]) -> u8) {
    let [width, height] = view.size;
    for y in 0..height {
        for x in 0..width {
            let here = inside([x, y]);
            let edge = (x > 0 && inside([x - 1, y]) != here) || (y > 0 && inside([x, y - 1]) != here);
            if edge {
                canvas.set(x + view.left, y + STRIP, ink);
            }
        }
    }
}

/// A plane of values, u fastest, interpolated bilinearly and clamped at its ends.
pub struct Plane {
    /// Values.
    pub values: Vec<f32>,
    /// Values along u.
    pub width: usize,
}

impl Plane {
    /// The value at a fractional voxel of the plane.
    pub fn at(&self, [u, v]: [f64; 2]) -> f32 {
        let height = self.values.len() / self.width.max(1);
        let split = |c: f64, n: usize| {
            let c = c.clamp(0.0, n.saturating_sub(1) as f64);
            let first = c as usize;
            (first, (first + 1).min(n.saturating_sub(1)), (c - first as f64) as f32)
        };
        let ((u0, u1, a), (v0, v1, b)) = (split(u, self.width), split(v, height));
        let value = |u: usize, v: usize| self.values.get(v * self.width + u).copied().unwrap_or(0.0);
        let row = |v: usize| value(u0, v) * (1.0 - a) + value(u1, v) * a;
        row(v0) * (1.0 - b) + row(v1) * b
    }
}

/// The voxel nearest to a fractional one, inside a grid of `size`.
pub fn nearest([u, v]: [f64; 2], size: [usize; 2]) -> [usize; 2] {
    let one = |c: f64, n: usize| ((c + 0.5).floor().max(0.0) as usize).min(n.saturating_sub(1));
    [one(u, size[0]), one(v, size[1])]
}
