//! The safe face of the crate: sizes that do not fit are refused before any memory is touched.

use pleura_kernels::{Act, Conv, Finish, Isa, Shape, Stored, UpConv};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn refused(work: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(work)).is_err()
}

const CONV: Conv = Conv { c_in: 16, c_out: 16, kernel: [1; 3], stride: [1; 3], pad: [0; 3] };

#[test]
fn shapes_whose_length_passes_the_address_space() {
    // 16 (2^60 + 1) is 16 where multiplication wraps: exactly as long as the slices are.
    let xs = Shape { n: 1, d: 1, h: 1, w: (1 << 60) + 1, c: 16 };
    let (x, mut y, w) = ([1.0; 16], [0.0; 16], [1.0; 256]);
    for isa in Isa::available() {
        let packed = CONV.pack(&w);
        assert!(refused(|| CONV.forward(isa, &x, xs, &packed, &Finish::default(), &mut y)));
        assert!(refused(|| CONV.input_gradient(isa, &x, xs, &w, &mut y)));
        assert!(refused(|| CONV.weight_gradient(isa, &x, xs, &x, &mut [0.0; 256], None)));
    }
}

#[test]
fn strides_and_padding_whose_products_pass_the_address_space() {
    let xs = Shape { n: 1, d: 1, h: 1, w: 1, c: 8 };
    // (2^64 + 8) / 24: three steps of it are 8 floats where multiplication wraps.
    let stride = [1, 1, 0x0AAA_AAAA_AAAA_AAAB];
    for (stride, pad) in [(stride, (1 << 60) + 1), ([1; 3], usize::MAX / 2), ([1; 3], 1 << 61)] {
        let conv = Conv { c_in: 8, c_out: 8, kernel: [1; 3], stride, pad: [0, 0, pad] };
        assert!(refused(|| {
            conv.output(xs);
        }));
        assert!(refused(|| conv.weight_gradient(
            Isa::best(),
            &[1.0; 8],
            xs,
            &[1.0; 32],
            &mut [0.0; 64],
            None
        )));
    }
}

#[test]
fn slices_of_another_length() {
    let xs = Shape { n: 1, d: 1, h: 2, w: 3, c: 16 };
    let (x, w) = (vec![1.0; xs.len()], vec![1.0; 256]);
    let packed = CONV.pack(&w);
    let run = |x: &[f32], bias: Option<&[f32]>, residual: Option<&[f32]>, act: Act, len: usize| {
        let finish = Finish { bias, residual: residual.map(|r| (Stored::Array(r), 1.0)), act };
        refused(|| CONV.forward(Isa::best(), x, xs, &packed, &finish, &mut vec![0.0; len]))
    };
    assert!(!run(&x, Some(&[0.0; 16]), Some(&x), Act::PRelu(&[0.5; 16]), x.len()));
    assert!(run(&x[1..], None, None, Act::None, x.len()));
    assert!(run(&x, None, None, Act::None, x.len() - 1));
    assert!(run(&x, Some(&[0.0; 15]), None, Act::None, x.len()));
    assert!(run(&x, None, Some(&x[1..]), Act::None, x.len()));
    assert!(refused(|| drop(CONV.pack(&w[1..]))));
    assert!(refused(|| CONV.weight_gradient(Isa::best(), &x, xs, &x[1..], &mut vec![0.0; 256], None)));
    assert!(refused(|| CONV.input_gradient(Isa::best(), &x, xs, &w[1..], &mut vec![0.0; x.len()])));
}

#[test]
fn weights_packed_for_another_layer() {
    let xs = Shape { n: 1, d: 1, h: 1, w: 2, c: 16 };
    for other in [Conv { c_out: 8, ..CONV }, Conv { c_out: 40, ..CONV }, Conv { c_in: 8, ..CONV }] {
        let packed = other.pack(&vec![1.0; other.c_in * other.c_out]);
        let mut y = [0.0; 32];
        assert!(
            refused(|| CONV.forward(Isa::best(), &[1.0; 32], xs, &packed, &Finish::default(), &mut y)),
            "{other:?}"
        );
    }
}

#[test]
fn an_input_smaller_than_the_kernel() {
    let conv = Conv { kernel: [3; 3], ..CONV };
    assert!(refused(|| {
        conv.output(Shape { n: 1, d: 3, h: 2, w: 3, c: 16 });
    }));
}

#[test]
fn no_samples_give_no_results() {
    let xs = Shape { n: 0, d: 2, h: 2, w: 2, c: 16 };
    let w = [1.0; 256];
    CONV.forward(Isa::best(), &[], xs, &CONV.pack(&w), &Finish::default(), &mut []);
    CONV.input_gradient(Isa::best(), &[], xs, &w, &mut []);
    let (mut gw, mut gb) = ([9.0; 256], [9.0; 16]);
    CONV.weight_gradient(Isa::best(), &[], xs, &[], &mut gw, Some(&mut gb));
    assert!(gw.iter().chain(&gb).all(|g| *g == 0.0));
    let up = UpConv { c_in: 16, c_out: 2 };
    up.forward(Isa::best(), &[], xs, &up.pack(&w), &Finish::default(), &mut []);
}
