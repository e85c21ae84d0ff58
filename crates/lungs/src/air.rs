//! Air inside the body: what is below the threshold and not outside it.

use crate::coarse::Coarse;
use pleura_volume::{Components, Mask, connected_components_2d};
use rayon::prelude::*;

/// A piece of air within one slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patch {
    pub z: usize,
    pub pixels: usize,
    pub sum_hu: f64,
    pub sum_x: f64,
    pub sum_y: f64,
    pub min: [usize; 2],
    pub max: [usize; 2],
    /// Pixels with a neighbour that is not in the piece.
    edge: usize,
    /// Pixels on the frame of the field of view.
    framed: usize,
    /// Box around those pixels.
    framed_min: [usize; 2],
    framed_max: [usize; 2],
    /// Pixels clearly denser than outside air.
    denser: usize,
}

impl Patch {
    fn new(z: usize) -> Self {
        Self {
            z,
            pixels: 0,
            sum_hu: 0.0,
            sum_x: 0.0,
            sum_y: 0.0,
            min: [usize::MAX; 2],
            max: [0; 2],
            edge: 0,
            framed: 0,
            framed_min: [usize::MAX; 2],
            framed_max: [0; 2],
            denser: 0,
        }
    }

    /// Centre, in pixels.
    pub fn centre(&self) -> [f64; 2] {
        let n = self.pixels.max(1) as f64;
        [self.sum_x / n, self.sum_y / n]
    }

    /// Mean HU.
    pub fn mean_hu(&self) -> f64 {
        self.sum_hu / self.pixels.max(1) as f64
    }
}

/// Air and its pieces, slice by slice.
pub(crate) struct Air {
    /// 1 where air lies inside the body: lungs, airways, bowel gas.
    pub inner: Mask,
    /// 1 where air outside the body or nothing at all lies.
    pub outside: Mask,
    /// Pieces within the slices, inner and outer.
    pub pieces: Components,
    /// What is known of each piece; entry 0 is no piece.
    pub patches: Vec<Patch>,
    /// Typical HU of outside air.
    pub level_hu: f64,
    /// Which pieces may be a lung that the side of the field of view cuts.
    pub cut: Vec<bool>,
}

/// A piece that meets the frame with at most this share of its edge may be a lung that the field
/// of view cuts; outside air lies along the frame with far more.
const CUT_SHARE: f64 = 0.25;
/// ... most of it is denser than outside air by this, HU ...
pub(crate) const DENSER_HU: f64 = 40.0;
/// ... and it is at least this large, mm2.
const CUT_MM2: f64 = 1500.0;

/// Finds the air inside the body, each slice on its own: a slice shows the closed wall of the
/// chest even where the airway leads out of the body elsewhere.
pub(crate) fn find(coarse: &Coarse, below_hu: i16) -> Air {
    let void = framed_void(coarse);
    let hu = coarse.hu.data.par_iter().zip(&void);
    let air: Vec<u8> = hu.map(|(&hu, &void)| u8::from(hu < below_hu && !void)).collect();
    let pieces = connected_components_2d(&coarse.mask(air), false);
    let mut patches = measure(coarse, &pieces, &void);
    let outer: Vec<bool> = patches.iter().map(|p| p.framed > 0).collect();
    let level_hu = outside_level(coarse, &pieces, &outer);
    for (&hu, &label) in coarse.hu.data.iter().zip(&pieces.labels.data) {
        patches[label as usize].denser += usize::from(f64::from(hu) > level_hu + DENSER_HU);
    }
    let [dx, dy, _] = coarse.hu.geometry.spacing_mm;
    let last_row = coarse.hu.size()[1].saturating_sub(1);
    let is_cut_lung = |p: &Patch| {
        let spread = (0..2).map(|a| p.framed_max[a].saturating_sub(p.framed_min[a])).max().unwrap_or(0);
        p.framed > 0
            && (p.framed as f64) < CUT_SHARE * p.edge as f64
            // One place of contact; the gap above the table meets the frame on both sides.
            && spread < 2 * p.framed
            && p.max[1] < last_row
            // A lung is deeper than wide or nearly so, the inside of a table is flat.
            && (p.max[1] - p.min[1]) as f64 * dy > 0.7 * (p.max[0] - p.min[0]) as f64 * dx
            && p.pixels as f64 * coarse.pixel_mm2() > CUT_MM2
            && p.denser * 2 > p.pixels
    };
    let cut: Vec<bool> = patches.iter().map(is_cut_lung).collect();
    let class = |i: usize| -> (u8, u8) {
        let label = pieces.labels.data[i] as usize;
        match label {
            0 => (0, u8::from(void[i])),
            _ if outer[label] && !cut[label] => (0, 1),
            _ => (1, 0),
        }
    };
    let (inner, outside) = (0..coarse.hu.data.len()).into_par_iter().map(class).unzip();
    Air { inner: coarse.mask(inner), outside: coarse.mask(outside), pieces, patches, cut, level_hu }
}

