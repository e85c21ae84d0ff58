//! What flows through a graph: validity, channels, sizes, strides and tensors of each layer.

use crate::{Layer, NetSpec, NetsError, Op, Result};
use std::collections::HashMap;

/// Bound on channels, kernel edges and strides, so that a bad file cannot make sizes overflow.
const MOST_CHANNELS: usize = 1 << 16;
const MOST_WINDOW: usize = 64;

/// Where a layer's input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The image input `"x"`.
    Image,
    /// The feature input `"f"`.
    Features,
    /// The layer at this place of [`NetSpec::layers`].
    Layer(usize),
}

/// Size of one sample of a layer's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A map `[d, h, w, channels]`.
    Map {
        /// Channels.
        channels: usize,
        /// Depth, height, width.
        size: [usize; 3],
    },
    /// A row of values.
    Flat(usize),
}

impl Shape {
    /// Channels of a map, values of a row.
    pub fn channels(&self) -> usize {
        match *self {
            Self::Map { channels, .. } => channels,
            Self::Flat(n) => n,
        }
    }

    /// Values of one sample.
    pub fn len(&self) -> usize {
        match *self {
            Self::Map { channels, size } => channels * size.iter().product::<usize>(),
            Self::Flat(n) => n,
        }
    }

    /// True when a sample holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[n, d, h, w, c]` or `[n, c]`.
    pub fn batched(&self, n: usize) -> Vec<usize> {
        match *self {
            Self::Map { channels, size: [d, h, w] } => vec![n, d, h, w, channels],
            Self::Flat(c) => vec![n, c],
        }
    }
}

/// Channels of a value and whether it is a map.
#[derive(Clone, Copy, PartialEq)]
struct Kind {
    channels: usize,
    map: bool,
}

impl NetSpec {
    fn wrong(&self, layer: &str, what: impl Into<String>) -> NetsError {
        NetsError::Graph { net: self.name.clone(), layer: layer.into(), what: what.into() }
    }

    /// Checks names, arity, channel counts and bounds: everything that does not depend on the
    /// size of the input.
    ///
    /// # Errors
    /// [`NetsError::Graph`] names the first layer that is wrong.
    pub fn validate(&self) -> Result<()> {
        self.kinds().map(|_| ())
    }

    /// Inputs of each layer, resolved.
    ///
    /// # Errors
    /// [`NetsError::Graph`] when a name is unknown, not earlier, or used twice.
    pub fn sources(&self) -> Result<Vec<Vec<Source>>> {
        let mut places: HashMap<&str, Source> = HashMap::from([("x", Source::Image)]);
        if self.features > 0 {
            places.insert("f", Source::Features);
        }
        let mut all = Vec::with_capacity(self.layers.len());
        for (i, layer) in self.layers.iter().enumerate() {
            let one = |name: &String| {
                let found = places.get(name.as_str()).copied();
                found
                    .ok_or_else(|| self.wrong(&layer.name, format!("input `{name}` is not an earlier layer")))
            };
            all.push(layer.inputs.iter().map(one).collect::<Result<Vec<_>>>()?);
            if layer.name == "f" || places.insert(&layer.name, Source::Layer(i)).is_some() {
                return Err(self.wrong(&layer.name, "name is used twice or reserved"));
            }
        }
        Ok(all)
    }

    /// Places in [`NetSpec::layers`] of the layers called `names`.
    ///
    /// # Errors
    /// [`NetsError::Graph`] when there is no such layer.
    pub fn places(&self, names: &[&str]) -> Result<Vec<usize>> {
        let place = |name: &&str| {
            let found = self.layers.iter().position(|l| l.name == *name);
            found.ok_or_else(|| self.wrong(name, "no such layer"))
        };
        names.iter().map(place).collect()
    }

