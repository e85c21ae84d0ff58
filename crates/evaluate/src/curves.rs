//! Training curves.

use crate::{Error, Figure, Line, write_figure};
use std::path::Path;

/// A value over the steps of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Name in the legend and the CSV header.
    pub name: String,
    /// (step, value) in order of step.
    pub points: Vec<(u64, f64)>,
}

/// Writes `<stem>.csv` (columns curve, step, value) and `<stem>.svg` beside each other.
/// Values that are not finite are left out of the figure, not of the table.
///
/// # Errors
/// [`Error::Io`] and [`Error::Figure`].
pub fn write_curves(stem: &Path, title: &str, curves: &[Curve]) -> Result<(), Error> {
    let line = |c: &Curve| Line {
        name: c.name.clone(),
        points: c.points.iter().map(|&(step, value)| (step as f64, value)).collect(),
    };
    let figure = Figure { title, x: "step", y: "value", diagonal: false };
    write_figure(stem, figure, &curves.iter().map(line).collect::<Vec<_>>())
}
