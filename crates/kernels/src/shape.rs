//! Sizes of activations.

/// Sizes of a dense array `[n, d, h, w, c]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Samples.
    pub n: usize,
    /// Depth.
    pub d: usize,
    /// Height.
    pub h: usize,
    /// Width.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl Shape {
    /// Number of values; `usize::MAX`, which no slice has, where that is too small.
    pub fn len(&self) -> usize {
        // Wrapping around could give the length of a real slice, and every bound rests on it.
        self.places().saturating_mul(self.c)
    }

    /// True when there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of values of one channel; `usize::MAX` where that is too small.
    pub fn places(&self) -> usize {
        [self.d, self.h, self.w].into_iter().fold(self.n, usize::saturating_mul)
    }

    /// Depth, height, width.
    pub fn space(&self) -> [usize; 3] {
        [self.d, self.h, self.w]
    }

    /// The same samples with another space and channel count.
    pub fn with(&self, [d, h, w]: [usize; 3], c: usize) -> Self {
        Self { n: self.n, d, h, w, c }
    }
}
