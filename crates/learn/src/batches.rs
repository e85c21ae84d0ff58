//! Training crops of the detector: where they are cut, and what the network should say of them.

use crate::augment::AugmentConfig;
use crate::losses::{IGNORED, Positive};
use crate::pool::{INFECTED, LUNG, SEEN, Scan};
use crate::rng::Rng;
use crate::truth::LEAST_ML;
use crate::{Error, Result};
use pleura_nets::boxes::{AnchorMatch, anchor_boxes, encode, match_anchors};
use pleura_nets::{AnchorSpec, InputRecipe};
use pleura_volume::{Box3, Geometry, Mask, Volume};

/// A region of which less than this lies in the lungs found cannot be seen.
const LEAST_VISIBLE: f64 = 0.3;
/// A region of which at least this share lies in the crop counts as the box that is left of it.
const LEAST_IN_CROP: f64 = 0.5;

/// Infected voxels of smaller regions than this, ml, weigh more: by the root of how much smaller they are, but at most
/// [`MOST_WEIGHT`] (ours).
const EVEN_ML: f64 = 5.0;
const MOST_WEIGHT: f64 = 4.0;

/// What every crop of a training has in common.
#[derive(Debug, Clone)]
pub(crate) struct CropRecipe {
    /// Edge in voxels, a multiple of the network's total stride.
    pub edge: usize,
    pub spacing_mm: f64,
    pub input: InputRecipe,
    pub anchors: AnchorSpec,
    pub positive_iou: f64,
    pub negative_iou: f64,
    pub augment: AugmentConfig,
}

/// What a crop is centred on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Centre {
    Lesion,
    Bright,
    Anywhere,
}

impl Centre {
    /// Half of a batch on lesions, then in turn bright structures and any lung.
    pub fn of_slot(slot: usize) -> Self {
        [Self::Lesion, Self::Bright, Self::Lesion, Self::Anywhere][slot % 4]
    }
}

/// One crop and its targets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Crop {
    /// Input channel `[z, y, x]`.
    pub input: Vec<f32>,
    /// 1 where infected.
    pub infected: Vec<u8>,
    /// How much the voxel head is judged there: in the lungs, where infection was traced, else not.
    pub weights: Vec<f32>,
    /// 1, 0 or [`IGNORED`] for each anchor.
    pub labels: Vec<i8>,
    /// The anchors whose label is 1.
    pub positives: Vec<Positive>,
}

impl CropRecipe {
    fn geometry(&self) -> Geometry {
        Geometry::axis_aligned([self.edge; 3], [0.0; 3], [self.spacing_mm; 3])
    }

    /// The crop of a scan. `centre` lesion falls back to any lung where there is no lesion.
    pub fn crop(&self, scan: &Scan, centre: Centre, rng: &mut Rng) -> Result<Crop> {
        let origin = self.origin(scan, centre, rng);
        let mirrored = rng.chance(0.5);
        let geometry = self.geometry();
        let n = geometry.len();
        let (mut hu, mut flags) = (vec![-1000.0f32; n], vec![0u8; n]);
        self.copy(scan, origin, mirrored, &mut hu, &mut flags);
        self.augment.apply(&mut hu, [self.edge; 3], rng);
        let data = hu.iter().map(|v| v.round_ties_even() as i16).collect();
        let volume = Volume { geometry: geometry.clone(), data };
        let seen = Mask { geometry: geometry.clone(), data: flags.iter().map(|f| f & SEEN).collect() };
        // The margin is in the mask already: grown on the whole scan, as screening grows it.
        let recipe = InputRecipe { mask_margin: 0, ..self.input.clone() };
        let input = recipe.apply(&volume, Some(&seen))?;
        let (labels, positives) = self.targets(scan, origin, mirrored, &geometry);
        Ok(Crop {
            input,
            infected: flags.iter().map(|f| u8::from(f & INFECTED != 0)).collect(),
            weights: self.weights(scan, origin, mirrored, &Mask { geometry, data: flags }),
            labels,
            positives,
        })
    }

