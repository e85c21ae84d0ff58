//! Where each value lies: memory is used again once its value is no longer needed.

use crate::fold::{Read, Step, Work};
use crate::{Shape, Source};

/// A run of some steps for one input size.
pub(crate) struct Plan {
    /// Steps to run, in order, as places in the list of steps.
    pub(crate) order: Vec<usize>,
    /// Where each layer's value begins, for one sample, by the layer's place; `usize::MAX` where there is none.
    pub(crate) place: Vec<usize>,
    /// Values of one sample that are held together.
    pub(crate) size: usize,
}

/// A stretch of memory that one value has, or several in turn, each written over the one before.
struct Block {
    values: Vec<usize>,
    size: usize,
    /// First and last step that it is needed in.
    first: usize,
    last: usize,
}

impl Plan {
    /// Plans what `outputs` (places of layers) need, for layers of these `shapes`.
    pub(crate) fn new(steps: &[Step], shapes: &[Shape], outputs: &[usize]) -> Self {
        let order = needed(steps, shapes.len(), outputs);
        let (place, size) = placed(blocks(steps, shapes, outputs, &order), shapes.len());
        Self { order, place, size }
    }

    /// Bytes of all values for a batch of `n`.
    pub(crate) fn bytes(&self, n: usize) -> usize {
        self.size * n * size_of::<f32>()
    }
}

/// The memory that the values of these steps need, and when.
fn blocks(steps: &[Step], shapes: &[Shape], outputs: &[usize], order: &[usize]) -> Vec<Block> {
    let mut last_use = vec![0; shapes.len()];
    for (at, &s) in order.iter().enumerate() {
        layers(&steps[s]).for_each(|layer| last_use[layer] = at);
    }
    outputs.iter().for_each(|&o| last_use[o] = usize::MAX);
    let mut blocks: Vec<Block> = Vec::new();
    let mut of = vec![usize::MAX; shapes.len()];
    for (at, &s) in order.iter().enumerate() {
        let value = steps[s].value;
        let size = shapes[value].len();
        let block = match in_place(&steps[s]).filter(|&l| last_use[l] == at) {
            Some(layer) => of[layer],
            None => {
                blocks.push(Block { values: vec![], size, first: at, last: at });
                blocks.len() - 1
            }
        };
        of[value] = block;
        blocks[block].values.push(value);
        blocks[block].last = last_use[value].max(at);
    }
    blocks
}

/// Where each value lies and how much all take up: the largest blocks first, each as low as those needed at
/// the same time let it (Pisarchyk and Lee 2020, "greedy by size").
fn placed(mut blocks: Vec<Block>, layer_count: usize) -> (Vec<usize>, usize) {
    blocks.sort_by(|a, b| b.size.cmp(&a.size).then(a.first.cmp(&b.first)));
    let mut place = vec![usize::MAX; layer_count];
    // Begin and end of those that are placed.
    let mut lies: Vec<[usize; 2]> = Vec::new();
    for (k, block) in blocks.iter().enumerate() {
        let meets = |other: &Block| other.first <= block.last && block.first <= other.last;
        let mut taken: Vec<[usize; 2]> = (0..k).filter(|&i| meets(&blocks[i])).map(|i| lies[i]).collect();
        taken.sort_unstable();
        let mut begin = 0;
        for [from, to] in taken {
            if begin + block.size <= from {
                break;
            }
            begin = begin.max(to);
        }
        lies.push([begin, begin + block.size]);
        block.values.iter().for_each(|&v| place[v] = begin);
    }
    (place, lies.iter().map(|l| l[1]).max().unwrap_or(0))
}

