//! Plain loops give the same values on every instruction set.

use pleura_kernels::{Isa, Loops};

/// Sums that would differ if products were fused into them, or if their order changed.
struct Sums<'a> {
    sums: &'a mut [f32],
    x: &'a [f32],
}

impl Loops for Sums<'_> {
    #[inline(always)]
    fn run(self) {
        for run in self.x.chunks(self.sums.len()) {
            self.sums.iter_mut().zip(run).for_each(|(s, &v)| *s += v * (v - 0.1));
        }
    }
}

#[test]
fn no_set_fuses_or_reorders() {
    let x: Vec<f32> = (0..1000).map(|i| (i * 37 % 101) as f32 / 7.0).collect();
    let mut want = [0.0f32; 64];
    for (i, &v) in x.iter().enumerate() {
        want[i % 64] += v * (v - 0.1);
    }
    for isa in Isa::available() {
        let mut sums = [0.0; 64];
        isa.run_loops(Sums { sums: &mut sums, x: &x });
        assert_eq!(sums, want, "{isa:?}");
    }
}
