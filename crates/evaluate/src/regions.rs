//! Truth regions: which are asked for, and what they say of a case.

use crate::{FACTS, FrocScan};
use pleura_volume::Box3;
use std::collections::BTreeMap;

/// Least infected volume of a region that is asked for, ml (ours). What is smaller is too faint to be
/// a miss, and infected all the same: no negative either.
pub const LEAST_ML: f64 = 0.2;
/// Least longest edge of a region that counts as large, mm.
pub const LARGE_MM: f64 = 10.0;

/// Box in LPS mm and infected volume in ml.
pub type TrueRegion = (Box3, f64);

fn longest(b: &Box3) -> f64 {
    b.size().into_iter().fold(0.0, f64::max)
}

/// One scan's scored candidates against its truth regions: all that are asked for, and the large ones.
pub fn free_response(candidates: &[(Box3, f64)], regions: &[TrueRegion]) -> [FrocScan; 2] {
    [0.0, LARGE_MM].map(|least_mm| {
        let asked = |(b, ml): &TrueRegion| (*b, *ml >= LEAST_ML && longest(b) >= least_mm);
        FrocScan::new(candidates, &regions.iter().map(asked).collect::<Vec<_>>())
    })
}

/// What results are told apart by ([`FACTS`]): slice thickness in mm, noise in HU, and, where there are
/// any, number of the regions asked for and longest edge of the largest, mm.
pub fn case_facts(slice_mm: f64, noise_hu: f64, regions: &[TrueRegion]) -> BTreeMap<String, f64> {
    let edges: Vec<f64> = regions.iter().filter(|r| r.1 >= LEAST_ML).map(|r| longest(&r.0)).collect();
    let largest = edges.iter().copied().fold(0.0, f64::max);
    let values = [slice_mm, noise_hu, edges.len() as f64, largest];
    let known = if edges.is_empty() { 2 } else { values.len() };
    FACTS.iter().zip(values).take(known).map(|(name, value)| ((*name).to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_faint_regions_are_told_apart_by_hand() {
        let cube = |x: f64, edge: f64| Box3::cube([x, 0.0, 0.0], edge);
        // Large; small but dense enough; too faint to be asked for.
        let regions = [(cube(0.0, 12.0), 1.0), (cube(50.0, 8.0), 0.3), (cube(90.0, 30.0), 0.1)];
        let candidates = [(cube(0.0, 12.0), 0.9), (cube(90.0, 30.0), 0.8), (cube(300.0, 9.0), 0.7)];
        let [all, large] = free_response(&candidates, &regions);
        assert_eq!(all, FrocScan { hits: vec![Some(0.9), None], false_scores: vec![0.7] });
        assert_eq!(large, FrocScan { hits: vec![Some(0.9)], false_scores: vec![0.7] });
        let facts = case_facts(2.0, 11.0, &regions);
        assert_eq!(facts.values().copied().collect::<Vec<_>>(), [12.0, 2.0, 11.0, 2.0]);
        assert_eq!(
            case_facts(2.0, 11.0, &regions[2..]).len(),
            2,
            "nothing is said of lesions that are not asked for"
        );
    }
}
