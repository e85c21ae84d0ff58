//! One number for everything that a phantom holds.

use pleura_phantom::Phantom;

/// FNV-1a over voxels, masks and the truth beside them.
pub fn fingerprint(p: &Phantom) -> u64 {
    let voxels = p.volume.data.iter().flat_map(|v| v.to_le_bytes());
    let masks = p.infection.data.iter().chain(&p.lungs.data).copied();
    let rest = format!("{:?} {:?} {:?} {:?}", p.volume.geometry, p.regions, p.irrelevant, p.latents);
    let bytes = voxels.chain(masks).chain(rest.bytes());
    bytes.fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3))
}
