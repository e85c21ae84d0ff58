//! From the two heads of the detector to candidate regions.

use crate::detect::DetectorOutput;
use pleura_lungs::{LEFT, RIGHT};
use pleura_nets::ProposalRecipe;
use pleura_volume::{Box3, Mask, Volume, VoxelBox, group_boxes, resample_nearest};

/// Infected voxels nearer to each other than about this make one region, mm (ours). The flecks of a
/// diffuse opacity are one lesion to a reader who draws a box around it, as the paper's were drawn.
pub const JOINED_MM: f64 = 6.0;

/// Longest edge of a candidate, mm; longer groups of infected voxels are cut into parts.
const MOST_EDGE_MM: f64 = 60.0;

/// Least infected volume of a candidate, ml, and the volume whose mean probability speaks for it (ours:
/// as much as a region must have to be asked for).
const LEAST_ML: f64 = 0.2;

/// Share of a candidate's infected voxels that its box may leave out at its upper and at its lower end
/// (ours): a few stray ones would stretch it over slices that are clean.
const TAIL: f64 = 0.02;

/// Two candidates that overlap by more than this IoU are one finding.
const MOST_OVERLAP: f64 = 0.5;

/// A proposal whose centre lies outside the lungs is kept when this share of its box is lung.
const LEAST_LUNG_SHARE: f64 = 0.25;

/// A candidate region inside the lungs.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Box in LPS mm at the outer faces of `box_voxels`.
    pub box_mm: Box3,
    /// Box in voxels of the oriented grid, as [`candidate_boxes`] leaves it.
    pub box_voxels: VoxelBox,
    /// How sure the detector is, 0 to 1 ([`candidate_boxes`]).
    pub score: f64,
    /// Whether most of its lung voxels are of the right lung.
    pub right: bool,
    /// Infected volume inside the box, ml.
    pub volume_ml: f64,
    /// Mean HU of its lung voxels.
    pub mean_hu: f64,
}

/// The boxes of a scan's candidates with their scores, best first; no threshold is applied.
///
/// Ours: the proposal head says where to look, the voxel head how far an infection goes. Voxels of at
/// least `voxel_threshold` are grouped, in each lung on its own, over gaps of up to [`JOINED_MM`], and
/// groups longer than 60 mm cut, just as truth regions are. A group of 0.2 ml or more that a proposal
/// meets (the centre of either lies in the other) is a candidate, its box trimmed to the voxels of
/// `infection`. Its score is the best objectness of those proposals times the mean probability of
/// its most certain 0.2 ml. A proposal that holds no infected voxel is a candidate by its objectness
/// alone, clipped to the lungs ([`clip_to_lungs`]). What overlaps a better candidate by more than half
/// is left out.
///
/// `infection` is [`crate::infected_voxels`] at the same threshold, on the grid of `lungs`.
pub fn candidate_boxes(
    lungs: &Mask,
    infection: &Mask,
    found: &DetectorOutput,
    voxel_threshold: f32,
) -> Vec<(VoxelBox, f32)> {
    let mut all = grouped(lungs, infection, found, voxel_threshold);
    for (proposal, objectness) in &found.proposals {
        if let Some(b) = clip_to_lungs(lungs, proposal)
            && extent(infection, &b).is_none()
        {
            all.push((b, *objectness));
        }
    }
    // Stable: of equals the group, then the better proposal, comes first.
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut kept: Vec<(VoxelBox, f32)> = Vec::new();
    let mm = |b: &VoxelBox| lungs.geometry.box_mm(b);
    for (b, score) in all {
        if kept.iter().all(|(k, _)| mm(k).iou(&mm(&b)) <= MOST_OVERLAP) {
            kept.push((b, score));
        }
    }
    kept
}

