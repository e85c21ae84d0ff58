//! Every transfer syntax against the programs that wrote the files in tests/expected/codecs
//! (make.py there), and damaged.

use super::*;
use std::path::Path;

fn header(name: &str) -> Header {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/codecs").join(name);
    Header::read(&path, &Limits::default()).unwrap().unwrap()
}

fn file(name: &str) -> PixelFile {
    PixelFile::open(&header(name), &Limits::default()).unwrap()
}

/// The stored values, without what is not used of each word.
fn values(file: &PixelFile) -> Vec<u16> {
    let mask = (1_u32 << file.format.stored) - 1;
    file.words(0).unwrap().iter().map(|&w| w & mask as u16).collect()
}

/// The words that another program decodes a lossy file to.
fn expected(name: &str) -> Vec<u16> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/codecs").join(name);
    let bytes = std::fs::read(path).unwrap();
    bytes.as_chunks().0.iter().map(|&w| u16::from_le_bytes(w)).collect()
}

const LOSSLESS: [&str; 11] = [
    "rle.dcm",
    "lossless-sv1.dcm",
    "lossless-2.dcm",
    "lossless-3.dcm",
    "lossless-4.dcm",
    "lossless-5.dcm",
    "lossless-6.dcm",
    "lossless-7.dcm",
    "jls.dcm",
    "j2k.dcm",
    "jxl.dcm",
];
const SIGNED: [&str; 5] =
    ["rle-signed.dcm", "lossless-sv1-signed.dcm", "jls-signed.dcm", "j2k-signed.dcm", "jxl-signed.dcm"];
const LOSSY: [&str; 6] = ["baseline", "extended", "spectral", "progressive", "jls-near", "j2k-lossy"];

#[test]
fn lossless_files_hold_what_the_plain_one_holds() {
    let plain = values(&file("plain.dcm"));
    assert!(plain.iter().any(|&v| v > 2000));
    LOSSLESS.iter().for_each(|name| assert_eq!(values(&file(name)), plain, "{name}"));
    let plain = values(&file("plain-signed.dcm"));
    assert!(plain.iter().any(|&v| v as i16 == -1024));
    SIGNED.iter().for_each(|name| assert_eq!(values(&file(name)), plain, "{name}"));
}

#[test]
fn lossy_files_come_within_one_grey_value_of_other_programs() {
    for name in LOSSY {
        let (ours, theirs) = (values(&file(&format!("{name}.dcm"))), expected(&format!("{name}.raw")));
        assert_eq!(ours.len(), theirs.len());
        let worst = ours.iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b)).max();
        let most = if name == "jls-near" { 0 } else { 1 };
        assert!(worst <= Some(most), "{name}: {worst:?}");
    }
}

/// The coded stream of a file.
fn stream(file: &PixelFile) -> Vec<u8> {
    match &file.data {
        Coded::Fragments { fragments, .. } => file.stream(fragments).unwrap(),
        _ => panic!("not compressed"),
    }
}

#[test]
fn streams_of_another_size_than_the_header_says_are_refused() {
    let names = LOSSLESS.iter().chain(&SIGNED).map(|n| (*n).to_owned());
    for name in names.chain(LOSSY.iter().map(|n| format!("{n}.dcm"))).filter(|n| !n.starts_with("rle")) {
        let file = file(&name);
        for size in [(61, 44), (60, 45), (45, 61)] {
            let reason = file.format.coding.decode(&stream(&file), size, 2).unwrap_err();
            assert!(reason.contains("is 61 x 45"), "{name}: {reason}");
        }
    }
}

#[test]
fn promises_of_giant_pictures_are_refused_before_they_cost_anything() {
    // Where each stream says how large it is, as two numbers of some bytes each.
    for (name, width, height) in [("lossless-sv1", 2, 0), ("jls", 2, 0), ("extended", 2, 0)] {
        let file = file(&format!("{name}.dcm"));
        let mut stream = stream(&file);
        let frame =
            stream.windows(2).position(|w| w[0] == 0xff && matches!(w[1], 0xc1 | 0xc3 | 0xf7)).unwrap();
        for at in [width, height] {
            stream[frame + 5 + at..frame + 7 + at].fill(0xff);
        }
        assert!(file.format.coding.decode(&stream, (65_535, 65_535), 2).unwrap_err().contains("no CT"));
        stream[frame + 5..frame + 9].copy_from_slice(&[0x10, 0, 0x10, 0]);
        let reason = file.format.coding.decode(&stream, (4096, 4096), 2).unwrap_err();
        assert!(reason.contains("cut short") || reason.contains("code"), "{name}: {reason}");
    }
}

#[test]
fn high_throughput_jpeg_2000_is_refused_by_name() {
    let header = header("htj2k.dcm");
    let reason = header.problem().unwrap().text;
    assert!(reason.contains("HTJ2K") || reason.contains("High-Throughput"), "{reason}");
    // Under the name of plain JPEG 2000 too.
    let whole = std::fs::read(&header.path).unwrap();
    let start = whole.windows(4).rposition(|w| w == [0xff, 0x4f, 0xff, 0x51]).unwrap();
    let reason = Coding::Jpeg2000.decode(&whole[start..], (61, 45), 2).unwrap_err();
    assert!(reason.contains("high-throughput"), "{reason}");
}

#[test]
fn streams_cut_short_are_refused() {
    for name in LOSSLESS.iter().chain(&SIGNED) {
        let file = file(name);
        let stream = stream(&file);
        for part in [1, 2, 3] {
            let cut = &stream[..stream.len() * part / 4];
            assert!(file.format.coding.decode(cut, (61, 45), 2).is_err(), "{name}: {part} quarters");
        }
    }
}

/// The same numbers on every machine (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

/// A damaged copy: some bytes changed, and at times a part cut, doubled or filled.
fn mutated(good: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bad = good.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bad.len());
        bad[at] = match random.below(4) {
            0 => 0,
            1 => 0xff,
            2 => bad[at] ^ 1 << random.below(8),
            _ => random.below(256) as u8,
        };
    }
    let (a, b) = (random.below(bad.len()), random.below(64));
    let part = a..bad.len().min(a + b);
    match random.below(8) {
        0 => bad.truncate(a),
        1 => drop(bad.drain(part)),
        2 => bad.extend_from_within(part),
        3 => bad[part].fill(0xff),
        _ => {}
    }
    bad
}

/// Damages the stream of every file `times` times: either values come out, or a reason.
fn damage(times: usize) {
    let names = LOSSLESS.iter().chain(&SIGNED).map(|n| (*n).to_owned());
    for name in names.chain(LOSSY.iter().map(|n| format!("{n}.dcm"))) {
        let file = file(&name);
        let (good, mut random) = (stream(&file), Random(7));
        let mut refused = 0;
        for _ in 0..times {
            let bad = mutated(&good, &mut random);
            match file.format.coding.decode(&bad, (61, 45), 2) {
                Ok(words) => assert_eq!(words.len(), 61 * 45, "{name}"),
                Err(reason) => {
                    assert!(!reason.is_empty());
                    refused += 1;
                }
            }
        }
        println!("{name}: {refused} of {times} refused");
    }
}

#[test]
fn ten_thousand_damaged_streams_of_each_coding() {
    damage(10_000);
}
