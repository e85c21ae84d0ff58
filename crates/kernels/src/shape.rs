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
    /// Number of values.
    pub fn len(&self) -> usize {
        self.places() * self.c
    }

    /// True when there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of values of one channel.
    pub fn places(&self) -> usize {
        self.n * self.d * self.h * self.w
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
