//! What builds leave behind, counted, and a build that runs until it is ended.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Bench, Way, as_way, base, processes_from, words};

/// What may be left behind, counted.
#[derive(Debug, PartialEq, Eq)]
pub struct Traces {
    pub containers: Vec<String>,
    pub processes: Vec<String>,
    mounts: usize,
    temporary: Vec<String>,
    /// Records of runs, throw-away state, spooled archives, half-written results.
    unfinished: Vec<String>,
}

/// What a command prints, sorted.
pub fn lines(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

impl Traces {
    /// Everything of this bench: its root is in each path and command line that belongs to it.
    pub fn of(bench: &Bench, way: Way) -> Self {
        Self::with_builders(bench, way, &[])
    }

    /// The same, with the containers of these builders: buildx gives its containers no label of ours.
    pub fn with_builders(bench: &Bench, way: Way, builders: &[String]) -> Self {
        let root = bench.home().to_string_lossy().into_owned();
        let list = ["ps", "--all", "--format", "{{.Names}}", "--filter"];
        let containers = match way.runtime() {
            "buildkitd" => Vec::new(),
            "docker" => lines(Command::new("docker").args(list).arg("name=buildx_buildkit_repro-"))
                .into_iter()
                .filter(|container| builders.iter().any(|builder| container.contains(builder)))
                .collect(),
            _ => {
                let label = format!("label=repro.state={}", bench.state(way).display());
                lines(as_way(way, &[], Path::new("podman")).args(list).arg(label))
            }
        };
        let temporary = std::fs::read_dir(bench.temporary()).unwrap().flatten();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let state = bench.state(way);
        let places = [state.join("runs"), state.join("throw-away"), state.join("tmp")];
        let parts = names_in(bench.output(way, "").parent().unwrap()).into_iter();
        let parts = parts.filter(|name| name.starts_with(".repro."));
        let unfinished = places.iter().flat_map(|place| names_in(place)).chain(parts).collect();
        Self {
            unfinished,
            containers,
            processes: processes_of(bench),
            mounts: mounts.lines().filter(|line| line.contains(&root)).count(),
            temporary: temporary.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect(),
        }
    }
}

/// What runs with the bench's home in its command line.
fn processes_of(bench: &Bench) -> Vec<String> {
    let root = bench.home().to_string_lossy().into_owned();
    lines(Command::new("ps").args(["-eo", "args"])).into_iter().filter(|line| line.contains(&root)).collect()
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The builders that buildx knows, which are containers of the same name. Throw-away ones have to be gone in the end.
pub fn builders(bench: &Bench, way: Way) -> Vec<String> {
    names_in(&bench.state(way).join("buildx/instances"))
}

/// A build whose RUN has begun and does not end by itself.
pub struct Running {
    pub child: Child,
    stderr: ChildStderr,
    text: Vec<u8>,
}

impl Running {
    /// The bench's home is in the command line of each process of it, also of RUN's.
    pub fn start(bench: &Bench, way: Way, output: &Path, more: &[&str]) -> Self {
        let home = bench.home().display();
        let dockerfile =
            format!("ARG BASE\nFROM $BASE\nRUN echo the-run-has-begun; tail -f /dev/null; true '{home}'\n");
        let context = bench.context("endless", &[("Dockerfile", &dockerfile)]);
        let mut command = bench.repro(way);
        command.args(bench.arguments(way)).args(base()).args(words(&["--sde", "0"])).args(more).arg("-o").arg(output);
        let mut child = command.arg(&context).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let mut running = Self { child, stderr, text: Vec::new() };
        let mut buffer = [0; 4096];
        while !running.said().lines().any(|line| line.ends_with(" the-run-has-begun")) {
            let count = running.stderr.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "{}: the build ended: {}", way.name(), running.said());
            running.text.extend_from_slice(&buffer[..count]);
        }
        running
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    /// Its end, and what it said.
    pub fn wait(mut self) -> (ExitStatus, String) {
        self.stderr.read_to_end(&mut self.text).unwrap();
        (self.child.wait().unwrap(), self.said())
    }
}

/// Waits until nothing runs but what ran before.
pub fn wait_for_the_end(bench: &Bench, way: Way, before: &Traces) {
    let start = Instant::now();
    loop {
        let now = processes_of(bench);
        if now == before.processes {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{}: they live after a minute: {now:#?}", way.name());
        // Asking without end would take a processor from what has to end.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The process that is `repro build` of this bench.
pub fn pids_of(bench: &Bench) -> Vec<String> {
    let pids = processes_from(bench.home());
    assert_eq!(pids.len(), 1, "repro runs once");
    pids
}
