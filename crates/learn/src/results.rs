//! The paper's tables beside the paper's figures, and what the paper lacks.

use crate::data::Names;
use crate::screened::{PROFILES, Screened, Seen, named};
use crate::seeds::SeedComparison;
use crate::{Error, Result, checkpoint};
use pleura_evaluate::{
    Answers, CaseFigures, CaseOutcome, Comparison, Froc, FrocScan, Involvement, Table, compare, froc,
    write_froc, write_probabilities,
};
use serde::Serialize;
use std::path::Path;

/// What the paper has at each level (odd tables ResNet, even ones location-attention). [S]: stated in
/// it; [R]: recalled, and consistent with what is stated.
const PAPER: [&str; 6] = [
    "mean F1 0.750 [S], accuracy 78.5 % [R]",
    "mean F1 0.764 [S], accuracy 79.4 % [R]",
    "not shown",
    "mean F1 of the two infections 0.806 [S]",
    "not shown",
    "mean F1 of the two infections 0.843 [S], accuracy 86.7 % = 78 of 90 [S]; COVID-19 recall 26/30, precision \
     26/32, F1 0.839 [R]; influenza 25/30, 25/29, 0.847 [R]; none 27/30, 27/29, 0.915 [R]",
];

/// One classifier's results.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkResults {
    /// Name of the network.
    pub network: String,
    /// Image patches; each carries its region's label.
    pub patches: Table,
    /// Regions after the vote.
    pub regions: Table,
    /// Cases by the paper's profile.
    pub paper: CaseFigures,
    /// Cases by the calibrated profile.
    pub calibrated: CaseFigures,
    /// Involved share of the lungs, by the calibrated profile.
    pub involvement: Involvement,
}

/// All results of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Results {
    /// Whether this is the paper's experiment; else finished networks were measured.
    pub experiment: bool,
    /// Version of the generator of all cases.
    pub generator: String,
    /// Test cases.
    pub cases: usize,
    /// By classifier.
    pub networks: Vec<NetworkResults>,
    /// Both classifiers over several trainings; `None` where there is one of each.
    pub seeds: Option<SeedComparison>,
    /// The first classifier against the second, by the paper's and by the calibrated profile; empty where
    /// there is one.
    pub comparisons: Vec<Comparison>,
    /// The detector: all truth regions, and those of 10 mm and more.
    pub detector: [Froc; 2],
}

impl Results {
    /// Of screened cases, where every case was seen by the `networks`, first of one seed, then of the next;
    /// with one network there is nothing to compare.
    pub(crate) fn new(screened: &[Screened], networks: &[&str], names: &Names, seed: u64) -> Result<Self> {
        let of = |k: usize| -> Vec<&Seen> { screened.iter().filter_map(|s| s.networks.get(k)).collect() };
        let outcomes =
            |k: usize, p: usize| -> Vec<CaseOutcome> { of(k).iter().map(|s| s.case[p].clone()).collect() };
        let answers = |k: usize, pick: fn(&Seen) -> &Answers| -> Vec<Answers> {
            of(k).into_iter().map(|s| pick(s).clone()).collect()
        };
        let network = |(k, name): (usize, &&str)| NetworkResults {
            network: (*name).to_owned(),
            patches: Table::new(&names.regions, &answers(k, |s| &s.patches), seed),
            regions: Table::new(&names.regions, &answers(k, |s| &s.regions), seed),
            paper: CaseFigures::new(&names.cases, &outcomes(k, 0), seed),
            calibrated: CaseFigures::new(&names.cases, &outcomes(k, 1), seed),
            involvement: Involvement::new(&of(k).iter().map(|s| s.involved[1]).collect::<Vec<_>>(), seed),
        };
        let against = |p: usize| compare(&names.cases, &outcomes(0, p), &outcomes(1, p), seed);
        let scans = |k: usize| -> Vec<FrocScan> { screened.iter().map(|s| s.froc[k].clone()).collect() };
        let compared = if networks.len() > 1 { PROFILES.len() } else { 0 };
        Ok(Self {
            experiment: false,
            generator: pleura_phantom::GENERATOR.into(),
            cases: screened.len(),
            networks: networks.iter().enumerate().map(network).collect(),
            seeds: SeedComparison::new(screened, networks, names, seed),
            comparisons: (0..compared).map(against).collect::<std::result::Result<_, _>>()?,
            detector: [0, 1].map(|k| froc(&scans(k), seed)),
        })
    }

