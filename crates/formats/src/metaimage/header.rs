//! The header: lines of `Key = Value`, of which `ElementDataFile` is the last.

use crate::grids::text::{Lines, brief};
use std::collections::BTreeMap;

/// Keys, in lower case, and their values.
#[derive(Debug, Default)]
pub(crate) struct Header {
    fields: BTreeMap<String, String>,
}

/// Keys with which a header may begin.
const FIRST: [&str; 6] = ["objecttype", "ndims", "comment", "objectsubtype", "name", "id"];

/// Whether a file that starts with these bytes is a MetaImage.
pub(crate) fn is_metaimage(start: &[u8]) -> bool {
    let text = String::from_utf8_lossy(start);
    let key = |line: &str| line.split_once('=').map(|(key, _)| key.trim().to_ascii_lowercase());
    let keys: Vec<Option<String>> = text.lines().map(key).collect();
    let first = keys.first().and_then(Clone::clone).is_some_and(|k| FIRST.contains(&k.as_str()));
    first && keys.iter().flatten().any(|k| k == "ndims" || k == "objecttype")
}

/// Reads up to the line that says where the voxels are, and past it.
///
/// # Errors
/// The reason, as a plain sentence.
pub(crate) fn read(lines: &mut Lines) -> Result<Header, String> {
    let mut header = Header::default();
    while let Some(line) = lines.line()? {
        let Some((key, value)) = line.split_once('=') else {
            if line.trim().is_empty() {
                continue;
            }
            return Err("This is not a MetaImage header: a line holds no \"=\".".into());
        };
        let key = key.trim().to_ascii_lowercase();
        let last = key == "elementdatafile";
        if header.fields.insert(key.clone(), value.trim().to_owned()).is_some() {
            return Err(format!("The header states {} twice.", brief(&key)));
        }
        if last {
            return Ok(header);
        }
    }
    Err("The MetaImage header ends without ElementDataFile.".into())
}

impl Header {
    /// The value of a key, unless it is empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.fields.get(&key.to_ascii_lowercase()).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// The value of the first of these keys that has one.
    pub(crate) fn first(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|key| self.get(key))
    }

    /// # Errors
    /// Names the key that is missing.
    pub(crate) fn required(&self, key: &str) -> Result<&str, String> {
        self.get(key).ok_or_else(|| format!("The MetaImage header does not state {key}."))
    }

    /// Whether a key says yes; MetaIO looks at the first letter.
    pub(crate) fn is_true(&self, key: &str) -> Option<bool> {
        self.get(key).map(|v| v.starts_with(['T', 't', '1', 'Y', 'y']))
    }
}
