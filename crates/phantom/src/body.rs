//! The body as smooth implicit functions: negative inside, about millimetres near the surface.
//!
//! Scene coordinates are LPS mm with x = 0 at the midline, y = 0 at the middle of the chest's depth
//! and z = 0 at the mean height of the diaphragm's domes. Sizes are ours, set so that the slices look
//! like those of adult chests.

use crate::rng::{Rng, dot, smooth_max, smooth_min, step};
use crate::tiles::{Tiles, View};
use crate::tube::{Bundle, Tube};

/// Number of fields.
pub(crate) const FIELDS: usize = 12;
/// Skin.
pub(crate) const BODY: usize = 0;
/// Inner surface of the rib cage.
pub(crate) const CHEST: usize = 1;
/// The diaphragm: negative above it.
pub(crate) const DIAPHRAGM: usize = 2;
/// Everything between the lungs.
pub(crate) const MEDIASTINUM: usize = 3;
/// The heart's outer surface.
pub(crate) const HEART: usize = 4;
/// Great vessels.
pub(crate) const VESSELS: usize = 5;
/// Outer surface of the muscles.
pub(crate) const MUSCLE: usize = 6;
/// Liver.
pub(crate) const LIVER: usize = 7;
/// Stomach and spleen.
pub(crate) const ORGANS: usize = 8;
/// Major fissure of the side: negative in the lower lobe.
pub(crate) const MAJOR: usize = 9;
/// Minor fissure: negative below it.
pub(crate) const MINOR: usize = 10;
/// Fluid in the pleural space: negative inside the layer along the chest wall.
pub(crate) const FLUID: usize = 11;

/// An ellipsoid turned about z.
#[derive(Debug, Clone, Copy)]
struct Blob {
    c: [f32; 3],
    r: [f32; 3],
    cos: f32,
    sin: f32,
}

impl Blob {
    fn new(c: [f32; 3], r: [f32; 3], degrees: f32) -> Self {
        let a = f64::from(degrees).to_radians();
        Self { c, r, cos: libm::cos(a) as f32, sin: libm::sin(a) as f32 }
    }

    fn distance(&self, x: [f32; 3]) -> f32 {
        let d: [f32; 3] = std::array::from_fn(|i| x[i] - self.c[i]);
        let u = [self.cos * d[0] + self.sin * d[1], self.cos * d[1] - self.sin * d[0], d[2]];
        let n: f32 = (0..3).map(|i| (u[i] / self.r[i]).powi(2)).sum::<f32>().sqrt();
        (n - 1.0) * self.r[0].min(self.r[1]).min(self.r[2])
    }
}

/// Draws of the body.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    /// Half width and half depth of the rib cage, and height from the domes to the apex, mm.
    pub half: [f32; 2],
    pub height: f32,
    /// How far the recesses reach below the domes, mm.
    pub recess: f32,
    /// Position of the vertebral bodies, y mm.
    pub spine_y: f32,
    pub fat: f32,
    muscle: f32,
    square: f32,
    back: f32,
    dome: [[f32; 5]; 2],
    heart: Blob,
    vessels: Bundle,
    breasts: Vec<Blob>,
    pub arms: Vec<Tube>,
    liver_edge: f32,
    organs: Vec<Blob>,
    major: [[f32; 3]; 2],
    minor: [f32; 3],
    fluid: [f32; 2],
    stalk: [f32; 3],
    kyphosis: f32,
    warp: View,
    warp_mm: f32,
    detail: View,
    /// Carina and the hila (right, left), mm.
    pub carina: [f32; 3],
    pub hila: [[f32; 3]; 2],
    /// How slowly the lungs narrow towards the apex, 0 to 1.
    apex: f32,
    /// Radius of the soft tissue about the hila.
    hilum_mm: f32,
}

/// What depends on z alone.
struct Level {
    t: f32,
    cap: f32,
    cy: f32,
    half: [f32; 2],
    body: [f32; 3],
    stalk: [f32; 4],
}

