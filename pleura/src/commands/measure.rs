//! `pleura measure`.

use crate::bars::Bar;
use crate::cli::Measure;
use crate::failure::DONE;
use anyhow::Result;
use pleura_learn::MeasureConfig;
use pleura_nets::Model;
use pleura_screen::{LoadedClassifier, Models};

pub fn run(a: &Measure) -> Result<u8> {
    super::not_a_file(&a.out)?;
    let Models { detector, classifier } = crate::models::load(&a.models.files)?;
    let mut classifiers = vec![named(classifier)];
    if let Some(path) = &a.against {
        classifiers.push(named(LoadedClassifier::new(Model::load(path)?)?));
    }
    let config = MeasureConfig { cases: usize::try_from(a.cases)?, seed: a.seed, spacing_mm: a.spacing };
    let bar = Bar::new("");
    let results = pleura_learn::measure(&config, detector, classifiers, &a.out, &bar);
    bar.finish();
    let results = results?;
    if a.json {
        super::print_json(&results)?;
        return Ok(DONE);
    }
    for n in &results.networks {
        println!(
            "{}: case accuracy {}, by the paper's profile {}, 95 % bootstrap intervals",
            n.network,
            n.calibrated.table.accuracy.cell(),
            n.paper.table.accuracy.cell()
        );
    }
    println!("{}", a.out.join("results.md").display());
    Ok(DONE)
}

/// A classifier under its name and the start of its hash.
fn named(classifier: LoadedClassifier) -> (String, LoadedClassifier) {
    let hash = &classifier.facts.sha256;
    (format!("{} {}", classifier.facts.name, hash.get(..8).unwrap_or(hash)), classifier)
}
