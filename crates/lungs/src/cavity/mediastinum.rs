//! How far heart, great vessels and spine keep the lungs off the midline.

use super::Cavity;

/// How much farther than the right one the left lung stays off the midline, mm.
const AORTA_MM: f32 = 6.0;
/// Half the width of spine and mediastinum above the heart, as a share of the chest's: some 28 of
/// 130 mm.
const STALK_SHARE: f64 = 0.22;
/// Lung never comes closer to the midline than this by expectation, mm.
const MEDIAL_LEAST_MM: f32 = 4.0;
/// Height over which a row must show aerated lung to tell its usual distance from the midline, mm.
const USUAL_MM: f64 = 20.0;
/// How far above or below such slices still tell, mm.
const NEAR_MM: f64 = 40.0;
/// How much farther out than expected the lung may end at the mediastinum, mm, and how much larger
/// than expected the heart may be.
const MEDIAL_SPREAD_MM: f32 = 8.0;
const LARGE_HEART: f64 = 1.4;
/// How far from the midline heart and fat keep right and left lung below, as a share of the chest's
/// half width.
const FAT_PAD_SHARE: [f64; 2] = [0.14, 0.22];
/// Height of the heart above the domes, mm.
const HEART_MM: f64 = 75.0;

impl Cavity {
    /// The mediastinum of a side: where aerated lung touches it, its own edge; else the row's usual
    /// distance, or the heart.
    pub(super) fn medials(&self, side: usize, own: &[f32], other: &[f32]) -> Vec<f32> {
        let [_, ny, nz] = self.size;
        let mut out = vec![0f32; ny * nz];
        let stalk = (STALK_SHARE * self.half_width_mm) as f32;
        for y in 0..ny {
            let usual = self.usual_medials(side, y, own, other);
            for z in 0..nz {
                let i = z * ny + y;
                let heart = self.heart_mm(side, y, z, 1.0);
                let usual = usual[z].unwrap_or(stalk);
                let expected = heart.max(usual).max(self.fat_pad_mm(side, y, z));
                // Lung that ends farther out ends at something that is not the mediastinum.
                let widest = self.heart_mm(side, y, z, LARGE_HEART).max(expected + MEDIAL_SPREAD_MM);
                out[i] = if own[i] < widest { own[i] } else { expected };
            }
        }
        out
    }

    /// Distance of the lung from the midline that is usual in a row around each slice, mm: low
    /// among the slices, as the heart and the great vessels push it out in some.
    fn usual_medials(&self, side: usize, y: usize, own: &[f32], other: &[f32]) -> Vec<Option<f32>> {
        let [_, ny, nz] = self.size;
        let slices = |mm: f64| (mm / self.spacing[2]).ceil() as usize;
        let low = |edge: &[f32], around: std::ops::Range<usize>| {
            let most = 0.5 * self.half_width_mm as f32;
            let mut seen: Vec<f32> = around.map(|z| edge[z * ny + y]).filter(|&m| m < most).collect();
            seen.sort_by(f32::total_cmp);
            let enough = !seen.is_empty() && seen.len() >= slices(USUAL_MM);
            if enough { seen.get(seen.len() * 3 / 10).copied() } else { None }
        };
        let aorta = if side == 1 { AORTA_MM } else { -AORTA_MM };
        let either = |around: std::ops::Range<usize>| {
            low(own, around.clone()).or_else(|| low(other, around).map(|m| m + aorta))
        };
        let anywhere = either(0..nz);
        let middle = (0.5 * (self.dome + self.top)) as usize;
        let at = |z: usize| {
            let near = either(z.saturating_sub(slices(NEAR_MM))..(z + slices(NEAR_MM)).min(nz));
            // What is seen lower down tells nothing of the great vessels above.
            near.or(if z < middle { anywhere } else { None }).map(|m| m.max(MEDIAL_LEAST_MM))
        };
        (0..nz).map(at).collect()
    }

    /// Plain anatomy: the heart, half as wide as the chest and two thirds of it to the left; `scale`
    /// times as large.
    fn heart_mm(&self, side: usize, y: usize, z: usize, scale: f64) -> f32 {
        let v = (y as f64 - self.middle[1]) * self.spacing[1] / self.half_depth_mm;
        let above = (z as f64 - self.dome) * self.spacing[2];
        let heart_width = scale * self.half_width_mm * if side == 0 { 0.25 } else { 0.57 };
        let depth = (v + 0.25) / (0.62 * scale);
        let height = (above - 0.4 * HEART_MM) / (0.62 * HEART_MM * scale);
        (heart_width * (1.0 - depth * depth - height * height).max(0.0).sqrt()) as f32
    }

    /// In front and below, heart and fat keep the lungs apart down to the diaphragm, mm.
    fn fat_pad_mm(&self, side: usize, y: usize, z: usize) -> f32 {
        let v = (y as f64 - self.middle[1]) * self.spacing[1] / self.half_depth_mm;
        let above = (z as f64 - self.dome) * self.spacing[2];
        let padded = v < 0.2 && above < 0.6 * HEART_MM;
        if padded { (FAT_PAD_SHARE[side] * self.half_width_mm) as f32 } else { 0.0 }
    }
}