impl Body {
    /// Draws a body; `effusion_mm` is the thickness of pleural fluid at the base, right and left.
    pub fn draw(seed: u64, effusion_mm: [f32; 2]) -> Self {
        let mut r = Rng::new(seed, 1);
        let ax = r.range(104.0, 148.0);
        let ay = ax * r.range(0.60, 0.76);
        let height = r.range(160.0, 225.0);
        let female = r.chance(0.5);
        let fat = r.log_range(5.0, 34.0);
        let spine_y = ay * r.range(0.60, 0.74);
        let heart_size = r.range(0.88, 1.2);
        let hc = [r.range(20.0, 34.0), -ay * r.range(0.24, 0.38), r.range(26.0, 42.0)];
        let heart = Blob::new(
            hc,
            [0.47 * ax * heart_size, 0.36 * ax * heart_size, r.range(42.0, 54.0) * heart_size],
            r.range(-48.0, -24.0),
        );
        let arch_z = height * r.range(0.66, 0.72);
        let carina = [r.range(0.0, 5.0), ay * r.range(0.02, 0.16), height * r.range(0.55, 0.61)];
        let hz = carina[2] - r.range(16.0, 26.0);
        let hila = [
            [-r.range(38.0, 46.0), carina[1] - r.range(0.0, 10.0), hz],
            [r.range(36.0, 44.0), carina[1] + r.range(0.0, 8.0), hz + r.range(4.0, 12.0)],
        ];
        let breasts = if female {
            let size = r.range(0.7, 1.3);
            let z = height * r.range(0.3, 0.5);
            let rr = [52.0 * size, 34.0 * size + fat * 0.5, 58.0 * size];
            [-1.0, 1.0]
                .map(|s| Blob::new([s * ax * 0.62, -(ay + 14.0 + 0.4 * fat), z], rr, s * 20.0))
                .to_vec()
        } else {
            Vec::new()
        };
        let vessels = great_vessels(&mut r, &GreatVessels { ay, spine_y, arch_z, height, carina, hila, hc });
        let dome = [-1.0f32, 1.0].map(|side| {
            let top = if side < 0.0 { r.range(2.0, 14.0) } else { r.range(-14.0, 4.0) };
            [
                side * ax * r.range(0.46, 0.56),
                -ay * r.range(0.05, 0.3),
                top,
                r.range(0.9, 1.1),
                r.range(1.15, 1.6),
            ]
        });
        let tilt = r.range(-40.0, -16.0);
        let organs = vec![
            Blob::new([ax * 0.42, -ay * 0.2, -52.0], [ax * 0.36, ay * 0.5, r.range(38.0, 50.0)], tilt),
            Blob::new(
                [ax * 0.66, ay * 0.42, -60.0],
                [ax * 0.24, ay * 0.42, r.range(42.0, 56.0)],
                r.range(10.0, 40.0),
            ),
        ];
        let arms_down = r.chance(0.15);
        let mut arms = Vec::new();
        for s in [-1.0f32, 1.0] {
            if arms_down {
                let x = s * (ax + 40.0 + fat + r.range(8.0, 22.0));
                arms.push(Tube::new(
                    [x, 10.0, height * 0.9],
                    [x + s * 14.0, 24.0, -120.0],
                    r.range(34.0, 44.0),
                ));
            } else {
                let x = s * (ax + r.range(20.0, 34.0));
                arms.push(Tube::new(
                    [x, 8.0, height * 0.97],
                    [x + s * r.range(20.0, 60.0), -20.0, height * 1.6],
                    r.range(36.0, 46.0),
                ));
            }
        }
        let major = [0, 1].map(|_| [height * r.range(0.36, 0.46), r.range(0.95, 1.35), r.range(-0.12, 0.12)]);
        Self {
            half: [ax, ay],
            height,
            recess: r.range(48.0, 78.0),
            spine_y,
            fat,
            muscle: r.range(10.0, 17.0),
            square: r.range(0.1, 0.5),
            back: r.range(0.86, 0.97),
            dome,
            heart,
            vessels: Bundle::new(&vessels),
            breasts,
            arms,
            liver_edge: r.range(10.0, 50.0),
            organs,
            major,
            minor: [height * r.range(0.42, 0.5), r.range(-0.12, 0.12), r.range(-0.15, 0.15)],
            fluid: effusion_mm,
            stalk: [r.range(0.0, 6.0), r.range(22.0, 32.0), r.range(1.2, 3.0)],
            kyphosis: r.range(4.0, 20.0),
            warp: View::draw(&mut r, 55.0),
            warp_mm: r.range(1.5, 4.0),
            detail: View::draw(&mut r, 22.0),
            carina,
            hila,
            apex: r.range(0.0, 0.7),
            hilum_mm: r.log_range(4.5, 13.0),
        }
    }

