//! One axial plane of the scene: fields per row, then tubes over it.

use crate::body::{BODY, DIAPHRAGM, HEART};
use crate::bones::Painted;
use crate::fields::{Fields, Values, lung_distance};
use crate::lesion::{Label, Lesion, Point};
use crate::tiles::Tiles;
use crate::tissue::{Lines, TissueLook, cover};
use crate::trees::Trees;
use crate::tube::Tube;

/// Everything that is scanned.
pub(crate) struct Scene {
    pub fields: Fields,
    pub look: TissueLook,
    pub trees: Trees,
    pub painted: Painted,
    pub lesions: Vec<Lesion>,
    pub table_y: f32,
}

/// The raster of a plane, mm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raster {
    pub x0: f32,
    pub y0: f32,
    pub dx: f32,
    pub nx: usize,
    pub ny: usize,
    /// Softness of thin things: about the deviation of the sampling aperture.
    pub blur: f32,
    /// Squared radius of the field of view around the raster's middle; `f32::MAX` for no limit.
    pub view2: f32,
}

impl Raster {
    /// Whether a point lies outside the field of view.
    pub fn hides(&self, x: f32, y: f32) -> bool {
        if self.view2 == f32::MAX {
            return false;
        }
        let middle =
            [(self.x0, self.nx), (self.y0, self.ny)].map(|(v, n)| v + self.dx * (n - 1) as f32 / 2.0);
        (x - middle[0]).powi(2) + (y - middle[1]).powi(2) > self.view2
    }
}

/// Tubes near each plane.
pub(crate) struct Buckets {
    pub vessels: Vec<Vec<u32>>,
    pub walls: Vec<Vec<u32>>,
    pub lumens: Vec<Vec<u32>>,
    pub plugs: Vec<Vec<u32>>,
    pub ghosts: Vec<Vec<u32>>,
    pub painted: Vec<Vec<u32>>,
}

/// Working memory of a thread.
#[derive(Default)]
pub(crate) struct Scratch {
    row: Vec<Values>,
    layer: Vec<f32>,
    /// Lesions whose boxes the plane cuts, and those that the row cuts.
    here: Vec<usize>,
    along: Vec<usize>,
    /// Where each pixel of a row lies among the fields.
    cells: Vec<(usize, f32)>,
    lines: Lines,
}

/// Sorts tubes into planes `z0 + i * dz`.
fn bucket<'a>(
    tubes: impl Iterator<Item = (&'a Tube, f32)>,
    z0: f32,
    dz: f32,
    n: usize,
    blur: f32,
) -> Vec<Vec<u32>> {
    let mut out = vec![Vec::new(); n];
    for (i, (t, tall)) in tubes.enumerate() {
        let reach = (t.r + 2.0 * blur) * tall;
        let low = ((t.p[2].min(t.q[2]) - reach - z0) / dz).ceil().max(0.0) as usize;
        let high = ((t.p[2].max(t.q[2]) + reach - z0) / dz).floor();
        if high < 0.0 {
            continue;
        }
        for plane in out.iter_mut().take(high as usize + 1).skip(low) {
            plane.push(i as u32);
        }
    }
    out
}

impl Buckets {
    pub fn sort(scene: &Scene, z0: f32, dz: f32, n: usize, blur: f32) -> Self {
        let plain = |v: &[Tube]| bucket(v.iter().map(|t| (t, 1.0)), z0, dz, n, blur);
        Self {
            vessels: plain(&scene.trees.vessels),
            walls: plain(&scene.trees.walls),
            lumens: plain(&scene.trees.lumens),
            plugs: plain(&scene.trees.plugs),
            ghosts: plain(&scene.trees.ghosts),
            painted: bucket(scene.painted.items.iter().map(|p| (&p.tube, p.tall)), z0, dz, n, blur),
        }
    }
}

/// What a plane holds.
pub(crate) struct Plane {
    pub hu: Vec<f32>,
    /// 1 right lung, 2 left lung; bit 4 infected, bit 8 irrelevant. Empty when not asked for.
    pub labels: Vec<u8>,
}

/// Bits of [`Plane::labels`].
pub(crate) const INFECTED: u8 = 4;
pub(crate) const IRRELEVANT: u8 = 8;

