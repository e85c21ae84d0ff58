//! CPU kernels of the networks' layers, forward and gradients.
//!
//! Activations are dense `f32` arrays `[n, d, h, w, c]`, channels fastest (NDHWC); a 2D network has
//! depth 1. Weights are in the order that other frameworks use, `[out, in, kd, kh, kw]`.
//! Triples are written depth, height, width.
//!
//! Results do not depend on the number of threads: work is cut by the shape alone, and partial sums
//! are added in a fixed order. The instruction set is chosen at run time; sets differ by rounding.
//!
//! Sizes are the caller's promise: every function panics when a slice is not as long as its shape.

mod conv;
mod dense;
mod isa;
mod place;
mod pool;
mod rows;
mod shape;
mod upconv;
mod weight_gradient;

pub use conv::{Act, Conv, Packed};
pub use dense::{Linear, global_avg_pool, global_avg_pool_gradient};
pub use isa::Isa;
pub use pool::MaxPool;
pub use shape::Shape;
pub use upconv::UpConv;
