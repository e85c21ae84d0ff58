//! Which air is lung, and which lung it is.

use crate::air::{Air, DENSER_HU};
use crate::coarse::Coarse;
use crate::turned;
use crate::{LEFT, LungOptions, RIGHT};
use pleura_volume::{
    Components, Connectivity, Mask, VoxelBox, component_boxes, connected_components,
    distance_transform_slices,
};
use rayon::prelude::*;

/// Lung is denser than outside air in at least this share of its interior; bowel gas has next to none.
const DENSER_SHARE: f64 = 0.25;
/// A piece that lies on outside air from slice to slice with more than this share of its voxels
/// is a pocket between arm, clothes and table.
const OUTSIDE_CONTACT: f64 = 0.05;
/// Pieces of at least one part in this many of the largest are lung wherever they lie; smaller
/// ones only between large ones.
const LARGE_PART: usize = 8;
/// A small piece closer to the midline than this is gas in the oesophagus or a bronchus, mm.
const OESOPHAGUS_MM: f64 = 22.0;
/// Two lungs in one piece: pieces whose middle is this far to the side of the largest, mm, hold less than this
/// share of it ...
const APART_MM: f64 = 60.0;
const SECOND_SHARE: f64 = 0.12;
/// ... and each side of the midline at least this share of the piece.
const SPLIT_SHARE: f64 = 0.2;
/// The plane of the midline cuts through one lung, not through two that touch, where it cuts more than
/// this share of their widest upright section; looked for this far on both sides, mm.
const ONE_LUNG_SHARE: f64 = 0.4;
const ABOUT_MIDLINE_MM: f64 = 20.0;
/// Depths at which a joined pair of lungs is looked at for two cores, mm.
const SPLIT_DEPTHS_MM: [f32; 8] = [1.5, 2.5, 3.5, 5.0, 7.0, 9.0, 12.0, 16.0];

/// A connected piece of inner air.
#[derive(Debug, Clone, Copy, Default)]
struct Piece {
    voxels: usize,
    sum_x: f64,
    interior: usize,
    denser: usize,
    outside_contact: usize,
}

impl Piece {
    fn add(&mut self, other: &Self) {
        self.voxels += other.voxels;
        self.sum_x += other.sum_x;
        self.interior += other.interior;
        self.denser += other.denser;
        self.outside_contact += other.outside_contact;
    }
}

