//! Writes the small models of the PyTorch comparison: `formula_model FOLDER`.
//!
//! Their weights come from the formula in `tests/common`, so the test needs no model file.
//! `bench/peers/run.sh fixtures` runs this and then PyTorch.

#[path = "../tests/common/mod.rs"]
mod common;

use pleura_nets::{Model, Precision};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: formula_model FOLDER")?;
    for (name, spec) in common::networks() {
        let model = Model::new(common::manifest(&spec), common::formula_weights(&spec))?;
        model.save(&Path::new(&folder).join(format!("{name}.safetensors")), Precision::F32)?;
    }
    Ok(())
}
