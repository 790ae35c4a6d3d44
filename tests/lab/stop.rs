//! A clean stop: what a build started ends with it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
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

/// A build whose RUN never ends, begun.
struct Begun {
    bench: Bench,
    way: Way,
    child: Child,
    stderr: ChildStderr,
    builders: Vec<String>,
    before: Traces,
    output: PathBuf,
}

impl Begun {
    fn new(way: Way, no_cache: bool) -> Self {
        let bench = Bench::alone("stop");
        // The path shows in the command line of RUN's shell, so that it is counted.
        let run = format!("echo the-run-has-begun; tail -f /dev/null; : {}", bench.home().display());
        let context = bench.context("context", &[("Dockerfile", &format!("ARG BASE\nFROM $BASE\nRUN {run}\n"))]);
        let before = Traces::of(&bench, way, &[]);
        let output = bench.output(way, "image.tar");
        let mut command = bench.repro(way);
        command.args(bench.arguments(way)).args(base()).args(words(&["--sde", "0"]));
        command.args(no_cache.then_some("--no-cache")).arg("-o").arg(&output).arg(&context);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while !["# the-run-has-begun", " the-run-has-begun\n"].iter().any(|begun| contains(&text, begun)) {
            let count = stderr.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "{}: the build ended: {}", way.name(), String::from_utf8_lossy(&text));
            text.extend_from_slice(&buffer[..count]);
        }
        let builders = builders(&bench, way);
        assert_eq!(builders.len(), usize::from(way == Way::Docker), "{builders:?}");
        let during = Traces::of(&bench, way, &builders);
        assert!(way.runtime() == "buildkitd" || during.containers.len() == 1, "{}: {during:?}", way.name());
        assert!(during.processes.iter().any(|process| process.contains("tail -f")), "{}: {during:?}", way.name());
        Self { bench, way, child, stderr, builders, before, output }
    }

    /// Sends the signal to repro itself: the plain user's command has a shell in front.
    fn end(mut self, signal: &str, status: i32) {
        for pid in &pids_of(&self.bench) {
            send(signal, pid);
        }
        let mut text = Vec::new();
        self.stderr.read_to_end(&mut text).unwrap();
        let ended = self.child.wait().unwrap();
        let way = self.way.name();
        assert_eq!(ended.code(), Some(status), "{way} {signal}: {}", String::from_utf8_lossy(&text));
        let traces = || Traces::of(&self.bench, self.way, &self.builders);
        wait_for("the processes to end", || traces().processes == self.before.processes);
        assert_eq!(traces(), self.before, "{way} {signal}");
        assert!(!self.output.exists());
    }
}

fn contains(text: &[u8], part: &str) -> bool {
    String::from_utf8_lossy(text).contains(part)
}

fn send(signal: &str, pid: &str) {
    assert!(Command::new("kill").args(["-s", signal, pid]).status().unwrap().success());
}

#[test]
fn a_signal_ends_the_build_and_leaves_nothing() {
    for way in ways() {
        // Docker's builder stays, unless it was made for this build alone.
        Begun::new(*way, *way == Way::Docker).end("INT", 130);
        Begun::new(*way, true).end("TERM", 143);
    }
}

/// It has to be killed then, and what RUN started and what is mounted has to go with it.
#[test]
fn a_daemon_that_hangs_leaves_nothing() {
    for way in ways().iter().filter(|way| way.runtime() == "buildkitd") {
        let begun = Begun::new(*way, true);
        let root = begun.bench.home().to_string_lossy().into_owned();
        let daemons = lines(Command::new("ps").args(["-eo", "pid,args"]));
        let daemons: Vec<&str> = daemons
            .iter()
            .filter_map(|line| line.trim_start().split_once(' '))
            .filter(|(_, args)| args.trim_start().contains("/buildkitd --root") && args.contains(&root))
            .filter(|(_, args)| !args.contains("unshare") && !args.contains("rootlesskit "))
            .map(|(pid, _)| pid)
            .collect();
        assert_eq!(daemons.len(), 1, "{daemons:?}");
        send("STOP", daemons[0]);
        begun.end("TERM", 143);
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
