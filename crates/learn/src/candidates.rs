//! Candidate regions of a phantom and the image patches that stand for them: what the classifier
//! learns from.

use crate::augment::AugmentConfig;
use crate::pool::find_lungs;
use crate::rng::Rng;
use crate::{Error, Result};
use pleura_lungs::LungStatus;
use pleura_nets::{InputRecipe, PatchRecipe};
use pleura_phantom::{Class, Phantom};
use pleura_screen::{LoadedDetector, cut_patch, detect, distances_from_edge, patch_sites};
use pleura_volume::{Box3, Geometry, Mask, NoProgress, Volume, VoxelBox};

/// Classes in output order.
pub(crate) const CLASSES: [&str; 3] = ["covid-19", "influenza-a", pleura_screen::IRRELEVANT];
/// Index of the class that is no infection.
pub(crate) const IRRELEVANT: usize = 2;
/// A box with at least this share of its lung voxels infected carries the class of the case
/// (docs/architecture.md, "Candidate label").
const LEAST_INFECTED: f64 = 0.1;
/// Window in which patches are kept before they are changed and windowed for good, HU.
const KEPT_HU: [f32; 2] = [-1024.0, 3071.0];
/// Most truth regions, proposals and findings of a case that are kept.
const MOST_EACH: usize = 12;
/// Random places a case.
const RANDOM_PLACES: usize = 3;

/// One patch, a margin wider than the network sees it.
#[derive(Debug, Clone)]
pub(crate) struct Patch {
    /// HU `[slab, y, x]`, `pixels + 2 margin` wide.
    hu: Vec<i16>,
    /// Whether the recipe's lung mask lets the pixel be seen.
    seen: Vec<bool>,
    /// Relative distance-from-edge.
    pub distance: f64,
}

/// A candidate region: three patches and what it is.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    pub patches: Vec<Patch>,
    /// Index into [`CLASSES`].
    pub label: usize,
}

/// The regions of one phantom.
#[derive(Debug, Clone)]
pub(crate) struct CaseRegions {
    pub regions: Vec<Region>,
}

/// How regions are found and patches kept.
pub(crate) struct RegionRecipe<'a> {
    pub detector: &'a LoadedDetector,
    pub input: InputRecipe,
    pub patch: PatchRecipe,
    /// Pixels kept on each side for shifts.
    pub margin: usize,
}

/// Index of a phantom's class among [`CLASSES`].
pub(crate) fn class_index(class: Class) -> usize {
    match class {
        Class::Covid19 => 0,
        Class::InfluenzaA => 1,
        Class::NoInfection => IRRELEVANT,
    }
}

/// Label of a box: the class where enough of its lung voxels are infected.
pub(crate) fn label(class: Class, b: &VoxelBox, lungs: &Mask, infection: &Mask) -> usize {
    let (found, infected) = (lungs.cropped(b), infection.cropped(b));
    let lung = found.data.iter().filter(|l| **l != 0).count();
    let both = found.data.iter().zip(&infected.data).filter(|(l, i)| **l != 0 && **i != 0).count();
    if lung > 0 && both as f64 >= LEAST_INFECTED * lung as f64 { class_index(class) } else { IRRELEVANT }
}

/// A box moved and scaled as a detector might have put it.
fn jittered(b: &Box3, rng: &mut Rng) -> Box3 {
    let (c, size) = (b.center(), b.size());
    let mut out = *b;
    for a in 0..3 {
        let half = size[a].max(4.0) / 2.0 * rng.between(-0.25, 0.3).exp();
        let centre = c[a] + size[a] * rng.between(-0.2, 0.2);
        (out.min[a], out.max[a]) = (centre - half, centre + half);
    }
    out
}

/// A voxel box of at least one voxel; `None` outside the grid.
fn voxels(geometry: &Geometry, b: &Box3) -> Option<VoxelBox> {
    let v = geometry.voxel_box(b);
    (!v.is_empty()).then_some(v)
}

/// The boxes to learn from: what the detector proposes, what is truly there, findings without
/// infection (sham lesions among them) and places drawn at random.
fn boxes(phantom: &Phantom, lungs: &Mask, detector: &LoadedDetector, rng: &mut Rng) -> Result<Vec<VoxelBox>> {
    let detection = detect(&phantom.volume, lungs, detector, &NoProgress)
        .map_err(|e| Error::Stage(format!("the detector could not be run: {e}")))?;
    let mut all: Vec<VoxelBox> = detection.candidates.iter().take(MOST_EACH).map(|c| c.box_voxels).collect();
    let geometry = &phantom.volume.geometry;
    let mut known = Vec::new();
    for list in [&phantom.regions, &phantom.irrelevant] {
        let picks: Vec<Box3> = if list.len() <= MOST_EACH {
            list.iter().map(|r| r.box_mm).collect()
        } else {
            (0..MOST_EACH).map(|_| list[rng.below(list.len())].box_mm).collect()
        };
        known.extend(picks.iter().map(|b| jittered(b, rng)));
    }
    let inside: Vec<usize> = (0..lungs.data.len()).filter(|&i| lungs.data[i] != 0).collect();
    let [nx, ny, _] = lungs.size();
    for _ in 0..RANDOM_PLACES {
        let Some(&i) = inside.get(rng.below(inside.len())) else { break };
        let at = [i % nx, i / nx % ny, i / (nx * ny)].map(|v| v as f64);
        known.push(Box3::cube(geometry.to_lps(at), rng.between(8.0, 45.0)));
    }
    all.extend(known.iter().filter_map(|b| voxels(geometry, b)));
    Ok(all)
}

