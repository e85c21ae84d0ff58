//! A chest of plain shapes whose parts are known exactly.

#![allow(clippy::unwrap_used)]

use pleura_lungs::{LEFT, LungOptions, LungStatus, Lungs, RIGHT, find, volumes_ml};
use pleura_volume::{Cancelled, Geometry, NoProgress, Progress, Volume};

const SPACING: [f64; 3] = [1.5, 1.5, 3.0];
const SIZE: [usize; 3] = [240, 180, 90];

/// Millimetres from the middle of the grid.
fn place(i: usize) -> [f64; 3] {
    let [nx, ny, _] = SIZE;
    let v = [i % nx, i / nx % ny, i / (nx * ny)];
    std::array::from_fn(|a| (v[a] as f64 - (SIZE[a] as f64 - 1.0) / 2.0) * SPACING[a])
}

fn ellipsoid(p: [f64; 3], c: [f64; 3], r: [f64; 3]) -> bool {
    (0..3).map(|a| ((p[a] - c[a]) / r[a]).powi(2)).sum::<f64>() <= 1.0
}

fn in_right(p: [f64; 3]) -> bool {
    ellipsoid(p, [-68.0, 0.0, 0.0], [50.0, 75.0, 105.0])
}

fn in_left(p: [f64; 3]) -> bool {
    ellipsoid(p, [68.0, 0.0, 0.0], [50.0, 75.0, 105.0]) && !in_heart(p)
}

fn in_heart(p: [f64; 3]) -> bool {
    ellipsoid(p, [25.0, -20.0, -40.0], [45.0, 42.0, 45.0])
}

fn in_trachea(p: [f64; 3]) -> bool {
    p[0].hypot(p[1] - 5.0) <= 8.0 && p[2] > 10.0
}

fn in_stomach(p: [f64; 3]) -> bool {
    ellipsoid(p, [70.0, -30.0, -125.0], [30.0, 25.0, 12.0])
}

fn in_nodule(p: [f64; 3]) -> bool {
    ellipsoid(p, [-70.0, 0.0, 30.0], [9.0, 9.0, 9.0])
}

/// A wedge-like opacity on the outer wall of the right lung.
fn in_plaque(p: [f64; 3]) -> bool {
    in_right(p) && ellipsoid(p, [-118.0, 0.0, 0.0], [10.0, 7.0, 20.0])
}

/// Body, lungs, heart, windpipe, gas in the stomach, a nodule, a pleural opacity and a table.
fn chest() -> Volume<i16> {
    let geometry = Geometry::axis_aligned(SIZE, [0.0; 3], SPACING);
    let hu = |i: usize| {
        let p = place(i);
        let body = (p[0] / 155.0).powi(2) + (p[1] / 105.0).powi(2) <= 1.0;
        let table = (115.0..120.0).contains(&p[1]) && p[0].abs() < 170.0;
        match () {
            () if in_trachea(p) => -990,
            () if in_plaque(p) => 30,
            () if in_nodule(p) => 40,
            () if in_right(p) || in_left(p) => -850 + (i % 7) as i16 * 10,
            () if in_stomach(p) => -1000,
            () if body => 40,
            () if table => -400,
            () => -1000,
        }
    };
    let data = (0..geometry.len()).map(hu).collect();
    Volume { geometry, data }
}

fn in_right_base(p: [f64; 3]) -> bool {
    in_right(p) && p[2] < -20.0
}

/// The chest with another lower part of the right lung.
fn with_base(hu: impl Fn(usize, [f64; 3]) -> i16) -> Volume<i16> {
    let mut v = chest();
    for i in 0..v.data.len() {
        if in_right_base(place(i)) {
            v.data[i] = hu(i, place(i));
        }
    }
    v
}

