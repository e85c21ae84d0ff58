//! Weights of a network.

use crate::specs::{OBJECTNESS, OFFSETS, VOXEL};
use crate::{NetSpec, NetsError, Op, Result, Source};
use std::collections::BTreeMap;

/// Objectness and infected tissue are rare: with this prior the first steps of training are not
/// spent on unlearning one half everywhere.
const PRIOR: f32 = 0.01;

/// A dense array, last axis fastest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensor {
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// As many values as the product of `shape`.
    pub data: Vec<f32>,
}

impl Tensor {
    /// A tensor of one value.
    pub fn filled(shape: Vec<usize>, value: f32) -> Self {
        let data = vec![value; shape.iter().product()];
        Self { shape, data }
    }
}

/// Tensors by name (`<layer>.<tensor>`), batch normalisation unfolded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights(pub BTreeMap<String, Tensor>);

impl Weights {
    /// The tensor called `name`.
    ///
    /// # Errors
    /// [`NetsError::Tensor`] when there is none.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.0.get(name).ok_or_else(|| NetsError::tensor(name, "is missing"))
    }

    /// Checks that these are the weights of `spec`: none missing, none surplus, all of the right
    /// shape and finite, running variances not negative.
    ///
    /// # Errors
    /// [`NetsError::Tensor`] names the first that is wrong.
    pub fn check(&self, spec: &NetSpec) -> Result<()> {
        let wanted: BTreeMap<String, Vec<usize>> = spec.tensors()?.into_iter().collect();
        for (name, shape) in &wanted {
            let t = self.get(name)?;
            if t.shape != *shape || t.data.len() != shape.iter().product::<usize>() {
                let what = format!(
                    "has shape {:?} with {} values, the network needs {shape:?}",
                    t.shape,
                    t.data.len()
                );
                return Err(NetsError::tensor(name, what));
            }
            if !t.data.iter().all(|v| v.is_finite()) {
                return Err(NetsError::tensor(name, "holds a value that is not finite"));
            }
            if name.ends_with(".running_var") && t.data.iter().any(|&v| v < 0.0) {
                return Err(NetsError::tensor(name, "holds a negative variance"));
            }
        }
        match self.0.keys().find(|name| !wanted.contains_key(*name)) {
            Some(name) => Err(NetsError::tensor(name, "does not belong to the network")),
            None => Ok(()),
        }
    }

    /// Random weights to train from; the same for the same spec and seed on every machine.
    ///
    /// He initialisation (uniform, gain for ReLU). Ours: a batch normalisation that ends a residual
    /// branch starts at 0.2, so that a deep network starts near the identity; head convolutions
    /// start small, objectness and voxel biases at the logit of 0.01.
    ///
    /// # Errors
    /// [`NetsError::Graph`] when the graph is invalid.
    pub fn init(spec: &NetSpec, seed: u64) -> Result<Self> {
        let shapes: BTreeMap<String, Vec<usize>> = spec.tensors()?.into_iter().collect();
        let ends_branch = branch_ends(spec)?;
        let mut all = BTreeMap::new();
        for (i, layer) in spec.layers.iter().enumerate() {
            let head = [OBJECTNESS, OFFSETS, VOXEL].contains(&layer.name.as_str());
            let is_output = spec.outputs.contains(&layer.name);
            for tensor in ["weight", "bias", "running_mean", "running_var"] {
                let name = format!("{}.{tensor}", layer.name);
                let Some(shape) = shapes.get(&name) else { continue };
                let fan_in: usize = match layer.op {
                    Op::UpConv { .. } => shape.first().copied().unwrap_or(1),
                    _ => shape.iter().skip(1).product(),
                };
                let value = match (&layer.op, tensor) {
                    (Op::BatchNorm { .. }, "weight") if ends_branch[i] => Fill::Value(0.2),
                    (Op::BatchNorm { .. }, "weight") | (_, "running_var") => Fill::Value(1.0),
                    (Op::PRelu, _) => Fill::Value(0.25),
                    (_, "bias") if head && layer.name != OFFSETS => Fill::Value((PRIOR / (1.0 - PRIOR)).ln()),
                    (_, "bias" | "running_mean") => Fill::Value(0.0),
                    _ if head => Fill::Uniform(0.01 * 3f32.sqrt()),
                    // A logit passes no ReLU: gain 1.
                    _ if is_output => Fill::Uniform((3.0 / fan_in.max(1) as f32).sqrt()),
                    _ => Fill::Uniform((6.0 / fan_in.max(1) as f32).sqrt()),
                };
                all.insert(name.clone(), value.tensor(shape.clone(), stream(seed, &name)));
            }
        }
        Ok(Self(all))
    }
}

/// Whether a layer's result goes nowhere but into an `Add`.
fn branch_ends(spec: &NetSpec) -> Result<Vec<bool>> {
    let mut into_add = vec![0usize; spec.layers.len()];
    let mut uses = vec![0usize; spec.layers.len()];
    for (layer, from) in spec.layers.iter().zip(spec.sources()?) {
        for (k, source) in from.iter().enumerate() {
            let Source::Layer(i) = *source else { continue };
            uses[i] += 1;
            into_add[i] += usize::from(k == 1 && matches!(layer.op, Op::Add { .. }));
        }
    }
    Ok(uses.iter().zip(&into_add).map(|(u, a)| *u == 1 && *a == 1).collect())
}

enum Fill {
    Value(f32),
    /// Uniform between minus and plus this.
    Uniform(f32),
}

impl Fill {
    fn tensor(&self, shape: Vec<usize>, mut state: u64) -> Tensor {
        match *self {
            Self::Value(v) => Tensor::filled(shape, v),
            Self::Uniform(bound) => {
                let n = shape.iter().product();
                let mut draw = || (splitmix(&mut state) >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
                Tensor { shape, data: (0..n).map(|_| bound * draw()).collect() }
            }
        }
    }
}

/// A random stream of its own for each tensor, so that adding a layer leaves the others as they are.
fn stream(seed: u64, name: &str) -> u64 {
    let fnv = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
    let mut state = seed ^ name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    splitmix(&mut state)
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
