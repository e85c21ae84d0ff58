//! Arteries, veins and bronchi: trees grown through the lungs out to the pleura.

use crate::body::Body;
use crate::fields::{Fields, Lobe, lung_distance};
use crate::rng::{Rng, distance};
use crate::tube::Tube;

/// The tubes of the lungs, mm.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    /// Arteries and veins.
    pub vessels: Vec<Tube>,
    /// Outer surfaces of the airways.
    pub walls: Vec<Tube>,
    /// Lumina of the airways.
    pub lumens: Vec<Tube>,
    /// Airway lumina that are filled with mucus.
    pub plugs: Vec<Tube>,
    /// Second images of vessels that moved while they were scanned, drawn at half their density.
    pub ghosts: Vec<Tube>,
}

/// How the trees of a case look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TreeLook {
    /// End points per tree.
    pub tips: usize,
    /// Radius of the last twigs, mm.
    pub tip_mm: f32,
    /// Exponent of Murray's law: the smaller, the wider the vessels near the hilum.
    pub power: f32,
    /// Lumen against artery.
    pub airway: f32,
    /// Share of the lumen's radius that the wall is thick, at least 0.4 mm.
    pub wall: f32,
    /// Probability that a small airway is filled.
    pub mucus: f32,
}

struct Node {
    at: [f32; 3],
    parent: usize,
    path: f32,
    lobe: Lobe,
}

/// Points inside a lung, drawn evenly, at least `margin` mm from its surface.
pub(crate) fn points_inside(
    fields: &Fields,
    rng: &mut Rng,
    right: bool,
    n: usize,
    margin: f32,
) -> Vec<[f32; 3]> {
    let step = Fields::step_mm();
    let cells: Vec<[f32; 3]> = fields
        .points()
        .filter(|(p, v)| (p[0] < 0.0) == right && lung_distance(v) < step * 0.5)
        .map(|(p, _)| p)
        .collect();
    let mut out = Vec::with_capacity(n);
    if cells.is_empty() {
        return out;
    }
    for _ in 0..n * 4 {
        let c = cells[rng.below(cells.len())];
        let p: [f32; 3] = std::array::from_fn(|a| c[a] + rng.range(-0.5, 0.5) * step);
        if lung_distance(&fields.at(p)) < -margin {
            out.push(p);
            if out.len() == n {
                break;
            }
        }
    }
    out
}

impl Trees {
    /// Grows everything.
    pub fn grow(seed: u64, body: &Body, fields: &Fields, look: &TreeLook) -> Self {
        let mut out = Self::default();
        let jobs: Vec<(usize, bool)> = (0..4).map(|i| (i / 2, i % 2 == 0)).collect();
        let grown: Vec<Self> = {
            use rayon::prelude::*;
            jobs.into_par_iter()
                .map(|(side, artery)| {
                    let mut rng = Rng::new(seed, 20 + 2 * side as u64 + u64::from(artery));
                    grow_one(&mut rng, body, fields, look, side, artery)
                })
                .collect()
        };
        for mut g in grown {
            out.vessels.append(&mut g.vessels);
            out.walls.append(&mut g.walls);
            out.lumens.append(&mut g.lumens);
            out.plugs.append(&mut g.plugs);
        }
        central_airways(&mut Rng::new(seed, 24), body, look, &mut out);
        out
    }
}

impl Trees {
    /// Doubles vessels beside the beating heart and above the breathing diaphragm.
    pub fn move_some(&mut self, rng: &mut Rng, fields: &Fields) {
        use crate::body::{DIAPHRAGM, HEART};
        let heart = if rng.chance(0.6) { rng.range(0.8, 3.5) } else { 0.0 };
        let breath = if rng.chance(0.35) { rng.range(1.0, 5.0) } else { 0.0 };
        let (beat, reach) = (rng.direction(), rng.range(8.0, 22.0));
        for t in self.vessels.iter().filter(|t| t.r > 0.45) {
            let v = fields.at(t.p);
            let by_heart = heart * (1.0 - v[HEART].max(0.0) / reach).max(0.0);
            let by_breath = breath * (1.0 + v[DIAPHRAGM].min(0.0) / 30.0).max(0.0);
            if by_heart + by_breath > 0.6 {
                let shift = |p: [f32; 3]| {
                    let z = if p[2] > 0.0 { by_breath } else { -by_breath };
                    [p[0] + beat[0] * by_heart, p[1] + beat[1] * by_heart + 0.5 * by_breath, p[2] + z]
                };
                self.ghosts.push(Tube::new(shift(t.p), shift(t.q), t.r));
            }
        }
    }
}