/// About a standard normal, the same for the same voxel: the sum of twelve even numbers (SplitMix64).
fn noise(i: usize) -> f64 {
    let even = |k: usize| {
        let mut z = (12 * i + k) as u64;
        z = z.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    (0..12).map(even).sum()
}

fn lungs_of(v: &Volume<i16>) -> Lungs {
    find(v, &LungOptions::default(), &NoProgress).unwrap()
}

fn share(lungs: &Lungs, label: Option<u8>, holds: impl Fn([f64; 3]) -> bool) -> f64 {
    let (mut hit, mut all) = (0.0, 0.0);
    for (_, &v) in lungs.mask.data.iter().enumerate().filter(|&(i, _)| holds(place(i))) {
        all += 1.0;
        hit += f64::from(u8::from(label.map_or(v != 0, |l| v == l)));
    }
    hit / f64::max(all, 1.0)
}

#[test]
fn lungs_are_found_and_told_apart_and_nothing_else_is() {
    let lungs = lungs_of(&chest());
    assert_eq!(lungs.status, LungStatus::Ok, "{:?}", lungs.reasons);
    assert!(share(&lungs, Some(RIGHT), in_right) > 0.98);
    assert!(share(&lungs, Some(LEFT), in_left) > 0.98);
    assert!(share(&lungs, None, in_nodule) > 0.99);
    assert!(share(&lungs, None, in_plaque) > 0.75, "{}", share(&lungs, None, in_plaque));
    assert!(share(&lungs, None, in_trachea) < 0.01, "{}", share(&lungs, None, in_trachea));
    assert!(share(&lungs, None, in_stomach) < 0.01);
    assert!(share(&lungs, None, |p| in_heart(p) && !in_right(p)) < 0.06);
    let stray = |p| !in_right(p) && !in_left(p) && !in_heart(p);
    assert!(share(&lungs, None, stray) < 0.01);
}

#[test]
fn an_airless_base_with_air_in_its_bronchi_is_lung() {
    let bronchus = |p: [f64; 3]| (p[0].rem_euclid(18.0) - 9.0).hypot(p[1].rem_euclid(18.0) - 9.0) < 3.0;
    let base = with_base(|_, p| if bronchus(p) { -280 } else { 40 });
    let found = share(&lungs_of(&base), Some(RIGHT), in_right_base);
    assert!(found > 0.8, "{found}");
}

/// Sharp kernels make it so dark here and there that it once passed for lung with bronchi.
#[test]
fn noisy_fat_is_no_airless_lung() {
    // Noise has a grain, here of two by two pixels: dark spots of it are as large as a bronchus.
    let grain = |i: usize| noise(i / SIZE[0] / 2 * SIZE[0] + i % SIZE[0] / 2);
    let fat = with_base(|i, _| (-100.0 + 40.0 * grain(i)) as i16);
    let found = share(&lungs_of(&fat), None, in_right_base);
    assert!(found < 0.1, "{found}");
}

/// Streaks of dark noise between the muscles of a shoulder, whose bone lies far out, once made 150 ml of it lung.
#[test]
fn a_shoulder_with_streaks_is_no_airless_lung() {
    let mut v = chest();
    for i in 0..v.data.len() {
        let p = place(i);
        // In front both lungs are narrow there, behind they are as wide as below.
        let narrowed = p[0].abs() > 58.0 && p[1] < 10.0 && p[2] > 40.0 && (in_right(p) || in_left(p));
        let flesh = (p[0] / 175.0).powi(2) + (p[1] / 110.0).powi(2) <= 1.0 && v.data[i] == -1000;
        let bone = (-156.0..-146.0).contains(&p[0]) && (-45.0..10.0).contains(&p[1]) && p[2] > 30.0;
        let streak = (-130.0..-80.0).contains(&p[0]) && (p[1].abs() - 14.0).hypot(p[2] - 70.0) < 3.0;
        if narrowed || flesh && !in_stomach(p) {
            v.data[i] = 40;
        }
        if v.data[i] == 40 && (bone || streak) {
            v.data[i] = if bone { 600 } else { -300 };
        }
    }
    let is_shoulder =
        |p: [f64; 3]| p[0] < -80.0 && (-30.0..0.0).contains(&p[1]) && (50.0..90.0).contains(&p[2]);
    let found = share(&lungs_of(&v), None, is_shoulder);
    assert!(found < 0.01, "{found}");
}

#[test]
fn volumes_are_those_of_the_ellipsoids() {
    let [right, left] = volumes_ml(&lungs_of(&chest()).mask);
    let voxel_ml = SPACING.iter().product::<f64>() / 1000.0;
    let count = |f: fn([f64; 3]) -> bool| {
        (0..SIZE.iter().product()).filter(|&i| f(place(i))).count() as f64 * voxel_ml
    };
    assert!((right / count(in_right) - 1.0).abs() < 0.03, "{right}");
    assert!((left / count(in_left) - 1.0).abs() < 0.03, "{left}");
}

#[test]
fn the_thread_count_changes_nothing() {
    let volume = chest();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| lungs_of(&volume)).mask
    };
    assert_eq!(with(1).data, with(3).data);
}

