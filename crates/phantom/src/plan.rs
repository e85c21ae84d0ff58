//! Which lesions a case has, where, and what they look like.

use crate::classes::ClassLook;
use crate::fields::{Fields, Lobe, lung_distance};
use crate::lesion::{Label, Lesion, Shape, Target};
use crate::rng::{Rng, distance, step};
use crate::tiles::View;
use crate::trees::{Trees, points_inside};
use crate::tube::Tube;

/// A place in the lungs where something may sit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    pub p: [f32; 3],
    pub depth: f32,
    pub lobe: Lobe,
}

/// Evenly drawn places in both lungs.
pub(crate) fn sites(fields: &Fields, rng: &mut Rng, n: usize) -> Vec<Site> {
    let mut out = Vec::new();
    for right in [true, false] {
        for p in points_inside(fields, rng, right, n / 2, 0.5) {
            let v = fields.at(p);
            out.push(Site { p, depth: -lung_distance(&v), lobe: Lobe::of(p[0], &v) });
        }
    }
    out
}

/// Draws infected lesions.
pub(crate) struct Planner<'a> {
    pub look: &'a ClassLook,
    pub sites: &'a [Site],
    pub trees: &'a Trees,
    pub second: bool,
    /// Half depth of the chest, mm.
    pub half_depth: f32,
}

/// A lesion with neutral settings, to be shaped by its maker.
pub(crate) fn plain(rng: &mut Rng, center: [f32; 3], radius: f32, margin: f32, second: bool) -> Lesion {
    let stretch: [f32; 3] = std::array::from_fn(|_| rng.range(0.7, 1.5));
    let turn = rng.rotation();
    let frame = std::array::from_fn(|a| turn[a].map(|c| c / stretch[a]));
    let warp_mm = (radius * rng.range(0.12, 0.45)).min(9.0);
    let warp_scale = (radius * rng.range(0.45, 0.9)).clamp(2.0, 18.0);
    let reach = radius * 1.5 + margin + 2.2 * warp_mm + 1.0;
    Lesion {
        center,
        reach: [reach; 3],
        radius,
        frame,
        warp: View::draw(rng, warp_scale),
        warp_mm,
        margin,
        shape: Shape::Blob,
        texture: View::between(rng, 0.6, 1.6),
        density: (1.0, 0.0),
        lobule: 0.0,
        cells: View::between(rng, 1.25, 3.1),
        paving: 0.0,
        reversed: false,
        core: None,
        target: Target::Above(100.0),
        strength: 1.0,
        label: Label::Irrelevant,
        lobe: None,
        second,
    }
}

