//! The files of one series, and whether they make a volume.

use super::header::Header;
use super::read::{plan, without_localizers};
use super::stack::Stack;
use super::{Problem, warning};
use crate::{Error, InputFrame, Warning};
use pleura_volume::Geometry;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The files of one series.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) headers: Vec<Header>,
    /// Why it cannot be screened.
    pub(crate) problem: Option<Problem>,
    /// The file that the problem is with, when others are fit.
    pub(crate) culprit: Option<PathBuf>,
    /// Files left out, and what else should be known of it.
    pub(crate) warnings: Vec<Warning>,
    /// Its grid, when there is no problem.
    pub(crate) stack: Option<Stack>,
}

/// Fewest slices of a series that stray files may be taken out of.
const FEWEST: usize = 8;
/// Fewest slices of a reformat, and the shortest way across them, mm, to be taken for a volume:
/// shorter ones are views made for the eye.
const FEWEST_REFORMATTED: usize = 20;
const SHORTEST_REFORMATTED_MM: f64 = 100.0;

/// Headers by study and series. Without a study's UID, what lies in one folder belongs together.
pub(crate) type Sorted = BTreeMap<(String, String), BTreeMap<String, Vec<Header>>>;

/// Sorts files into studies and series.
pub(crate) fn sort(headers: Vec<Header>) -> Sorted {
    let mut sorted = Sorted::new();
    for header in headers {
        let series = header.series.clone();
        sorted.entry(study_of(&header)).or_default().entry(series).or_default().push(header);
    }
    sorted
}

/// What tells the study of a file from others.
pub(crate) fn study_of(header: &Header) -> (String, String) {
    let folder = || header.path.parent().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
    if header.study.is_empty() { (String::new(), folder()) } else { (header.study.clone(), String::new()) }
}

impl Series {
    /// `damage` is a damaged file of this series: a lost slice at an end leaves no gap that would
    /// tell of it.
    pub(crate) fn of(mut headers: Vec<Header>, damage: Option<&Error>) -> Self {
        headers.sort_by(|a, b| a.path.cmp(&b.path));
        let mut series = Self { headers, problem: None, culprit: None, warnings: vec![], stack: None };
        series.drop_strays();
        let fit = series.usable().next().is_some();
        // Localizers among slices are left out when the series is read.
        let counted = |h: &&Header| !fit || !h.is_localizer();
        let unfit = series.headers.iter().filter(counted).find_map(|h| Some((h.path.clone(), h.problem()?)));
        if let Some((path, problem)) = unfit {
            series.culprit = fit.then_some(path);
            series.problem = Some(problem);
        } else if let Some(damage) = damage {
            let advice = "It belongs to a series that lacks this slice without it: copy the series again.";
            series.culprit = Some(damage.path().to_owned());
            series.problem = Some(Problem::new("file-damaged", format!("{} {advice}", damage.reason())));
        } else {
            series.lay();
        }
        series
    }

    /// Lays the slices on a grid.
    fn lay(&mut self) {
        let (headers, warnings) = without_localizers(self.headers.clone());
        match plan(&headers).and_then(|stack| self.check_reformat(&stack).map(|()| stack)) {
            Ok(stack) => {
                self.warnings.extend(warnings);
                self.stack = Some(stack);
            }
            Err(problem) => self.problem = Some(problem),
        }
    }

    fn check_reformat(&self, stack: &Stack) -> Result<(), Problem> {
        let count = stack.geometry.size[2];
        let across = count as f64 * stack.geometry.spacing_mm[2];
        let reformat = self.speaker().is_some_and(Header::is_reformat);
        if !reformat || count >= FEWEST_REFORMATTED && across >= SHORTEST_REFORMATTED_MM {
            return Ok(());
        }
        let text = format!(
            "It is a reformat of {count} slices over {across:.0} mm; a volume needs {FEWEST_REFORMATTED} over \
             {SHORTEST_REFORMATTED_MM} mm. Give the series that it was made from."
        );
        Err(Problem::new("reformat-too-small", text))
    }

    /// Leaves out files of another kind, such as a colour picture, when they are at most a tenth
    /// of the images and the rest is fit.
    fn drop_strays(&mut self) {
        let stray = |h: &Header| !h.is_localizer() && h.is_foreign();
        let strays = self.headers.iter().filter(|h| stray(h)).count();
        let slices = self.slices();
        let rest_fit = self.headers.iter().all(|h| stray(h) || h.is_localizer() || h.problem().is_none());
        if strays == 0 || !rest_fit || slices < FEWEST || strays * 9 > slices {
            return;
        }
        self.headers.retain(|h| !stray(h));
        let message = format!(
            "{strays} of {} images of the series are no CT slices (another modality, colour or a film) and were \
             left out.",
            slices + strays
        );
        self.warnings.push(warning("unfit-file-dropped", message, vec![]));
    }

    fn usable(&self) -> impl Iterator<Item = &Header> {
        self.headers.iter().filter(|h| h.problem().is_none())
    }

    /// The first file that speaks for the series.
    pub(crate) fn speaker(&self) -> Option<&Header> {
        self.usable().next().or(self.headers.first())
    }

    /// Number of slices that could be used.
    pub(crate) fn slices(&self) -> usize {
        self.usable().map(|h| h.pixels.frames).sum()
    }

    /// Whether any of its files holds a picture.
    pub(crate) fn is_image(&self) -> bool {
        self.headers.iter().any(Header::is_image)
    }

    /// The oriented grid.
    pub(crate) fn oriented(&self) -> Option<Geometry> {
        Some(InputFrame::nearest(self.stack.as_ref()?.geometry.clone()).oriented())
    }
}
