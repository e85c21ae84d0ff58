//! The inner surface of the rib cage, where the lung does not show the wall.

use super::{CONTACT, Cavity, DIRECTIONS, Seen, is_lateral};
use crate::coarse::Coarse;
use rayon::prelude::*;

/// Bone, HU.
const BONE_HU: i16 = 180;
/// Height over which the nearest rib is looked for, mm.
const WALL_WINDOW_MM: f64 = 20.0;
/// Half edge of the box around a bright pixel whose mean tells bone from a vessel, and that mean.
const RIB_HALF_MM: f64 = 3.0;
const RIB_MEAN_HU: i16 = 145;
const RIB_MOST_HU: i16 = 320;
/// Distances between lung and ribs at which the lung touches the wall.
const RIB_GAP_MM: std::ops::Range<f32> = -2.0..10.0;

impl Cavity {
    /// Inner surface of the rib cage: side, then slice and direction; infinite where no rib is near.
    pub(super) fn ribs(&self, coarse: &Coarse, expected: &[f32]) -> [Vec<f32>; 2] {
        let nz = self.size[2];
        let rows: Vec<[Vec<f32>; 2]> = (0..nz)
            .into_par_iter()
            .map(|z| {
                let mut near = [vec![f32::INFINITY; DIRECTIONS], vec![f32::INFINITY; DIRECTIONS]];
                for (i, (&hu, p)) in coarse.hu.slice(z).iter().zip(&self.polar).enumerate() {
                    if hu <= BONE_HU {
                        continue;
                    }
                    let r = &mut near[p.side][p.direction];
                    let from = CONTACT as f32 * expected[z * DIRECTIONS + p.direction];
                    if p.radius_mm > from && p.radius_mm < *r && self.is_rib(coarse, z, i) {
                        *r = p.radius_mm;
                    }
                }
                near
            })
            .collect();
        // A rib slants through the slices: those above and below bound the gap between. The
        // median leaves out the shoulder blade and what is bright inside the chest.
        let half = (WALL_WINDOW_MM / 2.0 / self.spacing[2]) as usize;
        [0, 1].map(|s| {
            let typical = |i: usize| {
                let (z, k) = (i / DIRECTIONS, i % DIRECTIONS);
                let mut near: Vec<f32> = (z.saturating_sub(half)..(z + half + 1).min(nz))
                    .flat_map(|w| &rows[w][s][k.saturating_sub(2)..(k + 3).min(DIRECTIONS)])
                    .copied()
                    .filter(|r| r.is_finite())
                    .collect();
                near.sort_by(f32::total_cmp);
                near.get(near.len() / 2).copied().unwrap_or(f32::INFINITY)
            };
            (0..nz * DIRECTIONS).into_par_iter().map(typical).collect()
        })
    }

    /// Whether a bright pixel is bone: also its surroundings are bright, other than those of a vessel
    /// with contrast medium.
    fn is_rib(&self, coarse: &Coarse, z: usize, i: usize) -> bool {
        let [nx, ny, nz] = self.size;
        let half: [usize; 3] = std::array::from_fn(|a| (RIB_HALF_MM / self.spacing[a]).round() as usize);
        let range = |v: usize, a: usize, n: usize| v.saturating_sub(half[a])..(v + half[a] + 1).min(n);
        let (mut sum, mut n) = (0i64, 0i64);
        for w in range(z, 2, nz) {
            for y in range(i / nx, 1, ny) {
                for x in range(i % nx, 0, nx) {
                    sum += i64::from(coarse.hu.data[(w * ny + y) * nx + x].min(RIB_MOST_HU));
                    n += 1;
                }
            }
        }
        sum > i64::from(RIB_MEAN_HU) * n
    }

    /// How far inside the ribs' inner surface the lung ends where it touches the wall, mm.
    pub(super) fn rib_gap(&self, seen: &[Seen; 2], ribs: &[Vec<f32>; 2]) -> f32 {
        let mut gaps: Vec<f32> = (0..2)
            .flat_map(|s| ribs[s].iter().zip(&seen[s].reach).enumerate())
            .filter(|&(i, (_, &own))| is_lateral(i) && own > 0.0)
            .map(|(_, (&rib, &own))| rib - own)
            .filter(|gap| RIB_GAP_MM.contains(gap))
            .collect();
        gaps.sort_by(f32::total_cmp);
        gaps.get(gaps.len() / 2).copied().unwrap_or(3.0)
    }
}
