//! Many builds in a row and eight at once: each right, and nothing of them stays but the cache, below its limit.
//!
//! `make soak` makes 200 of them on each way; without it, a few.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Bench, Way, as_way, base, lab, runtimes, ways, words};
use crate::traces::{Traces, builders, lines};

const SHORT: usize = 1;
const AT_ONCE: usize = 8;
/// What each build writes anew, twice over: not compressible.
const FRESH_BYTES: usize = 256 << 10;
/// How far the cache may grow.
const LIMIT: u64 = 48 << 20;
/// How far above it the cache may stay: BuildKit's own databases and the records of the last fifty builds are no part of it. 200
/// builds write more than twice as much.
const ABOVE: u64 = 100 << 20;
/// Descriptors that a daemon may have more than before: connections that it keeps for a while. A leak is one for each build.
const SPARE: usize = 3;
const DOCKERFILE: &str = "ARG BASE\nFROM $BASE\nCOPY f /f\nRUN cp /f /etc/g && mkdir /etc/h\n";

/// Everything that is counted before and after.
#[derive(Debug, PartialEq, Eq)]
struct Count {
    traces: Traces,
    /// Mounts that a lasting builder sees.
    inside: BTreeMap<String, usize>,
    volumes: Vec<String>,
    networks: Vec<String>,
    /// What lies in our directories of state, by the first two names, without what belongs to BuildKit.
    files: BTreeMap<String, usize>,
}

fn engine(way: Way) -> Command {
    as_way(way, &[], Path::new(if way == Way::Docker { "docker" } else { "podman" }))
}

/// The processes in the container of a builder: BuildKit, and what keeps it.
fn inside_builder(bench: &Bench, way: Way) -> Vec<String> {
    let containers = builders(bench, way).into_iter().map(|builder| format!("buildx_buildkit_{builder}0"));
    let top = |container: String| {
        let pids = lines(Command::new("docker").args(["top", &container, "-eo", "pid,comm"]));
        pids.into_iter()
            .filter(|line| line.ends_with("buildkitd"))
            .map(|line| line.split_whitespace().next().unwrap().to_owned())
    };
    containers.flat_map(|container| top(container).collect::<Vec<_>>()).collect()
}

/// How many descriptors a process has open. BuildKit drops the pipes of a step that ended and leaves them to Go's garbage
/// collector, which comes within two minutes (seen: 11 to 148 s); one whose two ends are both there waits for it, and is only
/// counted where there is time for that.
fn descriptors(pid: &str, patient: bool) -> usize {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut ends: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for target in entries.filter_map(|entry| fs::read_link(entry.path()).ok()) {
        *ends.entry(target).or_default() += 1;
    }
    let is_dropped = |target: &Path, count: usize| count == 2 && target.to_string_lossy().starts_with("pipe:");
    ends.iter().filter(|(target, count)| patient || !is_dropped(target, **count)).map(|(_, count)| count).sum()
}

/// The daemons that live on between builds, and how many descriptors each has open. What everybody uses is only counted where
/// no other test runs.
fn daemons(bench: &Bench, way: Way, alone: bool) -> BTreeMap<String, usize> {
    if way != Way::Docker {
        return BTreeMap::new();
    }
    let mut pids: Vec<(String, String)> =
        inside_builder(bench, way).into_iter().map(|pid| ("buildkitd".to_owned(), pid)).collect();
    for name in ["dockerd", "containerd"].into_iter().filter(|_| alone) {
        let text = fs::read_to_string(format!("{}/run/{name}.daemon", lab("LAB_STATE"))).unwrap();
        pids.push((name.to_owned(), text.split(' ').next().unwrap().to_owned()));
    }
    pids.into_iter().map(|(name, pid)| (name, descriptors(&pid, alone))).collect()
}

fn files_below(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
}

