//! What every phantom must be. Most on a 4 mm grid, where a phantom takes a fraction of a second.

mod fingerprint;

use fingerprint::fingerprint as hash;
use pleura_phantom::{
    Class, Grid, MAX_EDGE_MM, Phantom, RenderOptions, TextureFamily, render, truth_regions,
};
use std::collections::HashSet;

fn coarse() -> RenderOptions {
    RenderOptions { grid: Grid::Detector { spacing_mm: 4.0 }, ..Default::default() }
}

fn median(mut v: Vec<i16>) -> i16 {
    v.sort_unstable();
    v[v.len() / 2]
}

/// Mean voxel index of the voxels that hold.
fn centre(p: &Phantom, holds: impl Fn([usize; 3], i16, u8) -> bool) -> Option<[f64; 3]> {
    let [nx, ny, _] = p.volume.size();
    let (mut sum, mut n) = ([0.0; 3], 0.0);
    for (i, (&hu, &lung)) in p.volume.data.iter().zip(&p.lungs.data).enumerate() {
        let v = [i % nx, i / nx % ny, i / nx / ny];
        if holds(v, hu, lung) {
            (0..3).for_each(|a| sum[a] += v[a] as f64);
            n += 1.0;
        }
    }
    (n > 0.0).then(|| sum.map(|s| s / n))
}

#[test]
fn the_patient_lies_as_the_convention_says() {
    for seed in [0, 1, 2] {
        let p = render(Class::NoInfection, seed, &coarse());
        let contrast_medium = p.latents.other["blood_hu"] > 100.0;
        assert_eq!(p.volume.geometry.axes, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        let right = centre(&p, |_, _, l| l == 1).unwrap();
        let left = centre(&p, |_, _, l| l == 2).unwrap();
        let middle = [0, 1, 2].map(|a| (right[a] + left[a]) / 2.0);
        assert!(right[0] + 15.0 < left[0], "x runs to the patient's left");
        // bone lies behind, at the spine, more than in front
        let back = centre(&p, |v, hu, _| hu > 300 && (v[0] as f64 - middle[0]).abs() < 6.0).unwrap();
        assert!(
            contrast_medium || back[1] > middle[1] + 3.0,
            "the spine is at the back: {back:?} {middle:?}"
        );
        // the heart: soft tissue beside the midline at the lungs' lower half lies to the left
        let lungs = p.lungs.bounding_box(|l| l != 0).unwrap();
        let z = lungs.min[2] + (lungs.max[2] - lungs.min[2]) * 45 / 100;
        let between = |v: [usize; 3]| v[2].abs_diff(z) < 3 && (v[1] as f64) < middle[1] && lungs.contains(v);
        let inside = |v: [usize; 3]| (v[0] as f64 - middle[0]).abs() < 17.0;
        let heart = centre(&p, |v, hu, l| l == 0 && hu > -20 && between(v) && inside(v)).unwrap();
        assert!(heart[0] > middle[0], "the heart is on the left: {heart:?} {middle:?}");
        // the liver: under the right lung there is dense tissue, under the left fat and stomach too
        let low = |v: [usize; 3]| v[2] < lungs.min[2] + 9;
        let dense = |right: bool| {
            let side = |v: [usize; 3]| {
                ((v[0] as f64) < middle[0]) == right && (v[0] as f64 - middle[0]).abs() < 19.0
            };
            centre(&p, |v, hu, _| low(v) && side(v) && hu < -40 && hu > -150).map_or(0.0, |_| {
                p.volume
                    .data
                    .iter()
                    .enumerate()
                    .filter(|&(i, &hu)| {
                        let [nx, ny, _] = p.volume.size();
                        let v = [i % nx, i / nx % ny, i / nx / ny];
                        low(v) && side(v) && (30..140).contains(&hu)
                    })
                    .count() as f64
            })
        };
        assert!(dense(true) > dense(false), "the liver is on the right");
    }
}

#[test]
fn truth_lies_in_the_lungs_and_agrees_with_the_class() {
    for class in Class::ALL {
        for seed in 10..12 {
            let p = render(class, seed, &coarse());
            let outside =
                p.infection.data.iter().zip(&p.lungs.data).filter(|&(&i, &l)| i != 0 && l == 0).count();
            assert_eq!(outside, 0);
            let infected = p.infection.data.iter().filter(|&&i| i != 0).count();
            assert_eq!(infected > 0, class != Class::NoInfection, "{class:?} {seed}");
            assert_eq!(p.regions, truth_regions(&p.infection));
            assert!(p.regions.iter().all(|r| r.box_mm.size().iter().all(|&e| e <= MAX_EDGE_MM + 1e-6)));
            let lungs = p.lungs.geometry.box_mm(&p.lungs.bounding_box(|l| l != 0).unwrap());
            for r in p.regions.iter().chain(&p.irrelevant) {
                assert!(lungs.contains(r.box_mm.min) && lungs.contains(r.box_mm.max));
            }
            let inner = p.lungs.bounding_box(|l| l != 0).unwrap();
            let size = p.lungs.size();
            assert!(
                (0..3).all(|a| inner.min[a] > 0 && inner.max[a] < size[a]),
                "the lungs are whole: {inner:?} {size:?}"
            );
            let ml = p.lungs.data.iter().filter(|&&l| l != 0).count() as f64 * p.lungs.geometry.voxel_ml();
            assert!((1800.0..9500.0).contains(&ml), "{ml} ml of lung");
        }
    }
}

#[test]
fn tissues_have_their_hu() {
    let p = render(Class::NoInfection, 21, &coarse());
    let of = |holds: &dyn Fn(i16, u8) -> bool| -> Vec<i16> {
        p.volume.data.iter().zip(&p.lungs.data).filter(|&(&h, &l)| holds(h, l)).map(|(&h, _)| h).collect()
    };
    let lung = median(of(&|_, l| l != 0));
    assert!((-930..-600).contains(&lung), "{lung}");
    let body = of(&|h, l| l == 0 && h > -300);
    let fat = body.iter().filter(|h| (-130..-60).contains(*h)).count();
    let soft = body.iter().filter(|h| (0..120).contains(*h)).count();
    let bone = body.iter().filter(|h| (200..1500).contains(*h)).count();
    let n = body.len();
    assert!(fat * 20 > n && soft * 5 > n && bone * 100 > n, "{fat} {soft} {bone} of {n}");
    let air = median(of(&|h, l| l == 0 && h < -900));
    assert!((-1024..-960).contains(&air), "{air}");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let with = |threads: usize, options: &RenderOptions| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| hash(&render(Class::Covid19, 5, options)))
    };
    assert_eq!(with(1, &coarse()), with(3, &coarse()));
    let scanner = RenderOptions { slices: 4, ..Default::default() };
    assert_eq!(with(1, &scanner), with(3, &scanner));
}

