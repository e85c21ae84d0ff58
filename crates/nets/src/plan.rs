//! Which buffer each value lives in: buffers are used again once their value is no longer needed.

use crate::fold::{Step, Work};
use crate::{Shape, Source};

/// A run of some steps for one input size.
pub(crate) struct Plan {
    /// Steps to run, in order, as places in the list of steps.
    pub(crate) order: Vec<usize>,
    /// Buffer of each layer's value, by the layer's place; `usize::MAX` where there is none.
    pub(crate) slot: Vec<usize>,
    /// Values of one sample in each buffer.
    pub(crate) sizes: Vec<usize>,
}

impl Plan {
    /// Plans what `outputs` (places of layers) need, for layers of these `shapes`.
    pub(crate) fn new(steps: &[Step], shapes: &[Shape], outputs: &[usize]) -> Self {
        let order = needed(steps, shapes.len(), outputs);
        let mut last_use = vec![0; shapes.len()];
        for (at, &s) in order.iter().enumerate() {
            for layer in layers(&steps[s]) {
                last_use[layer] = at;
            }
        }
        for &o in outputs {
            last_use[o] = usize::MAX;
        }
        let mut plan = Self { order, slot: vec![usize::MAX; shapes.len()], sizes: Vec::new() };
        let mut free: Vec<usize> = Vec::new();
        for at in 0..plan.order.len() {
            let step = &steps[plan.order[at]];
            let mut dying: Vec<usize> = layers(step).filter(|&l| last_use[l] == at).collect();
            dying.sort_unstable();
            dying.dedup();
            let size = shapes[step.value].len();
            let reused = in_place(step).filter(|l| dying.contains(l));
            plan.slot[step.value] = match reused {
                Some(layer) => {
                    dying.retain(|&l| l != layer);
                    plan.slot[layer]
                }
                None => take(&mut plan.sizes, &mut free, size),
            };
            free.extend(dying.iter().map(|&l| plan.slot[l]));
        }
        plan
    }

    /// Bytes of all buffers for a batch of `n`.
    pub(crate) fn bytes(&self, n: usize) -> usize {
        self.sizes.iter().sum::<usize>() * n * size_of::<f32>()
    }
}

/// The layer whose buffer a step may overwrite with its result: an elementwise step its first input, a
/// convolution its residual.
pub(crate) fn in_place(step: &Step) -> Option<usize> {
    if let Some(Source::Layer(l)) = step.residual {
        return (!step.inputs.contains(&Source::Layer(l))).then_some(l);
    }
    match (&step.work, step.inputs.first()) {
        (Work::Affine { .. } | Work::Relu | Work::PRelu(_) | Work::Add { .. }, Some(Source::Layer(l)))
            if step.inputs.get(1) != step.inputs.first() =>
        {
            Some(*l)
        }
        _ => None,
    }
}

/// Layers whose values a step reads.
fn layers(step: &Step) -> impl Iterator<Item = usize> + '_ {
    step.inputs.iter().chain(&step.residual).filter_map(|s| match s {
        Source::Layer(l) => Some(*l),
        _ => None,
    })
}

/// The steps that `outputs` need. Of what a step reads the longest chain is computed first: while it is, the
/// ends of the shorter ones need not be kept.
fn needed(steps: &[Step], layer_count: usize, outputs: &[usize]) -> Vec<usize> {
    let (mut maker, mut depth) = (vec![usize::MAX; layer_count], vec![0usize; layer_count]);
    for (i, step) in steps.iter().enumerate() {
        maker[step.value] = i;
        depth[step.value] = 1 + layers(step).map(|l| depth[l]).max().unwrap_or(0);
    }
    let mut order = Vec::new();
    let mut placed = vec![false; steps.len()];
    // A step is met twice: to have what it reads computed, and then to be computed itself. The last one is
    // met first. Outputs come in the order of the layers, whatever the caller's: so a run holds what was told.
    let mut waiting: Vec<(usize, bool)> = outputs.iter().map(|&o| (maker[o], false)).collect();
    waiting.sort_unstable_by(|a, b| b.cmp(a));
    while let Some((s, ready)) = waiting.pop() {
        if placed[s] {
            continue;
        }
        if ready {
            placed[s] = true;
            order.push(s);
            continue;
        }
        waiting.push((s, true));
        let mut reads: Vec<usize> = layers(&steps[s]).collect();
        reads.sort_by_key(|&l| depth[l]);
        waiting.extend(reads.into_iter().map(|l| (maker[l], false)));
    }
    order
}

/// The smallest free buffer that is large enough, else the largest, grown, else a new one.
fn take(sizes: &mut Vec<usize>, free: &mut Vec<usize>, size: usize) -> usize {
    let fits = (0..free.len()).filter(|&i| sizes[free[i]] >= size).min_by_key(|&i| sizes[free[i]]);
    match fits.or_else(|| (0..free.len()).max_by_key(|&i| sizes[free[i]])) {
        Some(i) => {
            let slot = free.swap_remove(i);
            sizes[slot] = sizes[slot].max(size);
            slot
        }
        None => {
            sizes.push(size);
            sizes.len() - 1
        }
    }
}
