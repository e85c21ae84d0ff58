//! Prints the seconds that a phantom of either size takes: `cargo run -p pleura-phantom --example time_phantom`.

use pleura_phantom::{Class, Grid, RenderOptions, render};
use std::time::Instant;

fn main() {
    let detector = RenderOptions { grid: Grid::Detector { spacing_mm: 2.0 }, ..Default::default() };
    let warm = Instant::now();
    render(Class::NoInfection, 0, &detector);
    println!("first phantom of the process, 2 mm: {:.2} s", warm.elapsed().as_secs_f64());
    for (name, options) in [("2 mm", detector), ("512 x 512 x 70", RenderOptions::default())] {
        for (i, class) in Class::ALL.into_iter().cycle().take(6).enumerate() {
            let start = Instant::now();
            let p = render(class, i as u64, &options);
            let seconds = start.elapsed().as_secs_f64();
            println!("{name} {:?} {} {seconds:.2} s", p.volume.size(), class.name());
        }
    }
}
