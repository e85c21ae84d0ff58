//! The inverse discrete cosine transform of JPEG (ITU-T T.81 A.3.3).

/// The samples of a block, row by row, from its coefficients: transformed, shifted to unsigned and
/// kept within `precision` bits.
pub(crate) fn samples(coefficients: &[f32; 64], precision: u8) -> [u16; 64] {
    let most = f32::from(((1_u32 << precision) - 1) as u16);
    let middle = f32::from(1_u16 << (precision - 1));
    // All equal where only the first coefficient is there, as it often is.
    if coefficients[1..].iter().all(|&c| c == 0.0) {
        return [level(coefficients[0] / 8.0, middle, most); 64];
    }
    let mut half = [0.0; 64];
    for x in 0..8 {
        let column = std::array::from_fn(|y| coefficients[8 * y + x]);
        for (y, v) in line(&column).into_iter().enumerate() {
            half[8 * y + x] = v;
        }
    }
    let mut out = [0; 64];
    for (row, out) in half.as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<8>().0) {
        *out = line(row).map(|v| level(v / 8.0, middle, most));
    }
    out
}

fn level(v: f32, middle: f32, most: f32) -> u16 {
    (v + middle + 0.5).clamp(0.0, most) as u16
}

/// Cosines of the odd multiples of 1/16 of a half turn, times the root of 2.
const C1: f32 = 1.387_039_8;
const C3: f32 = 1.175_875_6;
const C5: f32 = 0.785_694_96;
const C7: f32 = 0.275_899_38;
/// Cosines of 1/8 and 3/8 of a half turn, times the root of 2.
const C2: f32 = 1.306_563;
const C6: f32 = 0.541_196_1;

/// Eight samples along one axis, times the root of 8: the even coefficients give what is the same
/// at both ends, the odd ones what has opposite signs.
fn line(c: &[f32; 8]) -> [f32; 8] {
    let (sum, difference) = (c[0] + c[4], c[0] - c[4]);
    let (outer, inner) = (C2 * c[2] + C6 * c[6], C6 * c[2] - C2 * c[6]);
    let even = [sum + outer, difference + inner, difference - inner, sum - outer];
    let odd = [
        C1 * c[1] + C3 * c[3] + C5 * c[5] + C7 * c[7],
        C3 * c[1] - C7 * c[3] - C1 * c[5] - C5 * c[7],
        C5 * c[1] - C1 * c[3] + C7 * c[5] + C3 * c[7],
        C7 * c[1] - C5 * c[3] + C3 * c[5] - C1 * c[7],
    ];
    std::array::from_fn(|i| if i < 4 { even[i] + odd[i] } else { even[7 - i] - odd[7 - i] })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The double sum of T.81 A.3.3, in double precision.
    fn by_definition(c: &[f32; 64], x: usize, y: usize) -> f64 {
        let basis = |n: usize, u: usize| {
            let scale = if u == 0 { 0.5_f64.sqrt() } else { 1.0 };
            scale * ((2 * n + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0).cos() / 2.0
        };
        (0..64).map(|i| f64::from(c[i]) * basis(x, i % 8) * basis(y, i / 8)).sum()
    }

    #[test]
    fn the_fast_transform_gives_what_the_definition_does() {
        // Every coefficient alone, and all of them together, alternating.
        let alone = (0..64).map(|i| std::array::from_fn(|j| if i == j { 1900.0 } else { 0.0 }));
        let all = std::array::from_fn(|i| if i % 3 == 0 { 95.0 } else { -61.0 });
        for coefficients in alone.chain([all]) {
            let fast = samples(&coefficients, 12);
            for (i, &v) in fast.iter().enumerate() {
                let exact = by_definition(&coefficients, i % 8, i / 8) + 2048.0;
                assert!((f64::from(v) - exact).abs() < 0.501, "{v} and {exact}");
            }
        }
        let mut coefficients = [0.0; 64];
        coefficients[0] = 1e6;
        assert_eq!(samples(&coefficients, 8), [255; 64]);
        coefficients[0] = -1e6;
        assert_eq!(samples(&coefficients, 12), [0; 64]);
    }
}
