//! The night of the project's own matrix: its workflow, its matrix, and what a history of its jobs comes to. Run for real, part by part, it
//! is in `tests/lab/nightly.rs`.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use repro::digest::Digest;
use repro::matrix::age::{Age, find_run, recheck};
use repro::matrix::file::Matrix;
use repro::matrix::past::History;
use repro::matrix::summary::MatrixReport;
use serde_json::{Value, json};

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn workflow() -> Value {
    let text = fs::read_to_string(project(".github/workflows/nightly.yml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn jobs(workflow: &Value) -> Vec<(&str, &Value)> {
    workflow["jobs"].as_object().unwrap().iter().map(|(name, job)| (name.as_str(), job)).collect()
}

fn steps(job: &Value) -> &[Value] {
    job["steps"].as_array().map_or(&[], Vec::as_slice)
}

/// A history, written as jobs write it: each line is a run's beginning, a cell's end, or a run's end.
fn history(lines: &[Value]) -> History {
    let mut text = String::new();
    for line in lines {
        let mut line = line.clone();
        line["schema"] = json!("repro.matrix-history.v1");
        writeln!(text, "{line}").unwrap();
    }
    History::parse(text.as_bytes())
}

fn commit() -> String {
    "c0ffee".repeat(7)[..40].to_owned()
}

fn begun(run: &str, time: &str, images: &[&str]) -> Value {
    let image = |name: &&str| json!({ "name": name, "context": name, "commit": commit(), "clean": true, "flags": ["--source-date-epoch=86400"], "epoch": 86400 });
    let images: Vec<Value> = images.iter().map(image).collect();
    json!({ "run": { "id": run, "time": time, "program": "0.1.0", "cells": images.len(), "images": images } })
}

fn built(run: &str, image: &str, runtime: &str, digest: &str) -> Value {
    json!({ "cell": {
        "run": run, "image": image, "platform": "linux/amd64", "buildkit": "v0.19.0", "runtime": runtime, "cache": "cold",
        "time": "2026-03-01T03:20:00Z", "seconds": 1.0, "result": "built", "digest": Digest::of(digest.as_bytes()).to_string()
    } })
}

fn with(mut line: Value, key: &str, value: Value) -> Value {
    line["cell"][key] = value;
    line
}

fn independent(lines: &[Value]) -> u64 {
    let report = serde_json::to_value(MatrixReport::of(&history(lines), None)).unwrap();
    report["images"][0]["groups"][0]["independent"].as_u64().unwrap()
}

/// Upstream's nightly workflow reads the clock in each of its jobs, so that a build begun before midnight is verified as one of the
/// day after; gives all of them the right to push; and never looks at an image again once its day is over.
#[test]
fn defect_48_a_night_has_one_date_and_earlier_nights_are_built_again() {
    let workflow = workflow();
    // The clock is read by one command of one job, and what it read is handed on.
    let script = fs::read_to_string(project("nightly/night")).unwrap();
    let clock = |text: &str| {
        let without_given = text.replace("date -u -d \"@", "");
        without_given.matches("date ").count()
            + ["$SECONDS", "EPOCHSECONDS", "printf '%("].iter().filter(|word| text.contains(*word)).count()
    };
    let (_, begin) = script.split_once("\nbegin() {").unwrap();
    let (begin, rest) = begin.split_once("\n}\n").unwrap();
    let code: String = rest.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    assert_eq!((clock(begin), clock(&code)), (1, 0));
    let mut begins = Vec::new();
    for (name, job) in jobs(&workflow) {
        for step in steps(job) {
            let run = step["run"].as_str().unwrap_or_default();
            assert_eq!(clock(run), 0, "{name}: {run}");
            assert!(!run.contains("${{"), "{name}: {run}");
            begins.extend(run.contains("night begin").then_some(name));
            for (variable, output) in [("EPOCH", "epoch"), ("DAY", "day"), ("RUN", "run")] {
                let value = &step["env"][variable];
                let wanted = format!("${{{{ needs.night.outputs.{output} }}}}");
                assert!(value.is_null() || *value == wanted.as_str(), "{name}, {variable}: {value}");
            }
        }
    }
    assert_eq!(begins, ["night"]);
    assert!(steps(&workflow["jobs"]["build"]).iter().any(|step| !step["env"]["EPOCH"].is_null()));

    // What each job may do, all of it.
    assert_eq!(workflow["permissions"], json!({}));
    let mut on: Vec<&String> = workflow["on"].as_object().unwrap().keys().collect();
    on.sort();
    assert_eq!(on, ["schedule", "workflow_dispatch"]);
    for (name, job) in jobs(&workflow) {
        let wanted = match name {
            "publish" => json!({ "contents": "read", "packages": "write" }),
            "page" => json!({ "pages": "write", "id-token": "write" }),
            "night" => json!({ "contents": "read", "actions": "read" }),
            _ => json!({ "contents": "read" }),
        };
        assert_eq!(job["permissions"], wanted, "{name}");
        assert!(job["timeout-minutes"].as_u64().is_some_and(|minutes| minutes <= 350), "{name}");
        if job["permissions"].to_string().contains("write") {
            assert_eq!(job["needs"], "join", "{name}");
            assert!(job["if"].as_str().unwrap().contains("github.ref == 'refs/heads/main'"), "{name}");
        }
        for step in steps(job) {
            let Some(action) = step["uses"].as_str() else { continue };
            let (_, commit) = action.split_once('@').unwrap();
            assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}: {action}");
            let of_checkout = action.starts_with("actions/checkout@");
            assert!(!of_checkout || step["with"]["persist-credentials"] == false, "{name}");
        }
    }
    assert_eq!(workflow["jobs"]["build"]["strategy"]["fail-fast"], false);

    // Earlier nights, from a day to a year old; what they were is in the history, and so is what is needed to build them.
    let again = steps(&workflow["jobs"]["recheck"]).iter().find(|step| !step["env"]["AGES"].is_null()).unwrap();
    assert!(again["run"].as_str().unwrap().ends_with("nightly/night recheck"));
    let ages: Vec<Age> = again["env"]["AGES"].as_str().unwrap().split(',').map(|age| age.parse().unwrap()).collect();
    let now: DateTime<Utc> = "2026-03-31T03:17:00Z".parse().unwrap();
    let nights = ["2025-03-20", "2025-04-02", "2026-02-27", "2026-03-01", "2026-03-23", "2026-03-30", "2026-03-31"];
    let mut lines = Vec::new();
    for night in nights {
        lines.extend([begun(night, &format!("{night}T03:16:00Z"), &["a"]), built(night, "a", "docker", night)]);
    }
    let past = history(&lines);
    let found = |age: &Age| find_run(&past, age, now).map(|run| run.record.id.as_str());
    let found: Vec<Option<&str>> = ages.iter().map(found).collect();
    assert_eq!(found, [Some("2026-03-30"), Some("2026-03-23"), Some("2026-02-27"), Some("2025-03-20")]);
    let again = recheck(&past, past.run("2025-03-20").unwrap(), &ages[3]);
    let source = &again.sources["a"].record;
    assert_eq!(
        (source.commit.as_deref(), source.flags.as_slice()),
        (Some(&*commit()), &["--source-date-epoch=86400".to_owned()][..])
    );
    assert_eq!(again.digests.values().collect::<Vec<_>>(), [&Digest::of(b"2025-03-20")]);
}

#[test]
fn the_matrix_of_the_night_is_whole() {
    let mut matrix = Matrix::load(&project("nightly/matrix.toml")).unwrap();
    let cells: BTreeSet<String> = matrix.cells.iter().map(ToString::to_string).collect();
    let images = matrix.images.len();
    assert_eq!(cells.len(), images * 2 * 2 * 4);
    for image in &matrix.images {
        assert!(matrix.directory.join(&image.context).is_dir(), "{}", image.name);
    }
    for buildkit in matrix.buildkits.values() {
        assert!(buildkit.image.is_some() && buildkit.rootless.is_some(), "{buildkit:?}");
    }
    matrix.set_epoch("86400".parse().unwrap());
    for image in &matrix.images {
        let epochs: Vec<&String> =
            image.flags.iter().filter(|flag| flag.contains("epoch") || flag.contains("datetime")).collect();
        assert_eq!(epochs, ["--source-date-epoch=86400"], "{}", image.name);
    }
    // What the script publishes is in the matrix, and is what the runtimes build with a BuildKit of it.
    let script = fs::read_to_string(project("nightly/night")).unwrap();
    let default = |name: &str| {
        let (_, after) = script.split_once(&format!("\n{name}=${{{name}:-")).unwrap();
        after.split_once('}').unwrap().0.to_owned()
    };
    assert!(default("PUBLISHED").split(' ').all(|name| matrix.image(name).is_some()));
    assert!(matrix.buildkits.contains_key(&default("PUBLISHED_BUILDKIT")));
}

#[test]
fn the_epoch_of_a_run_leaves_those_that_are_said() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("matrix.toml");
    let image =
        |name: &str, build: &str| format!("[[image]]\nname = \"{name}\"\ncontext = \".\"\nbuild = {{ {build} }}\n");
    let text = image("none", "")
        + &image("git", "source-date-epoch = \"git\"")
        + &image("number", "source-date-epoch = 5")
        + &image("date", "datetime = \"2026-01-01\"");
    fs::write(&file, text).unwrap();
    let mut matrix = Matrix::load(&file).unwrap();
    matrix.set_epoch("86400".parse().unwrap());
    let flags = |name: &str| matrix.image(name).unwrap().flags.clone();
    assert_eq!(flags("none"), ["--source-date-epoch=86400"]);
    assert_eq!(flags("git"), ["--source-date-epoch=86400"]);
    assert_eq!(flags("number"), ["--source-date-epoch=5"]);
    assert_eq!(flags("date"), ["--datetime=2026-01-01"]);
}

