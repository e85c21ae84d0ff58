//! Connected components of runs: stretches of equal voxels along x, joined row by row.

use rayon::prelude::*;

/// Voxels `start..end` of one row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub start: u32,
    pub end: u32,
}

/// Which neighbours belong together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neighbours {
    /// Also those that share only an edge or a corner.
    pub diagonal: bool,
    /// Also those in the next axial slices.
    pub across_slices: bool,
}

/// The runs of a volume in storage order, and the component of each, 1.. in order of first voxel.
pub(crate) struct RunComponents {
    runs: Vec<Run>,
    /// First run of each row, and the number of runs at the end.
    row_first: Vec<usize>,
    /// Component of each run.
    labels: Vec<u32>,
    /// Number of components.
    pub count: usize,
}

/// Slices joined by one task. A constant, so that the work does not depend on the thread count.
const SLAB: usize = 16;

impl RunComponents {
    /// Labels the voxels of `data` (`size` = `[x, y, z]`) for which `inside` holds.
    pub fn new(
        data: &[u8],
        size: [usize; 3],
        neighbours: Neighbours,
        inside: impl Fn(u8) -> bool + Sync,
    ) -> Self {
        let [nx, ny, nz] = size;
        if data.is_empty() {
            return Self { runs: Vec::new(), row_first: vec![0; ny * nz + 1], labels: Vec::new(), count: 0 };
        }
        let slabs: Vec<_> =
            data.par_chunks(nx * ny * SLAB).map(|slab| find_runs(slab, nx, &inside)).collect();
        let mut runs = Vec::with_capacity(slabs.iter().map(|(runs, _)| runs.len()).sum());
        let mut row_first = Vec::with_capacity(ny * nz + 1);
        for (slab_runs, firsts) in &slabs {
            row_first.extend(firsts.iter().map(|&first| runs.len() + first));
            runs.extend_from_slice(slab_runs);
        }
        row_first.push(runs.len());
        let joiner = Joiner { runs: &runs, row_first: &row_first, ny, neighbours };
        let parents = joiner.join_all(nz);

        // A parent never comes after its child, so it has its label already.
        let (mut labels, mut count) = (Vec::with_capacity(runs.len()), 0);
        for (run, &parent) in parents.iter().enumerate() {
            if parent as usize == run {
                count += 1;
                labels.push(count);
            } else {
                labels.push(labels[parent as usize]);
            }
        }
        Self { runs, row_first, labels, count: count as usize }
    }

    /// The runs of one row (row = z * ny + y) with their components.
    pub fn row(&self, row: usize) -> impl Iterator<Item = (Run, u32)> {
        let span = self.row_first[row]..self.row_first[row + 1];
        self.runs[span.clone()].iter().copied().zip(self.labels[span].iter().copied())
    }

    /// All runs with their components.
    pub fn all(&self) -> impl Iterator<Item = (Run, u32)> {
        self.runs.iter().copied().zip(self.labels.iter().copied())
    }
}

/// The runs of some rows, and the first run of each row.
fn find_runs(rows: &[u8], nx: usize, inside: &impl Fn(u8) -> bool) -> (Vec<Run>, Vec<usize>) {
    let (mut runs, mut firsts) = (Vec::new(), Vec::with_capacity(rows.len() / nx));
    for row in rows.chunks(nx) {
        firsts.push(runs.len());
        let mut x = 0;
        while let Some(skip) = row[x..].iter().position(|&v| inside(v)) {
            let start = x + skip;
            x = row[start..].iter().position(|&v| !inside(v)).map_or(nx, |n| start + n);
            runs.push(Run { start: start as u32, end: x as u32 });
        }
    }
    (runs, firsts)
}

/// Union-find over the runs `base..`; the root of a set is its first run.
struct Forest<'a> {
    parents: &'a mut [u32],
    base: usize,
}

impl Forest<'_> {
    fn root(&mut self, mut run: usize) -> usize {
        loop {
            let parent = self.parents[run - self.base] as usize;
            if parent == run {
                return run;
            }
            let grandparent = self.parents[parent - self.base];
            self.parents[run - self.base] = grandparent;
            run = grandparent as usize;
        }
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b) - self.base] = a.min(b) as u32;
    }
}

struct Joiner<'a> {
    runs: &'a [Run],
    row_first: &'a [usize],
    ny: usize,
    neighbours: Neighbours,
}

impl Joiner<'_> {
    /// The parent of every run: slabs first, each on its own, then across the slabs' faces.
    fn join_all(&self, nz: usize) -> Vec<u32> {
        let mut parents: Vec<u32> = (0..self.runs.len() as u32).collect();
        let (mut forests, mut rest) = (Vec::new(), &mut parents[..]);
        for z in (0..nz).step_by(SLAB) {
            let base = self.row_first[z * self.ny];
            let end = self.row_first[(z + SLAB).min(nz) * self.ny];
            let (parents, after) = rest.split_at_mut(end - base);
            forests.push((z, Forest { parents, base }));
            rest = after;
        }
        forests.into_par_iter().for_each(|(first, mut forest)| {
            for z in first..(first + SLAB).min(nz) {
                self.join_slice(z, &mut forest);
                if z > first {
                    self.join_to_slice_before(z, &mut forest);
                }
            }
        });
        let mut forest = Forest { parents: &mut parents, base: 0 };
        for z in (SLAB..nz).step_by(SLAB) {
            self.join_to_slice_before(z, &mut forest);
        }
        parents
    }

    fn join_slice(&self, z: usize, forest: &mut Forest) {
        for row in z * self.ny + 1..(z + 1) * self.ny {
            self.join_rows(row, row - 1, forest);
        }
    }

    fn join_to_slice_before(&self, z: usize, forest: &mut Forest) {
        if !self.neighbours.across_slices {
            return;
        }
        let reach = usize::from(self.neighbours.diagonal);
        for y in 0..self.ny {
            for other in y.saturating_sub(reach)..(y + reach + 1).min(self.ny) {
                self.join_rows(z * self.ny + y, (z - 1) * self.ny + other, forest);
            }
        }
    }

    /// Joins the touching runs of two neighbouring rows.
    fn join_rows(&self, a: usize, b: usize, forest: &mut Forest) {
        let slack = u32::from(self.neighbours.diagonal);
        let (mut i, mut j) = (self.row_first[a], self.row_first[b]);
        let (i_end, j_end) = (self.row_first[a + 1], self.row_first[b + 1]);
        while i < i_end && j < j_end {
            let (p, q) = (self.runs[i], self.runs[j]);
            if p.start < q.end + slack && q.start < p.end + slack {
                forest.join(i, j);
            }
            // Runs of a row have a gap between them: the one that ends first touches nothing more.
            if p.end < q.end {
                i += 1;
            } else {
                j += 1;
            }
        }
    }
}