    /// Weights of the voxels: infected ones of a small region count more, or it would not count beside a large
    /// one.
    fn weights(&self, scan: &Scan, origin: [i64; 3], mirrored: bool, flags: &Mask) -> Vec<f32> {
        let mut weights: Vec<f32> =
            flags.data.iter().map(|f| f32::from(u8::from(scan.traced && f & LUNG != 0))).collect();
        for (b, ml) in scan.regions.iter().zip(&scan.region_ml) {
            let weight = (EVEN_ML / ml).sqrt().clamp(1.0, MOST_WEIGHT) as f32;
            let Some((inside, _)) = self.local(scan, b, origin, mirrored) else { continue };
            let b = flags.geometry.voxel_box(&inside);
            for (y, z) in (b.min[2]..b.max[2]).flat_map(|z| (b.min[1]..b.max[1]).map(move |y| (y, z))) {
                let row = flags.offset([0, y, z]);
                let row = row + b.min[0]..row + b.max[0];
                for (w, flags) in weights[row.clone()].iter_mut().zip(&flags.data[row]) {
                    if flags & INFECTED != 0 && *w > 0.0 {
                        *w = w.max(weight);
                    }
                }
            }
        }
        weights
    }

    /// First voxel of the crop, x, y, z; may lie outside the scan.
    fn origin(&self, scan: &Scan, centre: Centre, rng: &mut Rng) -> [i64; 3] {
        let size = scan.hu.size();
        let jitter = self.edge as f64 / 4.0;
        let mut place = |offsets: &[u32]| {
            let at = *offsets.get(rng.below(offsets.len()))? as usize;
            Some([at % size[0], at / size[0] % size[1], at / (size[0] * size[1])].map(|v| v as f64))
        };
        let any = place(&scan.inside).unwrap_or(size.map(|n| n as f64 / 2.0));
        let middle = match centre {
            Centre::Bright => place(&scan.bright).unwrap_or(any),
            Centre::Lesion => {
                let asked = || scan.regions.iter().zip(&scan.region_ml).filter(|(_, ml)| **ml >= LEAST_ML);
                let region = asked().nth(rng.below(asked().count()));
                region.map_or(any, |(b, _)| scan.hu.geometry.to_index(b.center()))
            }
            Centre::Anywhere => any,
        };
        std::array::from_fn(|a| {
            let first = middle[a] + rng.between(-jitter, jitter) - self.edge as f64 / 2.0;
            let last = size[a] as i64 - self.edge as i64;
            (first.round() as i64).clamp(last.min(0), last.max(0))
        })
    }

    fn copy(&self, scan: &Scan, origin: [i64; 3], mirrored: bool, hu: &mut [f32], flags: &mut [u8]) {
        let size = scan.hu.size();
        let source = |i: usize, a: usize| {
            let at = origin[a] + i as i64;
            (0..size[a] as i64).contains(&at).then_some(at as usize)
        };
        for z in 0..self.edge {
            for y in 0..self.edge {
                let (Some(sz), Some(sy)) = (source(z, 2), source(y, 1)) else { continue };
                let row = (z * self.edge + y) * self.edge;
                for x in 0..self.edge {
                    let Some(sx) = source(x, 0) else { continue };
                    let to = row + if mirrored { self.edge - 1 - x } else { x };
                    let from = scan.hu.offset([sx, sy, sz]);
                    hu[to] = f32::from(scan.hu.data[from]);
                    flags[to] = scan.flags.data[from];
                }
            }
        }
    }

