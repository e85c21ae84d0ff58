//! Maximum over windows.

use crate::Shape;
use rayon::prelude::*;

/// Largest value in each window, per channel; padding never wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// Window size.
    pub kernel: [usize; 3],
    /// Step.
    pub stride: [usize; 3],
    /// Cells added on each side; smaller than the window.
    pub pad: [usize; 3],
}

impl MaxPool {
    /// Shape of the result. Panics when the padded input is smaller than the window.
    pub fn output(&self, xs: Shape) -> Shape {
        let one =
            crate::Conv { c_in: xs.c, c_out: xs.c, kernel: self.kernel, stride: self.stride, pad: self.pad };
        one.output(xs)
    }

    /// Writes the maxima, and for each the offset in its sample of the value that won (the first of
    /// equals; a window of nothing but NaN gives its first cell).
    pub fn forward(&self, x: &[f32], xs: Shape, y: &mut [f32], winners: &mut [u32]) {
        let ys = self.output(xs);
        assert_eq!((x.len(), y.len(), winners.len()), (xs.len(), ys.len(), ys.len()), "sizes do not fit");
        assert!((0..3).all(|a| self.pad[a] < self.kernel[a]), "padding must be smaller than the window");
        assert!(u32::try_from(xs.len() / xs.n.max(1)).is_ok(), "a sample is too large");
        let row = (ys.w * ys.c).max(1);
        let sample = xs.len() / xs.n.max(1);
        y.par_chunks_mut(row).zip(winners.par_chunks_mut(row)).enumerate().for_each(|(r, (y, won))| {
            let (oh, od, n) = (r % ys.h, r / ys.h % ys.d, r / (ys.h * ys.d));
            let x = &x[n * sample..][..sample];
            let outputs = y.chunks_exact_mut(ys.c).zip(won.chunks_exact_mut(ys.c)).enumerate();
            outputs.for_each(|(ow, (y, won))| self.window(x, xs, [od, oh, ow], y, won));
        });
    }

    fn window(&self, x: &[f32], xs: Shape, o: [usize; 3], y: &mut [f32], won: &mut [u32]) {
        let range = |a: usize| {
            let first = o[a] * self.stride[a];
            first.saturating_sub(self.pad[a])..(first + self.kernel[a] - self.pad[a]).min(xs.space()[a])
        };
        let mut first = true;
        for d in range(0) {
            for h in range(1) {
                for w in range(2) {
                    let at = ((d * xs.h + h) * xs.w + w) * xs.c;
                    for (c, &v) in x[at..at + xs.c].iter().enumerate() {
                        if first || v > y[c] {
                            y[c] = v;
                            won[c] = (at + c) as u32;
                        }
                    }
                    first = false;
                }
            }
        }
    }

    /// Gradient with respect to the input: each value goes to the cell that won.
    pub fn gradient(&self, gy: &[f32], xs: Shape, winners: &[u32], gx: &mut [f32]) {
        let ys = self.output(xs);
        assert_eq!((gx.len(), gy.len(), winners.len()), (xs.len(), ys.len(), ys.len()), "sizes do not fit");
        let (from, to) = (ys.len() / ys.n.max(1), xs.len() / xs.n.max(1));
        gx.fill(0.0);
        gx.par_chunks_mut(to.max(1)).enumerate().for_each(|(n, gx)| {
            let of_sample = n * from..(n + 1) * from;
            for (g, &cell) in gy[of_sample.clone()].iter().zip(&winners[of_sample]) {
                gx[cell as usize] += g;
            }
        });
    }
}