    /// Whether the body has breasts.
    pub fn has_breasts(&self) -> bool {
        !self.breasts.is_empty()
    }

    /// Lowest and highest z that the lungs can reach, mm.
    pub fn z_range(&self) -> [f32; 2] {
        [-1.2 * self.recess - 16.0, self.height + 2.0]
    }

    fn level(&self, z: f32) -> Level {
        let t = z / self.height;
        let [ax, ay] = self.half;
        let u = ((t - 0.34) / 0.66).max(0.0);
        let low = 1.0 - 0.05 * step(0.2, -0.4, t);
        let narrow = 1.0 - 0.16 * step(0.5, 1.0, t);
        let shoulder = step(0.68, 0.98, t);
        let wall = self.muscle + self.fat;
        let cy = self.kyphosis * t.max(0.0) * t.max(0.0);
        let a = ax * low + 15.0 + wall + shoulder * (14.0 + 0.08 * ax) + 14.0 * step(0.2, 0.6, t);
        let b = (ay * low + 14.0 + wall) * (1.0 - 0.22 * step(0.75, 1.15, t));
        let front = 2.4 + self.stalk[2] + 16.0 * step(0.66, 0.92, t) + 10.0 * step(0.3, 0.05, t);
        let mid = self.stalk[1] * (1.0 + 0.12 * step(0.5, 0.62, t) - 0.08 * step(0.8, 1.0, t));
        Level {
            t,
            cap: u * u * u * (self.apex + (1.0 - self.apex) * u * u),
            cy,
            half: [ax * low * narrow, ay * (1.0 - 0.1 * step(0.3, 1.0, t))],
            body: [a, b, cy * 0.6 + 4.0],
            stalk: [front, mid, 9.0 + 6.0 * step(0.7, 1.0, t), 3.0 * t],
        }
    }

    fn oval(&self, x: f32, y: f32, half: [f32; 2], square: f32) -> f32 {
        let (u, v) = ((x / half[0]).powi(2), (y / half[1]).powi(2));
        let round = (u + v).sqrt();
        let boxy = (u * u + v * v).sqrt().sqrt();
        round + (boxy - round) * square
    }

    /// All fields on a row of points `[x0 + i * dx, y, z]`, `i` from `first`.
    pub fn row(&self, [x0, dx]: [f32; 2], first: usize, y: f32, z: f32, out: &mut [[f32; FIELDS]]) {
        let level = self.level(z);
        let tiles = Tiles::get();
        for (i, f) in out.iter_mut().enumerate() {
            let raw = [x0 + dx * (first + i) as f32, y, z];
            let q = self.warp.place(raw);
            let w: [f32; 3] = std::array::from_fn(|a| {
                self.warp_mm * tiles.soft([q[a], q[(a + 1) % 3] + 9.0 * a as f32, q[(a + 2) % 3]])
            });
            let p: [f32; 3] = std::array::from_fn(|a| raw[a] + w[a]);
            *f = self.fields(raw, p, &level, tiles);
        }
    }

