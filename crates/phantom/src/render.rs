//! From class and seed to a phantom.

use crate::body::Body;
use crate::bones::Painted;
use crate::classes::{self, EFFUSION_NO_INFECTION};
use crate::fields::{Fields, Lobe};
use crate::findings;
use crate::lesion::{Label, Lesion, Target};
use crate::plan::{Planner, sites};
use crate::rng::{Rng, distance, mix};
use crate::scan::{Protocol, Scan};
use crate::slice::{INFECTED, IRRELEVANT, Scene};
use crate::tissue::TissueLook;
use crate::trees::{TreeLook, Trees};
use crate::truth::truth_regions;
use crate::types::{Class, Latents, Phantom};
use pleura_volume::{Mask, Volume};
use std::collections::BTreeMap;

/// The raster of a phantom.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grid {
    /// 512 x 512 pixels whose size is drawn per case; the slices cover the chest.
    Scanner,
    /// Cubes of this edge over the same field of view, the scanner's effects at that resolution.
    Detector {
        /// Edge of a voxel, mm; 1 to 5.
        spacing_mm: f64,
    },
}

/// Which code draws texture and lesions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextureFamily {
    /// The one to train on.
    A,
    /// The one to choose models on, never trained on: other texture, other lesion shapes.
    B,
}

/// How to render.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RenderOptions {
    /// Number of slices of [`Grid::Scanner`], 1 to 1000.
    pub slices: usize,
    /// Raster.
    pub grid: Grid,
    /// Consolidates one or two lobes up to the pleura, whatever the class's own lesions.
    pub lobar_consolidation: bool,
    /// Texture and lesion code.
    pub texture: TextureFamily,
    /// Seed of the body alone, so that several scans show one patient; the case's seed when `None`.
    pub body_seed: Option<u64>,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            slices: 70,
            grid: Grid::Scanner,
            lobar_consolidation: false,
            texture: TextureFamily::A,
            body_seed: None,
        }
    }
}

/// Renders a phantom. The same class, seed and options give the same bytes on every machine and
/// for every number of threads; the class changes lesions and signs that go with them, never the
/// body, so that nothing else tells the classes apart.
pub fn render(class: Class, seed: u64, options: &RenderOptions) -> Phantom {
    let second = options.texture == TextureFamily::B;
    let seed_here = mix(seed ^ if second { 0xB0B } else { 0 });
    // what goes with a class has its own stream, so that the body is drawn alike for all classes
    let case = seed_here ^ mix(class as u64 + 1);
    let body_seed = options.body_seed.map_or(seed_here, mix);
    let look = classes::look(class);
    let mut r = Rng::new(case, 10);
    let effusion = draw_effusion(&mut r, look.map_or(EFFUSION_NO_INFECTION, |l| l.effusion));
    let body = Body::draw(body_seed, effusion);
    let [low, high] = body.z_range();
    let wide = body.half[0] + 150.0;
    let deep = body.half[1] + 130.0;
    let protocol = Protocol::draw(&body, seed_here, options);
    let near = around_lungs(&body, protocol.extent());
    let fields = Fields::sample(&body, [-wide, -deep, low - 40.0], [wide, deep, high + 40.0], near);
    // Bai (recalled): enlarged lymph nodes in 3 % against 10 %
    let nodes = r.chance(if class == Class::InfluenzaA { 0.1 } else { 0.03 });
    let tissue = TissueLook::draw(seed_here, [body.half[1], body.height], nodes, second, body.has_breasts());
    let tree_look = draw_trees(&mut Rng::new(body_seed, 11), &mut r, look);
    let mut trees = Trees::grow(body_seed, &body, &fields, &tree_look);
    let painted = Painted::draw(body_seed, &body, &fields);
    let places = sites(&fields, &mut Rng::new(seed_here, 12), 4000);

    let mut lesions = findings::draw(
        &mut Rng::new(seed_here, 13),
        &places,
        if look.is_some() { 0.8 } else { 1.2 },
        body.half[1],
        second,
    );
    if let Some(look) = look {
        let planner = Planner { look, sites: &places, trees: &trees, second, half_depth: body.half[1] };
        let mut rng = Rng::new(case, 14);
        lesions.extend(planner.draw(&mut rng));
    }
    if options.lobar_consolidation {
        lesions.extend(forced_lobes(case, &places, &trees, body.half[1], second));
    }
    if let Some(look) = look {
        thicken_vessels(&mut Rng::new(case, 15), &mut trees, &lesions, look.thick_vessels);
    }
    trees.move_some(&mut Rng::new(seed_here, 17), &fields);
    let peripheral = peripheral_share(&fields, &lesions);
    let table_y = body.half[1] * 1.05 + body.fat + 32.0;
    let scene = Scene { fields, look: tissue, trees, painted, lesions, table_y };
    let scanned = protocol.scan(&scene);
    finish(class, seed, &scene, scanned, peripheral, effusion)
}