#[test]
fn every_choice_changes_the_phantom_and_only_the_class_changes_lesions() {
    let base = render(Class::Covid19, 7, &coarse());
    let others = [
        render(Class::InfluenzaA, 7, &coarse()),
        render(Class::Covid19, 8, &coarse()),
        render(Class::Covid19, 7, &RenderOptions { texture: TextureFamily::B, ..coarse() }),
        render(Class::Covid19, 7, &RenderOptions { body_seed: Some(3), ..coarse() }),
    ];
    let hashes: HashSet<u64> = others.iter().chain([&base]).map(hash).collect();
    assert_eq!(hashes.len(), 5);
    // another class, the same scanner and grid
    assert_eq!(base.volume.geometry, others[0].volume.geometry);
    assert_eq!(base.latents.noise_hu, others[0].latents.noise_hu);
    // the same patient again: same lungs wherever both are scanned with one seed
    let again = render(Class::Covid19, 7, &RenderOptions { body_seed: Some(3), ..coarse() });
    assert_eq!(hash(&again), hash(&others[3]));
}

#[test]
fn lobar_consolidation_is_large_solid_and_reaches_the_pleura() {
    for seed in 0..2 {
        let p = render(Class::Covid19, seed, &RenderOptions { lobar_consolidation: true, ..coarse() });
        let [nx, ny, _] = p.volume.size();
        let solid: Vec<usize> = (0..p.volume.data.len())
            .filter(|&i| p.infection.data[i] != 0 && p.volume.data[i] > -250)
            .collect();
        let ml = solid.len() as f64 * p.volume.geometry.voxel_ml();
        assert!(ml > 60.0, "{ml} ml solid");
        let touching = solid.iter().filter(|&&i| {
            [i - 1, i + 1, i - nx, i + nx, i - nx * ny, i + nx * ny].iter().any(|&j| p.lungs.data[j] == 0)
        });
        assert!(touching.count() * 50 > solid.len(), "reaches the pleura");
        assert!(solid.iter().all(|&i| p.lungs.data[i] != 0), "consolidated lung is lung");
    }
}

#[test]
fn a_scanner_phantom_has_the_slices_asked_for() {
    let p = render(Class::InfluenzaA, 3, &RenderOptions { slices: 9, ..Default::default() });
    assert_eq!(p.volume.size(), [512, 512, 9]);
    let g = &p.volume.geometry;
    assert!((0.45..1.0).contains(&g.spacing_mm[0]) && g.spacing_mm[0] == g.spacing_mm[1]);
    assert!(g.spacing_mm[2] * 9.0 > 200.0, "the slices cover the chest");
    assert!(p.volume.data.iter().all(|h| (-2000..=3071).contains(h)));
}
