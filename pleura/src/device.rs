//! Where the networks run and learn.

use crate::cli::Device;
use anyhow::Result;
use pleura_nets::Model;
use pleura_nets_burn::gpu::Gpu;
use pleura_screen::Models;
use std::sync::OnceLock;

static GPU: OnceLock<Gpu> = OnceLock::new();

/// Follows the user's choice. Without a graphics card everything runs on the CPU, and a line says so.
pub fn choose(device: Device) {
    if device == Device::Cpu {
        return;
    }
    match Gpu::find() {
        Ok(gpu) => {
            pleura_nets_burn::train_on(gpu.device());
            GPU.get_or_init(|| gpu);
        }
        Err(why) => eprintln!("pleura: {why}: running on the CPU"),
    }
}

/// The two networks, ready to run where the user wants them.
pub fn models(detector: Model, classifier: Model) -> Result<Models> {
    let Some(gpu) = GPU.get() else { return Ok(Models::new(detector, classifier)?) };
    let prepare = |m: &Model| gpu.prepare(&m.manifest.spec, &m.weights);
    let (proposing, calling) = (prepare(&detector)?, prepare(&classifier)?);
    let mut models = Models::new(detector, classifier)?;
    models.detector.executor.run_on(proposing);
    models.classifier.executor.run_on(calling);
    Ok(models)
}