impl Count {
    fn of(bench: &Bench, way: Way) -> Self {
        let builders = builders(bench, way);
        let ours = |name: &String| builders.iter().any(|builder| name.contains(builder));
        let locks: Vec<String> = names(&bench.state(way).join("locks"));
        let (mut volumes, mut networks) = (Vec::new(), Vec::new());
        if way.runtime() != "buildkitd" {
            volumes = lines(engine(way).args(["volume", "ls", "--quiet"]));
            volumes.retain(|name| ours(name) || locks.contains(name));
            networks = lines(engine(way).args(["network", "ls", "--format", "{{.Name}}"]));
        }
        let mounts = |pid: String| {
            let table = fs::read_to_string(format!("/proc/{pid}/mounts")).unwrap_or_default();
            ("buildkitd".to_owned(), table.lines().count())
        };
        let mut files = BTreeMap::new();
        for name in names(&bench.state(way)).into_iter().filter(|name| name != "buildkitd") {
            let directory = bench.state(way).join(&name);
            // Each context has a lock of its own, which `repro builder prune` removes.
            for below in names(&directory).into_iter().filter(|below| !below.starts_with("context-")) {
                files.insert(format!("{name}/{below}"), files_below(&directory.join(&below)));
            }
        }
        Self {
            traces: Traces::with_builders(bench, way, &builders),
            inside: inside_builder(bench, way).into_iter().map(mounts).collect(),
            volumes,
            networks,
            files,
        }
    }