impl RegionRecipe<'_> {
    /// The regions of a phantom; `None` when its lungs are not found.
    pub fn regions(&self, phantom: &Phantom) -> Result<Option<CaseRegions>> {
        let lungs = find_lungs(&phantom.volume)?;
        if lungs.status == LungStatus::NotFound {
            return Ok(None);
        }
        let mut rng = Rng::at(phantom.seed, &[11]);
        let boxes = boxes(phantom, &lungs.mask, self.detector, &mut rng)?;
        let one = |b: &VoxelBox| {
            let patches = self.patches(&phantom.volume, &lungs.mask, b)?;
            Ok(Region { patches, label: label(phantom.class, b, &lungs.mask, &phantom.infection) })
        };
        let regions: Result<Vec<Region>> = boxes.iter().map(one).collect();
        Ok(Some(CaseRegions { regions: regions? }))
    }

    /// The three patches of a box, wider than the network sees them and in HU.
    fn patches(&self, volume: &Volume<i16>, lungs: &Mask, b: &VoxelBox) -> Result<Vec<Patch>> {
        let sites = patch_sites(&volume.geometry, b, &self.patch);
        let distances = distances_from_edge(lungs, &sites);
        let pixel = self.patch.edge_mm / self.patch.pixels as f32;
        let pixels = self.patch.pixels + 2 * self.margin;
        let wide = PatchRecipe { pixels, edge_mm: pixel * pixels as f32, ..self.patch.clone() };
        let [low_hu, high_hu] = KEPT_HU;
        let plain = InputRecipe { low_hu, high_hu, outside_hu: None, mask_margin: 0 };
        // Seen or not: the recipe's own mask, told apart by the value it puts outside.
        let flag =
            InputRecipe { outside_hu: Some(f32::MAX), mask_margin: self.input.mask_margin, ..plain.clone() };
        let flag = InputRecipe { high_hu: f32::MAX, low_hu: f32::MAX / 2.0, ..flag };
        let cut = |site, recipe: &InputRecipe| {
            cut_patch(volume, lungs, site, recipe, &wide)
                .map_err(|e| Error::Stage(format!("a patch could not be cut: {e}")))
        };
        let mut patches = Vec::with_capacity(sites.len());
        for (site, distance) in sites.into_iter().zip(distances) {
            let hu =
                cut(site, &plain)?.iter().map(|v| (low_hu + v * (high_hu - low_hu)).round() as i16).collect();
            let seen = match self.input.outside_hu {
                Some(_) => cut(site, &flag)?.iter().map(|&v| v < 0.5).collect(),
                None => vec![true; pixels * pixels * self.patch.slab],
            };
            patches.push(Patch { hu, seen, distance });
        }
        Ok(patches)
    }

    /// A patch as the network sees it: its middle moved by `shift`, mirrored, changed, windowed.
    pub fn view(
        &self,
        patch: &Patch,
        shift: [usize; 2],
        mirror: [bool; 2],
        change: Option<(&AugmentConfig, &mut Rng)>,
    ) -> Vec<f32> {
        let (n, wide) = (self.patch.pixels, self.patch.pixels + 2 * self.margin);
        let slab = self.patch.slab;
        let mut hu = Vec::with_capacity(n * n * slab);
        let mut seen = Vec::with_capacity(hu.capacity());
        for z in 0..slab {
            for y in 0..n {
                let sy = shift[1] + if mirror[1] { n - 1 - y } else { y };
                for x in 0..n {
                    let sx = shift[0] + if mirror[0] { n - 1 - x } else { x };
                    let i = (z * wide + sy) * wide + sx;
                    hu.push(f32::from(patch.hu[i]));
                    seen.push(patch.seen[i]);
                }
            }
        }
        if let Some((config, rng)) = change {
            config.apply(&mut hu, [n, n, slab], rng);
        }
        let outside = self.input.scale(self.input.outside_hu.unwrap_or(0.0));
        hu.iter().zip(seen).map(|(&v, seen)| if seen { self.input.scale(v) } else { outside }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_lung_voxels_makes_the_class() {
        let geometry = Geometry::axis_aligned([5, 4, 2], [0.0; 3], [1.0; 3]);
        let mut lungs = Mask::filled(geometry.clone(), 1);
        let mut infection = Mask::filled(geometry, 0);
        let all = VoxelBox { min: [0; 3], max: [5, 4, 2] };
        infection.data[..3].fill(1);
        assert_eq!(label(Class::Covid19, &all, &lungs, &infection), IRRELEVANT);
        infection.data[3] = 1;
        assert_eq!(label(Class::Covid19, &all, &lungs, &infection), 0);
        assert_eq!(label(Class::InfluenzaA, &all, &lungs, &infection), 1);
        // Infected tissue outside the lungs found does not count.
        lungs.data[3] = 0;
        assert_eq!(label(Class::Covid19, &all, &lungs, &infection), IRRELEVANT);
    }

    #[test]
    fn jittered_boxes_stay_near() {
        let b = Box3::cube([3.0, -4.0, 5.0], 30.0);
        for i in 0..50 {
            let j = jittered(&b, &mut Rng::at(2, &[i]));
            assert!(j.iou(&b) > 0.2 && j != b, "{j:?}");
        }
    }
}