impl Planner<'_> {
    /// All infected lesions of a case.
    pub fn draw(&self, rng: &mut Rng) -> Vec<Lesion> {
        let mut involved: Vec<Lobe> = Lobe::ALL
            .into_iter()
            .zip(self.look.lobes)
            .filter(|&(_, p)| rng.chance(p))
            .map(|(l, _)| l)
            .collect();
        if involved.is_empty() {
            involved.push(Lobe::ALL[rng.weighted(&self.look.lobes)]);
        }
        let share = (self.look.peripheral + self.look.spread * rng.normal()).clamp(0.05, 0.98);
        let count =
            rng.log_normal(self.look.lesions.0, self.look.lesions.1).round().clamp(1.0, 26.0) as usize;
        // every involved lobe holds at least one
        let count = count.max(involved.len());
        // severity of the case: how dense its lesions are
        let density = rng.range(-0.6, 0.6);
        let mut out: Vec<Lesion> = Vec::new();
        for i in 0..count {
            let lobe = if i < involved.len() { involved[i] } else { involved[rng.below(involved.len())] };
            let peripheral = rng.chance(share);
            let anchor = out.first().map(|l| l.center);
            let Some(site) = self.place(rng, lobe, peripheral, anchor) else { continue };
            out.push(self.infected(rng, site, peripheral, density));
        }
        if rng.chance(self.look.diffuse) {
            self.diffuse(rng, &mut out);
        }
        if rng.chance(self.look.lobar) {
            let lobe = involved[rng.below(involved.len())];
            if let Some(l) = self.lobar(rng, lobe) {
                out.push(l);
            }
        }
        out
    }

    /// Where a lesion sits: in its lobe, at the pleura or in the core, rather at the back.
    fn place(&self, rng: &mut Rng, lobe: Lobe, peripheral: bool, anchor: Option<[f32; 3]>) -> Option<Site> {
        let weights: Vec<f32> = self
            .sites
            .iter()
            .map(|s| {
                if s.lobe != lobe {
                    return 0.0;
                }
                let depth =
                    if peripheral { step(14.0, 3.0, s.depth) } else { step(9.0, 24.0, s.depth) + 0.02 };
                let back = 1.0 - self.look.posterior
                    + self.look.posterior * (1.0 + s.p[1] / self.half_depth).max(0.05);
                let near = match anchor {
                    Some(a) if (a[0] > 0.0) == (s.p[0] > 0.0) => {
                        1.0 - self.look.cluster + self.look.cluster * 4.0 * step(70.0, 20.0, distance(a, s.p))
                    }
                    _ => 1.0,
                };
                depth * back * near
            })
            .collect();
        if weights.iter().sum::<f32>() <= 0.0 {
            return None;
        }
        Some(self.sites[rng.weighted(&weights)])
    }

    fn infected(&self, rng: &mut Rng, site: Site, peripheral: bool, density: f32) -> Lesion {
        let look = self.look;
        let radius = rng.log_normal(look.radius.0, look.radius.1).clamp(3.0, 48.0);
        let margin = rng.log_range(look.margin.0, look.margin.1).min(radius * 1.2);
        let mut l = plain(rng, site.p, radius, margin, self.second);
        l.label = Label::Infected;
        if rng.chance(0.5) {
            l.lobe = Some(site.lobe);
        }
        self.shape(rng, &mut l, peripheral);
        let mut kinds = look.kinds;
        kinds[0] *= 1.0 - 0.5 * density;
        kinds[2] *= 1.0 + density;
        let kind = rng.weighted(&kinds);
        self.fill(rng, &mut l, kind);
        l
    }

    fn shape(&self, rng: &mut Rng, l: &mut Lesion, peripheral: bool) {
        let look = self.look;
        if peripheral && rng.chance(look.band) {
            l.shape = Shape::Band(rng.range(5.0, 18.0));
            l.radius *= 1.5;
            l.reach = l.reach.map(|r| r * 1.5);
        } else if peripheral && rng.chance(0.45) {
            // most lesions at the pleura are wider than deep
            l.shape = Shape::Band(l.radius * rng.range(0.7, 1.5));
            l.radius *= 1.15;
            l.reach = l.reach.map(|r| r * 1.15);
        } else if !peripheral && rng.chance(look.cuff) {
            let cuff = rng.range(1.5, 5.0);
            let reach = l.radius * 1.6 + 8.0;
            let near: Vec<Tube> = self
                .trees
                .walls
                .iter()
                .filter(|t| distance(t.p, l.center) < reach && t.r < 4.5)
                .take(40)
                .copied()
                .collect();
            if near.len() > 2 {
                l.shape = Shape::Tubes(near.into_iter().map(|t| Tube { r: t.r + cuff, ..t }).collect());
                l.warp_mm = l.warp_mm.min(3.0);
                l.margin = l.margin.min(5.0);
                l.reach = [reach + 16.0; 3];
            }
        } else if !peripheral && rng.chance(look.buds) {
            l.shape = Shape::Tubes(buds(rng, l.center, l.radius.max(9.0)));
            l.margin = rng.range(1.0, 2.0);
            l.warp_mm = 0.5;
            l.reach = [l.radius.max(9.0) * 1.7 + 6.0; 3];
        } else if self.second {
            let balls = (0..rng.below(9) + 4)
                .map(|_| {
                    let d = rng.direction();
                    let far = l.radius * rng.range(0.0, 0.85);
                    (std::array::from_fn(|a| l.center[a] + d[a] * far), l.radius * rng.range(0.25, 0.65))
                })
                .collect();
            l.shape = Shape::Cloud(balls);
            l.warp_mm *= 0.4;
            l.reach = [l.radius * 2.0 + l.margin; 3];
        }
    }

    fn fill(&self, rng: &mut Rng, l: &mut Lesion, kind: usize) {
        let look = self.look;
        let patchy = rng.chance(0.75);
        l.density =
            if patchy { (rng.range(0.4, 0.8), rng.range(0.15, 0.45)) } else { (0.95, rng.range(0.02, 0.1)) };
        if rng.chance(0.4) {
            l.lobule = rng.range(0.2, 0.8);
        }
        match kind {
            0 => {
                l.target = Target::Above(rng.log_range(60.0, 420.0));
                if rng.chance(look.paving * 1.4) {
                    l.paving = rng.range(60.0, 220.0);
                }
            }
            1 => {
                l.target = Target::Above(rng.log_range(120.0, 450.0));
                l.core = Some((rng.range(0.25, 0.65), rng.range(-250.0, 50.0)));
                if rng.chance(look.paving) {
                    l.paving = rng.range(60.0, 200.0);
                }
            }
            _ => {
                l.target = Target::Reach(rng.range(-120.0, 60.0));
                l.density = (rng.range(0.85, 1.0), rng.range(0.0, 0.12));
                l.lobule *= 0.4;
                l.margin = l.margin.min(6.0);
            }
        }
        if kind != 2 && matches!(l.shape, Shape::Blob) {
            l.reversed = rng.chance(look.reversed_halo);
        }
    }

    /// Large confluent ground-glass on one side or both.
    fn diffuse(&self, rng: &mut Rng, out: &mut Vec<Lesion>) {
        let both = rng.chance(0.7);
        let first = if rng.chance(0.5) { -1.0 } else { 1.0 };
        for side in [first, -first].into_iter().take(if both { 2 } else { 1 }) {
            let Some(c) = centre_of(self.sites, |s| (s.p[0] > 0.0) == (side > 0.0)) else { continue };
            let mut l = plain(rng, c, 60.0, 6.0, self.second);
            l.reach = [90.0, 140.0, 190.0];
            l.reach[0] = l.reach[0].min(c[0].abs() + 0.0);
            l.shape = Shape::Diffuse(rng.range(-0.3, 0.6));
            l.warp = View::between(rng, 18.0, 42.0);
            l.label = Label::Infected;
            self.fill(rng, &mut l, 0);
            l.target = Target::Above(rng.range(110.0, 380.0));
            out.push(l);
        }
    }

    /// A lobe consolidated up to the pleura.
    pub fn lobar(&self, rng: &mut Rng, lobe: Lobe) -> Option<Lesion> {
        let c = centre_of(self.sites, |s| s.lobe == lobe)?;
        let margin = rng.range(1.0, 4.0);
        let mut l = plain(rng, c, 50.0, margin, self.second);
        l.reach = [130.0, 160.0, 220.0];
        l.shape = Shape::Lobe(lobe);
        l.label = Label::Infected;
        l.target = Target::Reach(rng.range(-40.0, 60.0));
        l.density = (rng.range(0.92, 1.0), rng.range(0.0, 0.06));
        Some(l)
    }
}

