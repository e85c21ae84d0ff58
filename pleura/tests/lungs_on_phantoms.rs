//! Consolidated lung is lung: the truth of phantoms with lobar consolidation against the mask.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

use pleura_lungs::{LungOptions, find};
use pleura_phantom::{Class, Grid, RenderOptions, render};
use pleura_volume::NoProgress;

/// Measures `cases` phantoms of a grid: the share of all their consolidated voxels that lies in the
/// masks, the mean of the shares, and the mean volume that the masks hold too much, ml.
fn measure(grid: Grid, cases: u64) -> [f64; 3] {
    let (mut inside, mut all) = (0usize, 0usize);
    let (mut shares, mut over_ml) = (0.0, 0.0);
    for case in 0..cases {
        // Developed on seeds from 1000 on; of those from 7000 on it once missed whole lobes.
        let seed = if case % 2 == 0 { 1000 } else { 7000 } + case / 2;
        let options = RenderOptions { grid, lobar_consolidation: true, ..RenderOptions::default() };
        let phantom = render(Class::ALL[(seed % 1000) as usize % 3], seed, &options);
        let lungs = find(&phantom.volume, &LungOptions::default(), &NoProgress).unwrap();
        let (mut hit, mut of, mut over) = (0usize, 0usize, 0usize);
        for (i, (&found, &truth)) in lungs.mask.data.iter().zip(&phantom.lungs.data).enumerate() {
            let consolidated = phantom.infection.data[i] > 0 && phantom.volume.data[i] > -300;
            of += usize::from(truth > 0 && consolidated);
            hit += usize::from(truth > 0 && consolidated && found > 0);
            over += usize::from(truth == 0 && found > 0);
        }
        assert!(of > 1000, "seed {seed} has no consolidated lobe");
        let (share, ml) = (hit as f64 / of as f64, over as f64 * phantom.volume.geometry.voxel_ml());
        println!("{grid:?} seed {seed}: {share:.3} of {of}, {ml:.0} ml too much, {:?}", lungs.status);
        (inside, all) = (inside + hit, all + of);
        (shares, over_ml) = (shares + share, over_ml + ml);
    }
    [inside as f64 / all as f64, shares / cases as f64, over_ml / cases as f64]
}

fn check(grid: Grid, cases: u64, [least, least_mean]: [f64; 2]) {
    let [pooled, mean, over_ml] = measure(grid, cases);
    println!("{grid:?}: {pooled:.4} of all, {mean:.4} a case, {over_ml:.0} ml too much a case");
    assert!(pooled >= least, "{pooled}");
    assert!(mean >= least_mean, "{mean}");
    // Of some four litres; about a third of it is the rim where voxels are part lung, part wall.
    assert!(over_ml <= 330.0, "{over_ml}");
}

/// Nine tenths of all of it; of the mean lobe less (0.89), as one of twenty shows next to no air and is left
/// out (a share of 0.14).
#[test]
fn at_least_nine_tenths_of_consolidated_lung_is_in_the_mask_at_2_mm() {
    check(Grid::Detector { spacing_mm: 2.0 }, 20, [0.9, 0.88]);
}

/// Short of nine tenths: on this grid two of the twenty lobes show so little air in their bronchi that
/// they are left out whole (shares of 0.13 and 0.17), as lobes without any air are.
#[test]
fn at_least_eight_tenths_of_consolidated_lung_is_in_the_mask_at_1_5_mm() {
    check(Grid::Detector { spacing_mm: 1.5 }, 20, [0.8, 0.8]);
}

#[test]
fn at_least_nine_tenths_of_consolidated_lung_is_in_the_mask_of_a_scanner() {
    check(Grid::Scanner, 6, [0.9, 0.9]);
}
