//! A clean stop: what a build started ends with it.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Bench, Way, as_way, base, ways, words};

/// What may be left behind, counted.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    containers: Vec<String>,
    processes: Vec<String>,
    mounts: usize,
    temporary: Vec<String>,
}

fn lines(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

impl Traces {
    /// Everything of this bench: its root is in each path and command line that belongs to it.
    fn of(bench: &Bench, way: Way, builders: &[String]) -> Self {
        let root = bench.home().to_string_lossy().into_owned();
        let list = ["ps", "--all", "--format", "{{.Names}}", "--filter"];
        let containers = match way.runtime() {
            "buildkitd" => Vec::new(),
            // buildx gives its containers no label of ours.
            "docker" => lines(Command::new("docker").args(list).arg("name=buildx_buildkit_repro-"))
                .into_iter()
                .filter(|container| builders.iter().any(|builder| container.contains(builder)))
                .collect(),
            _ => {
                let label = format!("label=repro.state={}", bench.state(way).display());
                lines(as_way(way, &[], Path::new("podman")).args(list).arg(label))
            }
        };
        let processes = lines(Command::new("ps").args(["-eo", "args"]));
        let state = bench.state(way);
        let output = bench.output(way, "image.tar");
        let places = [bench.temporary(), &state.join("tmp"), &state.join("throw-away"), output.parent().unwrap()];
        let temporary = places.into_iter().flat_map(|place| std::fs::read_dir(place).into_iter().flatten().flatten());
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        Self {
            containers,
            processes: processes.into_iter().filter(|line| line.contains(&root)).collect(),
            mounts: mounts.lines().filter(|line| line.contains(&root)).count(),
            temporary: temporary.map(|entry| entry.path().to_string_lossy().into_owned()).collect(),
        }
    }
}

/// The builders that buildx knows, which are containers of the same name. Throw-away ones have to be gone in the end.
fn builders(bench: &Bench, way: Way) -> Vec<String> {
    let records = std::fs::read_dir(bench.state(way).join("buildx/instances")).into_iter().flatten().flatten();
    records.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_signal_ends_the_build_and_leaves_nothing() {
    for way in ways() {
        // Docker's builder stays, unless it was made for this build alone.
        let kept = if *way == Way::Docker { "--no-cache" } else { "kept" };
        for (signal, status, state) in [("INT", 130, kept), ("TERM", 143, "--no-cache")] {
            let bench = Bench::alone("stop");
            // The path shows in the command line of RUN's shell, so that it is counted.
            let run = format!("echo the-run-has-begun; tail -f /dev/null; : {}", bench.home().display());
            let context = bench.context("context", &[("Dockerfile", &format!("ARG BASE\nFROM $BASE\nRUN {run}\n"))]);
            let before = Traces::of(&bench, *way, &[]);
            let output = bench.output(*way, "image.tar");
            let mut command = bench.repro(*way);
            command
                .args(bench.arguments(*way))
                .args(base())
                .args(words(&["--sde", "0"]))
                .args((state == "--no-cache").then_some(state))
                .arg("-o")
                .arg(&output)
                .arg(&context);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let mut stderr = child.stderr.take().unwrap();
            let mut text = Vec::new();
            let mut buffer = [0; 4096];
            while !String::from_utf8_lossy(&text).contains("# the-run-has-begun")
                && !String::from_utf8_lossy(&text).contains(" the-run-has-begun\n")
            {
                let count = stderr.read(&mut buffer).unwrap();
                assert_ne!(count, 0, "{}: the build ended: {}", way.name(), String::from_utf8_lossy(&text));
                text.extend_from_slice(&buffer[..count]);
            }
            let builders = builders(&bench, *way);
            assert_eq!(builders.len(), usize::from(*way == Way::Docker), "{builders:?}");
            let during = Traces::of(&bench, *way, &builders);
            assert!(way.runtime() == "buildkitd" || during.containers.len() == 1, "{}: {during:?}", way.name());
            assert!(during.processes.iter().any(|process| process.contains("tail -f")), "{}: {during:?}", way.name());
            // The plain user's command has a shell in front: the signal is for repro itself.
            let target = pids_of(&bench);
            for pid in &target {
                assert!(Command::new("kill").args(["-s", signal, pid]).status().unwrap().success());
            }
            stderr.read_to_end(&mut text).unwrap();
            let ended = child.wait().unwrap();
            assert_eq!(ended.code(), Some(status), "{} {signal}: {}", way.name(), String::from_utf8_lossy(&text));
            wait_for("the processes to end", || Traces::of(&bench, *way, &builders).processes == before.processes);
            assert_eq!(Traces::of(&bench, *way, &builders), before, "{} {signal}", way.name());
            assert!(!output.exists());
        }
    }
}

/// The processes that are `repro build` of this bench.
fn pids_of(bench: &Bench) -> Vec<String> {
    let binary = bench.home().canonicalize().unwrap().join("repro");
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let link = std::fs::read_link(entry.path().join("exe"));
        if link.is_ok_and(|exe| exe == binary) {
            pids.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    assert_eq!(pids.len(), 1, "repro runs once");
    pids
}
