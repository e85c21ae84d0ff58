//! Batch normalisation in training: statistics of the batch itself.

use rayon::prelude::*;

/// Places summed at a time; sums of parts are added in order, in double precision.
const PART: usize = 4096;

/// Mean and variance of each channel over a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Mean.
    pub mean: Vec<f32>,
    /// Variance, divided by the number of places (biased).
    pub variance: Vec<f32>,
}

/// Two sums a channel over all places, of what `of` gives for (value offset, channel).
fn sums(len: usize, channels: usize, of: impl Fn(usize, usize) -> [f32; 2] + Sync) -> Vec<[f64; 2]> {
    let step = PART * channels;
    let parts: Vec<Vec<[f64; 2]>> = (0..len.div_ceil(step))
        .into_par_iter()
        .map(|part| {
            let mut total = vec![[0.0f64; 2]; channels];
            // Short runs in single precision, added up in double.
            for from in (part * step..((part + 1) * step).min(len)).step_by(64 * channels) {
                let mut near = vec![[0.0f32; 2]; channels];
                for at in (from..(from + 64 * channels).min(len)).step_by(channels) {
                    for (c, sum) in near.iter_mut().enumerate() {
                        let [a, b] = of(at + c, c);
                        sum[0] += a;
                        sum[1] += b;
                    }
                }
                for (total, near) in total.iter_mut().zip(&near) {
                    total[0] += f64::from(near[0]);
                    total[1] += f64::from(near[1]);
                }
            }
            total
        })
        .collect();
    let mut total = vec![[0.0; 2]; channels];
    for part in &parts {
        total.iter_mut().zip(part).for_each(|(t, p)| {
            t[0] += p[0];
            t[1] += p[1];
        });
    }
    total
}

/// `y = weight * (x - mean) / sqrt(variance + eps) + bias` per channel, and `max(y, 0)` with `relu`;
/// returns the batch's moments. `x` is `[places][channels]`; the number of channels is that of `weight`.
pub fn batch_norm_forward(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    eps: f32,
    relu: bool,
    y: &mut [f32],
) -> Moments {
    let c = weight.len();
    assert!(
        c > 0 && bias.len() == c && x.len().is_multiple_of(c) && x.len() == y.len() && !x.is_empty(),
        "sizes do not fit"
    );
    let places = (x.len() / c) as f64;
    let mean: Vec<f32> =
        sums(x.len(), c, |i, _| [x[i], 0.0]).iter().map(|s| (s[0] / places) as f32).collect();
    let squares = sums(x.len(), c, |i, c| {
        let d = x[i] - mean[c];
        [d * d, d]
    });
    // The second sum takes back what rounding the mean put in.
    let variance: Vec<f32> =
        squares.iter().map(|s| ((s[0] - s[1] * s[1] / places) / places).max(0.0) as f32).collect();
    let scale: Vec<f32> = variance.iter().zip(weight).map(|(v, w)| w / (v + eps).sqrt()).collect();
    let shift: Vec<f32> = (0..c).map(|i| bias[i] - mean[i] * scale[i]).collect();
    y.par_chunks_mut(PART * c).zip(x.par_chunks(PART * c)).for_each(|(y, x)| {
        for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for i in 0..c {
                let v = x[i] * scale[i] + shift[i];
                y[i] = if relu { v.max(0.0) } else { v };
            }
        }
    });
    Moments { mean, variance }
}

/// Gradients of [`batch_norm_forward`]: writes `gx`, `gweight` and `gbias`. With `relu`, `y` (the
/// result) says where the gradient passes; without, it is not read and may be empty.
#[allow(clippy::too_many_arguments)] // one operation's operands
pub fn batch_norm_backward(
    x: &[f32],
    y: &[f32],
    gy: &[f32],
    weight: &[f32],
    moments: &Moments,
    eps: f32,
    relu: bool,
    gx: &mut [f32],
    gweight: &mut [f32],
    gbias: &mut [f32],
) {
    let c = weight.len();
    assert!(
        c > 0 && x.len().is_multiple_of(c) && gy.len() == x.len() && gx.len() == x.len(),
        "sizes do not fit"
    );
    assert!(!relu || y.len() == x.len(), "the result is needed where a ReLU was fused");
    assert!(gweight.len() == c && gbias.len() == c, "sizes do not fit");
    let places = (x.len() / c) as f32;
    let inverse: Vec<f32> = moments.variance.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
    let mean = &moments.mean;
    let passed = |i: usize| if relu && y[i] <= 0.0 { 0.0 } else { gy[i] };
    let totals = sums(x.len(), c, |i, c| {
        let g = passed(i);
        [g, g * (x[i] - mean[c]) * inverse[c]]
    });
    for (i, s) in totals.iter().enumerate() {
        (gbias[i], gweight[i]) = (s[0] as f32, s[1] as f32);
    }
    let (gweight, gbias) = (&*gweight, &*gbias);
    gx.par_chunks_mut(PART * c).enumerate().for_each(|(part, gx)| {
        let from = part * PART * c;
        for (p, gx) in gx.chunks_exact_mut(c).enumerate() {
            for (i, gx) in gx.iter_mut().enumerate() {
                let at = from + p * c + i;
                let normal = (x[at] - mean[i]) * inverse[i];
                *gx = weight[i] * inverse[i] * (passed(at) - (gbias[i] + normal * gweight[i]) / places);
            }
        }
    });
}
