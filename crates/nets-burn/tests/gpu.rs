//! Networks on a graphics card against the executor on the CPU. Without a card this says so and passes.
//! Mesa's software driver (lavapipe 22.3 and 25.0) crashes on it.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used)]

mod common;

use burn::tensor::{Device, Tensor};
use common::{close, every_op, features, image, networks, spread, weights};
use pleura_nets::Executor;
use pleura_nets_burn::{Net, gpu::Gpu};

/// Each product of a convolution may be summed in another order there.
const SHARE: f32 = 1e-4;

#[test]
fn outputs_and_gradients_equal_those_of_the_cpu() {
    let gpu = match Gpu::find() {
        Ok(gpu) => gpu,
        Err(why) => return println!("skipped: {why}"),
    };
    println!("on {}", gpu.name());
    for (spec, shape) in networks() {
        let w = weights(&spec);
        let (x, f) = (spread(shape.iter().product(), 1), spread(shape[0] * spec.features, 2));
        let [n, d, h, wide, _] = shape;
        let f = (!f.is_empty()).then_some(&f[..]);
        let mut executor = Executor::new(&spec, &w).unwrap();
        let here = executor.run(&x, [n, d, h, wide], f).unwrap();
        executor.run_on(gpu.prepare(&spec, &w).unwrap());
        let there = executor.run(&x, [n, d, h, wide], f).unwrap();
        for (a, b) in there.iter().zip(&here) {
            assert_eq!(a.shape, b.shape, "{}", spec.name);
            close(&a.data, &b.data, SHARE, &spec.name);
        }
    }
    let [(here, here_after), (there, there_after)] = [Device::flex(), gpu.device().clone()].map(step);
    assert_eq!(there.len(), here.len());
    for (name, gradient) in &here {
        close(&there[name], gradient, SHARE, name);
    }
    for (name, tensor) in &here_after.0 {
        close(&there_after.0[name].data, &tensor.data, SHARE, name);
    }
}

/// Gradients of a training step through every operation, and the weights with their statistics after it.
fn step(device: Device) -> (std::collections::BTreeMap<String, Vec<f32>>, pleura_nets::Weights) {
    let (spec, device) = (every_op(), device.autodiff());
    let mut net = Net::from_weights(&spec, &weights(&spec), &device).unwrap();
    let x: Tensor<5> = image(&spread(256, 3), [2, 4, 4, 4, 2], &device);
    let outputs = net.forward_train(x, features(&spec, 2, &device), 0.1).unwrap();
    let salt = |(i, n): (usize, usize)| spread(n, 50 + i as u64);
    let sizes = outputs.iter().map(|o| o.to_vec().unwrap().len()).enumerate();
    let gradients = net.backward(&outputs, sizes.map(salt).collect()).unwrap();
    (net.gradients(gradients).unwrap(), net.to_weights().unwrap())
}
