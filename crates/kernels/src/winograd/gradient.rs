//! The gradient of the weights: the transposes of all that the forward pass does.
//!
//! Each weight's gradient is that of its kernel's 36 points, and a point's is the product of the transformed
//! input with the transformed gradient of the result, summed over all tiles: 36 products where the direct sum
//! takes 144 (Lavin & Gray, 2016, section 4.1, F(3 x 3, 4 x 4)).

use super::forth::Tiles;
use super::job::{APART, Part};
use super::transform::{POINTS, SIDE, kernel_gradient};
use super::{Cut, TILE};
use crate::finish::Shared;
use crate::isa::{Isa, Job, Vector};
use crate::kept::{Kept, Lent};
use crate::map::Source;
use crate::weight_gradient::{PARTS, Rows, add_parts, outer};
use crate::{Conv, Shape};
use rayon::prelude::*;

/// With fewer parts of the tiles threads share the work of each job, in place of having sums of their own.
const FEW: usize = 4;
/// Tiles of a part at least: to add its sums up must cost less than they do.
const WORTH: usize = 96;
/// Floats that the sums of all parts may take.
const SUMS: usize = 1 << 21;

/// A layer whose weights' gradient is asked for: kernel `[kd, 3, 3]`, stride 1.
pub(crate) struct Layer<'a> {
    pub isa: Isa,
    pub conv: &'a Conv,
    pub x: Source<'a>,
    pub xs: Shape,
    pub ys: Shape,
    /// The gradient of the result, its channels padded to whole vectors.
    pub g: Source<'a>,
    pub lanes: usize,
}

impl Layer<'_> {
    /// The matrix `[taps * in][lanes]`.
    pub fn run(&self) -> Lent {
        let conv = self.conv;
        assert!(conv.kernel[1..] == [3, 3] && conv.stride == [1; 3] && self.xs.c == conv.c_in);
        assert_eq!(self.ys, conv.output(self.xs), "the result does not fit the input");
        assert_eq!([self.x.channels(), self.g.channels()], [conv.c_in, self.lanes], "values do not fit");
        // A job's points of the gradient are to fit as well.
        let wider = Conv { c_in: conv.c_in.max(self.lanes), ..*conv };
        let cut = Cut::new(&wider, self.ys);
        let (jobs, len) = (cut.jobs(), POINTS * conv.kernel[0] * self.xs.c * self.lanes);
        let tiles = self.ys.n * self.ys.d * cut.tiles[0] * cut.tiles[1];
        let parts = PARTS.min(jobs).min(tiles / WORTH).min(SUMS / len);
        let part = |job: usize| Part::new(self.isa, conv, (&self.x, self.xs, self.ys), &cut, job);
        if parts < FEW {
            return Kept::Sums.lend(len, |sums| {
                (0..jobs).for_each(|job| self.shared(&part(job), sums, job == 0));
                self.kernels(sums)
            });
        }
        let each = jobs.div_ceil(parts);
        let parts = jobs.div_ceil(each);
        Kept::Sums.lend(parts * len, |sums| {
            sums.par_chunks_exact_mut(len).enumerate().for_each(|(i, sums)| {
                let own = i * each..jobs.min((i + 1) * each);
                own.clone().for_each(|job| self.alone(&part(job), sums, job == own.start));
            });
            let (total, others) = sums.split_at_mut(len);
            add_parts(total, others.chunks_exact(len));
            self.kernels(total)
        })
    }

    /// Adds what a job's tiles give, on this thread; the `first` job begins the sums.
    fn alone(&self, part: &Part, sums: &mut [f32], first: bool) {
        self.points(part, |input, gradient| {
            let (to_input, to_gradient) = (Shared::new(input), Shared::new(gradient));
            for i in 0..part.seen() * part.rows {
                // SAFETY: one thread fills, and nothing reads yet.
                unsafe { part.fill(i / part.rows, i % part.rows, to_input) };
            }
            for i in 0..part.results() * part.rows {
                // SAFETY: as above.
                unsafe { self.fill(part, i, to_gradient) };
            }
            let each = sums.len() / POINTS;
            for (p, sums) in sums.chunks_exact_mut(each).enumerate() {
                self.point(part, p, input, gradient, (sums, first));
            }
        });
    }

    /// The same on all threads.
    fn shared(&self, part: &Part, sums: &mut [f32], first: bool) {
        self.points(part, |input, gradient| {
            let (to_input, to_gradient) = (Shared::new(input), Shared::new(gradient));
            let of_input = part.seen() * part.rows;
            (0..of_input + part.results() * part.rows).into_par_iter().for_each(|i| {
                // SAFETY: each row of each slice has places of its own, and nothing reads yet.
                unsafe {
                    match i.checked_sub(of_input) {
                        None => part.fill(i / part.rows, i % part.rows, to_input),
                        Some(i) => self.fill(part, i, to_gradient),
                    }
                }
            });
            let each = sums.len() / POINTS;
            let (input, gradient) = (&*input, &*gradient);
            sums.par_chunks_exact_mut(each)
                .enumerate()
                .for_each(|(p, sums)| self.point(part, p, input, gradient, (sums, first)));
        });
    }

    /// Lends `work` room for the points of a part's input and of its gradient.
    fn points(&self, part: &Part, work: impl FnOnce(&mut [f32], &mut [f32])) {
        Kept::Points.lend(POINTS * part.apart(), |input| {
            Kept::Gradients.lend(POINTS * self.apart(part), |gradient| work(input, gradient));
        });
    }

    /// Floats between two points' planes `[results][rows][columns][lanes]` of the gradient.
    fn apart(&self, part: &Part) -> usize {
        part.results() * part.plane() * self.lanes + APART
    }

    /// Transforms the tiles of the `i`-th row of the part's gradient.
    ///
    /// # Safety
    /// Nothing else reads or writes the points of that row.
    unsafe fn fill(&self, part: &Part, i: usize, points: Shared) {
        let xs = Shape { c: self.lanes, ..self.ys };
        let tiles = Tiles::<TILE> {
            isa: self.isa,
            x: &self.g,
            xs,
            pad: [0; 2],
            columns: part.columns,
            zipped: false,
        };
        let (n, d) = part.place(i / part.rows);
        let to = [self.apart(part), i * part.columns * self.lanes];
        // SAFETY: the caller's promise.
        unsafe { tiles.fill(Some(n * xs.d + d), part.row + i % part.rows, points, to) }
    }

    /// Adds the products of point `p` to its sums `[kd][in][lanes]`, or begins them.
    fn point(
        &self,
        part: &Part,
        p: usize,
        input: &[f32],
        gradient: &[f32],
        (sums, first): (&mut [f32], bool),
    ) {
        let (c, plane) = (self.xs.c, part.plane());
        let positions = part.results() * plane;
        let x = &input[p * part.apart()..][..part.seen() * plane * c];
        let g = &gradient[p * self.apart(part)..][..positions * self.lanes];
        for (z, sums) in sums.chunks_exact_mut(c * self.lanes).enumerate() {
            let rows = Rows { x, starts: &[z * part.deeper() * c], step: c, run: c, positions };
            outer(self.isa, &rows, g, self.lanes, sums, first);
        }
    }

    /// The gradients of the weights `[kd][3][3][in][lanes]` from those of the points `[36][kd][in][lanes]`.
    fn kernels(&self, points: &[f32]) -> Lent {
        let (deep, row) = (self.conv.kernel[0], self.xs.c * self.lanes);
        let mut out = Kept::Panels.take(deep * 9 * row);
        out.par_chunks_exact_mut(9 * row).enumerate().for_each(|(z, out)| {
            let job = Kernels { points: &points[z * row..], apart: deep * row, row, out: out.as_mut_ptr() };
            assert!(row.is_multiple_of(8) && job.points.len() >= (POINTS - 1) * job.apart + row);
            // SAFETY: 36 rows lie in the points, nine in what is written.
            unsafe { self.isa.run(&job) }
        });
        out
    }
}

