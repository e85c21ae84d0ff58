//! Synthetic chest CTs with truth.

mod types;

pub use types::{Class, Latents, Phantom, TruthRegion};