    /// Places of the outputs.
    ///
    /// # Errors
    /// [`NetsError::Graph`] when an output is no layer.
    pub fn output_places(&self) -> Result<Vec<usize>> {
        self.places(&self.outputs.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn kinds(&self) -> Result<Vec<Kind>> {
        if self.channels == 0 || self.channels > MOST_CHANNELS || self.features > MOST_CHANNELS {
            return Err(self.wrong("x", "channel count out of range"));
        }
        if self.outputs.is_empty() {
            return Err(self.wrong("outputs", "there are none"));
        }
        self.output_places()?;
        let sources = self.sources()?;
        let mut kinds: Vec<Kind> = Vec::with_capacity(self.layers.len());
        for (layer, from) in self.layers.iter().zip(&sources) {
            let inputs: Vec<Kind> = from.iter().map(|s| self.kind_of(*s, &kinds)).collect();
            let kind = self.kind(layer, &inputs)?;
            if kind.channels == 0 || kind.channels > MOST_CHANNELS {
                return Err(self.wrong(&layer.name, "channel count out of range"));
            }
            kinds.push(kind);
        }
        Ok(kinds)
    }

    /// Channels of the first input of each layer.
    pub(crate) fn input_channels(&self) -> Result<Vec<usize>> {
        let kinds = self.kinds()?;
        let first = |from: &Vec<Source>| from.first().map_or(0, |s| self.kind_of(*s, &kinds).channels);
        Ok(self.sources()?.iter().map(first).collect())
    }

    fn kind_of(&self, source: Source, kinds: &[Kind]) -> Kind {
        match source {
            Source::Image => Kind { channels: self.channels, map: true },
            Source::Features => Kind { channels: self.features, map: false },
            Source::Layer(i) => kinds[i],
        }
    }

    fn kind(&self, layer: &Layer, inputs: &[Kind]) -> Result<Kind> {
        let wrong = |what: &str| Err(self.wrong(&layer.name, what));
        let Some(&first) = inputs.first() else { return wrong("has no input") };
        let arity = match layer.op {
            Op::Add { .. } => 2,
            Op::Concat => inputs.len(),
            _ => 1,
        };
        if inputs.len() != arity {
            return wrong(&format!("takes {arity} input(s), has {}", inputs.len()));
        }
        let needs_map =
            matches!(layer.op, Op::Conv { .. } | Op::UpConv { .. } | Op::MaxPool { .. } | Op::GlobalAvgPool);
        if needs_map && !first.map {
            return wrong("needs a map, not a row of values");
        }
        let window = |sizes: &[usize; 3]| sizes.iter().all(|&s| (1..=MOST_WINDOW).contains(&s));
        match &layer.op {
            Op::Conv { out, kernel, stride, pad, .. } => {
                if !window(kernel) || !window(stride) {
                    return wrong("kernel or stride out of range");
                }
                // Gradients of the input have none.
                if (0..3).any(|a| pad[a] >= kernel[a]) {
                    return wrong("padding must be smaller than the kernel");
                }
                Ok(Kind { channels: *out, map: true })
            }
            Op::MaxPool { kernel, stride, pad } => {
                // A window all in the padding would have no largest value.
                let inside = (0..3).all(|a| 2 * pad[a] <= kernel[a]);
                if !window(kernel) || !window(stride) || !inside {
                    return wrong("window, stride or padding out of range");
                }
                Ok(first)
            }
            Op::UpConv { out } => Ok(Kind { channels: *out, map: true }),
            Op::BatchNorm { eps } if !(eps.is_finite() && *eps > 0.0) => wrong("eps must be positive"),
            Op::BatchNorm { .. } | Op::Relu | Op::PRelu => Ok(first),
            Op::Add { scale } if !scale.is_finite() => wrong("scale must be finite"),
            Op::Add { .. } if inputs[0] != inputs[1] => wrong("adds values of different channel counts"),
            Op::Add { .. } => Ok(first),
            Op::Concat if inputs.iter().any(|k| k.map != first.map) => wrong("joins a map with a row"),
            Op::Concat => {
                Ok(Kind { channels: inputs.iter().map(|k| k.channels).sum::<usize>(), map: first.map })
            }
            Op::GlobalAvgPool => Ok(Kind { channels: first.channels, map: false }),
            Op::Linear { .. } if first.map => wrong("needs a row of values, not a map"),
            Op::Linear { out } => Ok(Kind { channels: *out, map: false }),
        }
    }

    /// Shape of each layer's result for one image of `size` (depth, height, width).
    ///
    /// # Errors
    /// [`NetsError::Graph`] when the graph is invalid or `size` does not fit it.
    pub fn shapes(&self, size: [usize; 3]) -> Result<Vec<Shape>> {
        let kinds = self.kinds()?;
        let sources = self.sources()?;
        let mut shapes: Vec<Shape> = Vec::with_capacity(kinds.len());
        for ((layer, from), kind) in self.layers.iter().zip(&sources).zip(&kinds) {
            let sizes: Vec<Option<[usize; 3]>> = from
                .iter()
                .map(|s| match *s {
                    Source::Image => Some(size),
                    Source::Features => None,
                    Source::Layer(i) => match shapes[i] {
                        Shape::Map { size, .. } => Some(size),
                        Shape::Flat(_) => None,
                    },
                })
                .collect();
            let Some(first) = sizes[0].filter(|_| kind.map) else {
                shapes.push(Shape::Flat(kind.channels));
                continue;
            };
            if sizes.iter().any(|s| *s != sizes[0]) {
                return Err(self.wrong(&layer.name, format!("joins maps of different sizes: {sizes:?}")));
            }
            let size = layer.op.output_size(first).ok_or_else(|| {
                self.wrong(&layer.name, format!("does not fit a map of {first:?} (depth, height, width)"))
            })?;
            let values = size.iter().try_fold(kind.channels, |n, &s| n.checked_mul(s));
            if values.is_none_or(|n| n > isize::MAX as usize / 8) {
                return Err(self.wrong(&layer.name, "result is too large"));
            }
            shapes.push(Shape::Map { channels: kind.channels, size });
        }
        Ok(shapes)
    }

    /// Names `<layer>.<tensor>` and shapes of all weights, in layer order.
    ///
    /// # Errors
    /// [`NetsError::Graph`] when the graph is invalid.
    pub fn tensors(&self) -> Result<Vec<(String, Vec<usize>)>> {
        let mut all = Vec::new();
        for (layer, c) in self.layers.iter().zip(self.input_channels()?) {
            all.extend(layer.op.tensors(c).into_iter().map(|(t, s)| (format!("{}.{t}", layer.name), s)));
        }
        Ok(all)
    }

    /// Number of weights (running statistics included).
    ///
    /// # Errors
    /// [`NetsError::Graph`] when the graph is invalid.
    pub fn parameters(&self) -> Result<usize> {
        Ok(self.tensors()?.iter().map(|(_, s)| s.iter().product::<usize>()).sum())
    }

    /// Multiply-adds of one image of `size`, times two: what counts as floating-point operations
    /// of convolutions and full connections.
    ///
    /// # Errors
    /// As [`NetSpec::shapes`].
    pub fn flop(&self, size: [usize; 3]) -> Result<f64> {
        let shapes = self.shapes(size)?;
        let mut total = 0.0;
        for ((layer, c), shape) in self.layers.iter().zip(self.input_channels()?).zip(&shapes) {
            let taps = match &layer.op {
                Op::Conv { kernel, .. } => kernel.iter().product(),
                Op::UpConv { .. } | Op::Linear { .. } => 1,
                _ => 0,
            };
            total += 2.0 * (taps * c) as f64 * shape.len() as f64;
        }
        Ok(total)
    }

    /// Voxels of the input per cell of each layer's map along depth, height and width; `None`
    /// for rows of values.
    ///
    /// # Errors
    /// [`NetsError::Graph`] when the graph is invalid or joins maps of different strides.
    pub fn strides(&self) -> Result<Vec<Option<[usize; 3]>>> {
        let kinds = self.kinds()?;
        let sources = self.sources()?;
        let mut strides: Vec<Option<[usize; 3]>> = Vec::with_capacity(kinds.len());
        for ((layer, from), kind) in self.layers.iter().zip(&sources).zip(&kinds) {
            if !kind.map {
                strides.push(None);
                continue;
            }
            let of = |s: &Source| match *s {
                Source::Layer(i) => strides[i],
                _ => Some([1; 3]),
            };
            let first = from.first().and_then(of).unwrap_or([1; 3]);
            if from.iter().any(|s| of(s) != Some(first)) {
                return Err(self.wrong(&layer.name, "joins maps of different strides"));
            }
            strides.push(Some(match &layer.op {
                Op::Conv { stride, .. } | Op::MaxPool { stride, .. } => {
                    std::array::from_fn(|a| first[a].saturating_mul(stride[a]))
                }
                Op::UpConv { .. } if first.iter().any(|s| s % 2 != 0) => {
                    return Err(self.wrong(&layer.name, "doubles a map that is as fine as the input"));
                }
                Op::UpConv { .. } => first.map(|s| s / 2),
                _ => first,
            }));
        }
        Ok(strides)
    }

    /// What the depth, height and width of the input must be multiples of, so that every strided
    /// layer divides without remainder.
    ///
    /// # Errors
    /// As [`NetSpec::strides`].
    pub fn total_stride(&self) -> Result<[usize; 3]> {
        let mut total = [1usize; 3];
        for s in self.strides()?.into_iter().flatten() {
            for a in 0..3 {
                total[a] = total[a] / gcd(total[a], s[a]) * s[a];
            }
        }
        Ok(total)
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

impl Op {
    /// Size of the result for a map of `size`; `None` when the map is too small.
    pub(crate) fn output_size(&self, size: [usize; 3]) -> Option<[usize; 3]> {
        let (kernel, stride, pad) = match self {
            Self::Conv { kernel, stride, pad, .. } | Self::MaxPool { kernel, stride, pad } => {
                (kernel, stride, pad)
            }
            Self::UpConv { .. } => {
                let [d, h, w] = size.map(|s| s.checked_mul(2));
                return Some([d?, h?, w?]);
            }
            _ => return Some(size),
        };
        let mut out = [0; 3];
        for a in 0..3 {
            let padded = size[a].checked_add(2 * pad[a])?;
            out[a] = padded.checked_sub(kernel[a])? / stride[a] + 1;
        }
        Some(out)
    }

    /// Names and shapes of the tensors of a layer that takes `c` channels.
    fn tensors(&self, c: usize) -> Vec<(&'static str, Vec<usize>)> {
        match self {
            Self::Conv { out, kernel: [d, h, w], bias, .. } => {
                let mut t = vec![("weight", vec![*out, c, *d, *h, *w])];
                if *bias {
                    t.push(("bias", vec![*out]));
                }
                t
            }
            Self::UpConv { out } => vec![("weight", vec![c, *out, 2, 2, 2]), ("bias", vec![*out])],
            Self::BatchNorm { .. } => {
                ["weight", "bias", "running_mean", "running_var"].map(|t| (t, vec![c])).to_vec()
            }
            Self::PRelu => vec![("weight", vec![c])],
            Self::Linear { out } => vec![("weight", vec![*out, c]), ("bias", vec![*out])],
            Self::Relu | Self::Add { .. } | Self::Concat | Self::MaxPool { .. } | Self::GlobalAvgPool => {
                vec![]
            }
        }
    }
}
