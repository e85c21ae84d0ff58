//! A long run as a chain of stages, each ending in a file whose hash is recorded.

use crate::checkpoint::{self, file_sha256};
use crate::{Error, Result};
use pleura_volume::Progress;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A stage that was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// What was done.
    pub name: String,
    /// The file that it ends in, relative to the folder; the next stage starts from it.
    pub artefact: String,
    /// SHA-256 of that file.
    pub sha256: String,
    /// Minutes it took.
    pub minutes: f64,
}

/// The stages of a folder, recorded in `stages.json`.
pub(crate) struct Stages {
    dir: PathBuf,
    settings: String,
    done: Vec<Stage>,
}

#[derive(Serialize, Deserialize)]
struct File {
    /// The settings as JSON text: other ones make another run.
    settings: String,
    stages: Vec<Stage>,
}

impl Stages {
    /// The stages done in `dir` so far, their files compared with the hashes.
    ///
    /// # Errors
    /// [`Error::Stage`] when the folder belongs to other settings or a file is not what was recorded.
    pub fn open(dir: &Path, settings: &str) -> Result<Self> {
        let path = dir.join("stages.json");
        let refuse = |what: String| Error::Stage(format!("{}: {what}", path.display()));
        let done = match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(Error::Io { path, source }),
            Ok(text) => {
                let file: File = serde_json::from_slice(&text).map_err(|e| refuse(e.to_string()))?;
                if file.settings != settings {
                    let difference = checkpoint::difference(&file.settings, settings);
                    let what =
                        format!("it belongs to other settings ({difference}); use another output folder");
                    return Err(refuse(what));
                }
                file.stages
            }
        };
        for stage in &done {
            if file_sha256(&dir.join(&stage.artefact))? != stage.sha256 {
                return Err(refuse(format!("{} is not what stage {} ended in", stage.artefact, stage.name)));
            }
        }
        Ok(Self { dir: dir.into(), settings: settings.into(), done })
    }

    pub fn done(&self) -> &[Stage] {
        &self.done
    }

    /// Whether a stage of this name was done.
    pub fn has(&self, name: &str) -> bool {
        self.done.iter().any(|s| s.name == name)
    }

    /// Records that a stage ended in `artefact`.
    pub fn record(&mut self, name: &str, artefact: &str, since: Instant) -> Result<()> {
        let minutes = since.elapsed().as_secs_f64() / 60.0;
        let sha256 = file_sha256(&self.dir.join(artefact))?;
        self.done.push(Stage { name: name.into(), artefact: artefact.into(), sha256, minutes });
        let file = File { settings: self.settings.clone(), stages: self.done.clone() };
        let text = serde_json::to_string_pretty(&file).map_err(|e| Error::Stage(e.to_string()))?;
        checkpoint::write_whole(&self.dir.join("stages.json"), text.as_bytes())
    }

    /// Records a training that ran out of its stage's time: its checkpoint is kept under a name of its
    /// own.
    ///
    /// # Errors
    /// [`Error::Stage`] when the stage got nowhere.
    pub fn pause(&mut self, training: &str, since: Instant) -> Result<()> {
        let state = checkpoint::path(&self.dir.join(training));
        let parts = self.done.iter().filter(|s| s.name.starts_with(&format!("{training} part "))).count();
        let too_short =
            || Error::Stage(format!("{training}: a stage is too short to get anywhere; allow more minutes"));
        let now = if state.is_file() { file_sha256(&state)? } else { return Err(too_short()) };
        if self.done.last().is_some_and(|s| s.sha256 == now) {
            return Err(too_short());
        }
        let artefact = format!("stages/{training}-{:02}.safetensors", parts + 1);
        let content = std::fs::read(&state).map_err(|source| Error::Io { path: state.clone(), source })?;
        checkpoint::write_whole(&self.dir.join(&artefact), &content)?;
        self.record(&format!("{training} part {}", parts + 1), &artefact, since)
    }

    /// Puts the checkpoint of a training's last part back where it is missing, as on another machine.
    pub fn restore(&self, training: &str) -> Result<()> {
        let state = checkpoint::path(&self.dir.join(training));
        let part = self.done.iter().rev().find(|s| s.name.starts_with(&format!("{training} part ")));
        let Some(part) = part.filter(|_| !state.is_file()) else { return Ok(()) };
        let from = self.dir.join(&part.artefact);
        let content = std::fs::read(&from).map_err(|source| Error::Io { path: from, source })?;
        checkpoint::write_whole(&state, &content)
    }
}

/// Gives the work up when a time is over, or when the user does.
pub(crate) struct Until<'a> {
    pub progress: &'a dyn Progress,
    pub end: Option<Instant>,
}

impl<'a> Until<'a> {
    /// `minutes` from now; 0 for as long as it takes.
    pub fn new(progress: &'a dyn Progress, minutes: f64) -> Self {
        let end = (minutes > 0.0).then(|| Instant::now() + Duration::from_secs_f64(minutes * 60.0));
        Self { progress, end }
    }

    pub fn over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }
}

impl Progress for Until<'_> {
    fn stage(&self, name: &str, total: u64) {
        self.progress.stage(name, total);
    }

    fn done(&self, steps: u64) {
        self.progress.done(steps);
    }

    fn cancelled(&self) -> bool {
        self.progress.cancelled() || self.over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_artefact_and_other_settings_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut stages = Stages::open(dir.path(), "{}").unwrap();
        std::fs::write(dir.path().join("a.csv"), "1").unwrap();
        stages.record("a", "a.csv", Instant::now()).unwrap();
        let again = Stages::open(dir.path(), "{}").unwrap();
        assert!(again.has("a") && !again.has("b"));
        // sha256sum of "1".
        let one = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
        assert_eq!(again.done()[0].sha256, one);
        assert!(Stages::open(dir.path(), "other").is_err());
        std::fs::write(dir.path().join("a.csv"), "2").unwrap();
        assert!(Stages::open(dir.path(), "{}").err().unwrap().to_string().contains("a.csv"));
    }

    #[test]
    fn a_paused_training_goes_on_from_its_artefact() {
        let dir = tempfile::tempdir().unwrap();
        let state = checkpoint::path(&dir.path().join("detector"));
        let mut stages = Stages::open(dir.path(), "{}").unwrap();
        assert!(stages.pause("detector", Instant::now()).is_err(), "no checkpoint, no stage");
        checkpoint::write_whole(&state, b"weights").unwrap();
        stages.pause("detector", Instant::now()).unwrap();
        assert!(stages.pause("detector", Instant::now()).is_err(), "nothing was learned since");
        std::fs::remove_file(&state).unwrap();
        stages.restore("detector").unwrap();
        assert_eq!(std::fs::read(&state).unwrap(), b"weights");
    }
}
