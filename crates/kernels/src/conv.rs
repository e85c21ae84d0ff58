//! Convolution in 3D (2D with depth 1), forward and its gradients.

use crate::direct::{self, points, slide, spread};
use crate::finish::{Finish, Shared};
use crate::isa::Isa;
use crate::kept::{Kept, Lent, Room};
use crate::map::{Map, PLACES, Source};
use crate::panels::Panels;
use crate::place::place;
use crate::{Shape, weight_gradient, winograd};
use std::sync::OnceLock;

/// A convolution; triples are depth, height, width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
    /// Kernel size.
    pub kernel: [usize; 3],
    /// Step.
    pub stride: [usize; 3],
    /// Zeros on each side.
    pub pad: [usize; 3],
}

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Product by product.
    Direct,
    /// By Winograd's minimal filtering over height and width: a quarter of the products.
    Winograd,
}

/// Weights, and the orders in which the methods read them, each made when it is first needed.
#[derive(Debug, Clone)]
pub struct Packed {
    conv: Conv,
    /// `[out, in, kd, kh, kw]`.
    weight: Lent,
    direct: OnceLock<Panels>,
    winograd: OnceLock<Panels>,
}

impl Packed {
    /// The weights of a 1 x 1 x 1 convolution, product by product.
    pub(crate) fn of(&self, conv: &Conv) -> &Panels {
        assert_eq!(self.conv, *conv, "weights packed for another layer");
        self.panels(Method::Direct)
    }

    fn panels(&self, method: Method) -> &Panels {
        let cell = match method {
            Method::Direct => &self.direct,
            Method::Winograd => &self.winograd,
        };
        // Made outside the cell: threads share the work, and one that waits for its part may be lent to a
        // job that comes to the same cell.
        match cell.get() {
            Some(made) => made,
            None => {
                let made = self.conv.panels_of(method, &self.weight);
                cell.get_or_init(|| made)
            }
        }
    }
}

impl Conv {
    /// Multiply-adds, counted as two operations, of the forward pass computed directly.
    pub fn flops(&self, xs: Shape) -> f64 {
        2.0 * self.output(xs).len() as f64 * (self.taps() * self.c_in) as f64
    }

    /// Shape of the result. Panics when the padded input is smaller than the kernel, or larger than an array can be.
    pub fn output(&self, xs: Shape) -> Shape {
        let x = xs.space();
        let padded: [usize; 3] = std::array::from_fn(|a| x[a].saturating_add(self.pad[a].saturating_mul(2)));
        // Offsets into the padded input are not checked again.
        assert!(xs.with(padded, xs.c).len() < usize::MAX, "the padded input passes the address space");
        let along = |a: usize| {
            assert!(padded[a] >= self.kernel[a], "the input is smaller than the kernel");
            (padded[a] - self.kernel[a]) / self.stride[a] + 1
        };
        xs.with(std::array::from_fn(along), self.c_out)
    }

    /// How inputs of a shape are convolved: what the shape makes fastest.
    pub fn method(&self, xs: Shape) -> Method {
        if winograd::pays(self, xs) { Method::Winograd } else { Method::Direct }
    }

    /// What [`Conv::forward_of`] takes at most, beside operands and weights, on some threads, and what these keep.
    /// `pointwise` are the channels of what it reads that are computed there ([`Map::Pointwise`]).
    pub fn room(&self, xs: Shape, threads: usize, pointwise: usize) -> Room {
        let (ys, computed) = (self.output(xs), pointwise > 0);
        match self.method(xs) {
            _ if ys.is_empty() => Room::default(),
            Method::Winograd => {
                let pointwise = threads * winograd::seen_rows(xs) * pointwise;
                Room { pointwise, ..winograd::room(self, xs, threads) }
            }
            Method::Direct if self.is_pointwise() => {
                let pointwise = threads * PLACES.min(ys.places()) * pointwise;
                Room { pointwise, ..Room::default() }
            }
            Method::Direct => Room { rows: direct::room(self, xs, threads, computed), ..Room::default() },
        }
    }

    /// Whether the kernel sees one place at a time, and each place once.
    pub fn is_pointwise(&self) -> bool {
        (self.kernel, self.stride, self.pad) == ([1; 3], [1; 3], [0; 3])
    }

    /// Kernel positions.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Takes weights `[out, in, kd, kh, kw]` to be packed.
    pub fn pack(&self, weight: &[f32]) -> Packed {
        self.check_weight(weight);
        let (direct, winograd) = Default::default();
        let mut kept = Kept::Weights.take(weight.len());
        kept.copy_from_slice(weight);
        Packed { conv: *self, weight: kept, direct, winograd }
    }

    fn check_weight(&self, weight: &[f32]) {
        assert_eq!(weight.len(), self.c_out * self.c_in * self.taps(), "weights do not fit the convolution");
    }

    /// Packs weights `[out, in, kd, kh, kw]` for a method.
    fn panels_of(&self, method: Method, weight: &[f32]) -> Panels {
        let (c_in, taps) = (self.c_in, self.taps());
        self.panels(method, |tap, i, o| weight[(o * c_in + i) * taps + tap])
    }

    /// Packs weights for a method; `at(tap, input channel, output channel)` is a weight.
    fn panels(&self, method: Method, at: impl Fn(usize, usize, usize) -> f32 + Sync) -> Panels {
        let c = self.c_in;
        match method {
            Method::Direct => Panels::new(self.taps() * c, self.c_out, |k, o| at(k / c, k % c, o)),
            Method::Winograd => winograd::pack(self, at),
        }
    }

