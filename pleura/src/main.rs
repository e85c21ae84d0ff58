//! The pleura command line.
fn main() {}
