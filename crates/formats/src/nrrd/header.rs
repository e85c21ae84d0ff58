//! The header: lines of `field: value` up to an empty line; `key:=value` lines are the user's own.

use crate::grids::text::{Lines, brief};
use std::collections::BTreeMap;

/// Fields, in lower case, and their values.
#[derive(Debug, Default)]
pub(crate) struct Header {
    fields: BTreeMap<String, String>,
    /// What follows `data file: LIST`.
    pub(crate) data_files: Vec<String>,
}

/// Whether a file that starts with these bytes is an NRRD file.
pub(crate) fn is_nrrd(start: &[u8]) -> bool {
    start.starts_with(b"NRRD000") && start.get(7).is_some_and(|v| (b'1'..=b'5').contains(v))
}

/// Reads up to the empty line and past it, or to the end; at most `most` data files may be listed.
///
/// # Errors
/// The reason, as a plain sentence.
pub(crate) fn read(lines: &mut Lines, most: usize) -> Result<Header, String> {
    let mut header = Header::default();
    let magic = lines.line()?.unwrap_or_default();
    if !is_nrrd(magic.as_bytes()) {
        return Err("This is not an NRRD file of version 1 to 5.".into());
    }
    while let Some(line) = lines.line()? {
        if line.is_empty() {
            break;
        }
        if line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err("A line of its NRRD header is neither a field, a pair nor a comment.".into());
        };
        if value.starts_with('=') {
            continue;
        }
        let (name, value) = (canonical(name), value.trim().to_owned());
        let list = name == "data file" && value.starts_with("LIST");
        if header.fields.insert(name.clone(), value).is_some() {
            return Err(format!("The header states {} twice.", brief(&name)));
        }
        if list {
            header.data_files = listed(lines, most)?;
            break;
        }
    }
    Ok(header)
}

/// The rest of the header: the name of a data file on each line.
fn listed(lines: &mut Lines, most: usize) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    while let Some(line) = lines.line()?.filter(|line| !line.is_empty()) {
        names.push(line);
        if names.len() > most {
            return Err(format!("It names more than {most} data files."));
        }
    }
    Ok(names)
}

/// A field's name without the spellings that mean the same.
fn canonical(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase();
    match name.as_str() {
        "datafile" => "data file".into(),
        "lineskip" => "line skip".into(),
        "byteskip" => "byte skip".into(),
        _ => name,
    }
}

impl Header {
    /// The value of a field, unless it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// # Errors
    /// Names the field that is missing.
    pub(crate) fn required(&self, name: &str) -> Result<&str, String> {
        self.get(name).ok_or_else(|| format!("The NRRD header does not state {name:?}."))
    }

    /// The words of a field that stand in double quotes.
    pub(crate) fn quoted(&self, name: &str) -> Vec<&str> {
        self.get(name).unwrap_or("").split('"').skip(1).step_by(2).map(str::trim).collect()
    }
}

/// Vectors such as `(1,0,0) (0,1,0) none`; `None` for an axis that is none of space's.
///
/// # Errors
/// The reason, as a plain sentence.
pub(crate) fn vectors(text: &str) -> Result<Vec<Option<[f64; 3]>>, String> {
    let mut all = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("none") {
            all.push(None);
            rest = after.trim_start();
            continue;
        }
        let wrong = || format!("The header's vectors {} are not of three numbers each.", brief(text));
        let (inside, after) = rest.strip_prefix('(').and_then(|r| r.split_once(')')).ok_or_else(wrong)?;
        let numbers: Option<Vec<f64>> = inside.split(',').map(|v| v.trim().parse().ok()).collect();
        let vector: [f64; 3] = numbers.and_then(|n| n.try_into().ok()).ok_or_else(wrong)?;
        all.push(vector.iter().all(|v| !v.is_nan()).then_some(vector));
        rest = after.trim_start();
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_may_be_none_or_spaced() {
        let want = [Some([1.0, 0.0, -0.5]), None, Some([0.0, 2e-1, 0.0])];
        assert_eq!(vectors(" ( 1, 0,-0.5) none (0,2e-1,0)").unwrap(), want);
        assert_eq!(vectors("").unwrap(), []);
        for text in ["(1,2)", "(1,2,3", "1 2 3", "(1,2,x)"] {
            assert!(vectors(text).unwrap_err().contains("three numbers"), "{text}");
        }
    }
}
