//! `repro builder ls|rm|prune`: shows and removes what `repro` made, and nothing else.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Bench, Way, as_way, lab, said, ways, words};
use crate::support::schema;
use crate::traces::Running;

const SCHEMA: &str = include_str!("../../docs/schema/builders.v1.json");

fn list(bench: &Bench, way: Way) -> Vec<Value> {
    let output = bench.repro(way).args(["builder", "ls", "--format", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let violations = schema::violations(&serde_json::from_str(SCHEMA).unwrap(), &report);
    assert!(violations.is_empty(), "{violations:?}");
    assert_eq!(report["not_asked"], serde_json::json!([]), "{}", way.name());
    report["items"].as_array().unwrap().clone()
}

fn of_kind<'a>(items: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<&Value> = items.iter().filter(|item| item["kind"] == kind).collect();
    let [item] = found.as_slice() else { panic!("one {kind} of {items:#?}") };
    item
}

const fn kind(way: Way) -> &'static str {
    match way {
        Way::Docker => "builder",
        Way::Podman | Way::PodmanUser | Way::PodmanRootless => "volume",
        Way::Buildkitd | Way::BuildkitdUser => "state",
        Way::Remote => "nothing",
    }
}

/// Things of somebody else that look as ours do.
struct Foreign {
    way: Way,
    names: Vec<(&'static str, String)>,
}

impl Foreign {
    fn engine(way: Way) -> Command {
        as_way(way, &[], Path::new(if way == Way::Docker { "docker" } else { "podman" }))
    }

    fn make(way: Way) -> Self {
        let unique = std::process::id();
        let volume = format!("repro-v0.19.0-0123456789ab-{unique}");
        let container = format!("buildx_buildkit_repro-v0.19.0-0123456789ab-{unique}0");
        let image = lab("LAB_BUILDKIT_V0_19_0");
        let mut commands = vec![vec!["volume", "create", &volume]];
        let create = ["create", "--label=repro.state=/somebody/else", "--name", &container, &image];
        commands.push(create.to_vec());
        for arguments in &commands {
            let output = Self::engine(way).args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
        }
        Self { way, names: vec![("volume", volume), ("container", container)] }
    }

