//! A wider network that begins as a narrower one: it gives the same results, and has room to learn more.

use pleura_nets::{Layer, NetSpec, Op, Tensor, Weights};
use std::collections::BTreeMap;

/// Channels of a layer's result in the wider network, and which of them are the narrower one's.
#[derive(Clone)]
struct Lane {
    width: usize,
    places: Vec<usize>,
}

impl Lane {
    fn first(narrow: usize, width: usize) -> Self {
        Self { width, places: (0..narrow).collect() }
    }
}

/// Weights for `wide` that compute what `narrow` does with its `weights`: channels that both have get
/// the narrower one's, and hear nothing of the added ones; the added ones are as in `fresh` (random),
/// and are heard as soon as training moves the zeros. (Net2Net, Chen et al. 2016, with zeros in place
/// of shared copies; ours.)
///
/// `None` when `wide` is not `narrow` with more channels inside, in layers of the same names, kinds and
/// inputs and with the same outputs.
pub(crate) fn widened(
    narrow: &NetSpec,
    weights: &Weights,
    wide: &NetSpec,
    fresh: &Weights,
) -> Option<Weights> {
    let same_ends =
        (narrow.channels, narrow.features, &narrow.outputs) == (wide.channels, wide.features, &wide.outputs);
    if !same_ends || narrow.layers.len() != wide.layers.len() {
        return None;
    }
    let (channels, features) = (narrow.channels, narrow.features);
    let mut lanes =
        BTreeMap::from([("x", Lane::first(channels, channels)), ("f", Lane::first(features, features))]);
    let mut all = fresh.clone();
    for (old, new) in narrow.layers.iter().zip(&wide.layers) {
        let lane = lane(old, new, &lanes)?;
        let is_output = narrow.outputs.contains(&old.name);
        if is_output && lane.width != lane.places.len() {
            return None; // other classes or anchors: the same number need not mean the same thing
        }
        let from = lanes.get(old.inputs.first()?.as_str())?;
        for tensor in ["weight", "bias", "running_mean", "running_var"] {
            let name = format!("{}.{tensor}", old.name);
            let Some(small) = weights.0.get(&name) else { continue };
            let large = all.0.get_mut(&name)?;
            match (&old.op, tensor) {
                (Op::UpConv { .. }, "weight") => place(small, large, [from, &lane], 1)?,
                (Op::Conv { .. } | Op::Linear { .. }, "weight") => place(small, large, [&lane, from], 0)?,
                _ => place(small, large, [&lane, &Lane::first(1, 1)], 0)?,
            }
        }
        lanes.insert(&old.name, lane);
    }
    Some(all)
}

/// Where the channels of `old` lie among those of `new`; `None` when the two layers do different things.
fn lane(old: &Layer, new: &Layer, lanes: &BTreeMap<&str, Lane>) -> Option<Lane> {
    let mut alike = new.op.clone();
    let mut lane = lanes.get(old.inputs.first()?.as_str())?.clone();
    match (&old.op, &mut alike) {
        (Op::Conv { out, .. }, Op::Conv { out: other, .. })
        | (Op::UpConv { out }, Op::UpConv { out: other })
        | (Op::Linear { out }, Op::Linear { out: other })
            if *out <= *other =>
        {
            lane = Lane::first(*out, *other);
            *other = *out;
        }
        (Op::Concat, Op::Concat) => {
            for name in &old.inputs[1..] {
                let next = lanes.get(name.as_str())?;
                lane.places.extend(next.places.iter().map(|p| lane.width + p));
                lane.width += next.width;
            }
        }
        (Op::Add { .. }, Op::Add { .. }) => {
            let other = lanes.get(old.inputs.get(1)?.as_str())?;
            if (other.width, &other.places) != (lane.width, &lane.places) {
                return None; // sums of channels that no longer belong together
            }
        }
        _ => {}
    }
    (old.name == new.name && old.inputs == new.inputs && old.op == alike).then_some(lane)
}

