//! A clean stop: what a build started ends with it.

use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Bench, Way, ways};
use crate::traces::{Running, Traces, builders, lines, pids_of, wait_for_the_end};

/// A build whose RUN never ends, begun.
struct Begun {
    bench: Bench,
    way: Way,
    running: Running,
    builders: Vec<String>,
    before: Traces,
    output: PathBuf,
}

impl Begun {
    fn new(way: Way, no_cache: bool) -> Self {
        let bench = Bench::alone("stop");
        let output = bench.output(way, "image.tar");
        let before = Traces::of(&bench, way);
        let running = Running::start(&bench, way, &output, if no_cache { &["--no-cache"] } else { &[] });
        let builders = builders(&bench, way);
        assert_eq!(builders.len(), usize::from(way == Way::Docker), "{builders:?}");
        let during = Traces::with_builders(&bench, way, &builders);
        assert!(way.runtime() == "buildkitd" || during.containers.len() == 1, "{}: {during:?}", way.name());
        assert!(during.processes.iter().any(|process| process.contains("tail -f")), "{}: {during:?}", way.name());
        Self { bench, way, running, builders, before, output }
    }

    /// Sends the signal to repro itself: the plain user's command has a shell in front.
    fn end(self, signal: &str, status: i32) {
        for pid in &pids_of(&self.bench) {
            send(signal, pid);
        }
        let (ended, said) = self.running.wait();
        let way = self.way.name();
        assert_eq!(ended.code(), Some(status), "{way} {signal}: {said}");
        wait_for_the_end(&self.bench, self.way, &self.before);
        assert_eq!(Traces::with_builders(&self.bench, self.way, &self.builders), self.before, "{way} {signal}");
        assert!(!self.output.exists());
    }
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
