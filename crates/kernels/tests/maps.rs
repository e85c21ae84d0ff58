//! Maps that are computed where they are read are those that could have been stored, bit by bit.

use pleura_kernels::{Act, Conv, Finish, Isa, Map, Method, Pointwise, Shape, Stored};

fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7 + seed) * 2_654_435_761 % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn pointwise(c_in: usize, c_out: usize) -> Conv {
    Conv { c_in, c_out, kernel: [1; 3], stride: [1; 3], pad: [0; 3] }
}

/// Reads a map of `[n, d, h, w]` that a 1 x 1 x 1 convolution makes of two maps of `parts` channels; a reader that
/// can takes a third map beside it.
fn check(reader: Conv, [n, d, h, w]: [usize; 4], parts: [usize; 2], method: Method) {
    let beside = if (reader.kernel, reader.stride) == ([1; 3], [1; 3]) { 4 } else { 0 };
    let maker = pointwise(parts[0] + parts[1], reader.c_in - beside);
    let xs = Shape { n, d, h, w, c: reader.c_in };
    assert_eq!(reader.method(xs), method, "{reader:?}");
    let places = xs.places();
    let (a, b) = (values(places * parts[0], 1), values(places * parts[1], 2));
    let third = values(places * beside, 3);
    let maps: [(&[f32], usize); 2] = [(&a, parts[0]), (&b, parts[1])];
    let weights = maker.pack(&values(maker.c_in * maker.c_out, 4));
    let (bias, slope) = (values(maker.c_out, 5), values(maker.c_out, 6));
    let packed = reader.pack(&values(reader.c_in * reader.c_out * reader.taps(), 7));
    let (own_bias, len) = (values(reader.c_out, 8), reader.output(xs).len());
    let residual = values(len, 9);
    for isa in Isa::available() {
        for (bias, act) in [(Some(&bias[..]), Act::Relu), (None, Act::PRelu(&slope)), (None, Act::None)] {
            let finish = Finish { bias, residual: None, act };
            let mut stored = vec![f32::NAN; places * maker.c_out];
            let parts = maps.map(|(x, c)| Map::Values(x, c));
            let maps = maps.map(|(x, c)| (Stored::Array(x), c));
            maker.forward_of(isa, &parts, xs.with(xs.space(), maker.c_in), &weights, &finish, &mut stored);
            let made = Map::Pointwise(Pointwise { conv: &maker, maps: &maps, weights: &weights, finish });
            let own = Finish {
                bias: Some(&own_bias),
                residual: Some((Stored::Array(&residual), 0.5)),
                act: Act::Relu,
            };
            let run = |first: Map| {
                let (two, mut y) = ([first, Map::Values(&third, beside)], vec![f32::NAN; len]);
                let maps = if beside > 0 { &two[..] } else { &two[..1] };
                reader.forward_of(isa, maps, xs, &packed, &own, &mut y);
                y
            };
            assert_eq!(run(made), run(Map::Values(&stored, maker.c_out)), "{reader:?} {isa:?}");
        }
    }
}

#[test]
fn by_winograds_method() {
    let cube = |c_in, c_out, depth, pad| Conv { c_in, c_out, kernel: [depth, 3, 3], stride: [1; 3], pad };
    // Many jobs, and one that threads share; odd sizes, padding of none, one and two.
    check(cube(8, 8, 3, [1; 3]), [1, 15, 37, 41], [8, 8], Method::Winograd);
    check(cube(8, 8, 3, [1; 3]), [2, 5, 9, 14], [8, 3], Method::Winograd);
    check(cube(20, 9, 3, [0, 2, 0]), [1, 14, 33, 50], [5, 1], Method::Winograd);
    check(cube(16, 24, 1, [0, 1, 2]), [3, 2, 12, 9], [16, 16], Method::Winograd);
}

