//! What the extraction may be told.

/// Physical constants of the extraction. The defaults suit any chest CT of an adult.
#[derive(Debug, Clone, PartialEq)]
pub struct LungOptions {
    /// Air-filled lung lies below this, HU: half-way between lung (about -700) and soft tissue.
    pub air_below_hu: i16,
    /// Vessels, bronchial walls and nodules narrower than twice this are closed into the lung, mm.
    pub closing_mm: f64,
    /// Holes within a slice up to this size belong to the lung, mm2; larger ones may be the
    /// diaphragm's dome or the heart and are filled only where lung surrounds them in 3D.
    pub hole_mm2: f64,
    /// Edge of the reduced grid on which shapes are found, mm; only the edge is then refined at
    /// the scan's own resolution.
    pub grid_mm: f64,
    /// Smallest piece of lung that is kept beside the two lungs, ml.
    pub piece_ml: f64,
    /// Plausible volume of one whole lung, ml.
    pub one_lung_ml: [f64; 2],
    /// A whole lung reaches at least this far from base to apex, mm.
    pub lung_height_mm: f64,
    /// Whether to add consolidated lung that touches the pleura.
    pub recover_consolidation: bool,
}

impl Default for LungOptions {
    fn default() -> Self {
        Self {
            air_below_hu: -300,
            closing_mm: 8.0,
            hole_mm2: 300.0,
            grid_mm: 2.0,
            piece_ml: 0.5,
            one_lung_ml: [400.0, 6000.0],
            lung_height_mm: 120.0,
            recover_consolidation: true,
        }
    }
}
