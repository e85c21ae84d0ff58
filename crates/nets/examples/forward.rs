//! Runs a model on given inputs, once for each line on standard input:
//! `forward MODEL.safetensors FOLDER n d h w`.
//!
//! Reads `x.f32` (`[n, d, h, w, c]`, little-endian 32-bit floats) and, where the network takes
//! features, `f.f32` (`[n, f]`) from FOLDER. Prints `ready` and then the seconds of each run; at the
//! end writes each output to `FOLDER/ours.<output>.f32`. `bench/peers` runs other frameworks'
//! programs through the same lines and compares times and outputs.

use pleura_nets::{Executor, Model};
use std::error::Error;
use std::fs;
use std::io::{Write, stdin, stdout};
use std::path::Path;
use std::time::Instant;

/// The binary's allocator: it asks for large pages, which long maps are read and written much faster in.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn read(path: &Path) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder, size @ ..] = arguments.as_slice() else {
        return Err("usage: forward MODEL.safetensors FOLDER n d h w".into());
    };
    let size: Vec<usize> = size.iter().map(|v| v.parse()).collect::<Result<_, _>>()?;
    let size: [usize; 4] = size.try_into().map_err(|_| "the size is four numbers: n d h w")?;
    let folder = Path::new(folder);
    let model = Model::load(Path::new(model))?;
    let net = Executor::new(&model.manifest.spec, &model.weights)?;
    let x = read(&folder.join("x.f32"))?;
    let f = if net.spec().features > 0 { Some(read(&folder.join("f.f32"))?) } else { None };
    println!("ready");
    let mut outputs = Vec::new();
    for line in stdin().lines() {
        line?;
        // The last run's outputs are not part of the next one's memory.
        outputs.clear();
        let start = Instant::now();
        outputs = net.run(&x, size, f.as_deref())?;
        println!("{}", start.elapsed().as_secs_f64());
        stdout().flush()?;
    }
    for (name, output) in net.spec().outputs.iter().zip(outputs) {
        let bytes: Vec<u8> = output.data.iter().flat_map(|v| v.to_le_bytes()).collect();
        fs::write(folder.join(format!("ours.{name}.f32")), bytes)?;
    }
    Ok(())
}
