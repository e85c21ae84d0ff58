//! Whether a scan is like those that the networks were calibrated on.

use pleura_nets::ScanRange;
use pleura_volume::{Mask, Volume};
use rayon::prelude::*;

/// Most slices that noise is measured in.
const NOISE_SLICES: usize = 32;
/// Means of 3 x 3 pixels that count as soft tissue, HU.
const TISSUE_HU: [i32; 2] = [0, 100];
/// Least pixels of soft tissue that tell the noise.
const LEAST_PIXELS: u64 = 1000;
/// Scans that set limits; the range of fewer says little.
const LEAST_SCANS: usize = 20;
/// Noise and slice spacing may go beyond what was calibrated on by this factor, median lung HU by this
/// distance (ours): little is lost just beyond, and few of the outermost scans are met.
const BEYOND_FACTOR: f32 = 1.25;
const BEYOND_HU: f32 = 50.0;

/// What of a scan is compared with those of the calibration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScanFacts {
    /// Longest edge of a voxel, mm: commonly the distance of slices.
    pub slice_mm: f32,
    /// Standard deviation of the noise in soft tissue, HU; none where there is too little.
    pub noise_hu: Option<f32>,
    /// Median HU of the lungs: lesions move it little.
    pub lung_hu: f32,
}

impl ScanFacts {
    /// Measures a scan with its lungs, on the same grid.
    pub fn new(volume: &Volume<i16>, lungs: &Mask) -> Self {
        Self {
            slice_mm: volume.geometry.spacing_mm.into_iter().fold(0.0, f64::max) as f32,
            noise_hu: noise_hu(volume),
            lung_hu: lung_hu(volume, lungs),
        }
    }

    /// The range of many; none of fewer than [`LEAST_SCANS`], or where none tells its noise.
    pub fn range(all: impl IntoIterator<Item = Self>) -> Option<ScanRange> {
        let all: Vec<Self> = all.into_iter().collect();
        let most = |of: fn(&Self) -> Option<f32>| all.iter().filter_map(of).reduce(f32::max);
        let (least_lung, most_lung) = (most(|f| Some(-f.lung_hu))?, most(|f| Some(f.lung_hu))?);
        let range = ScanRange {
            most_slice_mm: most(|f| Some(f.slice_mm))?,
            most_noise_hu: most(|f| f.noise_hu)?,
            lung_hu: [-least_lung, most_lung],
        };
        (all.len() >= LEAST_SCANS).then_some(range)
    }

    /// What lies beyond all that was calibrated on, as sentences; none for a scan like those.
    pub fn beyond(&self, known: &ScanRange) -> Vec<String> {
        let [least, most] = known.lung_hu;
        let slices = (self.slice_mm > BEYOND_FACTOR * known.most_slice_mm).then(|| {
            let (own, most) = (self.slice_mm, known.most_slice_mm);
            format!("Voxels are up to {own:.1} mm long; the networks were calibrated on up to {most:.1} mm.")
        });
        let noise = self.noise_hu.filter(|own| *own > BEYOND_FACTOR * known.most_noise_hu).map(|own| {
            let most = known.most_noise_hu;
            format!(
                "The noise in soft tissue is {own:.0} HU; the networks were calibrated on up to {most:.0} HU."
            )
        });
        let lungs = (!(least - BEYOND_HU..=most + BEYOND_HU).contains(&self.lung_hu)).then(|| {
            let own = self.lung_hu;
            format!(
                "The lungs have a median of {own:.0} HU; the networks were calibrated on {least:.0} to {most:.0} HU."
            )
        });
        [slices, noise, lungs].into_iter().flatten().collect()
    }
}

/// Standard deviation of the noise in soft tissue, HU, from up to [`NOISE_SLICES`] slices; `None` where
/// there is too little of it.
///
/// The mask 1 -2 1, -2 4 -2, 1 -2 1 leaves out what is flat or slopes (Immerkaer 1996); the median of its
/// magnitude, here over soft tissue, leaves out edges. White noise of deviation s gives it 6 s; noise that
/// a smooth kernel blurs gives less, as it troubles a network less.
fn noise_hu(volume: &Volume<i16>) -> Option<f32> {
    let [nx, ny, nz] = volume.size();
    if nx < 3 || ny < 3 {
        return None;
    }
    let step = nz.div_ceil(NOISE_SLICES);
    let counts = (0..nz)
        .into_par_iter()
        .filter(|z| z % step == step / 2)
        .map(|z| magnitudes(&volume.data[z * nx * ny..(z + 1) * nx * ny], nx))
        .reduce(|| vec![0u64; MOST], |a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect());
    let all: u64 = counts.iter().sum();
    if all < LEAST_PIXELS {
        return None;
    }
    Some(median(&counts)? as f32 / (6.0 * 0.6745))
}

/// Median HU of the lungs; 0 where there are none.
fn lung_hu(volume: &Volume<i16>, lungs: &Mask) -> f32 {
    const LEAST: i16 = -1024;
    const LEVELS: usize = 2048;
    let count = |mut counts: Vec<u64>, (&v, &lung): (&i16, &u8)| {
        if lung != 0 {
            counts[(usize::from(v.max(LEAST).abs_diff(LEAST))).min(LEVELS - 1)] += 1;
        }
        counts
    };
    let counts = volume
        .data
        .par_iter()
        .zip(&lungs.data)
        .with_min_len(1 << 16)
        .fold(|| vec![0u64; LEVELS], count)
        .reduce(|| vec![0u64; LEVELS], |a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect());
    median(&counts).map_or(0.0, |level| f32::from(LEAST) + level as f32)
}