/// The layer whose memory a step may overwrite with its result: an elementwise step its first input, a
/// convolution its residual.
pub(crate) fn in_place(step: &Step) -> Option<usize> {
    if let Some(Source::Layer(l)) = step.residual {
        return reads_before_it_writes(step, l).then_some(l);
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

/// Whether a convolution is done with what it reads of a layer, but for the residual, once it writes. A 1 x 1 x 1
/// convolution computes what it reads, place by place, before it writes there.
fn reads_before_it_writes(step: &Step, layer: usize) -> bool {
    let Work::Conv { conv, reads } = &step.work else { return false };
    let mut rest = &step.inputs[..];
    reads.iter().all(|read| {
        let (count, early) = match read {
            Read::Map => (1, false),
            Read::Pointwise { maps, .. } => (*maps, conv.conv.is_pointwise()),
        };
        let (own, behind) = rest.split_at(count);
        rest = behind;
        early || !own.contains(&Source::Layer(layer))
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::specs::{location_attention, vnet_ir_rpn};

    fn planned(spec: &crate::NetSpec, size: [usize; 3], outputs: &[usize]) -> (Vec<Step>, Vec<Shape>, Plan) {
        let steps = crate::fold::steps(spec, &crate::Weights::init(spec, 1).unwrap()).unwrap();
        let shapes = spec.shapes(size).unwrap();
        let plan = Plan::new(&steps, &shapes, outputs);
        (steps, shapes, plan)
    }

    /// All outputs, and each by itself.
    fn selections(spec: &crate::NetSpec) -> Vec<Vec<usize>> {
        let all = spec.output_places().unwrap();
        all.iter().map(|&o| vec![o]).chain([all.clone()]).collect()
    }

    #[test]
    fn no_value_lies_where_another_one_is_still_needed() {
        for (spec, size) in [
            (vnet_ir_rpn(&[8, 32, 64, 128], 5), [16, 24, 8]),
            (vnet_ir_rpn(&[8, 16, 24], 3), [12, 4, 8]),
            (location_attention(3, 1), [1, 32, 40]),
        ] {
            for outputs in selections(&spec) {
                let (steps, shapes, plan) = planned(&spec, size, &outputs);
                let lies = |l: usize| plan.place[l]..plan.place[l] + shapes[l].len();
                let read_by = |at: usize, l: usize| layers(&steps[plan.order[at]]).any(|r| r == l);
                for at in 0..plan.order.len() {
                    let written = &steps[plan.order[at]];
                    let own = lies(written.value);
                    assert!(own.end <= plan.size);
                    for l in plan.order[..at].iter().map(|&s| steps[s].value) {
                        let later = outputs.contains(&l) || (at + 1..plan.order.len()).any(|i| read_by(i, l));
                        let now = read_by(at, l) && in_place(written) != Some(l);
                        let other = lies(l);
                        let apart = own.end <= other.start || other.end <= own.start;
                        assert!(apart || !(later || now), "{}: {l} at {at}", spec.name);
                    }
                }
            }
        }
    }

    #[test]
    fn proposals_need_nothing_finer_than_what_they_read() {
        let spec = vnet_ir_rpn(&[8, 32, 64, 128], 5);
        let places = spec.places(&["rpn_objectness", "rpn_offsets"]).unwrap();
        let (steps, _, plan) = planned(&spec, [32, 24, 40], &places);
        let fine = |&&s: &&usize| {
            let name = &spec.layers[steps[s].value].name;
            ["up0", "dec0", "up1", "dec1", "voxel"].iter().any(|p| name.starts_with(p))
        };
        assert_eq!(plan.order.iter().filter(fine).count(), 0);
        let (_, _, all) = planned(&spec, [32, 24, 40], &spec.output_places().unwrap());
        assert!(all.order.iter().filter(fine).count() > 5);
    }

    #[test]
    fn the_detector_holds_three_maps_of_full_resolution_at_once() {
        let spec = vnet_ir_rpn(&[8, 32, 64, 128], 5);
        let (_, _, plan) = planned(&spec, [32, 24, 40], &spec.output_places().unwrap());
        // And what the proposal head reads, at stride 4.
        assert_eq!(plan.size, 3 * 8 * 32 * 24 * 40 + 64 * 8 * 6 * 10);
    }
}
