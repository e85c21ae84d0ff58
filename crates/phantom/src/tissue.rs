//! HU of every tissue at a point, before the scanner.

use crate::body::{BODY, CHEST, DIAPHRAGM, HEART, LIVER, MAJOR, MEDIASTINUM, MINOR, MUSCLE, ORGANS, VESSELS};
use crate::fields::Values;
use crate::rng::{Rng, step};
use crate::tiles::{Line, Tile, Tiles, View};

/// How the tissues of a case look.
#[derive(Debug, Clone)]
pub(crate) struct TissueLook {
    /// Parenchyma at the chest's middle depth, HU, and its rise from front to back.
    pub lung: f32,
    pub gravity: f32,
    half_depth: f32,
    height: f32,
    texture: (f32, View),
    clouds: (f32, View),
    mosaic: f32,
    emphysema: Option<(f32, f32, f32)>,
    septa: f32,
    cells: View,
    fissure: (f32, f32, View),
    /// Blood in vessels; above 60 with contrast medium.
    pub blood: f32,
    muscle: f32,
    fat: f32,
    organ: f32,
    pub wall: f32,
    gland: f32,
    soft: View,
    clothes: Option<(f32, f32)>,
    /// Width over which the heart's and the diaphragm's edges are smeared by motion, mm.
    pub heart_blur: f32,
    pub dome_blur: f32,
    nodes: f32,
    second: bool,
}

/// The noise along a row of voxels, each kind laid when the row first needs it.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    soft: Line,
    folds: Line,
    texture: Line,
    clouds: Line,
    cells: Line,
}

impl Lines {
    /// Forgets the row.
    pub fn lift(&mut self) {
        for line in [&mut self.soft, &mut self.folds, &mut self.texture, &mut self.clouds, &mut self.cells] {
            line.lift();
        }
    }
}

/// Value of a block at lattice position `place(axis)`, looked up along the row.
#[inline]
fn read(line: &mut Line, tile: &Tile, place: impl Fn(usize) -> f32) -> f32 {
    if !line.is_laid() {
        line.lay(tile, place(1), place(2));
    }
    line.at(place(0))
}

/// Width over which an edge goes from 0 to 1: the coverage of a voxel by a half space.
pub(crate) fn cover(distance: f32, width: f32) -> f32 {
    (0.5 - distance / width).clamp(0.0, 1.0)
}

fn mix(a: f32, b: f32, f: f32) -> f32 {
    a + (b - a) * f
}

impl TissueLook {
    pub fn draw(seed: u64, [half_depth, height]: [f32; 2], nodes: bool, second: bool, breasts: bool) -> Self {
        let mut r = Rng::new(seed, 2);
        let contrast = r.chance(0.2);
        let emphysema = r.chance(0.2).then(|| {
            (r.range(0.3, 1.4), r.range(30.0, 140.0), if r.chance(0.6) { r.range(0.0, 1.0) } else { -1.0 })
        });
        let scale = r.range(0.7, 1.8);
        Self {
            lung: r.range(-922.0, -835.0) + if r.chance(0.22) { r.range(20.0, 150.0) } else { 0.0 },
            gravity: r.log_range(12.0, 95.0),
            half_depth,
            height,
            texture: (r.range(8.0, 26.0), View::draw(&mut r, scale)),
            clouds: (r.range(3.0, 16.0), View::draw(&mut r, 26.0)),
            mosaic: if r.chance(0.2) { r.range(20.0, 70.0) } else { r.range(0.0, 8.0) },
            emphysema,
            septa: if r.chance(0.25) { r.range(20.0, 90.0) } else { r.range(0.0, 15.0) },
            cells: View::draw(&mut r, 2.0),
            fissure: (r.range(120.0, 420.0), r.range(0.35, 0.9), View::draw(&mut r, 18.0)),
            blood: if contrast { r.range(150.0, 400.0) } else { r.range(32.0, 55.0) },
            muscle: r.range(42.0, 62.0),
            fat: r.range(-112.0, -92.0),
            organ: r.range(45.0, 68.0) + if contrast { 40.0 } else { 0.0 },
            wall: r.range(-120.0, 40.0),
            gland: r.range(0.0, 1.0) - if breasts { 0.0 } else { 9.0 },
            soft: View::draw(&mut r, 9.0),
            clothes: r.chance(0.8).then(|| (r.range(5.0, 14.0), r.range(60.0, 260.0))),
            heart_blur: r.range(0.8, 4.5),
            dome_blur: r.log_range(0.8, 8.0),
            nodes: if nodes { 1.2 } else { 2.3 },
            second,
        }
    }

    /// Air, clothes and table around the body.
    pub fn outside(&self, p: [f32; 3], v: &Values, tiles: &Tiles, lines: &mut Lines, table_y: f32) -> f32 {
        let mut hu: f32 = -1000.0;
        let curve = table_y - 0.0007 * p[0] * p[0];
        let below = p[1] - curve;
        if below > -9.0 {
            // mattress, shell, foam, shell
            let hu_at = if below < 0.0 {
                -900.0
            } else if below < 1.8 {
                -150.0
            } else if below < 26.0 {
                -985.0
            } else if below < 29.0 {
                250.0
            } else {
                -1000.0
            };
            hu = hu.max(hu_at);
        }
        if let Some((gap, density)) = self.clothes
            && v[BODY] < 40.0
        {
            let noise = read(&mut lines.folds, &tiles.soft, |a| self.soft.along(a, p[a]) * 0.35 * 2.0);
            let fold = gap * (1.0 + 0.8 * noise);
            let thin = 1.0 - ((v[BODY] - fold) / 0.9).abs();
            hu += density * thin.clamp(0.0, 1.0);
        }
        hu
    }

