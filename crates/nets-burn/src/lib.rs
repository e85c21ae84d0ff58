//! Burn modules built from a network graph.
//!
//! A [`Net`] holds the parameters of a [`NetSpec`](pleura_nets::NetSpec) as burn parameters and
//! runs its layers as burn operations with gradients. On the CPU every layer is one of our kernels
//! on maps kept channels last (`[n, d, h, w, c]`), so no layout is converted between layers.

mod batch_norm;
mod convolution;
mod elementwise;
mod extension;
#[cfg(feature = "gpu")]
pub mod gpu;
mod net;
mod node;
mod plain;
mod pool;

use burn::tensor::Device;
use std::sync::OnceLock;

pub use batch_norm::Moments;
pub use extension::{NodeKernels, NodeOps, Saved};
pub use net::{Net, Value};
pub use node::{Node, Statistics, View};

static CHOSEN: OnceLock<Device> = OnceLock::new();

/// Trains on this device from now on; the first choice of a process holds.
pub fn train_on(device: &Device) {
    let _ = CHOSEN.set(device.clone());
}

/// The device to train on: the CPU, unless another was chosen by [`train_on`].
pub fn training_device() -> Device {
    CHOSEN.get().cloned().unwrap_or_else(Device::flex).autodiff()
}

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
