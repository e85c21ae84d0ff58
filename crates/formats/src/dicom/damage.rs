//! Which series a damaged file belongs to: it should suffer, and no other.

use super::header::{Damage, Header};
use super::series::study_of;
use crate::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Study and series.
type Key = ((String, String), String);

/// Damaged files by the series that lacks them.
pub(crate) struct Lost(BTreeMap<Key, Error>);

impl Lost {
    /// Finds the series of each damaged file: the one that it names; else the only one with files
    /// beside it, or the one of its neighbours by name. Returns the rest, too.
    pub(crate) fn of(headers: &[Header], damaged: Vec<Damage>) -> (Self, Vec<Error>) {
        let mut beside: BTreeMap<&Path, BTreeMap<&Path, Key>> = BTreeMap::new();
        for h in headers.iter().filter(|h| h.is_image() && h.modality == "CT" && !h.is_localizer()) {
            let folder = h.path.parent().unwrap_or(Path::new(""));
            beside.entry(folder).or_default().insert(&h.path, (study_of(h), h.series.clone()));
        }
        let mut lost = BTreeMap::new();
        let mut rest = Vec::new();
        for damage in damaged {
            let path = damage.error.path().to_owned();
            let near = path.parent().and_then(|folder| beside.get(folder));
            let key = match damage.series {
                Some(uids) => named(&uids, headers),
                None if damage.stub => near.and_then(|near| owner(&path, &alike(&path, near))),
                None => near.and_then(|near| owner(&path, near)),
            };
            match key {
                Some(key) => {
                    lost.entry(key).or_insert(damage.error);
                }
                // An empty file with nothing of its kind beside it is no image, unless it is named as one.
                None if damage.stub
                    && !path.extension().is_some_and(|e| e.eq_ignore_ascii_case("dcm"))
                    && near.is_none_or(|near| alike(&path, near).is_empty()) => {}
                None => rest.push(damage.error),
            }
        }
        (Self(lost), rest)
    }

    /// A damaged file of this series.
    pub(crate) fn of_series(&self, study: &(String, String), series: &str) -> Option<&Error> {
        self.0.get(&(study.clone(), series.to_owned()))
    }
}

/// The series that a file names, when others of it are whole.
fn named((study, series): &(String, String), headers: &[Header]) -> Option<Key> {
    let header = headers.iter().find(|h| h.series == *series && h.study == *study)?;
    Some((study_of(header), series.clone()))
}

/// Those files with the same ending.
fn alike<'a>(path: &Path, near: &BTreeMap<&'a Path, Key>) -> BTreeMap<&'a Path, Key> {
    near.iter().filter(|(p, _)| p.extension() == path.extension()).map(|(p, k)| (*p, k.clone())).collect()
}

/// The only series there is, or that of the two files on each side: one alone could belong to
/// another series whose files alternate with those of this one.
fn owner(path: &Path, near: &BTreeMap<&Path, Key>) -> Option<Key> {
    let all: BTreeSet<&Key> = near.values().collect();
    if all.len() == 1 {
        return all.first().map(|k| (*k).clone());
    }
    let before: Vec<&Key> = near.range(..path).rev().take(2).map(|n| n.1).collect();
    let after: Vec<&Key> = near.range(path..).take(2).map(|n| n.1).collect();
    let all_alike = before.iter().chain(&after).all(|k| *k == before[0]);
    (before.len() == 2 && after.len() == 2 && all_alike).then(|| before[0].clone())
}
