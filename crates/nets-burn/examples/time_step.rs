//! Seconds of a training step's parts: `cargo run -p pleura-nets-burn --example time_step`.

use burn::tensor::{Device, Tensor, TensorData};
use pleura_nets::{NetSpec, Weights, specs};
use pleura_nets_burn::{Net, Value};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    time("detector 8-32-64-128, 4 x 48^3", &specs::vnet_ir_rpn(&[8, 32, 64, 128], 5), [4, 48, 48, 48, 1])?;
    time("classifier, 32 x 64^2", &specs::location_attention(3, 1), [32, 1, 64, 64, 1])
}

fn time(name: &str, spec: &NetSpec, shape: [usize; 5]) -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    let mut net = Net::from_weights(spec, &Weights::init(spec, 1)?, &device)?;
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|i: usize| (i * 37 % 101) as f32 / 101.0).collect();
    let gflop = spec.flop([shape[1], shape[2], shape[3]])? * shape[0] as f64 / 1e9;
    println!("{name}: forward {gflop:.1} GFLOP");
    for _ in 0..4 {
        let start = Instant::now();
        let x = Tensor::<5>::from_data(TensorData::new(values.clone(), shape), &device);
        let f = (spec.features > 0).then(|| Tensor::<2>::zeros([shape[0], spec.features], &device));
        let outputs = net.forward_train(x, f, 0.1)?;
        let forward = start.elapsed().as_secs_f64();
        let ones = |o: &Value| o.to_vec().map(|v| vec![1e-3; v.len()]);
        let gradients = outputs.iter().map(ones).collect::<Result<_, _>>()?;
        let gradients = net.backward(&outputs, gradients)?;
        drop(outputs);
        let gradients = net.gradients(gradients)?;
        let both = start.elapsed().as_secs_f64();
        net.update(|name, _, values| {
            if let Some(g) = gradients.get(name) {
                values.iter_mut().zip(g).for_each(|(v, g)| *v -= 1e-3 * g);
            }
        })?;
        net.give_back(gradients);
        println!(
            "  forward {forward:.3} s, backward {:.3} s, all {:.3} s",
            both - forward,
            start.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
