//! Every code of a warning or refusal stands in the table that users read, and no other does.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

/// Codes in the sources: the first text of what makes a warning, a problem or a code.
fn in_sources(folder: &Path, codes: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            in_sources(&path, codes);
            continue;
        }
        if path.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        // Codes are the only texts of lower-case words joined by hyphens.
        for (i, part) in text.split('"').enumerate() {
            let words: Vec<&str> = part.split('-').collect();
            let word = |w: &&str| w.len() > 1 && w.bytes().all(|b| b.is_ascii_lowercase());
            if i % 2 == 1 && words.len() > 1 && words.iter().all(word) {
                codes.insert(part.to_owned());
            }
        }
    }
}

#[test]
fn the_table_of_codes_is_whole() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut used = BTreeSet::new();
    in_sources(&root.join("src"), &mut used);
    used.remove("kebab-case");
    let page = std::fs::read_to_string(root.join("../../docs/input.md")).unwrap();
    let cells = page.lines().filter_map(|l| l.strip_prefix("| `")?.split(" |").next().map(str::to_owned));
    let told: BTreeSet<String> = cells
        .flat_map(|c| c.split(", ").map(|c| c.trim_matches('`').to_owned()).collect::<Vec<_>>())
        .collect();
    let missing: Vec<_> = used.difference(&told).collect();
    assert!(missing.is_empty(), "not in docs/input.md: {missing:?}");
    let plain = ["io", "refused", "localizer", "projection"];
    let unused: Vec<_> = told.difference(&used).filter(|c| !plain.contains(&c.as_str())).collect();
    assert!(unused.is_empty(), "in docs/input.md, but nowhere else: {unused:?}");
}
