//! Matrices in the order in which the micro-kernel reads them.

use crate::kept::{Kept, Lent};
use rayon::prelude::*;

/// Columns of the widest panel.
pub(crate) const WIDEST: usize = 32;

/// A matrix cut into panels of 32, 16 or 8 columns, each `[rows][width]`, zeros beyond the last column.
#[derive(Debug, Clone)]
pub(crate) struct Panels {
    values: Lent,
    pub rows: usize,
    pub columns: usize,
    /// (first column, width, offset in `values`).
    list: Vec<(usize, usize, usize)>,
}

/// One panel.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a> {
    /// First column.
    pub first: usize,
    /// Columns, with those that are filled up: 32, 16 or 8.
    pub width: usize,
    /// `[rows][width]`.
    pub weights: &'a [f32],
}

/// A panel to be filled.
pub(crate) struct Blank<'a> {
    values: &'a mut [f32],
    width: usize,
}

impl Blank<'_> {
    /// Sets elements of a row, columns counted from the panel's first.
    #[inline]
    pub fn set<const N: usize>(&mut self, row: usize, column: usize, v: [f32; N]) {
        self.values[row * self.width + column..][..N].copy_from_slice(&v);
    }
}

impl Panels {
    /// Packs the matrix of `rows` by `columns` whose elements are `at(row, column)`.
    pub fn new(rows: usize, columns: usize, at: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        Self::filled(rows, columns, |first, count, panel| {
            for c in 0..count {
                for row in 0..rows {
                    panel.set(row, c, [at(row, first + c)]);
                }
            }
        })
    }

    /// A matrix whose panels are filled by `fill(first column, columns, panel)`, several at a time.
    pub fn filled(rows: usize, columns: usize, fill: impl Fn(usize, usize, &mut Blank) + Sync) -> Self {
        let mut list = Vec::new();
        let (mut first, mut from) = (0, 0);
        while first < columns {
            let width = match columns - first {
                ..=8 => 8,
                9..=24 => 16,
                _ => WIDEST,
            };
            list.push((first, width, from));
            from += rows * width;
            first += width;
        }
        let mut values = Kept::Panels.take(from);
        let mut rest = &mut *values;
        let mut blanks = Vec::with_capacity(list.len());
        for &(first, width, _) in &list {
            let (values, behind) = rest.split_at_mut(rows * width);
            blanks.push((first, Blank { values, width }));
            rest = behind;
        }
        blanks.into_par_iter().with_max_len(1).for_each(|(first, mut blank)| {
            let count = blank.width.min(columns - first);
            if count < blank.width {
                blank.values.fill(0.0);
            }
            fill(first, count, &mut blank);
        });
        Self { values, rows, columns, list }
    }

    /// Number of panels.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The panel at `index`.
    pub fn panel(&self, index: usize) -> Panel<'_> {
        let (first, width, from) = self.list[index];
        Panel { first, width, weights: &self.values[from..][..self.rows * width] }
    }

    /// All panels.
    pub fn iter(&self) -> impl Iterator<Item = Panel<'_>> {
        (0..self.len()).map(|i| self.panel(i))
    }
}

impl<'a> Panel<'a> {
    /// Some rows alone.
    pub fn rows(&self, first: usize, count: usize) -> Panel<'a> {
        Panel { weights: &self.weights[first * self.width..][..count * self.width], ..*self }
    }
}