    /// Marks them as those of the paper's experiment: both of its classifiers, in its order.
    pub(crate) fn of_experiment(self) -> Self {
        Self { experiment: true, ..self }
    }

    fn tables(&self) -> String {
        type Pick = fn(&NetworkResults) -> &Table;
        let levels: [(&str, Pick); 3] = [
            ("image patches", |n| &n.patches),
            ("regions after the vote", |n| &n.regions),
            ("cases, the paper's profile", |n| &n.paper.table),
        ];
        let mut out = String::new();
        let numbered = levels.iter().flat_map(|level| self.networks.iter().map(move |n| (level, n)));
        for (k, ((level, pick), n)) in numbered.enumerate() {
            out += &match PAPER.get(k).filter(|_| self.experiment) {
                Some(paper) => {
                    format!("\n## Table {}: {level}, {}\n\nPaper: {paper}.\n\n", k + 1, n.network)
                }
                None => format!("\n## {}, {level}\n\n", n.network),
            };
            out += &pick(n).to_markdown();
        }
        out
    }

    /// results.md.
    pub fn to_markdown(&self) -> String {
        let (title, beside) = match self.experiment {
            true => (
                "The paper's experiment",
                " The paper's own stand beside them: [S] stated there, [R] recalled.",
            ),
            false => ("Networks measured", ""),
        };
        let mut out = format!(
            "# {title} on synthetic cases\n\n{} test cases of the generator {}. These figures say how the method does \
             on phantoms, not on patients.{beside}\n",
            self.cases, self.generator
        );
        out += &self.tables();
        if let Some(seeds) = &self.seeds {
            out += &seeds.to_markdown();
        }
        if self.experiment {
            out += "\n## Training curves\n\n![Loss and accuracy over the steps](figure5.svg)\n";
        }
        out += &format!(
            "\n## The detector\n\nAll truth regions:\n\n{}\nRegions of 10 mm and more:\n\n{}\n![Free-response \
             ROC](froc.svg)\n",
            self.detector[0].to_markdown(),
            self.detector[1].to_markdown()
        );
        for n in &self.networks {
            for (profile, figures) in [(PROFILES[0], &n.paper), (PROFILES[1], &n.calibrated)] {
                out +=
                    &format!("\n## {}, {} profile\n\n{}", n.network, named(profile), figures.to_markdown());
            }
            out += &format!("\n### Involvement\n\n{}", n.involvement.to_markdown());
        }
        out += "\n![ROC](paper-roc.svg) ![Calibration](calibrated-calibration.svg)\n";
        for (profile, c) in PROFILES.iter().zip(&self.comparisons) {
            let names: Vec<&str> = self.networks.iter().map(|n| n.network.as_str()).collect();
            out += &format!(
                "\n## {}, {} profile\n\n{}",
                names.join(" against "),
                named(*profile),
                c.to_markdown()
            );
        }
        out
    }

    /// Writes results.md, results.json and the figures into `dir`.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        type Pick = fn(&NetworkResults) -> &CaseFigures;
        let picks: [Pick; 2] = [|n| &n.paper, |n| &n.calibrated];
        std::fs::create_dir_all(dir).map_err(|source| Error::Io { path: dir.into(), source })?;
        for (profile, pick) in PROFILES.iter().zip(picks) {
            let runs: Vec<_> = self
                .networks
                .iter()
                .map(|n| (n.network.as_str(), pick(n).probabilities.as_slice()))
                .collect();
            write_probabilities(dir, named(*profile), &runs)?;
        }
        let [all, large] = &self.detector;
        write_froc(&dir.join("froc"), &[("all regions", all), ("10 mm and more", large)])?;
        let json = serde_json::to_string_pretty(self).map_err(|e| Error::Stage(e.to_string()))?;
        checkpoint::write_whole(&dir.join("results.json"), json.as_bytes())?;
        checkpoint::write_whole(&dir.join("results.md"), self.to_markdown().as_bytes())
    }
}
