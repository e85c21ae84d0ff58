//! Training curves as CSV and SVG.

use crate::Error;
use plotters::prelude::*;
use std::path::Path;

/// One line of a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Name in the legend and the CSV header.
    pub name: String,
    /// (step, value) in order of step.
    pub points: Vec<(u64, f64)>,
}

/// Writes `<stem>.csv` (columns curve, step, value) and `<stem>.svg` beside each other.
/// Values that are not finite are left out of the figure, not of the table.
pub fn write_curves(stem: &Path, title: &str, curves: &[Curve]) -> Result<(), Error> {
    write_csv(&stem.with_extension("csv"), curves)?;
    let path = stem.with_extension("svg");
    let mut svg = String::new();
    draw(&mut svg, title, curves)
        .map_err(|e| Error::Figure { path: path.display().to_string(), reason: e.to_string() })?;
    std::fs::write(&path, svg).map_err(|source| Error::Io { path: path.display().to_string(), source })
}

fn write_csv(path: &Path, curves: &[Curve]) -> Result<(), Error> {
    let mut text = String::from("curve,step,value\n");
    for c in curves {
        for (step, value) in &c.points {
            text += &format!("{},{step},{value}\n", c.name);
        }
    }
    std::fs::write(path, text).map_err(|source| Error::Io { path: path.display().to_string(), source })
}

fn draw(svg: &mut String, title: &str, curves: &[Curve]) -> Result<(), Box<dyn std::error::Error>> {
    let finite = || curves.iter().flat_map(|c| &c.points).filter(|p| p.1.is_finite());
    let steps = finite().map(|p| p.0).max().unwrap_or(1).max(1);
    let top = finite().map(|p| p.1).fold(0.0, f64::max).max(1e-6) * 1.05;
    let bottom = finite().map(|p| p.1).fold(0.0, f64::min);
    let root = SVGBackend::with_string(svg, (900, 480)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0..steps, bottom..top)?;
    chart.configure_mesh().x_desc("step").light_line_style(WHITE).draw()?;
    for (i, c) in curves.iter().enumerate() {
        let colour = Palette99::pick(i).to_rgba();
        let points = c.points.iter().filter(|p| p.1.is_finite()).copied();
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(&c.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    root.present()?;
    drop(chart);
    drop(root);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_written_as_a_table_and_a_figure() {
        let dir = tempfile::tempdir().unwrap();
        let curve = Curve { name: "loss".into(), points: vec![(0, 2.0), (10, f64::NAN), (20, 0.5)] };
        write_curves(&dir.path().join("training"), "Training", &[curve]).unwrap();
        let csv = std::fs::read_to_string(dir.path().join("training.csv")).unwrap();
        assert_eq!(csv.lines().collect::<Vec<_>>()[1..], ["loss,0,2", "loss,10,NaN", "loss,20,0.5"]);
        let svg = std::fs::read_to_string(dir.path().join("training.svg")).unwrap();
        assert!(svg.contains("<polyline") && svg.contains("loss"));
    }
}
