//! A random walker with priors.
//!
//! Grady, "Multilabel random walker image segmentation using prior models", CVPR 2005, for two
//! labels: a voxel's value is the probability that a walker which starts there ends on a voxel of
//! the first label. It steps easily through even tissue and hardly over an edge, and ends on a
//! voxel with what that voxel is by itself, its prior. Weights and constants are ours.

use pleura_volume::Geometry;
use rayon::prelude::*;

/// Tendency to end within a voxel, against a step to the next one in even tissue: a walk reaches
/// about ten voxels.
const STOP: f32 = 0.01;
/// Least weight of a step, so that nothing is wholly cut off.
const LEAST: f32 = 1e-4;
/// A step of this many times the typical one of the scan is an edge.
const EDGE: f32 = 2.0;
/// Rounds of the solver; more change nothing that can be seen at this `STOP`.
const ROUNDS: usize = 60;

/// Tissue on a grid.
pub(crate) struct Field {
    pub geometry: Geometry,
    /// HU of each voxel; NaN where no walker goes.
    pub hu: Vec<f32>,
    /// Probability of the first label at each voxel by itself, 0 to 1; any number where HU is NaN.
    pub prior: Vec<f32>,
}

impl Field {
    /// Probability of the first label at each voxel; 0 where HU is NaN.
    pub fn walk(&self) -> Vec<f32> {
        let system = System::new(self, 1.0 / (EDGE * self.typical_step()));
        system.solve(&self.prior)
    }

    /// Median difference of neighbours along x, at least 1 HU.
    fn typical_step(&self) -> f32 {
        let differences = self.hu.windows(2).map(|pair| (pair[0] - pair[1]).abs());
        // A part of them tells it as well.
        let mut steps: Vec<f32> = differences.step_by(7).filter(|d| d.is_finite()).collect();
        let middle = steps.len() / 2;
        if steps.is_empty() {
            return 1.0;
        }
        steps.select_nth_unstable_by(middle, f32::total_cmp).1.max(1.0)
    }
}

/// The walker's linear equations: a symmetric matrix with an entry for each step.
struct System {
    /// How far apart neighbours along x, y, z are stored.
    strides: [usize; 3],
    /// Weight of the step to the next voxel along x, y, z; 0 where none is made.
    steps: [Vec<f32>; 3],
    diagonal: Vec<f32>,
}

impl System {
    fn new(field: &Field, scale: f32) -> Self {
        let Geometry { size, spacing_mm, .. } = field.geometry;
        let strides = [1, size[0], size[0] * size[1]];
        let shortest = spacing_mm.iter().copied().fold(f64::INFINITY, f64::min);
        let hu = &field.hu;
        let steps = [0, 1, 2].map(|a| {
            // A longer step is a rarer one: the weight of a difference quotient.
            let even = (shortest / spacing_mm[a]).powi(2) as f32;
            let weight = |i: usize| {
                if i / strides[a] % size[a] + 1 >= size[a] {
                    return 0.0;
                }
                let d = (hu[i] - hu[i + strides[a]]) * scale;
                if d.is_finite() { even * (LEAST + (-d * d).exp()) } else { 0.0 }
            };
            (0..hu.len()).into_par_iter().map(weight).collect::<Vec<f32>>()
        });
        let mut diagonal = vec![STOP; hu.len()];
        for (steps, stride) in steps.iter().zip(strides) {
            for (i, &w) in steps.iter().enumerate().filter(|&(_, &w)| w > 0.0) {
                diagonal[i] += w;
                diagonal[i + stride] += w;
            }
        }
        Self { strides, steps, diagonal }
    }

    /// Matrix times vector.
    fn apply(&self, v: &[f32], out: &mut [f32]) {
        let plane = self.strides[2].max(1);
        out.par_chunks_mut(plane).enumerate().for_each(|(z, out)| {
            for (k, out) in out.iter_mut().enumerate() {
                let i = z * plane + k;
                let mut sum = self.diagonal[i] * v[i];
                for (steps, stride) in self.steps.iter().zip(self.strides) {
                    if steps[i] > 0.0 {
                        sum -= steps[i] * v[i + stride];
                    }
                    if i >= stride {
                        sum -= steps[i - stride] * v[i - stride];
                    }
                }
                *out = sum;
            }
        });
    }

    /// Conjugate gradients, preconditioned by the diagonal, from the prior on.
    fn solve(&self, prior: &[f32]) -> Vec<f32> {
        let mut x = prior.to_vec();
        let mut product = vec![0f32; x.len()];
        self.apply(&x, &mut product);
        let mut rest: Vec<f32> = prior.iter().zip(&product).map(|(p, q)| STOP * p - q).collect();
        let mut scaled: Vec<f32> = rest.iter().zip(&self.diagonal).map(|(r, m)| r / m).collect();
        let mut towards = scaled.clone();
        let mut length = self.dot(&rest, &scaled);
        for _ in 0..ROUNDS {
            self.apply(&towards, &mut product);
            let curvature = self.dot(&towards, &product);
            if length <= 0.0 || curvature <= 0.0 {
                break;
            }
            let far = (length / curvature) as f32;
            x.par_iter_mut().zip(&towards).for_each(|(x, d)| *x += far * d);
            rest.par_iter_mut().zip(&product).for_each(|(r, q)| *r -= far * q);
            scaled.par_iter_mut().zip(&rest).zip(&self.diagonal).for_each(|((s, r), m)| *s = r / m);
            let next = self.dot(&rest, &scaled);
            let keep = (next / length) as f32;
            length = next;
            towards.par_iter_mut().zip(&scaled).for_each(|(d, s)| *d = s + keep * *d);
        }
        x
    }

    /// Summed up plane by plane, so that the threads change nothing.
    fn dot(&self, a: &[f32], b: &[f32]) -> f64 {
        let plane = self.strides[2].max(1);
        let sum = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum();
        let parts: Vec<f64> = a.par_chunks(plane).zip(b.par_chunks(plane)).map(sum).collect();
        parts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(hu: &[f32], prior: &[f32]) -> Vec<f32> {
        let geometry = Geometry::axis_aligned([hu.len(), 1, 1], [0.0; 3], [2.0; 3]);
        Field { geometry, hu: hu.to_vec(), prior: prior.to_vec() }.walk()
    }

    #[test]
    fn two_even_voxels_nearly_agree() {
        // (w + s) a - w b = s and (w + s) b - w a = 0 with a step's weight w of 1.0001 and s of
        // 0.01: a + b = 1 and a - b = s / (2 w + s) = 0.0049748.
        let x = walk(&[30.0, 30.0], &[1.0, 0.0]);
        assert!((x[0] - 0.502487).abs() < 1e-5 && (x[1] - 0.497513).abs() < 1e-5, "{x:?}");
    }

    #[test]
    fn an_edge_keeps_them_apart_and_a_gap_wholly() {
        // The typical step is 0 and so counts as 1 HU: 100 HU are an edge.
        let hu = [30.0, 30.0, 30.0, 130.0, 130.0, f32::NAN, 130.0];
        let x = walk(&hu, &[0.5, 1.0, 1.0, 0.2, 0.0, 0.0, 0.7]);
        assert!(x[..3].iter().all(|&v| v > 0.8), "{x:?}");
        assert!(x[3..5].iter().all(|&v| v < 0.15), "{x:?}");
        assert_eq!(x[5], 0.0);
        assert!((x[6] - 0.7).abs() < 1e-6, "{x:?}");
    }
}
