//! Checkpoints: everything a training needs to go on exactly where it stopped, in one file that
//! is replaced in one move.

use crate::optimizer::{AdamW, Moments};
use crate::{Error, Result};
use pleura_evaluate::Curve;
use pleura_nets::{Tensor, Weights};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Key of the JSON part in the header.
const KEY: &str = "pleura.training";
const VERSION: u32 = 2;

/// The JSON part.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Header {
    version: u32,
    /// The configuration as JSON text: a rerun must give the same.
    config: String,
    step: u64,
    planned_steps: u64,
    updates: u64,
    /// Values as their bits: decimal text would not bring every one back.
    curves: Vec<(String, Vec<(u64, u64)>)>,
}

/// A training between two steps.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    /// Steps done.
    pub step: u64,
    /// Steps planned; 0 while a budget of minutes has not been turned into steps yet.
    pub planned_steps: u64,
    /// Parameters and running statistics.
    pub weights: Weights,
    /// The optimiser.
    pub optimizer: AdamW,
    /// Curves so far.
    pub curves: Vec<Curve>,
}

/// The checkpoint of an output folder.
pub(crate) fn path(out_dir: &Path) -> PathBuf {
    out_dir.join("checkpoint").join("state.safetensors")
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Writes `content` beside `path` and moves it there, so that a reader never meets half a file; beside
/// it under a name of this process's own, so that two that write the same file do not mix.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let fail = |source| Error::Io { path: path.to_path_buf(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    let beside = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(content)?;
        // On the disk before it has the name: a power cut must not leave an empty file under it.
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&beside);
        fail(e)
    })
}

fn to_bits(curve: &Curve) -> (String, Vec<(u64, u64)>) {
    (curve.name.clone(), curve.points.iter().map(|&(step, v)| (step, v.to_bits())).collect())
}

fn from_bits((name, points): (String, Vec<(u64, u64)>)) -> Curve {
    Curve { name, points: points.into_iter().map(|(step, v)| (step, f64::from_bits(v))).collect() }
}

/// Stores the state.
pub(crate) fn save(path: &Path, config: &str, state: &State) -> Result<()> {
    let header = Header {
        version: VERSION,
        config: config.to_string(),
        step: state.step,
        planned_steps: state.planned_steps,
        updates: state.optimizer.updates,
        curves: state.curves.iter().map(to_bits).collect(),
    };
    let mut parts: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, t) in &state.weights.0 {
        parts.push((format!("weights/{name}"), t.shape.clone(), bytes(&t.data)));
    }
    for (name, m) in &state.optimizer.moments {
        parts.push((format!("first/{name}"), vec![m.first.len()], bytes(&m.first)));
        parts.push((format!("second/{name}"), vec![m.second.len()], bytes(&m.second)));
    }
    let damaged = |e: &dyn std::fmt::Display| Error::Checkpoint { path: path.into(), reason: e.to_string() };
    let views = parts
        .iter()
        .map(|(name, shape, data)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), data)?)))
        .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| damaged(&e))?;
    let json = serde_json::to_string(&header).map_err(|e| damaged(&e))?;
    let meta = Some(HashMap::from([(KEY.to_string(), json)]));
    let content = safetensors::serialize(views, meta).map_err(|e| damaged(&e))?;
    write_whole(path, &content)
}