    /// A box of the scan in the crop's own mm, and the share of it that lies inside.
    fn local(&self, scan: &Scan, b: &Box3, origin: [i64; 3], mirrored: bool) -> Option<(Box3, f64)> {
        let edge_mm = self.edge as f64 * self.spacing_mm;
        let (low, high) = (scan.hu.geometry.to_index(b.min), scan.hu.geometry.to_index(b.max));
        let mut whole = Box3 { min: [0.0; 3], max: [0.0; 3] };
        for a in 0..3 {
            let mm = |v: f64| (v - origin[a] as f64) * self.spacing_mm;
            (whole.min[a], whole.max[a]) = (mm(low[a]), mm(high[a]));
        }
        if mirrored {
            let last = (self.edge - 1) as f64 * self.spacing_mm;
            (whole.min[0], whole.max[0]) = (last - whole.max[0], last - whole.min[0]);
        }
        let half = self.spacing_mm / 2.0;
        let bounds = Box3 { min: [-half; 3], max: [edge_mm - half; 3] };
        let inside = pleura_nets::boxes::clip(&whole, &bounds)?;
        Some((inside, inside.volume() / whole.volume().max(1e-9)))
    }

    fn targets(
        &self,
        scan: &Scan,
        origin: [i64; 3],
        mirrored: bool,
        geometry: &Geometry,
    ) -> (Vec<i8>, Vec<Positive>) {
        let (mut truths, mut unsure) = (Vec::new(), Vec::new());
        for (i, b) in scan.regions.iter().enumerate() {
            let Some((inside, share)) = self.local(scan, b, origin, mirrored) else { continue };
            let asked =
                scan.region_ml[i] >= LEAST_ML && scan.visible[i] >= LEAST_VISIBLE && share >= LEAST_IN_CROP;
            if asked { truths.push(inside) } else { unsure.push(inside) }
        }
        let cells = pleura_nets::boxes::feature_grid(&self.anchors, geometry);
        let anchors = anchor_boxes(&self.anchors, cells, geometry);
        let matches = match_anchors(&anchors, &truths, self.positive_iou, self.negative_iou);
        let mut of_truth = vec![0u32; truths.len()];
        for found in &matches {
            if let AnchorMatch::Positive(t) = found {
                of_truth[*t] += 1;
            }
        }
        let (mut labels, mut positives) = (Vec::with_capacity(anchors.len()), Vec::new());
        for (i, (anchor, found)) in anchors.iter().zip(matches).enumerate() {
            labels.push(match found {
                AnchorMatch::Positive(t) => {
                    let weight = 1.0 / of_truth[t] as f32;
                    positives.push(Positive { anchor: i, offsets: encode(anchor, &truths[t]), weight });
                    1
                }
                AnchorMatch::Negative if unsure.iter().any(|u| touches(anchor, u)) => IGNORED,
                AnchorMatch::Negative => 0,
                AnchorMatch::Ignored => IGNORED,
            });
        }
        (labels, positives)
    }
}

/// Whether the centre of either box lies in the other.
fn touches(a: &Box3, b: &Box3) -> bool {
    a.contains(b.center()) || b.contains(a.center())
}