#[test]
fn one_missing_lung_is_partial() {
    let mut v = chest();
    for i in 0..v.data.len() {
        if in_left(place(i)) {
            v.data[i] = 40;
        }
    }
    let lungs = lungs_of(&v);
    assert_eq!(lungs.status, LungStatus::Partial);
    assert_eq!(lungs.reasons[0], "The left lung was not found.");
}

#[test]
fn lungs_cut_by_the_last_slice_are_partial_and_tips_are_not_a_chest() {
    let v = chest();
    let n = SIZE[0] * SIZE[1];
    let first = |slices: usize| {
        let geometry = Geometry::axis_aligned([SIZE[0], SIZE[1], slices], [0.0; 3], SPACING);
        lungs_of(&Volume { geometry, data: v.data[..slices * n].to_vec() })
    };
    let cut = first(60);
    assert_eq!(cut.status, LungStatus::Partial);
    assert!(cut.reasons[0].starts_with("The tops of the lungs are cut off"), "{:?}", cut.reasons);
    let bases = first(30);
    assert_eq!(bases.status, LungStatus::NotFound, "{:?}", bases.reasons);
    assert!(bases.mask.data.iter().any(|&v| v != 0), "the best mask is given all the same");
}

#[test]
fn a_head_with_its_sinuses_is_no_chest() {
    let geometry = Geometry::axis_aligned([200, 200, 60], [0.0; 3], [1.2, 1.2, 3.0]);
    let hu = |i: usize| {
        let p = [i % 200, i / 200 % 200, i / 40000];
        let at = |c: [f64; 3], r: f64| {
            let d: f64 = (0..3).map(|a| ((p[a] as f64 - c[a]) * [1.2, 1.2, 3.0][a]).powi(2)).sum();
            d.sqrt() < r
        };
        match () {
            () if at([85.0, 60.0, 20.0], 15.0) || at([115.0, 60.0, 20.0], 15.0) => -980,
            () if at([100.0, 100.0, 30.0], 85.0) => 40,
            () => -1000,
        }
    };
    let data = (0..geometry.len()).map(hu).collect();
    let lungs = lungs_of(&Volume { geometry, data });
    assert_eq!(lungs.status, LungStatus::NotFound);
    assert_eq!(lungs.reasons.len(), 1);
}

#[test]
fn odd_volumes_are_answered_without_a_panic() {
    for hu in [-1000, -850, 0, 3000, i16::MIN, i16::MAX] {
        for size in [[3, 3, 1], [1, 1, 1], [40, 30, 2], [64, 64, 1], [1, 50, 3], [9, 1, 40]] {
            for spacing in [[0.7, 0.7, 5.0], [0.01, 0.01, 0.01], [30.0, 30.0, 100.0], [0.5, 4.0, 1.0]] {
                let v = Volume::filled(Geometry::axis_aligned(size, [0.0; 3], spacing), hu);
                let lungs = lungs_of(&v);
                assert_eq!(lungs.status, LungStatus::NotFound);
                assert!(!lungs.reasons.is_empty());
            }
        }
    }
    let nothing = Volume { geometry: Geometry::axis_aligned([0, 4, 2], [0.0; 3], [1.0; 3]), data: vec![] };
    assert_eq!(lungs_of(&nothing).status, LungStatus::NotFound);
    // One and two slices of a chest, at spacings that do not fit it.
    let v = chest();
    let n = SIZE[0] * SIZE[1];
    for slices in [1, 2] {
        for spacing in [SPACING, [0.02, 0.02, 0.02], [20.0, 20.0, 80.0]] {
            let geometry = Geometry::axis_aligned([SIZE[0], SIZE[1], slices], [0.0; 3], spacing);
            let data = v.data[45 * n..(45 + slices) * n].to_vec();
            assert_ne!(lungs_of(&Volume { geometry, data }).status, LungStatus::Ok);
        }
    }
}

#[test]
fn a_cancelled_search_ends() {
    struct No;
    impl Progress for No {
        fn cancelled(&self) -> bool {
            true
        }
    }
    assert_eq!(find(&chest(), &LungOptions::default(), &No).unwrap_err(), Cancelled);
}
