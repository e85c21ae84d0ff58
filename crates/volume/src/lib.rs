//! Volumes, masks, geometry and the voxel operations on them.
//!
//! World coordinates are LPS millimetres (x to the patient's left, y to the back, z to the head).
//! Arrays are stored `[z, y, x]`, x fastest. Triples of indices, sizes and spacings are written
//! in the order `[x, y, z]` everywhere. Nothing here reads a file or knows a clinical word.

mod geometry;
mod grid;
mod progress;

pub use geometry::{Box3, Geometry, VoxelBox};
pub use grid::{Mask, Volume};
pub use progress::{Cancelled, NoProgress, Progress};
