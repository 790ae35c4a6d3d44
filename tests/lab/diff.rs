//! Builds that differ in one thing: `repro diff` says which, and which line made it.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Bench, Way, base, said, ways, words};

/// Line 4 writes a file, line 6 copies one.
const DOCKERFILE: &str =
    "ARG BASE\nFROM $BASE\n# a comment\nRUN echo made >/made\nWORKDIR /new/place\nCOPY f \\\n  /new/f\n";

fn diff(a: &Path, b: &Path, dockerfile: &Path) -> (Option<i32>, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
    let output =
        command.arg("diff").args([a, b]).args(["--format", "json", "--dockerfile"]).arg(dockerfile).output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output))))
}

fn findings(report: &Value) -> Vec<&str> {
    let mut ids: Vec<&str> =
        report["findings"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The first lines of the layers that differ.
fn lines(report: &Value) -> Vec<u64> {
    let layers = report["platforms"][0]["layers"].as_array().unwrap().iter();
    let differing = layers.filter(|layer| layer["relation"] != "same");
    differing.map(|layer| layer["instruction"]["first_line"].as_u64().unwrap_or_default()).collect()
}

fn build(bench: &Bench, way: Way, name: &str, options: &[&str], context: &Path) -> std::path::PathBuf {
    let output = bench.output(way, name);
    let mut arguments: Vec<OsString> = base();
    arguments.extend(words(options));
    bench.build(way, &output, &arguments, context);
    output
}

#[test]
fn two_epochs_and_a_build_without_rewriting_are_told_apart() {
    let Some(way) = ways().first().copied() else { return };
    let bench = Bench::shared("diff", way);
    let context = bench.context("context", &[("Dockerfile", DOCKERFILE), ("f", "content\n")]);
    let dockerfile = context.join("Dockerfile");
    let one = build(&bench, way, "one.tar", &["--sde", "0"], &context);
    let again = build(&bench, way, "again.tar", &["--sde", "0"], &context);
    assert_eq!(diff(&one, &again, &dockerfile).0, Some(0));

    let later = build(&bench, way, "later.tar", &["--sde", "86400"], &context);
    let (code, report) = diff(&one, &later, &dockerfile);
    assert_eq!((code, report["verdict"].as_str()), (Some(1), Some("different")));
    assert_eq!(lines(&report), [4, 5, 6], "{report:#}");
    assert_eq!(findings(&report), ["epoch"], "{report:#}");
    let summary = &report["summary"];
    assert!(
        summary["entries"].as_u64().unwrap() > 0 && summary["entries"] == summary["explained_entries"],
        "{summary}"
    );

    let plain = build(&bench, way, "plain.tar", &["--sde", "0", "--no-rewrite-timestamp"], &context);
    let (code, report) = diff(&one, &plain, &dockerfile);
    assert_eq!(code, Some(1));
    assert_eq!(findings(&report), ["mtime"], "{report:#}");
    assert_eq!(report["platforms"][0]["config"].as_array().unwrap().len(), 0, "{report:#}");

    // The same by the switches: equal, and never bit for bit.
    let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
    let output = command.arg("diff").args([&one, &later]).arg("--semantic").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("but for what was ignored") && !stdout.contains("bit for bit"), "{stdout}");
    for archive in [one, again, later, plain] {
        fs::remove_file(archive).unwrap();
    }
}
