//! The defects 35 to 43 and 47 of upstream, which are its actions': each as what a runner's step does here, with a Podman that only writes
//! down what it is asked for. What needs engines is in `tests/lab/github.rs` and `tests/lab/actions`, at length.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use repro::plan::Platform;
use serde_json::json;
use support::registry::{Auth, FakeRegistry};
use support::runner::{Ended, Job};

/// Writes down its words, and the script that it is to run in the container.
const PODMAN: &str = r#"#!/bin/sh
printf '%s\n' "$@" --- >>"$HOME/argv"
for word in "$@"; do
    case $word in
        --mount=*,dst=/repro/work) word=${word#*src=}; cat "${word%%,*}/build.sh" >>"$HOME/script" ;;
    esac
done
"#;

struct Place {
    directory: tempfile::TempDir,
    job: Job,
}

/// What a step did.
struct Did {
    ended: Ended,
    /// The words of all commands of Podman, one a line.
    argv: String,
    /// What ran in the container.
    script: String,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let job = Job::new(directory.path());
        fs::write(job.workspace.join("Dockerfile"), "FROM scratch\nCOPY . /files\n").unwrap();
        fs::create_dir(directory.path().join("bin")).unwrap();
        let podman = directory.path().join("bin/podman");
        fs::write(&podman, PODMAN).unwrap();
        fs::set_permissions(&podman, fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory, job }
    }

    fn step(&self, action: &str, inputs: &[(&str, &str)]) -> Did {
        let home = self.directory.path();
        let mut program = Command::new(env!("CARGO_BIN_EXE_repro"));
        let path = format!("{}:/usr/bin:/bin", home.join("bin").display());
        let common = [("runtime", "podman"), ("source_date_epoch", "0")];
        let common = common.into_iter().filter(|(name, _)| inputs.iter().all(|(given, _)| given != name));
        let inputs: Vec<_> = common.chain(inputs.iter().copied()).collect();
        program.env_clear().env("HOME", home).env("PATH", path).envs(self.job.variables(&inputs));
        let ended = self.job.run(&mut program, action);
        let written = |name: &str| fs::read_to_string(home.join(name)).unwrap_or_default();
        Did { ended, argv: written("argv"), script: written("script") }
    }
}

fn build(inputs: &[(&str, &str)]) -> Did {
    Place::new().step("build", inputs)
}

/// A wrong input, told before any engine was asked.
fn refuses(action: &str, inputs: &[(&str, &str)], says: &str) {
    let did = Place::new().step(action, inputs);
    assert!(did.ended.status == Some(2) && did.ended.text.contains(says), "{inputs:?}: {}", did.ended.text);
    assert_eq!(did.argv, "", "{inputs:?}");
}

fn action(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("action").join(name)).unwrap()
}

#[test]
fn defect_35_no_input_reaches_a_shell() {
    for file in ["action.yml", "verify/action.yml"] {
        let text = action(file);
        let mut of_script = false;
        for line in text.lines() {
            let is_key =
                line.trim_start().starts_with(|letter: char| letter.is_ascii_lowercase()) && line.contains(':');
            of_script = line.trim_start().starts_with("run:") || (of_script && !is_key);
            assert!(!(of_script && line.contains("${{")), "{file}: {line}");
        }
    }
    let hostile = "a=\"; touch marker; #$(touch marker)`touch marker`";
    for input in ["build-args", "labels", "annotations"] {
        let place = Place::new();
        let did = place.step("build", &[(input, hostile), ("outputs", "")]);
        assert!(did.argv.contains("run\n"), "{input}: {}", did.ended.text);
        assert!(!place.job.workspace.join("marker").exists() && !Path::new("marker").exists(), "{input}");
        assert!(did.script.contains("touch marker") && did.ended.outputs.is_empty(), "{input}: {}", did.script);
    }
    // What would end the list of an output and begin another one.
    refuses("build", &[("outputs", "type=docker\nEOF\ndigest=forged")], "`outputs`");
}

fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect()
}

