//! The built-in detector: its proposals come from its proposal head, and its offsets earn their keep.

use pleura_lungs::{LungOptions, Lungs, find};
use pleura_nets::{Model, specs};
use pleura_phantom::{Class, Grid, Phantom, RenderOptions, render};
use pleura_screen::{Candidate, LoadedDetector, detect};
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

/// (share of truth regions of at least 1 ml hit, mean over them of the best IoU with a proposal)
fn score(all: &[Vec<Candidate>], cases: &[(Phantom, Lungs)]) -> (f64, f64) {
    let (mut hit, mut iou, mut of) = (0.0, 0.0, 0.0);
    for (found, (phantom, _)) in all.iter().zip(cases) {
        for region in phantom.regions.iter().filter(|r| r.volume_ml >= 1.0) {
            of += 1.0;
            hit += f64::from(u8::from(found.iter().any(|c| hits(&c.box_mm, &region.box_mm))));
            iou += found.iter().map(|c| c.box_mm.iou(&region.box_mm)).fold(0.0, f64::max);
        }
    }
    assert!(of > 0.0, "the phantoms hold no regions");
    (hit / of, iou / of)
}

/// The built-in detector with some tensors of a head set to zero.
fn without(names: &[String]) -> Model {
    let mut model = built_in();
    for name in names {
        model.weights.0.get_mut(name).unwrap().data.fill(0.0);
    }
    Model::new(model.manifest, model.weights).unwrap()
}

#[test]
fn proposals_come_from_the_proposal_head_and_its_offsets_beat_the_bare_anchors() {
    let cases = cases();
    let (recall, iou) = score(&proposals(built_in(), &cases), &cases);
    let deaf = without(&[format!("{}.weight", specs::OBJECTNESS)]);
    let (deaf_recall, _) = score(&proposals(deaf, &cases), &cases);
    let bare = without(&[format!("{}.weight", specs::OFFSETS), format!("{}.bias", specs::OFFSETS)]);
    let (_, bare_iou) = score(&proposals(bare, &cases), &cases);
    println!(
        "recall {recall:.3}, {deaf_recall:.3} with a zeroed head; IoU {iou:.3}, bare anchors {bare_iou:.3}"
    );
    assert!(recall > 0.3, "{recall}");
    assert!(deaf_recall < recall / 3.0, "{deaf_recall} of {recall} is left without the head");
    assert!(iou > bare_iou, "{iou} against {bare_iou} of bare anchors");
}
