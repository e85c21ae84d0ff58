//! Consolidated lung is lung: the truth of 20 phantoms with lobar consolidation against the mask.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

use pleura_lungs::{LungOptions, find};
use pleura_phantom::{Class, Grid, RenderOptions, render};
use pleura_volume::NoProgress;

#[test]
fn at_least_nine_tenths_of_consolidated_lobes_are_in_the_mask() {
    let (mut inside, mut all, mut worst) = (0usize, 0usize, 1.0f64);
    for seed in 0..20 {
        let grid = Grid::Detector { spacing_mm: 1.5 };
        let options = RenderOptions { grid, lobar_consolidation: true, ..RenderOptions::default() };
        let phantom = render(Class::ALL[seed as usize % 3], 1000 + seed, &options);
        let lungs = find(&phantom.volume, &LungOptions::default(), &NoProgress).unwrap();
        let consolidated = (0..phantom.volume.data.len()).filter(|&i| {
            phantom.infection.data[i] > 0 && phantom.lungs.data[i] > 0 && phantom.volume.data[i] > -300
        });
        let (mut hit, mut of) = (0usize, 0usize);
        for i in consolidated {
            of += 1;
            hit += usize::from(lungs.mask.data[i] > 0);
        }
        assert!(of > 1000, "seed {seed} has no consolidated lobe");
        let share = hit as f64 / of as f64;
        println!("seed {seed}: {share:.3} of {of}, {:?}", lungs.status);
        worst = worst.min(share);
        (inside, all) = (inside + hit, all + of);
    }
    let share = inside as f64 / all as f64;
    println!("{share:.4} of all, worst case {worst:.3}");
    assert!(share >= 0.9, "{share}");
}
