//! Results by what a case is like.

use crate::CaseOutcome;
use crate::{Interval, wilson};
use serde::Serialize;

/// Parts that each fact is cut into.
const PARTS: usize = 3;

/// Cases of which a fact lies in a range.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stratum {
    /// Name of the fact.
    pub fact: String,
    /// Least and largest value in it.
    pub range: [f64; 2],
    /// Cases.
    pub cases: usize,
    /// Those answered rightly.
    pub correct: usize,
    /// Wilson's interval of their share.
    pub accuracy_interval_95: Interval,
}

/// For each fact up to three strata of about equally many cases; equal values stay together, and a
/// fact with one value only has none. Cases of which a fact is not known are in none of its strata.
pub fn strata(classes: &[String], cases: &[CaseOutcome]) -> Vec<Stratum> {
    let mut facts: Vec<&String> = cases.iter().flat_map(|c| c.facts.keys()).collect();
    facts.sort();
    facts.dedup();
    let mut out = Vec::new();
    for fact in facts {
        let known = cases.iter().filter_map(|c| Some((*c.facts.get(fact)?, classes[c.truth] == c.answer)));
        let mut known: Vec<(f64, bool)> = known.filter(|(v, _)| v.is_finite()).collect();
        known.sort_by(|a, b| a.0.total_cmp(&b.0));
        let parts = cut(&known);
        if parts.len() > 1 {
            out.extend(parts.into_iter().map(|part| stratum(fact, part)));
        }
    }
    out
}

/// Sorted values in parts of about equal size, none between equals.
fn cut(known: &[(f64, bool)]) -> Vec<&[(f64, bool)]> {
    let (n, mut start, mut parts) = (known.len(), 0, Vec::new());
    while start < n {
        let part = start * PARTS / n;
        let mut end = ((part + 1) * n).div_ceil(PARTS).clamp(start + 1, n);
        while end < n && known[end].0 == known[end - 1].0 {
            end += 1;
        }
        parts.push(&known[start..end]);
        start = end;
    }
    parts
}

fn stratum(fact: &str, part: &[(f64, bool)]) -> Stratum {
    let correct = part.iter().filter(|c| c.1).count();
    Stratum {
        fact: fact.to_owned(),
        range: [part[0].0, part[part.len() - 1].0],
        cases: part.len(),
        correct,
        accuracy_interval_95: wilson(correct, part.len()),
    }
}

pub(crate) fn strata_markdown(strata: &[Stratum]) -> String {
    let mut out = String::from("| | from | to | right | accuracy (95 %, Wilson) |\n|---|---|---|---|---|\n");
    for s in strata {
        let ([from, to], i) = (s.range, s.accuracy_interval_95);
        let share = s.correct as f64 / s.cases as f64;
        out += &format!(
            "| {} | {from:.2} | {to:.2} | {} of {} | {share:.3} ({:.3} to {:.3}) |\n",
            s.fact, s.correct, s.cases, i.low, i.high
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn thirds_keep_equals_together() {
        let case = |k: usize, mm: f64| CaseOutcome {
            case: k.to_string(),
            truth: 0,
            answer: if k.is_multiple_of(2) { "sick" } else { "well" }.into(),
            probabilities: vec![],
            facts: BTreeMap::from([("slice_mm".to_owned(), mm), ("noise_hu".to_owned(), 12.0)]),
        };
        let values = [5.0, 1.0, 1.0, 1.0, 2.0, 5.0];
        let cases: Vec<_> = values.iter().enumerate().map(|(k, mm)| case(k, *mm)).collect();
        let found = strata(&["sick".into(), "well".into()], &cases);
        let told: Vec<_> = found.iter().map(|s| (s.range, s.cases, s.correct)).collect();
        // The first third ends amid the three of 1 mm; noise does not vary.
        assert_eq!(told, [([1.0, 1.0], 3, 1), ([2.0, 2.0], 1, 1), ([5.0, 5.0], 2, 1)]);
        assert!(strata_markdown(&found).contains("| slice_mm | 1.00 | 1.00 | 1 of 3 | 0.333"));
    }
}
