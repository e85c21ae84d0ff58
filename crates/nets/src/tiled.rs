//! Runs a network over a volume in tiles, so that memory does not grow with the volume.

use crate::exec::{Feed, Workspace};
use crate::{Executor, NetsError, Result, Shape, Tensor};
use pleura_volume::{Cancelled, Progress};

/// How a volume is cut into tiles; sizes are depth, height, width in voxels of the input.
///
/// A tile is computed with `halo` voxels more on each side and only its inner part is kept. Where
/// the halo is at least the network's reach (the radius of its receptive field) the result is the
/// same as that of one run over the whole volume. A V-Net of four levels reaches some 80 voxels,
/// so with a smaller halo values near seams differ: what lies beyond the halo is seen as the zeros
/// that also lie beyond the volume. Measured with first weights (`examples/halo.rs`), the largest
/// difference of any output in standard deviations: 0.2 at a halo of 16 voxels, 0.07 at 24, 0.01 at
/// 32, 0.0002 at 48; the mean is some thirty times smaller. The built-in detector differs by 0.012 at
/// 32 on blobs and noise; a test keeps that below 0.03. A tile as large as the volume is one run, and
/// exact: see [`Executor::fitting_tile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// Size of the part that is kept of each tile; rounded up to the network's total stride.
    pub tile: [usize; 3],
    /// Voxels seen beyond it on each side; rounded up likewise.
    pub halo: [usize; 3],
}

/// An output of a volume, and where it is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its name.
    pub output: &'a str,
    /// Cells of the volume `[d, h, w]`, those wanted not 0; `None` for all. Tiles that keep none of them are
    /// computed without the layers that only this output needs.
    pub mask: Option<&'a [u8]>,
}

impl<'a> Wanted<'a> {
    /// Outputs wanted in every cell.
    pub fn everywhere<S: AsRef<str>>(outputs: &'a [S]) -> Vec<Self> {
        outputs.iter().map(|o| Self { output: o.as_ref(), mask: None }).collect()
    }

    /// Whether a tile keeps a cell where it is wanted.
    fn in_tile(&self, [_, sh, sw]: [usize; 3], kept: [[usize; 2]; 3]) -> bool {
        let Some(mask) = self.mask else { return true };
        let rows = |z: usize| (kept[1][0]..kept[1][1]).map(move |y| (z * sh + y) * sw);
        let mut starts = (kept[0][0]..kept[0][1]).flat_map(rows);
        starts.any(|start| mask[start + kept[2][0]..start + kept[2][1]].iter().any(|&m| m != 0))
    }
}

/// One axis of a volume cut into parts: `(seen from, seen to, kept from, kept to)`.
fn cuts(size: usize, tile: usize, halo: usize) -> Vec<[usize; 4]> {
    (0..size)
        .step_by(tile)
        .map(|from| {
            let to = (from + tile).min(size);
            [from.saturating_sub(halo), (to + halo).min(size), from, to]
        })
        .collect()
}

impl Executor {
    /// The outputs `wanted` for a volume `x` of one channel and `size` depth, height, width, in their order, as
    /// `[1, ceil(d / s), ceil(h / s), ceil(w / s), c]`, s being each output's stride. In tiles where an output is
    /// not wanted it is minus infinity: as a logit, a probability of 0.
    ///
    /// The volume is padded with zeros to a multiple of the network's total stride.
    ///
    /// # Errors
    /// [`NetsError::Input`] when lengths do not match, for a name that is no output, or when the network is not
    /// one that maps a volume to maps; [`NetsError::Cancelled`] when `progress` says so between two tiles.
    pub fn run_tiled(
        &self,
        x: &[f32],
        size: [usize; 3],
        tiling: Tiling,
        wanted: &[Wanted],
        progress: &dyn Progress,
    ) -> Result<Vec<Tensor>> {
        let total = self.spec.total_stride()?;
        if self.spec.channels != 1
            || self.spec.features != 0
            || x.len() != size.iter().product::<usize>()
            || x.is_empty()
            || wanted.iter().any(|w| w.mask.is_some_and(|m| m.len() != x.len()))
        {
            let what = format!("{} values for a volume of {size:?} voxels of one channel", x.len());
            return Err(NetsError::Input(what));
        }
        let up = |v: usize, a: usize| v.div_ceil(total[a]) * total[a];
        let axis = |a: usize| cuts(up(size[a], a), up(tiling.tile[a].max(1), a), up(tiling.halo[a], a));
        let (zs, ys, xs) = (axis(0), axis(1), axis(2));
        let names: Vec<&str> = wanted.iter().map(|w| w.output).collect();
        let mut stitched = self.stitches(size, &self.selected(&names)?)?;
        let mut space = Workspace::default();
        progress.stage("network", (zs.len() * ys.len() * xs.len()) as u64);
        let mut done = 0;
        for z in &zs {
            for y in &ys {
                for x_cut in &xs {
                    if progress.cancelled() {
                        return Err(Cancelled.into());
                    }
                    let cut = [*z, *y, *x_cut];
                    let kept = std::array::from_fn(|a| [cut[a][2].min(size[a]), cut[a][3].min(size[a])]);
                    let here: Vec<bool> = wanted.iter().map(|w| w.in_tile(size, kept)).collect();
                    let names: Vec<&str> = names.iter().zip(&here).filter(|n| *n.1).map(|n| *n.0).collect();
                    let part = crop(x, size, cut);
                    let [d, h, w] = cut.map(|c| c[1] - c[0]);
                    let feed = Feed { x: &part, size: [1, d, h, w], features: None };
                    let results = self.run_in(feed, &names, &mut space)?;
                    let stitches = stitched.iter_mut().zip(&here).filter(|s| *s.1);
                    for ((stitch, _), result) in stitches.zip(&results) {
                        stitch.put(result, cut)?;
                    }
                    done += 1;
                    progress.done(done);
                }
            }
        }
        Ok(stitched.into_iter().map(|s| s.whole).collect())
    }

