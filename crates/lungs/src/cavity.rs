//! The chest cavity a lung should fill: what is expected where the lung itself is airless.
//!
//! Every side is described by three surfaces, read off the aerated lung where it is there, off
//! the other side, mirrored, where it is not, and off bones and plain anatomy where both fail:
//! the chest wall (a radius for each direction and slice), the mediastinum (a distance from the
//! midline for each row and slice) and the diaphragm (a height for each column).

mod mediastinum;
mod ribs;

use crate::coarse::Coarse;
use crate::{LEFT, RIGHT};
use pleura_volume::Mask;
use rayon::prelude::*;

/// Directions a side, from straight front over lateral to straight back.
const DIRECTIONS: usize = 60;
/// Blur of the surfaces, mm: consolidation is soft tissue like its surroundings, so a surface that
/// is read off elsewhere may lie this far outwards.
const BLUR_MM: f32 = 3.0;
/// The same for the wall, which ribs show well.
const WALL_BLUR_MM: f32 = 2.0;
/// Lung that reaches this share of the expected radius touches the wall.
const CONTACT: f64 = 0.75;
/// Ribs are not expected this far beyond the expected radius.
const RIB_MOST: f32 = 1.15;
/// Down to this far below the highest lung, mm, bones beyond this share of the expected radius are no ribs where both
/// lungs reach alike far, the one this share of the other.
const SHOULDER_MM: f64 = 90.0;
const SHOULDER: f32 = 1.3;
const ALIKE: f32 = 0.85;
/// Lung this close to the wall touches it, mm.
const AT_WALL_MM: f32 = 4.0;
/// Half the width of spine and mediastinum above the heart, mm.
const STALK_MM: f64 = 28.0;
/// The right dome stands higher than the left by about this, mm.
const DOME_STEP_MM: f64 = 12.0;
/// A floor this far above plain anatomy is a fissure or the heart, mm.
const HEART_STEP_MM: f64 = 20.0;
/// Domes differ by less than this, mm.
const DOMES_APART_MM: f64 = 90.0;
/// A floor this far below plain anatomy belongs to gas below the diaphragm, mm.
const LOW_FLOOR_MM: f64 = 70.0;
/// How far the recesses reach below the domes, mm.
const RECESS_MM: f64 = 70.0;
/// Height of the apices above the end of the trachea; where lung ends lower than `LOW_APEX_MM`
/// above it, both upper lobes are airless.
const APEX_MM: f64 = 90.0;
const LOW_APEX_MM: f64 = 55.0;
/// Expected surfaces of both sides on the reduced grid.
pub(crate) struct Cavity {
    /// Midline and middle depth, pixels.
    pub middle: [f64; 2],
    /// Half depth of the chest, mm.
    half_depth_mm: f64,
    half_width_mm: f64,
    size: [usize; 3],
    spacing: [f64; 3],
    /// Radius in mm of the wall: side, slice, direction.
    wall: [Vec<f32>; 2],
    /// Distance in mm of the mediastinum from the midline: side, slice, row.
    medial: [Vec<f32>; 2],
    /// First slice above the diaphragm: side, row, column of the distance from the midline.
    floor: [Vec<f32>; 2],
    /// Height of the domes, slices.
    dome: f64,
    /// Highest slice with aerated lung, and the slice where the apex is to be expected.
    top: f64,
    apex: f64,
    /// What the lungs show, right and left.
    seen: [Seen; 2],
    polar: Vec<Polar>,
}

/// What the aerated lungs show, per side.
#[derive(Default)]
struct Seen {
    /// Largest radius: slice, direction; 0 where there is no lung.
    reach: Vec<f32>,
    /// Smallest distance from the midline: slice, row; infinite where there is no lung.
    medial: Vec<f32>,
    /// Lowest slice: row, column (steps from the midline); infinite where there is no lung.
    floor: Vec<f32>,
}

/// Whether an entry of a wall's table looks sideways.
fn is_lateral(i: usize) -> bool {
    (DIRECTIONS / 4..DIRECTIONS * 3 / 4).contains(&(i % DIRECTIONS))
}

