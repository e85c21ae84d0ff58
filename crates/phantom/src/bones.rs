//! Ribs, spine, sternum, shoulder girdle, bowel gas, the gullet's air and devices: tubes painted
//! over the soft tissue in order.

use crate::body::{BODY, Body, CHEST};
use crate::fields::Fields;
use crate::rng::Rng;
use crate::tube::Tube;

/// A tube painted with one HU value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    pub tube: Tube,
    pub hu: f32,
    /// Stretch along z: above 1 for ribs, which are taller than thick.
    pub tall: f32,
}

/// The painted things of a case, in the order of painting.
#[derive(Debug, Default)]
pub(crate) struct Painted {
    pub items: Vec<Paint>,
    /// Centres of metal, which throws streaks, mm.
    pub metal: Vec<[f32; 3]>,
}

struct Painter<'a> {
    body: &'a Body,
    fields: &'a Fields,
    out: Painted,
    cortex: f32,
    marrow: f32,
}

impl Painted {
    /// Draws everything for a body.
    pub fn draw(seed: u64, body: &Body, fields: &Fields) -> Self {
        let mut r = Rng::new(seed, 30);
        let (cortex, marrow) = (r.range(380.0, 750.0), r.range(90.0, 260.0));
        let mut p = Painter { body, fields, out: Self::default(), cortex, marrow };
        p.ribs(&mut r);
        p.spine(&mut r);
        p.sternum(&mut r);
        p.shoulders(&mut r);
        p.gas(&mut Rng::new(seed, 31));
        p.devices(&mut Rng::new(seed, 32));
        p.out
    }
}

