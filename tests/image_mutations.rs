//! One fault each: every archive of the table is refused with the right fault, and the same archive without it is sound.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use repro::image::{ImageError, ReadOptions, read_archive};
use support::mutations::{Mutation, mutations};

/// What no archive can show: its builder's word and a second image that is read at the same time are other things
/// (`tests/image_read.rs`), a source that fails is no archive, and neither are directories (`tests/image_sources.rs`) and
/// registries (`tests/registry_images.rs`).
const NOT_OF_ARCHIVES: [&str; 8] =
    ["Metadata", "NotShared", "Faults", "Open", "Read", "NotAnImage", "Member", "Served"];

/// The names of all variants that a fault's or an error's debug form holds.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()))
}

fn variant(debug: &str) -> String {
    words(debug).next().unwrap().to_owned()
}

/// The faults of an error by name: those of the content, or what stopped reading.
fn names(error: &ImageError) -> Vec<String> {
    match error {
        ImageError::Faults(faults) => faults.iter().map(|fault| variant(&format!("{:?}", fault.kind))).collect(),
        other => vec![variant(&format!("{other:?}"))],
    }
}

fn read(archive: &[u8]) -> Result<(), ImageError> {
    read_archive(archive, &ReadOptions::default()).map(drop)
}

/// Why a mutation is not what its row says.
fn wrong(mutation: &Mutation) -> Option<String> {
    let Mutation { name, faults, says, broken, sound } = mutation;
    if let Err(error) = read(sound) {
        return Some(format!("{name}: without the fault it is not sound: {error}"));
    }
    let Err(error) = read(broken) else { return Some(format!("{name}: passes")) };
    let found = names(&error);
    // Of a thousand it is enough to know the last.
    let is_right = if *faults == ["TooMany"] { found.last().unwrap() == "TooMany" } else { found == *faults };
    (!is_right || !error.to_string().contains(says)).then(|| format!("{name}: {found:?}: {error}"))
}

#[test]
fn every_mutation_is_refused_with_the_right_fault() {
    let mutations = mutations();
    assert!(mutations.len() >= 60, "{} mutations", mutations.len());
    let names: BTreeSet<&str> = mutations.iter().map(|mutation| mutation.name).collect();
    assert_eq!(names.len(), mutations.len(), "two mutations have one name");
    let wrong: Vec<String> = mutations.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), mutations.len(), wrong.join("\n"));
}

/// The variants of the enum `name` in `file`.
fn variants(file: &str, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image").join(file)).unwrap();
    let start = text.find(&format!("pub enum {name} {{")).unwrap();
    let body = &text[start..start + text[start..].find("\n}").unwrap()];
    let variant = |line: &str| {
        let line = line.strip_prefix("    ")?;
        let word: String = line.chars().take_while(char::is_ascii_alphanumeric).collect();
        word.starts_with(|c: char| c.is_ascii_uppercase()).then_some(word)
    };
    body.lines().filter_map(variant).collect()
}

#[test]
fn every_fault_has_a_mutation() {
    let shown: BTreeSet<String> = mutations()
        .iter()
        .filter_map(|mutation| read(&mutation.broken).err())
        .flat_map(|error| words(&format!("{error:?}")).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut missing = Vec::new();
    for (file, name) in [
        ("fault.rs", "ImageError"),
        ("fault.rs", "FaultKind"),
        ("layer.rs", "LayerError"),
        ("tar/mod.rs", "TarError"),
        ("tar/mod.rs", "Malformed"),
        ("tar/pax.rs", "PaxError"),
    ] {
        let all = variants(file, name);
        assert!(all.len() > 2, "{name} is not where it was");
        let absent = all.into_iter().filter(|variant| !shown.contains(variant));
        missing.extend(
            absent.filter(|variant| !NOT_OF_ARCHIVES.contains(&variant.as_str())).map(|it| format!("{name}::{it}")),
        );
    }
    // 256 GiB take minutes to hash.
    assert_eq!(missing, ["LayerError::TooLarge"], "each fault needs an archive that shows it");
}