/// Labels the aerated lung 1 right, 2 left on the reduced grid; all 0 when there is none. Also
/// gives the midline of the body, pixels along x.
pub(crate) fn label_lungs(coarse: &Coarse, air: &Air, airway: &Mask, options: &LungOptions) -> (Mask, f64) {
    let open = air.inner.data.par_iter().zip(&airway.data).map(|(&a, &w)| a & (1 - w)).collect();
    let parts = connected_components(&coarse.mask(open), Connectivity::Six);
    let pieces = measure(coarse, air, &parts);
    let boxes = component_boxes(&parts);
    let thin = coarse.hu.size()[2] == 1;
    let smallest = if thin { 100.0 / coarse.pixel_mm2() } else { options.piece_ml / coarse.voxel_ml() };
    let mut lungs: Vec<usize> =
        (1..pieces.len()).filter(|&i| pieces[i].voxels as f64 >= smallest && is_lung(&pieces[i])).collect();
    lungs.sort_by_key(|&i| std::cmp::Reverse(pieces[i].voxels));
    let Some(&main) = lungs.first() else {
        return (coarse.mask(vec![0; parts.labels.data.len()]), 0.0);
    };

    let mut middle = body_middle(coarse, air, &boxes[main]);
    let centre = |i: usize| pieces[i].sum_x / pieces[i].voxels as f64;
    let apart = |i: usize| (centre(i) - centre(main)).abs() * coarse.hu.geometry.spacing_mm[0] >= APART_MM;
    let is_second = |i: usize| pieces[i].voxels as f64 >= SECOND_SHARE * pieces[main].voxels as f64;
    let alone = !lungs[1..].iter().any(|&i| is_second(i) && apart(i));
    let reach = ABOUT_MIDLINE_MM / coarse.hu.geometry.spacing_mm[0];
    let joined = alone && is_two_lungs(&sections(&parts, main as u32, &boxes[main]), middle, reach);
    if alone && !joined {
        // The other one may be out of the picture: the middle of what is in it is then not the body's.
        middle = turned::middle_beside(&air.outside, &boxes[main]).unwrap_or(middle);
    }
    let mut side = vec![0u8; pieces.len()];
    let side_of = |i: usize| if centre(i) < middle { RIGHT } else { LEFT };
    let large = pieces[main].voxels / LARGE_PART;
    for &i in lungs.iter().filter(|&&i| pieces[i].voxels >= large) {
        side[i] = side_of(i);
    }
    let paint = |side: &[u8]| coarse.mask(parts.labels.data.par_iter().map(|&l| side[l as usize]).collect());
    let mut out = paint(&side);
    let beside = slice_boxes(&out);
    for &i in lungs.iter().filter(|&&i| pieces[i].voxels < large) {
        if (centre(i) - middle).abs() * coarse.hu.geometry.spacing_mm[0] < OESOPHAGUS_MM {
            continue;
        }
        let own = side_of(i);
        if beside(&boxes[i], own) || (joined && beside(&boxes[i], side[main])) {
            side[i] = own;
        }
    }
    out = paint(&side);
    if joined {
        split(&parts, main as u32, &boxes[main], middle, &mut out);
    }
    (out, middle)
}

fn is_lung(p: &Piece) -> bool {
    p.denser as f64 >= DENSER_SHARE * p.interior as f64
        && p.interior > 0
        && p.outside_contact as f64 <= OUTSIDE_CONTACT * p.voxels as f64
}

fn measure(coarse: &Coarse, air: &Air, parts: &Components) -> Vec<Piece> {
    let [nx, ny, nz] = coarse.hu.size();
    let labels = &parts.labels.data;
    let dense = (air.level_hu + DENSER_HU) as i16;
    let none = || vec![Piece::default(); parts.sizes.len()];
    let add_slice = |mut pieces: Vec<Piece>, z: usize| {
        for y in 0..ny {
            let row = (z * ny + y) * nx;
            for x in 0..nx {
                let i = row + x;
                let label = labels[i];
                if label == 0 {
                    continue;
                }
                let p = &mut pieces[label as usize];
                p.voxels += 1;
                p.sum_x += x as f64;
                let same = |j: usize| labels[j] == label;
                if x > 0
                    && y > 0
                    && x + 1 < nx
                    && y + 1 < ny
                    && same(i - 1)
                    && same(i + 1)
                    && same(i - nx)
                    && same(i + nx)
                {
                    p.interior += 1;
                    p.denser += usize::from(coarse.hu.data[i] > dense);
                }
                let outside = |j: usize| air.outside.data[j] != 0;
                p.outside_contact +=
                    usize::from((z > 0 && outside(i - nx * ny)) || (z + 1 < nz && outside(i + nx * ny)));
            }
        }
        pieces
    };
    let sum = |mut a: Vec<Piece>, b: Vec<Piece>| {
        a.iter_mut().zip(b).for_each(|(a, b)| a.add(&b));
        a
    };
    // Sums of whole numbers: the order in which the slices come does not matter.
    (0..nz).into_par_iter().with_min_len(16).fold(none, add_slice).reduce(none, sum)
}