    /// The largest cubic tile, at most the volume itself, with which [`Executor::run_tiled`] stays
    /// below `bytes` of buffers, what the layers work in not counted; at least one total stride.
    ///
    /// # Errors
    /// [`NetsError::Graph`] when the network maps no volume to maps.
    pub fn fitting_tile(&self, size: [usize; 3], halo: [usize; 3], bytes: usize) -> Result<Tiling> {
        let total = self.spec.total_stride()?;
        let up = |v: usize, a: usize| v.div_ceil(total[a]) * total[a];
        let longest = (0..3).map(|a| size[a].div_ceil(total[a])).max().unwrap_or(1).max(1);
        for steps in (1..=longest).rev() {
            let tile: [usize; 3] = std::array::from_fn(|a| (steps * total[a]).min(up(size[a].max(1), a)));
            let seen = |a: usize| (tile[a] + 2 * up(halo[a], a)).min(up(size[a].max(1), a));
            if steps == 1 || self.buffer_bytes([1, seen(0), seen(1), seen(2)])? <= bytes {
                return Ok(Tiling { tile, halo });
            }
        }
        Ok(Tiling { tile: total, halo })
    }

    /// Outputs (places of layers) for a volume of `size`, yet to be filled.
    fn stitches(&self, size: [usize; 3], outputs: &[usize]) -> Result<Vec<Stitch>> {
        let total = self.spec.total_stride()?;
        let strides = self.spec.strides()?;
        let shapes = self.spec.shapes(total)?;
        let one = |&place: &usize| match (strides[place], shapes[place]) {
            (Some(stride), Shape::Map { channels, size: least })
                if (0..3).all(|a| least[a] * stride[a] == total[a]) =>
            {
                let [d, h, w]: [usize; 3] = std::array::from_fn(|a| size[a].div_ceil(stride[a]));
                Ok(Stitch { stride, whole: Tensor::filled(vec![1, d, h, w, channels], f32::NEG_INFINITY) })
            }
            _ => Err(NetsError::Input(format!(
                "outputs of network `{}` are not maps to stitch",
                self.spec.name
            ))),
        };
        outputs.iter().map(one).collect()
    }
}

/// The seen part of the volume, zeros where it reaches beyond.
fn crop(x: &[f32], [sd, sh, sw]: [usize; 3], [z, y, w]: [[usize; 4]; 3]) -> Vec<f32> {
    let (height, width) = (y[1] - y[0], w[1] - w[0]);
    let mut part = vec![0.0; (z[1] - z[0]) * height * width];
    let inside = w[1].min(sw).saturating_sub(w[0]);
    for iz in z[0]..z[1].min(sd) {
        for iy in y[0]..y[1].min(sh) {
            let from = (iz * sh + iy) * sw + w[0];
            let to = ((iz - z[0]) * height + iy - y[0]) * width;
            part[to..to + inside].copy_from_slice(&x[from..from + inside]);
        }
    }
    part
}

/// An output of the whole volume, filled tile by tile.
struct Stitch {
    stride: [usize; 3],
    whole: Tensor,
}

impl Stitch {
    fn put(&mut self, tile: &Tensor, cut: [[usize; 4]; 3]) -> Result<()> {
        let (&[_, d, h, w, c], &[_, td, th, tw, tc]) = (&self.whole.shape[..], &tile.shape[..]) else {
            return Err(NetsError::Input("a tile's result is no map".into()));
        };
        let seen: [usize; 3] = std::array::from_fn(|a| (cut[a][1] - cut[a][0]) / self.stride[a]);
        if [td, th, tw] != seen || tc != c {
            return Err(NetsError::Input(format!("a tile's result has size {:?}", tile.shape)));
        }
        // Cells kept, in the whole and in the tile.
        let kept = |a: usize, whole: usize| {
            let s = self.stride[a];
            (cut[a][2] / s, (cut[a][3] / s).min(whole), cut[a][0] / s)
        };
        let ((z0, z1, oz), (y0, y1, oy), (x0, x1, ox)) = (kept(0, d), kept(1, h), kept(2, w));
        let run = x1.saturating_sub(x0) * c;
        for z in z0..z1 {
            for y in y0..y1 {
                let to = ((z * h + y) * w + x0) * c;
                let from = (((z - oz) * th + y - oy) * tw + x0 - ox) * c;
                self.whole.data[to..to + run].copy_from_slice(&tile.data[from..from + run]);
            }
        }
        Ok(())
    }
}
