//! Thick lines: vessels, airways, bones.

use crate::rng::dot;

/// A thick line from `p` to `q`, mm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tube {
    pub p: [f32; 3],
    pub q: [f32; 3],
    pub r: f32,
}

impl Tube {
    pub fn new(p: [f32; 3], q: [f32; 3], r: f32) -> Self {
        Self { p, q, r }
    }

    /// Distance from the tube's surface, mm.
    pub fn distance(&self, x: [f32; 3]) -> f32 {
        let d: [f32; 3] = std::array::from_fn(|i| self.q[i] - self.p[i]);
        let v: [f32; 3] = std::array::from_fn(|i| x[i] - self.p[i]);
        let t = (dot(v, d) / dot(d, d).max(1e-6)).clamp(0.0, 1.0);
        let w: [f32; 3] = std::array::from_fn(|i| v[i] - t * d[i]);
        dot(w, w).sqrt() - self.r
    }
}

/// Tubes side by side, for the distance from the nearest of many.
#[derive(Debug, Clone)]
pub(crate) struct Bundle {
    fours: Vec<Four>,
}

/// Four tubes: start, axis, squared length and radius of each.
#[derive(Debug, Clone, Copy, Default)]
struct Four {
    p: [[f32; 4]; 3],
    d: [[f32; 4]; 3],
    length2: [f32; 4],
    r: [f32; 4],
}

impl Bundle {
    /// The tubes of a slice, the last four filled up with the last tube.
    pub fn new(tubes: &[Tube]) -> Self {
        let four = |tubes: &[Tube]| {
            let mut out = Four::default();
            for k in 0..4 {
                let t = &tubes[k.min(tubes.len() - 1)];
                let d: [f32; 3] = std::array::from_fn(|i| t.q[i] - t.p[i]);
                out.p.iter_mut().zip(t.p).for_each(|(lanes, v)| lanes[k] = v);
                out.d.iter_mut().zip(d).for_each(|(lanes, v)| lanes[k] = v);
                (out.length2[k], out.r[k]) = (dot(d, d).max(1e-6), t.r);
            }
            out
        };
        Self { fours: tubes.chunks(4).map(four).collect() }
    }

    /// Distance from the nearest tube's surface, at most `most`, mm: what [`Tube::distance`] gives, bit
    /// for bit.
    pub fn distance(&self, x: [f32; 3], most: f32) -> f32 {
        let mut out = [most; 4];
        for Four { p, d, length2, r } in &self.fours {
            for k in 0..4 {
                let v = [x[0] - p[0][k], x[1] - p[1][k], x[2] - p[2][k]];
                let d = [d[0][k], d[1][k], d[2][k]];
                let t = (dot(v, d) / length2[k]).clamp(0.0, 1.0);
                let w = [v[0] - t * d[0], v[1] - t * d[1], v[2] - t * d[2]];
                out[k] = out[k].min(dot(w, w).sqrt() - r[k]);
            }
        }
        out[0].min(out[1]).min(out[2].min(out[3]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn distances_are_those_of_the_capsule() {
        let t = Tube::new([0.0, 0.0, 0.0], [10.0, 0.0, 0.0], 2.0);
        assert_eq!(t.distance([5.0, 3.0, 4.0]), 3.0);
        assert_eq!(t.distance([13.0, 4.0, 0.0]), 3.0);
    }

    #[test]
    fn a_bundle_is_as_far_as_its_nearest_tube() {
        let mut r = Rng::new(4, 4);
        for n in [0, 1, 4, 7, 18] {
            let mut point = || std::array::from_fn(|_| r.range(-80.0, 80.0));
            let tubes: Vec<Tube> = (0..n).map(|i| Tube::new(point(), point(), i as f32)).collect();
            let bundle = Bundle::new(&tubes);
            for _ in 0..200 {
                let x = point();
                let nearest = tubes.iter().map(|t| t.distance(x)).fold(60.0, f32::min);
                assert_eq!(bundle.distance(x, 60.0).to_bits(), nearest.to_bits());
            }
        }
    }
}
