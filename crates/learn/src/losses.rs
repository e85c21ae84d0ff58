//! Losses with their gradients by hand: plain sums in a fixed order, so that the same batch gives
//! the same bits on any number of threads.

/// The logistic function.
pub(crate) fn sigmoid(x: f32) -> f32 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// Binary cross-entropy of a logit against a target in 0..1.
fn cross_entropy(logit: f32, target: f32) -> f64 {
    f64::from(logit.max(0.0) - logit * target + (-logit.abs()).exp().ln_1p())
}

/// A loss and its gradient by each logit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Loss {
    /// Value.
    pub value: f64,
    /// Gradient, one per logit.
    pub gradient: Vec<f32>,
}

/// Weighted mean cross-entropy plus 1 - soft Dice.
///
/// `targets` are 1 or 0; a voxel of weight 0 takes no part. With no other the loss is 0. Soft Dice is
/// (2 sum(w p t) + 1) / (sum(w p) + sum(w t) + 1) over the batch.
pub(crate) fn voxels(logits: &[f32], targets: &[u8], weights: &[f32]) -> Loss {
    let (mut entropy, mut n) = (0.0f64, 0.0f64);
    let (mut common, mut sum) = (1.0f64, 1.0f64);
    let probabilities: Vec<f32> = logits.iter().map(|&l| sigmoid(l)).collect();
    for (i, &p) in probabilities.iter().enumerate() {
        let w = f64::from(weights[i]);
        if w == 0.0 {
            continue;
        }
        let t = f32::from(targets[i]);
        entropy += w * cross_entropy(logits[i], t);
        n += w;
        common += 2.0 * w * f64::from(p * t);
        sum += w * f64::from(p + t);
    }
    if n == 0.0 {
        return Loss { value: 0.0, gradient: vec![0.0; logits.len()] };
    }
    let (per, c, s2) = (1.0 / n as f32, common as f32, (sum * sum) as f32);
    let gradient = probabilities.iter().enumerate().map(|(i, &p)| {
        if weights[i] == 0.0 {
            return 0.0;
        }
        let t = f32::from(targets[i]);
        weights[i] * ((p - t) * per - (2.0 * t * sum as f32 - c) / s2 * p * (1.0 - p))
    });
    Loss { gradient: gradient.collect(), value: entropy / n + 1.0 - common / sum }
}

/// Label of an anchor that takes no part.
pub(crate) const IGNORED: i8 = -1;

/// An anchor that stands for a region.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Positive {
    /// Its index.
    pub anchor: usize,
    /// From it to the region's box.
    pub offsets: [f32; 6],
    /// Its share of the region: those of one region add up to 1, so that a small one, which fits few
    /// anchors, counts as much as a large one.
    pub weight: f32,
}

/// Objectness: mean cross-entropy of the regions plus that of the hardest negatives.
///
/// `labels` are 1, 0 or [`IGNORED`]. Of the negatives the `ratio` times as many as positives with
/// the largest logits count, at least `least` (DSB2017's hard negatives, taken over the batch).
pub(crate) fn objectness(
    logits: &[f32],
    labels: &[i8],
    positives: &[Positive],
    ratio: usize,
    least: usize,
) -> Loss {
    let mut negatives: Vec<usize> = (0..logits.len()).filter(|&i| labels[i] == 0).collect();
    let keep = (positives.len() * ratio).max(least).min(negatives.len());
    if keep < negatives.len() {
        let harder = |&a: &usize, &b: &usize| logits[b].total_cmp(&logits[a]).then(a.cmp(&b));
        negatives.select_nth_unstable_by(keep, harder);
        negatives.truncate(keep);
        negatives.sort_unstable();
    }
    let whole = whole(positives);
    let regions = positives.iter().map(|p| (p.anchor, 1.0f32, p.weight / whole));
    let per = 1.0 / negatives.len().max(1) as f32;
    let mut loss = Loss { value: 0.0, gradient: vec![0.0; logits.len()] };
    for (i, target, share) in regions.chain(negatives.into_iter().map(|i| (i, 0.0, per))) {
        loss.value += cross_entropy(logits[i], target) * f64::from(share);
        loss.gradient[i] = (sigmoid(logits[i]) - target) * share;
    }
    loss
}

/// The weights of all anchors together: the number of regions, or 1 where there is none.
fn whole(positives: &[Positive]) -> f32 {
    let sum: f32 = positives.iter().map(|p| p.weight).sum();
    if sum > 0.0 { sum } else { 1.0 }
}

/// Where the loss of an offset turns from quadratic to linear. Offsets are parts of an edge and
/// logarithms of ratios: at the usual 1 all errors that matter would lie in the flat part.
const BEND: f32 = 0.1;

/// Smooth L1 (Girshick, "Fast R-CNN"), bent at [`BEND`], of the six offsets of each positive
/// anchor: summed over offsets, averaged over regions.
pub(crate) fn offsets(predicted: &[f32], positives: &[Positive]) -> Loss {
    let mut loss = Loss { value: 0.0, gradient: vec![0.0; predicted.len()] };
    let whole = whole(positives);
    for p in positives {
        let share = p.weight / whole;
        for (k, &t) in p.offsets.iter().enumerate() {
            let i = 6 * p.anchor + k;
            let d = predicted[i] - t;
            let value = if d.abs() < BEND { 0.5 * d * d / BEND } else { d.abs() - 0.5 * BEND };
            loss.value += f64::from(value * share);
            loss.gradient[i] = (d / BEND).clamp(-1.0, 1.0) * share;
        }
    }
    loss
}

