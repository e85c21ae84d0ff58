//! What is not infection: scars, calcified granulomas, collapsed lung at the back, nodules and
//! masses; and shams, drawn by the same compositor at no effect. Frequencies are ours.

use crate::lesion::{Label, Lesion, Shape, Target};
use crate::plan::{Site, centre_of, plain};
use crate::rng::Rng;
use crate::tiles::View;
use crate::tube::Tube;

/// Draws the irrelevant findings of a case; `rate` is 1 for an average one.
pub(crate) fn draw(rng: &mut Rng, sites: &[Site], rate: f32, half_depth: f32, second: bool) -> Vec<Lesion> {
    let mut out = Vec::new();
    if sites.is_empty() {
        return out;
    }
    let any = |rng: &mut Rng| sites[rng.below(sites.len())];
    for _ in 0..rng.poisson(0.7 * rate) {
        let s = any(rng);
        let mut l = plain(rng, s.p, 1.0, 1.0, second);
        l.radius = rng.range(1.5, 5.0);
        l.target =
            Target::Reach(if rng.chance(0.45) { rng.range(180.0, 900.0) } else { rng.range(-60.0, 70.0) });
        l.warp_mm = 0.6;
        l.reach = [10.0; 3];
        out.push(l);
    }
    for _ in 0..rng.poisson(0.16 * rate) {
        let site = any(rng);
        out.push(mass(rng, site, second));
    }
    for _ in 0..rng.poisson(0.8 * rate) {
        let site = any(rng);
        out.push(fibrotic_band(rng, site, second));
    }
    if rng.chance(0.4) {
        plates(rng, sites, second, &mut out);
    }
    if rng.chance(0.35) {
        dependent(rng, sites, half_depth, second, &mut out);
    }
    if rng.chance(0.3) {
        apical(rng, sites, second, &mut out);
    }
    for _ in 0..rng.poisson(1.6) {
        let s = any(rng);
        let radius = rng.log_normal(12.0, 0.5).clamp(4.0, 40.0);
        let margin = rng.log_range(1.0, 12.0);
        let mut l = plain(rng, s.p, radius, margin, second);
        l.strength = 0.0;
        out.push(l);
    }
    out
}

/// A lump of soft tissue, lobulated, sharply bounded, sometimes with a hollow or a faint halo.
fn mass(rng: &mut Rng, site: Site, second: bool) -> Lesion {
    let radius = rng.log_range(8.0, 34.0);
    let margin = rng.range(0.8, 2.5);
    let mut l = plain(rng, site.p, radius, margin, second);
    l.target = Target::Reach(rng.range(15.0, 70.0));
    l.warp_mm = radius * rng.range(0.05, 0.2);
    l.reversed = rng.chance(0.15);
    l
}

/// A straight or bent scar: a thin sheet or a few strands, often running to the pleura.
fn fibrotic_band(rng: &mut Rng, site: Site, second: bool) -> Lesion {
    let radius = rng.range(8.0, 30.0);
    let margin = rng.range(0.8, 2.0);
    let mut l = plain(rng, site.p, radius, margin, second);
    l.target = Target::Reach(rng.range(-550.0, 0.0));
    l.warp_mm = rng.range(1.0, 4.0);
    if rng.chance(0.6) {
        let normal = rng.direction();
        l.shape = Shape::Sheet(normal, rng.range(0.4, 1.6));
    } else {
        let tubes = (0..rng.below(4) + 1)
            .map(|_| {
                let d = rng.direction();
                let far = radius * rng.range(0.5, 1.0);
                let end = |s: f32| std::array::from_fn(|a| site.p[a] + s * d[a] * far);
                Tube::new(end(-0.4), end(1.0), rng.range(0.5, 1.5))
            })
            .collect();
        l.shape = Shape::Tubes(tubes);
        l.reach = [radius + 8.0; 3];
    }
    l
}

/// Plates of collapsed lung above the diaphragm and beside the heart: thin, flat, rather level.
fn plates(rng: &mut Rng, sites: &[Site], second: bool, out: &mut Vec<Lesion>) {
    let low: Vec<&Site> = sites.iter().filter(|s| s.p[2] < 25.0 && s.depth < 14.0).collect();
    for _ in 0..rng.below(3) + usize::from(!low.is_empty()) {
        let Some(site) = low.get(rng.below(low.len())) else { return };
        let radius = rng.range(8.0, 26.0);
        let margin = rng.range(0.8, 2.5);
        let mut l = plain(rng, site.p, radius, margin, second);
        l.target = Target::Reach(rng.range(-550.0, -20.0));
        l.warp_mm = rng.range(1.0, 3.5);
        let tilt = rng.direction();
        let normal = [0.6 * tilt[0], 0.6 * tilt[1], 1.0 + 0.3 * tilt[2]];
        let n = crate::rng::dot(normal, normal).sqrt();
        l.shape = Shape::Sheet(normal.map(|c| c / n), rng.range(0.5, 2.2));
        out.push(l);
    }
}

/// Collapsed lung where it lies: a layer along the back of both lungs.
fn dependent(rng: &mut Rng, sites: &[Site], half_depth: f32, second: bool, out: &mut Vec<Lesion>) {
    let deep = rng.range(3.0, 13.0);
    let rise = rng.range(50.0, 260.0);
    let from = half_depth * rng.range(0.25, 0.55);
    let soft = rng.range(2.0, 7.0);
    for right in [true, false] {
        let Some(c) = centre_of(sites, |s| (s.p[0] < 0.0) == right) else { continue };
        let mut l = plain(rng, [c[0], from, c[2]], 30.0, soft, second);
        l.shape = Shape::Dependent(deep);
        l.reach = [c[0].abs(), 200.0, 220.0];
        l.warp = View::between(rng, 14.0, 30.0);
        l.density = (0.8, 0.15);
        l.target = Target::Above(rise);
        out.push(l);
    }
}

/// Caps and strands of scar at the apices.
fn apical(rng: &mut Rng, sites: &[Site], second: bool, out: &mut Vec<Lesion>) {
    for right in [true, false] {
        let side = sites.iter().filter(|s| (s.p[0] < 0.0) == right && s.depth < 8.0);
        let Some(top) = side.max_by(|a, b| a.p[2].total_cmp(&b.p[2])) else { continue };
        if rng.chance(0.3) {
            continue;
        }
        let radius = rng.range(10.0, 24.0);
        let margin = rng.range(0.8, 2.0);
        let mut l = plain(rng, top.p, radius, margin, second);
        l.shape = Shape::Band(rng.range(1.5, 5.0));
        l.target = Target::Reach(rng.range(-150.0, 60.0));
        l.label = Label::Irrelevant;
        out.push(l);
        for _ in 0..rng.below(3) {
            let d = rng.direction();
            let q = std::array::from_fn(|a| top.p[a] + d[a] * 14.0 - if a == 2 { 10.0 } else { 0.0 });
            let mut l = plain(rng, top.p, 16.0, 1.0, second);
            l.shape = Shape::Tubes(vec![Tube::new(top.p, q, rng.range(0.6, 1.3))]);
            l.reach = [34.0; 3];
            l.target = Target::Reach(rng.range(-200.0, 20.0));
            out.push(l);
        }
    }
}