/// The crops of one step, in slot order whatever the threads.
pub(crate) fn batch(
    recipe: &CropRecipe,
    pool: &[Scan],
    infected: &[usize],
    seed: u64,
    step: u64,
    size: usize,
) -> Result<Vec<Crop>> {
    use rayon::prelude::*;
    if pool.is_empty() {
        return Err(Error::Config("no case had lungs to train on".into()));
    }
    let one = |slot: usize| {
        let mut rng = Rng::at(seed, &[3, step, slot as u64]);
        let centre = Centre::of_slot(slot);
        let case = match centre {
            Centre::Lesion if !infected.is_empty() => infected[rng.below(infected.len())],
            _ => rng.below(pool.len()),
        };
        recipe.crop(&pool[case], centre, &mut rng)
    };
    (0..size).into_par_iter().with_max_len(1).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scan of 40^3 voxels of 2 mm, all lung, with one infected cube of 16 mm around voxel 20.
    fn scan() -> Scan {
        let geometry = Geometry::axis_aligned([40; 3], [100.0, -50.0, 7.0], [2.0; 3]);
        let mut hu = Volume::filled(geometry.clone(), -850i16);
        let mut flags = Mask::filled(geometry.clone(), LUNG | SEEN);
        let lesion = pleura_volume::VoxelBox { min: [16; 3], max: [24; 3] };
        for i in 0..hu.data.len() {
            if lesion.contains([i % 40, i / 40 % 40, i / 1600]) {
                hu.data[i] = -300;
                flags.data[i] |= INFECTED;
            }
        }
        Scan {
            regions: vec![geometry.box_mm(&lesion)],
            region_ml: vec![4.1],
            traced: true,
            visible: vec![1.0],
            bright: vec![],
            inside: (0..64_000).step_by(97).collect(),
            hu,
            flags,
        }
    }

    fn recipe() -> CropRecipe {
        CropRecipe {
            edge: 24,
            spacing_mm: 2.0,
            input: InputRecipe { low_hu: -1000.0, high_hu: 400.0, outside_hu: Some(40.0), mask_margin: 1 },
            anchors: AnchorSpec { stride: 4, edges_mm: vec![8.0, 16.0] },
            positive_iou: 0.3,
            negative_iou: 0.1,
            augment: AugmentConfig { shift_hu: 0.0, gain: 0.0, noise_hu: 0.0, blur: 0.0, sharpen: 0.0 },
        }
    }

    #[test]
    fn targets_move_and_mirror_with_the_voxels() {
        let (scan, recipe) = (scan(), recipe());
        for place in 0..12 {
            let crop = recipe.crop(&scan, Centre::Lesion, &mut Rng::at(1, &[place])).unwrap();
            // The input shows exactly the infected voxels brighter.
            for (input, infected) in crop.input.iter().zip(&crop.infected) {
                let hu = if *infected == 1 { -300.0 } else { -850.0 };
                assert!((input - (hu + 1000.0) / 1400.0).abs() < 1e-3);
            }
            // Each positive anchor decodes to the box around the infected voxels of the crop.
            let geometry = recipe.geometry();
            let infected = Mask { geometry: geometry.clone(), data: crop.infected.clone() };
            let truth = geometry.box_mm(&infected.bounding_box(|v| v != 0).unwrap());
            let anchors = anchor_boxes(&recipe.anchors, [6; 3], &geometry);
            assert!(!crop.positives.is_empty());
            for p in &crop.positives {
                assert_eq!(crop.labels[p.anchor], 1);
                let found = pleura_nets::boxes::decode(&anchors[p.anchor], &p.offsets);
                assert!(found.iou(&truth) > 0.99, "{found:?} {truth:?}");
            }
            // One region, however many anchors it has.
            let whole: f32 = crop.positives.iter().map(|p| p.weight).sum();
            assert!((whole - 1.0).abs() < 1e-5, "{whole}");
            // Of a quarter of the volume from which on all count alike: twice as much.
            let small = Scan { region_ml: vec![EVEN_ML / 4.0], ..scan.clone() };
            let crop = recipe.crop(&small, Centre::Lesion, &mut Rng::at(1, &[place])).unwrap();
            for (weight, infected) in crop.weights.iter().zip(&crop.infected) {
                assert_eq!(*weight, if *infected == 1 { 2.0 } else { 1.0 });
            }
        }
    }

    #[test]
    fn a_crop_larger_than_the_scan_is_padded_with_what_lies_outside_the_lungs() {
        let recipe = CropRecipe { edge: 48, ..recipe() };
        let crop = recipe.crop(&scan(), Centre::Anywhere, &mut Rng::at(1, &[1])).unwrap();
        let outside = (40.0 + 1000.0) / 1400.0;
        let padded = crop.weights.iter().zip(&crop.input).filter(|(w, _)| **w == 0.0);
        let values: Vec<f32> = padded.map(|(_, v)| *v).collect();
        assert_eq!(values.len(), 48usize.pow(3) - 40usize.pow(3));
        assert!(values.iter().all(|v| (v - outside).abs() < 1e-6));
    }

    #[test]
    fn batches_do_not_depend_on_the_number_of_threads() {
        let (pool, recipe) = (vec![scan()], CropRecipe { augment: AugmentConfig::default(), ..recipe() });
        let run = |threads: usize| {
            let pool_of_threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool_of_threads.install(|| batch(&recipe, &pool, &[0], 9, 5, 4).unwrap())
        };
        assert_eq!(run(1), run(3));
    }
}