/// Mean of the places that hold, `None` without one.
pub(crate) fn centre_of(sites: &[Site], holds: impl Fn(&Site) -> bool) -> Option<[f32; 3]> {
    let chosen: Vec<&Site> = sites.iter().filter(|s| holds(s)).collect();
    if chosen.is_empty() {
        return None;
    }
    Some(std::array::from_fn(|a| chosen.iter().map(|s| s.p[a]).sum::<f32>() / chosen.len() as f32))
}

/// Tree-in-bud: a twig with forks and a bud at every end.
fn buds(rng: &mut Rng, center: [f32; 3], radius: f32) -> Vec<Tube> {
    let mut out = Vec::new();
    let mut ends = vec![(center, rng.direction(), radius * 0.5)];
    for _ in 0..4 {
        let mut next = Vec::new();
        for (p, d, length) in ends {
            for _ in 0..2 {
                let e = rng.direction();
                let v: [f32; 3] = std::array::from_fn(|a| d[a] + 0.8 * e[a]);
                let n = crate::rng::dot(v, v).sqrt().max(0.1);
                let v = v.map(|c| c / n);
                let q: [f32; 3] = std::array::from_fn(|a| p[a] + v[a] * length);
                out.push(Tube::new(p, q, rng.range(0.5, 0.9)));
                if rng.chance(0.75) {
                    out.push(Tube::new(q, q, rng.range(1.0, 2.2)));
                }
                next.push((q, v, length * 0.75));
            }
        }
        ends = next;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;
    use crate::classes;
    use crate::trees::TreeLook;
    use crate::types::Class;

    struct Counted {
        both: f32,
        peripheral: f32,
        lesions: f32,
        lower: f32,
        lobes: [f32; 5],
    }

    /// Plans of 300 cases of a class in one body.
    fn count(class: Class) -> Counted {
        let body = Body::draw(1, [0.0; 2]);
        let fields = Fields::sample(
            &body,
            [-200.0, -150.0, -130.0],
            [200.0, 150.0, 260.0],
            [[-200.0, 200.0], [-150.0, 150.0]],
        );
        let look = TreeLook { tips: 60, tip_mm: 0.4, airway: 0.8, wall: 0.2, mucus: 0.0 };
        let trees = Trees::grow(1, &body, &fields, &look);
        let places = sites(&fields, &mut Rng::new(1, 12), 1500);
        let look = classes::look(class).unwrap();
        let planner =
            Planner { look, sites: &places, trees: &trees, second: false, half_depth: body.half[1] };
        let mut out = Counted { both: 0.0, peripheral: 0.0, lesions: 0.0, lower: 0.0, lobes: [0.0; 5] };
        let n = 300.0;
        for seed in 0..300 {
            let lesions = planner.draw(&mut Rng::new(seed, 14));
            let small: Vec<&Lesion> = lesions.iter().filter(|l| l.radius < 49.0).collect();
            let lobe = |l: &Lesion| Lobe::of(l.center[0], &fields.at(l.center));
            for (k, share) in out.lobes.iter_mut().enumerate() {
                *share += f32::from(u8::from(small.iter().any(|l| lobe(l) == Lobe::ALL[k]))) / n;
            }
            let sides = [-1.0, 1.0].map(|s| small.iter().any(|l| l.center[0] * s > 0.0));
            out.both += f32::from(u8::from(sides[0] && sides[1])) / n;
            let touch = small.iter().filter(|l| -lung_distance(&fields.at(l.center)) < 14.0).count();
            out.peripheral += touch as f32 / small.len() as f32 / n;
            let low = small.iter().filter(|l| matches!(lobe(l), Lobe::LeftLower | Lobe::RightLower)).count();
            out.lower += low as f32 / small.len() as f32 / n;
            out.lesions += small.len() as f32 / n;
        }
        out
    }

    #[test]
    fn lesions_fall_where_the_tables_say() {
        let (c, f) = (count(Class::Covid19), count(Class::InfluenzaA));
        for (got, want) in c.lobes.iter().zip([0.77, 0.72, 0.85, 0.49, 0.55]) {
            assert!((got - want).abs() < 0.08, "{:?}", c.lobes);
        }
        // labels: both lungs in 77 %; independent lobes give more
        assert!((0.7..0.98).contains(&c.both), "{}", c.both);
        assert!((0.55..0.95).contains(&f.both), "{}", f.both);
        // location is the strongest sign, yet the classes overlap
        assert!(c.peripheral - f.peripheral > 0.15, "{} {}", c.peripheral, f.peripheral);
        assert!(c.peripheral < 0.93 && f.peripheral > 0.3, "{} {}", c.peripheral, f.peripheral);
        assert!(f.lower > c.lower, "{} {}", f.lower, c.lower);
        assert!((c.lesions - f.lesions).abs() < 2.0 && c.lesions > 5.0, "{} {}", c.lesions, f.lesions);
    }
}
