//! From class and seed to a phantom.

use crate::body::Body;
use crate::bones::Painted;
use crate::classes;
use crate::fields::{Fields, Lobe, lung_distance};
use crate::findings;
use crate::lesion::{Label, Lesion, Target};
use crate::plan::{Planner, sites};
use crate::rng::{Rng, distance, mix};
use crate::scan::{Protocol, Scan};
use crate::slice::{INFECTED, IRRELEVANT, Scene};
use crate::tissue::TissueLook;
use crate::trees::{TreeLook, Trees};
use crate::truth::truth_regions;
use crate::types::{CaseLatents, Class, Latents, LesionLatents, Phantom};
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
    /// Leaves out what belongs to the class: its lesions and the signs that go with them.
    pub bare: bool,
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
            bare: false,
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
    // how many findings are irrelevant depends on the class even where that is left out
    let sham = if classes::look(class).is_some() { 0.8 } else { 1.2 };
    let look = classes::look(class).filter(|_| !options.bare);
    let mut r = Rng::new(case, 10);
    let effusion = draw_effusion(&mut r, look.map_or(classes::EFFUSION_NO_INFECTION, |l| l.effusion));
    let body = Body::draw(body_seed, effusion);
    let [low, high] = body.z_range();
    let wide = body.half[0] + 150.0;
    let deep = body.half[1] + 130.0;
    let protocol = Protocol::draw(&body, seed_here, options);
    let near = around_lungs(&body, protocol.extent());
    let fields = Fields::sample(&body, [-wide, -deep, low - 40.0], [wide, deep, high + 40.0], near);
    let nodes = r.chance(look.map_or(classes::NODES_NO_INFECTION, |l| l.nodes));
    let thick_walls = r.chance(look.map_or(classes::THICK_WALLS_NO_INFECTION, |l| l.thick_walls));
    let mucus = r.chance(look.map_or(classes::MUCUS_NO_INFECTION, |l| l.mucus));
    let tissue = TissueLook::draw(seed_here, [body.half[1], body.height], nodes, second, body.has_breasts());
    let tree_look = draw_trees(&mut Rng::new(body_seed, 11), &mut r, [thick_walls, mucus]);
    let mut trees = Trees::grow(body_seed, &body, &fields, &tree_look);
    let painted = Painted::draw(body_seed, &body, &fields);
    let places = sites(&fields, &mut Rng::new(seed_here, 12), 4000);

    let mut lesions = findings::draw(&mut Rng::new(seed_here, 13), &places, sham, body.half[1], second);
    let mut drawn = CaseLatents::default();
    if let Some(look) = look {
        let planner = Planner { look, sites: &places, trees: &trees, second, half_depth: body.half[1] };
        let (infected, case) = planner.draw(&mut Rng::new(case, 14));
        lesions.extend(infected);
        drawn = case;
    }
    let drawn = CaseLatents {
        effusion_mm: f64::from(effusion[0].max(effusion[1])),
        thick_walls,
        mucus,
        nodes,
        ..drawn
    };
    if options.lobar_consolidation {
        lesions.extend(forced_lobes(case, &places, &trees, body.half[1], second));
    }
    thicken_vessels(&mut Rng::new(case, 15), &mut trees, &lesions);
    trees.move_some(&mut Rng::new(seed_here, 17), &fields);
    let table_y = body.half[1] * 1.05 + body.fat + 32.0;
    let scene = Scene { fields, look: tissue, trees, painted, lesions, table_y };
    let scanned = protocol.scan(&scene);
    finish(class, seed, &scene, scanned, drawn)
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

fn draw_trees(body: &mut Rng, case: &mut Rng, [thick, mucus]: [bool; 2]) -> TreeLook {
    TreeLook {
        tips: 1800 + body.below(1600),
        tip_mm: body.range(0.36, 0.52),
        power: body.range(2.0, 2.4),
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
fn thicken_vessels(rng: &mut Rng, trees: &mut Trees, lesions: &[Lesion]) {
    for l in lesions.iter().filter(|l| l.facts.thick_vessels) {
        let wider = rng.range(1.15, 1.6);
        for t in &mut trees.vessels {
            if t.r < 2.2 && distance(t.q, l.center) < l.radius * 1.1 {
                t.r *= wider;
            }
        }
    }
}

/// What is told of each infected lesion; `offset` leads from the scene's coordinates to the file's.
fn tell_each(scene: &Scene, offset: [f64; 3]) -> Vec<LesionLatents> {
    let infected = scene.lesions.iter().filter(|l| l.label == Label::Infected);
    infected
        .map(|l| {
            let v = scene.fields.at(l.center);
            LesionLatents {
                center_mm: std::array::from_fn(|a| f64::from(l.center[a]) + offset[a]),
                depth_mm: f64::from(-lung_distance(&v)),
                lobe: Lobe::of(l.center[0], &v),
                kind: l.facts.kind,
                form: l.facts.form,
                peripheral: l.facts.peripheral,
                radius_mm: f64::from(l.radius),
                margin_mm: f64::from(l.margin),
                contrast_hu: f64::from(match l.target {
                    Target::Above(c) => c * l.density.0,
                    Target::Reach(t) => t - scene.look.lung,
                }),
                paving: l.paving > 0.0,
                reversed_halo: l.reversed,
                thick_vessels: l.facts.thick_vessels,
            }
        })
        .collect()
}

fn finish(class: Class, seed: u64, scene: &Scene, s: Scan, case: CaseLatents) -> Phantom {
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
    let each = tell_each(scene, s.offset);
    let share = |n: f64| n / each.len().max(1) as f64;
    let mut other = BTreeMap::new();
    other.insert("lung_hu".into(), f64::from(scene.look.lung));
    other.insert("blood_hu".into(), f64::from(scene.look.blood));
    other.insert("effusion_mm".into(), case.effusion_mm);
    other.insert("pixel_mm".into(), geometry.spacing_mm[0]);
    other.insert("findings".into(), (scene.lesions.len() - each.len()) as f64);
    let latents = Latents {
        lesions: each.len(),
        // those whose centre lies no deeper than their radius
        peripheral_share: share(each.iter().filter(|l| l.depth_mm < l.radius_mm).count() as f64),
        contrast_hu: share(each.iter().map(|l| l.contrast_hu).sum()),
        slice_mm: s.slice_mm,
        noise_hu: s.noise_hu,
        case,
        each,
        other,
    };
    Phantom { volume: s.hu, infection, lungs, class, seed, regions, irrelevant, latents }
}
