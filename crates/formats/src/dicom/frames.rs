//! Where each frame of a file lies, and how its values become HU.

use super::Problem;
use super::set::{Set, integer, items, number, numbers, text, texts};
use super::stack::normal;
use crate::bounds;
use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// Where one slice lies, and how its values become HU.
#[derive(Debug, Clone)]
pub(crate) struct Plane {
    /// LPS mm of the centre of the first pixel.
    pub(crate) position: [f64; 3],
    /// Unit vectors along a row (x) and down a column (y).
    pub(crate) axes: [[f64; 3]; 2],
    /// Distance between pixels along x and y, mm.
    pub(crate) spacing: [f64; 2],
    /// Slope and intercept, where stated.
    pub(crate) rescale: Option<(f64, f64)>,
    /// What the values mean, where stated ("HU", "US", ...).
    pub(crate) rescale_type: Option<String>,
    /// Slice thickness, mm.
    pub(crate) thickness: Option<f64>,
    pub(crate) kind: Kind,
}

/// What tells slices of one place apart: each of them may stand for a reconstruction of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) image_type: Vec<String>,
    pub(crate) kernel: Option<String>,
    pub(crate) acquisition: Option<i64>,
    pub(crate) temporal: Option<i64>,
    pub(crate) stack: Option<String>,
}

/// The frames of a file.
#[derive(Debug, Clone)]
pub(crate) struct Frames {
    pub(crate) planes: Vec<Plane>,
    /// Whether the frames' places follow from a distance and their order alone.
    pub(crate) assumed: bool,
}

