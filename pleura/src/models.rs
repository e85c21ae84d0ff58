//! The networks in the binary, and those that the user names instead.

use anyhow::{Context, Result};
use pleura_nets::{Model, Preprocessing};
use pleura_screen::Models;
use std::path::PathBuf;

const DETECTOR: &[u8] = include_bytes!("../../models/detector.safetensors");
const CLASSIFIER: &[u8] = include_bytes!("../../models/classifier.safetensors");

/// The built-in detector.
pub fn detector() -> Result<Model> {
    Model::from_bytes(DETECTOR).context("the built-in detector cannot be read")
}

/// The built-in classifier.
pub fn classifier() -> Result<Model> {
    Model::from_bytes(CLASSIFIER).context("the built-in classifier cannot be read")
}

/// The two networks to screen with: the built-in ones, but for the roles of the files given.
pub fn load(files: &[PathBuf]) -> Result<Models> {
    let (mut proposing, mut calling) = (None, None);
    for file in files {
        let model = Model::load(file)?;
        let place = match model.manifest.preprocessing {
            Preprocessing::Detector { .. } => &mut proposing,
            Preprocessing::Classifier { .. } => &mut calling,
        };
        if place.replace(model).is_some() {
            let text = format!(
                "{}: a second model of the same role; give one detector and one classifier at most",
                file.display()
            );
            return Err(crate::failure::Usage(text).into());
        }
    }
    let proposing = proposing.map_or_else(detector, Ok)?;
    let calling = calling.map_or_else(classifier, Ok)?;
    #[cfg(feature = "gpu")]
    return crate::device::models(proposing, calling);
    #[cfg(not(feature = "gpu"))]
    Ok(Models::new(proposing, calling)?)
}

/// The version, and the built-in networks with their hashes.
pub fn long_version() -> &'static str {
    static TEXT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    TEXT.get_or_init(|| {
        let mut text = env!("CARGO_PKG_VERSION").to_owned();
        for (role, model) in [("detector", detector()), ("classifier", classifier())] {
            text += &match model {
                Ok(m) => format!("\n{role}: {} {}, sha256 {}", m.manifest.name, m.manifest.version, m.sha256),
                Err(e) => format!("\n{role}: {e:#}"),
            };
        }
        text
    })
}