fn grow_one(
    rng: &mut Rng,
    body: &Body,
    fields: &Fields,
    look: &TreeLook,
    side: usize,
    artery: bool,
) -> Trees {
    let mut root = body.hila[side];
    if !artery {
        root[1] -= 9.0;
        root[2] -= 10.0;
    }
    // the price of a detour: high ones make straight branches
    let reach = rng.range(0.18, 0.5);
    let mut tips = points_inside(fields, rng, side == 0, look.tips, 0.8);
    tips.sort_by(|a, b| distance(*a, root).total_cmp(&distance(*b, root)));
    let mut nodes = vec![Node { at: root, parent: 0, path: 0.0, lobe: Lobe::of(root[0], &fields.at(root)) }];
    for tip in tips {
        let lobe = Lobe::of(tip[0], &fields.at(tip));
        let mut best = (f32::MAX, 0, 0.0);
        for (i, n) in nodes.iter().enumerate() {
            let d = distance(n.at, tip);
            let cost = d + reach * n.path;
            if cost < best.0 && (n.lobe == lobe || n.path < 34.0) {
                best = (cost, i, d);
            }
        }
        let (_, parent, d) = best;
        nodes.push(Node { at: tip, parent, path: nodes[parent].path + d, lobe });
    }
    let radius = radii(&nodes, look.tip_mm * if artery { 1.0 } else { 0.95 }, look.power);
    let mut out = Trees::default();
    let beside = rng.direction();
    for (i, node) in nodes.iter().enumerate().skip(1) {
        let (from, r) = (nodes[node.parent].at, radius[i]);
        let length = distance(from, node.at);
        let bend: [f32; 3] =
            std::array::from_fn(|a| (from[a] + node.at[a]) / 2.0 + rng.normal() * 0.05 * length);
        for (p, q) in [(from, bend), (bend, node.at)] {
            out.vessels.push(Tube::new(p, q, r));
            // bronchi run with the arteries until about two centimetres before the pleura
            if artery && r > look.tip_mm * 2.4 {
                airway(rng, &mut out, look, (p, q), r, beside);
            }
        }
    }
    out
}

/// Murray's law from the tips to the root.
fn radii(nodes: &[Node], tip: f32, power: f32) -> Vec<f32> {
    let power = f64::from(power);
    let own = libm::pow(f64::from(tip), power);
    let mut sum = vec![0.0f64; nodes.len()];
    let mut out = vec![0.0f32; nodes.len()];
    for i in (0..nodes.len()).rev() {
        if sum[i] == 0.0 {
            sum[i] = own;
        }
        out[i] = (libm::pow(sum[i], 1.0 / power) as f32).min(6.5);
        if i > 0 {
            let parent = nodes[i].parent;
            sum[parent] += sum[i];
        }
    }
    out
}

fn airway(
    rng: &mut Rng,
    out: &mut Trees,
    look: &TreeLook,
    line: ([f32; 3], [f32; 3]),
    r: f32,
    beside: [f32; 3],
) {
    let lumen = (r * look.airway).min(4.5);
    let wall = (lumen * look.wall).clamp(0.35, 1.5);
    let off = r + lumen + wall * 0.7;
    let shift = |p: [f32; 3]| std::array::from_fn(|a| p[a] + beside[a] * off);
    let (p, q) = (shift(line.0), shift(line.1));
    out.walls.push(Tube::new(p, q, lumen + wall));
    if lumen < 1.8 && rng.chance(look.mucus) {
        out.plugs.push(Tube::new(p, q, lumen));
    } else {
        out.lumens.push(Tube::new(p, q, lumen));
    }
}

fn central_airways(rng: &mut Rng, body: &Body, look: &TreeLook, out: &mut Trees) {
    let r = rng.range(7.0, 9.5);
    let c = body.carina;
    let top = [c[0] - rng.range(0.0, 4.0), c[1] - rng.range(18.0, 32.0), body.height * 1.25];
    let middle = [c[0] + rng.range(-3.0, 1.0), (c[1] + top[1]) / 2.0 + 5.0, (c[2] + top[2]) / 2.0];
    let mut add = |p: [f32; 3], q: [f32; 3], r: f32| {
        out.walls.push(Tube::new(p, q, r + (0.9 + look.wall).min(1.6)));
        out.lumens.push(Tube::new(p, q, r));
    };
    add(top, middle, r);
    add(middle, c, r);
    for (side, h) in body.hila.into_iter().enumerate() {
        let bronchus = r * if side == 0 { 0.82 } else { 0.7 };
        let end = [h[0] * 0.88, h[1] + 4.0, h[2] + 4.0];
        add(c, end, bronchus);
        let lower = [h[0] * 1.1, h[1] + 12.0, h[2] - 26.0];
        let upper = [h[0] * 1.25, h[1] - 4.0, h[2] + 22.0];
        add(end, lower, bronchus * 0.72);
        add(end, upper, bronchus * 0.62);
    }
}