/// The extent of a scan along x and y, grown to hold the lungs wherever the body's warp takes them, mm.
fn around_lungs(body: &Body, scan: [[f32; 2]; 2]) -> [[f32; 2]; 2] {
    std::array::from_fn(|a| {
        let reach = 1.25 * body.half[a] + 20.0;
        // the back's curve moves the lungs by up to 30 mm
        [scan[a][0].min(-reach), scan[a][1].max(reach + 30.0 * a as f32)]
    })
}

fn draw_effusion(r: &mut Rng, probability: f32) -> [f32; 2] {
    if !r.chance(probability) {
        return [0.0; 2];
    }
    let big = r.log_range(5.0, 32.0);
    match r.below(3) {
        0 => [big, 0.0],
        1 => [0.0, big],
        _ => [big, big * r.range(0.3, 1.0)],
    }
}

fn draw_trees(body: &mut Rng, case: &mut Rng, look: Option<&classes::ClassLook>) -> TreeLook {
    let thick = case.chance(look.map_or(0.1, |l| l.thick_walls));
    let mucus = case.chance(look.map_or(0.05, |l| l.mucus));
    TreeLook {
        tips: 1500 + body.below(1500),
        tip_mm: body.range(0.32, 0.47),
        airway: body.range(0.62, 0.95) * if thick && case.chance(0.4) { 1.35 } else { 1.0 },
        wall: body.range(0.16, 0.26) * if thick { 1.8 } else { 1.0 },
        mucus: if mucus { 0.35 } else { 0.02 },
    }
}

fn forced_lobes(
    case: u64,
    places: &[crate::plan::Site],
    trees: &Trees,
    half_depth: f32,
    second: bool,
) -> Vec<Lesion> {
    let Some(look) = classes::look(Class::InfluenzaA) else { return Vec::new() };
    let mut rng = Rng::new(case, 16);
    let planner = Planner { look, sites: places, trees, second, half_depth };
    let first = rng.below(5);
    let count = 1 + rng.below(2);
    (0..count).filter_map(|i| planner.lobar(&mut rng, Lobe::ALL[(first + 2 * i) % 5])).collect()
}

/// Vessels that run through some of the infected lesions are wider there.
fn thicken_vessels(rng: &mut Rng, trees: &mut Trees, lesions: &[Lesion], share: f32) {
    for l in lesions.iter().filter(|l| l.label == Label::Infected && l.radius < 50.0) {
        if !rng.chance(share) {
            continue;
        }
        let wider = rng.range(1.15, 1.6);
        for t in &mut trees.vessels {
            if t.r < 2.2 && distance(t.q, l.center) < l.radius * 1.1 {
                t.r *= wider;
            }
        }
    }
}

/// Share of the infected lesions whose centre lies no deeper than their radius under the pleura.
fn peripheral_share(fields: &Fields, lesions: &[Lesion]) -> f64 {
    let infected: Vec<&Lesion> = lesions.iter().filter(|l| l.label == Label::Infected).collect();
    let touch = infected.iter().filter(|l| -crate::fields::lung_distance(&fields.at(l.center)) < l.radius);
    touch.count() as f64 / infected.len().max(1) as f64
}

fn finish(class: Class, seed: u64, scene: &Scene, s: Scan, peripheral: f64, effusion: [f32; 2]) -> Phantom {
    let geometry = s.hu.geometry.clone();
    let pick = |bits: u8, set: u8| {
        let data = s.labels.iter().map(|&l| u8::from(l & bits == set)).collect();
        let mask: Mask = Volume { geometry: geometry.clone(), data };
        let regions = truth_regions(&mask);
        (mask, regions)
    };
    let ((infection, regions), (_, irrelevant)) =
        rayon::join(|| pick(INFECTED, INFECTED), || pick(INFECTED | IRRELEVANT, IRRELEVANT));
    let mut lungs: Mask = Volume { geometry: geometry.clone(), data: s.labels };
    lungs.data.iter_mut().for_each(|l| *l &= 3);
    let infected: Vec<&Lesion> = scene.lesions.iter().filter(|l| l.label == Label::Infected).collect();
    let contrast = infected.iter().map(|l| match l.target {
        Target::Above(c) => c * l.density.0,
        Target::Reach(t) => t - scene.look.lung,
    });
    let mut other = BTreeMap::new();
    other.insert("lung_hu".into(), f64::from(scene.look.lung));
    other.insert("blood_hu".into(), f64::from(scene.look.blood));
    other.insert("effusion_mm".into(), f64::from(effusion[0].max(effusion[1])));
    other.insert("pixel_mm".into(), geometry.spacing_mm[0]);
    other.insert("findings".into(), (scene.lesions.len() - infected.len()) as f64);
    let latents = Latents {
        lesions: infected.len(),
        peripheral_share: peripheral,
        contrast_hu: f64::from(contrast.sum::<f32>()) / infected.len().max(1) as f64,
        slice_mm: s.slice_mm,
        noise_hu: s.noise_hu,
        other,
    };
    Phantom { volume: s.hu, infection, lungs, class, seed, regions, irrelevant, latents }
}
