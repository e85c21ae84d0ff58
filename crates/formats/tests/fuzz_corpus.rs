//! What the fuzzers of `fuzz/` start from and found, each as it is and damaged further: never a
//! panic, never ten seconds, never more memory than the limits allow.

#![allow(clippy::unwrap_used)]

mod common;

use common::damage::{Random, check_memory, injure};
use pleura_formats::fuzzing::TARGETS;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// Damaged inputs over all parsers, unless `PLEURA_MUTATIONS` says otherwise.
const MUTATIONS: usize = if cfg!(debug_assertions) { 4_000 } else { 10_000 };

/// The inputs kept for a parser: name and bytes, sorted by name.
fn corpus(parser: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(parser);
    let named = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    let mut all: Vec<_> = fs::read_dir(&folder).unwrap().map(named).collect();
    all.sort();
    assert!(!all.is_empty(), "{} holds nothing", folder.display());
    all
}

fn run(parse: fn(&[u8]), bytes: &[u8], what: &str) {
    let start = Instant::now();
    assert!(catch_unwind(AssertUnwindSafe(|| parse(bytes))).is_ok(), "{what} breaks a promise");
    assert!(start.elapsed() < Duration::from_secs(10), "{what} takes {:?}", start.elapsed());
}

#[test]
fn nothing_in_the_corpus_breaks_a_parser() {
    for (parser, parse) in TARGETS {
        corpus(parser).iter().for_each(|(name, bytes)| run(parse, bytes, &format!("{parser}/{name}")));
    }
    check_memory();
}

#[test]
fn nor_does_any_of_it_damaged_further() {
    let count = std::env::var("PLEURA_MUTATIONS").map_or(MUTATIONS, |n| n.parse().unwrap());
    for (parser, parse) in TARGETS {
        let corpus = corpus(parser);
        for seed in 0..count.div_ceil(TARGETS.len()) {
            let mut random = Random(seed as u64);
            let (name, bytes) = &corpus[random.below(corpus.len())];
            let mut injured = bytes.clone();
            injure(&mut injured, &mut random);
            run(parse, &injured, &format!("{parser}/{name}, damaged with seed {seed},"));
        }
    }
    check_memory();
}
