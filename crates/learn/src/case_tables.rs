//! Each case by itself: what was said and what is true, as `pleura evaluate` reads them.

use crate::data::Names;
use crate::screened::{PROFILES, Screened, Seen, named};
use crate::{Error, Result, checkpoint};
use pleura_evaluate::{FACTS, NO_INFECTION_COLUMN};
use std::path::Path;

/// Writes truth.csv, and for each network and profile a table of verdicts and probabilities:
/// PROFILE-cases.csv for the first network, PROFILE-cases-2.csv for the second and so on.
///
/// `set` says which cases they are, and stands before the name of each: a cohort names its cases by their
/// number alone, and tables of two cohorts must not be taken for those of the same cases.
pub(crate) fn write(
    dir: &Path,
    set: &str,
    screened: &[Screened],
    networks: usize,
    names: &Names,
) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(|source| Error::Io { path: dir.into(), source })?;
    let of = |k: usize| -> Vec<&Seen> { screened.iter().filter_map(|s| s.networks.get(k)).collect() };
    put(&dir.join("truth.csv"), truth(set, &of(0), names))?;
    for (p, profile) in PROFILES.into_iter().enumerate() {
        let path = |k: usize| {
            let suffix = if k == 0 { String::new() } else { format!("-{}", k + 1) };
            dir.join(format!("{}-cases{suffix}.csv", named(profile)))
        };
        (0..networks).try_for_each(|k| put(&path(k), answers(set, &of(k), p, names)))?;
        // What an earlier run with more networks left is not of this one.
        for stale in (networks..).map(path).take_while(|path| path.exists()) {
            std::fs::remove_file(&stale).map_err(|source| Error::Io { path: stale, source })?;
        }
    }
    Ok(())
}

fn put(path: &Path, rows: Vec<Vec<String>>) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let told = rows.iter().try_for_each(|row| writer.write_record(row));
    told.map_err(|e| Error::Stage(e.to_string()))?;
    let content = writer.into_inner().map_err(|e| Error::Stage(e.to_string()))?;
    checkpoint::write_whole(path, &content)
}

fn text(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|c| (*c).to_owned()).collect()
}

fn truth(set: &str, seen: &[&Seen], names: &Names) -> Vec<Vec<String>> {
    let header = [text(&["case", "class"]), text(&FACTS), text(&["involvement_pct"])].concat();
    let row = |s: &&Seen| {
        let case = &s.case[0];
        let fact = |name: &&str| case.facts.get(*name).map_or(String::new(), |v| format!("{v:.3}"));
        let known = [format!("{set}-{}", case.case), names.cases[case.truth].clone()];
        let involved = s.involved[0].map_or(String::new(), |i| format!("{:.3}", i.truth));
        known.into_iter().chain(FACTS.iter().map(fact)).chain([involved]).collect()
    };
    [header].into_iter().chain(seen.iter().map(row)).collect()
}

fn answers(set: &str, seen: &[&Seen], profile: usize, names: &Names) -> Vec<Vec<String>> {
    let types = &names.cases[..names.cases.len() - 1];
    let header =
        [text(&["case", "verdict", "probability"]), types.to_vec(), text(&["regions", "involvement_pct"])];
    let header = [header.concat(), text(&[NO_INFECTION_COLUMN])].concat();
    let row = |s: &&Seen| {
        let case = &s.case[profile];
        // A case that was not looked at has none.
        let told = |k: usize| case.probabilities.get(k).map_or(String::new(), |p| format!("{p}"));
        let answered = names.cases.iter().position(|c| *c == case.answer);
        let mut row =
            vec![format!("{set}-{}", case.case), case.answer.clone(), answered.map_or(String::new(), told)];
        row.extend((0..types.len()).map(told));
        let involved = s.involved[profile].map_or(String::new(), |i| format!("{:.3}", i.told));
        row.extend([s.regions.len().to_string(), involved]);
        row.push(told(types.len()));
        row
    };
    [header].into_iter().chain(seen.iter().map(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::phantom_infections;
    use pleura_evaluate::{CaseOutcome, FrocScan, Involved, join, read_predictions, read_truth};
    use std::collections::BTreeMap;

    fn screened(case: &str, truth: usize, answer: &str, probabilities: &[f64]) -> Screened {
        let case = CaseOutcome {
            case: case.into(),
            truth,
            answer: answer.into(),
            probabilities: probabilities.to_vec(),
            facts: BTreeMap::from([("slice_mm".into(), 2.5)]),
        };
        let involved = Involved { told: 1.25, truth: if truth == 2 { 0.0 } else { 3.5 } };
        let involved = (!probabilities.is_empty()).then_some(involved);
        let seen =
            Seen { patches: vec![], regions: vec![], case: [case.clone(), case], involved: [involved; 2] };
        Screened { froc: [FrocScan::default(), FrocScan::default()], networks: vec![seen.clone(), seen] }
    }

    #[test]
    fn evaluate_reads_the_tables_back() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::new(&phantom_infections());
        let all = [
            screened("one", 0, "covid-19", &[0.5, 0.3, 0.2]),
            screened("two", 2, "not-analysable", &[]),
            screened("three", 1, "indeterminate", &[0.25, 0.15, 0.6]),
        ];
        write(dir.path(), "seed1", &all, 2, &names).unwrap();
        let truth = read_truth(&dir.path().join("truth.csv")).unwrap();
        for table in
            ["paper-cases.csv", "calibrated-cases.csv", "paper-cases-2.csv", "calibrated-cases-2.csv"]
        {
            let said = read_predictions(&dir.path().join(table)).unwrap();
            let joined = join(&said, &truth).unwrap();
            let named = |c: &CaseOutcome| CaseOutcome { case: format!("seed1-{}", c.case), ..c.clone() };
            let want: Vec<CaseOutcome> = all.iter().map(|s| named(&s.networks[0].case[0])).collect();
            assert_eq!(joined.cases, want, "{table}");
        }
        let told = std::fs::read_to_string(dir.path().join("paper-cases.csv")).unwrap();
        let header = "case,verdict,probability,covid-19,influenza-a,regions,involvement_pct,no_infection";
        assert_eq!(told.lines().next(), Some(header));
        assert_eq!(told.lines().nth(1), Some("seed1-one,covid-19,0.5,0.5,0.3,0,1.250,0.2"));
        assert_eq!(told.lines().nth(2), Some("seed1-two,not-analysable,,,,0,,"));
        // The truth of other cases is refused.
        let other = tempfile::tempdir().unwrap();
        write(other.path(), "seed2", &all, 1, &names).unwrap();
        let said = read_predictions(&other.path().join("paper-cases.csv")).unwrap();
        assert!(join(&said, &truth).is_err());
        // A run with one network leaves nothing of a second one's.
        write(dir.path(), "seed1", &all, 1, &names).unwrap();
        assert!(
            !dir.path().join("paper-cases-2.csv").exists() && dir.path().join("paper-cases.csv").exists()
        );
    }
}