impl Painter<'_> {
    fn bone(&mut self, line: &[[f32; 3]], r: f32, shell: f32, tall: f32) {
        for (radius, hu) in [(r, self.cortex), (r - shell, self.marrow)] {
            let tubes = line.windows(2).map(|w| Paint { tube: Tube::new(w[0], w[1], radius), hu, tall });
            self.out.items.extend(tubes);
        }
    }

    fn paint(&mut self, p: [f32; 3], q: [f32; 3], r: f32, hu: f32) {
        self.out.items.push(Paint { tube: Tube::new(p, q, r), hu, tall: 1.0 });
    }

    /// The point on a ray from the axis at which field `k` reaches `level` mm.
    fn on_surface(&self, degrees: f32, z: f32, k: usize, level: f32) -> [f32; 3] {
        let a = f64::from(degrees).to_radians();
        let (s, c) = (libm::sin(a) as f32, libm::cos(a) as f32);
        let (mut low, mut high) = (0.0, 260.0);
        for _ in 0..14 {
            let mid = (low + high) / 2.0;
            let v = self.fields.at([s * mid, c * mid, z]);
            if v[k] < level { low = mid } else { high = mid }
        }
        [s * low, c * low, z]
    }

    /// Twelve pairs that start at the spine, turn around the chest and slope down to the front.
    fn ribs(&mut self, r: &mut Rng) {
        let h = self.body.height;
        let gap = h / r.range(8.2, 9.2);
        let slope = r.range(78.0, 115.0);
        let thick = r.range(3.4, 4.4);
        for side in [-1.0f32, 1.0] {
            for i in 0..12 {
                let k = i as f32;
                let z0 = h * 1.02 - gap * k + r.range(-2.0, 2.0);
                let short = ((k - 9.0).max(0.0) * 32.0).min(80.0);
                let last = 156.0 - short;
                let drop = slope * (0.45 + 0.08 * k).min(1.0);
                let mut line = vec![[side * 16.0, self.body.spine_y + 14.0, z0 + 2.0]];
                let n = 15;
                for j in 0..n {
                    let u = j as f32 / (n - 1) as f32;
                    let angle = 24.0 + (last - 24.0) * u;
                    line.push(self.on_surface(side * angle, z0 - drop * u * (0.75 + 0.25 * u), CHEST, 5.5));
                }
                self.bone(&line, thick, 1.5, 1.55);
                if k < 7.0 {
                    // cartilage to the breast bone
                    let from = line[line.len() - 1];
                    let to = self.on_surface(side * 173.0, (from[2] + h * 0.5) / 2.0, CHEST, 6.0);
                    let hu = r.range(70.0, 160.0);
                    self.out.items.push(Paint { tube: Tube::new(from, to, thick), hu, tall: 1.4 });
                }
            }
        }
    }

    fn spine(&mut self, r: &mut Rng) {
        let (y, h) = (self.body.spine_y, self.body.height);
        let size = r.range(14.0, 17.5);
        let gap = h / 9.0;
        for i in -7..12 {
            let z = gap * i as f32;
            let half = gap * 0.5 - 3.5;
            // two tubes side by side make the kidney shape of a vertebral body
            for (radius, hu) in [(size, self.cortex * 0.75), (size - 1.8, self.marrow)] {
                for x in [-4.0, 4.0] {
                    self.paint([x, y, z - half + radius * 0.2], [x, y, z + half - radius * 0.2], radius, hu);
                }
            }
            self.bone(&[[0.0, y + size + 16.0, z], [0.0, y + size + 34.0, z - 16.0]], 4.0, 1.5, 1.4);
            for s in [-1.0f32, 1.0] {
                self.bone(
                    &[
                        [s * 11.0, y + size - 3.0, z],
                        [s * 15.0, y + size + 8.0, z],
                        [0.0, y + size + 18.0, z],
                    ],
                    4.0,
                    1.4,
                    1.3,
                );
                self.bone(
                    &[[s * 14.0, y + size + 6.0, z], [s * 34.0, y + size + 14.0, z + 2.0]],
                    4.0,
                    1.3,
                    1.2,
                );
            }
        }
        self.paint([0.0, y + size + 6.0, -160.0], [0.0, y + size + 6.0, h * 1.4], 7.5, 25.0);
    }

    fn sternum(&mut self, r: &mut Rng) {
        let h = self.body.height;
        let wide = r.range(9.0, 15.0);
        for (radius, hu) in [(6.0, self.cortex * 0.8), (4.6, self.marrow)] {
            for x in [-1.0f32, -0.5, 0.0, 0.5, 1.0] {
                let line: Vec<[f32; 3]> = (0..8)
                    .map(|i| {
                        let z = h * (0.12 + 0.1 * i as f32);
                        let mut p = self.on_surface(180.0, z, CHEST, 8.0);
                        p[0] = x * wide * (0.85 + 0.4 * crate::rng::step(0.6, 0.8, z / h));
                        p
                    })
                    .collect();
                let tubes =
                    line.windows(2).map(|w| Paint { tube: Tube::new(w[0], w[1], radius), hu, tall: 1.0 });
                self.out.items.extend(tubes);
            }
        }
    }

    fn shoulders(&mut self, r: &mut Rng) {
        let h = self.body.height;
        let top = h * r.range(0.98, 1.1);
        for s in [-1.0f32, 1.0] {
            let angle = r.range(52.0, 66.0);
            let points: Vec<[f32; 3]> = (0..7)
                .map(|i| {
                    self.on_surface(s * (angle + i as f32 * 1.5), h * (0.42 + 0.09 * i as f32), CHEST, 20.0)
                })
                .collect();
            // the blade: a sheet of thin tubes between its inner and outer border
            for (i, p) in points.iter().enumerate() {
                let inner = self.on_surface(s * (angle - 24.0 + 2.0 * i as f32), p[2], CHEST, 17.0);
                self.out.items.push(Paint {
                    tube: Tube::new(inner, *p, 1.9),
                    hu: self.cortex * 0.8,
                    tall: 6.0,
                });
            }
            self.bone(&points, 4.5, 1.5, 1.0);
            let socket = self.on_surface(s * 92.0, h * 0.96, BODY, -52.0);
            self.bone(&[points[6], socket], 7.0, 1.6, 1.2);
            self.bone(&[socket, self.body.arms[usize::from(s > 0.0)].q], 11.0, 3.5, 1.0);
            self.bone(
                &[
                    [s * 20.0, -self.body.half[1] * 0.72, top - 8.0],
                    [s * 60.0, -self.body.half[1] * 0.6, top],
                    socket,
                ],
                6.0,
                2.0,
                1.0,
            );
        }
    }

    fn gas(&mut self, r: &mut Rng) {
        let [ax, ay] = self.body.half;
        let bubble = [ax * 0.42 + r.range(-8.0, 8.0), -ay * 0.45, -36.0 + r.range(-10.0, 6.0)];
        if r.chance(0.75) {
            let size = r.range(8.0, 22.0);
            self.paint(bubble, [bubble[0] + 24.0, bubble[1] - 4.0, bubble[2] - 12.0], size, -1000.0);
        }
        for _ in 0..r.poisson(3.0) {
            let p = [r.range(0.25, 0.8) * ax, -ay * r.range(0.3, 0.85), -r.range(50.0, 110.0)];
            let d = r.direction();
            let size = r.range(3.0, 13.0);
            self.paint(p, std::array::from_fn(|a| p[a] + d[a] * 22.0), size + 2.0, 30.0);
            self.paint(p, std::array::from_fn(|a| p[a] + d[a] * 22.0), size, -990.0);
        }
        // the gullet runs before the spine and often holds a little air
        let (y, h) = (self.body.spine_y - 26.0, self.body.height);
        let at = |z: f32| [4.0 + 6.0 * crate::rng::step(0.4, -0.1, z / h), y + 3.0 * (z / h - 0.5), z];
        for i in 0..14 {
            let (a, b) = (h * (1.2 - 0.1 * i as f32), h * (1.1 - 0.1 * i as f32));
            self.paint(at(a), at(b), 7.5, 35.0);
            if r.chance(0.4) {
                let size = r.range(0.8, 4.0);
                self.paint(at(a - 4.0), at(b + 4.0), size, -900.0);
            }
        }
    }

    fn devices(&mut self, r: &mut Rng) {
        let h = self.body.height;
        if r.chance(0.06) {
            // a pacemaker under the left collar bone and its lead to the heart
            let p = self.on_surface(132.0, h * 0.86, BODY, -8.0);
            self.paint([p[0] - 12.0, p[1], p[2]], [p[0] + 12.0, p[1], p[2] - 8.0], 6.0, 3000.0);
            self.out.metal.push(p);
            let lead = [
                p,
                [20.0, -30.0, h * 0.92],
                [-24.0, -22.0, h * 0.75],
                [-24.0, -20.0, h * 0.35],
                [10.0, -30.0, 20.0],
            ];
            for w in lead.windows(2) {
                self.paint(w[0], w[1], 1.1, 1800.0);
            }
        }
        if r.chance(0.12) {
            let line = [[-60.0, -40.0, h], [-26.0, -24.0, h * 0.9], [-24.0, -20.0, h * 0.55]];
            for w in line.windows(2) {
                self.paint(w[0], w[1], 1.0, 600.0);
            }
        }
        if r.chance(0.3) {
            // leads on the skin
            for _ in 0..r.below(4) + 1 {
                let angle = 180.0 + r.range(-70.0, 70.0);
                let z = h * r.range(0.0, 0.8);
                let p = self.on_surface(angle, z, BODY, 1.0);
                let hu = r.range(300.0, 2500.0);
                self.paint(p, [p[0] + 3.0, p[1], p[2]], 2.2, hu);
                let q = self.on_surface(angle + r.range(-30.0, 30.0), z + r.range(-60.0, 60.0), BODY, 4.0);
                self.paint(p, q, 1.0, r.range(200.0, 1500.0));
            }
        }
    }
}
