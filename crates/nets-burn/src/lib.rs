//! Burn modules built from a network graph.
//!
//! A [`Net`] holds the parameters of a [`NetSpec`](pleura_nets::NetSpec) as burn parameters and
//! runs its layers as burn operations with gradients. On the CPU every layer is one of our kernels
//! on maps kept channels last (`[n, d, h, w, c]`), so no layout is converted between layers.

mod batch_norm;
mod convolution;
mod elementwise;
mod extension;
mod net;
mod node;
mod plain;
mod pool;

pub use batch_norm::Moments;
pub use extension::{NodeKernels, NodeOps, Saved};
pub use net::{Net, Value};
pub use node::{Node, Statistics, View};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a network could not be built or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The graph or its weights are not usable.
    #[error(transparent)]
    Net(#[from] pleura_nets::NetsError),
    /// What was fed in does not fit the graph.
    #[error("network input: {0}")]
    Input(String),
    /// A tensor's values could not be read.
    #[error("tensor values: {0}")]
    Values(String),
}