impl Scene {
    /// Renders the plane at `z`, the `index`-th of the buckets.
    pub fn plane(
        &self,
        r: &Raster,
        b: &Buckets,
        index: usize,
        z: f32,
        labels: bool,
        s: &mut Scratch,
    ) -> Plane {
        let mut out =
            Plane { hu: vec![-1000.0; r.nx * r.ny], labels: vec![0; if labels { r.nx * r.ny } else { 0 }] };
        s.here.clear();
        s.here.extend(
            (0..self.lesions.len())
                .filter(|&i| (z - self.lesions[i].center[2]).abs() <= self.lesions[i].reach[2]),
        );
        s.cells.clear();
        s.cells.extend((0..r.nx).map(|ix| self.fields.column(r.x0 + r.dx * ix as f32)));
        for y in 0..r.ny {
            let hu = &mut out.hu[y * r.nx..(y + 1) * r.nx];
            let lab = if labels { &mut out.labels[y * r.nx..(y + 1) * r.nx] } else { &mut [] };
            self.row(r, y, z, hu, lab, s);
        }
        for &i in &b.painted[index] {
            let item = &self.painted.items[i as usize];
            draw(r, z, &item.tube, item.tall, |k, c| out.hu[k] += c * (item.hu - out.hu[k]));
        }
        let (t, hu, blood, wall) = (&self.trees, &mut out.hu, self.look.blood, self.look.wall);
        layer(r, z, &b.ghosts[index], &t.ghosts, &mut s.layer, |h, c| h + 0.5 * c * (blood - h).max(0.0), hu);
        layer(r, z, &b.vessels[index], &t.vessels, &mut s.layer, |h, c| h + c * (blood - h).max(0.0), hu);
        layer(r, z, &b.walls[index], &t.walls, &mut s.layer, |h, c| h + c * (wall - h).max(0.0), hu);
        layer(r, z, &b.lumens[index], &t.lumens, &mut s.layer, |h, c| h + c * (-985.0 - h), hu);
        layer(r, z, &b.plugs[index], &t.plugs, &mut s.layer, |h, c| h + c * (10.0 - h).max(0.0), hu);
        out
    }

    fn row(&self, r: &Raster, iy: usize, z: f32, hu: &mut [f32], labels: &mut [u8], s: &mut Scratch) {
        let tiles = Tiles::get();
        let y = r.y0 + r.dx * iy as f32;
        let Scratch { row, here, along, cells, lines, .. } = s;
        self.fields.row(y, z, row);
        lines.lift();
        along.clear();
        along.extend(here.iter().filter(|&&i| {
            let lesion = &self.lesions[i];
            (y - lesion.center[1]).abs() <= lesion.reach[1]
        }));
        for (ix, out) in hu.iter_mut().enumerate() {
            let x = r.x0 + r.dx * ix as f32;
            if r.hides(x, y) {
                continue;
            }
            let p = [x, y, z];
            let v = Fields::along(row, cells[ix]);
            let width = r.dx * 1.2;
            let skin = cover(v[BODY], width);
            if skin < 1.0 {
                *out = self.look.outside(p, &v, tiles, lines, self.table_y);
            }
            if skin <= 0.0 {
                continue;
            }
            let inner = self.inside(p, &v, width, along, (tiles, &mut *lines), labels.get_mut(ix));
            *out += skin * (inner - *out);
        }
    }

