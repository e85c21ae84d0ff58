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

/// Mean cross-entropy plus 1 - soft Dice over the voxels that count.
///
/// `targets` are 1 or 0, `counts` says which voxels take part. With no such voxel the loss is 0.
/// Soft Dice is (2 sum(p t) + 1) / (sum(p) + sum(t) + 1) over the batch.
pub(crate) fn voxels(logits: &[f32], targets: &[u8], counts: &[u8]) -> Loss {
    let (mut entropy, mut n) = (0.0f64, 0u64);
    let (mut common, mut sum) = (1.0f64, 1.0f64);
    let probabilities: Vec<f32> = logits.iter().map(|&l| sigmoid(l)).collect();
    for (i, &p) in probabilities.iter().enumerate() {
        if counts[i] == 0 {
            continue;
        }
        let t = f32::from(targets[i]);
        entropy += cross_entropy(logits[i], t);
        n += 1;
        common += 2.0 * f64::from(p * t);
        sum += f64::from(p + t);
    }
    if n == 0 {
        return Loss { value: 0.0, gradient: vec![0.0; logits.len()] };
    }
    let (per, c, s2) = (1.0 / n as f32, common as f32, (sum * sum) as f32);
    let gradient = probabilities.iter().enumerate().map(|(i, &p)| {
        if counts[i] == 0 {
            return 0.0;
        }
        let t = f32::from(targets[i]);
        (p - t) * per - (2.0 * t * sum as f32 - c) / s2 * p * (1.0 - p)
    });
    Loss { gradient: gradient.collect(), value: entropy / n as f64 + 1.0 - common / sum }
}

/// Label of an anchor that takes no part.
pub(crate) const IGNORED: i8 = -1;

/// Objectness: mean cross-entropy of the positive anchors plus that of the hardest negatives.
///
/// `labels` are 1, 0 or [`IGNORED`]. Of the negatives the `ratio` times as many as positives with
/// the largest logits count, at least `least` (DSB2017's hard negatives, taken over the batch).
pub(crate) fn objectness(logits: &[f32], labels: &[i8], ratio: usize, least: usize) -> Loss {
    let chosen = |label: i8| (0..logits.len()).filter(move |&i| labels[i] == label);
    let positives: Vec<usize> = chosen(1).collect();
    let mut negatives: Vec<usize> = chosen(0).collect();
    let keep = (positives.len() * ratio).max(least).min(negatives.len());
    if keep < negatives.len() {
        let harder = |&a: &usize, &b: &usize| logits[b].total_cmp(&logits[a]).then(a.cmp(&b));
        negatives.select_nth_unstable_by(keep, harder);
        negatives.truncate(keep);
        negatives.sort_unstable();
    }
    let mut loss = Loss { value: 0.0, gradient: vec![0.0; logits.len()] };
    for (picked, target) in [(positives, 1.0f32), (negatives, 0.0)] {
        let per = 1.0 / picked.len().max(1) as f32;
        for i in picked {
            loss.value += cross_entropy(logits[i], target) * f64::from(per);
            loss.gradient[i] = (sigmoid(logits[i]) - target) * per;
        }
    }
    loss
}

/// Where the loss of an offset turns from quadratic to linear. Offsets are parts of an edge and
/// logarithms of ratios: at the usual 1 all errors that matter would lie in the flat part.
const BEND: f32 = 0.1;

/// Smooth L1 (Girshick, "Fast R-CNN"), bent at [`BEND`], of the six offsets of each positive
/// anchor: summed over offsets, averaged over anchors. `targets` holds (anchor, offsets).
pub(crate) fn offsets(predicted: &[f32], targets: &[(usize, [f32; 6])]) -> Loss {
    let mut loss = Loss { value: 0.0, gradient: vec![0.0; predicted.len()] };
    let per = 1.0 / targets.len().max(1) as f32;
    for (anchor, target) in targets {
        for (k, &t) in target.iter().enumerate() {
            let i = 6 * anchor + k;
            let d = predicted[i] - t;
            let value = if d.abs() < BEND { 0.5 * d * d / BEND } else { d.abs() - 0.5 * BEND };
            loss.value += f64::from(value * per);
            loss.gradient[i] = (d / BEND).clamp(-1.0, 1.0) * per;
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
        check(&logits, |l| voxels(l, &[1, 0, 1, 0, 0], &[1, 1, 1, 1, 0]));
    }

    #[test]
    fn voxel_loss_of_even_odds_is_worked_by_hand() {
        // two voxels, p = 1/2 each, one infected: ln 2 + 1 - (2 * 1/2 + 1) / (1 + 1 + 1)
        let loss = voxels(&[0.0, 0.0], &[1, 0], &[1, 1]);
        assert!((loss.value - (2f64.ln() + 1.0 - 2.0 / 3.0)).abs() < 1e-6);
        assert_eq!(voxels(&[1.0], &[1], &[0]).value, 0.0);
    }

    #[test]
    fn only_the_hardest_negatives_count() {
        let logits = [2.0, -3.0, 0.5, -0.5, 1.5];
        let labels = [1, 0, 0, 0, IGNORED];
        let loss = objectness(&logits, &labels, 1, 1);
        assert!(loss.gradient[2] > 0.0 && loss.gradient[1] == 0.0 && loss.gradient[4] == 0.0);
        check(&logits, |l| objectness(l, &labels, 2, 1));
        let none = objectness(&[0.0], &[0], 3, 4);
        assert!((none.value - 2f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn offsets_are_quadratic_near_and_linear_far() {
        let mut predicted = [0.0f32; 12];
        predicted[6] = 0.05;
        predicted[7] = -3.0;
        let targets = [(1, [0.0; 6])];
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