/// The groups of infected voxels that a proposal meets.
fn grouped(lungs: &Mask, infection: &Mask, found: &DetectorOutput, threshold: f32) -> Vec<(VoxelBox, f32)> {
    let probability = &found.infection;
    let (grid, sides) = (&probability.geometry, resample_nearest(lungs, &probability.geometry));
    // Boxes are covered by voxels of the scan, which may be coarser: they grow by less than one.
    let coarsest = lungs.geometry.spacing_mm.into_iter().fold(0.0, f64::max);
    let most_edge_mm = (MOST_EDGE_MM - coarsest).max(MOST_EDGE_MM / 2.0);
    let mut all = Vec::new();
    for side in [RIGHT, LEFT] {
        let marked = |(p, s): (&f32, &u8)| u8::from(*s == side && *p >= threshold);
        let data = probability.data.iter().zip(&sides.data).map(marked).collect();
        for (b, count) in group_boxes(&Mask { geometry: grid.clone(), data }, JOINED_MM, most_edge_mm) {
            let region = grid.box_mm(&b);
            let meets = |p: &Box3| p.contains(region.center()) || region.contains(p.center());
            let objectness = found.proposals.iter().filter(|p| meets(&p.0)).map(|p| p.1).reduce(f32::max);
            if let Some(objectness) = objectness.filter(|_| count as f64 * grid.voxel_ml() >= LEAST_ML)
                && let Some(solid) = solid_extent(infection, &lungs.geometry.voxel_box(&region))
            {
                all.push((solid, objectness * surest(probability, &b)));
            }
        }
    }
    all
}

/// Mean probability of the most certain [`LEAST_ML`] of a box.
fn surest(probability: &Volume<f32>, b: &VoxelBox) -> f32 {
    let mut inside = probability.cropped(b).data;
    inside.sort_by(|a, b| b.total_cmp(a));
    let most = (LEAST_ML / probability.geometry.voxel_ml()).ceil() as usize;
    inside.truncate(most.max(1));
    inside.iter().sum::<f32>() / inside.len().max(1) as f32
}

/// The smallest box around the marked voxels in a box, without the slices at either end that together
/// hold at most [`TAIL`] of them; `None` without any.
fn solid_extent(mask: &Mask, b: &VoxelBox) -> Option<VoxelBox> {
    let mut slices = vec![0usize; b.size()[2]];
    each_marked_voxel(mask, b, |at, _, _| slices[at[2] - b.min[2]] += 1);
    let most = TAIL * slices.iter().sum::<usize>() as f64;
    let tail = |counts: &mut dyn Iterator<Item = &usize>| {
        let sums = counts.scan(0, |sum, n| {
            *sum += n;
            Some(*sum)
        });
        sums.take_while(|sum| *sum as f64 <= most).count()
    };
    let (low, high) = (tail(&mut slices.iter()), tail(&mut slices.iter().rev()));
    let mut solid = *b;
    (solid.min[2], solid.max[2]) = (b.min[2] + low, b.max[2].saturating_sub(high));
    extent(mask, &solid).map(|(_, inner)| inner)
}

/// Number and bounding box of the marked voxels in a box; `None` where there is none.
fn extent(mask: &Mask, b: &VoxelBox) -> Option<(usize, VoxelBox)> {
    let (mut found, mut count) = (VoxelBox { min: [usize::MAX; 3], max: [0; 3] }, 0usize);
    each_marked_voxel(mask, b, |at, _, _| {
        count += 1;
        for (a, &i) in at.iter().enumerate() {
            found.min[a] = found.min[a].min(i);
            found.max[a] = found.max[a].max(i + 1);
        }
    });
    (count > 0).then_some((count, found))
}

/// The voxel box of a proposal, clipped to the lung voxels in it; `None` when it does not lie in
/// the lungs: its centre is no lung and less than a quarter of its box is (ours).
///
/// `proposal` in LPS mm. Whatever screening classifies went through here, and so does every box
/// that a classifier is taught or judged on.
pub fn clip_to_lungs(lungs: &Mask, proposal: &Box3) -> Option<VoxelBox> {
    let geometry = &lungs.geometry;
    let whole = geometry.voxel_box(proposal);
    let (lung, inner) = extent(lungs, &whole)?;
    let share = lung as f64 / whole.size().iter().product::<usize>() as f64;
    let inside = share >= LEAST_LUNG_SHARE || holds(lungs, geometry.to_index(proposal.center()));
    inside.then_some(inner)
}

