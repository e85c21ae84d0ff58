//! Candidate regions of a case and the image patches that stand for them: what the classifier
//! learns from.

use crate::augment::AugmentConfig;
use crate::data::Labelled;
use crate::pool::find_lungs;
use crate::rng::Rng;
use crate::truth::{self, is_asked};
use crate::{Error, Result};
use pleura_nets::{InputRecipe, PatchRecipe};
use pleura_phantom::TruthRegion;
use pleura_screen::{
    LoadedDetector, analysable, clip_to_lungs, cut_patch, detect, distances_from_edge, patch_sites,
};
use pleura_volume::{Box3, Mask, NoProgress, Volume, VoxelBox};
use serde::{Deserialize, Serialize};

/// A box with at least this share of its lung voxels infected carries the class of the case
/// (docs/architecture.md, "Candidate label").
const LEAST_INFECTED: f64 = 0.1;
/// Window in which patches are kept before they are changed and windowed for good, HU.
const KEPT_HU: [f32; 2] = [-1024.0, 3071.0];
/// Most truth regions and findings of a case that are kept; of its proposals all are, as in screening.
const MOST_EACH: usize = 12;
/// Random places a case.
const RANDOM_PLACES: usize = 3;

/// One patch, a margin wider than the network sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Patch {
    /// HU `[slab, y, x]`, `pixels + 2 margin` wide.
    pub hu: Vec<i16>,
    /// Relative distance-from-edge.
    pub distance: f64,
}

/// Where a box comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Source {
    /// The detector proposed it: what screening meets, its false regions among them.
    Proposal,
    /// It is known to be there, an infection or a finding that is none, and was moved a little: what
    /// the detector misses is taught all the same.
    Known,
    /// A place in the lungs drawn at random.
    Anywhere,
}

impl Source {
    /// All of them, with the share of each in a batch, class by class (ours).
    pub const SHARES: [(Self, f64); 3] = [(Self::Proposal, 0.5), (Self::Known, 0.4), (Self::Anywhere, 0.1)];
}

/// A candidate region: three patches and what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Region {
    pub source: Source,
    pub patches: Vec<Patch>,
    /// Index into the types of infection; their number: irrelevant.
    pub label: usize,
}

/// The regions of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CaseRegions {
    pub regions: Vec<Region>,
}

/// For each class and source the cases that have such a region; the last class is the irrelevant one.
#[derive(Debug)]
pub(crate) struct Holders(Vec<[Vec<usize>; 3]>);

impl Holders {
    pub fn new(cases: &[CaseRegions], classes: usize) -> Self {
        let holding = |class: usize, source: Source| -> Vec<usize> {
            let holds = |r: &Region| r.label == class && r.source == source;
            (0..cases.len()).filter(|&i| cases[i].regions.iter().any(holds)).collect()
        };
        Self((0..classes).map(|class| Source::SHARES.map(|(source, _)| holding(class, source))).collect())
    }

    /// A region of the class (an irrelevant one where there is none): its source drawn by
    /// [`Source::SHARES`] among those there are, then the case, then the region, so that a case with
    /// few regions counts as much as one with many. `None` when there is nothing at all.
    pub fn draw<'a>(&self, cases: &'a [CaseRegions], class: usize, rng: &mut Rng) -> Option<&'a Region> {
        let empty = |class: usize| self.0[class].iter().all(Vec::is_empty);
        let class = if empty(class) { self.0.len() - 1 } else { class };
        let there = || Source::SHARES.iter().zip(&self.0[class]).filter(|(_, holders)| !holders.is_empty());
        let mut place = rng.unit() * there().map(|((_, share), _)| share).sum::<f64>();
        let drawn = there().find(|((_, share), _)| {
            place -= share;
            place < 0.0
        });
        let ((source, _), holders) = drawn.or_else(|| there().next_back())?;
        let case = &cases[*holders.get(rng.below(holders.len()))?];
        let fitting = || case.regions.iter().filter(|r| r.label == class && r.source == *source);
        fitting().nth(rng.below(fitting().count()))
    }
}

/// How patches are cut and kept.
pub(crate) struct RegionRecipe {
    /// The window; without a lung mask, which would have to move with the patch.
    pub input: InputRecipe,
    pub patch: PatchRecipe,
    /// Pixels kept on each side for shifts.
    pub margin: usize,
}

