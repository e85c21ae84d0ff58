//! AdamW over named tensors, with a state that can be stored bit for bit.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Settings of AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", algorithm 2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises linearly from 0.
    pub warmup_steps: u64,
    /// Share of the highest learning rate that is left at the last step of the cosine.
    pub final_share: f64,
    /// Decay of weights with more than one axis; scales and biases are not decayed.
    pub weight_decay: f64,
    /// Decay rates of the two moments.
    pub betas: [f64; 2],
    /// Gradients are scaled down to at most this norm over all tensors.
    pub clip_norm: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            learning_rate: 2e-3,
            warmup_steps: 50,
            final_share: 0.01,
            weight_decay: 1e-2,
            betas: [0.9, 0.99],
            clip_norm: 1.0,
        }
    }
}

impl AdamWConfig {
    /// Learning rate of step `step` (from 0) of `steps`: linear warm-up, then half a cosine.
    pub fn rate(&self, step: u64, steps: u64) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f64 / (self.warmup_steps + 1) as f64;
        }
        let whole = steps.saturating_sub(self.warmup_steps).max(1) as f64;
        let done = ((step - self.warmup_steps) as f64 / whole).min(1.0);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        self.learning_rate * (self.final_share + (1.0 - self.final_share) * cosine)
    }
}

/// First and second moments of one tensor.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Moments {
    /// Decayed mean of the gradient.
    pub first: Vec<f32>,
    /// Decayed mean of its square.
    pub second: Vec<f32>,
}

/// What an update of one tensor goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// Factor of the gradient.
    pub scale: f32,
    /// Learning rate.
    pub rate: f64,
    /// Whether the tensor's weights decay.
    pub decayed: bool,
}

/// The optimiser's state.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct AdamW {
    /// Updates made so far.
    pub updates: u64,
    /// Moments by tensor name.
    pub moments: BTreeMap<String, Moments>,
}

/// Values that one thread takes at a time.
const PIECE: usize = 1 << 14;

/// Euclidean norm over all gradients, summed in double precision: pieces of a fixed size, added in order.
pub(crate) fn norm<'a>(gradients: impl Iterator<Item = &'a [f32]>) -> f64 {
    let square = |piece: &[f32]| piece.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>();
    let pieces: Vec<&[f32]> = gradients.flat_map(|g| g.chunks(PIECE)).collect();
    let squares: Vec<f64> = pieces.into_par_iter().map(square).collect();
    squares.iter().sum::<f64>().sqrt()
}

impl AdamW {
    /// Counts an update; to be called once before the tensors of a step are updated.
    pub fn begin(&mut self) {
        self.updates += 1;
    }

    /// Moves `values` against `gradient`.
    pub fn update(
        &mut self,
        config: &AdamWConfig,
        name: &str,
        values: &mut [f32],
        gradient: &[f32],
        step: Step,
    ) {
        let Step { scale, rate, decayed } = step;
        let moments = self.moments.entry(name.to_string()).or_default();
        moments.first.resize(values.len(), 0.0);
        moments.second.resize(values.len(), 0.0);
        let [b1, b2] = config.betas.map(|b| b as f32);
        let updates = self.updates.min(i32::MAX as u64) as i32;
        let c1 = (1.0 - config.betas[0].powi(updates)) as f32;
        let c2 = (1.0 - config.betas[1].powi(updates)) as f32;
        let rate = rate as f32;
        let keep = if decayed { 1.0 - rate * config.weight_decay as f32 } else { 1.0 };
        let state = moments.first.par_chunks_mut(PIECE).zip(moments.second.par_chunks_mut(PIECE));
        let pieces = values.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE)).zip(state);
        pieces.for_each(|((values, gradient), (first, second))| {
            let state = first.iter_mut().zip(second);
            for ((value, &gradient), (m, v)) in values.iter_mut().zip(gradient).zip(state) {
                let g = gradient * scale;
                *m = b1 * *m + (1.0 - b1) * g;
                *v = b2 * *v + (1.0 - b2) * g * g;
                *value = *value * keep - rate * (*m / c1) / ((*v / c2).sqrt() + 1e-8);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// p = [1, -2], gradients [0.5, -1] then [0.1, 0.3], rate 0.1, weight decay 0.01, by hand.
    #[test]
    fn two_updates_follow_the_published_rule() {
        let config = AdamWConfig { betas: [0.9, 0.99], weight_decay: 0.01, ..AdamWConfig::default() };
        let mut optimizer = AdamW::default();
        let mut p = [1.0f32, -2.0];
        for gradient in [[0.5f32, -1.0], [0.1, 0.3]] {
            optimizer.begin();
            optimizer.update(&config, "p", &mut p, &gradient, Step { scale: 1.0, rate: 0.1, decayed: true });
        }
        // first: m/c1 = g, sqrt(v/c2) = |g|, so p = p * 0.999 -+ 0.1
        // second: m = .09 g1 + .1 g2 -> /0.19; v = .0099 g1^2 + .01 g2^2 -> /0.0199
        let second = |p: f64, g1: f64, g2: f64| {
            let first = p * 0.999 - 0.1 * g1.signum();
            let m = (0.09 * g1 + 0.1 * g2) / 0.19;
            let v = (0.0099 * g1 * g1 + 0.01 * g2 * g2) / 0.0199;
            first * 0.999 - 0.1 * m / v.sqrt()
        };
        assert!((f64::from(p[0]) - second(1.0, 0.5, 0.1)).abs() < 1e-6, "{p:?}");
        assert!((f64::from(p[1]) - second(-2.0, -1.0, 0.3)).abs() < 1e-6, "{p:?}");
    }

    #[test]
    fn long_tensors_are_updated_and_measured_as_their_values_are() {
        let config = AdamWConfig::default();
        let step = Step { scale: 0.5, rate: 0.1, decayed: true };
        let gradient: Vec<f32> = (0..40_000).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
        let updated = |gradient: &[f32]| {
            let (mut optimizer, mut p) = (AdamW::default(), vec![1.0; gradient.len()]);
            for _ in 0..2 {
                optimizer.begin();
                optimizer.update(&config, "p", &mut p, gradient, step);
            }
            p
        };
        let whole = updated(&gradient);
        assert!(
            (0..40_000)
                .step_by(997)
                .chain([16_383, 16_384, 39_999])
                .all(|i| updated(&gradient[i..=i]) == [whole[i]])
        );
        let squares: f64 = gradient.iter().map(|&g| f64::from(g).powi(2)).sum();
        let halves = gradient.split_at(17_000);
        assert!((norm([halves.0, halves.1].into_iter()) - squares.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn the_rate_rises_then_falls_along_a_cosine() {
        let c =
            AdamWConfig { learning_rate: 1.0, warmup_steps: 9, final_share: 0.0, ..AdamWConfig::default() };
        assert!((c.rate(0, 109) - 0.1).abs() < 1e-12);
        assert!((c.rate(9, 109) - 1.0).abs() < 1e-12);
        assert!((c.rate(59, 109) - 0.5).abs() < 1e-12);
        assert!(c.rate(109, 109).abs() < 1e-12);
    }
}