/// The candidates of at least the recipe's score, measured, best first.
pub(crate) fn candidates(
    volume: &Volume<i16>,
    lungs: &Mask,
    infection: &Mask,
    found: &DetectorOutput,
    recipe: &ProposalRecipe,
) -> Vec<Candidate> {
    let boxes = candidate_boxes(lungs, infection, found, recipe.voxel_threshold);
    let enough = boxes.into_iter().filter(|(_, score)| *score >= recipe.score_threshold);
    enough.map(|(b, score)| candidate(volume, lungs, infection, b, f64::from(score))).collect()
}

/// Measures a box that holds lung voxels.
fn candidate(
    volume: &Volume<i16>,
    lungs: &Mask,
    infection: &Mask,
    box_voxels: VoxelBox,
    score: f64,
) -> Candidate {
    let (mut lung, mut right, mut infected, mut sum_hu) = (0usize, 0usize, 0usize, 0i64);
    each_marked_voxel(lungs, &box_voxels, |_, offset, label| {
        lung += 1;
        right += usize::from(label == RIGHT);
        infected += usize::from(infection.data[offset] != 0);
        sum_hu += i64::from(volume.data[offset]);
    });
    Candidate {
        box_mm: lungs.geometry.box_mm(&box_voxels),
        box_voxels,
        score,
        right: 2 * right >= lung,
        volume_ml: infected as f64 * lungs.geometry.voxel_ml(),
        mean_hu: sum_hu as f64 / lung as f64,
    }
}

/// Whether the voxel that holds a point is lung.
fn holds(lungs: &Mask, index: [f64; 3]) -> bool {
    let at = index.map(|i| (i + 0.5).floor());
    let size = lungs.size();
    (0..3).all(|a| at[a] >= 0.0 && at[a] < size[a] as f64) && lungs.at(at.map(|i| i as usize)) != 0
}

