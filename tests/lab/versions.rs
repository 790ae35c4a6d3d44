//! What moves between versions of BuildKit, held against the table of it.
//!
//! `make versions` builds the whole corpus with four of them; without it, the two that the laboratory has anyway build the
//! contexts that the table speaks of most.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use repro::dockerfile::Dockerfile;
use repro::pin::{Version, changes_between};

use crate::corpus::Corpus;
use crate::harness::{Bench, Built, Way, every_way, lab, said, ways, words};

/// What is built where nobody names versions.
const SHORT: [&str; 3] = ["config", "copy-flags", "labels-args"];
/// What older versions cannot read: `env` of a secret mount came with v0.15.
const NEEDS: [(&str, &str); 1] = [("secret-mount", "v0.15.0")];
const SHORT_VERSIONS: &str = "v0.19.0 v0.31.1";

fn image(version: &str) -> String {
    lab(&format!("LAB_BUILDKIT_{}", version.to_uppercase().replace('.', "_")))
}

fn dockerfile(corpus: &Corpus, case: &str) -> Dockerfile {
    let arguments = corpus.arguments(case);
    let named = arguments.iter().position(|argument| argument == "-f").map(|at| (&arguments[at + 1]).into());
    let path = named.unwrap_or_else(|| corpus.directory.join(case).join("Dockerfile"));
    Dockerfile::parse(&fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{case}: {error}"))
}

/// Defect 22 of upstream: media types that are said stay the same from version to version.
#[test]
fn what_moves_between_versions_is_in_the_table() {
    if !ways().contains(&Way::Buildkitd) {
        return;
    }
    let asked = std::env::var("REPRO_TEST_VERSIONS").ok().filter(|asked| !asked.is_empty());
    let versions: Vec<&str> = asked.as_deref().unwrap_or(SHORT_VERSIONS).split(' ').collect();
    let bench = Bench::alone("versions");
    let corpus = Corpus::make(&bench, "corpus");
    let cases: Vec<&String> =
        corpus.cases.iter().filter(|case| asked.is_some() || SHORT.contains(&case.as_str())).collect();
    let mut digests: BTreeMap<&str, Vec<(&str, String)>> = BTreeMap::new();
    for version in &versions {
        for case in &cases {
            if NEEDS.iter().any(|(name, since)| name == *case && Version::parse(version) < Version::parse(since)) {
                continue;
            }
            let mut command = bench.repro(Way::Buildkitd);
            command.args(bench.arguments_with(Way::Buildkitd, &image(version)));
            command.args(["--media-types", "oci", "-o"]).arg(bench.output(Way::Buildkitd, "image.tar"));
            let result = command.args(corpus.arguments(case)).arg(corpus.directory.join(case)).output().unwrap();
            assert!(result.status.success(), "{version} {case}: {}", said(&result));
            digests.entry(case).or_default().push((version, Built::read(&result).digest().to_owned()));
        }
    }
    let mut wrong = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (case, digests) in &digests {
        let read = dockerfile(&corpus, case);
        for pair in digests.windows(2) {
            let [from, to] = [pair[0].0, pair[1].0].map(|version| Version::parse(version).unwrap());
            let differ = pair[0].1 != pair[1].1;
            let reasons: Vec<&str> =
                changes_between(from, to).filter(|change| change.touches(&read)).map(|change| change.what).collect();
            if differ && reasons.is_empty() {
                wrong.push(format!("{case}: {from} and {to} differ, and no line of the table says why: {pair:?}"));
            }
            if differ {
                seen.extend(reasons);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let [first, last] = [versions[0], versions[versions.len() - 1]].map(|version| Version::parse(version).unwrap());
    for change in changes_between(first, last) {
        let short = asked.is_none() || seen.contains(change.what);
        assert!(short, "no context of the corpus shows it: {}", change.what);
    }
}

#[test]
fn a_version_that_gives_another_digest_each_time_is_refused() {
    for way in every_way() {
        let bench = Bench::shared("v0.24", *way);
        let context = bench.context("context", &[("Dockerfile", "FROM scratch\nEXPOSE 80\n")]);
        let lie = lab("LAB_BUILDKIT_V0_19_0").replace(":v0.19.0", ":v0.24.0");
        let mut command = bench.repro(*way);
        command.args(bench.arguments_with(*way, &lie)).args(words(&["--sde", "0"])).arg(&context);
        let result = command.output().unwrap();
        assert_eq!(result.status.code(), Some(2), "{}: {}", way.name(), said(&result));
        assert!(String::from_utf8_lossy(&result.stderr).contains("moby/buildkit#6217"), "{}", said(&result));
    }
}
