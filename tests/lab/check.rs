//! `repro check`: what is reproducible is said to be, what is not is told with its line.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::harness::{Bench, Way, base, runtimes, said, words};
use crate::support::schema::violations;

const SCHEMA: &str = include_str!("../../docs/schema/check.v1.json");

fn check(bench: &Bench, way: Way, more: &[&str], context: &Path) -> Output {
    let mut arguments: Vec<OsString> = words(&["check", "--quiet", "--sde", "0"]);
    arguments.extend(bench.arguments(way).into_iter().skip(1));
    arguments.extend(base());
    arguments.extend(words(more));
    let output = bench.repro(way).args(arguments).arg(context).output().unwrap();
    let left = fs::read_dir(bench.state(way).join("tmp")).map(Iterator::count).unwrap_or_default();
    assert_eq!(left, 0, "{}: archives or copies are left: {}", way.name(), said(&output));
    output
}

fn report(output: &Output) -> Value {
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)));
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(violations(&schema, &report), Vec::<String>::new(), "{}", said(output));
    report
}

fn names(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[test]
fn what_does_not_depend_on_the_checkout_is_reproducible() {
    for way in &runtimes() {
        let bench = Bench::shared("checked", *way);
        let dockerfile = "ARG BASE\nFROM $BASE\nCOPY --chmod=644 f /\nRUN cp /f /g && chmod 600 /g\n";
        let context = bench.context("context", &[("f", "x"), ("Dockerfile", dockerfile)]);
        let output = check(&bench, *way, &["--format", "json", "--times", "3"], &context);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let report = report(&output);
        assert_eq!((&report["verdict"], &report["comparison"]), (&"reproducible".into(), &Value::Null));
        let builds = report["builds"].as_array().unwrap();
        let digests: Vec<&Value> = builds.iter().map(|build| &build["image_digest"]).collect();
        assert!(digests.len() == 3 && digests.iter().all(|digest| *digest == digests[0]), "{}", said(&output));
        // The digest is that of a build by itself.
        let alone =
            bench.build(*way, &bench.output(*way, "image.tar"), &[base(), words(&["--sde", "0"])].concat(), &context);
        assert_eq!(digests[0].as_str(), Some(alone.digest()));
        assert_eq!(names(&report["varied"]), ["state", "path", "times", "order", "umask", "zone"], "{}", way.name());
        let same: Vec<&str> =
            report["not_varied"].as_array().unwrap().iter().map(|thing| thing["what"].as_str().unwrap()).collect();
        assert_eq!(same, ["clock", "hostname", "kernel", "runtime"], "{}", said(&output));
    }
}

#[test]
fn what_depends_on_the_umask_or_on_chance_is_told_with_its_line() {
    for way in &runtimes() {
        let bench = Bench::shared("not reproducible", *way);
        let dockerfile = "ARG BASE\nFROM $BASE\nCOPY f /\n\nRUN head -c 8 /dev/urandom > /stamp\n";
        let context = bench.context("context", &[("f", "x"), ("Dockerfile", dockerfile)]);
        let output = check(&bench, *way, &["--format", "json"], &context);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let found = report(&output);
        let layers = found["comparison"]["platforms"][0]["layers"].as_array().unwrap();
        let differing: Vec<(Option<u64>, &str)> = layers
            .iter()
            .flat_map(|layer| {
                let line = layer["instruction"]["first_line"].as_u64();
                layer["entries"].as_array().unwrap().iter().map(move |entry| (line, entry["path"].as_str().unwrap()))
            })
            .collect();
        assert_eq!(differing, [(Some(3), "f"), (Some(5), "stamp")], "{}", said(&output));
        // What is kept alike is not blamed, and said to be alike.
        let kept = check(&bench, *way, &["--keep", "umask", "--format", "json"], &context);
        let text = said(&kept);
        assert!(kept.status.code() == Some(1) && !text.contains("\"path\": \"f\""), "{text}");
        assert!(text.contains("\"what\": \"umask\""), "{text}");
    }
}

#[test]
fn no_two_builds_see_one_time() {
    let Some(way) = runtimes().into_iter().next_back() else { return };
    let bench = Bench::shared("clock", way);
    // As coarse as the times in a zip archive.
    let dockerfile = "ARG BASE\nFROM $BASE\nRUN echo $(($(date +%s) / 2)) > /now\n";
    let context = bench.context("context", &[("Dockerfile", dockerfile)]);
    let output = check(&bench, way, &["--format", "json", "--times", "4", "--vary", "state"], &context);
    let found = report(&output);
    let builds = found["builds"].as_array().unwrap();
    let digests: BTreeSet<&str> = builds.iter().map(|build| build["image_digest"].as_str().unwrap()).collect();
    assert_eq!(digests.len(), 4, "{}", said(&output));
}

#[test]
fn a_build_that_fails_is_no_verdict() {
    let Some(way) = runtimes().into_iter().next() else { return };
    let bench = Bench::shared("failing", way);
    let context = bench.context("context", &[("Dockerfile", "ARG BASE\nFROM $BASE\nRUN false\n")]);
    let output = check(&bench, way, &[], &context);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(3), true), "{}", said(&output));
    assert!(text.contains("error: build 1 of 2: ") && text.contains("hint: "), "{text}");
    for (flag, value) in [("--output", "x.tar"), ("--metadata-file", "x.json"), ("--cache-to", "type=local,dest=x")] {
        let output = check(&bench, way, &[flag, value], &context);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(&format!("{flag} has no meaning here")), "{text}");
    }
}
