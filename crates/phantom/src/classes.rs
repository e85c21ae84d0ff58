//! What differs between the classes, and by how much. The classes overlap on purpose.
//!
//! Sources: "labels" are the public slice and lobe labels of 53 COVID-19 and 24 community-acquired
//! pneumonia cases of COVID-CT-MD, counted by us; Bai et al., Radiology 2020;296:E46; Lin et al., AJR
//! 2020; Liu et al., Eur Radiol 2020; Yin et al., AJR 2020. "Ours" marks what no source tells.

use crate::types::Class;

/// Parameters of an infected class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClassLook {
    /// Probability that each lobe is involved: left lower, left upper, right lower, middle, upper.
    pub lobes: [f32; 5],
    /// Median and logarithmic deviation of the number of lesions.
    pub lesions: (f32, f32),
    /// Mean of the case's share of lesions at the pleura; the deviation between cases is `spread`.
    pub peripheral: f32,
    /// Deviation of that share between cases.
    pub spread: f32,
    /// Median lesion radius in mm and its logarithmic deviation.
    pub radius: (f32, f32),
    /// Weights of ground-glass, mixed, consolidation.
    pub kinds: [f32; 3],
    /// Range of the margin's width, mm.
    pub margin: (f32, f32),
    /// Share of lesions with crazy paving.
    pub paving: f32,
    /// Share with a reversed halo.
    pub reversed_halo: f32,
    /// Share that are subpleural bands.
    pub band: f32,
    /// Share that are peribronchial cuffs, of the lesions away from the pleura.
    pub cuff: f32,
    /// Share that are tree-in-bud clusters, of the lesions away from the pleura.
    pub buds: f32,
    /// Probability of a diffuse case.
    pub diffuse: f32,
    /// Probability of a whole lobe.
    pub lobar: f32,
    /// Probability of pleural effusion.
    pub effusion: f32,
    /// Share of lesions whose vessels are enlarged.
    pub thick_vessels: f32,
    /// Probability that bronchial walls are thickened in the case.
    pub thick_walls: f32,
    /// Probability that small airways are filled with mucus in the case.
    pub mucus: f32,
    /// How strongly lesions prefer the back, 0 to 1.
    pub posterior: f32,
    /// How strongly they cluster about the first one, 0 to 1.
    pub cluster: f32,
}

/// COVID-19.
const COVID: ClassLook = ClassLook {
    lobes: [0.77, 0.72, 0.85, 0.49, 0.55], // labels, COVID-19
    lesions: (6.0, 0.6), // labels: 5.0 runs of infected slices a case; each may hold several
    peripheral: 0.78,    // Bai: peripheral distribution 80 %; Lin, Liu: more peripheral
    spread: 0.16,        // ours
    radius: (12.5, 0.55), // labels: runs of 16 slices of 2 mm (8 to 32)
    kinds: [0.56, 0.30, 0.14], // Bai: ground-glass in 91 %
    margin: (1.5, 13.0), // Liu: clearer margins; range ours
    paving: 0.24,        // Yin: more often; share ours
    reversed_halo: 0.05, // ours
    band: 0.16,          // Yin: linear opacities more often; share ours
    cuff: 0.22,          // ours
    buds: 0.05,          // Liu: no difference in tree-in-bud; ours is a weak one
    diffuse: 0.06,       // labels: 5 % of the cases have 109 infected slices and more
    lobar: 0.01,         // ours
    effusion: 0.06,      // Bai (recalled): 4 %
    thick_vessels: 0.58, // Bai: vascular thickening 58 %
    thick_walls: 0.20,   // Liu: less often; share ours
    mucus: 0.05,         // Lin: less often; share ours
    posterior: 0.55,     // ours
    cluster: 0.15,       // Liu: balanced over the lobes
};

/// Influenza A.
const INFLUENZA: ClassLook = ClassLook {
    lobes: [0.68, 0.42, 0.76, 0.42, 0.44], // between labels' pneumonia (.50 .21 .71 .29 .38) and COVID-19; Liu: inferior
    lesions: (5.5, 0.65),                  // Liu: no difference in number
    peripheral: 0.42, // Bai: 57 % peripheral; Lin: differs in axial distribution, pleural contact
    spread: 0.18,     // ours
    radius: (11.5, 0.6), // labels, pneumonia: runs of 23 slices but fewer of them; Lin: same volume
    kinds: [0.50, 0.30, 0.20], // Bai: 68 % ground-glass; Lin, Liu: no difference
    margin: (2.0, 15.0), // Liu: less clear
    paving: 0.14,     // Yin
    reversed_halo: 0.03, // ours
    band: 0.07,       // Yin
    cuff: 0.42,       // Liu: bronchial signs more often
    buds: 0.14,       // ours, against Liu's no difference
    diffuse: 0.05,    // ours
    lobar: 0.03,      // ours
    effusion: 0.25,   // Bai (recalled): 39 %; Lin, Yin: more often
    thick_vessels: 0.22, // Bai
    thick_walls: 0.50, // Liu
    mucus: 0.25,      // Lin
    posterior: 0.35,  // ours
    cluster: 0.45,    // Liu: cluster-like
};

/// Parameters of a class; `None` for no infection.
pub(crate) fn look(class: Class) -> Option<&'static ClassLook> {
    match class {
        Class::Covid19 => Some(&COVID),
        Class::InfluenzaA => Some(&INFLUENZA),
        Class::NoInfection => None,
    }
}

/// Probability of pleural effusion without infection (ours: heart failure and the like).
pub(crate) const EFFUSION_NO_INFECTION: f32 = 0.06;