    fn fields(&self, raw: [f32; 3], p: [f32; 3], l: &Level, tiles: &Tiles) -> [f32; FIELDS] {
        let [x, y, z] = p;
        let mut f = [0.0; FIELDS];
        let rad = self.oval(x, y - l.cy, l.half, self.square);
        let chest = ((rad * rad + l.cap).sqrt() - 1.0) * self.half[1];
        f[CHEST] = chest;
        f[BODY] = self.skin(p, l);
        f[DIAPHRAGM] = self.dome_height(x, y) - z;
        f[HEART] = self.heart.distance(p);
        f[VESSELS] = self.vessels.distance(p, 60.0);
        f[MEDIASTINUM] = self.between(p, l, f[HEART], f[VESSELS]);
        let wobble = tiles.soft(self.detail.place(raw));
        f[MUSCLE] = chest - self.muscle_mm(x, y, l) - 2.5 * wobble;
        f[LIVER] = smooth_max(x - self.liver_edge - 0.35 * (y + 10.0) - 0.3 * z, 5.0 - f[DIAPHRAGM], 12.0);
        f[ORGANS] = self.organs.iter().map(|b| b.distance(p)).fold(60.0, f32::min);
        let side = usize::from(x > 0.0);
        let [z0, slope, bend] = self.major[side];
        let yy = y / self.half[1];
        let plane =
            z0 + slope * 0.62 * self.half[1] * (1.55 * yy - 0.25 * yy * yy * yy) + bend * (x.abs() - 60.0);
        f[MAJOR] = (z - plane + 5.0 * wobble) * 0.72;
        let [m0, mx, my] = self.minor;
        f[MINOR] = z - m0 - mx * (x + 60.0) - my * y + 4.0 * wobble + 0.0015 * (x + 60.0).powi(2);
        let base = self.fluid[side];
        let layer = base * step(-0.5, 0.9, yy) * step(0.75, -0.1, l.t);
        f[FLUID] = if base > 0.0 { -chest - layer } else { 60.0 };
        f
    }

    fn skin(&self, p: [f32; 3], l: &Level) -> f32 {
        let [x, y, _] = p;
        let [a, b, cy] = l.body;
        let rad = self.oval(x, y - cy, [a, b], 0.35);
        let mut f = (rad - 1.0) * b;
        for blob in &self.breasts {
            f = smooth_min(f, blob.distance(p), 26.0);
        }
        // lying on the table flattens the back
        f = smooth_max(f, y - (cy + b * self.back), 22.0);
        for arm in &self.arms {
            f = smooth_min(f, arm.distance(p), 6.0);
        }
        f
    }

    fn dome_height(&self, x: f32, y: f32) -> f32 {
        let mut out = -1000.0;
        for [cx, cy, top, wide, power] in self.dome {
            let deep = if y < cy { 2.0 } else { 1.08 };
            let rho = ((x - cx) / (self.half[0] * 0.62 * wide)).powi(2)
                + ((y - cy) / (self.half[1] * deep * wide)).powi(2);
            let fall = if power < 1.35 { rho } else { rho * (0.45 + 0.55 * rho.min(1.6)) };
            out = smooth_max(out, top - self.recess * fall.min(1.2), 14.0);
        }
        out
    }

    fn between(&self, p: [f32; 3], l: &Level, heart: f32, vessels: f32) -> f32 {
        let [x, y, z] = p;
        let yy = (y - l.cy) / self.half[1];
        let [front, mid, back, shift] = l.stalk;
        let width = front + (mid - front) * step(-0.85, -0.25, yy) - (mid - back) * step(0.1, 0.5, yy);
        let stalk = (x - self.stalk[0] - shift * 0.5).abs() - width;
        // below the heart's middle the stalk narrows to the heart itself
        let stalk = stalk + 14.0 * step(0.35, 0.1, l.t) * step(-0.6, -0.2, yy) * step(0.5, 0.2, yy);
        let behind = y - self.spine_y;
        let spine_half = 18.0 + 0.2 * behind.max(0.0) + 0.012 * behind.max(0.0).powi(2);
        let spine = smooth_max(x.abs() - spine_half, -20.0 - behind, 16.0);
        let wavy = 3.5 * Tiles::get().soft(self.detail.place([x * 0.7, y, z]));
        let mut f = smooth_min(stalk + wavy * ((width - 4.0) / 20.0).clamp(0.0, 1.0), heart - 3.0, 12.0);
        f = smooth_min(f, spine, 14.0);
        f = smooth_min(f, vessels - 2.0, 8.0);
        for h in &self.hila {
            let d: [f32; 3] = std::array::from_fn(|i| p[i] - h[i]);
            f = smooth_min(f, dot(d, d).sqrt() - self.hilum_mm, 10.0);
        }
        f.max(z - self.height * 1.3)
    }

