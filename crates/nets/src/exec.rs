//! Runs a network on the CPU.

use crate::fold::{Step, steps};
use crate::ops::{self, Ready};
use crate::plan::{Plan, in_place};
use crate::{NetSpec, NetsError, Result, Shape, Source, Tensor, Weights};
use pleura_kernels::{Room, Stored};
use rayon::prelude::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Samples of a batch that go through the network together at most.
const TOGETHER: usize = 16;
/// Smallest batch that is cut in parts.
const WORTH_CUTTING: usize = 8;

/// A network ready to run: batch normalisation folded, ReLU and residual sums fused, weights packed.
///
/// Results do not depend on the thread count. The buffers of a run are kept for the next one; those
/// of [`Executor::run_tiled`] are given back.
pub struct Executor {
    pub(crate) spec: NetSpec,
    steps: Vec<Step>,
    ready: Vec<Ready>,
    kept: Mutex<Vec<Workspace>>,
    elsewhere: Option<Box<dyn Forward>>,
}

/// A place to run a network other than the kernels of the CPU: a graphics card.
pub trait Forward: Send + Sync {
    /// All outputs in the spec's order, shaped as by [`Executor::run`]. The feed fits the network.
    ///
    /// # Errors
    /// [`NetsError::Input`] when the place fails.
    fn forward(&self, feed: Feed) -> Result<Vec<Tensor>>;
}

/// Memory of a run's values, kept from one run to the next.
#[derive(Default)]
pub(crate) struct Workspace {
    values: Vec<f32>,
}

/// What is fed in.
#[derive(Debug, Clone, Copy)]
pub struct Feed<'a> {
    /// Images `[n, d, h, w, c]`.
    pub x: &'a [f32],
    /// `[n, d, h, w]`.
    pub size: [usize; 4],
    /// `[n, f]`, where the network takes them.
    pub features: Option<&'a [f32]>,
}

impl Executor {
    /// Prepares a network.
    ///
    /// # Errors
    /// [`NetsError::Graph`] when the graph is invalid, [`NetsError::Tensor`] when the weights are not its own.
    pub fn new(spec: &NetSpec, weights: &Weights) -> Result<Self> {
        weights.check(spec)?;
        let steps = steps(spec, weights)?;
        let ready = steps.iter().map(ops::prepare).collect();
        Ok(Self { spec: spec.clone(), steps, ready, kept: Mutex::default(), elsewhere: None })
    }

    /// Runs the network there from now on. Tiles stay as they are planned for the CPU.
    pub fn run_on(&mut self, place: Box<dyn Forward>) {
        self.elsewhere = Some(place);
    }

    /// The network it runs.
    pub fn spec(&self) -> &NetSpec {
        &self.spec
    }

    /// All outputs of the network, in the spec's order, for images `x` `[n, d, h, w, c]` of size
    /// `[n, d, h, w]` and, where the network takes them, features `[n, f]`. Maps come out as
    /// `[n, d, h, w, c]`, rows as `[n, c]`.
    ///
    /// # Errors
    /// [`NetsError::Input`] when lengths do not match, [`NetsError::Graph`] when the size does not
    /// fit the network.
    pub fn run(&self, x: &[f32], size: [usize; 4], features: Option<&[f32]>) -> Result<Vec<Tensor>> {
        let names: Vec<&str> = self.spec.outputs.iter().map(String::as_str).collect();
        self.run_selected(x, size, features, &names)
    }

    /// As [`Executor::run`], but only the outputs named, and only the layers they need.
    ///
    /// # Errors
    /// As [`Executor::run`]; [`NetsError::Graph`] for a name that is no output.
    pub fn run_selected(
        &self,
        x: &[f32],
        size: [usize; 4],
        features: Option<&[f32]>,
        outputs: &[&str],
    ) -> Result<Vec<Tensor>> {
        let feed = Feed { x, size, features };
        if size[0] < WORTH_CUTTING || self.elsewhere.is_some() {
            return self.run_kept(feed, outputs);
        }
        self.check(feed)?;
        // Each thread takes samples through the whole network: they wait for each other once, not at
        // every layer, and a part's values stay in the caches.
        let parts: Vec<Vec<Tensor>> = self
            .parts(feed)
            .into_par_iter()
            .map(|part| self.run_kept(part, outputs))
            .collect::<Result<_>>()?;
        let joined = |o: usize| {
            let mut shape = parts[0][o].shape.clone();
            shape[0] = size[0];
            Tensor { shape, data: parts.iter().flat_map(|p| p[o].data.iter().copied()).collect() }
        };
        Ok((0..outputs.len()).map(joined).collect())
    }