    /// The convolution of `x` into `y`, ended by `finish`, on an instruction set.
    pub fn forward(&self, isa: Isa, x: &[f32], xs: Shape, weights: &Packed, finish: &Finish, y: &mut [f32]) {
        self.forward_of(isa, &[Map::Values(x, xs.c)], xs, weights, finish, y);
    }

    /// As [`Conv::forward`], of maps that lie side by side along channels; `xs` is the shape of all of them
    /// together. Panics for several maps unless the kernel is 1 x 1 x 1.
    pub fn forward_of(
        &self,
        isa: Isa,
        maps: &[Map],
        xs: Shape,
        weights: &Packed,
        finish: &Finish,
        y: &mut [f32],
    ) {
        assert_eq!(weights.conv, *self, "weights packed for another layer");
        self.run(isa, maps, xs, weights.panels(self.method(xs)), finish, y);
    }

    /// As [`Conv::forward`], with weights `[out, in, kd, kh, kw]` that are used once.
    pub fn forward_once(
        &self,
        isa: Isa,
        x: &[f32],
        xs: Shape,
        weight: &[f32],
        finish: &Finish,
        y: &mut [f32],
    ) {
        self.check_weight(weight);
        let weights = self.panels_of(self.method(xs), weight);
        self.run(isa, &[Map::Values(x, xs.c)], xs, &weights, finish, y);
    }

    /// Convolves with weights packed for the method of the shape.
    fn run(&self, isa: Isa, maps: &[Map], xs: Shape, weights: &Panels, finish: &Finish, y: &mut [f32]) {
        let ys = self.output(xs);
        assert_eq!(y.len(), ys.len(), "the result does not fit its shape");
        let (end, y) = (finish.prepare(ys), Shared::new(y));
        let result = self.is_pointwise().then_some(y);
        let maps: Vec<Source> = maps.iter().map(|&map| Source::new(isa, map, xs, result)).collect();
        let channels: usize = maps.iter().map(Source::channels).sum();
        assert!(channels == self.c_in && channels == xs.c, "channels do not fit the convolution");
        if self.is_pointwise() {
            return points(isa, &maps, weights, ys, y, &end);
        }
        let [map] = &maps[..] else { panic!("only 1 x 1 x 1 convolutions join maps") };
        match self.method(xs) {
            Method::Winograd => winograd::convolve(isa, self, map, xs, weights, y, &end),
            Method::Direct => slide(isa, self, map, xs, weights, y, &end),
        }
    }

    /// Gradient with respect to the input: `gx` from the gradient `gy` of the result.
    ///
    /// A convolution of `gy`, spread by the stride, with the kernel turned around. Panics when the
    /// padding is not smaller than the kernel.
    pub fn input_gradient(&self, isa: Isa, gy: &[f32], xs: Shape, weight: &[f32], gx: &mut [f32]) {
        let ys = self.output(xs);
        self.check_weight(weight);
        assert_eq!((gy.len(), gx.len()), (ys.len(), xs.len()), "the gradients do not fit their shapes");
        if self.kernel == self.stride && self.pad == [0; 3] && self.taps() > 1 {
            return self.spread_patches(isa, gy, xs, weight, gx);
        }
        let offset = std::array::from_fn(|a| {
            assert!(self.pad[a] < self.kernel[a], "padding must be smaller than the kernel");
            self.kernel[a] - 1 - self.pad[a]
        });
        let turned =
            Conv { c_in: self.c_out, c_out: self.c_in, kernel: self.kernel, stride: [1; 3], pad: offset };
        let (taps, c_in, c_out) = (self.taps(), self.c_in, self.c_out);
        let at = |tap: usize, o: usize, i: usize| weight[(o * c_in + i) * taps + taps - 1 - tap];
        let finish = Finish::default();
        if self.stride == [1; 3] {
            let weights = turned.panels(turned.method(ys), at);
            return turned.run(isa, &[Map::Values(gy, ys.c)], ys, &weights, &finish, gx);
        }
        let size = std::array::from_fn(|a| xs.space()[a] + self.kernel[a] - 1);
        let (spread, ss) = (place(gy, ys, self.stride, offset, size), ys.with(size, c_out));
        let turned = Conv { pad: [0; 3], ..turned };
        let weights = turned.panels(turned.method(ss), at);
        turned.run(isa, &[Map::Values(&spread, ss.c)], ss, &weights, &finish, gx);
    }

    /// The input gradient where patches do not overlap: each output place makes its own patch.
    fn spread_patches(&self, isa: Isa, gy: &[f32], xs: Shape, weight: &[f32], gx: &mut [f32]) {
        let (taps, c_in, wide) = (self.taps(), self.c_in, self.kernel[2]);
        // The taps along width side by side.
        let at = |t: usize, o: usize, column: usize| {
            weight[(o * c_in + column % c_in) * taps + t * wide + column / c_in]
        };
        let matrix = |t: usize| Panels::new(self.c_out, wide * c_in, |o, i| at(t, o, i));
        let weights: Vec<Panels> = (0..taps / wide).map(matrix).collect();
        let (end, gx) = (Finish::default().prepare_together(xs, wide), Shared::new(gx));
        spread(isa, (gy, self.output(xs)), self.kernel, &weights, (gx, xs), &end);
    }

    /// Gradient with respect to the weights `[out, in, kd, kh, kw]`, and to the bias when asked for.
    pub fn weight_gradient(
        &self,
        isa: Isa,
        x: &[f32],
        xs: Shape,
        gy: &[f32],
        gw: &mut [f32],
        gbias: Option<&mut [f32]>,
    ) {
        weight_gradient::weight_gradient(isa, self, x, xs, gy, gw, gbias);
    }
}
