//! Fills a grid from slices that do not lie on it.

use super::stack::{Stack, Tilt};
use crate::hounsfield::{AIR_HU, to_hu};
use rayon::prelude::*;

/// Fills the grid slice by slice between the decoded ones, undoing sideways steps.
pub(crate) fn resample(stack: &Stack, data: &[i16]) -> Vec<i16> {
    let [nx, ny, nz] = stack.geometry.size;
    let pixels: usize = stack.slices[0].size.iter().product();
    let mut out = vec![AIR_HU; nx * ny * nz];
    out.par_chunks_mut(nx * ny).enumerate().for_each(|(k, out)| {
        let (lower, upper, weight) = match &stack.blends {
            Some(b) => (b[k].lower, b[k].upper, b[k].weight),
            None => (k, k, 0.0),
        };
        let slice = |i: usize| shifted(&data[i * pixels..(i + 1) * pixels], stack, i);
        let low = slice(lower);
        if weight == 0.0 {
            out.iter_mut().zip(&low).for_each(|(o, &v)| *o = to_hu(v));
            return;
        }
        let high = slice(upper);
        out.iter_mut().zip(low.iter().zip(&high)).for_each(|(o, (a, b))| *o = to_hu(a + (b - a) * weight));
    });
    out
}

/// Slice `i` on the columns and rows of the grid, between its pixels linearly, air outside.
fn shifted(from: &[i16], stack: &Stack, i: usize) -> Vec<f64> {
    let Some(Tilt { steps, before }) = &stack.tilt else {
        return from.iter().map(|&v| f64::from(v)).collect();
    };
    let [columns, rows] = stack.slices[i].size;
    let [nx, ny, _] = stack.geometry.size;
    let at = |x: isize, y: isize| {
        let inside = (0..columns as isize).contains(&x) && (0..rows as isize).contains(&y);
        f64::from(if inside { from[y as usize * columns + x as usize] } else { AIR_HU })
    };
    let source = |index: usize, a: usize| index as f64 - before[a] as f64 - steps[i][a];
    let mut out = Vec::with_capacity(nx * ny);
    for y in 0..ny {
        let sy = source(y, 1);
        let (y0, fy) = (sy.floor() as isize, sy - sy.floor());
        for x in 0..nx {
            let sx = source(x, 0);
            let (x0, fx) = (sx.floor() as isize, sx - sx.floor());
            let top = at(x0, y0) * (1.0 - fx) + at(x0 + 1, y0) * fx;
            let bottom = at(x0, y0 + 1) * (1.0 - fx) + at(x0 + 1, y0 + 1) * fx;
            out.push(top * (1.0 - fy) + bottom * fy);
        }
    }
    out
}
