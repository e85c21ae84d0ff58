//! The built-in detector: its proposals come from its proposal head, and its offsets earn their keep.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

use pleura_lungs::{LungOptions, Lungs, find};
use pleura_nets::boxes::{AnchorMatch, anchor_boxes, decode, feature_grid, match_anchors};
use pleura_nets::{Model, specs};
use pleura_phantom::{Class, Grid, Phantom, RenderOptions, render};
use pleura_screen::{Candidate, LoadedDetector, detect, detector_grid, detector_input};
use pleura_volume::{Box3, NoProgress};

fn built_in() -> Model {
    Model::from_bytes(include_bytes!("../../models/detector.safetensors")).unwrap()
}

fn cases() -> Vec<(Phantom, Lungs)> {
    let options = RenderOptions { grid: Grid::Detector { spacing_mm: 2.0 }, ..RenderOptions::default() };
    let make = |seed: u64| {
        let class = if seed.is_multiple_of(2) { Class::Covid19 } else { Class::InfluenzaA };
        let phantom = render(class, 7000 + seed, &options);
        let lungs = find(&phantom.volume, &LungOptions::default(), &NoProgress).unwrap();
        (phantom, lungs)
    };
    (0..6).map(make).collect()
}

/// What a detector proposes for each case.
fn proposals(model: Model, cases: &[(Phantom, Lungs)]) -> Vec<Vec<Candidate>> {
    let detector = LoadedDetector::new(model).unwrap();
    let of =
        |(p, l): &(Phantom, Lungs)| detect(&p.volume, &l.mask, &detector, &NoProgress).unwrap().candidates;
    cases.iter().map(of).collect()
}

/// IoU of at least 0.2, or the candidate's centre inside the region with a volume ratio of at most 4.
fn hits(candidate: &Box3, region: &Box3) -> bool {
    let ratio = candidate.volume() / region.volume();
    let centre = std::array::from_fn(|a| (candidate.min[a] + candidate.max[a]) / 2.0);
    candidate.iou(region) >= 0.2 || (region.contains(centre) && (0.25..=4.0).contains(&ratio))
}

/// Share of truth regions of at least 1 ml that a proposal hits.
fn recall(all: &[Vec<Candidate>], cases: &[(Phantom, Lungs)]) -> f64 {
    let (mut hit, mut of) = (0.0, 0.0);
    for (found, (phantom, _)) in all.iter().zip(cases) {
        for region in phantom.regions.iter().filter(|r| r.volume_ml >= 1.0) {
            of += 1.0;
            hit += f64::from(u8::from(found.iter().any(|c| hits(&c.box_mm, &region.box_mm))));
        }
    }
    assert!(of > 0.0, "the phantoms hold no regions");
    hit / of
}

#[test]
fn proposals_come_from_the_proposal_head() {
    let cases = cases();
    let whole = recall(&proposals(built_in(), &cases), &cases);
    let mut model = built_in();
    model.weights.0.get_mut(&format!("{}.weight", specs::OBJECTNESS)).unwrap().data.fill(0.0);
    let deaf = Model::new(model.manifest, model.weights).unwrap();
    let without = recall(&proposals(deaf, &cases), &cases);
    println!("recall {whole:.3}, {without:.3} with a zeroed head");
    assert!(whole > 0.2, "{whole}");
    assert!(without < whole / 3.0, "{without} of {whole} is left without the head");
}

/// Anchors that overlap a truth region by an IoU of at least 0.3: as they are, and with the offsets
/// that the head gives them.
#[test]
fn the_offsets_beat_the_bare_anchors() {
    let detector = LoadedDetector::new(built_in()).unwrap();
    let (mut bare, mut moved, mut count) = (0.0, 0.0, 0.0);
    for (phantom, lungs) in cases() {
        let [sz, sy, sx] = detector.executor.spec().total_stride().unwrap();
        let grid = detector_grid(&lungs.mask, detector.spacing_mm, [sx, sy, sz]).unwrap();
        let x = detector_input(&phantom.volume, &lungs.mask, &grid, detector.interpolation, &detector.input)
            .unwrap();
        let [nx, ny, nz] = grid.size;
        let outputs = detector.executor.run_selected(&x, [1, nz, ny, nx], None, &[specs::OFFSETS]).unwrap();
        let spec = &detector.proposals.anchors;
        let anchors = anchor_boxes(spec, feature_grid(spec, &grid), &grid);
        let (offsets, _) = outputs[0].data.as_chunks::<6>();
        assert_eq!(anchors.len(), offsets.len());
        let truth: Vec<Box3> = phantom.regions.iter().map(|r| r.box_mm).collect();
        let matches = match_anchors(&anchors, &truth, 0.3, 0.1);
        for ((anchor, offsets), found) in anchors.iter().zip(offsets).zip(matches) {
            let AnchorMatch::Positive(i) = found else { continue };
            bare += anchor.iou(&truth[i]);
            moved += decode(anchor, offsets).iou(&truth[i]);
            count += 1.0;
        }
    }
    let (bare, moved) = (bare / count, moved / count);
    println!("IoU {moved:.3} of {count} anchors with their offsets, {bare:.3} bare");
    assert!(moved > bare + 0.02, "{moved} against {bare} of bare anchors");
}
