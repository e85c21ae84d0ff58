//! How far tiled results lie from those of one run, by halo: the figures in the docs of `Tiling`.
//!
//! The detector at widths 8..64 with first weights (head weights times 30, so that logits spread
//! by about 1) on 112^3 voxels of blobs and noise, tiles of 56.

use pleura_nets::{Executor, Result, Tensor, Tiling, Wanted, Weights, specs};
use pleura_volume::NoProgress;

const EDGE: usize = 112;

fn input() -> Vec<f32> {
    let one = |i: usize| {
        let [z, y, x] = [i / (EDGE * EDGE), i / EDGE % EDGE, i % EDGE].map(|v| v as f32);
        let blob = ((0.3 * z).sin() * (0.21 * y).sin() * (0.17 * x).sin()).max(0.0);
        0.2 + 0.6 * blob + 1e-4 * (i * 2_654_435_761 % 1000) as f32
    };
    (0..EDGE.pow(3)).map(one).collect()
}

/// Largest and mean difference in standard deviations of the output.
fn differences(a: &Tensor, b: &Tensor) -> (f32, f32) {
    let n = b.data.len() as f32;
    let mean = b.data.iter().sum::<f32>() / n;
    let deviation = (b.data.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n).sqrt();
    let far = a.data.iter().zip(&b.data).map(|(a, b)| (a - b).abs() / deviation);
    (far.clone().fold(0.0, f32::max), far.sum::<f32>() / n)
}

fn main() -> Result<()> {
    let spec = specs::vnet_ir_rpn(&[8, 16, 32, 64], 4);
    let mut weights = Weights::init(&spec, 1)?;
    for head in &spec.outputs {
        let head = weights.0.get_mut(&format!("{head}.weight"));
        head.into_iter().flat_map(|t| &mut t.data).for_each(|v| *v *= 30.0);
    }
    let net = Executor::new(&spec, &weights)?;
    let (x, size) = (input(), [EDGE; 3]);
    let wanted = Wanted::everywhere(&spec.outputs);
    let run = |tile, halo| {
        let tiling = Tiling { tile: [tile; 3], halo: [halo; 3] };
        net.run_tiled(&x, size, tiling, &wanted, &NoProgress)
    };
    let whole = run(EDGE, 0)?;
    for halo in [0, 8, 16, 24, 32, 48] {
        println!("halo {halo}: largest and mean difference, in standard deviations");
        for ((name, a), b) in spec.outputs.iter().zip(&run(EDGE / 2, halo)?).zip(&whole) {
            let (most, mean) = differences(a, b);
            println!("  {name:16} {most:.2e} {mean:.2e}");
        }
    }
    Ok(())
}
