//! Trains a model on given inputs, one step for each line on standard input:
//! `train_step MODEL.safetensors FOLDER n d h w`.
//!
//! A step is forward, backward and Adam (Kingma and Ba 2015, rate 0.001, decays 0.9 and 0.999) on
//! half the mean square of each output. Inputs and lines as in `crates/nets/examples/forward.rs`;
//! at the end the losses of all steps are written to `FOLDER/ours.loss.f32`.

use burn::tensor::{Device, Tensor, TensorData};
use pleura_nets::Model;
use pleura_nets_burn::{Net, Value};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{Write, stdin, stdout};
use std::path::Path;
use std::time::Instant;

/// The binary's allocator: it asks for large pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Values that one thread updates at a time.
const PIECE: usize = 1 << 14;

type Done<T> = Result<T, Box<dyn Error>>;

fn read(path: &Path) -> Done<Vec<f32>> {
    let bytes = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

/// Moments of each tensor's gradients.
#[derive(Default)]
struct Adam {
    steps: i32,
    moments: BTreeMap<String, [Vec<f32>; 2]>,
}

impl Adam {
    fn step(&mut self, net: &mut Net, gradients: &BTreeMap<String, Vec<f32>>) -> Done<()> {
        self.steps += 1;
        let (first, second) = (1.0 - 0.9f32.powi(self.steps), 1.0 - 0.999f32.powi(self.steps));
        net.update(|name, _, values| {
            let Some(gradient) = gradients.get(name) else { return };
            let [means, squares] =
                self.moments.entry(name.into()).or_insert_with(|| [0; 2].map(|_| vec![0.0; values.len()]));
            let state = means.par_chunks_mut(PIECE).zip(squares.par_chunks_mut(PIECE));
            let pieces = values.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE)).zip(state);
            pieces.for_each(|((values, gradient), (means, squares))| {
                for (((v, g), m), s) in values.iter_mut().zip(gradient).zip(means).zip(squares) {
                    *m = 0.9 * *m + 0.1 * g;
                    *s = 0.999 * *s + 0.001 * g * g;
                    *v -= 1e-3 * (*m / first) / ((*s / second).sqrt() + 1e-8);
                }
            });
        })?;
        Ok(())
    }
}

/// Half the mean square of each output, summed, and its gradient by each.
fn loss(outputs: &[Value]) -> Done<(f32, Vec<Vec<f32>>)> {
    let mut total = 0.0f64;
    let mut gradients = Vec::new();
    for output in outputs {
        let mut values = output.to_vec()?;
        let per = 1.0 / values.len() as f32;
        total += values.iter().map(|&v| f64::from(v * v)).sum::<f64>() * 0.5 * f64::from(per);
        values.iter_mut().for_each(|v| *v *= per);
        gradients.push(values);
    }
    Ok((total as f32, gradients))
}

fn main() -> Done<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder, size @ ..] = arguments.as_slice() else {
        return Err("usage: train_step MODEL.safetensors FOLDER n d h w".into());
    };
    let size: Vec<usize> = size.iter().map(|v| v.parse()).collect::<Result<_, _>>()?;
    let [n, d, h, w] = size.try_into().map_err(|_| "the size is four numbers: n d h w")?;
    let folder = Path::new(folder);
    let model = Model::load(Path::new(model))?;
    let spec = &model.manifest.spec;
    let device = Device::flex().autodiff();
    let mut net = Net::from_weights(spec, &model.weights, &device)?;
    let x = TensorData::new(read(&folder.join("x.f32"))?, [n, d, h, w, spec.channels]);
    let f = if spec.features > 0 {
        Some(TensorData::new(read(&folder.join("f.f32"))?, [n, spec.features]))
    } else {
        None
    };
    let (mut adam, mut losses) = (Adam::default(), Vec::new());
    println!("ready");
    for line in stdin().lines() {
        line?;
        let start = Instant::now();
        let f = f.clone().map(|f| Tensor::from_data(f, &device));
        let outputs = net.forward_train(Tensor::from_data(x.clone(), &device), f, 0.1)?;
        let (value, gradients) = loss(&outputs)?;
        let gradients = net.backward(&outputs, gradients)?;
        drop(outputs);
        let gradients = net.gradients(gradients)?;
        adam.step(&mut net, &gradients)?;
        net.give_back(gradients);
        println!("{}", start.elapsed().as_secs_f64());
        stdout().flush()?;
        losses.extend(value.to_le_bytes());
    }
    fs::write(folder.join("ours.loss.f32"), losses)?;
    Ok(())
}
