//! Where things are drawn, pixel by pixel. The scan of `common` is drawn at ten pixels a voxel,
//! below a title strip of 18 pixels.
#![allow(clippy::unwrap_used)]

mod common;

use common::{case, meta, not_analysable, scan, timings};
use pleura_report::{Document, pictures};

struct Picture {
    rgb: Vec<[u8; 3]>,
    width: usize,
    height: usize,
}

impl Picture {
    fn decode(bytes: &[u8]) -> Self {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut data = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut data).unwrap();
        let rgb = data.as_chunks::<3>().0.to_vec();
        Self { rgb, width: info.width as usize, height: info.height as usize }
    }

    fn at(&self, x: usize, y: usize) -> [u8; 3] {
        self.rgb[y * self.width + x]
    }

    fn count(&self, ink: [u8; 3], x: std::ops::Range<usize>, y: std::ops::Range<usize>) -> usize {
        y.map(|y| x.clone().filter(|&x| self.at(x, y) == ink).count()).sum()
    }
}

const COVID: [u8; 3] = [255, 122, 26];
const IRRELEVANT: [u8; 3] = [176, 180, 190];
const PLEURA: [u8; 3] = [86, 200, 250];
const LUNG: [u8; 3] = [70, 130, 180];
const WHITE: [u8; 3] = [255; 3];

fn drawn() -> (Picture, [Picture; 2]) {
    let d = Document::new(&scan(), &case(), &meta(), timings());
    let p = pictures(&scan(), &case(), &d).unwrap();
    (Picture::decode(&p.overview), [Picture::decode(&p.regions[0]), Picture::decode(&p.regions[1])])
}

#[test]
fn the_box_is_framed_around_the_block_in_its_slice() {
    let (_, [p, other]) = drawn();
    assert_eq!((p.width, p.height), (520, 400 + 36));
    // Voxels x 10 to 13, y 16 to 19: pixels 100 to 139 and 160 + 18 to 199 + 18, frame drawn inwards.
    for (x, y) in [(100, 178), (139, 178), (100, 217), (139, 217), (101, 190), (120, 216)] {
        assert_eq!(p.at(x, y), COVID, "{x} {y}");
    }
    for (x, y) in [(99, 190), (140, 190), (125, 177), (125, 218), (102, 180)] {
        assert_ne!(p.at(x, y), COVID, "{x} {y}");
    }
    // Inside: 100 HU of a window that ends at 150; outside in the lung: -850.
    assert!(p.at(127, 205)[0] > 240);
    assert!(p.at(180, 250)[0] < 100);
    // The other region lies in slice 6, where there is no block.
    assert!(other.at(127, 205)[0] < 100);
    assert_eq!(other.at(300, 60 + 18), IRRELEVANT);
}

#[test]
fn the_line_runs_from_the_centre_to_the_nearest_edge_of_the_lung() {
    let (_, [p, _]) = drawn();
    // Centre at voxel (11.5, 17.5): pixel (120, 198). The right lung starts at x 4: pixel 40.
    for x in (46..100).chain(104..118) {
        assert!(p.count(PLEURA, x..x + 1, 190..206) > 0, "the line is broken at {x}");
    }
    assert_eq!(p.count(PLEURA, 0..38, 18..418), 0);
    assert_eq!(p.count(PLEURA, 123..520, 18..418), 0);
    assert_eq!(p.at(40, 100), LUNG);
}

#[test]
fn right_is_on_the_viewers_left_and_both_sides_are_marked() {
    let (overview, [p, _]) = drawn();
    for p in [&overview, &p] {
        let rows = p.height / 2 - 10..p.height / 2 + 10;
        let (left, right) =
            (p.count(WHITE, 6..16, rows.clone()), p.count(WHITE, p.width - 16..p.width - 6, rows));
        // An R has more ink than an L.
        assert!(left > right && right > 10, "{left} {right}");
    }
    // The block is in the right lung: left half of the picture.
    assert!(p.count(COVID, 0..260, 18..418) > 100);
    assert_eq!(p.count(COVID, 260..520, 18..418), 0);
}

#[test]
fn the_overview_has_the_head_up_and_regions_framed() {
    let (p, _) = drawn();
    assert_eq!((p.width, p.height), (520, 120 + 36));
    // Slices 4 to 6 of 12: rows 5 to 7 from the top, pixels 50 + 18 to 79 + 18.
    for (x, y) in [(120, 68), (139, 97), (100, 97), (139, 80)] {
        assert_eq!(p.at(x, y), COVID, "{x} {y}");
    }
    // Slices 2 to 8: rows 3 to 9.
    assert_eq!(p.at(330, 30 + 18), IRRELEVANT);
    assert_eq!(p.at(330, 99 + 18), IRRELEVANT);
    // 20 mm of infected depth in slice 5 (row 6) are tinted: red over blue.
    let tinted = p.at(120, 60 + 18 + 5);
    assert!(tinted[0] > tinted[2] + 60, "{tinted:?}");
    let plain = p.at(200, 60 + 18 + 5);
    assert_eq!(plain[0], plain[2]);
}

#[test]
fn the_words_on_use_are_on_every_picture() {
    let (overview, [a, b]) = drawn();
    for p in [overview, a, b] {
        let strip = p.count(WHITE, 6..6 + 37 * 7, p.height - 18..p.height);
        assert!(strip > 300, "{strip}");
    }
}

#[test]
fn a_scan_without_lungs_is_drawn_whole() {
    let d = Document::new(&scan(), &not_analysable(), &meta(), timings());
    let p = pictures(&scan(), &not_analysable(), &d).unwrap();
    assert!(p.regions.is_empty());
    assert_eq!(Picture::decode(&p.overview).width, 520);
}
