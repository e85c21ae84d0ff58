//! Free-response ROC: regions found against false regions a scan.

use crate::{Estimate, bootstrap};
use pleura_volume::Box3;
use serde::{Deserialize, Serialize};

/// False regions a scan at which recall is told.
pub const FALSE_REGIONS: [f64; 4] = [1.0, 2.0, 4.0, 8.0];

/// A candidate is a hit of a truth region: IoU at least 0.2, or its centre inside the region with a
/// volume ratio of at most 4 (docs/architecture.md, "Hit").
pub fn is_hit(candidate: &Box3, region: &Box3) -> bool {
    let (a, b) = (candidate.volume().max(1e-9), region.volume().max(1e-9));
    candidate.iou(region) >= 0.2 || (region.contains(candidate.center()) && (a / b).max(b / a) <= 4.0)
}

/// One scan: what was proposed and what is true of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FrocScan {
    /// Best score among the candidates that hit each region asked for; `None` where none does.
    pub hits: Vec<Option<f64>>,
    /// Scores of the candidates that hit nothing.
    pub false_scores: Vec<f64>,
}

impl FrocScan {
    /// Of scored candidates against truth regions; `asked` says of each region whether missing it is
    /// a miss. A candidate that hits only regions not asked for is neither right nor false.
    pub fn new(candidates: &[(Box3, f64)], regions: &[(Box3, bool)]) -> Self {
        let best = |region: &Box3| {
            let scores = candidates.iter().filter(|(b, _)| is_hit(b, region)).map(|c| c.1);
            scores.reduce(f64::max)
        };
        let alone = |(b, _): &&(Box3, f64)| !regions.iter().any(|(r, _)| is_hit(b, r));
        Self {
            hits: regions.iter().filter(|(_, asked)| *asked).map(|(r, _)| best(r)).collect(),
            false_scores: candidates.iter().filter(alone).map(|c| c.1).collect(),
        }
    }
}

/// The curve, from the strictest threshold on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Froc {
    /// Scans.
    pub scans: usize,
    /// Regions asked for in all of them.
    pub regions: usize,
    /// (false regions a scan, recall), rising.
    pub points: Vec<(f64, f64)>,
    /// Recall at most [`FALSE_REGIONS`] false regions a scan, resampled by scan.
    pub recall_at: Vec<(f64, Estimate)>,
    /// False regions a scan where every candidate counts: recall does not change beyond.
    pub most_false_regions: f64,
}

/// The curve over all scans.
pub fn froc(scans: &[FrocScan], seed: u64) -> Froc {
    let all: Vec<usize> = (0..scans.len()).collect();
    let points = curve(scans, &all);
    let at = |sample: &[usize]| {
        let points = curve(scans, sample);
        FALSE_REGIONS.iter().map(|&most| recall_at(&points, most)).collect()
    };
    let estimates = bootstrap(scans.len(), seed, at);
    let false_regions: usize = scans.iter().map(|s| s.false_scores.len()).sum();
    Froc {
        scans: scans.len(),
        regions: scans.iter().map(|s| s.hits.len()).sum(),
        recall_at: FALSE_REGIONS.into_iter().zip(estimates).collect(),
        most_false_regions: false_regions as f64 / scans.len() as f64,
        points,
    }
}

fn curve(scans: &[FrocScan], sample: &[usize]) -> Vec<(f64, f64)> {
    let of = || sample.iter().map(|&i| &scans[i]);
    let regions: usize = of().map(|s| s.hits.len()).sum();
    let hits = of().flat_map(|s| s.hits.iter().flatten().map(|&score| (score, true)));
    let wrong = of().flat_map(|s| s.false_scores.iter().map(|&score| (score, false)));
    let mut events: Vec<(f64, bool)> = hits.chain(wrong).collect();
    events.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut found, mut wrong) = (0usize, 0usize);
    let mut points = vec![(0.0, if regions == 0 { f64::NAN } else { 0.0 })];
    for (k, (score, hit)) in events.iter().enumerate() {
        if *hit {
            found += 1
        } else {
            wrong += 1
        }
        // Equal scores pass a threshold together.
        if events.get(k + 1).is_none_or(|next| next.0 < *score) {
            points.push((wrong as f64 / sample.len() as f64, found as f64 / regions as f64));
        }
    }
    points
}

/// Recall of the loosest threshold that costs no more than `most` false regions a scan.
fn recall_at(points: &[(f64, f64)], most: f64) -> f64 {
    points.iter().take_while(|p| p.0 <= most).last().map_or(f64::NAN, |p| p.1)
}

impl Froc {
    /// Recall at each number of false regions, as a table.
    pub fn to_markdown(&self) -> String {
        let mut out = String::from("| false regions a scan, at most | recall |\n|---|---|\n");
        for (most, recall) in &self.recall_at {
            out += &format!("| {most} | {} |\n", recall.cell());
        }
        let Self { regions, scans, most_false_regions: most, .. } = self;
        out + &format!(
            "\n{regions} truth regions in {scans} scans; the lowest threshold gives {most:.2} false regions a scan, \
             and recall rises no further beyond.\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_is_overlap_or_a_centre_inside_of_like_size() {
        let region = Box3::cube([0.0; 3], 20.0);
        assert!(is_hit(&Box3::cube([2.0, 0.0, 0.0], 20.0), &region));
        // 10 mm cube at the centre: IoU 1/8, volume ratio 8.
        assert!(!is_hit(&Box3::cube([0.0; 3], 10.0), &region));
        // 13 mm cube: ratio 3.6.
        assert!(is_hit(&Box3::cube([5.0, 0.0, 0.0], 13.0), &region));
        assert!(!is_hit(&Box3::cube([11.0, 0.0, 0.0], 13.0), &region));
    }

    #[test]
    fn recall_is_read_off_by_hand() {
        let cube = |x: f64| Box3::cube([x, 0.0, 0.0], 20.0);
        let candidates =
            [(cube(0.0), 0.9), (cube(2.0), 0.7), (cube(500.0), 0.8), (cube(200.0), 0.6), (cube(900.0), 0.5)];
        // The first region is hit twice, the second never, the third is not asked for.
        let regions = [(cube(1.0), true), (cube(100.0), true), (cube(201.0), false)];
        let scan = FrocScan::new(&candidates, &regions);
        assert_eq!(scan, FrocScan { hits: vec![Some(0.9), None], false_scores: vec![0.8, 0.5] });
        let clean = FrocScan { hits: vec![], false_scores: vec![0.95, 0.2] };
        let found = froc(&[scan, clean], 1);
        // By threshold: 0.95 a false one, 0.9 a hit, then three false ones.
        assert_eq!(found.points, [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (1.0, 0.5), (1.5, 0.5), (2.0, 0.5)]);
        assert_eq!((found.regions, found.most_false_regions), (2, 2.0));
        assert!(found.recall_at.iter().all(|(_, r)| r.value == 0.5));
        assert_eq!(recall_at(&found.points, 0.49), 0.0);
    }
}