    fn is_there(&self) {
        for (kind, name) in &self.names {
            let there = Self::engine(self.way).args([kind, "inspect", name]).output().unwrap().status.success();
            assert!(there, "{}: the {kind} of somebody else is gone", self.way.name());
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        for (kind, name) in &self.names {
            let _ = Self::engine(self.way).args([kind, "rm", name]).output();
        }
    }
}

/// Defects 18 and 20 of upstream.
#[test]
fn what_a_build_keeps_is_listed_and_removed_and_nothing_else() {
    for way in ways() {
        let bench = Bench::alone("kept");
        let foreign = (way.runtime() != "buildkitd").then(|| Foreign::make(*way));
        let context = bench.context("context", &[("f", "x"), ("Dockerfile", "FROM scratch\nCOPY f /\n")]);
        let build = || bench.build(*way, &bench.output(*way, "image.tar"), &words(&["--sde", "0"]), &context);
        let first = build();
        let items = list(&bench, *way);
        let item = of_kind(&items, kind(*way));
        let (name, state) = (item["name"].as_str().unwrap(), item["state"].as_str().unwrap());
        assert_eq!(item["runtime"], way.runtime());
        let pin = item["pin"].as_str().unwrap().trim_start_matches("sha256:");
        assert!(first.row("buildkit").contains(pin), "{}: {pin}", way.name());
        assert!(item["last_used"].is_string(), "{}: {item}", way.name());
        assert_eq!(state, if *way == Way::Docker { "running" } else { "stopped" }, "{}", way.name());
        if !way.is_rootless() {
            assert!(item["size"].as_u64().unwrap() > 0 && item["cache_limit"].as_u64().unwrap() > 0, "{item}");
        }

        // While a build uses it, it stays.
        let mut running = Running::start(&bench, *way, &bench.output(*way, "endless.tar"), &[]);
        assert_eq!(of_kind(&list(&bench, *way), kind(*way))["state"], "in-use", "{}", way.name());
        let refused = bench.repro(*way).args(["builder", "rm", name]).output().unwrap();
        assert_eq!(refused.status.code(), Some(4), "{}: {}", way.name(), said(&refused));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("a build uses it now"), "{}", said(&refused));
        let pruned = bench.repro(*way).args(["builder", "prune", "--older-than", "0s", "--dry"]).output().unwrap();
        assert!(!String::from_utf8_lossy(&pruned.stdout).contains(name), "{}: {}", way.name(), said(&pruned));
        if way.runtime() == "buildkitd" {
            // Nor do the binaries go that it runs, for a state directory that knows nothing of it.
            let elsewhere = Bench::alone("elsewhere");
            let items = list(&elsewhere, *way);
            let binaries = items
                .iter()
                .find(|item| item["kind"] == "binaries" && item["pin"].as_str().unwrap().contains(pin))
                .unwrap();
            assert_eq!(binaries["state"], "in-use", "{}", way.name());
            let pruned = elsewhere.repro(*way).args(["builder", "prune", "--all"]).output().unwrap();
            assert!(pruned.status.success(), "{}: {}", way.name(), said(&pruned));
            assert!(!String::from_utf8_lossy(&pruned.stdout).contains(pin), "{}: {}", way.name(), said(&pruned));
        }
        assert!(running.child.try_wait().unwrap().is_none());
        for pid in crate::traces::pids_of(&bench) {
            assert!(Command::new("kill").arg(pid).status().unwrap().success());
        }
        running.wait();

        // What was used a moment ago stays unless asked for; then all of it goes.
        let pruned = bench.repro(*way).args(["builder", "prune"]).output().unwrap();
        assert!(pruned.status.success() && pruned.stdout.is_empty(), "{}: {}", way.name(), said(&pruned));
        let removed = bench.repro(*way).args(["builder", "rm", name]).output().unwrap();
        assert!(removed.status.success(), "{}: {}", way.name(), said(&removed));
        assert_eq!(String::from_utf8(removed.stdout).unwrap(), format!("{} {name}\n", kind(*way)));
        assert!(list(&bench, *way).iter().all(|item| item["kind"] != kind(*way)), "{}", way.name());
        let unknown = bench.repro(*way).args(["builder", "rm", name]).output().unwrap();
        assert_eq!(unknown.status.code(), Some(2), "{}: {}", way.name(), said(&unknown));
        if let Some(foreign) = &foreign {
            foreign.is_there();
        }
        assert_eq!(build().digest(), first.digest(), "{}: the next build makes it anew", way.name());
    }
}

/// Hexadecimal digits that compress to half of their size.
fn digits(count: usize) -> String {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from_digit(state >> 28, 16).unwrap()
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
fn what_was_found_in_layers_is_kept_and_a_broken_file_of_it_is_not_believed() {
    for way in ways().iter().filter(|way| way.runtime() == "buildkitd") {
        let bench = Bench::alone("known");
        let context = bench.context("context", &[("f", &digits(4 << 20)), ("Dockerfile", "FROM scratch\nCOPY f /\n")]);
        let build = || {
            bench.build(*way, &bench.output(*way, "image.tar"), &words(&["--sde", "0"]), &context).digest().to_owned()
        };
        let kept = bench.state(*way).join("layers.v1");
        let digest = build();
        let listed = list(&bench, *way);
        let item = of_kind(&listed, "layers");
        assert_eq!((&item["name"], item["place"].as_str()), (&"known".into(), kept.to_str()));
        let known = fs::read_to_string(&kept).unwrap();
        assert!(known.contains("\"entries\":1,"), "{known}");
        assert_eq!(build(), digest, "{}: from what is known", way.name());
        assert_eq!(fs::read_to_string(&kept).unwrap(), known);

        // As if the layer were another one: what is not whole is not believed, but found out again.
        for broken in [known.replace("\"entries\":1,", "\"entries\":2,"), known[..known.len() - 2].to_owned()] {
            assert_ne!(broken, known);
            fs::write(&kept, broken).unwrap();
            assert_eq!(build(), digest, "{}", way.name());
            assert_eq!(fs::read_to_string(&kept).unwrap(), known);
        }
        let removed = bench.repro(*way).args(["builder", "rm", "known"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&removed.stdout), "layers known\n", "{}", said(&removed));
        assert!(!kept.exists());
    }
}

/// Locks lie in the state directory: who has another one does not know what we use, and must not share it. And what imports a
/// cache must not leave it to those who do not.
#[test]
fn another_state_directory_and_an_import_have_builders_of_their_own() {
    for way in ways().iter().filter(|way| matches!(way, Way::Docker | Way::Podman)) {
        let bench = Bench::shared("states", *way);
        let context = bench.context("context", &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
        let name = |state: Option<&str>, more: &[&str]| {
            let mut command = bench.repro(*way);
            command.args(bench.arguments(*way)).args(["--sde=0", "--dry"]).args(more).arg(&context);
            command.envs(state.map(|state| ("XDG_STATE_HOME", bench.output(*way, state))));
            let script = String::from_utf8(command.output().unwrap().stdout).unwrap();
            let word = |at: usize| script[at..].split(['"', '\'', ' ', ',', ':', '\n']).next().unwrap().to_owned();
            word(script.find("repro-v0.19.0-").unwrap_or_else(|| panic!("{}: {script}", way.name())))
        };
        assert_eq!(name(None, &[]), name(None, &["--no-config"]));
        assert_ne!(name(None, &[]), name(Some("other"), &[]), "{}", way.name());
        let import = "--cache-from=type=registry,ref=registry.example/cache";
        assert_ne!(name(None, &[]), name(None, &[import]), "{}", way.name());
    }
}
