//! `pleura train`.

use crate::bars::Bar;
use crate::cli::{Train, TrainCommon};
use crate::failure::{DONE, Usage};
use anyhow::{Context, Result};
use pleura_learn::{ClassifierConfig, DetectorConfig, Summary, train_classifier, train_detector};
use pleura_nets::Model;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

pub fn run(a: &Train) -> Result<u8> {
    let (summary, json) = match a {
        Train::Detector(a) => {
            let config: DetectorConfig = configuration(&a.common)?;
            if a.common.show_config {
                return show(&config);
            }
            let bar = Bar::new("detector");
            let summary = train_detector(&config, &a.common.out, &bar);
            bar.finish();
            (summary?, a.common.json)
        }
        Train::Classifier(a) => {
            let mut config: ClassifierConfig = configuration(&a.common)?;
            config.candidates = a.candidates.clone().or(config.candidates);
            if a.common.show_config {
                return show(&config);
            }
            let detector =
                a.detector.as_deref().map_or_else(crate::models::detector, |p| Ok(Model::load(p)?))?;
            let bar = Bar::new("classifier");
            let summary = train_classifier(&config, &detector, &a.common.out, &bar);
            bar.finish();
            (summary?, a.common.json)
        }
    };
    if json {
        super::print_json(&summary)?
    } else {
        print(&summary)
    }
    Ok(DONE)
}

/// The settings of a file, if one is named; what was typed wins.
fn configuration<T: DeserializeOwned>(a: &TrainCommon) -> Result<T> {
    let mut settings: toml::Table = a.config.as_deref().map_or_else(|| Ok(toml::Table::new()), from_toml)?;
    let typed = Typed { from: &a.from, data: &a.data, seed: a.seed, cases: a.cases, steps: a.steps };
    settings.extend(toml::Table::try_from(typed)?);
    let said_by = |e| match &a.config {
        Some(path) => Usage(format!("{}: {e}", path.display())),
        None => Usage(format!("{e}")),
    };
    Ok(settings.try_into().map_err(said_by)?)
}

/// Flags that stand for settings of the same name.
#[derive(Serialize)]
struct Typed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: &'a Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: &'a Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cases: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u64>,
}

pub(super) fn from_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    toml::from_str(&text).map_err(|e| Usage(format!("{}: {e}", path.display())).into())
}

pub(super) fn show<T: Serialize>(config: &T) -> Result<u8> {
    print!("{}", toml::to_string(config)?);
    Ok(DONE)
}

fn print(s: &Summary) {
    println!("{} steps, weights {}", s.steps, s.weights_sha256);
    println!("{} (sha256 {})", s.model.display(), s.model_sha256);
    s.metrics.iter().for_each(|(name, value)| println!("  {name:<32} {value:.4}"));
}