#[test]
fn defect_36_nothing_is_written_into_the_workspace() {
    let place = Place::new();
    let before = contents(&place.job.workspace);
    let did = place.step("build", &[("outputs", "type=docker\n\ntype=docker"), ("tags", "a.example/b:1")]);
    assert!(did.argv.contains("dst=/repro/context"), "{}", did.ended.text);
    assert_eq!(contents(&place.job.workspace), before);
}

#[test]
fn defect_37_build_and_verify_have_the_same_context() {
    for file in ["action.yml", "verify/action.yml"] {
        let text = action(file);
        let after = text.split("\n  context:\n").nth(1).unwrap();
        assert!(after.lines().nth(1).unwrap().ends_with("default: '.'"), "{file}: {after}");
        assert!(
            text.contains("\n  context-modes:\n"),
            "{file}: modes that a checkout has otherwise can be made the same"
        );
    }
    for action in ["build", "verify"] {
        let place = Place::new();
        let digest = format!("sha256:{}", "0a".repeat(32));
        let expected = ("expected_digest", digest.as_str());
        let did = place.step(action, if action == "verify" { std::slice::from_ref(&expected) } else { &[] });
        let mount = format!("--mount=type=bind,src={},dst=/repro/context,ro=true", place.job.workspace.display());
        assert!(did.argv.contains(&mount), "{action}: {}\n{}", did.argv, did.ended.text);
        assert!(did.script.contains("context=/repro/context"), "{action}: {}", did.script);
    }
}

#[test]
fn defect_38_an_empty_pin_is_the_default_pin() {
    let (empty, unsaid) = (build(&[("buildkit_image", "")]), build(&[]));
    let pins = |did: &Did| -> Vec<String> {
        did.argv.lines().filter(|line| line.starts_with("docker.io/")).map(str::to_owned).collect()
    };
    assert!(pins(&empty).len() >= 2 && pins(&empty).iter().all(|pin| pin.contains("@sha256:")), "{}", empty.argv);
    assert_eq!(pins(&empty), pins(&unsaid));
}

#[test]
fn defect_39_a_switch_is_true_or_false() {
    let keeps = |value: &str| build(&[("cache", value)]).argv.contains("type=volume");
    assert!(keeps("true") && keeps("") && !keeps("false"));
    refuses("build", &[("cache", "maybe")], "`cache` is `maybe`");
}

#[test]
fn defect_40_a_cache_map_is_not_filled_into_another_builder() {
    for named in ["", "BUILDKIT_CACHE_MOUNT_NS=of the user"] {
        let place = Place::new();
        let directory = place.job.temp.join("kept");
        fs::create_dir(&directory).unwrap();
        // A tar of nothing.
        fs::write(directory.join("cache.tar"), [0; 1024]).unwrap();
        let map = json!({ directory.to_str().unwrap(): "/root/.cache" }).to_string();
        let did = place.step("build", &[("cache-map", map.as_str()), ("build-args", named)]);
        let all = |text: &str, begin: &str| -> Vec<String> {
            let lines = text.lines().flat_map(|line| line.split('\'')).filter(|word| word.contains(begin));
            lines.map(str::to_owned).collect()
        };
        // The build that fills, and the one that it is for: the same state, and the same name for its mounts.
        let [states, names] = [all(&did.argv, "--mount=type=volume"), all(&did.script, "BUILDKIT_CACHE_MOUNT_NS=")];
        for found in [&states, &names] {
            assert!(found.len() == 2 && found[0] == found[1], "{found:?}\n{}", did.ended.text);
        }
        assert!(names[0].ends_with(if named.is_empty() { "" } else { "=of the user" }), "{names:?}");
        let alone = build(&[("build-args", named)]);
        assert_eq!(alone.script.lines().count() * 2, did.script.lines().count(), "{}", did.script);
        // It wrote nothing that could be read, and that is no reason not to build.
        assert!(
            did.ended.commands[0].starts_with("::warning title=repro::nothing is filled"),
            "{:?}",
            did.ended.commands
        );
    }
    assert!(build(&[("cache-map", "{}")]).argv.contains("run\n"));
}