/// Softmax over `logits`.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f32> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let e: Vec<f32> = logits.iter().map(|l| (l - top).exp()).collect();
    let sum: f32 = e.iter().sum();
    e.into_iter().map(|e| e / sum).collect()
}

/// Mean cross-entropy of rows of `classes` logits against labels smoothed by `smoothing`
/// (that share of the target is spread evenly over all classes).
pub(crate) fn classes(logits: &[f32], classes: usize, labels: &[usize], smoothing: f32) -> Loss {
    let mut loss = Loss { value: 0.0, gradient: Vec::with_capacity(logits.len()) };
    let per = 1.0 / labels.len().max(1) as f32;
    for (row, &label) in logits.chunks(classes.max(1)).zip(labels) {
        for (k, p) in softmax(row).into_iter().enumerate() {
            let q = smoothing / classes as f32 + if k == label { 1.0 - smoothing } else { 0.0 };
            loss.value -= f64::from(q * per) * f64::from(p.max(1e-12)).ln();
            loss.gradient.push((p - q) * per);
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gradient by central differences.
    fn check(logits: &[f32], f: impl Fn(&[f32]) -> Loss) {
        let loss = f(logits);
        for i in 0..logits.len() {
            let at = |d: f32| {
                let mut l = logits.to_vec();
                l[i] += d;
                f(&l).value
            };
            let numeric = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!((numeric - f64::from(loss.gradient[i])).abs() < 2e-4, "{i}: {numeric} {loss:?}");
        }
    }

    #[test]
    fn voxel_gradients_match_finite_differences() {
        let logits = [0.3, -1.2, 2.0, 0.7, -0.4];
        check(&logits, |l| voxels(l, &[1, 0, 1, 0, 0], &[1.0, 1.0, 2.5, 0.5, 0.0]));
    }

    #[test]
    fn voxel_loss_of_even_odds_is_worked_by_hand() {
        // two voxels, p = 1/2 each, one infected: ln 2 + 1 - (2 * 1/2 + 1) / (1 + 1 + 1)
        let loss = voxels(&[0.0, 0.0], &[1, 0], &[1.0, 1.0]);
        assert!((loss.value - (2f64.ln() + 1.0 - 2.0 / 3.0)).abs() < 1e-6);
        assert_eq!(voxels(&[1.0], &[1], &[0.0]).value, 0.0);
        // An infected voxel of weight 3: ln 2 + 1 - (2 * 3/2 + 1) / (2 + 3 + 1)
        let loss = voxels(&[0.0, 0.0], &[1, 0], &[3.0, 1.0]);
        assert!((loss.value - (2f64.ln() + 1.0 - 4.0 / 6.0)).abs() < 1e-6);
    }

    #[test]
    fn only_the_hardest_negatives_count() {
        let logits = [2.0, -3.0, 0.5, -0.5, 1.5];
        let labels = [1, 0, 0, 0, IGNORED];
        let positives = [Positive { anchor: 0, offsets: [0.0; 6], weight: 1.0 }];
        let loss = objectness(&logits, &labels, &positives, 1, 1);
        assert!(loss.gradient[2] > 0.0 && loss.gradient[1] == 0.0 && loss.gradient[4] == 0.0);
        check(&logits, |l| objectness(l, &labels, &positives, 2, 1));
        let none = objectness(&[0.0], &[0], &[], 3, 4);
        assert!((none.value - 2f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn a_region_counts_once_however_many_anchors_it_has() {
        // Two anchors of one region and one of another, all with ln 2 but the last.
        let of = |anchor, weight| Positive { anchor, offsets: [0.0; 6], weight };
        let positives = [of(0, 0.5), of(1, 0.5), of(2, 1.0)];
        let logits = [0.0, 0.0, 3.0];
        let loss = objectness(&logits, &[1; 3], &positives, 3, 0);
        let surprise = f64::from((-3.0f32).exp().ln_1p());
        assert!((loss.value - (2f64.ln() + surprise) / 2.0).abs() < 1e-6, "{loss:?}");
        check(&logits, |l| objectness(l, &[1; 3], &positives, 3, 0));
    }

    #[test]
    fn offsets_are_quadratic_near_and_linear_far() {
        let mut predicted = [0.0f32; 12];
        predicted[6] = 0.05;
        predicted[7] = -3.0;
        let targets = [Positive { anchor: 1, offsets: [0.0; 6], weight: 1.0 }];
        let loss = offsets(&predicted, &targets);
        assert!((loss.value - (0.5 * 0.05 * 0.5 + 2.95)).abs() < 1e-6);
        check(&predicted, |p| offsets(p, &targets));
    }

    #[test]
    fn class_gradients_match_finite_differences() {
        check(&[0.1, 0.4, -0.3, 2.0, 0.0, 1.0], |l| classes(l, 3, &[2, 0], 0.1));
        let even = classes(&[0.0; 3], 3, &[1], 0.1);
        assert!((even.value - 3f64.ln()).abs() < 1e-6);
    }
}
