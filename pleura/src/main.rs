//! `pleura`: screens chest CT scans for viral pneumonia.

mod bars;
mod cli;
mod commands;
#[cfg(feature = "gpu")]
mod device;
mod failure;
mod models;

use clap::Parser;
use std::process::ExitCode;

/// Networks ask for and give back hundreds of megabytes a pass. The system's allocator hands such
/// blocks back to the kernel each time, and clearing them anew cost a good part of a training step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    bars::stop_on_ctrl_c();
    let threads = cli.threads.map_or(0, usize::from);
    if let Err(e) = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global() {
        eprintln!("pleura: the threads could not be started: {e}");
        return ExitCode::from(failure::FAILED);
    }
    #[cfg(feature = "gpu")]
    device::choose(cli.device);
    match commands::run(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("pleura: {}", failure::sentence(&e));
            let interrupted = bars::interrupted().then_some(failure::INTERRUPTED);
            ExitCode::from(interrupted.unwrap_or_else(|| failure::exit_code(&e)))
        }
    }
}