    /// A batch cut in parts, by its size alone, so that results do not depend on threads.
    fn parts<'a>(&self, feed: Feed<'a>) -> Vec<Feed<'a>> {
        let [n, d, h, w] = feed.size;
        let (each, values) = (part_size(n), d * h * w * self.spec.channels);
        let part = |from: usize| {
            let to = (from + each).min(n);
            let features = feed.features.map(|f| &f[from * self.spec.features..to * self.spec.features]);
            Feed { x: &feed.x[from * values..to * values], size: [to - from, d, h, w], features }
        };
        (0..n).step_by(each).map(part).collect()
    }

    /// Runs in buffers kept from an earlier run, where there are some.
    fn run_kept(&self, feed: Feed, outputs: &[&str]) -> Result<Vec<Tensor>> {
        let mut space = self.kept().pop().unwrap_or_default();
        let results = self.run_in(feed, outputs, &mut space);
        self.kept().push(space);
        results
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Workspace>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back the buffers kept from earlier runs, but for what layers work in, which threads keep.
    pub fn release(&self) {
        self.kept().clear();
    }

    /// Most bytes that a run of all outputs on `[n, d, h, w]` holds at once on the threads there are:
    /// buffers, outputs and what the layers work in; input and weights come on top.
    ///
    /// # Errors
    /// [`NetsError::Graph`] when the size does not fit the network.
    pub fn peak_bytes(&self, size: [usize; 4]) -> Result<usize> {
        let [n, d, h, w] = size;
        let shapes = self.spec.shapes([d, h, w])?;
        let image = Shape::Map { channels: self.spec.channels, size: [d, h, w] };
        let part = part_size(n);
        let room = |(step, ready): (&Step, &Ready)| match step.inputs.first() {
            Some(Source::Image) => ready.room(image, part),
            Some(Source::Layer(l)) => ready.room(shapes[*l], part),
            _ => Room::default(),
        };
        let room = self.steps.iter().zip(&self.ready).map(room).fold(Room::default(), Room::max).bytes();
        let at_once = n.div_ceil(part.max(1)).min(rayon::current_num_threads());
        // What the parts gave, and all of them joined.
        let results: usize = self.spec.output_places()?.iter().map(|&o| shapes[o].len()).sum();
        let results = if at_once > 1 { 2 * results * n * size_of::<f32>() } else { 0 };
        Ok(at_once * (self.buffer_bytes([part, d, h, w])? + room) + results)
    }

    /// As [`Executor::peak_bytes`], without what the layers work in: the same whatever the threads.
    pub(crate) fn buffer_bytes(&self, [n, d, h, w]: [usize; 4]) -> Result<usize> {
        let shapes = self.spec.shapes([d, h, w])?;
        let outputs = self.spec.output_places()?;
        let results: usize = outputs.iter().map(|&o| shapes[o].len()).sum();
        Ok(Plan::new(&self.steps, &shapes, &outputs).bytes(n) + results * n * size_of::<f32>())
    }

    /// Places of the layers called `names`, all of them outputs.
    pub(crate) fn selected(&self, names: &[&str]) -> Result<Vec<usize>> {
        // Only outputs are sure not to have been fused away.
        if let Some(name) = names.iter().find(|n| !self.spec.outputs.iter().any(|o| o == *n)) {
            let what = format!("network `{}` has no output `{name}`", self.spec.name);
            return Err(NetsError::Input(what));
        }
        self.spec.places(names)
    }

    pub(crate) fn run_in(&self, feed: Feed, names: &[&str], space: &mut Workspace) -> Result<Vec<Tensor>> {
        self.check(feed)?;
        let [n, d, h, w] = feed.size;
        let shapes = self.spec.shapes([d, h, w])?;
        let outputs = self.selected(names)?;
        if let Some(place) = &self.elsewhere {
            return self.chosen(place.forward(feed)?, names);
        }
        let plan = Plan::new(&self.steps, &shapes, &outputs);
        if space.values.len() < n * plan.size {
            // Anew: growing would copy what is no longer needed.
            drop(std::mem::take(&mut space.values));
            space.values = vec![0.0; n * plan.size];
        }
        // On a thread of the pool: from elsewhere each layer would have to wake it, and to wait to be woken.
        rayon::scope(|_| {
            for &s in &plan.order {
                self.step(s, feed, &plan, &shapes, &mut space.values);
            }
        });
        let take = |&o: &usize| {
            let (begin, len) = (n * plan.place[o], n * shapes[o].len());
            Tensor { shape: shapes[o].batched(n), data: space.values[begin..begin + len].to_vec() }
        };
        Ok(outputs.iter().map(take).collect())
    }

    /// The outputs `names` out of all.
    fn chosen(&self, all: Vec<Tensor>, names: &[&str]) -> Result<Vec<Tensor>> {
        let mut all: Vec<Option<Tensor>> = all.into_iter().map(Some).collect();
        let mut take = |name: &&str| {
            let at = self.spec.outputs.iter().position(|o| o == name);
            at.and_then(|i| all.get_mut(i)?.take())
        };
        let taken: Option<Vec<Tensor>> = names.iter().map(&mut take).collect();
        taken.ok_or_else(|| NetsError::Input(format!("network `{}` gave too few outputs", self.spec.name)))
    }

    /// Whether a feed fits the network.
    fn check(&self, feed: Feed) -> Result<()> {
        let wrong = |what: String| Err(NetsError::Input(what));
        let cells = feed.size.iter().try_fold(self.spec.channels, |n, &s| n.checked_mul(s));
        if cells != Some(feed.x.len()) || feed.x.is_empty() {
            let c = self.spec.channels;
            return wrong(format!(
                "{} values for images of {:?} with {c} channel(s)",
                feed.x.len(),
                feed.size
            ));
        }
        let given = feed.features.map_or(0, <[f32]>::len);
        let wanted = feed.size[0] * self.spec.features;
        if given != wanted {
            return wrong(format!("{given} feature values, network `{}` needs {wanted}", self.spec.name));
        }
        Ok(())
    }

    fn step(&self, s: usize, feed: Feed, plan: &Plan, shapes: &[Shape], values: &mut [f32]) {
        let step = &self.steps[s];
        let [n, d, h, w] = feed.size;
        let image = Shape::Map { channels: self.spec.channels, size: [d, h, w] };
        let shape = |source: &Source| match *source {
            Source::Image => image,
            Source::Features => Shape::Flat(self.spec.features),
            Source::Layer(l) => shapes[l],
        };
        let own = plan.place[step.value];
        // A step whose value lies where its input or its residual does works on it in place.
        let shared = in_place(step).filter(|&l| plan.place[l] == own);
        // What is read lies before or behind what is written.
        let (before, rest) = values.split_at_mut(n * own);
        let (y, behind) = rest.split_at_mut(n * shapes[step.value].len());
        let behind_from = n * own + y.len();
        let value = |source: &Source| -> (Stored, Shape) {
            let shape = shape(source);
            let all: &[f32] = match *source {
                Source::Image => feed.x,
                Source::Features => feed.features.unwrap_or(&[]),
                Source::Layer(l) if shared == Some(l) => return (Stored::InPlace, shape),
                Source::Layer(l) => match (n * plan.place[l]).checked_sub(behind_from) {
                    Some(begin) => &behind[begin..],
                    None => &before[n * plan.place[l]..],
                },
            };
            (Stored::Array(&all[..n * shape.len()]), shape)
        };
        let inputs: Vec<(Stored, Shape)> = step.inputs.iter().map(value).collect();
        let residual = step.residual.as_ref().map(|r| value(r).0);
        self.ready[s].run(&ops::Call { inputs: &inputs, residual, relu: step.relu }, y);
    }
}

/// Samples of each part of a batch of `n`: an even number of parts, none of more than [`TOGETHER`].
fn part_size(n: usize) -> usize {
    match n {
        n if n < WORTH_CUTTING => n,
        n => n.div_ceil(n.div_ceil(TOGETHER).next_multiple_of(2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_even_and_small() {
        let cases = [(1, 1), (7, 7), (8, 4), (9, 5), (32, 16), (33, 9), (75, 13), (96, 16)];
        for (n, part) in cases {
            assert_eq!(part_size(n), part, "{n}");
        }
    }
}