/// Context and example have one script each, because a context ends where its directory does.
#[test]
fn the_script_for_snapshots_is_the_one_that_is_tested() {
    let read = |path: &str| fs::read_to_string(project(path)).unwrap();
    assert_eq!(read("nightly/debian/snapshot-sources"), read("examples/debian-snapshot/snapshot-sources"));
    for release in ["bookworm", "trixie"] {
        let text = read(&format!("nightly/debian/{release}.Dockerfile"));
        assert!(text.contains(&format!("\nARG BASE=docker.io/library/debian:{release}-slim@sha256:")), "{text}");
    }
}

#[test]
fn jobs_of_one_run_are_one_run() {
    let (early, late) = ("2026-03-01T03:17:00Z", "2026-03-01T03:18:00Z");
    let end = json!({ "end": { "run": "night", "time": late } });
    let lines = [
        begun("night", late, &["b"]),
        built("night", "b", "docker", "b"),
        end.clone(),
        begun("night", early, &["a"]),
        built("night", "a", "docker", "a"),
        end,
        // Of the same moment and in the same words as another job's, thus one line in what `merge` writes.
        built("night", "a", "podman", "a"),
    ];
    // The same lines again are what the same file says again.
    let twice = [lines.as_slice(), lines.as_slice()].concat();
    for lines in [lines.as_slice(), twice.as_slice()] {
        let past = history(lines);
        let record = &past.runs[0].record;
        let names: Vec<&str> = record.images.iter().map(|image| image.name.as_str()).collect();
        assert_eq!((past.runs.len(), record.time.as_str(), record.cells), (1, early, 3));
        assert_eq!(names, ["a", "b"]);
        assert!(record.images.iter().all(|image| image.clean) && past.runs[0].ended);
    }
    // Two jobs that built one image from two sources: neither is what the run was built from.
    let mut other = begun("night", late, &["a"]);
    other["run"]["images"][0]["commit"] = json!("0ddba11f".repeat(5));
    let past = history(&[begun("night", early, &["a"]), other, built("night", "a", "docker", "a")]);
    assert!(!past.runs[0].record.images[0].clean);
    assert!(recheck(&past, &past.runs[0], &"1 day".parse().unwrap()).digests.is_empty());
}