/// Reads the state back; `None` when there is no checkpoint.
///
/// # Errors
/// [`Error::OtherConfig`] when the checkpoint was made with another configuration,
/// [`Error::Checkpoint`] when it cannot be understood.
pub(crate) fn load(path: &Path, config: &str) -> Result<Option<State>> {
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Io { path: path.into(), source }),
    };
    let damaged = |reason: String| Error::Checkpoint { path: path.into(), reason };
    let (_, meta) = SafeTensors::read_metadata(&content).map_err(|e| damaged(e.to_string()))?;
    let json = meta.metadata().as_ref().and_then(|m| m.get(KEY));
    let json = json.ok_or_else(|| damaged("it is not a training checkpoint".into()))?;
    let header: Header = serde_json::from_str(json).map_err(|e| damaged(e.to_string()))?;
    if header.version != VERSION {
        return Err(damaged(format!("its version is {}, this program reads {VERSION}", header.version)));
    }
    if header.config != config {
        return Err(Error::OtherConfig { path: path.into(), difference: difference(&header.config, config) });
    }
    let tensors = SafeTensors::deserialize(&content).map_err(|e| damaged(e.to_string()))?;
    let mut weights = Weights::default();
    let mut moments: BTreeMap<String, Moments> = BTreeMap::new();
    for (name, view) in tensors.tensors() {
        let (words, _) = view.data().as_chunks::<4>();
        let data: Vec<f32> = words.iter().map(|w| f32::from_le_bytes(*w)).collect();
        match name.split_once('/') {
            Some(("weights", n)) => {
                weights.0.insert(n.into(), Tensor { shape: view.shape().to_vec(), data });
            }
            Some(("first", n)) => moments.entry(n.into()).or_default().first = data,
            Some(("second", n)) => moments.entry(n.into()).or_default().second = data,
            _ => return Err(damaged(format!("tensor `{name}` is unknown"))),
        }
    }
    Ok(Some(State {
        step: header.step,
        planned_steps: header.planned_steps,
        weights,
        optimizer: AdamW { updates: header.updates, moments },
        curves: header.curves.into_iter().map(from_bits).collect(),
    }))
}

/// The settings that differ, for the message.
pub(crate) fn difference(old: &str, new: &str) -> String {
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    let (old, new) = (parse(old), parse(new));
    let (Some(a), Some(b)) = (old.as_object(), new.as_object()) else { return "its settings".into() };
    let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differing = names.into_iter().filter(|k| a.get(*k) != b.get(*k));
    let show = |v: Option<&serde_json::Value>| v.map_or("nothing".to_string(), |v| v.to_string());
    let list: Vec<String> =
        differing.map(|k| format!("{k} was {}, now {}", show(a.get(k)), show(b.get(k)))).collect();
    list.join("; ")
}

/// SHA-256 of a file in hexadecimal.
pub(crate) fn file_sha256(path: &Path) -> Result<String> {
    let fail = |source| Error::Io { path: path.into(), source };
    let mut hash = Sha256::new();
    std::io::copy(&mut File::open(path).map_err(fail)?, &mut hash).map_err(fail)?;
    Ok(format!("{:x}", hash.finalize()))
}

/// SHA-256 over names, shapes and values: equal exactly when the weights are.
pub fn weights_sha256(weights: &Weights) -> String {
    let mut hash = Sha256::new();
    for (name, t) in &weights.0 {
        hash.update(name.as_bytes());
        hash.update([0]);
        t.shape.iter().for_each(|n| hash.update((*n as u64).to_le_bytes()));
        hash.update(bytes(&t.data));
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let t = Tensor { shape: vec![2, 1], data: vec![0.1, f32::MIN_POSITIVE] };
        let m = Moments { first: vec![1e-30, -2.0], second: vec![0.0, 3.0] };
        State {
            step: 7,
            planned_steps: 20,
            weights: Weights(BTreeMap::from([("a.weight".to_string(), t)])),
            optimizer: AdamW { updates: 7, moments: BTreeMap::from([("a.weight".to_string(), m)]) },
            curves: vec![Curve { name: "loss".into(), points: vec![(1, 0.1 + 0.2), (2, 1.0 / 3.0)] }],
        }
    }

    #[test]
    fn a_state_comes_back_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path());
        assert!(load(&path, "{}").unwrap().is_none());
        save(&path, "{}", &state()).unwrap();
        assert_eq!(load(&path, "{}").unwrap().unwrap(), state());
    }

    #[test]
    fn another_configuration_is_refused_with_what_differs() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path());
        save(&path, r#"{"seed":1,"batch":4}"#, &state()).unwrap();
        let error = load(&path, r#"{"seed":2,"batch":4}"#).unwrap_err();
        assert!(error.to_string().contains("seed was 1, now 2"), "{error}");
    }

    #[test]
    fn a_damaged_checkpoint_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.safetensors");
        std::fs::write(&path, b"nonsense").unwrap();
        assert!(matches!(load(&path, "{}"), Err(Error::Checkpoint { .. })));
    }

    #[test]
    fn the_hash_sees_a_single_bit() {
        let mut other = state().weights;
        let before = weights_sha256(&other);
        other.0.get_mut("a.weight").unwrap().data[0] = 0.100_000_01;
        assert_ne!(before, weights_sha256(&other));
    }
}