/// Side, direction and radius of a pixel.
#[derive(Clone, Copy)]
pub(crate) struct Polar {
    side: usize,
    direction: usize,
    radius_mm: f32,
    lateral_mm: f32,
}

impl Cavity {
    /// Reads wall and floor off the lungs labelled so far; [`Self::settle`] adds the mediastinum.
    pub fn new(coarse: &Coarse, lungs: &Mask, middle_x: f64, trachea: Option<[usize; 2]>) -> Option<Self> {
        let found = lungs.bounding_box(|v| v != 0)?;
        let size = lungs.size();
        let spacing = lungs.geometry.spacing_mm;
        let middle = [middle_x, (found.min[1] + found.max[1] - 1) as f64 / 2.0];
        let mut cavity = Self {
            middle,
            half_depth_mm: found.size()[1] as f64 * spacing[1] / 2.0,
            half_width_mm: found.size()[0] as f64 * spacing[0] / 2.0,
            size,
            spacing,
            wall: [Vec::new(), Vec::new()],
            medial: [Vec::new(), Vec::new()],
            floor: [Vec::new(), Vec::new()],
            dome: 0.0,
            top: found.max[2] as f64 - 1.0,
            apex: found.max[2] as f64 - 1.0,
            seen: [Seen::default(), Seen::default()],
            polar: Vec::new(),
        };
        if let Some([carina, _]) = trachea
            && (cavity.top - carina as f64) * spacing[2] < LOW_APEX_MM
        {
            cavity.apex = carina as f64 + APEX_MM / spacing[2];
        }
        cavity.polar = cavity.polar_plane();
        let seen = cavity.see(lungs);
        let expected = cavity.expected_reach(&seen[0].reach, &seen[1].reach);
        let ribs = cavity.ribs(coarse, &expected);
        let gap = cavity.rib_gap(&seen, &ribs);
        cavity.wall =
            [0, 1].map(|s| cavity.walls(&seen[s].reach, &seen[1 - s].reach, &expected, &ribs[s], gap));
        cavity.seen = seen;
        cavity.set_floor([false; 2]);
        Some(cavity)
    }

    fn set_floor(&mut self, sunk: [bool; 2]) {
        self.dome = self.dome_slice(&self.seen, sunk == [true; 2]);
        self.floor = [0, 1].map(|s| self.floors(s, &self.seen[s].floor, &self.seen[1 - s].floor, sunk[s]));
    }

    /// Sets the mediastinum, which [`Self::holds`] needs, and on `sunk` sides the floor as low as in
    /// plain anatomy even where aerated lung ends higher.
    pub fn settle(&mut self, sunk: [bool; 2]) {
        if sunk.contains(&true) {
            self.set_floor(sunk);
        }
        self.medial = [0, 1].map(|s| self.medials(s, &self.seen[s].medial, &self.seen[1 - s].medial));
    }

    /// Polar coordinates of every pixel of a slice.
    pub fn polar(&self) -> &[Polar] {
        &self.polar
    }

    /// Polar coordinates of every pixel of a slice about the middle of the chest.
    fn polar_plane(&self) -> Vec<Polar> {
        let [nx, ny, _] = self.size;
        let polar = |i: usize| {
            let x = ((i % nx) as f64 - self.middle[0]) * self.spacing[0];
            let y = ((i / nx) as f64 - self.middle[1]) * self.spacing[1];
            // 0 straight to the front, pi straight to the back, on either side.
            let angle = f64::atan2(x.abs(), -y);
            let direction = (angle / std::f64::consts::PI * DIRECTIONS as f64) as usize;
            Polar {
                side: usize::from(x > 0.0),
                direction: direction.min(DIRECTIONS - 1),
                radius_mm: x.hypot(y) as f32,
                lateral_mm: x.abs() as f32,
            }
        };
        (0..nx * ny).map(polar).collect()
    }

    /// Column of the floor for a distance from the midline.
    fn column(&self, lateral_mm: f32) -> usize {
        ((f64::from(lateral_mm) / self.spacing[0]) as usize).min(self.size[0] - 1)
    }

