//! Trains on phantoms for a few minutes and tells how long each stage takes:
//! `cargo run -p pleura-learn --example time_training -- OUT CASES VALIDATION STEPS [classifier STEPS]`.

use pleura_learn::{ClassifierConfig, DetectorConfig, train_classifier, train_detector};
use pleura_nets::Model;
use pleura_volume::Progress;
use std::sync::Mutex;
use std::time::Instant;

/// Prints each stage with its seconds.
struct Clock(Mutex<(String, Instant, u64)>);

impl Progress for Clock {
    fn stage(&self, name: &str, total: u64) {
        self.say();
        if let Ok(mut now) = self.0.lock() {
            *now = (format!("{name} ({total})"), Instant::now(), 0);
        }
    }
    fn done(&self, steps: u64) {
        if let Ok(mut now) = self.0.lock() {
            now.2 = steps;
        }
    }
}

impl Clock {
    fn say(&self) {
        if let Ok(now) = self.0.lock() {
            let seconds = now.1.elapsed().as_secs_f64();
            eprintln!("{}: {seconds:.1} s, at {}", now.0, now.2);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize| arguments.get(i).and_then(|a| a.parse::<u64>().ok());
    let out = std::path::PathBuf::from(arguments.first().ok_or("where to?")?);
    let (cases, validation) = (number(1).unwrap_or(12) as usize, number(2).unwrap_or(6) as usize);
    let clock = Clock(Mutex::new(("start".into(), Instant::now(), 0)));
    let detector = out.join("detector");
    if let Some(steps) = number(3).filter(|s| *s > 0) {
        let config =
            DetectorConfig { cases, validation_cases: validation, steps, ..DetectorConfig::default() };
        let summary = train_detector(&config, &detector, &clock)?;
        clock.say();
        println!("{}", serde_json::to_string_pretty(&summary)?);
    }
    if let Some(steps) = number(4).filter(|s| *s > 0) {
        let config =
            ClassifierConfig { cases, validation_cases: validation, steps, ..ClassifierConfig::default() };
        let model = Model::load(&detector.join("detector.safetensors"))?;
        let summary = train_classifier(&config, &model, &out.join("classifier"), &clock)?;
        clock.say();
        println!("{}", serde_json::to_string_pretty(&summary)?);
    }
    Ok(())
}
