//! Networks on a graphics card, through burn's wgpu backend.

use crate::{Net, Value};
use burn::tensor::wgpu::{WgpuInitError, wgpu::DeviceType};
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};
use pleura_nets::{Feed, Forward, NetSpec, NetsError, Weights};
use std::sync::{Mutex, PoisonError};

/// Names an adapter against what burn would choose, such as `DiscreteGpu(1)`, or `Cpu` for one in software.
pub const ADAPTER: &str = "CUBECL_WGPU_DEFAULT_DEVICE";

/// A graphics card that networks can run on.
#[derive(Debug, Clone)]
pub struct Gpu {
    device: Device,
    name: String,
}

impl Gpu {
    /// The fastest adapter of this machine, or the one that [`ADAPTER`] names. Software that only plays one
    /// counts when it is named. To be called once in a process.
    ///
    /// # Errors
    /// Why there is none, in a few words.
    pub fn find() -> Result<Self, String> {
        let kind = DeviceKind::DefaultDevice;
        let (device, setup) = match Device::wgpu_options().device_kind(kind).init_with_setup() {
            Ok(found) => found,
            Err(WgpuInitError::AdapterUnavailable { .. } | WgpuInitError::UnsupportedGraphicsApi { .. }) => {
                return Err("no graphics card was found".into());
            }
            Err(e) => return Err(format!("the graphics card cannot be used: {e}")),
        };
        let info = setup.adapter.get_info();
        if info.device_type == DeviceType::Cpu && std::env::var_os(ADAPTER).is_none() {
            return Err("no graphics card was found, only software in place of one".into());
        }
        Ok(Self { device, name: info.name })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its device in burn.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A network on it, to run.
    ///
    /// # Errors
    /// As [`Net::from_weights`].
    pub fn prepare(&self, spec: &NetSpec, weights: &Weights) -> crate::Result<Box<dyn Forward>> {
        let net = Mutex::new(Net::from_weights(spec, weights, &self.device)?);
        Ok(Box::new(OnGpu { net, device: self.device.clone() }))
    }
}

struct OnGpu {
    net: Mutex<Net>,
    device: Device,
}

impl Forward for OnGpu {
    fn forward(&self, feed: Feed) -> pleura_nets::Result<Vec<pleura_nets::Tensor>> {
        let net = self.net.lock().unwrap_or_else(PoisonError::into_inner);
        let [n, d, h, w] = feed.size;
        let spec = net.spec();
        let image = TensorData::new(feed.x.to_vec(), [n, d, h, w, spec.channels]);
        let rows = feed.features.map(|f| TensorData::new(f.to_vec(), [n, spec.features]));
        let rows = rows.map(|f| Tensor::from_data(f, &self.device));
        let outputs = net.forward(Tensor::from_data(image, &self.device), rows).map_err(failed)?;
        outputs
            .iter()
            .map(|v| Ok(pleura_nets::Tensor { shape: shape(v), data: v.to_vec().map_err(failed)? }))
            .collect()
    }
}

fn shape(value: &Value) -> Vec<usize> {
    match value {
        Value::Map(t) => t.dims().to_vec(),
        Value::Flat(t) => t.dims().to_vec(),
    }
}

fn failed(e: crate::Error) -> NetsError {
    NetsError::Input(format!("on the graphics card: {e}"))
}
