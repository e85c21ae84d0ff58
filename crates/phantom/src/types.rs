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
    #[serde(rename = "no-infection-found", alias = "no-infection")]
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

/// The lobes, in the order of the tables in the literature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lobe {
    /// Left lower lobe.
    LeftLower,
    /// Left upper lobe.
    LeftUpper,
    /// Right lower lobe.
    RightLower,
    /// Middle lobe.
    RightMiddle,
    /// Right upper lobe.
    RightUpper,
}

/// What a lesion is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LesionKind {
    /// Ground-glass alone.
    GroundGlass,
    /// Ground-glass with consolidated parts.
    Mixed,
    /// Consolidation.
    Consolidation,
}

/// The form of a lesion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LesionForm {
    /// A rounded patch.
    Rounded,
    /// Wide and flat under the pleura.
    Plaque,
    /// A thin band under the pleura.
    Band,
    /// Around bronchi.
    Cuff,
    /// Tree-in-bud.
    Buds,
    /// Patches all over a lung.
    Diffuse,
    /// A whole lobe.
    Lobe,
}

/// What was drawn for one infected lesion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LesionLatents {
    /// Centre in the file's LPS mm.
    pub center_mm: [f64; 3],
    /// Depth of the centre below the pleura, the fissures not counted, mm.
    pub depth_mm: f64,
    /// Lobe of the centre.
    pub lobe: Lobe,
    /// What it is made of.
    pub kind: LesionKind,
    /// Its form.
    pub form: LesionForm,
    /// Whether a place at the pleura was asked for.
    pub peripheral: bool,
    /// Radius before warping, mm.
    pub radius_mm: f64,
    /// Width of the margin, mm.
    pub margin_mm: f64,
    /// Mean rise over the lung around, HU.
    pub contrast_hu: f64,
    /// Crazy paving.
    pub paving: bool,
    /// Reversed halo.
    pub reversed_halo: bool,
    /// Whether the vessels in it are wider.
    pub thick_vessels: bool,
}

/// What was drawn for a case of infection as a whole; the signs as the case has them, not each lesion.
/// In a case without infection only those are set that go without.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CaseLatents {
    /// Probability that a lesion of this case sits at the pleura.
    pub peripheral_share: f64,
    /// Number of lesions that was asked for.
    pub count: usize,
    /// Lobes involved.
    pub lobes: Vec<Lobe>,
    /// How large its lesions are against those of a median case.
    pub size: f64,
    /// How dense the lesions are, -0.6 to 0.6.
    pub density: f64,
    /// Crazy paving runs in the case.
    pub paving: bool,
    /// Subpleural bands do.
    pub bands: bool,
    /// Peribronchial cuffs do.
    pub cuffs: bool,
    /// Tree-in-bud clusters do.
    pub buds: bool,
    /// Enlarged vessels do.
    pub thick_vessels: bool,
    /// Diffuse ground-glass.
    pub diffuse: bool,
    /// A whole lobe.
    pub lobar: bool,
    /// Thickest pleural effusion, mm.
    pub effusion_mm: f64,
    /// Thick bronchial walls.
    pub thick_walls: bool,
    /// Small airways filled with mucus.
    pub mucus: bool,
    /// Enlarged lymph nodes.
    pub nodes: bool,
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
    /// Slice thickness, mm.
    pub slice_mm: f64,
    /// Noise standard deviation in soft tissue, HU.
    pub noise_hu: f64,
    /// The draws of the case.
    #[serde(default)]
    pub case: CaseLatents,
    /// The infected lesions.
    #[serde(default)]
    pub each: Vec<LesionLatents>,
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
