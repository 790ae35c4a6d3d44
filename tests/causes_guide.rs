//! The guide names each cause that the code knows, and no other one.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use std::collections::BTreeSet;

/// The names in the first column of the guide's tables.
fn in_the_guide() -> Vec<String> {
    let text = std::fs::read_to_string("docs/sources-of-nondeterminism.md").unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let first = rows.map(|row| row.trim_start_matches("| ").split(" | ").next().unwrap().to_owned());
    first.flat_map(|cell| cell.split(", ").map(|name| name.trim_matches('`').to_owned()).collect::<Vec<_>>()).collect()
}

#[test]
fn the_guide_has_every_cause_once() {
    let guide = in_the_guide();
    let named: BTreeSet<&str> = guide.iter().map(String::as_str).collect();
    let known: BTreeSet<&str> = repro::diff::causes::all().map(|cause| cause.id).collect();
    let missing: Vec<_> = known.difference(&named).collect();
    let unknown: Vec<_> = named.difference(&known).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "not in the guide: {missing:?}; not in the code: {unknown:?}");
    assert_eq!(guide.len(), named.len(), "each once");
}
