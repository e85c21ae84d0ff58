//! What a kernel sees of its input, copied between zeros where there is padding.

use crate::kept::Kept;
use crate::map::Source;
use crate::{Conv, Shape};

/// Floats of padded input that a job holds: a share of the second-level cache.
const NEAR: usize = 1 << 15;

/// A convolution's input, seen through its kernel a few rows of the result at a time.
pub(crate) struct Slide<'a> {
    conv: &'a Conv,
    x: &'a Source<'a>,
    xs: Shape,
    ys: Shape,
    /// Floats of a row that is seen, padding included.
    pub wide: usize,
    /// Rows of the result a job.
    pub rows: usize,
}

/// Input rows that a job sees.
pub(crate) struct Window<'a> {
    x: &'a [f32],
    /// Where the first row of the first tap begins, and floats between slices and rows.
    start: usize,
    slice: usize,
    row: usize,
}

impl<'a> Slide<'a> {
    pub fn new(conv: &'a Conv, x: &'a Source<'a>, xs: Shape, ys: Shape) -> Self {
        let (kernel, stride) = (conv.kernel, conv.stride);
        let wide = ((ys.w - 1) * stride[2] + kernel[2]) * xs.c;
        let fit = (NEAR / (wide * kernel[0]).max(1)).saturating_sub(kernel[1]) / stride[1] + 1;
        // At least some sixteen jobs, but none of a few places only.
        let share = (ys.n * ys.d * ys.h).div_ceil(16).max(64_usize.div_ceil(ys.w));
        Self { conv, x, xs, ys, wide, rows: fit.min(share).clamp(1, ys.h) }
    }

    /// Rows that some rows of the result see.
    pub fn height(&self, rows: usize) -> usize {
        (rows - 1) * self.conv.stride[1] + self.conv.kernel[1]
    }

    /// The whole input, where what is seen is read where it lies.
    fn reads_in_place(&self) -> Option<&'a [f32]> {
        match self.x {
            Source::Values(x, _) if self.conv.pad == [0; 3] => Some(x),
            _ => None,
        }
    }

    /// Floats of [`Kept::Rows`] that a job takes where its input is not read where it lies.
    pub fn room(&self) -> usize {
        self.conv.kernel[0] * self.height(self.rows) * self.wide
    }

    /// Lends `work` what the `rows` of a slice of the result see.
    pub fn window<R>(
        &self,
        slice: usize,
        rows: std::ops::Range<usize>,
        work: impl FnOnce(&Window) -> R,
    ) -> R {
        let (xs, conv) = (self.xs, self.conv);
        let (n, d) = (slice / self.ys.d, slice % self.ys.d);
        let [z, y] = [d * conv.stride[0], rows.start * conv.stride[1]];
        let line = xs.w * xs.c;
        if let Some(x) = self.reads_in_place() {
            let start = ((n * xs.d + z) * xs.h + y) * line;
            return work(&Window { x, start, slice: xs.h * line, row: line });
        }
        let height = self.height(rows.len());
        let left = (conv.pad[2] * xs.c).min(self.wide);
        Kept::Rows.lend(conv.kernel[0] * height * self.wide, |room| {
            for (i, to) in room.chunks_exact_mut(self.wide).enumerate() {
                let from_slice = (z + i / height).checked_sub(conv.pad[0]).filter(|&z| z < xs.d);
                let from_row = (y + i % height).checked_sub(conv.pad[1]).filter(|&y| y < xs.h);
                let (mut begin, mut end) = (0, 0);
                if let (Some(z), Some(y)) = (from_slice, from_row) {
                    let count = line.min(self.wide - left);
                    let from = ((n * xs.d + z) * xs.h + y) * xs.w;
                    (begin, end) = (left, left + count);
                    self.x.put(from..from + count / xs.c, &mut to[begin..end]);
                }
                to[..begin].fill(0.0);
                to[end..].fill(0.0);
            }
            work(&Window { x: room, start: 0, slice: height * self.wide, row: self.wide })
        })
    }
}

impl<'a> Window<'a> {
    /// For each tap along depth and height, what the row `r` of the job sees.
    pub fn taps(&self, job: &Slide, r: usize) -> impl Iterator<Item = &'a [f32]> {
        let (x, wide, high) = (self.x, job.wide, job.conv.kernel[1]);
        let (start, slice, row) = (self.start + r * job.conv.stride[1] * self.row, self.slice, self.row);
        (0..job.conv.kernel[0] * high).map(move |t| &x[start + t / high * slice + t % high * row..][..wide])
    }

    /// For each tap along depth and height, all from the job's first row on.
    pub fn tap_rests(&self, job: &Slide) -> impl Iterator<Item = &'a [f32]> {
        let (x, start, slice, row, high) = (self.x, self.start, self.slice, self.row, job.conv.kernel[1]);
        (0..job.conv.kernel[0] * high).map(move |t| &x[start + t / high * slice + t % high * row..])
    }

    /// Floats between the input rows of neighbouring rows of the job.
    pub fn step(&self, job: &Slide) -> usize {
        job.conv.stride[1] * self.row
    }
}
