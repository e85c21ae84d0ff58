//! What a training starts from: random weights, or those of another model.

use crate::checkpoint::file_sha256;
use crate::widen::widened;
use crate::{Error, Result};
use pleura_nets::{Model, NetSpec, Weights};
use serde::Serialize;
use std::path::Path;

/// Weights to begin with, and the settings as text: what a checkpoint belongs to.
pub(crate) struct Start {
    model: Option<Model>,
    pub settings: String,
}

impl Start {
    /// Reads the model to start `from`. Its hash and that of the `data` stand in the settings in place
    /// of their paths, and so do the `others` (name and value).
    pub fn new<T: Serialize>(
        config: &T,
        [from, data]: [Option<&Path>; 2],
        others: &[(&str, &str)],
    ) -> Result<Self> {
        let model = from.map(Model::load).transpose()?;
        let mut settings = serde_json::to_value(config).map_err(|e| Error::Config(e.to_string()))?;
        if let Some(map) = settings.as_object_mut() {
            if let Some(model) = &model {
                map.insert("from".into(), model.sha256.clone().into());
            }
            if let Some(path) = data {
                map.insert("data".into(), file_sha256(path)?.into());
            }
            map.extend(others.iter().map(|(name, value)| (name.to_string(), (*value).into())));
        }
        Ok(Self { model, settings: settings.to_string() })
    }

    /// Random weights, replaced by the model's wherever name and shape are the same: a head for other
    /// classes starts anew. A wider form of the model's network begins as that network ([`widened`]).
    ///
    /// # Errors
    /// [`Error::Config`] when less than half of the tensors fit: it is another network.
    pub fn weights(&self, spec: &NetSpec, seed: u64) -> Result<Weights> {
        let mut weights = Weights::init(spec, seed)?;
        let Some(model) = &self.model else { return Ok(weights) };
        if let Some(wide) = widened(&model.manifest.spec, &model.weights, spec, &weights) {
            return Ok(wide);
        }
        let mut taken = 0;
        for (name, tensor) in &mut weights.0 {
            if let Some(other) = model.weights.0.get(name).filter(|o| o.shape == tensor.shape) {
                tensor.clone_from(other);
                taken += 1;
            }
        }
        if 2 * taken < weights.0.len() {
            let what = format!("`from` is another network: {taken} of {} tensors fit", weights.0.len());
            return Err(Error::Config(what));
        }
        Ok(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DetectorConfig;
    use pleura_nets::{Precision, specs};

    #[test]
    fn weights_are_taken_where_they_fit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let config = DetectorConfig::default();
        let manifest = config.manifest(&config.data().unwrap(), 0, &crate::score_detector::Scored::default());
        let old = Weights::init(&manifest.spec, 1).unwrap();
        Model::new(manifest, old.clone()).unwrap().save(&path, Precision::F32).unwrap();

        let start = Start::new(&config, [Some(&path), None], &[]).unwrap();
        assert!(start.settings.contains("\"from\":\""), "{}", start.settings);
        // One anchor less: the proposal head starts anew, the rest is the model's.
        let spec = specs::vnet_ir_rpn(&config.widths, config.anchors_mm.len() - 1);
        let (new, random) = (start.weights(&spec, 7).unwrap(), Weights::init(&spec, 7).unwrap());
        for (name, tensor) in &new.0 {
            let head = name.starts_with("rpn_");
            assert_eq!(tensor, if head { &random.0[name] } else { &old.0[name] }, "{name}");
        }
        // Other widths: another network.
        let other = specs::vnet_ir_rpn(&[4, 8, 16, 24], 5);
        assert!(matches!(start.weights(&other, 7), Err(Error::Config(_))));
    }
}
