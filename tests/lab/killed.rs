//! What is killed without a word: `repro` itself, the builder, the client. Nothing stays, and the next build is right.

use std::path::Path;
use std::process::Command;

use crate::harness::{Bench, Way, as_way, base, runtimes, said, ways, words};
use crate::traces::{Running, Traces, pids_of, wait_for_the_end};

fn kill(pids: &[String]) {
    assert!(!pids.is_empty(), "there is nothing to kill");
    assert!(Command::new("kill").arg("-KILL").args(pids).status().unwrap().success());
}

/// The processes whose program has this name, and whose command line names the bench.
fn processes(bench: &Bench, program: &str) -> Vec<String> {
    let home = bench.home().to_string_lossy().into_owned();
    let output = Command::new("ps").args(["-eo", "pid=,comm=,args="]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mine = text.lines().filter(|line| line.contains(&home)).filter_map(|line| {
        let mut words = line.split_whitespace();
        let (pid, name) = (words.next()?, words.next()?);
        (name == program).then(|| pid.to_owned())
    });
    mine.collect()
}

/// The next build: right, and all that was there before it and nothing else is there after it.
fn build_after(bench: &Bench, way: Way, before: &Traces, what: &str) {
    let files = [("f", "x"), ("Dockerfile", "ARG BASE\nFROM $BASE\nCOPY f /\nRUN cp f g\n")];
    let context = bench.context("context", &files);
    let output = bench.output(way, "after.tar");
    let mut arguments = base();
    arguments.extend(words(&["--sde", "0"]));
    bench.build(way, &output, &arguments, &context);
    let analyzed = bench.repro(way).arg("analyze").arg(&output).output().unwrap();
    assert!(analyzed.status.success(), "{} {what}: {}", way.name(), said(&analyzed));
    wait_for_the_end(bench, way, before);
    assert_eq!(Traces::of(bench, way), *before, "{} {what}", way.name());
}

#[test]
fn a_killed_repro_ends_its_build_and_the_next_run_cleans_up() {
    for way in ways() {
        // What throw-away state needs besides is one thing for all ways of a runtime.
        let kinds: &[&[&str]] = if runtimes().contains(way) { &[&[], &["--no-cache"]] } else { &[&[]] };
        for more in kinds {
            let bench = Bench::alone("killed");
            let before = Traces::of(&bench, *way);
            let output = bench.output(*way, "image.tar");
            let running = Running::start(&bench, *way, &output, more);
            kill(&pids_of(&bench));
            let (status, _) = running.wait();
            assert!(!status.success());
            wait_for_the_end(&bench, *way, &before);
            assert_ne!(Traces::of(&bench, *way), before, "{}: a killed one cannot clean up", way.name());
            build_after(&bench, *way, &before, "after repro was killed");
            assert!(!output.exists());
        }
    }
}

#[test]
fn a_killed_builder_is_said_and_leaves_nothing() {
    for way in ways() {
        let bench = Bench::alone("killed builder");
        let before = Traces::of(&bench, *way);
        let output = bench.output(*way, "image.tar");
        let running = Running::start(&bench, *way, &output, &[]);
        match way.runtime() {
            "docker" => {
                let instances = std::fs::read_dir(bench.state(*way).join("buildx/instances")).unwrap();
                let name = instances.flatten().next().unwrap().file_name().into_string().unwrap();
                let container = format!("buildx_buildkit_{name}0");
                assert!(Command::new("docker").args(["kill", &container]).output().unwrap().status.success());
            }
            "podman" => {
                let label = format!("label=repro.state={}", bench.state(*way).display());
                let mut ask = as_way(*way, &[], Path::new("podman"));
                let names = ask.args(["ps", "--filter", &label, "--format={{.Names}}"]).output().unwrap().stdout;
                let name = String::from_utf8(names).unwrap();
                let mut kill = as_way(*way, &[], Path::new("podman"));
                assert!(kill.args(["kill", name.trim()]).output().unwrap().status.success());
            }
            _ => kill(&processes(&bench, "buildkitd")),
        }
        let (status, text) = running.wait();
        assert!(matches!(status.code(), Some(3 | 4)), "{}: {text}", way.name());
        assert!(text.contains("error: ") && text.contains("hint: "), "{}: {text}", way.name());
        wait_for_the_end(&bench, *way, &before);
        assert_eq!(Traces::of(&bench, *way), before, "{}: {text}", way.name());
        assert!(!output.exists());
        build_after(&bench, *way, &before, "after the builder was killed");
    }
}

#[test]
fn a_killed_client_is_said_and_leaves_nothing() {
    for way in ways() {
        let bench = Bench::alone("killed client");
        let before = Traces::of(&bench, *way);
        let output = bench.output(*way, "image.tar");
        let running = Running::start(&bench, *way, &output, &[]);
        kill(&match way.runtime() {
            "docker" => processes(&bench, "docker-buildx"),
            "podman" => processes(&bench, "podman"),
            _ => processes(&bench, "buildctl"),
        });
        let (status, text) = running.wait();
        assert!(matches!(status.code(), Some(3 | 4)), "{}: {text}", way.name());
        assert!(text.contains("error: ") && text.contains("hint: "), "{}: {text}", way.name());
        wait_for_the_end(&bench, *way, &before);
        assert_eq!(Traces::of(&bench, *way), before, "{}: {text}", way.name());
        assert!(!output.exists());
        build_after(&bench, *way, &before, "after the client was killed");
    }
}