    fn inside(
        &self,
        p: [f32; 3],
        v: &Values,
        width: f32,
        here: &[usize],
        (tiles, lines): (&Tiles, &mut Lines),
        label: Option<&mut u8>,
    ) -> f32 {
        let d = lung_distance(v);
        let mut edge = width;
        if d.abs() < 8.0 {
            // the heart's beat and the diaphragm's breath smear their edges
            if v[HEART] < 9.0 {
                edge = edge.max(self.look.heart_blur);
            }
            if v[DIAPHRAGM].abs() < 9.0 {
                edge = edge.max(self.look.dome_blur);
            }
        }
        let air = cover(d, edge);
        let mut hu = if air < 1.0 { self.look.solid(p, v, tiles, lines) } else { 0.0 };
        if air > 0.0 {
            let depth = (-d).max(0.0);
            let mut lung = self.look.lung(p, v, depth, tiles, lines);
            let mut found = if d < 0.0 { 1 + u8::from(p[0] > 0.0) } else { 0 };
            for &i in here {
                let lesion = &self.lesions[i];
                let at = Point { p, values: v, depth, hu: lung };
                if let Some(effect) = lesion.at(&at, tiles) {
                    lung += effect.hu;
                    if effect.counts && d < 0.0 {
                        found |= if lesion.label == Label::Infected { INFECTED } else { IRRELEVANT };
                    }
                }
            }
            if let Some(label) = label {
                *label = found;
            }
            hu += air * (lung - hu);
        }
        hu
    }
}

/// Tubes of one kind: their greatest cover at each pixel, then one blend, so that joints do not show.
fn layer(
    r: &Raster,
    z: f32,
    ids: &[u32],
    tubes: &[Tube],
    cover: &mut Vec<f32>,
    blend: impl Fn(f32, f32) -> f32,
    hu: &mut [f32],
) {
    if ids.is_empty() {
        return;
    }
    cover.clear();
    cover.resize(r.nx * r.ny, 0.0);
    for &i in ids {
        draw(r, z, &tubes[i as usize], 1.0, |k, c| cover[k] = cover[k].max(c));
    }
    for (h, &c) in hu.iter_mut().zip(cover.iter()) {
        if c > 0.0 {
            *h = blend(*h, c);
        }
    }
}

/// Calls `f(pixel, cover)` for the pixels of plane `z` that a tube covers. `tall` stretches z.
fn draw(r: &Raster, z: f32, t: &Tube, tall: f32, mut f: impl FnMut(usize, f32)) {
    // thin tubes keep their area: a disc smaller than the aperture fades instead of vanishing
    let radius = (t.r * t.r + 0.6 * r.blur * r.blur).sqrt();
    let peak = (t.r * t.r / (radius * radius)).min(1.0);
    let soft = 1.3 * r.blur;
    let reach = radius + soft;
    let d = [t.q[0] - t.p[0], t.q[1] - t.p[1], (t.q[2] - t.p[2]) / tall];
    let dz = (z - t.p[2]) / tall;
    let length2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
    // the part of the axis within reach of the plane bounds the box
    let (mut u0, mut u1) = (0.0f32, 1.0f32);
    if d[2].abs() > 1e-3 {
        let (a, b) = ((dz - reach) / d[2], (dz + reach) / d[2]);
        u0 = a.min(b).clamp(0.0, 1.0);
        u1 = a.max(b).clamp(0.0, 1.0);
    }
    if d[2].abs() <= 1e-3 && dz.abs() > reach {
        return;
    }
    let ends = [0, 1].map(|a| {
        let (e0, e1) = (t.p[a] + d[a] * u0, t.p[a] + d[a] * u1);
        let origin = if a == 0 { r.x0 } else { r.y0 };
        let n = if a == 0 { r.nx } else { r.ny } as f32;
        let low = ((e0.min(e1) - reach - origin) / r.dx).ceil().clamp(0.0, n) as usize;
        let high = ((e0.max(e1) + reach - origin) / r.dx + 1.0).floor().clamp(0.0, n) as usize;
        (low, high)
    });
    let scale = 1.0 / length2.max(1e-6);
    for iy in ends[1].0..ends[1].1 {
        let vy = r.y0 + r.dx * iy as f32 - t.p[1];
        for ix in ends[0].0..ends[0].1 {
            let vx = r.x0 + r.dx * ix as f32 - t.p[0];
            let u = ((vx * d[0] + vy * d[1] + dz * d[2]) * scale).clamp(0.0, 1.0);
            let w = [vx - u * d[0], vy - u * d[1], dz - u * d[2]];
            let d2 = w[0] * w[0] + w[1] * w[1] + w[2] * w[2];
            if d2 < reach * reach {
                let c = ((radius - d2.sqrt()) / (2.0 * soft) + 0.5).clamp(0.0, 1.0);
                f(iy * r.nx + ix, peak * c);
            }
        }
    }
}