    /// Everything inside the skin that is not lung.
    pub fn solid(&self, p: [f32; 3], v: &Values, tiles: &Tiles, lines: &mut Lines) -> f32 {
        let noise = read(&mut lines.soft, &tiles.white, |a| self.soft.along(a, p[a]));
        if v[CHEST] < 0.0 {
            if v[DIAPHRAGM] > 0.0 { self.belly(v, noise) } else { self.between(p, v, noise) }
        } else {
            self.wall(p, v, noise, tiles)
        }
    }

    fn wall(&self, p: [f32; 3], v: &Values, noise: f32, tiles: &Tiles) -> f32 {
        if v[BODY] > -1.8 {
            return 20.0;
        }
        let fat = self.fat + 5.0 * noise;
        let muscle = cover(v[MUSCLE], 1.5);
        let breast = v[MUSCLE] > 3.0 && p[1] < -self.half_depth * 0.7 && v[BODY] < -7.0;
        if muscle == 0.0 && !breast {
            return fat;
        }
        // sheets of fat part the muscles
        let sheet = step(1.15, 1.5, noise) * step(2.0, 5.0, v[CHEST]);
        let meat = mix(self.muscle + 5.0 * noise, fat, sheet);
        let inner = mix(meat, fat, step(2.2, 1.2, v[CHEST]) * 0.5);
        let tissue = mix(fat, inner, muscle);
        if breast {
            // gland and strands in the breasts
            let q = self.soft.place(p).map(|c| c * 0.7);
            let gland = step(0.9 - self.gland, 1.7 - self.gland, tiles.white.at(q));
            return mix(tissue, 30.0, gland * step(12.0, 24.0, v[MUSCLE]));
        }
        tissue
    }

    fn belly(&self, v: &Values, noise: f32) -> f32 {
        let fat = self.fat + 8.0 * noise;
        let wall = mix(fat, self.muscle, step(-3.0, -1.5, v[CHEST]).max(step(3.0, 1.5, v[DIAPHRAGM])));
        let vessel = mix(wall, self.blood.min(200.0), cover(v[VESSELS], 1.5));
        let organ = mix(vessel, self.organ - 15.0 + 4.0 * noise, cover(v[ORGANS], 2.0));
        mix(organ, self.organ + 3.0 * noise, cover(v[LIVER], 2.0))
    }

    fn between(&self, p: [f32; 3], v: &Values, noise: f32) -> f32 {
        if v[MEDIASTINUM] > 1.0 {
            return 8.0 + 3.0 * noise; // fluid in the pleural space
        }
        // fat with nodes and strands, more soft tissue at the hila and along the edge
        let edge = step(-4.0, -1.0, v[MEDIASTINUM]);
        let soft = step(self.nodes - 0.9, self.nodes - 0.4, noise).max(edge * 0.7);
        let bed = mix(self.fat + 20.0, 35.0, soft);
        let inside = -v[HEART];
        let septum = (p[0] - 4.0 + 0.55 * p[1] + 6.0 * noise).abs();
        let chamber = step(6.0, 9.0, inside) * step(2.5, 6.0, septum);
        let heart = mix(self.muscle + 2.0, self.blood, chamber);
        let hu = mix(bed, heart, cover(v[HEART], 2.0));
        mix(hu, self.blood, cover(v[VESSELS], 1.5))
    }

    /// Parenchyma without lesions and vessels.
    pub fn lung(&self, p: [f32; 3], v: &Values, depth: f32, tiles: &Tiles, lines: &mut Lines) -> f32 {
        let mut hu = self.lung + self.gravity * (p[1] / (2.0 * self.half_depth));
        let (amp, view) = self.texture;
        hu += if self.second {
            let q = view.place(p);
            amp * 1.4 * (tiles.white.at(q.map(|c| c * 0.4)).abs() - 0.55) + amp * 0.6 * tiles.white.at(q)
        } else {
            amp * read(&mut lines.texture, &tiles.fractal, |a| view.along(a, p[a]))
        };
        let (amp, view) = self.clouds;
        let cloud = read(&mut lines.clouds, &tiles.white, |a| view.along(a, p[a]));
        hu += amp * cloud;
        if self.mosaic > 0.0 {
            let cell = read(&mut lines.cells, &tiles.cell, |a| self.cells.along(a, p[a]));
            hu += self.mosaic * (cell - 0.5) + self.mosaic * step(0.3, 0.8, cloud);
        }
        if self.septa > 8.0 && depth < 30.0 {
            hu += self.septa * (1.0 - tiles.wall.at(self.cells.place(p)) / 0.35).clamp(0.0, 1.0);
        }
        if let Some((threshold, drop, apical)) = self.emphysema {
            let q = self.cells.place(p).map(|c| c * 0.55);
            let bulla = step(threshold, threshold + 0.35, tiles.white.at(q));
            let where_ = if apical >= 0.0 { step(0.25, 0.8, p[2] / self.height) } else { 1.0 };
            hu -= drop * bulla * where_;
        }
        hu.max(-995.0) + self.fissure_rise(p, v, tiles)
    }

    fn fissure_rise(&self, p: [f32; 3], v: &Values, tiles: &Tiles) -> f32 {
        let (rise, half, view) = self.fissure;
        let minor = if p[0] < 0.0 && v[MAJOR] > 0.0 { v[MINOR].abs() } else { 99.0 };
        let d = v[MAJOR].abs().min(minor);
        if d > 4.0 {
            return 0.0;
        }
        // incomplete in places
        let whole = step(-1.2, 0.2, tiles.white.at(view.place(p)));
        rise * whole / (1.0 + (d / half).powi(4))
    }
}
