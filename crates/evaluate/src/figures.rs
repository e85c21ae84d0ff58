//! Figures as SVG, each with its values as CSV beside it.

use crate::{Error, Froc, Probabilities};
use plotters::prelude::*;
use std::path::Path;

/// What a figure is called and what its axes mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure<'a> {
    /// Caption.
    pub title: &'a str,
    /// Name of the horizontal axis, and of a column.
    pub x: &'a str,
    /// Name of the vertical axis, and of a column.
    pub y: &'a str,
    /// Draws the diagonal from 0 to 1 as well.
    pub diagonal: bool,
}

/// One line of a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Name in the legend and the table.
    pub name: String,
    /// Points in order.
    pub points: Vec<(f64, f64)>,
}

/// Writes `<stem>.csv` (columns curve and the axes' names) and `<stem>.svg` beside each other.
/// Values that are not finite are left out of the figure, not of the table.
///
/// # Errors
/// [`Error::Io`] and [`Error::Figure`].
pub fn write_figure(stem: &Path, figure: Figure, lines: &[Line]) -> Result<(), Error> {
    let mut text = format!("curve,{},{}\n", figure.x, figure.y);
    for line in lines {
        for (x, y) in &line.points {
            text += &format!("{},{x},{y}\n", line.name);
        }
    }
    put(&stem.with_extension("csv"), text)?;
    let path = stem.with_extension("svg");
    let mut svg = String::new();
    draw(&mut svg, figure, lines)
        .map_err(|e| Error::Figure { path: path.display().to_string(), reason: e.to_string() })?;
    put(&path, svg)
}

fn put(path: &Path, text: String) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::Io { path: path.display().to_string(), source })
}

fn draw(svg: &mut String, figure: Figure, lines: &[Line]) -> Result<(), Box<dyn std::error::Error>> {
    let finite = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite();
    let all = || lines.iter().flat_map(|c| &c.points).filter(finite);
    let least = if figure.diagonal { 1.0 } else { 1e-6 };
    let right = all().map(|p| p.0).fold(least, f64::max);
    let top = all().map(|p| p.1).fold(least, f64::max) * 1.05;
    let bottom = all().map(|p| p.1).fold(0.0, f64::min);
    let root = SVGBackend::with_string(svg, (900, 480)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(figure.title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..right, bottom..top)?;
    chart.configure_mesh().x_desc(figure.x).y_desc(figure.y).light_line_style(WHITE).draw()?;
    if figure.diagonal {
        chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.3)))?;
    }
    for (i, c) in lines.iter().enumerate() {
        let colour = Palette99::pick(i).to_rgba();
        let points = c.points.iter().filter(finite).copied();
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(&c.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    Ok(())
}

/// Writes `<stem>-roc` and `<stem>-calibration` of some runs' probabilities, each named.
///
/// # Errors
/// Those of [`write_figure`].
pub fn write_probabilities(dir: &Path, stem: &str, runs: &[(&str, &[Probabilities])]) -> Result<(), Error> {
    let each = || runs.iter().flat_map(|(run, all)| all.iter().map(move |p| (format!("{run} {}", p.of), p)));
    let classes = || each().filter(|(_, p)| p.of != "verdict");
    let curve = |(name, p): (String, &Probabilities)| {
        let points = p.roc.false_positive_rate.iter().copied().zip(p.roc.true_positive_rate.iter().copied());
        Line { name: name.trim().to_owned(), points: points.collect() }
    };
    let roc = Figure {
        title: "ROC, each class against the others",
        x: "false positive rate",
        y: "recall",
        diagonal: true,
    };
    write_figure(&dir.join(format!("{stem}-roc")), roc, &classes().map(curve).collect::<Vec<_>>())?;
    let bins = |(name, p): (String, &Probabilities)| Line {
        name: name.trim().to_owned(),
        points: p.reliability.iter().map(|b| (b.mean, b.share)).collect(),
    };
    let calibration =
        Figure { title: "Calibration", x: "probability told", y: "share of cases", diagonal: true };
    write_figure(&dir.join(format!("{stem}-calibration")), calibration, &each().map(bins).collect::<Vec<_>>())
}

/// Writes `<stem>` of the free-response curves, each named.
///
/// # Errors
/// Those of [`write_figure`].
pub fn write_froc(stem: &Path, curves: &[(&str, &Froc)]) -> Result<(), Error> {
    let line = |(name, f): &(&str, &Froc)| Line { name: (*name).to_owned(), points: f.points.clone() };
    let figure =
        Figure { title: "Free-response ROC", x: "false regions a scan", y: "recall", diagonal: false };
    write_figure(stem, figure, &curves.iter().map(line).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_its_values_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let line = Line { name: "loss".into(), points: vec![(0.0, 2.0), (10.0, f64::NAN), (20.0, 0.5)] };
        let figure = Figure { title: "Training", x: "step", y: "value", diagonal: false };
        write_figure(&dir.path().join("training"), figure, &[line]).unwrap();
        let csv = std::fs::read_to_string(dir.path().join("training.csv")).unwrap();
        assert_eq!(csv, "curve,step,value\nloss,0,2\nloss,10,NaN\nloss,20,0.5\n");
        let svg = std::fs::read_to_string(dir.path().join("training.svg")).unwrap();
        assert!(svg.contains("<polyline") && svg.contains("loss"));
    }
}
