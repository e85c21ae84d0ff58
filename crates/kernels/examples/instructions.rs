//! One call of each kernel on one thread, to be counted: `instructions portable|avx2`.
//! `bench/kernels/instructions.sh` runs this under callgrind, which counts by function.

use pleura_kernels::{Act, Conv, Finish, Isa, Map, MaxPool, Pointwise, Shape, Stored, UpConv};
use std::error::Error;

/// Makes a function of its own of each piece of work, so that a profile names it.
macro_rules! kernels {
    ($($name:ident: $work:expr;)*) => {
        $(#[inline(never)]
        fn $name(isa: Isa) {
            $work(isa);
        })*

        fn all(isa: Isa) {
            $($name(isa);)*
        }
    };
}

kernels! {
    conv_3x3x3_1_to_8: |isa| forward(isa, CUBE, map([1, 24, 24, 24], 1), 8);
    conv_3x3x3_8: |isa| forward(isa, CUBE, map([1, 24, 24, 24], 8), 8);
    conv_3x3x3_8_of_1x1x1: |isa| forward_of_pointwise(isa, map([1, 24, 24, 24], 8), 8);
    conv_3x3x3_32: |isa| forward(isa, CUBE, map([1, 16, 16, 16], 32), 32);
    conv_1x1x1_24_to_8: |isa| forward(isa, POINT, map([1, 16, 16, 16], 24), 8);
    conv_2x2x2_stride_2: |isa| forward(isa, HALVING, map([1, 16, 16, 16], 16), 32);
    conv_7x7_stride_2: |isa| forward(isa, STEM, map([2, 1, 64, 64], 1), 32);
    conv_3x3_64: |isa| forward(isa, PLANE, map([4, 1, 16, 16], 64), 64);
    conv_3x3x3_odd: |isa| forward(isa, CUBE, map([1, 7, 9, 11], 13), 21);
    up_conv_32_to_16: |isa| up(isa, map([1, 8, 8, 8], 32), 16);
    input_gradient_3x3x3_16: |isa| input_gradient(isa, CUBE, map([1, 16, 16, 16], 16), 16);
    weight_gradient_3x3x3_16: |isa| weight_gradient(isa, CUBE, map([1, 16, 16, 16], 16), 16);
    max_pool_3x3_stride_2: |_| max_pool(map([4, 1, 32, 32], 32));
}

/// Kernel, step and padding.
type Window = [[usize; 3]; 3];
const CUBE: Window = [[3; 3], [1; 3], [1; 3]];
const POINT: Window = [[1; 3], [1; 3], [0; 3]];
const HALVING: Window = [[2; 3], [2; 3], [0; 3]];
const STEM: Window = [[1, 7, 7], [1, 2, 2], [0, 3, 3]];
const PLANE: Window = [[1, 3, 3], [1; 3], [0, 1, 1]];

fn map([n, d, h, w]: [usize; 4], c: usize) -> Shape {
    Shape { n, d, h, w, c }
}

fn conv([kernel, stride, pad]: Window, xs: Shape, c_out: usize) -> Conv {
    Conv { c_in: xs.c, c_out, kernel, stride, pad }
}

fn weights(conv: Conv) -> Vec<f32> {
    vec![0.25; conv.c_out * conv.c_in * conv.taps()]
}

fn forward(isa: Isa, window: Window, xs: Shape, c_out: usize) {
    let conv = conv(window, xs, c_out);
    let (x, bias, mut y) = (vec![0.5; xs.len()], vec![0.1; c_out], vec![0.0; conv.output(xs).len()]);
    let packed = conv.pack(&weights(conv));
    let finish = Finish { bias: Some(&bias), residual: None, act: Act::Relu };
    conv.forward(isa, &x, xs, &packed, &finish, &mut y);
}

/// A convolution that computes what it reads.
fn forward_of_pointwise(isa: Isa, xs: Shape, c: usize) {
    let (maker, reader) = (conv(POINT, xs, c), conv(CUBE, map([xs.n, xs.d, xs.h, xs.w], c), c));
    let (x, bias, mut y) = (vec![0.5; xs.len()], vec![0.1; c], vec![0.0; reader.output(xs).len()]);
    let (maps, finish) =
        ([(Stored::Array(&x), xs.c)], Finish { bias: Some(&bias), residual: None, act: Act::Relu });
    let weights_of_maker = maker.pack(&weights(maker));
    let made = Pointwise { conv: &maker, maps: &maps, weights: &weights_of_maker, finish };
    let packed = reader.pack(&weights(reader));
    reader.forward_of(
        isa,
        &[Map::Pointwise(made)],
        map([xs.n, xs.d, xs.h, xs.w], c),
        &packed,
        &finish,
        &mut y,
    );
}

fn up(isa: Isa, xs: Shape, c_out: usize) {
    let up = UpConv { c_in: xs.c, c_out };
    let (x, bias, mut y) = (vec![0.5; xs.len()], vec![0.1; c_out], vec![0.0; up.output(xs).len()]);
    let finish = Finish { bias: Some(&bias), residual: None, act: Act::Relu };
    up.forward(isa, &x, xs, &up.pack(&vec![0.25; 8 * xs.c * c_out]), &finish, &mut y);
}

fn input_gradient(isa: Isa, window: Window, xs: Shape, c_out: usize) {
    let conv = conv(window, xs, c_out);
    let (gy, mut gx) = (vec![0.5; conv.output(xs).len()], vec![0.0; xs.len()]);
    conv.input_gradient(isa, &gy, xs, &weights(conv), &mut gx);
}

fn weight_gradient(isa: Isa, window: Window, xs: Shape, c_out: usize) {
    let conv = conv(window, xs, c_out);
    let (x, gy, mut gw) = (vec![0.5; xs.len()], vec![0.5; conv.output(xs).len()], weights(conv));
    conv.weight_gradient(isa, &x, xs, &gy, &mut gw, Some(&mut vec![0.0; c_out]));
}

fn max_pool(xs: Shape) {
    let pool = MaxPool { kernel: [1, 3, 3], stride: [1, 2, 2], pad: [0, 1, 1] };
    let len = pool.output(xs).len();
    pool.forward(&vec![0.5; xs.len()], xs, &mut vec![0.0; len], &mut vec![0; len]);
}

fn main() -> Result<(), Box<dyn Error>> {
    let isa = match std::env::args().nth(1).as_deref() {
        Some("portable") => Isa::Portable,
        Some("avx2") => Isa::Avx2,
        _ => return Err("usage: instructions portable|avx2".into()),
    };
    if !Isa::available().contains(&isa) {
        return Err("this processor does not have that instruction set".into());
    }
    // All work on this thread: a second one's waiting would be counted too.
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global()?;
    all(isa);
    Ok(())
}
