//! The memory that a run takes, as the operating system sees it. Alone in its process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use common::{formula_weights, image};
use pleura_nets::{Executor, specs};

/// A line of this process's status, in bytes.
fn status(name: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<usize>().unwrap() * 1024
}

#[test]
fn a_run_takes_what_was_foretold() {
    let spec = specs::vnet_ir_rpn(&[8, 16, 16, 16], 3);
    let net = Executor::new(&spec, &formula_weights(&spec)).unwrap();
    let size = [1, 64, 96, 96];
    let x = image(64 * 96 * 96);
    let foretold = net.peak_bytes(size).unwrap();
    // Packs the weights, which are not foretold, and starts the threads.
    net.run(&x[..16 * 16 * 16], [1, 16, 16, 16], None).unwrap();
    net.release();
    let before = status("VmRSS:");
    net.run(&x, size, None).unwrap();
    let taken = status("VmHWM:") - before;
    // Stacks and the allocator's own pages come on top, and pages that are asked for but never written
    // are not there.
    assert!(taken < foretold + (8 << 20) && taken > foretold * 9 / 10, "{taken} taken, {foretold} foretold");
}
