//! Progress bars on standard error, only on a terminal.

use crate::failure::INTERRUPTED;
use indicatif::{ProgressBar, ProgressStyle};
use pleura_volume::Progress;
use std::sync::atomic::{AtomicBool, Ordering};

static CANCELLED: AtomicBool = AtomicBool::new(false);

/// From here on Ctrl-C asks running work to stop; a second Ctrl-C ends the program at once.
pub fn stop_on_ctrl_c() {
    // Without a handler Ctrl-C ends the program, which is a fair second best.
    let _ = ctrlc::set_handler(|| {
        if CANCELLED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
}

/// Whether Ctrl-C was pressed.
pub fn interrupted() -> bool {
    CANCELLED.load(Ordering::SeqCst)
}

/// One bar that follows the stages of a piece of work.
pub struct Bar {
    bar: ProgressBar,
    prefix: String,
}

impl Bar {
    /// A bar for the work named `prefix`; draws nothing when standard error is no terminal.
    pub fn new(prefix: &str) -> Self {
        let bar = ProgressBar::new(0);
        bar.set_style(style(0));
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        Self { bar, prefix: prefix.to_owned() }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(total: u64) -> ProgressStyle {
    let template = if total == 0 {
        "{spinner} {msg}"
    } else {
        "{spinner} {msg:40} {wide_bar} {pos}/{len} {elapsed_precise} left {eta_precise}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Bar {
    fn stage(&self, name: &str, total: u64) {
        self.bar.reset();
        self.bar.set_style(style(total));
        self.bar.set_length(total);
        let message =
            if self.prefix.is_empty() { name.to_owned() } else { format!("{}: {name}", self.prefix) };
        self.bar.set_message(message);
    }

    fn done(&self, steps: u64) {
        self.bar.set_position(steps);
    }

    fn cancelled(&self) -> bool {
        interrupted()
    }
}
