//! Model files: what goes in comes out, and what is damaged is refused.
#![allow(clippy::unwrap_used)]

mod common;

use common::{formula_weights, manifest};
use pleura_nets::{FORMAT, Model, NetsError, Precision, Weights, specs};

fn model() -> Model {
    let spec = specs::location_attention(3, 1);
    Model::new(manifest(&spec), formula_weights(&spec)).unwrap()
}

#[test]
fn a_saved_model_is_loaded_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let model = model();
    let hash = model.save(&path, Precision::F32).unwrap();
    assert_eq!(hash, model.sha256);
    assert_eq!(Model::load(&path).unwrap(), model);
    model.save(&path, Precision::F32).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the file");
}

#[test]
fn sixteen_bits_halve_the_file_and_keep_weights_to_eleven_bits() {
    let model = model();
    let (wide, half) = (model.to_bytes(Precision::F32).unwrap(), model.to_bytes(Precision::F16).unwrap());
    assert!(half.len() < wide.len() * 6 / 10);
    let back = Model::from_bytes(&half).unwrap();
    assert_eq!(back.manifest, model.manifest);
    assert_ne!(back.sha256, model.sha256);
    for (name, t) in &model.weights.0 {
        for (a, b) in t.data.iter().zip(&back.weights.0[name].data) {
            let bits = if t.shape.len() < 2 { 0.0 } else { a.abs() / 2048.0 + 1e-7 };
            assert!((a - b).abs() <= bits, "{name}: {a} {b}");
        }
    }
    assert_eq!(back.to_bytes(Precision::F16).unwrap(), half);
    let mut huge = model;
    huge.weights.0.get_mut("fc1.weight").unwrap().data[0] = 1e6;
    assert!(huge.to_bytes(Precision::F16).unwrap_err().to_string().contains("fc1.weight"));
}

#[test]
fn a_changed_byte_is_refused_or_changes_the_hash() {
    let model = model();
    let bytes = model.to_bytes(Precision::F16).unwrap();
    let hash = Model::from_bytes(&bytes).unwrap().sha256;
    for i in (0..100).map(|k| k * bytes.len() / 100) {
        let mut changed = bytes.clone();
        changed[i] ^= 0x10;
        if let Ok(read) = Model::from_bytes(&changed) {
            assert_ne!(read.sha256, hash, "byte {i}");
        }
    }
}

#[test]
fn a_truncated_file_and_other_bytes_are_refused() {
    let bytes = model().to_bytes(Precision::F32).unwrap();
    for n in [0, 7, 8, 100, 5000, bytes.len() / 2, bytes.len() - 1] {
        assert!(matches!(Model::from_bytes(&bytes[..n]), Err(NetsError::Format(_))), "{n} bytes");
    }
    assert!(matches!(Model::from_bytes(&[0xff; 64]), Err(NetsError::Format(_))));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short.safetensors");
    std::fs::write(&path, &bytes[..500]).unwrap();
    let message = Model::load(&path).unwrap_err().to_string();
    assert!(message.contains("short.safetensors"), "{message}");
    assert!(matches!(Model::load(&folder.path().join("none")), Err(NetsError::File { .. })));
}

/// The error after changing the manifest's JSON without its length.
fn with_header(from: &str, to: &str) -> String {
    assert_eq!(from.len(), to.len());
    let bytes = model().to_bytes(Precision::F32).unwrap();
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
    let mut changed = bytes;
    changed[at..at + to.len()].copy_from_slice(to.as_bytes());
    Model::from_bytes(&changed).unwrap_err().to_string()
}

#[test]
fn another_version_and_a_missing_manifest_are_refused() {
    let version = with_header(r#"\"format\":1"#, r#"\"format\":2"#);
    assert!(version.contains("version 2"), "{version}");
    let key = with_header("pleura.manifest", "pleura.manifold");
    assert!(key.contains("pleura.manifest"), "{key}");
    let name = with_header(r#""fc1.bias":"#, r#""fc9.bias":"#);
    assert!(name.contains("fc1.bias") && name.contains("missing"), "{name}");
    let shape = with_header(r#""shape":[32,17]"#, r#""shape":[17,32]"#);
    assert!(shape.contains("fc1.weight") && shape.contains("shape"), "{shape}");
    let kind = with_header(r#""dtype":"F32""#, r#""dtype":"I32""#);
    assert!(kind.contains("I32"), "{kind}");
    let graph = with_header(r#"\"inputs\":[\"fc1\"]"#, r#"\"inputs\":[\"fc8\"]"#);
    assert!(graph.contains("fc8"), "{graph}");
    let mut other = model();
    other.manifest.format = FORMAT + 1;
    assert!(matches!(other.to_bytes(Precision::F32), Err(NetsError::Format(_))));
}

/// The error with which changed weights are refused.
fn with_weights(change: impl FnOnce(&mut Weights)) -> String {
    let mut model = model();
    change(&mut model.weights);
    let error = model.to_bytes(Precision::F32).unwrap_err().to_string();
    assert_eq!(model.weights.check(&model.manifest.spec).unwrap_err().to_string(), error);
    error
}

#[test]
fn a_file_that_names_no_interpolation_was_trained_with_the_mean_and_an_unknown_one_is_refused() {
    let named = serde_json::to_value(manifest(&specs::location_attention(3, 1))).unwrap();
    assert_eq!(named["preprocessing"]["interpolation"], "area-mean");
    let read = serde_json::from_value::<pleura_nets::ModelManifest>;
    let mut unnamed = named.clone();
    unnamed["preprocessing"].as_object_mut().unwrap().remove("interpolation").unwrap();
    assert_eq!(read(unnamed).unwrap(), read(named.clone()).unwrap());
    let mut unknown = named;
    unknown["preprocessing"]["interpolation"] = "trilinear".into();
    assert!(read(unknown).unwrap_err().to_string().contains("trilinear"));
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name() {
    let has =
        |message: String, words: [&str; 2]| assert!(words.iter().all(|w| message.contains(w)), "{message}");
    let get = |w: &mut Weights, name: &str| w.0.get_mut(name).map(std::mem::take).unwrap();
    has(with_weights(|w| drop(w.0.remove("fc1.bias"))), ["fc1.bias", "missing"]);
    has(with_weights(|w| drop(w.0.insert("spare".into(), w.0["fc1.bias"].clone()))), ["spare", "not belong"]);
    has(with_weights(|w| drop(get(w, "fc2.weight"))), ["fc2.weight", "shape"]);
    has(with_weights(|w| w.0.get_mut("fc2.weight").unwrap().data[3] = f32::NAN), ["fc2.weight", "finite"]);
    has(
        with_weights(|w| w.0.get_mut("stem.bn.running_var").unwrap().data[0] = -1.0),
        ["stem.bn", "negative"],
    );
}
