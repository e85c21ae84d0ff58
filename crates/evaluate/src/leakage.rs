//! No case may be learned from and tested on.

use crate::Error;
use std::collections::BTreeMap;

/// A case and what gives it away when it turns up again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Member {
    /// Name of the case.
    pub case: String,
    /// The set it belongs to.
    pub split: String,
    /// Whose scan it is, and whatever else no two sets may share: where its file lies, a hash of its
    /// voxels, the seed that made it. Each named by its kind; an empty value says nothing.
    pub marks: BTreeMap<String, String>,
}

/// Refuses cases of two sets that share a mark.
///
/// # Errors
/// [`Error::Leakage`] names two cases, their sets and the kind of mark, but not the mark, which may
/// name a patient.
pub fn check_leakage(members: &[Member]) -> Result<(), Error> {
    let mut seen: BTreeMap<(&str, &str), &Member> = BTreeMap::new();
    for member in members {
        let marks = member.marks.iter().map(|(kind, mark)| (kind.as_str(), mark.as_str()));
        for mark in marks.filter(|(_, mark)| !mark.is_empty()) {
            let first = *seen.entry(mark).or_insert(member);
            if first.split != member.split {
                return Err(Error::Leakage {
                    cases: [first.case.clone(), member.case.clone()],
                    splits: [first.split.clone(), member.split.clone()],
                    what: mark.0.to_owned(),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(case: &str, split: &str, patient: &str, voxels: &str) -> Member {
        let marks = [("patient", patient), ("voxels", voxels)].map(|(k, v)| (k.to_owned(), v.to_owned()));
        Member { case: case.into(), split: split.into(), marks: BTreeMap::from(marks) }
    }

    #[test]
    fn a_planted_duplicate_is_found() {
        let clean = [
            member("a", "train", "smith", "11"),
            member("b", "train", "smith", "12"),
            member("c", "test", "jones", ""),
            member("d", "train", "", ""),
            member("e", "test", "", "13"),
        ];
        assert!(check_leakage(&clean).is_ok(), "within a set and unknown marks are no leak");
        for planted in [member("f", "test", "smith", "14"), member("f", "test", "brown", "12")] {
            let error = check_leakage(&[&clean[..], &[planted]].concat()).unwrap_err().to_string();
            assert!(error.contains('f') && error.contains("train") && error.contains("test"), "{error}");
            assert!(!error.contains("smith"), "no patient is named: {error}");
        }
    }
}
