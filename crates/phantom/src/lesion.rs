//! The compositor: one lesion as a fraction `f` per point and what the tissue turns into.

use crate::fields::{Lobe, Values};
use crate::rng::{dot, step};
use crate::tiles::{Tiles, View};
use crate::tube::Tube;
use crate::types::{LesionForm, LesionKind};

/// The shape of a lesion, before warping.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// An ellipsoid given by the lesion's frame.
    Blob,
    /// A blob cut to a layer this many mm deep under the pleura.
    Band(f32),
    /// Around tubes: cuffs of bronchi, tree-in-bud, scars.
    Tubes(Vec<Tube>),
    /// A sheet through the centre: normal and half thickness, mm.
    Sheet([f32; 3], f32),
    /// A whole lobe.
    Lobe(Lobe),
    /// Patches all over a side of the lungs: threshold of the noise that leaves them.
    Diffuse(f32),
    /// The second family: balls that melt together.
    Cloud(Vec<([f32; 3], f32)>),
    /// A layer of collapsed lung at the back, mm.
    Dependent(f32),
}

/// What the tissue turns into.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// So many HU above what is there.
    Above(f32),
    /// This HU.
    Reach(f32),
}

/// What the truth says about a lesion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    Infected,
    Irrelevant,
}

/// What the latents tell of an infected lesion.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub kind: LesionKind,
    pub form: LesionForm,
    pub peripheral: bool,
    pub thick_vessels: bool,
}

impl Facts {
    /// A rounded patch of ground-glass.
    pub const PLAIN: Self = Self {
        kind: LesionKind::GroundGlass,
        form: LesionForm::Rounded,
        peripheral: false,
        thick_vessels: false,
    };
}

/// One lesion.
#[derive(Debug, Clone)]
pub(crate) struct Lesion {
    pub center: [f32; 3],
    /// Half edge of the box that holds it, mm.
    pub reach: [f32; 3],
    pub radius: f32,
    /// Rotation with its rows divided by the stretch along them.
    pub frame: [[f32; 3]; 3],
    pub warp: View,
    pub warp_mm: f32,
    pub margin: f32,
    pub shape: Shape,
    pub texture: View,
    /// Mean of the inner texture and its deviation.
    pub density: (f32, f32),
    /// How far whole lobules differ, 0 to 1, and the view of their cells.
    pub lobule: f32,
    pub cells: View,
    /// HU of the lines of crazy paving, 0 for none.
    pub paving: f32,
    pub reversed: bool,
    /// Share of the radius that a consolidated core takes, and its HU.
    pub core: Option<(f32, f32)>,
    pub target: Target,
    /// The effect, 0 for shams.
    pub strength: f32,
    pub label: Label,
    /// Stops at this lobe's fissures.
    pub lobe: Option<Lobe>,
    /// Belongs to the second family.
    pub second: bool,
    pub facts: Facts,
}

/// What a lesion does to a point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effect {
    pub hu: f32,
    /// Whether the truth counts the point.
    pub counts: bool,
}

/// A point in a lung.
pub(crate) struct Point<'a> {
    pub p: [f32; 3],
    pub values: &'a Values,
    /// Depth below the pleura, mm.
    pub depth: f32,
    pub hu: f32,
}