/// Calls `with` place, offset and label of each marked voxel of a box.
fn each_marked_voxel(mask: &Mask, b: &VoxelBox, mut with: impl FnMut([usize; 3], usize, u8)) {
    for z in b.min[2]..b.max[2] {
        for y in b.min[1]..b.max[1] {
            let start = mask.offset([0, y, z]);
            for x in b.min[0]..b.max[0] {
                let label = mask.data[start + x];
                if label != 0 {
                    with([x, y, z], start + x, label);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleura_volume::Geometry;

    /// 20 x 20 x 20 voxels of 2 mm; right lung x 4..9, left lung x 9..16, both y 5..15, z 5..15.
    fn chest() -> (Volume<i16>, Mask) {
        let geometry = Geometry::axis_aligned([20; 3], [-19.0, -19.0, 100.0], [2.0; 3]);
        let mut lungs = Mask::filled(geometry.clone(), 0);
        for z in 5..15 {
            for y in 5..15 {
                let row = lungs.offset([0, y, z]);
                lungs.data[row + 4..row + 9].fill(RIGHT);
                lungs.data[row + 9..row + 16].fill(LEFT);
            }
        }
        let volume =
            Volume { geometry, data: lungs.data.iter().map(|&l| if l == 0 { 40 } else { -800 }).collect() };
        (volume, lungs)
    }

    /// What the detector says, with a probability of 0.75 in a box of voxels and 0 elsewhere.
    fn found(lungs: &Mask, infected: &VoxelBox, proposals: &[(VoxelBox, f32)]) -> (DetectorOutput, Mask) {
        let size = lungs.size();
        let inside =
            |i: usize| infected.contains([i % size[0], i / size[0] % size[1], i / size[0] / size[1]]);
        let data = (0..lungs.data.len()).map(|i| if inside(i) { 0.75 } else { 0.0 }).collect();
        let infection = Volume { geometry: lungs.geometry.clone(), data };
        let mask = crate::infected_voxels(lungs, &infection, 0.5);
        let proposals = proposals.iter().map(|(b, s)| (lungs.geometry.box_mm(b), *s)).collect();
        (DetectorOutput { proposals, offsets: vec![], infection }, mask)
    }

    const NOTHING: VoxelBox = VoxelBox { min: [0; 3], max: [0; 3] };

    fn cube(min: [usize; 3], max: [usize; 3]) -> VoxelBox {
        VoxelBox { min, max }
    }

    #[test]
    fn a_group_that_a_proposal_meets_is_a_candidate_and_measured() {
        let (mut volume, lungs) = chest();
        // Voxels x 2..7 are infected, of them x 4..7 in the lung: 3 x 4 x 4 voxels, 0.384 ml.
        let infected = cube([2, 8, 8], [7, 12, 12]);
        for z in 8..12 {
            for y in 8..12 {
                let row = lungs.offset([0, y, z]);
                volume.data[row + 4..row + 7].fill(-300);
            }
        }
        let meeting = [(cube([3, 7, 7], [9, 13, 13]), 0.5), (cube([4, 8, 8], [8, 12, 12]), 0.25)];
        let (output, infection) = found(&lungs, &infected, &meeting);
        let boxes = candidate_boxes(&lungs, &infection, &output, 0.5);
        // The better proposal's 0.5 times 0.75.
        assert_eq!(boxes, [(cube([4, 8, 8], [7, 12, 12]), 0.375)]);
        let c = candidate(&volume, &lungs, &infection, boxes[0].0, 0.375);
        assert_eq!(c.box_mm, lungs.geometry.box_mm(&c.box_voxels));
        assert!(c.right && c.mean_hu == -300.0 && (c.volume_ml - 0.384).abs() < 1e-12, "{c:?}");
        // No proposal there, or too little: no candidate.
        let (alone, infection) = found(&lungs, &infected, &[]);
        assert!(candidate_boxes(&lungs, &infection, &alone, 0.5).is_empty());
        let (speck, infection) = found(&lungs, &cube([4, 8, 8], [6, 11, 12]), &meeting);
        assert!(candidate_boxes(&lungs, &infection, &speck, 0.5).is_empty(), "24 voxels, 0.192 ml");
    }

    #[test]
    fn what_crosses_from_lung_to_lung_is_a_candidate_of_each() {
        let (_, lungs) = chest();
        let infected = cube([6, 8, 8], [12, 12, 12]);
        let (output, infection) = found(&lungs, &infected, &[(cube([5, 7, 7], [13, 13, 13]), 0.5)]);
        let boxes: Vec<VoxelBox> =
            candidate_boxes(&lungs, &infection, &output, 0.5).into_iter().map(|b| b.0).collect();
        assert_eq!(boxes, [cube([6, 8, 8], [9, 12, 12]), cube([9, 8, 8], [12, 12, 12])]);
    }

    #[test]
    fn a_proposal_without_infected_voxels_is_clipped_to_the_lungs() {
        let (_, lungs) = chest();
        let proposals = [
            (cube([2, 8, 8], [8, 12, 12]), 0.5),
            // The same place again.
            (cube([3, 8, 8], [8, 12, 12]), 0.75),
            // A sixth is lung, the centre is not; then none at all.
            (cube([14, 13, 13], [20, 16, 16]), 0.9),
            (cube([0, 0, 0], [3, 3, 3]), 0.9),
        ];
        let (output, infection) = found(&lungs, &NOTHING, &proposals);
        assert_eq!(candidate_boxes(&lungs, &infection, &output, 0.5), [(cube([4, 8, 8], [8, 12, 12]), 0.75)]);
    }
}
