//! Which series of a study is screened.
//!
//! Left out is what has a problem: no CT, localizers, projections, colour, derived maps, a slice
//! that cannot be read or placed, a geometry that cannot be trusted, reformats of few slices. The
//! rest is compared by [`RULES`], in their order; the first that differs decides. The plane of
//! the slices decides only between series that are equal in all that matters more.

use super::header::Header;
use super::series::Series;

/// One rule: its name, a score (the higher the better) and the fact behind it.
type Rule = (&'static str, fn(&Series) -> (i64, String));

/// Length of a chest from apex to recess, mm; more than this is no better.
const CHEST_MM: f64 = 240.0;
/// Steps in which coverage is compared, mm.
const STEP_MM: f64 = 30.0;
/// Least width and depth of a picture that holds both lungs, mm; a heart's is smaller.
const CHEST_ACROSS_MM: [f64; 2] = [200.0, 150.0];

/// In the order in which they decide.
const RULES: [Rule; 7] = [
    ("coverage", |s| {
        let [x, y, z] =
            s.oriented().map_or([0.0; 3], |g| std::array::from_fn(|a| g.size[a] as f64 * g.spacing_mm[a]));
        let narrow = x < CHEST_ACROSS_MM[0] || y < CHEST_ACROSS_MM[1];
        let steps = (z.min(CHEST_MM) / STEP_MM) as i64;
        (if narrow { steps - 100 } else { steps }, format!("{x:.0} x {y:.0} x {z:.0} mm"))
    }),
    ("originality", |s| {
        let derived = s.speaker().is_some_and(Header::is_derived);
        (i64::from(!derived), if derived { "derived" } else { "original" }.into())
    }),
    ("completeness", |s| {
        let mended = |code: &str| ["slice-gap", "uneven-spacing", "sideways-shift"].contains(&code);
        let whole = s.stack.as_ref().is_some_and(|s| !s.warnings.iter().any(|w| mended(&w.code)));
        (i64::from(whole), if whole { "complete" } else { "with gaps or uneven slices" }.into())
    }),
    ("slice spacing", |s| {
        let spacing = s.stack.as_ref().map_or(f64::MAX, |s| s.geometry.spacing_mm[2]);
        let class = [3.0, 5.5, 10.0].iter().filter(|&&limit| spacing <= limit).count() as i64;
        (class, format!("{spacing:.2} mm apart"))
    }),
    ("kernel", |s| {
        let kernel = s.speaker().and_then(|h| h.kernel.clone()).unwrap_or_default();
        let sharp = is_sharp(&kernel);
        (i64::from(!sharp), if sharp { format!("sharp kernel {kernel}") } else { "no sharp kernel".into() })
    }),
    ("plane", |s| {
        let axial = s.stack.as_ref().is_some_and(|s| s.geometry.axes[2][2].abs() > 0.8);
        (i64::from(axial), if axial { "axial" } else { "not axial" }.into())
    }),
    ("number of slices", |s| (s.slices() as i64, format!("{} slices", s.slices()))),
];

/// What was chosen of a study.
pub(crate) struct Choice {
    pub(crate) index: usize,
    /// For each series why it was chosen, or why not.
    pub(crate) reasons: Vec<String>,
}

/// Chooses the series to screen; none when each has a problem. Of equals the lowest series number
/// is taken, then the lowest UID.
pub(crate) fn choose(series: &[Series]) -> Option<Choice> {
    let facts: Vec<Vec<(i64, String)>> =
        series.iter().map(|s| RULES.iter().map(|rule| rule.1(s)).collect()).collect();
    let scores = |i: usize| facts[i].iter().map(|f| f.0).collect::<Vec<_>>();
    let tie = |i: usize| {
        let h = series[i].speaker();
        (
            h.and_then(|h| h.series_number).unwrap_or(i64::MAX),
            h.map(|h| h.series.as_str()).unwrap_or_default(),
        )
    };
    let fit: Vec<usize> = (0..series.len()).filter(|&i| series[i].problem.is_none()).collect();
    let index =
        fit.iter().copied().max_by(|&a, &b| scores(a).cmp(&scores(b)).then_with(|| tie(b).cmp(&tie(a))))?;
    let why = |i: usize| match &series[i].problem {
        Some(problem) => problem.text.clone(),
        None if i == index => facts[i].iter().map(|f| f.1.as_str()).collect::<Vec<_>>().join(", "),
        None => match (0..RULES.len()).find(|&r| facts[i][r].0 != facts[index][r].0) {
            Some(r) => format!(
                "another series is fitter by its {} ({}; here {})",
                RULES[r].0, facts[index][r].1, facts[i][r].1
            ),
            None => "another series is as fit and has a lower number".into(),
        },
    };
    Some(Choice { index, reasons: (0..series.len()).map(why).collect() })
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
