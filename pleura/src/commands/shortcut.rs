//! `pleura shortcut`.

use crate::bars::Bar;
use crate::cli::Shortcut;
use crate::failure::{DONE, FAILED};
use anyhow::Result;
use pleura_learn::{ShortcutConfig, Shown};

pub fn run(a: &Shortcut) -> Result<u8> {
    super::not_a_file(&a.out)?;
    let config = ShortcutConfig {
        seed: a.seed,
        cases: usize::try_from(a.cases)?,
        test_cases: usize::try_from(a.test_cases)?,
        steps: a.steps,
        spacing_mm: a.spacing,
    };
    let bar = Bar::new("");
    let results = pleura_learn::shortcut(&config, &a.out, &bar);
    bar.finish();
    let results = results?;
    if a.json {
        super::print_json(&results)?;
    } else {
        for (shown, table) in Shown::ALL.iter().zip(&results.tables) {
            println!("{}: patch accuracy {}, guessing 0.333", shown.name(), table.accuracy.cell());
        }
        println!("types by lesions alone: {}, guessing 0.5", results.types_told.cell());
        println!("{}", a.out.join("shortcut.md").display());
    }
    Ok(if results.holds() { DONE } else { FAILED })
}