#[test]
fn only_what_runtimes_agree_on_by_themselves_is_independent() {
    let begin = begun("night", "2026-03-01T03:17:00Z", &["a"]);
    let docker = built("night", "a", "docker", "one");
    let podman = built("night", "a", "podman", "one");
    let rootless = with(podman.clone(), "rootless", json!(true));
    let buildkitd = built("night", "a", "buildkitd", "one");
    let of = |cells: &[&Value]| {
        let lines: Vec<Value> = std::iter::once(&begin).chain(cells.iter().copied()).cloned().collect();
        independent(&lines)
    };
    assert_eq!(of(&[&docker, &podman, &buildkitd]), 3);
    assert_eq!(of(&[&docker, &podman, &rootless]), 2);
    // One runtime is one witness, however often it is asked.
    assert_eq!(of(&[&podman, &rootless]), 1);
    assert_eq!(of(&[&docker]), 0);
    // A cache may have what another one built, and a BuildKit of somebody else's may be any.
    assert_eq!(of(&[&docker, &with(podman.clone(), "cache", json!("warm"))]), 1);
    assert_eq!(of(&[&docker, &with(built("night", "a", "remote", "one"), "unproved", json!(true))]), 1);
    // One that disagrees is enough.
    assert_eq!(of(&[&docker, &podman, &built("night", "a", "buildkitd", "two")]), 0);
    // One that could not be built says nothing.
    let mut failed = buildkitd;
    failed["cell"]["result"] = json!("missing");
    failed["cell"].as_object_mut().unwrap().remove("digest");
    assert_eq!(of(&[&docker, &podman, &failed]), 2);
}
