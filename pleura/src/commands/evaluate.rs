//! `pleura evaluate`.

use crate::cli::Evaluate;
use crate::failure::DONE;
use anyhow::{Context, Result};
use pleura_evaluate::{ClassScores, Confusion, Interval, evaluate_cases, read_predictions, read_truth};
use serde::Serialize;

/// What is written as JSON.
#[derive(Serialize)]
struct Table<'a> {
    confusion: &'a Confusion,
    scores: Vec<ClassScores>,
    accuracy: f64,
    accuracy_interval_95: Interval,
}

pub fn run(a: &Evaluate) -> Result<u8> {
    let confusion = evaluate_cases(&read_predictions(&a.predictions)?, &read_truth(&a.truth)?)?;
    let (accuracy, accuracy_interval_95) = confusion.accuracy();
    let table = Table { confusion: &confusion, scores: confusion.scores(), accuracy, accuracy_interval_95 };
    if let Some(dir) = &a.out {
        super::make_folder(dir)?;
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
        };
        write("cases.md", confusion.to_markdown())?;
        write("cases.json", serde_json::to_string_pretty(&table)?)?;
    }
    if a.json {
        super::print_json(&table)?
    } else {
        print!("{}", confusion.to_markdown())
    }
    Ok(DONE)
}
