//! Which lesions a case has, where, and what they look like.

use crate::body::CHEST;
use crate::classes::{ClassLook, Trait};
use crate::fields::{Fields, Lobe, lung_distance};
use crate::lesion::{Facts, Label, Lesion, Shape, Target};
use crate::rng::{Rng, distance, step};
use crate::tiles::View;
use crate::trees::{Trees, points_inside};
use crate::tube::Tube;
use crate::types::{CaseLatents, LesionForm, LesionKind};

/// A place in the lungs where something may sit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    pub p: [f32; 3],
    pub depth: f32,
    /// Depth below the rib cage alone, mm.
    pub costal: f32,
    pub lobe: Lobe,
}

/// Evenly drawn places in both lungs.
pub(crate) fn sites(fields: &Fields, rng: &mut Rng, n: usize) -> Vec<Site> {
    let mut out = Vec::new();
    for right in [true, false] {
        for p in points_inside(fields, rng, right, n / 2, 0.5) {
            let v = fields.at(p);
            out.push(Site { p, depth: -lung_distance(&v), costal: -v[CHEST], lobe: Lobe::of(p[0], &v) });
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
        facts: Facts::PLAIN,
    }
}

/// Whether a lesion shows a sign, given whether its case has it.
fn shows(rng: &mut Rng, sign: Trait, case: bool) -> bool {
    rng.chance(if case { sign.lesion } else { sign.stray })
}

impl Planner<'_> {
    /// All infected lesions of a case, and what was drawn for it as a whole.
    pub fn draw(&self, rng: &mut Rng) -> (Vec<Lesion>, CaseLatents) {
        let case = self.case(rng);
        let mut out: Vec<Lesion> = Vec::new();
        for i in 0..case.count {
            let lobe = if i < case.lobes.len() { i } else { rng.below(case.lobes.len()) };
            let peripheral = rng.chance(case.peripheral_share as f32);
            let anchor = out.first().map(|l| l.center);
            let Some(site) = self.place(rng, case.lobes[lobe], peripheral, anchor) else { continue };
            out.push(self.infected(rng, site, peripheral, &case));
        }
        if case.diffuse {
            self.diffuse(rng, &mut out);
        }
        if case.lobar {
            let lobe = case.lobes[rng.below(case.lobes.len())];
            out.extend(self.lobar(rng, lobe));
        }
        (out, case)
    }

    fn case(&self, rng: &mut Rng) -> CaseLatents {
        let look = self.look;
        let involved = Lobe::ALL.into_iter().zip(look.lobes).filter(|&(_, p)| rng.chance(p));
        let mut lobes: Vec<Lobe> = involved.map(|(l, _)| l).collect();
        if lobes.is_empty() {
            lobes.push(Lobe::ALL[rng.weighted(&look.lobes)]);
        }
        let share = (look.peripheral + look.spread * rng.normal()).clamp(0.03, 0.98);
        let count = rng.log_normal(look.lesions.0, look.lesions.1).round().clamp(1.0, 26.0) as usize;
        CaseLatents {
            peripheral_share: f64::from(share),
            // every involved lobe holds at least one
            count: count.max(lobes.len()),
            lobes,
            size: f64::from(rng.log_normal(1.0, look.size)),
            density: f64::from(rng.range(-0.6, 0.6)),
            paving: rng.chance(look.paving.case),
            bands: rng.chance(look.band.case),
            cuffs: rng.chance(look.cuff.case),
            buds: rng.chance(look.buds.case),
            thick_vessels: rng.chance(look.vessels.case),
            diffuse: rng.chance(look.diffuse),
            lobar: rng.chance(look.lobar),
            ..CaseLatents::default()
        }
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
                // at the pleura means the ribs or the diaphragm rather than the mediastinum
                let depth = if peripheral {
                    step(14.0, 3.0, s.depth) * (0.25 + 0.75 * step(24.0, 8.0, s.costal))
                } else {
                    step(9.0, 24.0, s.depth) + 0.02
                };
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

    fn infected(&self, rng: &mut Rng, site: Site, peripheral: bool, case: &CaseLatents) -> Lesion {
        let look = self.look;
        let median = look.radius.0 * case.size as f32;
        let radius = rng.log_normal(median, look.radius.1).clamp(3.0, 46.0);
        let margin = rng.log_range(look.margin.0, look.margin.1).min(radius * 1.2);
        let mut l = plain(rng, site.p, radius, margin, self.second);
        l.label = Label::Infected;
        if rng.chance(0.5) {
            l.lobe = Some(site.lobe);
        }
        l.facts.peripheral = peripheral;
        l.facts.form = self.form(rng, peripheral, case);
        self.shape(rng, &mut l);
        let density = case.density as f32;
        let kinds = [look.kinds[0] * (1.0 - 0.5 * density), look.kinds[1], look.kinds[2] * (1.0 + density)];
        l.facts.kind =
            [LesionKind::GroundGlass, LesionKind::Mixed, LesionKind::Consolidation][rng.weighted(&kinds)];
        let paving = shows(rng, look.paving, case.paving);
        self.fill(rng, &mut l, paving);
        l.facts.thick_vessels = shows(rng, look.vessels, case.thick_vessels);
        l
    }

    fn form(&self, rng: &mut Rng, peripheral: bool, case: &CaseLatents) -> LesionForm {
        let look = self.look;
        if peripheral {
            if shows(rng, look.band, case.bands) {
                LesionForm::Band
            } else if rng.chance(0.55) {
                // most lesions at the pleura are wider than deep
                LesionForm::Plaque
            } else {
                LesionForm::Rounded
            }
        } else if shows(rng, look.cuff, case.cuffs) {
            LesionForm::Cuff
        } else if shows(rng, look.buds, case.buds) {
            LesionForm::Buds
        } else {
            LesionForm::Rounded
        }
    }

    fn shape(&self, rng: &mut Rng, l: &mut Lesion) {
        let wider = |l: &mut Lesion, by: f32| {
            l.radius *= by;
            l.reach = l.reach.map(|r| r * by);
        };
        match l.facts.form {
            LesionForm::Band => {
                l.shape = Shape::Band(rng.range(2.5, 9.0));
                l.margin = l.margin.min(5.0);
                wider(l, 1.6);
            }
            LesionForm::Plaque => {
                let deep = (l.radius * rng.range(0.5, 1.2)).clamp(4.0, 30.0);
                l.shape = Shape::Band(deep);
                // most fade inwards over much of their depth
                l.margin = l.margin.max(rng.range(0.1, 0.9) * deep);
                let by = rng.range(1.1, 2.1);
                wider(l, by);
            }
            LesionForm::Cuff => self.cuff(rng, l),
            LesionForm::Buds => {
                l.shape = Shape::Tubes(buds(rng, l.center, l.radius.max(9.0)));
                l.margin = rng.range(1.0, 2.0);
                l.warp_mm = 0.5;
                l.reach = [l.radius.max(9.0) * 1.7 + 6.0; 3];
            }
            _ if self.second => self.cloud(rng, l),
            _ => {}
        }
    }

    /// Follows the airways about the lesion's centre; stays as it is where there are none.
    fn cuff(&self, rng: &mut Rng, l: &mut Lesion) {
        let cuff = rng.range(1.5, 6.0);
        let reach = l.radius * 1.6 + 8.0;
        let near = self.trees.walls.iter().filter(|t| {
            let mid: [f32; 3] = std::array::from_fn(|a| (t.p[a] + t.q[a]) / 2.0);
            distance(mid, l.center) < reach && t.r < 4.0
        });
        let tubes: Vec<Tube> = near.take(40).map(|t| Tube::new(t.p, t.q, t.r + cuff)).collect();
        if !tubes.is_empty() {
            l.shape = Shape::Tubes(tubes);
            l.reach = [reach + 12.0; 3];
            l.margin = l.margin.min(5.0);
        } else {
            l.facts.form = LesionForm::Rounded;
        }
    }

    /// The second family's patch: balls that melt together.
    fn cloud(&self, rng: &mut Rng, l: &mut Lesion) {
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

    fn fill(&self, rng: &mut Rng, l: &mut Lesion, paving: bool) {
        let patchy = rng.chance(0.75);
        l.density =
            if patchy { (rng.range(0.4, 0.8), rng.range(0.15, 0.45)) } else { (0.95, rng.range(0.02, 0.1)) };
        if rng.chance(0.4) {
            l.lobule = rng.range(0.2, 0.8);
        }
        if paving && l.facts.kind != LesionKind::Consolidation {
            l.paving = rng.range(60.0, 220.0);
        }
        match l.facts.kind {
            LesionKind::GroundGlass => l.target = Target::Above(rng.log_range(95.0, 450.0)),
            LesionKind::Mixed => {
                l.target = Target::Above(rng.log_range(120.0, 450.0));
                l.core = Some((rng.range(0.25, 0.65), rng.range(-250.0, 50.0)));
            }
            LesionKind::Consolidation => {
                l.target = Target::Reach(rng.range(-120.0, 60.0));
                l.density = (rng.range(0.85, 1.0), rng.range(0.0, 0.12));
                l.lobule *= 0.4;
                l.margin = l.margin.min(6.0);
            }
        }
        if l.facts.kind != LesionKind::Consolidation && matches!(l.shape, Shape::Blob) {
            l.reversed = rng.chance(self.look.reversed_halo);
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
            l.facts.form = LesionForm::Diffuse;
            self.fill(rng, &mut l, false);
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
        l.facts = Facts { kind: LesionKind::Consolidation, form: LesionForm::Lobe, ..Facts::PLAIN };
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
        let look = TreeLook { tips: 60, tip_mm: 0.4, power: 2.5, airway: 0.8, wall: 0.2, mucus: 0.0 };
        let trees = Trees::grow(1, &body, &fields, &look);
        let places = sites(&fields, &mut Rng::new(1, 12), 1500);
        let look = classes::look(class).unwrap();
        let planner =
            Planner { look, sites: &places, trees: &trees, second: false, half_depth: body.half[1] };
        let mut out = Counted { both: 0.0, peripheral: 0.0, lesions: 0.0, lower: 0.0, lobes: [0.0; 5] };
        let n = 300.0;
        for seed in 0..300 {
            let (lesions, _) = planner.draw(&mut Rng::new(seed, 14));
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
