//! The memory that a run takes, as the operating system sees it. Alone in its process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use common::{features, formula_weights, image};
use pleura_nets::{Executor, specs};

/// A line of this process's status, in bytes.
fn status(name: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<usize>().unwrap() * 1024
}

/// Checks a run against what is foretold; more is held than by any run before.
fn check(spec: &pleura_nets::NetSpec, small: [usize; 4], size: [usize; 4]) {
    let net = Executor::new(spec, &formula_weights(spec)).unwrap();
    let len = |size: [usize; 4]| size.iter().product::<usize>();
    let (x, f) = (image(len(size)), features(size[0] * spec.features));
    let run = |size: [usize; 4]| {
        let f = (spec.features > 0).then(|| &f[..size[0] * spec.features]);
        net.run(&x[..len(size)], size, f).unwrap();
    };
    let foretold = net.peak_bytes(size).unwrap();
    // Packs the weights, which are not foretold, and starts the threads.
    run(small);
    net.release();
    let before = status("VmRSS:");
    run(size);
    let taken = status("VmHWM:") - before;
    // Stacks and the allocator's own pages come on top, and pages that are asked for but never written
    // are not there.
    let name = &spec.name;
    assert!(
        taken < foretold + (8 << 20) && taken > foretold * 9 / 10,
        "{name}: {taken} taken, {foretold} foretold"
    );
}

#[test]
fn a_run_takes_what_was_foretold() {
    // A batch in parts, as many at once as there are threads; then a volume, which takes more.
    check(&specs::location_attention(3, 1), [1, 1, 96, 96], [32, 1, 96, 96]);
    check(&specs::vnet_ir_rpn(&[8, 16, 16, 16], 3), [1, 16, 16, 16], [1, 96, 128, 128]);
}
