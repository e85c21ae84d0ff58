//! Writing NIfTI-1 on the input's own grid: same bytes for the same voxels, on any thread count.

use super::affine;
use crate::atomic::write_whole;
use crate::{Error, InputFrame, Result};
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use pleura_volume::{Geometry, Mask, Volume};
use rayon::prelude::*;
use std::io::Write;
use std::path::Path;

/// Writes HU as 16-bit integers. With a `frame` the voxels are put back on the file's own grid
/// first; `volume` must then have the frame's oriented size. A name that ends in `.gz` is
/// gzipped. The file appears whole or not at all.
///
/// # Errors
/// [`Error::Io`]; [`Error::Refused`] when the sizes disagree or exceed what NIfTI-1 can say.
pub fn write_nifti_i16(path: &Path, volume: &Volume<i16>, frame: Option<&InputFrame>) -> Result<()> {
    write(path, volume, frame, 4, |values| values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// Writes labels as 8-bit unsigned integers; otherwise as [`write_nifti_i16`].
///
/// # Errors
/// As [`write_nifti_i16`].
pub fn write_nifti_u8(path: &Path, mask: &Mask, frame: Option<&InputFrame>) -> Result<()> {
    write(path, mask, frame, 2, <[u8]>::to_vec)
}

fn write<T: Copy + Send + Sync>(
    path: &Path,
    volume: &Volume<T>,
    frame: Option<&InputFrame>,
    code: i16,
    to_bytes: impl Fn(&[T]) -> Vec<u8>,
) -> Result<()> {
    let refuse = |reason: &str| Error::Refused { path: path.to_owned(), reason: reason.into() };
    if frame.is_some_and(|f| f.oriented().size != volume.size()) || volume.data.len() != volume.geometry.len()
    {
        return Err(refuse("The volume to write does not have the size of the input's grid."));
    }
    let restored = frame.map(|f| f.restore(volume));
    let volume = restored.as_ref().unwrap_or(volume);
    if volume.size().iter().any(|&n| n > 32767) {
        return Err(refuse("NIfTI-1 cannot hold more than 32767 voxels along one axis."));
    }
    let mut bytes = header(&volume.geometry, code, size_of::<T>());
    bytes.extend(to_bytes(&volume.data));
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let gzip = name.ends_with(".gz");
    write_whole(path, |out| if gzip { gzip_to(&bytes, out) } else { out.write_all(&bytes) })
}

/// 348 bytes of header and 4 that say "no extension".
fn header(g: &Geometry, code: i16, bytes_per_voxel: usize) -> Vec<u8> {
    let mut h = vec![0_u8; 352];
    let mut put = |at: usize, b: &[u8]| h[at..at + b.len()].copy_from_slice(b);
    put(0, &348_i32.to_le_bytes());
    put(38, b"r");
    let dim = [3, g.size[0] as i16, g.size[1] as i16, g.size[2] as i16, 1, 1, 1, 1];
    for (i, d) in dim.iter().enumerate() {
        put(40 + 2 * i, &d.to_le_bytes());
    }
    put(70, &code.to_le_bytes());
    put(72, &(8 * bytes_per_voxel as i16).to_le_bytes());
    let ([b, c, d], mirror) = affine::quaternion(g);
    let pixdim = [mirror, g.spacing_mm[0], g.spacing_mm[1], g.spacing_mm[2]];
    for (i, p) in pixdim.iter().enumerate() {
        put(76 + 4 * i, &(*p as f32).to_le_bytes());
    }
    put(108, &352_f32.to_le_bytes());
    put(112, &1_f32.to_le_bytes());
    put(123, &[2]); // millimetres
    put(252, &1_i16.to_le_bytes());
    put(254, &1_i16.to_le_bytes());
    let m = g.affine();
    let ras = |row: usize, col: usize| if row < 2 { -m[row][col] } else { m[row][col] };
    for (i, v) in [b, c, d, ras(0, 3), ras(1, 3), ras(2, 3)].iter().enumerate() {
        put(256 + 4 * i, &(*v as f32).to_le_bytes());
    }
    for row in 0..3 {
        for col in 0..4 {
            // Adding zero turns a negative zero into a plain one.
            put(280 + 16 * row + 4 * col, &(ras(row, col) as f32 + 0.0).to_le_bytes());
        }
    }
    put(344, b"n+1\0");
    h
}

/// Bytes that are compressed independently of each other, so that it can be done in parallel.
const BLOCK: usize = 1 << 20;

/// One gzip member without name or time: blocks of deflate that each end on a byte boundary.
fn gzip_to(bytes: &[u8], out: &mut impl Write) -> std::io::Result<()> {
    let blocks = bytes.len().div_ceil(BLOCK).max(1);
    let packed: Vec<(Vec<u8>, Crc)> = (0..blocks)
        .into_par_iter()
        .map(|i| {
            let part = &bytes[i * BLOCK..bytes.len().min((i + 1) * BLOCK)];
            let mut crc = Crc::new();
            crc.update(part);
            deflate(part, i + 1 == blocks).map(|packed| (packed, crc))
        })
        .collect::<std::io::Result<_>>()?;
    out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])?;
    let mut whole = Crc::new();
    for (part, crc) in &packed {
        out.write_all(part)?;
        whole.combine(crc);
    }
    out.write_all(&whole.sum().to_le_bytes())?;
    out.write_all(&(bytes.len() as u32).to_le_bytes())
}

fn deflate(part: &[u8], last: bool) -> std::io::Result<Vec<u8>> {
    let mut packer = Compress::new(Compression::new(1), false);
    let flush = if last { FlushCompress::Finish } else { FlushCompress::Sync };
    // Room for what does not compress: a flush that is cut for want of room loses its byte boundary.
    let mut out = Vec::with_capacity(part.len() + part.len() / 32 + 4096);
    loop {
        let done = packer.total_in() as usize;
        let status = packer.compress_vec(&part[done..], &mut out, flush).map_err(std::io::Error::other)?;
        let all_in = packer.total_in() as usize == part.len();
        // A flush is over when output space is left; the end of the stream is told.
        if status == Status::StreamEnd || (!last && all_in && out.len() < out.capacity()) {
            out.shrink_to_fit();
            return Ok(out);
        }
        out.reserve(part.len() / 4 + 64);
    }
}
