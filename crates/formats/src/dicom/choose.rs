//! Which series of a study is screened.
//!
//! Left out: what is not CT, localizers, colour, derived maps, and series with a slice that
//! cannot be read or placed. Of the rest, in this order: axial before other planes; original
//! before derived; at least 150 mm long before shorter; then the most slices; among series with
//! at least nine tenths of the most slices, a smooth kernel before a sharp one (sharp kernels
//! overshoot at edges and triple the noise), then the lowest series number, then the UID.

use super::header::Header;
use super::stack::{dot, normal};
use crate::Warning;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The files of one series.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) headers: Vec<Header>,
    /// Why it cannot be screened.
    pub(crate) problem: Option<String>,
    /// The file that the problem is with, when others are fit.
    pub(crate) culprit: Option<PathBuf>,
    /// Tells of files that are no slices and were left out.
    pub(crate) dropped: Option<Warning>,
}

/// Fewest slices of a series that stray files may be taken out of.
const FEWEST: usize = 8;

/// Sorts files into studies and series; the order is that of the files.
pub(crate) fn studies(headers: Vec<Header>) -> Vec<Vec<Series>> {
    let mut studies: BTreeMap<(String, String), BTreeMap<String, Vec<Header>>> = BTreeMap::new();
    for header in headers {
        let folder = header.path.parent().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        // Without UIDs, what lies in one folder belongs together.
        let study = if header.study.is_empty() {
            (String::new(), folder)
        } else {
            (header.study.clone(), String::new())
        };
        studies.entry(study).or_default().entry(header.series.clone()).or_default().push(header);
    }
    let mut studies: Vec<Vec<Series>> =
        studies.into_values().map(|s| s.into_values().map(Series::of).collect()).collect();
    let first = |s: &Vec<Series>| s.iter().flat_map(|s| &s.headers).map(|h| h.path.clone()).min();
    studies.sort_by_key(first);
    studies
}

impl Series {
    fn of(mut headers: Vec<Header>) -> Self {
        headers.sort_by(|a, b| a.path.cmp(&b.path));
        let mut series = Self { headers, problem: None, culprit: None, dropped: None };
        series.drop_strays();
        let fit = series.usable().next().is_some();
        // Localizers among slices are left out when the series is read.
        let counted = |h: &&Header| !fit || !h.is_localizer();
        let unfit = series.headers.iter().filter(counted).find_map(|h| Some((h.path.clone(), h.problem()?)));
        if let Some((path, problem)) = unfit {
            series.culprit = fit.then_some(path);
            series.problem = Some(problem);
        }
        series
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
        self.dropped = Some(Warning { code: "unfit-file-dropped".into(), message, slices: vec![] });
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

    fn is_axial(&self) -> bool {
        self.plane_normal().is_some_and(|n| n[2].abs() > 0.8)
    }

    fn plane_normal(&self) -> Option<[f64; 3]> {
        self.usable().find_map(|h| h.planes.as_ref().ok()?.first()).map(|p| normal(&p.axes))
    }

    fn is_original(&self) -> bool {
        let derived =
            |t: &str| ["DERIVED", "MIP", "MPR", "MINIP", "PROJECTION IMAGE", "CSA MPR"].contains(&t);
        self.speaker().is_some_and(|h| !h.image_type.iter().any(|t| derived(&t.to_uppercase())))
    }

    /// From the first to the last slice, mm.
    fn length_mm(&self) -> f64 {
        let Some(along) = self.plane_normal() else { return 0.0 };
        let planes = self.usable().flat_map(|h| h.planes.as_deref().unwrap_or_default());
        let (low, high) = planes
            .map(|p| dot(p.position, along))
            .fold((f64::MAX, f64::MIN), |(lo, hi), v| (lo.min(v), hi.max(v)));
        (high - low).max(0.0)
    }

    fn rank(&self) -> [bool; 3] {
        [self.is_axial(), self.is_original(), self.length_mm() >= 150.0]
    }
}

/// Whether a kernel's name says that it is sharp: Siemens B60 and up (Br, Bl, I, D, H alike),
/// GE LUNG, BONE, EDGE, Toshiba and Canon FC30 to FC39, FC50 to FC59 and FC80 up, Philips D, E, L, Y.
pub(crate) fn is_sharp(kernel: &str) -> bool {
    let k = kernel.trim().to_uppercase();
    if ["LUNG", "BONE", "EDGE", "SHARP", "ULTRA"].iter().any(|w| k.contains(w)) {
        return true;
    }
    let digits: String =
        k.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    let Ok(number) = digits.parse::<u32>() else { return ["D", "E", "L", "Y"].contains(&k.as_str()) };
    if k.starts_with("FC") {
        return (30..40).contains(&number) || (50..60).contains(&number) || number >= 80;
    }
    (55..100).contains(&number)
}

/// Index of the series to screen, and why it.
pub(crate) fn choose(series: &[Series]) -> Option<(usize, String)> {
    let fit: Vec<usize> = (0..series.len()).filter(|&i| series[i].problem.is_none()).collect();
    let best = fit.iter().map(|&i| series[i].rank()).max()?;
    let fit: Vec<usize> = fit.into_iter().filter(|&i| series[i].rank() == best).collect();
    let most = fit.iter().map(|&i| series[i].slices()).max()?;
    let full: Vec<usize> = fit.into_iter().filter(|&i| series[i].slices() * 10 >= most * 9).collect();
    let chosen = full.iter().copied().min_by_key(|&i| {
        let h = series[i].speaker();
        let sharp = h.and_then(|h| h.kernel.as_deref()).is_some_and(is_sharp);
        let number = h.and_then(|h| h.series_number).unwrap_or(i64::MAX);
        (sharp, number, h.map(|h| h.series.clone()))
    })?;
    let mut why = Vec::new();
    let words =
        [("axial", "not axial"), ("original", "derived"), ("long enough for a chest", "shorter than 150 mm")];
    for (has, (yes, no)) in best.iter().zip(words) {
        why.push(if *has { yes } else { no }.to_owned());
    }
    why.push(format!("{} slices", series[chosen].slices()));
    if full.len() > 1 {
        why.push("the smoothest kernel or lowest series number of its peers".into());
    }
    Some((chosen, why.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::is_sharp;

    #[test]
    fn kernels_by_name() {
        for sharp in ["B70f", "LUNG", "BONEPLUS", "FC51", "Bl64", "I70f", "L", "FC86"] {
            assert!(is_sharp(sharp), "{sharp}");
        }
        for smooth in ["B30f", "STANDARD", "FC08", "D40s", "B", "C", "Br40", "SOFT", ""] {
            assert!(!is_sharp(smooth), "{smooth}");
        }
    }
}