/// Gradients of points made gradients of weights.
struct Kernels<'a> {
    /// 36 rows, `apart` apart.
    points: &'a [f32],
    apart: usize,
    /// Floats of a row, a multiple of 8.
    row: usize,
    /// Nine rows.
    out: *mut f32,
}

impl Job for Kernels<'_> {
    // Needs: 36 rows of points, nine to write.
    #[inline(always)]
    unsafe fn run<V: Vector>(&self) {
        let mut k = 0;
        // SAFETY: k and the lanes stay below the row: what V does not divide is 8, Half's lanes.
        unsafe {
            while k + V::LANES <= self.row {
                self.weights::<V>(k);
                k += V::LANES;
            }
            if k < self.row {
                self.weights::<V::Half>(k);
            }
        }
    }
}

impl Kernels<'_> {
    /// # Safety
    /// As its `run`, for the lanes from `k` on.
    #[inline(always)]
    unsafe fn weights<V: Vector>(&self, k: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let from = self.points.as_ptr().add(k);
            let mut lines = [[V::splat(0.0); 3]; SIDE];
            for (j, line) in lines.iter_mut().enumerate() {
                let mut m = [V::splat(0.0); SIDE];
                for (i, m) in m.iter_mut().enumerate() {
                    *m = V::load(from.add((i * SIDE + j) * self.apart));
                }
                *line = kernel_gradient(m);
            }
            for r in 0..3 {
                let mut m = [V::splat(0.0); SIDE];
                for (m, line) in m.iter_mut().zip(&lines) {
                    *m = line[r];
                }
                for (s, v) in kernel_gradient(m).into_iter().enumerate() {
                    v.store(self.out.add((r * 3 + s) * self.row + k));
                }
            }
        }
    }
}
