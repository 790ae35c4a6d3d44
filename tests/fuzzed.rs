//! The committed corpus of the fuzzers (`fuzz/`), through the same functions: on any compiler, in a second.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

#[expect(clippy::expect_used, reason = "a promise that is broken has to be seen")]
#[path = "../fuzz/src/properties.rs"]
mod properties;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

/// The corpus is read with every checkout: it stays small.
const CORPUS_BYTES: u64 = 1 << 20;

#[test]
fn the_corpus_breaks_no_promise() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut broken = Vec::new();
    let mut size = 0;
    for (target, check) in properties::TARGETS {
        let mut files: Vec<_> = fs::read_dir(corpus.join(target)).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        assert!(files.len() > 3, "{target} has a corpus of {} files", files.len());
        for file in files {
            let bytes = fs::read(&file).unwrap();
            size += bytes.len() as u64;
            if catch_unwind(|| check(&bytes)).is_err() {
                broken.push(file);
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(size < CORPUS_BYTES, "{size} bytes");
}

#[test]
fn the_fuzzers_are_the_targets_of_this_test() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut targets: Vec<String> = fs::read_dir(fuzz.join("targets"))
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    targets.sort();
    let mut known: Vec<&str> = properties::TARGETS.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    assert_eq!(targets, known);
    let script = fs::read_to_string(fuzz.join("run")).unwrap();
    let listed = properties::TARGETS.map(|(name, _)| name).join(" ");
    assert!(script.contains(&format!("\nTARGETS=({listed})\n")));
}
