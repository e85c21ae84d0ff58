//! Model files: safetensors with the manifest in the header.

use crate::{ModelManifest, NetsError, Result, Tensor, Weights};
use half::f16;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

/// The version of the model format that this crate reads and writes.
pub const FORMAT: u32 = 1;

/// Key of the manifest's JSON in the header's metadata.
const MANIFEST_KEY: &str = "pleura.manifest";

/// Larger files are refused unread: ours are below 100 MB.
const MOST_BYTES: u64 = 1 << 30;

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Everything in 32 bits.
    F32,
    /// Tensors of two or more axes in 16 bits (biases and batch normalisation stay in 32).
    F16,
}

/// A network ready to be run or trained on: what its file says and its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// What the file says of itself.
    pub manifest: ModelManifest,
    /// The weights, 32 bits.
    pub weights: Weights,
    /// SHA-256 (hexadecimal) over all bytes of the model file: header with manifest, and tensors.
    pub sha256: String,
}

/// Read before the rest of the manifest, whose other fields may differ in another version.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl Model {
    /// A model made in memory; its hash is that of its 32-bit file.
    ///
    /// # Errors
    /// [`NetsError::Format`] for another format version, [`NetsError::Tensor`] and
    /// [`NetsError::Graph`] when spec and weights do not fit each other.
    pub fn new(manifest: ModelManifest, weights: Weights) -> Result<Self> {
        let mut model = Self { manifest, weights, sha256: String::new() };
        model.sha256 = hash(&model.to_bytes(Precision::F32)?);
        Ok(model)
    }

    /// The bytes of the model file; the same for the same model.
    ///
    /// # Errors
    /// As [`Model::new`]; also when a weight does not fit into 16 bits.
    pub fn to_bytes(&self, precision: Precision) -> Result<Vec<u8>> {
        check_version(self.manifest.format)?;
        self.weights.check(&self.manifest.spec)?;
        let json = serde_json::to_string(&self.manifest).map_err(|e| NetsError::Format(e.to_string()))?;
        let mut raw: Vec<(&str, Dtype, &[usize], Vec<u8>)> = Vec::new();
        for (name, t) in &self.weights.0 {
            let (dtype, bytes) = pack(name, t, precision)?;
            raw.push((name, dtype, &t.shape, bytes));
        }
        let mut views = Vec::with_capacity(raw.len());
        for (name, dtype, shape, bytes) in &raw {
            views.push((*name, TensorView::new(*dtype, shape.to_vec(), bytes).map_err(format_error)?));
        }
        let metadata = HashMap::from([(MANIFEST_KEY.to_string(), json)]);
        serialize(views, Some(metadata)).map_err(format_error)
    }

    /// Reads a model file's bytes.
    ///
    /// # Errors
    /// [`NetsError::Format`] when the bytes are no safetensors, hold no manifest or one of another
    /// version; [`NetsError::Graph`] for a graph that makes no sense; [`NetsError::Tensor`] for a
    /// tensor that is missing, surplus, misshapen, of an unknown type or not finite.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(format_error)?;
        let json = header.metadata().as_ref().and_then(|m| m.get(MANIFEST_KEY));
        let json = json.ok_or_else(|| NetsError::Format(format!("its header has no `{MANIFEST_KEY}`")))?;
        let bad = |e: serde_json::Error| NetsError::Format(format!("its manifest cannot be read: {e}"));
        let version: Version = serde_json::from_str(json).map_err(bad)?;
        check_version(version.format)?;
        let other = |e: serde_json::Error| {
            NetsError::Format(format!(
                "its manifest is not one of this version of pleura, train the model anew: {e}"
            ))
        };
        let manifest: ModelManifest = serde_json::from_str(json).map_err(other)?;
        let file = SafeTensors::deserialize(bytes).map_err(format_error)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            tensors.insert(name.to_string(), unpack(name, &view)?);
        }
        let weights = Weights(tensors);
        weights.check(&manifest.spec)?;
        Ok(Self { manifest, weights, sha256: hash(bytes) })
    }

    /// Writes the model file and returns its SHA-256.
    ///
    /// Written beside the target and then renamed, so that an interrupted run leaves either the
    /// old file or the new one.
    ///
    /// # Errors
    /// As [`Model::to_bytes`]; [`NetsError::File`] when it cannot be written.
    pub fn save(&self, path: &Path, precision: Precision) -> Result<String> {
        let bytes = self.to_bytes(precision)?;
        let failed = |source| NetsError::File { path: path.into(), source };
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.part", std::process::id()));
        let written = std::fs::File::create(&beside)
            .and_then(|mut f| f.write_all(&bytes).and_then(|()| f.sync_all()))
            .and_then(|()| std::fs::rename(&beside, path));
        if let Err(source) = written {
            // The first failure is the one to tell; a leftover is only untidy.
            let _ = std::fs::remove_file(&beside);
            return Err(failed(source));
        }
        Ok(hash(&bytes))
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// [`NetsError::File`] when it cannot be read, [`NetsError::Refused`] with the reasons of
    /// [`Model::from_bytes`].
    pub fn load(path: &Path) -> Result<Self> {
        let failed = |source| NetsError::File { path: path.into(), source };
        let refused = |e| NetsError::Refused { path: path.into(), source: Box::new(e) };
        if std::fs::metadata(path).map_err(failed)?.len() > MOST_BYTES {
            return Err(refused(NetsError::Format("it is larger than 1 GiB".into())));
        }
        Self::from_bytes(&std::fs::read(path).map_err(failed)?).map_err(refused)
    }
}

fn format_error(e: impl std::fmt::Display) -> NetsError {
    NetsError::Format(e.to_string())
}

fn check_version(format: u32) -> Result<()> {
    if format == FORMAT {
        return Ok(());
    }
    Err(NetsError::Format(format!("it has format version {format}, this program reads version {FORMAT}")))
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn pack(name: &str, t: &Tensor, precision: Precision) -> Result<(Dtype, Vec<u8>)> {
    if precision == Precision::F32 || t.shape.len() < 2 {
        return Ok((Dtype::F32, t.data.iter().flat_map(|v| v.to_le_bytes()).collect()));
    }
    let halves: Vec<f16> = t.data.iter().map(|&v| f16::from_f32(v)).collect();
    if !halves.iter().all(|h| h.is_finite()) {
        return Err(NetsError::tensor(name, "holds a value too large for 16 bits"));
    }
    Ok((Dtype::F16, halves.iter().flat_map(|h| h.to_le_bytes()).collect()))
}

fn unpack(name: &str, view: &TensorView) -> Result<Tensor> {
    let bytes = view.data();
    let data = match view.dtype() {
        Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        other => return Err(NetsError::tensor(name, format!("has type {other:?}, not F32 or F16"))),
    };
    Ok(Tensor { shape: view.shape().to_vec(), data })
}