impl Lesion {
    /// Signed distance, positive inside, mm, and the relative radius.
    fn inside(&self, at: &Point, tiles: &Tiles) -> (f32, f32) {
        let q = self.warp.place(at.p);
        let noise = [
            tiles.soft(q),
            tiles.soft([q[1] + 21.0, q[2], q[0]]),
            tiles.soft([q[2] + 43.0, q[0], q[1] + 7.0]),
        ];
        // finer tongues ride on the coarse bends
        let fine = 0.45 * tiles.soft(q.map(|v| v * 2.7 + 5.0));
        let d: [f32; 3] =
            std::array::from_fn(|a| at.p[a] - self.center[a] + self.warp_mm * (noise[a] + fine));
        let u: [f32; 3] = std::array::from_fn(|a| dot(self.frame[a], d));
        let radius = dot(u, u).sqrt();
        let blob = self.radius - radius;
        let moved: [f32; 3] = std::array::from_fn(|a| self.center[a] + d[a]);
        let sd = match &self.shape {
            Shape::Blob => blob,
            Shape::Band(deep) => blob.min(deep * (1.0 + 0.35 * noise[0]) - at.depth),
            Shape::Tubes(tubes) => -tubes.iter().map(|t| t.distance(moved)).fold(60.0, f32::min),
            Shape::Sheet(normal, half) => blob.min(half - dot(*normal, d).abs()),
            Shape::Lobe(lobe) => -lobe.distance(at.p[0], at.values),
            Shape::Diffuse(threshold) => (noise[0] - threshold) * 14.0,
            Shape::Dependent(deep) => {
                let back = step(0.0, 1.0, (at.p[1] - self.center[1]) / 40.0);
                back * deep * (1.0 + 0.5 * noise[0]) - at.depth - (1.0 - back) * 4.0
            }
            Shape::Cloud(balls) => {
                let sum: f32 = balls
                    .iter()
                    .map(|(c, r)| {
                        let v: [f32; 3] = std::array::from_fn(|a| moved[a] - c[a]);
                        let x = 1.0 - dot(v, v) / (2.6 * r * r);
                        x.max(0.0).powi(2)
                    })
                    .sum();
                (sum - 0.36) * self.radius * 0.7
            }
        };
        let sd = match self.lobe {
            Some(lobe) => sd.min(-lobe.distance(at.p[0], at.values)),
            None => sd,
        };
        (sd, radius / self.radius.max(0.1))
    }

    /// Effect at a point; `None` where there is none.
    pub fn at(&self, at: &Point, tiles: &Tiles) -> Option<Effect> {
        for a in 0..3 {
            if (at.p[a] - self.center[a]).abs() > self.reach[a] {
                return None;
            }
        }
        let (sd, radius) = self.inside(at, tiles);
        let half = self.margin * 0.5;
        if sd <= -2.0 * half {
            return None;
        }
        // wide margins fray
        let sd = sd + 0.45 * half * tiles.fractal.at(self.texture.place(at.p).map(|v| v * 0.8));
        if sd <= -half {
            return None;
        }
        let envelope = if self.second {
            ((sd + half) / (2.0 * half)).clamp(0.0, 1.0).sqrt()
        } else {
            step(-half, half, sd)
        };
        let mut f = envelope * self.inner(at, radius, tiles);
        if self.reversed {
            f *= 0.3 + 0.7 * step(0.35, 0.75, radius);
        }
        f = f.clamp(0.0, 1.0);
        let grain = tiles.white.at(self.texture.place([at.p[1], at.p[2], at.p[0]]));
        let mut hu = match self.target {
            // less room to rise in dense tissue
            Target::Above(c) => f * c * ((-at.hu - 50.0) / 500.0).clamp(0.0, 1.0),
            Target::Reach(t) => (f * (t + 12.0 * grain - at.hu)).max(0.0),
        };
        if self.paving > 0.0 {
            let wall = tiles.wall.at(self.cells.place(at.p).map(|v| v * 2.2));
            hu += f * self.paving * (1.0 - wall / 0.55).clamp(0.0, 1.0);
        }
        if let Some((share, t)) = self.core {
            // the core is patches where the texture is densest, more of them towards the middle
            let patch = tiles.fractal.at(self.texture.place(at.p).map(|v| v * 0.4));
            let solid = step(-0.3, 0.3, share + 0.25 * patch - radius);
            let g = solid * envelope * (0.85 + 0.3 * grain).clamp(0.0, 1.0);
            hu = hu.max(g * (t - at.hu));
        }
        Some(Effect { hu: hu.max(0.0) * self.strength, counts: envelope > 0.4 && f > 0.08 })
    }

    /// Inner texture, about 0 to 1.
    fn inner(&self, at: &Point, radius: f32, tiles: &Tiles) -> f32 {
        let (mean, deviation) = self.density;
        let q = self.texture.place(at.p);
        let mut f = if self.second {
            // ridges instead of a fractal
            mean + deviation * (1.0 - 2.0 * tiles.white.at(q.map(|v| v * 0.5)).abs()) - 0.15 * radius
        } else {
            mean + deviation * (0.7 * tiles.fractal.at(q) + 0.7 * tiles.fractal.at(q.map(|v| v * 0.3 + 40.0)))
        };
        if self.lobule > 0.0 {
            let v = tiles.cell.at(self.cells.place(at.p));
            f *= 1.0 - self.lobule + self.lobule * 1.5 * v;
        }
        f
    }
}