#[test]
fn defect_41_lines_of_outputs_are_read_and_not_edited() {
    let asked = build(&[("outputs", "\ntype=docker,rewrite-timestamp=false\n\n")]);
    assert!(asked.script.contains("rewrite-timestamp=false"), "{}\n{}", asked.script, asked.ended.text);
    assert!(!asked.script.contains("rewrite-timestamp=true"), "{}", asked.script);
    let unsaid = build(&[("outputs", "type=docker")]);
    assert!(unsaid.script.contains("rewrite-timestamp=true"), "{}", unsaid.script);
    refuses("build", &[("outputs", "type=local,dest=/")], "the type local");
}

#[test]
fn defect_42_what_is_pushed_is_what_was_built() {
    let inputs = [("push", "true"), ("outputs", "type=docker"), ("tags", "127.0.0.1:1/a:1")];
    let did = build(&inputs);
    // One exporter, into an archive; what is in that is pushed afterwards, by `repro push`.
    assert_eq!(did.script.matches("--output=").count(), 1, "{}\n{}", did.script, did.ended.text);
    assert!(!did.script.contains("push=true"), "{}", did.script);
}

#[test]
fn defect_43_an_sbom_does_not_move_the_digest() {
    // That an SBOM leaves the digest alone is in `tests/lab/sbom.rs`; nothing of it is part of the build.
    refuses("build", &[("sbom", "true")], "`sbom` is on, and the image is not pushed");
    let config = json!({
        "os": "linux", "architecture": Platform::of_this_machine().architecture, "config": {"Cmd": ["/scan"]},
        "rootfs": {"type": "layers", "diff_ids": []},
    })
    .to_string();
    let registry = FakeRegistry::start();
    registry.require(Auth::Token { realm: registry.url("/token"), token: "t".to_owned() });
    registry.serve_tokens(None, r#"{"token": "t"}"#);
    let digest = registry.add_blob("scanner", config.as_bytes()).to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": config.len()},
        "layers": [],
    });
    let manifest =
        registry.add_manifest("scanner", "application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    let generator = format!("generator={}/scanner@{manifest}", registry.host());
    let asked = build(&[("sbom", generator.as_str()), ("push", "true"), ("tags", "127.0.0.1:1/a:1")]);
    assert!(registry.count("scanner/blobs") == 1, "{}", asked.ended.text);
    assert!(registry.count("scope=") > 0 && registry.count("push") == 0, "{:?}", registry.requests());
    let plain = build(&[("push", "true"), ("tags", "127.0.0.1:1/a:1")]);
    assert!(
        plain.script.contains("--output=") && !plain.script.contains("sbom"),
        "{}\n{}",
        plain.script,
        plain.ended.text
    );
    assert!(
        !asked.script.contains("sbom") && asked.script.lines().count() == plain.script.lines().count(),
        "{}\n{}",
        asked.script,
        asked.ended.text
    );
}

#[test]
fn defect_47_a_timestamp_is_a_date_by_rfc_3339() {
    let none = ("source_date_epoch", "");
    for wrong in ["yesterday", "2026-04-28", "@0", "1 day ago", "2026-04-28T00:00:00"] {
        refuses("build", &[none, ("timestamp", wrong)], "no date by RFC 3339");
    }
    let did = build(&[none, ("timestamp", "2026-04-28T02:00:00+02:00")]);
    assert!(did.script.contains("SOURCE_DATE_EPOCH=1777334400"), "{}\n{}", did.script, did.ended.text);
}

/// Which defects are tested where: each once, under its number.
#[test]
fn every_defect_has_one_test() {
    let mut left = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")];
    let mut found: BTreeMap<u32, u32> = BTreeMap::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            for (at, line) in lines.iter().enumerate() {
                let of_test = line.strip_prefix("fn defect_").filter(|_| at > 0 && lines[at - 1] == "#[test]");
                // Those on BuildKit are rows of a macro that makes a test of each.
                let of_row = line.strip_prefix("defect_").filter(|_| line.contains('['));
                if let Some(number) = of_test.or(of_row) {
                    *found.entry(number.get(..2).unwrap().parse().unwrap()).or_default() += 1;
                }
            }
        }
    }
    let expected: BTreeMap<u32, u32> = (1..=49).map(|number| (number, 1)).collect();
    assert_eq!(found, expected);
}
