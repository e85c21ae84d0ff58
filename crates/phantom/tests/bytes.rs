//! The generator's version stands for its bytes: whoever moves a voxel raises it and renews these values.

mod fingerprint;

use fingerprint::fingerprint;
use pleura_phantom::{Class, GENERATOR, Grid, RenderOptions, TextureFamily, render};

/// Class, seed and options of a case, and the fingerprint it had when the version was given out.
fn cases() -> Vec<(Class, u64, RenderOptions, u64)> {
    use Class::{Covid19, InfluenzaA, NoInfection};
    let grid = |spacing_mm| RenderOptions { grid: Grid::Detector { spacing_mm }, ..Default::default() };
    let scanner = |slices| RenderOptions { slices, ..Default::default() };
    let second = |o| RenderOptions { texture: TextureFamily::B, ..o };
    let lobar = |o| RenderOptions { lobar_consolidation: true, ..o };
    vec![
        (Covid19, 1, grid(2.0), 0x4F96_7316_B0CD_4BF8),
        (InfluenzaA, 2, grid(2.0), 0xE1D6_9757_6D8B_99AF),
        (NoInfection, 3, grid(2.0), 0xEEFD_DE3B_980D_DA4D),
        (Covid19, 4, second(grid(2.0)), 0x05E7_3E3C_9CC3_DA53),
        (InfluenzaA, 5, grid(3.0), 0x59DA_EDBC_DE20_2299),
        (NoInfection, 6, second(grid(3.0)), 0x9CF7_0EA5_3640_A889),
        (Covid19, 7, lobar(grid(3.0)), 0xA55D_9672_6CB5_A174),
        (InfluenzaA, 8, RenderOptions { body_seed: Some(3), ..grid(3.0) }, 0x2AA8_DF94_64A4_BD28),
        (Covid19, 9, scanner(6), 0xEFBD_8CA6_5ECE_F111),
        (InfluenzaA, 10, scanner(70), 0xD03A_FE18_7C99_6A43),
        (NoInfection, 11, second(scanner(200)), 0xE776_C13B_441F_6078),
        (Covid19, 12, lobar(scanner(6)), 0xB755_2023_EEB5_444D),
    ]
}

#[test]
fn a_version_of_the_generator_keeps_its_bytes() {
    assert_eq!(GENERATOR, "pleura-phantom/2");
    let got: Vec<String> =
        cases().iter().map(|(c, s, o, _)| format!("{:016x}", fingerprint(&render(*c, *s, o)))).collect();
    let want: Vec<String> = cases().iter().map(|c| format!("{:016x}", c.3)).collect();
    assert_eq!(got, want);
}
