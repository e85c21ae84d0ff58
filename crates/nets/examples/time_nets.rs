//! Seconds, GFLOP and memory of the networks on this machine: `time_nets [voxels an edge]`.
//!
//! The detector on a cube of 96 voxels an edge (unless told otherwise), the classifiers on 96
//! patches of 64 x 64 (32 regions of three patches) and on 32. Best of ten runs, since other load on the machine
//! can only slow one.

use pleura_nets::{Executor, NetSpec, Result, Weights, specs};
use std::time::Instant;

fn time(name: &str, spec: &NetSpec, size: [usize; 4], outputs: &[&str]) -> Result<()> {
    let net = Executor::new(spec, &Weights::init(spec, 1)?)?;
    let x: Vec<f32> =
        (0..size.iter().product()).map(|i: usize| (i * 2_654_435_761 % 1000) as f32 / 1000.0).collect();
    let f = vec![0.1; size[0] * spec.features];
    let f = (spec.features > 0).then_some(&f[..]);
    let mut best = f64::INFINITY;
    for _ in 0..10 {
        let start = Instant::now();
        if outputs.is_empty() {
            net.run(&x, size, f)?
        } else {
            net.run_selected(&x, size, f, outputs)?
        };
        best = best.min(start.elapsed().as_secs_f64());
    }
    let gflop = spec.flop([size[1], size[2], size[3]])? * size[0] as f64 / 1e9;
    let rate = if outputs.is_empty() { format!("{:6.1} GFLOP/s", gflop / best) } else { String::new() };
    let parameters = spec.parameters()? as f64 / 1e6;
    let mb = net.peak_bytes(size)? as f64 / 1e6;
    println!("{name:34} {best:7.3} s {gflop:7.1} GFLOP {rate:15} {mb:7.1} MB {parameters:6.2} M weights");
    Ok(())
}

fn main() -> Result<()> {
    let edge = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(96);
    println!("{} threads", rayon::current_num_threads());
    for widths in [[8, 16, 32, 64], [8, 32, 64, 128]] {
        let spec = specs::vnet_ir_rpn(&widths, 4);
        let name = format!("detector {widths:?} {edge}^3");
        time(&name, &spec, [1, edge, edge, edge], &[])?;
        let heads = [specs::OBJECTNESS, specs::OFFSETS];
        time(&format!("{name}, proposals"), &spec, [1, edge, edge, edge], &heads)?;
    }
    time("resnet18 32 patches", &specs::resnet18(3, 1), [32, 1, 64, 64], &[])?;
    time("resnet18 96 patches", &specs::resnet18(3, 1), [96, 1, 64, 64], &[])?;
    time("location-attention 96 patches", &specs::location_attention(3, 1), [96, 1, 64, 64], &[])?;
    time("location-attention 96 slabs of 3", &specs::location_attention(3, 3), [96, 3, 64, 64], &[])?;
    Ok(())
}
