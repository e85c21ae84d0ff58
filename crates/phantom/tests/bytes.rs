//! The generator's version stands for its bytes: whoever moves a voxel raises it and renews these values.

mod fingerprint;

use fingerprint::fingerprint;
use pleura_phantom::{Class, GENERATOR, GENERATOR_HASH, Grid, RenderOptions, TextureFamily, render};

/// Class, seed and options of a case, and the fingerprint it had when the version was given out.
fn cases() -> Vec<(Class, u64, RenderOptions, u64)> {
    use Class::{Covid19, InfluenzaA, NoInfection};
    let grid = |spacing_mm| RenderOptions { grid: Grid::Detector { spacing_mm }, ..Default::default() };
    let scanner = |slices| RenderOptions { slices, ..Default::default() };
    let second = |o| RenderOptions { texture: TextureFamily::B, ..o };
    let lobar = |o| RenderOptions { lobar_consolidation: true, ..o };
    vec![
        (Covid19, 1, grid(2.0), 0xFF42_A720_D6C8_EF7D),
        (InfluenzaA, 2, grid(2.0), 0x3125_43C4_2EDD_2FFF),
        (NoInfection, 3, grid(2.0), 0xB50A_369A_3E07_4263),
        (Covid19, 4, second(grid(2.0)), 0x4D46_ED53_B6DD_6D8A),
        (InfluenzaA, 5, grid(3.0), 0x26C9_2F1D_E161_FCF4),
        (NoInfection, 6, second(grid(3.0)), 0xF8CB_61D3_B8D7_10D5),
        (Covid19, 7, lobar(grid(3.0)), 0x5919_4732_0090_21A2),
        (InfluenzaA, 8, RenderOptions { body_seed: Some(3), ..grid(3.0) }, 0x350E_9B80_DF6A_CD6B),
        (Covid19, 9, scanner(6), 0x9B5A_8A96_87B7_EFAB),
        (InfluenzaA, 10, scanner(70), 0x3518_343E_4F47_97C1),
        (NoInfection, 11, second(scanner(200)), 0x9C7F_9280_5158_9D92),
        (Covid19, 12, lobar(scanner(6)), 0x819B_66B7_7460_2114),
    ]
}

#[test]
fn a_version_of_the_generator_keeps_its_bytes() {
    assert_eq!(GENERATOR, "pleura-phantom/2");
    let got: Vec<String> =
        cases().iter().map(|(c, s, o, _)| format!("{:016x}", fingerprint(&render(*c, *s, o)))).collect();
    let want: Vec<String> = cases().iter().map(|c| format!("{:016x}", c.3)).collect();
    assert_eq!(got, want);
    // one number for all of them, which truth files and model cards name
    let hash = got
        .join(" ")
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
    assert_eq!(GENERATOR_HASH, format!("{hash:016x}"));
}
