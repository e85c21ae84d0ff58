//! Candidate regions of training cases in a file: to cut them takes longer than many a training on them.

use crate::candidates::CaseRegions;
use crate::checkpoint::{difference, write_whole};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::Path;

/// Tells such a file from anything else.
const FORMAT: &str = "pleura candidates 1";

/// What stands before the cases.
#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    /// The settings that decide how the regions are cut, as JSON text.
    settings: String,
}

/// Stores the regions of all cases: a header, then the cases, in the wire format of postcard.
pub(crate) fn save(path: &Path, settings: &str, cases: &[CaseRegions]) -> Result<()> {
    let header = Header { format: FORMAT.into(), settings: settings.into() };
    let content = postcard::to_stdvec(&(header, cases)).map_err(|e| Error::Stage(e.to_string()))?;
    write_whole(path, &content)
}

/// Reads them back; `None` where there is no file.
///
/// # Errors
/// [`Error::OtherCandidates`] when they were cut with other settings, [`Error::Candidates`] when the file
/// is damaged or another one.
pub(crate) fn load(path: &Path, settings: &str) -> Result<Option<Vec<CaseRegions>>> {
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Io { path: path.into(), source }),
    };
    let damaged = |reason: String| Error::Candidates { path: path.into(), reason };
    let foreign = || damaged("it holds no candidate regions".into());
    let (header, content) = postcard::take_from_bytes::<Header>(&content).map_err(|_| foreign())?;
    if header.format != FORMAT {
        return Err(foreign());
    }
    if header.settings != settings {
        let difference = difference(&header.settings, settings);
        return Err(Error::OtherCandidates { path: path.into(), difference });
    }
    match postcard::take_from_bytes::<Vec<CaseRegions>>(content) {
        Ok((cases, [])) => Ok(Some(cases)),
        Ok(_) => Err(damaged("something follows the last case".into())),
        Err(e) => Err(damaged(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidates::{Patch, Region, Source};

    fn cases() -> Vec<CaseRegions> {
        let patch = |v: i16| Patch { hu: vec![v, -1024, 3071], distance: 0.1 + f64::from(v) };
        let region = Region { source: Source::Known, patches: vec![patch(1), patch(-2)], label: 2 };
        vec![CaseRegions { regions: vec![region] }, CaseRegions { regions: vec![] }]
    }

    #[test]
    fn regions_come_back_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("candidates.bin");
        assert!(load(&path, "{}").unwrap().is_none());
        save(&path, "{}", &cases()).unwrap();
        assert_eq!(load(&path, "{}").unwrap().unwrap(), cases());
        let other = load(&path, r#"{"shift":3}"#).unwrap_err().to_string();
        assert!(other.contains("shift was nothing, now 3"), "{other}");
    }

    #[test]
    fn damaged_and_foreign_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("candidates.bin");
        save(&path, "{}", &cases()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let longer = [&whole[..], &[0]].concat();
        let other_format = {
            let mut w = whole.clone();
            w[1] = b'q';
            w
        };
        for content in [&whole[..whole.len() - 1], &whole[..3], &longer, &other_format, b"", &[0xff; 300]] {
            std::fs::write(&path, content).unwrap();
            let refused = load(&path, "{}");
            assert!(matches!(refused, Err(Error::Candidates { .. })), "{} bytes: {refused:?}", content.len());
        }
    }
}