#[test]
fn product_by_product() {
    check(
        Conv { c_in: 3, c_out: 2, kernel: [3; 3], stride: [1; 3], pad: [1; 3] },
        [2, 3, 5, 6],
        [4, 2],
        Method::Direct,
    );
    check(
        Conv { c_in: 8, c_out: 16, kernel: [2; 3], stride: [2; 3], pad: [0; 3] },
        [1, 4, 6, 30],
        [8, 1],
        Method::Direct,
    );
    check(
        Conv { c_in: 9, c_out: 5, kernel: [1, 3, 3], stride: [1, 2, 2], pad: [0, 1, 1] },
        [1, 2, 31, 33],
        [1, 1],
        Method::Direct,
    );
    // A kernel that does not see the end of the rows; strides without padding; several samples.
    check(
        Conv { c_in: 8, c_out: 16, kernel: [2; 3], stride: [2; 3], pad: [0; 3] },
        [2, 5, 7, 31],
        [4, 4],
        Method::Direct,
    );
    check(
        Conv { c_in: 6, c_out: 5, kernel: [1; 3], stride: [1, 2, 2], pad: [0; 3] },
        [2, 3, 9, 8],
        [2, 3],
        Method::Direct,
    );
    // Several jobs, the last one short.
    check(pointwise(12, 40), [1, 7, 15, 11], [8, 2], Method::Direct);
    check(pointwise(12, 8), [2, 1, 3, 5], [6, 6], Method::Direct);
}

/// A reader of one map that `finish` ends.
fn read(maker: Conv, in_place: bool, finish: Finish) {
    let xs = Shape { n: 1, d: 4, h: 8, w: 8, c: 8 };
    let reader = Conv { c_in: 8, c_out: 8, kernel: [3; 3], stride: [1; 3], pad: [1; 3] };
    let x = values(xs.places() * maker.c_in, 1);
    let x = if in_place { Stored::InPlace } else { Stored::Array(&x) };
    let weights = maker.pack(&values(maker.c_in * maker.c_out * maker.taps(), 2));
    let packed = reader.pack(&[0.0; 8 * 8 * 27]);
    let maps = [(x, maker.c_in)];
    let made = Map::Pointwise(Pointwise { conv: &maker, maps: &maps, weights: &weights, finish });
    reader.forward_of(Isa::best(), &[made], xs, &packed, &Finish::default(), &mut vec![0.0; xs.len()]);
}

#[test]
#[should_panic(expected = "only 1 x 1 x 1 convolutions are computed where they are read")]
fn a_wider_kernel_is_refused() {
    read(Conv { c_in: 8, c_out: 8, kernel: [3; 3], stride: [1; 3], pad: [1; 3] }, false, Finish::default());
}

#[test]
#[should_panic(expected = "a residual is added to what is stored")]
fn a_residual_is_refused() {
    read(pointwise(8, 8), false, Finish { residual: Some((Stored::InPlace, 1.0)), ..Finish::default() });
}

#[test]
#[should_panic(expected = "channels do not fit")]
fn other_channels_are_refused() {
    read(pointwise(8, 9), false, Finish::default());
}

#[test]
#[should_panic(expected = "only a 1 x 1 x 1 convolution reads in place")]
fn a_wider_kernel_does_not_read_where_it_writes() {
    read(pointwise(8, 8), true, Finish::default());
}

/// As the end of a residual block reads its input twice, and writes over it: in several panels and jobs.
#[test]
fn what_lies_where_the_result_is_to_be_is_read_before_it_is_written() {
    for c in [8, 40, 72] {
        let xs = Shape { n: 2, d: 7, h: 11, w: 15, c: 8 };
        let (maker, reader) = (pointwise(c, 8), pointwise(8, c));
        let x = values(xs.places() * c, 1);
        let weights = maker.pack(&values(maker.c_in * maker.c_out, 2));
        let packed = reader.pack(&values(reader.c_in * reader.c_out, 3));
        for isa in Isa::available() {
            let run = |stored, residual, mut y: Vec<f32>| {
                let finish = Finish { act: Act::Relu, ..Finish::default() };
                let made = Pointwise { conv: &maker, maps: &[(stored, c)], weights: &weights, finish };
                let own = Finish { bias: None, residual: Some((residual, 0.25)), act: Act::Relu };
                reader.forward_of(isa, &[Map::Pointwise(made)], xs, &packed, &own, &mut y);
                y
            };
            let apart = run(Stored::Array(&x), Stored::Array(&x), vec![f32::NAN; x.len()]);
            assert_eq!(run(Stored::InPlace, Stored::InPlace, x.clone()), apart, "{c} {isa:?}");
        }
    }
}