/// Index at which half of all is reached; none where there is nothing.
fn median(counts: &[u64]) -> Option<usize> {
    let all: u64 = counts.iter().sum();
    let mut below = 0;
    counts.iter().position(|c| {
        below += c;
        all > 0 && 2 * below >= all
    })
}

/// Magnitudes of the mask's answer that are told apart.
const MOST: usize = 4096;

/// How often each magnitude occurs in the soft tissue of a slice of rows of `nx`.
fn magnitudes(slice: &[i16], nx: usize) -> Vec<u64> {
    let mut counts = vec![0; MOST];
    let rows: Vec<&[i16]> = slice.chunks_exact(nx).collect();
    for three in rows.windows(3) {
        for x in 1..nx - 1 {
            let at = |row: usize, x: usize| i32::from(three[row][x]);
            let across = |row: usize| [at(row, x - 1), at(row, x), at(row, x + 1)];
            let [above, own, under] = [0, 1, 2].map(across);
            let nine = || [above, own, under].into_iter().flatten();
            let sum: i32 = nine().sum();
            // What is quite even was never measured: padding.
            if nine().all(|v| v == own[1]) || !(9 * TISSUE_HU[0]..=9 * TISSUE_HU[1]).contains(&sum) {
                continue;
            }
            let second = |r: [i32; 3]| r[0] - 2 * r[1] + r[2];
            let answer = second(above) - 2 * second(own) + second(under);
            counts[(answer.unsigned_abs() as usize).min(MOST - 1)] += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleura_volume::Geometry;

    const KNOWN: ScanRange = ScanRange { most_slice_mm: 5.0, most_noise_hu: 40.0, lung_hu: [-880.0, -500.0] };

    /// 96 x 96 x 4 pixels of 40 HU and a slope, with normal noise from a fixed sequence.
    fn noisy(deviation: f64) -> Volume<i16> {
        let geometry = Geometry::axis_aligned([96, 96, 4], [0.0; 3], [1.0, 1.0, 3.0]);
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut volume = Volume::filled(geometry, 0i16);
        for (i, v) in volume.data.iter_mut().enumerate() {
            let normal = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
            *v = (40.0 + (i % 96) as f64 / 8.0 + deviation * normal).round() as i16;
        }
        volume
    }

    #[test]
    fn noise_is_what_was_put_in_and_a_slope_is_none() {
        for deviation in [8.0, 20.0, 60.0] {
            let found = f64::from(noise_hu(&noisy(deviation)).unwrap());
            assert!((found / deviation - 1.0).abs() < 0.05, "{found} for {deviation}");
        }
        assert!(noise_hu(&noisy(0.0)).unwrap() < 0.5);
        // Padding of one value, 0 HU, hides no noise.
        let mut padded = noisy(20.0);
        padded.data[..3 * 96 * 96].fill(0);
        let found = noise_hu(&padded).unwrap();
        assert!((18.0..22.0).contains(&found), "{found}");
    }

    #[test]
    fn air_alone_tells_no_noise() {
        let air = Volume::filled(Geometry::axis_aligned([96, 96, 4], [0.0; 3], [1.0; 3]), -1000i16);
        assert_eq!(noise_hu(&air), None);
        let lungs = Mask::filled(air.geometry.clone(), 1);
        let facts = ScanFacts::new(&air, &lungs);
        assert_eq!(facts, ScanFacts { slice_mm: 1.0, noise_hu: None, lung_hu: -1000.0 });
        assert!(facts.beyond(&ScanRange { lung_hu: [-1000.0, -500.0], ..KNOWN }).is_empty());
    }

    #[test]
    fn only_what_lies_well_beyond_is_named() {
        let like = ScanFacts { slice_mm: 6.0, noise_hu: Some(49.0), lung_hu: -460.0 };
        assert!(like.beyond(&KNOWN).is_empty());
        let named = |f: ScanFacts| f.beyond(&KNOWN);
        assert_eq!(
            named(ScanFacts { slice_mm: 8.0, ..like }),
            ["Voxels are up to 8.0 mm long; the networks were calibrated on up to 5.0 mm."]
        );
        assert_eq!(
            named(ScanFacts { noise_hu: Some(75.0), ..like }),
            ["The noise in soft tissue is 75 HU; the networks were calibrated on up to 40 HU."]
        );
        for lung_hu in [-940.0, -440.0] {
            let said = named(ScanFacts { lung_hu, ..like });
            assert!(said.len() == 1 && said[0].contains("-880 to -500 HU"), "{said:?}");
        }
    }

    #[test]
    fn the_range_holds_every_scan() {
        let one = ScanFacts { slice_mm: 1.5, noise_hu: Some(40.0), lung_hu: -880.0 };
        let other = ScanFacts { slice_mm: 5.0, noise_hu: Some(10.0), lung_hu: -500.0 };
        let silent = ScanFacts { noise_hu: None, ..other };
        let many = [[one, other, silent]; 7].concat();
        assert_eq!(ScanFacts::range(many), Some(KNOWN));
        assert_eq!(ScanFacts::range([one, other]), None, "two scans set no limits");
        assert_eq!(ScanFacts::range([silent; 30]), None);
    }
}