/// Copies `small` to its `places` along the first two axes of `large`; the rest of each slice of
/// `large` along the axis `out` that belongs to `small` becomes zero.
fn place(small: &Tensor, large: &mut Tensor, places: [&Lane; 2], out: usize) -> Option<()> {
    let second = |t: &Tensor| t.shape.get(1).copied().unwrap_or(1);
    let cell: usize = small.shape.iter().skip(2).product();
    let fits = |t: &Tensor, [a, b]: [usize; 2]| t.shape.first() == Some(&a) && second(t) == b;
    let [rows, columns] = places;
    if !fits(small, places.map(|l| l.places.len())) || !fits(large, places.map(|l| l.width)) {
        return None;
    }
    let start = |r: usize, c: usize| (r * columns.width + c) * cell;
    for r in 0..rows.width {
        for c in 0..columns.width {
            if places[out].places.contains(&[r, c][out]) {
                large.data[start(r, c)..][..cell].fill(0.0);
            }
        }
    }
    for (i, &r) in rows.places.iter().enumerate() {
        for (j, &c) in columns.places.iter().enumerate() {
            let values = &small.data[(i * columns.places.len() + j) * cell..][..cell];
            large.data[start(r, c)..][..cell].copy_from_slice(values);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleura_nets::{Executor, specs};

    /// Weights whose every tensor matters, running statistics too.
    fn formula(spec: &NetSpec) -> Weights {
        let mut weights = Weights::init(spec, 1).unwrap();
        for (name, tensor) in &mut weights.0 {
            let least = if name.ends_with("running_var") { 0.5 } else { -0.3 };
            if tensor.shape.len() == 1 {
                tensor.data.iter_mut().enumerate().for_each(|(i, v)| *v = least + 0.17 * (i % 5) as f32);
            }
        }
        weights
    }

    fn outputs(spec: &NetSpec, weights: &Weights, size: [usize; 4], features: Option<&[f32]>) -> Vec<Tensor> {
        let image: Vec<f32> =
            (0..size.iter().product()).map(|i: usize| (i * 31 % 97) as f32 / 97.0).collect();
        Executor::new(spec, weights).unwrap().run(&image, size, features).unwrap()
    }

    #[test]
    fn a_wider_network_begins_with_the_same_results_and_hears_its_new_channels_when_taught() {
        let narrow = specs::vnet_ir_rpn(&[8, 16, 32], 5);
        let wide = specs::vnet_ir_rpn(&[12, 32, 40], 5);
        let (old, fresh) = (formula(&narrow), Weights::init(&wide, 7).unwrap());
        let mut weights = widened(&narrow, &old, &wide, &fresh).unwrap();
        weights.check(&wide).unwrap();
        let size = [1, 8, 12, 16];
        let before = outputs(&narrow, &old, size, None);
        for (a, b) in before.iter().zip(outputs(&wide, &weights, size, None)) {
            assert_eq!(a.shape, b.shape);
            let largest = a.data.iter().fold(0f32, |m, v| m.max(v.abs()));
            assert!(a.data.iter().zip(&b.data).all(|(x, y)| (x - y).abs() <= 1e-5 * largest));
        }
        // The added channels live: one weight from an added one to one that was there changes the results.
        let first_added = 8 * 27;
        weights.0.get_mut("dec0.0.conv.weight").unwrap().data[8] += 0.5;
        assert!(weights.0["stem.conv.weight"].data[first_added..].iter().any(|&v| v != 0.0));
        assert_ne!(outputs(&wide, &weights, size, None)[2], before[2]);
    }

    #[test]
    fn the_same_network_is_taken_whole() {
        let spec = specs::location_attention(3, 1);
        let old = formula(&spec);
        let fresh = Weights::init(&spec, 7).unwrap();
        assert_eq!(widened(&spec, &old, &spec, &fresh).unwrap(), old);
    }

    #[test]
    fn narrower_networks_and_other_heads_are_not_widened() {
        let spec = specs::vnet_ir_rpn(&[8, 16, 32], 5);
        let old = formula(&spec);
        let no = |other: NetSpec| {
            let fresh = Weights::init(&other, 7).unwrap();
            assert!(widened(&spec, &old, &other, &fresh).is_none());
        };
        no(specs::vnet_ir_rpn(&[8, 12, 32], 5));
        no(specs::vnet_ir_rpn(&[8, 16, 32], 6));
        no(specs::vnet_ir_rpn(&[8, 16, 32, 64], 5));
        no(specs::resnet18(3, 1));
    }
}
