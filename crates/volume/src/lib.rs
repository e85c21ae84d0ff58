//! Volumes, masks, geometry and the voxel operations on them.
//!
//! World coordinates are LPS millimetres (x to the patient's left, y to the back, z to the head).
//! Arrays are stored `[z, y, x]`, x fastest. Triples of indices, sizes and spacings are written
//! in the order `[x, y, z]` everywhere. Nothing here reads a file or knows a clinical word.
//!
//! In masks every nonzero voxel counts as inside; operations that return a mask return 0 and 1
//! (only [`resample_nearest`] keeps the labels). Every operation is linear in the voxels, runs on
//! rayon's current pool, and gives the same result for any number of threads.

mod components;
mod distance;
mod geometry;
mod grid;
mod groups;
mod holes;
mod morphology;
mod progress;
mod resample;
mod rows;
mod runs;

pub use components::{
    Components, Connectivity, component_boxes, connected_components, connected_components_2d,
};
pub use distance::{distance_transform, distance_transform_slices};
pub use geometry::{Box3, Geometry, VoxelBox};
pub use grid::{Mask, Volume};
pub use groups::{GroupBox, group_boxes};
pub use holes::{fill_holes, fill_holes_slices};
pub use morphology::{
    Structuring, close, close_slices, dilate, dilate_slices, erode, erode_slices, open, open_slices,
};
pub use progress::{Cancelled, NoProgress, Progress};
pub use resample::{resample_linear, resample_linear_f32, resample_mean, resample_nearest};
