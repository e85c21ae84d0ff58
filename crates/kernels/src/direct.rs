//! Convolutions summed product by product.

use crate::finish::{Ending, Shared};
use crate::isa::Isa;
use crate::kept::Kept;
use crate::map::{PLACES, Source};
use crate::panels::Panels;
use crate::tile::{Tap, multiply};
use crate::window::Slide;
use crate::{Conv, Shape};
use rayon::prelude::*;

/// Slides the kernel over the input. A job is some rows of one slice of the result: it copies the
/// input rows that they see between zeros, where there is padding, or computes them there, and reads them
/// in place elsewhere.
pub(crate) fn slide(isa: Isa, conv: &Conv, x: &Source, xs: Shape, weights: &Panels, y: Shared, end: &Ending) {
    let ys = conv.output(xs);
    assert_eq!(
        (weights.rows, weights.columns),
        (conv.taps() * xs.c, ys.c),
        "weights packed for another layer"
    );
    if ys.is_empty() {
        return;
    }
    let job = Slide::new(conv, x, xs, ys);
    let chunks = ys.h.div_ceil(job.rows);
    let (step, run) = (conv.stride[2] * xs.c, conv.kernel[2] * xs.c);
    (0..ys.n * ys.d * chunks).into_par_iter().for_each(|i| {
        let (slice, first) = (i / chunks, i % chunks * job.rows);
        let rows = first..(first + job.rows).min(ys.h);
        job.window(slice, rows.clone(), |window| {
            for panel in weights.iter() {
                for (r, h) in rows.clone().enumerate() {
                    let taps: Vec<Tap> = window.taps(&job, r).map(|x| Tap { x, step, run }).collect();
                    let at = (slice * ys.h + h) * ys.w * ys.c;
                    // SAFETY: jobs have rows of their own, and the panels of a job run one by one.
                    let store = unsafe { y.results(end, at, ys.c, panel.first) };
                    multiply(isa, &taps, ys.w, panel, &store);
                }
            }
        });
    });
}

/// Floats that [`slide`] takes at most, beside its operands, on some threads; `computed` where it computes its input.
pub(crate) fn room(conv: &Conv, xs: Shape, threads: usize, computed: bool) -> usize {
    if conv.pad == [0; 3] && !computed {
        return 0;
    }
    threads * Slide::new(conv, &Source::Values(&[], xs.c), xs, conv.output(xs)).room()
}

/// A 1 x 1 x 1 convolution of maps side by side along channels.
pub(crate) fn points(isa: Isa, maps: &[Source], weights: &Panels, ys: Shape, y: Shared, end: &Ending) {
    let places = ys.places();
    let channels: usize = maps.iter().map(Source::channels).sum();
    assert_eq!((weights.rows, weights.columns), (channels, ys.c), "weights packed for another layer");
    let each = PLACES.min(places);
    let room: usize = maps.iter().map(|m| m.room(each)).sum();
    (0..places.div_ceil(PLACES)).into_par_iter().for_each(|job| {
        let seen = job * PLACES..places.min((job + 1) * PLACES);
        Kept::Pointwise.lend(room, |mut rest| {
            let mut taps = Vec::with_capacity(maps.len());
            for map in maps {
                let (room, behind) = rest.split_at_mut(map.room(each));
                rest = behind;
                let c = map.channels();
                // SAFETY: jobs have places of their own, which this one writes later.
                let x = unsafe { map.read(seen.clone(), room) };
                taps.push(Tap { x, step: c, run: c });
            }
            for panel in weights.iter() {
                // SAFETY: jobs have places of their own, and the panels of a job run one by one.
                let store = unsafe { y.results(end, seen.start * ys.c, ys.c, panel.first) };
                multiply(isa, &taps, seen.len(), panel, &store);
            }
        });
    });
}

/// The reverse of a convolution whose patches do not overlap: each place of `x` makes its own patch of
/// the result, with a matrix `[c][kw][c out]` for each tap `[kd][kh]`; what no patch covers becomes zero. `end` is that
/// of `kw` places together.
pub(crate) fn spread(
    isa: Isa,
    (x, xs): (&[f32], Shape),
    kernel: [usize; 3],
    taps: &[Panels],
    (y, ys): (Shared, Shape),
    end: &Ending,
) {
    assert_eq!(x.len(), xs.len(), "values do not fit their shape");
    let patch = kernel[2] * ys.c;
    assert_eq!(taps.len(), kernel[0] * kernel[1], "weights packed for another layer");
    assert!(taps.iter().all(|t| (t.rows, t.columns) == (xs.c, patch)), "weights packed for another layer");
    assert!((0..3).all(|a| xs.space()[a] * kernel[a] <= ys.space()[a]) && xs.n == ys.n);
    if ys.is_empty() {
        return;
    }
    let line = ys.w * ys.c;
    // A job is the rows of the result that one row of places fills.
    let [deep, high] = [ys.d.div_ceil(kernel[0]), ys.h.div_ceil(kernel[1])];
    (0..ys.n * deep * high).into_par_iter().with_min_len((4096 / line).max(1)).for_each(|job| {
        let (h, d, n) = (job % high, job / high % deep, job / (high * deep));
        let covered = d < xs.d && h < xs.h;
        for (part, weights) in taps.iter().enumerate() {
            let (z, row) = (d * kernel[0] + part / kernel[1], h * kernel[1] + part % kernel[1]);
            if z >= ys.d || row >= ys.h {
                continue;
            }
            let at = ((n * ys.d + z) * ys.h + row) * line;
            let filled = if covered { xs.w * patch } else { 0 };
            // SAFETY: each row of the result belongs to one job; the slice dies here.
            unsafe { y.slice(at + filled, line - filled) }.fill(0.0);
            if !covered {
                continue;
            }
            let from = ((n * xs.d + d) * xs.h + h) * xs.w * xs.c;
            let runs = [Tap { x: &x[from..][..xs.w * xs.c], step: xs.c, run: xs.c }];
            for panel in weights.iter() {
                // SAFETY: each row of the result belongs to one job, which fills it piece by piece.
                let store = unsafe { y.results(end, at, patch, panel.first) };
                multiply(isa, &runs, xs.w, panel, &store);
            }
        }
    });
}