    fn see(&self, lungs: &Mask) -> [Seen; 2] {
        let [nx, ny, nz] = self.size;
        // A lung that herniates over the midline does not count there.
        let seen_at = |label: u8, p: &Polar| label != 0 && usize::from(label == LEFT) == p.side;
        let slices: Vec<[(Vec<f32>, Vec<f32>); 2]> = (0..nz)
            .into_par_iter()
            .map(|z| {
                let none = || (vec![0f32; DIRECTIONS], vec![f32::INFINITY; ny]);
                let mut seen = [none(), none()];
                let rows = lungs.slice(z).chunks(nx).zip(self.polar.chunks(nx));
                for (y, (labels, polar)) in rows.enumerate() {
                    for (_, p) in labels.iter().zip(polar).filter(|&(&label, p)| seen_at(label, p)) {
                        let (reach, medial) = &mut seen[p.side];
                        reach[p.direction] = reach[p.direction].max(p.radius_mm);
                        medial[y] = medial[y].min(p.lateral_mm);
                    }
                }
                seen
            })
            .collect();
        let columns: Vec<usize> = self.polar.iter().take(nx).map(|p| self.column(p.lateral_mm)).collect();
        let floors: Vec<[Vec<f32>; 2]> = (0..ny)
            .into_par_iter()
            .map(|y| {
                let mut floor = [vec![f32::INFINITY; nx], vec![f32::INFINITY; nx]];
                let row = y * nx..(y + 1) * nx;
                let polar = &self.polar[row.clone()];
                for z in (0..nz).rev() {
                    let labels = lungs.slice(z)[row.clone()].iter().zip(polar).zip(&columns);
                    for ((_, p), &column) in labels.filter(|&((&label, p), _)| seen_at(label, p)) {
                        floor[p.side][column] = z as f32;
                    }
                }
                floor
            })
            .collect();
        [0, 1].map(|s| Seen {
            reach: slices.iter().flat_map(|slice| &slice[s].0).copied().collect(),
            medial: slices.iter().flat_map(|slice| &slice[s].1).copied().collect(),
            floor: floors.iter().flat_map(|floor| &floor[s]).copied().collect(),
        })
    }

    /// Slice of the higher domes. Middle lobe and lingula lie on the domes in front: where their
    /// floor lies at its highest, or, where lower lobes without air leave fissures in the place of
    /// many floors, where the lowest of them fit plain anatomy.
    fn dome_slice(&self, seen: &[Seen; 2], sunk: bool) -> f64 {
        let [nx, ny, _] = self.size;
        let front = if sunk { -0.85 } else { -0.5 };
        let floors = |floor: &[f32]| {
            let mut all = Vec::new();
            for y in 0..ny {
                let v = (y as f64 - self.middle[1]) * self.spacing[1] / self.half_depth_mm;
                for c in 0..nx {
                    let u = c as f64 * self.spacing[0] / self.half_width_mm;
                    let low = f64::from(floor[y * nx + c]);
                    if (front..0.1).contains(&v) && (0.35..0.75).contains(&u) && low.is_finite() {
                        all.push(if sunk { low + self.fall_mm(c, y) / self.spacing[2] } else { low });
                    }
                }
            }
            all
        };
        let at = |mut all: Vec<f64>, share: f64| {
            all.sort_by(f64::total_cmp);
            all.get((all.len() as f64 * share) as usize).copied()
        };
        let [right, left] = [0, 1].map(|s| floors(&seen[s].floor));
        let share = if sunk { 0.1 } else { 0.75 };
        // Domes farther apart than bodies have them: the lower one is gas below the diaphragm.
        let apart = DOMES_APART_MM / self.spacing[2];
        match (at(right, share), at(left, share)) {
            (Some(a), Some(b)) if sunk && (a - b).abs() > apart => a.max(b),
            (a, b) => [a, b].into_iter().flatten().reduce(f64::min).unwrap_or(0.0),
        }
    }