/// Padding that reaches the frame of its slice.
fn framed_void(coarse: &Coarse) -> Vec<bool> {
    if coarse.void.data.iter().all(|&v| v == 0) {
        return vec![false; coarse.void.data.len()];
    }
    let pieces = connected_components_2d(&coarse.void, false);
    let [nx, ny, _] = coarse.hu.size();
    let mut framed = vec![false; pieces.sizes.len()];
    for (row, labels) in pieces.labels.data.chunks(nx.max(1)).enumerate() {
        if row % ny == 0 || row % ny == ny - 1 {
            labels.iter().for_each(|&l| framed[l as usize] = true);
        } else if let (Some(&a), Some(&b)) = (labels.first(), labels.last()) {
            framed[a as usize] = true;
            framed[b as usize] = true;
        }
    }
    pieces.labels.data.iter().map(|&l| l > 0 && framed[l as usize]).collect()
}

fn measure(coarse: &Coarse, pieces: &Components, void: &[bool]) -> Vec<Patch> {
    let [nx, ny, _] = coarse.hu.size();
    let mut patches = vec![Patch::new(0); pieces.sizes.len()];
    let labels = &pieces.labels.data;
    let mut place = [0, 0, 0];
    for (i, &label) in labels.iter().enumerate() {
        let [x, y, z] = place;
        place = if x + 1 < nx {
            [x + 1, y, z]
        } else if y + 1 < ny {
            [0, y + 1, z]
        } else {
            [0, 0, z + 1]
        };
        if label == 0 {
            continue;
        }
        let p = &mut patches[label as usize];
        p.z = z;
        p.pixels += 1;
        p.sum_hu += f64::from(coarse.hu.data[i]);
        p.sum_x += x as f64;
        p.sum_y += y as f64;
        p.min = [p.min[0].min(x), p.min[1].min(y)];
        p.max = [p.max[0].max(x), p.max[1].max(y)];
        let on_frame = x == 0 || y == 0 || x + 1 == nx || y + 1 == ny;
        let around = |set: &dyn Fn(usize) -> bool| [i - 1, i + 1, i - nx, i + nx].into_iter().any(set);
        if on_frame || around(&|j| void[j]) {
            p.framed += 1;
            p.framed_min = [p.framed_min[0].min(x), p.framed_min[1].min(y)];
            p.framed_max = [p.framed_max[0].max(x), p.framed_max[1].max(y)];
        }
        p.edge += usize::from(on_frame || around(&|j| labels[j] != label));
    }
    patches
}

/// Median HU of outside air; -1000 where there is too little of it, or where it is implausible.
fn outside_level(coarse: &Coarse, pieces: &Components, outer: &[bool]) -> f64 {
    // From -1200 HU to where no air is left: a foam table is no measure of it.
    let mut counts = vec![0usize; 500];
    for (&hu, &label) in coarse.hu.data.iter().zip(&pieces.labels.data) {
        if label > 0 && outer[label as usize] && hu < -700 {
            counts[(i32::from(hu) + 1200).clamp(0, 499) as usize] += 1;
        }
    }
    let total: usize = counts.iter().sum();
    if total * 100 < coarse.hu.data.len() {
        return -1000.0;
    }
    let mut seen = 0;
    let median = counts.iter().position(|&n| {
        seen += n;
        seen * 2 >= total
    });
    median.map_or(-1000.0, |m| m as f64 - 1200.0).clamp(-1050.0, -750.0)
}
