//! Writes the small models of the PyTorch comparison: `formula_model FOLDER`, then
//! `python tests/fixtures/twin.py FOLDER tests/fixtures/twin.json`.
//!
//! Their weights come from the formula in `tests/common`, so the test needs no model file.

#[path = "../tests/common/mod.rs"]
mod common;

use pleura_nets::{Model, Precision, specs};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: formula_model FOLDER")?;
    for (name, spec) in [
        ("detector", specs::vnet_ir_rpn(&[4, 6, 8, 10], 2)),
        ("resnet", specs::resnet18(3, 1)),
        ("location", specs::location_attention(3, 1)),
        ("location-slab", specs::location_attention(3, 3)),
    ] {
        let model = Model::new(common::manifest(&spec), common::formula_weights(&spec))?;
        model.save(&Path::new(&folder).join(format!("{name}.safetensors")), Precision::F32)?;
    }
    Ok(())
}