    /// How far the diaphragm lies below its dome at a distance from the midline and in a row, mm:
    /// much deeper towards the back than towards the front.
    fn fall_mm(&self, column: usize, y: usize) -> f64 {
        let v = (y as f64 - self.middle[1]) * self.spacing[1] / self.half_depth_mm + 0.15;
        let u = (column as f64 * self.spacing[0] / self.half_width_mm - 0.5) / 0.62;
        let deep = if v > 0.0 { 1.1 } else { 1.7 };
        RECESS_MM * (u * u + (v / deep).powi(2)).min(1.2)
    }

    /// The radius to expect for each slice and direction: the widest of the direction anywhere,
    /// tapered as the chest tapers in those directions where lung touches the wall.
    fn expected_reach(&self, a: &[f32], b: &[f32]) -> Vec<f32> {
        let nz = self.size[2];
        let both: Vec<f32> = a.iter().zip(b).map(|(a, b)| a.max(*b)).collect();
        let mut widest = vec![0f32; DIRECTIONS];
        for slice in both.chunks(DIRECTIONS) {
            widest.iter_mut().zip(slice).for_each(|(w, &r)| *w = w.max(r));
        }
        let mut out = vec![0f32; nz * DIRECTIONS];
        let mut taper = 0f32;
        for z in (0..nz).rev() {
            let here = &both[z * DIRECTIONS..(z + 1) * DIRECTIONS];
            let mut shares: Vec<f32> =
                here.iter().zip(&widest).map(|(r, w)| if *w > 0.0 { r / w } else { 0.0 }).collect();
            shares.sort_by(f32::total_cmp);
            // Going down the chest does not narrow before the lungs end.
            taper = taper.max(shares[DIRECTIONS - 1 - DIRECTIONS / 12]);
            for k in 0..DIRECTIONS {
                out[z * DIRECTIONS + k] = here[k].max(0.97 * taper * widest[k]);
            }
        }
        // Above the highest lung the taper of the highest slices goes on.
        let top = (self.top as usize).saturating_sub(2).min(nz - 1);
        let (below, above) = out.split_at_mut((top + 1) * DIRECTIONS);
        let last = &below[top * DIRECTIONS..];
        above.chunks_mut(DIRECTIONS).for_each(|s| s.iter_mut().zip(last).for_each(|(v, &l)| *v = v.max(l)));
        out
    }

    fn walls(&self, own: &[f32], other: &[f32], expected: &[f32], ribs: &[f32], gap: f32) -> Vec<f32> {
        // The midline is never exact: compare the sides where both touch the wall.
        let touches = |i: &usize| own[*i].min(other[*i]) >= 0.9 * expected[*i];
        let mut ratios: Vec<f32> =
            (0..own.len()).filter(touches).filter(|&i| is_lateral(i)).map(|i| own[i] / other[i]).collect();
        ratios.sort_by(f32::total_cmp);
        let scale = ratios.get(ratios.len() / 2).map_or(1.0, |r| r.clamp(0.85, 1.18));
        // Where both lungs narrow towards the apex, far bones are those of the shoulder.
        let alike = |a: f32, b: f32| a.min(b) > 0.0 && a.min(b) >= ALIKE * a.max(b);
        let wall: Vec<f32> = (0..own.len())
            .map(|i| {
                let reach = own[i].max(other[i]);
                let inner = ribs[i] - gap;
                let above = (i / DIRECTIONS) as f64 > self.top;
                // Where lung reaches the wall, what lies far outside is a shoulder blade or an arm.
                let beyond = own[i] >= CONTACT as f32 * expected[i] && inner > RIB_MOST * expected[i];
                let high = (i / DIRECTIONS) as f64 > self.top - SHOULDER_MM / self.spacing[2];
                let shoulder = high && inner.is_finite() && inner > SHOULDER * expected[i];
                let wall = if shoulder && alike(own[i], scale * other[i]) {
                    own[i].max(scale * other[i])
                } else if inner.is_finite() && !above && !beyond {
                    if own[i] > inner - AT_WALL_MM { own[i] } else { inner }
                } else if own[i] >= CONTACT as f32 * expected[i] {
                    own[i].max(other[i].min(1.1 * own[i]))
                } else if reach >= CONTACT as f32 * expected[i] {
                    reach * scale
                } else {
                    inner.min(1.03 * expected[i])
                };
                wall * self.cap(i / DIRECTIONS)
            })
            .collect();
        self.smoothed(&wall)
    }

