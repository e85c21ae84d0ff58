//! Reading the expected results under `tests/fixtures` (see `make.py` there).

#![allow(clippy::unwrap_used)] // a fixture that cannot be read fails the test

use pleura_volume::{Geometry, Mask, Volume};
use serde::de::DeserializeOwned;

/// The cases of one fixture file.
pub fn fixture<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A mask from a string of digits.
pub fn mask(geometry: &Geometry, digits: &str) -> Mask {
    let data: Vec<u8> = digits.bytes().map(|d| d - b'0').collect();
    assert_eq!(data.len(), geometry.len());
    Volume { geometry: geometry.clone(), data }
}
