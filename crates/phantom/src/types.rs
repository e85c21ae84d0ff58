//! What a phantom is.

use pleura_volume::{Box3, Mask, Volume};
use serde::{Deserialize, Serialize};

/// Class of a phantom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// COVID-19 pneumonia.
    #[serde(rename = "covid-19")]
    Covid19,
    /// Influenza-A viral pneumonia.
    InfluenzaA,
    /// No infection; may hold findings that are irrelevant to infection.
    NoInfection,
}

impl Class {
    /// All classes, in the order of the tables.
    pub const ALL: [Class; 3] = [Class::Covid19, Class::InfluenzaA, Class::NoInfection];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Class::Covid19 => "covid-19",
            Class::InfluenzaA => "influenza-a",
            Class::NoInfection => "no-infection-found",
        }
    }

    /// The class of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }
}

/// A connected component of infected voxels, split to at most 60 mm an edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TruthRegion {
    /// Box in LPS mm.
    pub box_mm: Box3,
    /// Infected volume, ml.
    pub volume_ml: f64,
}

/// What the generator drew for the case: kept so that difficulty can be measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latents {
    /// Number of lesions placed.
    pub lesions: usize,
    /// Share of lesions that touch the pleura.
    pub peripheral_share: f64,
    /// Mean contrast of the lesions to the lung, HU.
    pub contrast_hu: f64,
    /// Slice spacing, mm.
    pub slice_mm: f64,
    /// Noise standard deviation in soft tissue, HU.
    pub noise_hu: f64,
    /// Anything else worth recording, by name.
    pub other: std::collections::BTreeMap<String, f64>,
}

/// A synthetic chest CT and the truth about it.
#[derive(Debug, Clone)]
pub struct Phantom {
    /// HU on an oriented grid.
    pub volume: Volume<i16>,
    /// 1 where tissue is infected.
    pub infection: Mask,
    /// True lungs: 1 right, 2 left; consolidated lung included.
    pub lungs: Mask,
    /// Class.
    pub class: Class,
    /// Seed that made it.
    pub seed: u64,
    /// Truth regions.
    pub regions: Vec<TruthRegion>,
    /// Findings irrelevant to infection and shams (drawn without effect): hard negatives.
    pub irrelevant: Vec<TruthRegion>,
    /// What was drawn.
    pub latents: Latents,
}