/// The planes of `count` frames: from functional groups where there are any (PS3.3 C.7.6.16);
/// else from the first frame's and the offsets of the others (C.8.8.3.2), or their distance.
pub(crate) fn frames(set: &Set, count: usize) -> Result<Frames, Problem> {
    let per_frame = items(set, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    // All sequences of groups and macros hold one item; more would be looked through for each frame.
    let shared = items(set, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
    if per_frame.is_empty() {
        let groups = Groups { set, groups: shared.into_iter().collect() };
        return repeated(set, groups.plane()?, count);
    }
    if per_frame.len() != count {
        let text = "It describes another number of frames than it says it holds.";
        return Err(Problem::new("frames-unplaced", text));
    }
    let of = |frame| Groups { set, groups: [frame].into_iter().chain(shared).collect() }.plane();
    Ok(Frames { planes: per_frame.iter().map(of).collect::<Result<_, _>>()?, assumed: false })
}

/// `count` frames above each other, of which the first is known.
fn repeated(set: &Set, first: Plane, count: usize) -> Result<Frames, Problem> {
    if count == 1 {
        return Ok(Frames { planes: vec![first], assumed: false });
    }
    // The number may be all there is of the frames: they are not believed before they are placed.
    if count > bounds::VOXELS {
        let text = format!("It says that it holds {count} frames, more than any stack of slices.");
        return Err(Problem::new("geometry-impossible", text));
    }
    let offsets = numbers(set, tags::GRID_FRAME_OFFSET_VECTOR);
    let between = number(set, tags::SPACING_BETWEEN_SLICES).filter(|&d| d != 0.0);
    let (offsets, assumed) = match between {
        _ if offsets.len() == count => (offsets, false),
        Some(distance) => ((0..count).map(|k| k as f64 * distance).collect(), true),
        None => {
            let text = "It holds several frames but does not say where each of them lies.";
            return Err(Problem::new("frames-unplaced", text));
        }
    };
    let along = normal(&first.axes);
    let planes = offsets.iter().map(|offset| {
        let position = std::array::from_fn(|c| first.position[c] + (offset - offsets[0]) * along[c]);
        Plane { position, ..first.clone() }
    });
    Ok(Frames { planes: planes.collect(), assumed })
}

/// The functional groups of a frame, nearest first, in the data set that holds them.
struct Groups<'a> {
    set: &'a Set,
    groups: Vec<&'a Set>,
}

impl Groups<'_> {
    /// What `read` finds in a macro of the groups, or else in the data set itself.
    fn find<T>(&self, within: Tag, read: impl Fn(&Set) -> Option<T>) -> Option<T> {
        let nested = self.groups.iter().filter_map(|g| items(g, within).first());
        nested.chain([self.set]).find_map(read)
    }

    fn numbers<const N: usize>(&self, within: Tag, tag: Tag) -> Option<[f64; N]> {
        let all = self.find(within, |s| Some(numbers(s, tag)).filter(|v| !v.is_empty()))?;
        all.try_into().ok()
    }

    fn number(&self, within: Tag, tag: Tag) -> Option<f64> {
        self.find(within, |s| number(s, tag))
    }

    fn plane(&self) -> Result<Plane, Problem> {
        let lacks = |code, what| Problem::new(code, format!("It does not say {what} is missing or broken)."));
        let position = self
            .numbers(tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT)
            .ok_or_else(|| lacks("position-missing", "where it lies (Image Position Patient"))?;
        let [a, b, c, d, e, f] = self
            .numbers(tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT)
            .ok_or_else(|| lacks("orientation-missing", "how it lies (Image Orientation Patient"))?;
        let measures = tags::PIXEL_MEASURES_SEQUENCE;
        let [down, across] = self
            .numbers(measures, tags::PIXEL_SPACING)
            .ok_or_else(|| lacks("spacing-missing", "how large its pixels are (Pixel Spacing"))?;
        let possible = 0.01..=bounds::PIXEL_MM;
        if !possible.contains(&down) || !possible.contains(&across) {
            let text = format!("Its Pixel Spacing of {down} x {across} mm is impossible.");
            return Err(Problem::new("geometry-impossible", text));
        }
        if !bounds::is_near(&position) {
            return Err(Problem::new("geometry-impossible", bounds::FAR));
        }
        let values = tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE;
        let rescale =
            self.number(values, tags::RESCALE_SLOPE).zip(self.number(values, tags::RESCALE_INTERCEPT));
        if rescale.is_some_and(|(slope, _)| slope == 0.0) {
            let text = "Its Rescale Slope is zero, so its values mean nothing.";
            return Err(Problem::new("rescale-broken", text));
        }
        Ok(Plane {
            position,
            axes: orthonormal([a, b, c], [d, e, f])?,
            spacing: [across, down],
            rescale,
            rescale_type: self.find(values, |s| text(s, tags::RESCALE_TYPE)),
            thickness: self.number(measures, tags::SLICE_THICKNESS).filter(|&t| t > 0.0),
            kind: self.kind(),
        })
    }

    fn kind(&self) -> Kind {
        let content = tags::FRAME_CONTENT_SEQUENCE;
        let several = |s: &Set, tag| Some(texts(s, tag)).filter(|v| !v.is_empty());
        let frame_type = self.find(tags::CT_IMAGE_FRAME_TYPE_SEQUENCE, |s| several(s, tags::FRAME_TYPE));
        let whole = |tag, old| self.find(content, |s| integer(s, tag)).or_else(|| integer(self.set, old));
        Kind {
            image_type: frame_type.unwrap_or_else(|| texts(self.set, tags::IMAGE_TYPE)),
            kernel: self.find(tags::CT_RECONSTRUCTION_SEQUENCE, |s| {
                texts(s, tags::CONVOLUTION_KERNEL).into_iter().next()
            }),
            acquisition: whole(tags::FRAME_ACQUISITION_NUMBER, tags::ACQUISITION_NUMBER),
            temporal: whole(tags::TEMPORAL_POSITION_INDEX, tags::TEMPORAL_POSITION_IDENTIFIER),
            stack: self.find(content, |s| text(s, tags::STACK_ID)),
        }
    }
}

/// The two directions made exactly perpendicular and of length one; refused when they are far
/// from it.
fn orthonormal(x: [f64; 3], y: [f64; 3]) -> Result<[[f64; 3]; 2], Problem> {
    let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let (lx, ly) = (dot(x, x).sqrt(), dot(y, y).sqrt());
    let lean = dot(x, y);
    if !(0.9..1.1).contains(&lx) || !(0.9..1.1).contains(&ly) || lean.abs() > 0.01 {
        let text = "Its Image Orientation Patient is no pair of perpendicular directions.";
        return Err(Problem::new("orientation-missing", text));
    }
    let x = x.map(|v| v / lx);
    let lean = dot(x, y);
    let y: [f64; 3] = std::array::from_fn(|c| y[c] - lean * x[c]);
    let ly = dot(y, y).sqrt();
    Ok([x, y.map(|v| v / ly)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_made_perpendicular_or_refused() {
        let [x, y] = orthonormal([1.0, 1e-3, 0.0], [0.0, 1.0, 0.0]).unwrap();
        assert!((x[0] * y[0] + x[1] * y[1]).abs() < 1e-15);
        assert!(orthonormal([1.0, 0.0, 0.0], [0.1, 1.0, 0.0]).is_err());
        assert!(orthonormal([0.0; 3], [0.0, 1.0, 0.0]).is_err());
    }
}