    /// The same again, once what still ends has ended.
    fn comes_back(&self, bench: &Bench, way: Way) {
        let start = Instant::now();
        loop {
            let now = Self::of(bench, way);
            if now == *self {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{}: before {self:#?}\nafter {now:#?}", way.name());
            // Asking without end would keep open what is to be closed.
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Bytes that nothing compresses, others for each seed.
fn noise(seed: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::try_from(seed).unwrap().wrapping_mul(0xd134_2543_de82_ef95);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..FRESH_BYTES / 8).flat_map(|_| next()).collect()
}

struct Soak<'a> {
    bench: &'a Bench,
    way: Way,
}

impl Soak<'_> {
    fn context(&self, name: &str, seed: usize) -> PathBuf {
        let context = self.bench.context(name, &[("Dockerfile", DOCKERFILE)]);
        fs::write(context.join("f"), noise(seed)).unwrap();
        context
    }

    fn build(&self, context: &Path, output: &str) -> String {
        let mut arguments = words(&["--sde", "0"]);
        arguments.extend(base());
        self.bench.build(self.way, &self.bench.output(self.way, output), &arguments, context).digest().to_owned()
    }

    /// Size and limit of the cache, as `repro builder ls` has them; a plain user's cannot be measured by that user.
    fn kept(&self) -> (u64, u64) {
        let output = self.bench.repro(self.way).args(["builder", "ls", "--format", "json"]).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let items = report["items"].as_array().unwrap();
        let caches: Vec<&Value> = items
            .iter()
            .filter(|item| ["builder", "volume", "state"].iter().any(|kind| item["kind"] == **kind))
            .collect();
        let [cache] = caches.as_slice() else { panic!("{}: one cache of {items:#?}", self.way.name()) };
        let measured = || {
            let place = if self.way.runtime() == "podman" {
                let volumes = lines(
                    engine(self.way)
                        .args(["volume", "inspect", "--format", "{{.Mountpoint}}"])
                        .arg(cache["name"].as_str().unwrap()),
                );
                PathBuf::from(&volumes[0])
            } else {
                PathBuf::from(cache["place"].as_str().unwrap())
            };
            let du = lines(Command::new("du").args(["-s", "-x", "-B1"]).arg(place));
            du[0].split_whitespace().next().unwrap().parse().unwrap()
        };
        (cache["size"].as_u64().unwrap_or_else(measured), cache["cache_limit"].as_u64().unwrap())
    }

    /// The descriptors that the daemons have open once what the last builds had open is closed.
    fn settle(&self, open: &BTreeMap<String, usize>, alone: bool) -> BTreeMap<String, usize> {
        let start = Instant::now();
        loop {
            let now = daemons(self.bench, self.way, alone);
            assert_eq!(open.keys().collect::<Vec<_>>(), now.keys().collect::<Vec<_>>(), "{}", self.way.name());
            if open.iter().all(|(name, count)| now[name] <= count + SPARE) {
                return now;
            }
            assert!(start.elapsed() < Duration::from_secs(300), "{}: open were {open:?}, now {now:?}", self.way.name());
            // Asking without end would keep open what is to be closed.
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What is kept once BuildKit has looked at its cache, which it does at most once a minute: how much is written meanwhile
    /// depends on how fast the machine builds.
    fn collected(&self) -> (u64, u64) {
        let start = Instant::now();
        loop {
            let (size, limit) = self.kept();
            if size <= LIMIT + ABOVE {
                return (size, limit);
            }
            let seconds = start.elapsed().as_secs();
            assert!(seconds < 150, "{}: the cache still has {size} bytes", self.way.name());
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    fn at_once(&self, expected: &[String; 2]) {
        let contexts: Vec<PathBuf> =
            (0..AT_ONCE).map(|number| self.context(&format!("at once {number}"), number % 2)).collect();
        let digests: Vec<String> = std::thread::scope(|scope| {
            let builds: Vec<_> = contexts
                .iter()
                .enumerate()
                .map(|(number, context)| scope.spawn(move || self.build(context, &format!("at once {number}.tar"))))
                .collect();
            builds.into_iter().map(|build| build.join().unwrap()).collect()
        });
        for (number, digest) in digests.iter().enumerate() {
            assert_eq!(*digest, expected[number % 2], "{}: build {number} at once", self.way.name());
        }
    }
}

fn say(text: &str) {
    // Past the capture of the test runner: it takes many minutes.
    let _ = fs::OpenOptions::new().append(true).open("/dev/stderr").map(|mut err| err.write_all(text.as_bytes()));
}

#[test]
fn many_builds_leave_nothing_but_a_cache_below_its_limit_on_docker() {
    many_builds_on("docker");
}

#[test]
fn many_builds_leave_nothing_but_a_cache_below_its_limit_on_podman() {
    many_builds_on("podman");
}

#[test]
fn many_builds_leave_nothing_but_a_cache_below_its_limit_on_buildkitd() {
    many_builds_on("buildkitd");
}

fn many_builds_on(runtime: &str) {
    let asked = std::env::var("REPRO_TEST_SOAK").ok().filter(|asked| !asked.is_empty());
    let (alone, builds) = (asked.is_some(), asked.map_or(SHORT, |asked| asked.parse().unwrap()));
    let tested = if alone { ways().to_vec() } else { runtimes() };
    if !alone {
        say(&format!("soak: {runtime}: the short form, on one way; `make soak` takes all of them, and 200 builds\n"));
    }
    for way in tested.into_iter().filter(|way| way.runtime() == runtime) {
        many_builds(way, builds, alone);
    }
}

fn many_builds(way: Way, builds: usize, alone: bool) {
    let bench = Bench::alone("soak");
    bench.configure(&format!("[worker.oci]\nmaxUsedSpace = {LIMIT}\nreservedSpace = {LIMIT}\n"));
    let soak = Soak { bench: &bench, way };
    // What the first builds make stays: a builder, its lock.
    let expected = [0, 1].map(|seed| soak.build(&soak.context("in a row", seed), "in a row.tar"));
    assert_ne!(expected[0], expected[1]);
    let (before, open) = (Count::of(&bench, way), daemons(&bench, way, alone));
    let start = Instant::now();
    let mut largest = 0;
    for number in 0..builds {
        soak.build(&soak.context("in a row", number + 2), "in a row.tar");
        if (number + 1) % 20 == 0 {
            let (size, _) = soak.kept();
            largest = largest.max(size);
            let (name, seconds) = (way.name(), start.elapsed().as_secs());
            say(&format!("soak: {name}: {} of {builds} builds in {seconds} s, cache {} MB\n", number + 1, size >> 20));
        }
    }
    soak.at_once(&expected);
    before.comes_back(&bench, way);
    let after = soak.settle(&open, alone);
    let (size, limit) = soak.collected();
    let largest = largest.max(size);
    assert_eq!(limit, LIMIT, "{}: the limit of the configuration is shown", way.name());
    say(&format!(
        "soak: {}: {builds} in a row, {AT_ONCE} at once; cache {size} bytes, at most {}, limit {limit}; descriptors {open:?}, then {after:?}\n",
        way.name(),
        largest
    ));
}
