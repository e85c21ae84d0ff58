//! What differs between the classes, and by how much. The classes overlap on purpose.
//!
//! Sources: "labels" are the public slice and lobe labels of 53 COVID-19 and 24 community-acquired
//! pneumonia cases of COVID-CT-MD, counted by us; Bai et al., Radiology 2020;296:E46; Lin et al., AJR
//! 2020; Liu et al., Eur Radiol 2020; Yin et al., AJR 2020. Where sources disagree the weaker difference
//! is taken: Lin and Liu found none in ground-glass, consolidation, crazy paving, septa, number and
//! density, so these differ little here. "Ours" marks what no source tells. Location is the strongest sign.
//!
//! Papers count patients, not lesions. So a sign is first drawn for the case ([`Trait::case`]); then each
//! lesion shows it with [`Trait::lesion`] in such a case and with [`Trait::stray`] in any other.

use crate::types::Class;

/// A sign that runs in a case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trait {
    /// Probability that the case has it.
    pub case: f32,
    /// Share of its lesions that show it then.
    pub lesion: f32,
    /// Share of lesions that show it otherwise.
    pub stray: f32,
}

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
    /// Logarithmic deviation of the case's median radius.
    pub size: f32,
    /// Weights of ground-glass, mixed, consolidation.
    pub kinds: [f32; 3],
    /// Range of the margin's width, mm.
    pub margin: (f32, f32),
    /// Crazy paving.
    pub paving: Trait,
    /// Share with a reversed halo.
    pub reversed_halo: f32,
    /// Thin subpleural bands, of the lesions at the pleura.
    pub band: Trait,
    /// Peribronchial cuffs, of the lesions away from the pleura.
    pub cuff: Trait,
    /// Tree-in-bud clusters, of the lesions away from the pleura.
    pub buds: Trait,
    /// Enlarged vessels in lesions.
    pub vessels: Trait,
    /// Probability of a diffuse case.
    pub diffuse: f32,
    /// Probability of a whole lobe.
    pub lobar: f32,
    /// Probability of pleural effusion.
    pub effusion: f32,
    /// Probability that bronchial walls are thickened in the case.
    pub thick_walls: f32,
    /// Probability that small airways are filled with mucus in the case.
    pub mucus: f32,
    /// Probability of enlarged lymph nodes.
    pub nodes: f32,
    /// How strongly lesions prefer the back, 0 to 1.
    pub posterior: f32,
    /// How strongly they cluster about the first one, 0 to 1.
    pub cluster: f32,
}

/// A trait whose shares within cases are the same for both classes (ours).
const fn with(case: f32, lesion: f32, stray: f32) -> Trait {
    Trait { case, lesion, stray }
}

/// COVID-19.
const COVID: ClassLook = ClassLook {
    lobes: [0.77, 0.72, 0.85, 0.49, 0.55], // labels, COVID-19
    lesions: (6.0, 0.6), // labels: 5.0 runs of infected slices a case; each may hold several
    peripheral: 0.82,    // Bai: peripheral distribution 80 %; Lin, Liu: more peripheral
    spread: 0.14,        // ours
    radius: (10.5, 0.5), // labels: 16 slices of 2 mm a run (8 to 32), 70 a case (29 to 109)
    size: 0.35,          // the same
    kinds: [0.56, 0.28, 0.16], // Bai: ground-glass in 91 %; Lin, Liu: no difference
    margin: (1.5, 14.0), // Liu: clearer margins; range ours
    paving: with(0.30, 0.45, 0.05), // Yin: more often; Lin: no difference; shares ours
    reversed_halo: 0.05, // ours
    band: with(0.35, 0.35, 0.05), // Yin: linear opacities more often; shares ours
    cuff: with(0.20, 0.60, 0.08), // ours
    buds: with(0.10, 0.30, 0.02), // Liu: no difference in tree-in-bud; ours is a weak one
    vessels: with(0.50, 0.70, 0.08), // Bai: vascular thickening 58 %, drawn nearer to the other class
    diffuse: 0.07,       // labels: 5 % of the cases have 109 infected slices and more
    lobar: 0.02,         // ours
    effusion: 0.06,      // Bai (recalled): 4 %
    thick_walls: 0.26,   // Liu: less often; Lin: no difference; share ours
    mucus: 0.06,         // Lin: less often; share ours
    nodes: 0.03,         // Bai (recalled): 3 %
    posterior: 0.55,     // ours
    cluster: 0.15,       // Liu: balanced over the lobes
};

/// Influenza A.
const INFLUENZA: ClassLook = ClassLook {
    lobes: [0.66, 0.45, 0.74, 0.42, 0.42], // between labels' pneumonia (.50 .21 .71 .29 .38) and COVID-19; Liu: inferior
    lesions: (5.5, 0.65),                  // Liu: no difference in number
    peripheral: 0.38, // Bai: 57 % peripheral, 35 % both; Lin: axial distribution, pleural contact differ
    spread: 0.17,     // ours
    radius: (10.5, 0.5), // labels, pneumonia: runs of 23 slices but fewer of them; Lin: same volume
    size: 0.35,       // as COVID-19
    kinds: [0.50, 0.30, 0.20], // Bai: 68 % ground-glass; Lin, Liu: no difference
    margin: (2.0, 15.0), // Liu: less clear
    paving: with(0.20, 0.45, 0.05), // Yin
    reversed_halo: 0.03, // ours
    band: with(0.22, 0.35, 0.05), // Yin
    cuff: with(0.35, 0.60, 0.08), // Liu: bronchial signs more often
    buds: with(0.18, 0.30, 0.02), // ours, against Liu's no difference
    vessels: with(0.28, 0.70, 0.08), // Bai: 22 %
    diffuse: 0.06,    // ours
    lobar: 0.04,      // ours
    effusion: 0.20,   // Bai (recalled): 39 %; Lin, Yin: more often
    thick_walls: 0.40, // Liu
    mucus: 0.18,      // Lin
    nodes: 0.10,      // Bai (recalled): 10 %
    posterior: 0.40,  // ours
    cluster: 0.40,    // Liu: cluster-like
};

/// Parameters of a class; `None` for no infection.
pub(crate) fn look(class: Class) -> Option<&'static ClassLook> {
    match class {
        Class::Covid19 => Some(&COVID),
        Class::InfluenzaA => Some(&INFLUENZA),
        Class::NoInfection => None,
    }
}

/// Signs without infection (ours: heart failure, chronic bronchitis and the like).
pub(crate) const EFFUSION_NO_INFECTION: f32 = 0.07;
pub(crate) const THICK_WALLS_NO_INFECTION: f32 = 0.2;
pub(crate) const MUCUS_NO_INFECTION: f32 = 0.05;
pub(crate) const NODES_NO_INFECTION: f32 = 0.03;