    fn muscle_mm(&self, x: f32, y: f32, l: &Level) -> f32 {
        let yy = y / self.half[1];
        let back = 20.0 * step(0.45, 0.95, yy) * step(75.0, 20.0, x.abs());
        let blade = 12.0 * step(-0.1, 0.4, yy) * step(40.0, 80.0, x.abs()) * step(0.35, 0.75, l.t);
        let pectoral = 12.0 * step(-0.4, -0.85, yy) * step(12.0, 40.0, x.abs()) * step(0.45, 0.7, l.t);
        let top = 34.0 * step(0.7, 0.98, l.t) * step(20.0, 70.0, x.abs());
        5.0 + 0.6 * self.muscle + back + blade + pectoral + top
    }
}

struct GreatVessels {
    ay: f32,
    spine_y: f32,
    arch_z: f32,
    height: f32,
    carina: [f32; 3],
    hila: [[f32; 3]; 2],
    hc: [f32; 3],
}

/// Aorta with its arch and branches, pulmonary trunk and arteries, caval veins.
fn great_vessels(r: &mut Rng, g: &GreatVessels) -> Vec<Tube> {
    let aorta = r.range(11.0, 16.0);
    let mut v = Vec::new();
    let desc = [r.range(16.0, 26.0), g.spine_y - r.range(14.0, 22.0)];
    let asc = [-r.range(6.0, 16.0), -g.ay * r.range(0.28, 0.4)];
    v.push(Tube::new(
        [asc[0] + 14.0, asc[1] + 6.0, g.hc[2] + 14.0],
        [asc[0], asc[1], g.arch_z - 22.0],
        aorta * 1.15,
    ));
    let arch: Vec<[f32; 3]> = (0..=6)
        .map(|i| {
            let t = i as f32 / 6.0;
            let rise = 24.0 * (1.0 - (2.0 * t - 1.0).powi(2));
            [asc[0] + (desc[0] - asc[0]) * t, asc[1] + (desc[1] - asc[1]) * t, g.arch_z - 22.0 + rise]
        })
        .collect();
    v.extend(arch.windows(2).map(|w| Tube::new(w[0], w[1], aorta * 1.02)));
    v.push(Tube::new([desc[0], desc[1], g.arch_z - 22.0], [desc[0] * 0.8, desc[1] + 4.0, 20.0], aorta * 0.9));
    v.push(Tube::new([desc[0] * 0.8, desc[1] + 4.0, 20.0], [4.0, desc[1] + 4.0, -150.0], aorta * 0.85));
    for (i, x) in [-14.0f32, 4.0, 20.0].into_iter().enumerate() {
        let from = arch[1 + i];
        let end = [x * 1.9, from[1] + 4.0, g.height * 1.3];
        v.push(Tube::new(from, end, r.range(4.0, 6.5)));
    }
    // superior and inferior caval veins, brachiocephalic vein
    let svc = [-r.range(24.0, 30.0), asc[1] + 6.0];
    v.push(Tube::new(
        [svc[0], svc[1], g.hc[2] + 20.0],
        [svc[0] + 2.0, svc[1] - 4.0, g.arch_z + 12.0],
        r.range(8.0, 11.0),
    ));
    v.push(Tube::new(
        [svc[0] + 2.0, svc[1] - 4.0, g.arch_z + 12.0],
        [26.0, svc[1] - 16.0, g.arch_z + 26.0],
        6.0,
    ));
    v.push(Tube::new([-20.0, g.hc[1] + 22.0, 14.0], [-20.0, g.hc[1] + 26.0, -150.0], r.range(10.0, 13.0)));
    // pulmonary trunk and arteries, upper and lower pulmonary veins
    let trunk = [r.range(12.0, 20.0), asc[1] + 2.0, g.carina[2] - 14.0];
    v.push(Tube::new([trunk[0] + 4.0, trunk[1] - 12.0, g.hc[2] + 20.0], trunk, r.range(11.0, 14.5)));
    for h in g.hila {
        v.push(Tube::new(trunk, [h[0] * 0.85, h[1] - 6.0, h[2] + 4.0], r.range(8.0, 11.0)));
        let atrium = [h[0] * 0.35, g.carina[1] - 6.0, g.hc[2] + 16.0];
        v.push(Tube::new(atrium, [h[0], h[1] - 10.0, h[2] - 4.0], r.range(5.0, 7.0)));
        v.push(Tube::new(atrium, [h[0], h[1] + 6.0, h[2] - 26.0], r.range(5.0, 7.0)));
    }
    v
}