/// Middle of the body along x over the slices of a box, pixels.
fn body_middle(coarse: &Coarse, air: &Air, b: &VoxelBox) -> f64 {
    let [nx, _, _] = coarse.hu.size();
    let slice = |z: usize| {
        // Only the depth of the lungs: the table and the arms beside it are not symmetric.
        let rows = &air.outside.slice(z)[b.min[1] * nx..b.max[1] * nx];
        let mut counted = (0usize, 0usize);
        for row in rows.chunks(nx) {
            for (x, _) in row.iter().enumerate().filter(|&(_, &o)| o == 0) {
                counted.0 += 1;
                counted.1 += x;
            }
        }
        counted
    };
    let slices = (b.min[2]..b.max[2]).into_par_iter().map(slice);
    let (n, sum) = slices.reduce(|| (0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    sum as f64 / n.max(1) as f64
}

/// Voxels of a piece in each upright section, by x.
fn sections(parts: &Components, label: u32, b: &VoxelBox) -> Vec<usize> {
    let nx = parts.labels.size()[0];
    let add_slice = |mut sections: Vec<usize>, z: usize| {
        for row in parts.labels.slice(z)[b.min[1] * nx..b.max[1] * nx].chunks(nx) {
            sections.iter_mut().zip(row).for_each(|(n, &l)| *n += usize::from(l == label));
        }
        sections
    };
    let none = || vec![0; nx];
    let add = |a: Vec<usize>, b: Vec<usize>| a.iter().zip(b).map(|(a, b)| a + b).collect();
    (b.min[2]..b.max[2]).into_par_iter().with_min_len(16).fold(none, add_slice).reduce(none, add)
}

/// Whether a piece, by its sections, is two lungs that touch: there is much of it on both sides of the
/// midline, and little right there.
fn is_two_lungs(sections: &[usize], middle: f64, reach: f64) -> bool {
    let columns = || sections.iter().enumerate();
    let right: usize = columns().filter(|&(x, _)| (x as f64) < middle).map(|(_, &n)| n).sum();
    let share = right as f64 / sections.iter().sum::<usize>().max(1) as f64;
    let near = columns().filter(|&(x, _)| (x as f64 - middle).abs() <= reach);
    let least = near.map(|(_, &n)| n).min().unwrap_or(0);
    let most = sections.iter().copied().max().unwrap_or(0);
    share.min(1.0 - share) > SPLIT_SHARE && least as f64 <= ONE_LUNG_SHARE * most as f64
}

/// Tells whether the middle of a box lies in the box of a side's large pieces within that slice:
/// so a lobe cut off by consolidation is kept, and gas in front of a posterior recess is not.
fn slice_boxes(large: &Mask) -> impl Fn(&VoxelBox, u8) -> bool + use<> {
    let [nx, _, nz] = large.size();
    let in_slice = |z: usize, side: u8| {
        let mut own: Option<VoxelBox> = None;
        for (y, row) in large.slice(z).chunks(nx).enumerate() {
            let Some(first) = row.iter().position(|&v| v == side) else { continue };
            let last = row.iter().rposition(|&v| v == side).unwrap_or(first);
            let b = own.get_or_insert(VoxelBox { min: [first, y, 0], max: [last + 1, y + 1, 1] });
            b.min[0] = b.min[0].min(first);
            b.max = [b.max[0].max(last + 1), y + 1, 1];
        }
        own
    };
    let slices = (0..nz).into_par_iter();
    let boxes: Vec<[Option<VoxelBox>; 2]> =
        slices.map(|z| [RIGHT, LEFT].map(|side| in_slice(z, side))).collect();
    move |b, side| {
        let [x, y, z] = std::array::from_fn(|a| (b.min[a] + b.max[a]) / 2);
        let of_slice = boxes.get(z).map(|pair| pair[usize::from(side == LEFT)]);
        of_slice.flatten().is_some_and(|own| own.contains([x, y, 0]))
    }
}

/// Parts two lungs that meet in front of the heart: where a few mm are peeled off, they come
/// apart into two cores, and every voxel goes to the core it is nearest to on a way through lung.
fn split(parts: &Components, label: u32, b: &VoxelBox, middle: f64, out: &mut Mask) {
    let labels = parts.labels.cropped(b);
    let lung = labels.map(|l| u8::from(l == label));
    let local_middle = middle - b.min[0] as f64;
    let nx = lung.size()[0];
    let depth = distance_transform_slices(&lung);
    let cores = SPLIT_DEPTHS_MM.iter().find_map(|&mm| two_cores(&depth.data, mm, &lung, local_middle));
    let by_plane = |i: usize| if ((i % nx) as f64) < local_middle { RIGHT } else { LEFT };
    let mut side = cores.unwrap_or_else(|| {
        (0..lung.data.len()).map(|i| if lung.data[i] != 0 { by_plane(i) } else { 0 }).collect()
    });
    spread(&mut side, &lung);
    let [width, height, slices] = lung.size();
    for z in 0..slices {
        for y in 0..height {
            let to = out.offset([b.min[0], b.min[1] + y, b.min[2] + z]);
            let from = lung.offset([0, y, z]);
            for x in 0..width {
                if lung.data[from + x] != 0 {
                    // A speck off both cores (a corner-only bridge) goes by the midline.
                    out.data[to + x] = if side[from + x] != 0 { side[from + x] } else { by_plane(from + x) };
                }
            }
        }
    }
}

/// Labels of the two largest parts deeper than `mm`, if they look like one lung each.
fn two_cores(depth: &[f32], mm: f32, lung: &Mask, middle: f64) -> Option<Vec<u8>> {
    let deep =
        Mask { geometry: lung.geometry.clone(), data: depth.iter().map(|&d| u8::from(d > mm)).collect() };
    let parts = connected_components(&deep, Connectivity::Six);
    let mut order: Vec<usize> = (1..parts.sizes.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(parts.sizes[i]));
    let (&a, &b) = (order.first()?, order.get(1)?);
    if (parts.sizes[b] as f64) < SPLIT_SHARE * parts.sizes[a] as f64 {
        return None;
    }
    let nx = lung.size()[0];
    let centre = |label: usize| {
        let of = parts.labels.data.iter().enumerate().filter(|&(_, &l)| l as usize == label);
        of.map(|(i, _)| i % nx).sum::<usize>() as f64 / parts.sizes[label].max(1) as f64
    };
    let (xa, xb) = (centre(a), centre(b));
    if (xa < middle) == (xb < middle) {
        return None;
    }
    let (right, left) = if xa < xb { (a, b) } else { (b, a) };
    let side = |&l: &u32| match l as usize {
        l if l == right => RIGHT,
        l if l == left => LEFT,
        _ => 0,
    };
    Some(parts.labels.data.iter().map(side).collect())
}

/// Lets labels spread through the lung, one voxel a round, the lower label first.
fn spread(side: &mut [u8], lung: &Mask) {
    let [nx, ny, nz] = lung.size();
    let around = |i: usize| {
        let (x, y, z) = (i % nx, i / nx % ny, i / (nx * ny));
        let all = [
            (x > 0).then(|| i - 1),
            (x + 1 < nx).then_some(i + 1),
            (y > 0).then(|| i - nx),
            (y + 1 < ny).then_some(i + nx),
            (z > 0).then(|| i - nx * ny),
            (z + 1 < nz).then_some(i + nx * ny),
        ];
        all.into_iter().flatten()
    };
    // Only the rim of a core has anywhere to spread to.
    let rim = |label: u8| {
        let at_rim = |&i: &usize| side[i] == label && around(i).any(|j| side[j] == 0 && lung.data[j] != 0);
        (0..side.len()).into_par_iter().filter(at_rim).collect::<Vec<usize>>()
    };
    let mut front = rim(RIGHT);
    front.extend(rim(LEFT));
    while !front.is_empty() {
        let mut next = Vec::new();
        for i in front {
            for j in around(i) {
                if side[j] == 0 && lung.data[j] != 0 {
                    side[j] = side[i];
                    next.push(j);
                }
            }
        }
        front = next;
    }
}
