//! From errors to exit codes and sentences.

use anyhow::Error;

/// Done, whatever the verdict.
pub const DONE: u8 = 0;
/// Any failure that is neither wrong usage nor a refused input.
pub const FAILED: u8 = 1;
/// Wrong usage; clap uses the same.
pub const USAGE: u8 = 2;
/// Input refused.
pub const REFUSED: u8 = 3;

/// Stopped by Ctrl-C: 128 and the signal's number, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// What was typed cannot be meant.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The exit code of an error, from the first cause that has one.
pub fn exit_code(error: &Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<Usage>() {
            return USAGE;
        }
        if let Some(e) = cause.downcast_ref::<pleura_formats::Error>() {
            return match e {
                pleura_formats::Error::Io { source, .. } if source.kind() != std::io::ErrorKind::NotFound => {
                    FAILED
                }
                _ => REFUSED,
            };
        }
        if let Some(pleura_screen::Error::TooFewSlices { .. } | pleura_screen::Error::TooLarge { .. }) =
            cause.downcast_ref()
        {
            return REFUSED;
        }
    }
    FAILED
}

/// The error and its causes as one line; a cause that the line before already tells is left out.
pub fn sentence(error: &Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}
