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
            let mut config: DetectorConfig = configuration(&a.common)?;
            override_with(
                &a.common,
                [&mut config.from, &mut config.data],
                &mut config.seed,
                &mut config.cases,
                &mut config.steps,
            );
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
            override_with(
                &a.common,
                [&mut config.from, &mut config.data],
                &mut config.seed,
                &mut config.cases,
                &mut config.steps,
            );
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

fn configuration<T: DeserializeOwned + Default>(a: &TrainCommon) -> Result<T> {
    a.config.as_deref().map_or_else(|| Ok(T::default()), from_toml)
}

pub(super) fn from_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    toml::from_str(&text).map_err(|e| Usage(format!("{}: {e}", path.display())).into())
}

fn override_with(
    a: &TrainCommon,
    [from, data]: [&mut Option<PathBuf>; 2],
    seed: &mut u64,
    cases: &mut usize,
    steps: &mut u64,
) {
    for (typed, setting) in [(&a.from, from), (&a.data, data)] {
        if typed.is_some() {
            setting.clone_from(typed);
        }
    }
    *seed = a.seed.unwrap_or(*seed);
    *cases = a.cases.unwrap_or(*cases);
    *steps = a.steps.unwrap_or(*steps);
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