    /// What is left of the wall's radius above the highest aerated lung: a dome up to the apex.
    fn cap(&self, z: usize) -> f32 {
        let above = z as f64 - self.top;
        if above <= 0.0 {
            return 1.0;
        }
        let t = above / (self.apex - self.top).max(1e-3);
        (1.0 - t * t).max(0.0).sqrt() as f32
    }

    /// Means over three directions and three slices.
    fn smoothed(&self, wall: &[f32]) -> Vec<f32> {
        let nz = self.size[2];
        let mean = |i: usize| {
            let (z, k) = (i / DIRECTIONS, i % DIRECTIONS);
            let zs = z.saturating_sub(1)..(z + 2).min(nz);
            let ks = k.saturating_sub(1)..(k + 2).min(DIRECTIONS);
            let around = zs.flat_map(|z| ks.clone().map(move |k| wall[z * DIRECTIONS + k]));
            let (n, sum) = around.fold((0, 0.0), |(n, s), v| (n + 1, s + v));
            sum / n as f32
        };
        (0..wall.len()).map(mean).collect()
    }

    /// Lowest slices of a side: its own floor, or the other's where that lies lower.
    fn floors(&self, side: usize, own: &[f32], other: &[f32], sunk: bool) -> Vec<f32> {
        let [nx, ny, _] = self.size;
        let dz = self.spacing[2];
        let step = if side == 0 { DOME_STEP_MM } else { -DOME_STEP_MM } / dz;
        let mut out = vec![0f32; nx * ny];
        for y in 0..ny {
            for c in 0..nx {
                let i = y * nx + c;
                let mut low = own[i].min(other[i] + step as f32);
                let model = self.dome - self.fall_mm(c, y) / dz;
                // Over the heart the other side's floor is the heart.
                if sunk || !low.is_finite() || f64::from(low) > model + HEART_STEP_MM / dz {
                    low = low.min(model as f32);
                }
                out[i] = low.max((model - LOW_FLOOR_MM / dz) as f32);
            }
        }
        out
    }

    /// How far inside wall, mediastinum and diaphragm the pixel `i` of slice `z` at `p` lies, mm;
    /// negative outside.
    pub fn margins_mm(&self, i: usize, z: usize, p: &Polar) -> [f32; 3] {
        let [_, ny, _] = self.size;
        [
            self.wall[p.side][z * DIRECTIONS + p.direction] - p.radius_mm,
            p.lateral_mm - self.medial[p.side][z * ny + i / self.size[0]],
            (z as f32 - self.floor_at(i, p)) * self.spacing[2] as f32,
        ]
    }

    /// Whether the pixel `i` of slice `z` at `p` should be lung.
    pub fn holds(&self, i: usize, z: usize, p: &Polar) -> bool {
        let blur = [WALL_BLUR_MM, BLUR_MM, BLUR_MM.max(self.spacing[2] as f32 / 2.0)];
        self.margins_mm(i, z, p).into_iter().zip(blur).all(|(margin, blur)| margin >= -blur)
    }

    /// Label of the side of a pixel.
    pub fn label(p: &Polar) -> u8 {
        if p.side == 0 { RIGHT } else { LEFT }
    }

    /// Whether a pixel lies well within the wall and off the mediastinum, whatever its height.
    pub fn is_core(&self, z: usize, p: &Polar) -> bool {
        p.radius_mm < 0.92 * self.wall[p.side][z * DIRECTIONS + p.direction]
            && f64::from(p.lateral_mm) > STALK_MM + 5.0
    }

    /// Index into [`Self::label`] order: 0 right, 1 left.
    pub fn side(p: &Polar) -> usize {
        p.side
    }

    /// Slice below which a pixel's column shows no lung of its own on either side.
    pub fn floor_at(&self, i: usize, p: &Polar) -> f32 {
        let nx = self.size[0];
        self.floor[p.side][i / nx * nx + self.column(p.lateral_mm)]
    }
}
