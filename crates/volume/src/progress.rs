//! How long work tells how far it is, and is told to stop.

/// Takes the progress of long work. Libraries never draw bars themselves.
pub trait Progress: Sync {
    /// A stage has begun; `total` steps, 0 when unknown.
    fn stage(&self, _name: &str, _total: u64) {}
    /// Steps of the current stage done so far.
    fn done(&self, _steps: u64) {}
    /// True when the work is to be given up at the next convenient point.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Shows nothing, never cancels.
pub struct NoProgress;

impl Progress for NoProgress {}

/// The work was given up because [`Progress::cancelled`] said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;