/// Label of a box: the class of the case where enough of its lung voxels are infected, else
/// `irrelevant`. Where nobody says what is infected, all boxes are of the class of the case.
pub(crate) fn label(
    class: usize,
    irrelevant: usize,
    b: &VoxelBox,
    lungs: &Mask,
    infection: Option<&Mask>,
) -> usize {
    let Some(infection) = infection else { return class };
    let (found, infected) = (lungs.cropped(b), infection.cropped(b));
    let lung = found.data.iter().filter(|l| **l != 0).count();
    let both = found.data.iter().zip(&infected.data).filter(|(l, i)| **l != 0 && **i != 0).count();
    if lung > 0 && both as f64 >= LEAST_INFECTED * lung as f64 { class } else { irrelevant }
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

/// Up to [`MOST_EACH`] of the regions large enough to be asked for, moved and scaled.
pub(crate) fn known(list: &[TruthRegion], rng: &mut Rng) -> Vec<Box3> {
    let asked: Vec<&TruthRegion> = list.iter().filter(|r| is_asked(r)).collect();
    let picks: Vec<usize> = match asked.len() {
        n if n <= MOST_EACH => (0..n).collect(),
        n => (0..MOST_EACH).map(|_| rng.below(n)).collect(),
    };
    picks.into_iter().map(|i| jittered(&asked[i].box_mm, rng)).collect()
}

/// Cubes about places in the lungs drawn at random.
pub(crate) fn anywhere(lungs: &Mask, count: usize, rng: &mut Rng) -> Vec<Box3> {
    let inside: Vec<usize> = (0..lungs.data.len()).filter(|&i| lungs.data[i] != 0).collect();
    let [nx, ny, _] = lungs.size();
    let mut one = || {
        let i = *inside.get(rng.below(inside.len()))?;
        let at = [i % nx, i / nx % ny, i / (nx * ny)].map(|v| v as f64);
        Some(Box3::cube(lungs.geometry.to_lps(at), rng.between(8.0, 45.0)))
    };
    (0..count).filter_map(|_| one()).collect()
}

/// The boxes to learn from: what screening would classify, and, clipped to the lungs by its rule, what
/// is truly there, findings without infection (sham lesions among them) and places drawn at random.
fn boxes(case: &Labelled, lungs: &Mask, detector: &LoadedDetector) -> Result<Vec<(Source, VoxelBox)>> {
    let mut rng = Rng::at(case.seed, &[11]);
    let detection = detect(&case.volume, lungs, detector, &NoProgress)
        .map_err(|e| Error::Stage(format!("the detector could not be run: {e}")))?;
    let mut all: Vec<(Source, VoxelBox)> =
        detection.candidates.iter().map(|c| (Source::Proposal, c.box_voxels)).collect();
    let mut others: Vec<(Source, Box3)> = Vec::new();
    let infected = case.infection.as_ref().map(truth::regions).unwrap_or_default();
    for list in [&infected, &case.irrelevant] {
        others.extend(known(list, &mut rng).into_iter().map(|b| (Source::Known, b)));
    }
    others.extend(anywhere(lungs, RANDOM_PLACES, &mut rng).into_iter().map(|b| (Source::Anywhere, b)));
    all.extend(others.iter().filter_map(|(source, b)| Some((*source, clip_to_lungs(lungs, b)?))));
    Ok(all)
}

impl RegionRecipe {
    /// The regions of a case; `None` when screening would not look into its lungs. `irrelevant` is the
    /// label of what is no infection.
    pub fn regions(
        &self,
        detector: &LoadedDetector,
        case: &Labelled,
        irrelevant: usize,
    ) -> Result<Option<CaseRegions>> {
        let lungs = find_lungs(&case.volume)?;
        if !analysable(&lungs) {
            return Ok(None);
        }
        let boxes = boxes(case, &lungs.mask, detector)?;
        let one = |(source, b): &(Source, VoxelBox)| {
            let patches = self.patches(&case.volume, &lungs.mask, b)?;
            let label = label(case.class, irrelevant, b, &lungs.mask, case.infection.as_ref());
            Ok(Region { source: *source, patches, label })
        };
        let regions: Result<Vec<Region>> = boxes.iter().map(one).collect();
        Ok(Some(CaseRegions { regions: regions? }))
    }

    /// The three patches of a box, wider than the network sees them and in HU.
    pub fn patches(&self, volume: &Volume<i16>, lungs: &Mask, b: &VoxelBox) -> Result<Vec<Patch>> {
        let sites = patch_sites(&volume.geometry, b, &self.patch);
        let distances = distances_from_edge(lungs, &sites);
        let pixel = self.patch.edge_mm / self.patch.pixels as f32;
        let pixels = self.patch.pixels + 2 * self.margin;
        let wide = PatchRecipe { pixels, edge_mm: pixel * pixels as f32, ..self.patch.clone() };
        let [low_hu, high_hu] = KEPT_HU;
        let plain = InputRecipe { low_hu, high_hu, outside_hu: None, mask_margin: 0 };
        let mut patches = Vec::with_capacity(sites.len());
        for (site, distance) in sites.into_iter().zip(distances) {
            let cut = cut_patch(volume, lungs, site, &plain, &wide)
                .map_err(|e| Error::Stage(format!("a patch could not be cut: {e}")))?;
            let hu = cut.iter().map(|v| (low_hu + v * (high_hu - low_hu)).round() as i16).collect();
            patches.push(Patch { hu, distance });
        }
        Ok(patches)
    }

    /// Whether the regions of a case are as this recipe cuts them, no label above `irrelevant`.
    pub fn fits(&self, case: &CaseRegions, irrelevant: usize) -> bool {
        let values = self.patch.slab * (self.patch.pixels + 2 * self.margin).pow(2);
        let patch = |p: &Patch| p.hu.len() == values && p.distance.is_finite();
        case.regions
            .iter()
            .all(|r| r.label <= irrelevant && r.patches.len() == 3 && r.patches.iter().all(patch))
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
        for z in 0..slab {
            for y in 0..n {
                let sy = shift[1] + if mirror[1] { n - 1 - y } else { y };
                for x in 0..n {
                    let sx = shift[0] + if mirror[0] { n - 1 - x } else { x };
                    hu.push(f32::from(patch.hu[(z * wide + sy) * wide + sx]));
                }
            }
        }
        if let Some((config, rng)) = change {
            config.apply(&mut hu, [n, n, slab], rng);
        }
        hu.into_iter().map(|v| self.input.scale(v)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleura_volume::Geometry;

    const IRRELEVANT: usize = 2;

    #[test]
    fn a_tenth_of_the_lung_voxels_makes_the_class() {
        let geometry = Geometry::axis_aligned([5, 4, 2], [0.0; 3], [1.0; 3]);
        let mut lungs = Mask::filled(geometry.clone(), 1);
        let mut infection = Mask::filled(geometry, 0);
        let all = VoxelBox { min: [0; 3], max: [5, 4, 2] };
        infection.data[..3].fill(1);
        assert_eq!(label(0, IRRELEVANT, &all, &lungs, Some(&infection)), IRRELEVANT);
        infection.data[3] = 1;
        assert_eq!(label(0, IRRELEVANT, &all, &lungs, Some(&infection)), 0);
        assert_eq!(label(1, IRRELEVANT, &all, &lungs, Some(&infection)), 1);
        // Infected tissue outside the lungs found does not count.
        lungs.data[3] = 0;
        assert_eq!(label(0, IRRELEVANT, &all, &lungs, Some(&infection)), IRRELEVANT);
        // Where nobody traced anything, the class of the case is all there is.
        assert_eq!(label(1, IRRELEVANT, &all, &lungs, None), 1);
    }

    fn case(regions: &[(usize, Source)]) -> CaseRegions {
        let one = |&(label, source): &(usize, Source)| Region { source, patches: vec![], label };
        CaseRegions { regions: regions.iter().map(one).collect() }
    }

    fn shares(cases: &[CaseRegions], class: usize) -> [f64; 3] {
        let holders = Holders::new(cases, 3);
        let mut counts = [0.0; 3];
        for i in 0..4000 {
            let drawn = holders.draw(cases, class, &mut Rng::at(5, &[i])).unwrap();
            assert_eq!(drawn.label, class);
            let k = Source::SHARES.iter().position(|(s, _)| *s == drawn.source).unwrap();
            counts[k] += 1.0 / 4000.0;
        }
        counts
    }

    #[test]
    fn draws_are_balanced_over_what_screening_meets_and_what_is_known() {
        use Source::{Anywhere, Known, Proposal};
        // Many random places and known findings must not crowd out the one false proposal.
        let mut crowded = vec![(IRRELEVANT, Anywhere); 50];
        crowded.extend([(IRRELEVANT, Known); 20]);
        crowded.push((IRRELEVANT, Proposal));
        let cases = [case(&crowded), case(&[(0, Proposal), (0, Known), (IRRELEVANT, Anywhere)])];
        for (share, want) in shares(&cases, IRRELEVANT).into_iter().zip([0.5, 0.4, 0.1]) {
            assert!((share - want).abs() < 0.03, "{share} {want}");
        }
        // No random place is infected: the other two keep their proportion.
        for (share, want) in shares(&cases, 0).into_iter().zip([5.0 / 9.0, 4.0 / 9.0, 0.0]) {
            assert!((share - want).abs() < 0.03, "{share} {want}");
        }
    }

    #[test]
    fn a_detector_that_finds_nothing_leaves_the_truth_to_learn_from() {
        let cases = [case(&[(1, Source::Known), (IRRELEVANT, Source::Known)])];
        assert_eq!(shares(&cases, 1), shares(&cases, IRRELEVANT));
        let holders = Holders::new(&cases, 3);
        let other = holders.draw(&cases, 0, &mut Rng::at(5, &[1])).unwrap();
        assert_eq!(other.label, IRRELEVANT, "no region of the class: an irrelevant one");
        assert!(Holders::new(&[], 3).draw(&[], 0, &mut Rng::at(5, &[1])).is_none());
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
