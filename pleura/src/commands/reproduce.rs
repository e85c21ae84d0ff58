//! `pleura reproduce`.

use super::train::{from_toml, show};
use crate::bars::Bar;
use crate::cli::{Preset, Reproduce};
use crate::failure::DONE;
use anyhow::Result;
use pleura_learn::{ReproduceConfig, Reproduced};

pub fn run(a: &Reproduce) -> Result<u8> {
    let config = match (&a.config, a.preset) {
        (Some(path), _) => from_toml(path)?,
        (None, Preset::Quick) => ReproduceConfig::quick(),
        (None, Preset::Full) => ReproduceConfig::full(),
    };
    if a.show_config {
        return show(&config);
    }
    let bar = Bar::new("");
    let reproduced = pleura_learn::reproduce(&config, &a.out, a.stages.map(usize::from), &bar);
    bar.finish();
    let results = match reproduced? {
        Reproduced::All(results) => results,
        Reproduced::Paused(last) => {
            println!("stage `{last}` is done; run again to go on");
            return Ok(DONE);
        }
    };
    if a.json {
        super::print_json(&results)?;
        return Ok(DONE);
    }
    for n in &results.networks {
        println!("{}: case accuracy {}, 95 % bootstrap interval", n.network, n.paper.table.accuracy.cell());
    }
    println!("{}", a.out.join("results.md").display());
    Ok(DONE)
}
