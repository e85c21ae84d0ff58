//! CPU kernels of the networks' layers, forward and gradients.
//!
//! Activations are dense `f32` arrays `[n, d, h, w, c]`, channels fastest (NDHWC); a 2D network has
//! depth 1. Weights are in the order that other frameworks use, `[out, in, kd, kh, kw]`.
//! Triples are written depth, height, width.
//!
//! Results do not depend on the number of threads: work is cut by the shape alone, and partial sums
//! are added in a fixed order. The instruction set is the caller's choice ([`Isa::best`]); sets differ
//! by rounding. So do the methods of a convolution ([`Method`]): relative to the standard deviation of
//! the results, Winograd's is off by some 1e-6 (root mean square) where the direct sum is by 4e-7.
//!
//! Sizes are the caller's promise: every function panics when a slice is not as long as its shape.

mod conv;
mod dense;
mod direct;
mod finish;
mod isa;
mod kept;
mod map;
mod panels;
mod place;
mod pool;
mod shape;
mod tile;
mod upconv;
mod weight_gradient;
mod window;
mod winograd;

pub use conv::{Conv, Method, Packed};
pub use dense::{Linear, global_avg_pool, global_avg_pool_gradient};
pub use finish::{Act, Finish, Stored};
pub use isa::{Isa, Loops};
pub use kept::Room;
pub use map::{Map, Pointwise};
pub use pool::MaxPool;
pub use shape::Shape;
pub use upconv::{PackedUp, UpConv};
