//! One digest: every context of the corpus on every way to build, and on one way again from the cache, from a copy with other
//! times; the runtimes share that out.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::harness::{Bench, Built, Way, every_way, runtimes};

/// Where rootless builders give another digest than rootful ones, what the build must say about it.
const EXCEPTIONS: [(&str, &str); 2] = [("scratch-run", "moby/buildkit#6686"), ("setuid-files", "loses these bits")];
/// The context whose files are older than its epoch: it must keep its times wherever it goes.
const KEEPS_TIMES: &str = "old-files";

pub struct Corpus {
    pub directory: PathBuf,
    pub cases: Vec<String>,
}

impl Corpus {
    pub fn make(bench: &Bench, name: &str) -> Self {
        let directory = bench.directory(name);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/corpus/make");
        let made = Command::new(script).arg(&directory).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut cases: Vec<String> = fs::read_dir(&directory)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_string_lossy().strip_suffix(".args").map(str::to_owned))
            .collect();
        cases.sort();
        Self { directory, cases }
    }

    pub fn arguments(&self, case: &str) -> Vec<OsString> {
        let lines = fs::read(self.directory.join(format!("{case}.args"))).unwrap();
        let lines = lines.strip_suffix(b"\n").unwrap_or(&lines);
        lines.split(|byte| *byte == b'\n').map(|line| OsString::from_vec(line.to_vec())).collect()
    }

    /// The same files at other times.
    fn touch(&self) {
        for case in self.cases.iter().filter(|case| *case != KEEPS_TIMES) {
            let mut touch = Command::new("find");
            touch.arg(self.directory.join(case)).args([
                "-exec",
                "touch",
                "-h",
                "-d",
                "2024-06-07T08:09:10.5Z",
                "{}",
                "+",
            ]);
            assert!(touch.status().unwrap().success());
        }
    }
}

type Results = BTreeMap<(String, Way, &'static str), Built>;

/// What one way makes of every case, cold and then perhaps warm from the copy, with builders that are removed afterwards.
fn build_all(way: Way, first: &Corpus, copy: &Corpus) -> Results {
    let bench = Bench::alone("corpus");
    let mut results = Results::new();
    // The ways of one runtime keep their caches alike, and of one context all runtimes do: each has its share of them.
    let runtimes = runtimes();
    let share = runtimes.iter().position(|other| *other == way);
    let is_warm = |number: usize| share.is_some_and(|share| number % runtimes.len() == share);
    // The BuildKit of others runs as one of our own does; what reaches it comes from the client that Docker has.
    let is_cold = |number: usize, case: &str| {
        way != Way::Remote || number.is_multiple_of(4) || EXCEPTIONS.iter().any(|(name, _)| *name == case)
    };
    for (state, corpus) in [("cold", first), ("warm", copy)] {
        for (number, case) in corpus.cases.iter().enumerate() {
            let is_built = if state == "cold" { is_cold(number, case) } else { is_warm(number) };
            if !is_built {
                continue;
            }
            let output = bench.output(way, "image.tar");
            let built = bench.build(way, &output, &corpus.arguments(case), &corpus.directory.join(case));
            results.insert((case.clone(), way, state), built);
        }
    }
    results
}

/// All ways, three at a time: more only take each other's processors and memory.
fn build_every_way(first: &Corpus, copy: &Corpus) -> Results {
    let queue = Mutex::new(every_way().to_vec());
    let work = || {
        let mut results = Results::new();
        loop {
            let next = queue.lock().unwrap().pop();
            let Some(way) = next else { return results };
            results.extend(build_all(way, first, copy));
        }
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Defects 14, 19 and 23 of upstream.
#[test]
fn every_way_gives_one_digest() {
    if every_way().is_empty() {
        return;
    }
    let bench = Bench::alone("one digest");
    let first = Corpus::make(&bench, "corpus");
    let copy = Corpus::make(&bench, "copy of the corpus");
    copy.touch();
    assert!(first.cases.len() >= 15, "{:?}", first.cases);
    let built = build_every_way(&first, &copy);
    let mut wrong = Vec::new();
    for case in &first.cases {
        let exception = EXCEPTIONS.iter().find(|(name, _)| name == case);
        let mut groups: BTreeMap<bool, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
        for ((_, way, state), outcome) in built.iter().filter(|((name, ..), _)| name == case) {
            let group = exception.is_some() && way.is_rootless();
            groups
                .entry(group)
                .or_default()
                .entry(outcome.digest())
                .or_default()
                .push(format!("{} {state}", way.name()));
            // Whether somebody else's daemon runs without root is not known, so that it may.
            if let (Some((_, said)), true) = (exception, *way != Way::Remote) {
                assert_eq!(outcome.warns_of(said), way.is_rootless(), "{case} {}: {:?}", way.name(), outcome.warnings);
            }
        }
        for digests in groups.values().filter(|digests| digests.len() > 1) {
            wrong.push(format!("{case}: {digests:#?}"));
        }
        let all: BTreeSet<&str> = groups.values().flat_map(BTreeMap::keys).copied().collect();
        let expected = groups.len();
        if all.len() != expected && groups.values().all(|digests| digests.len() == 1) {
            wrong.push(format!("{case}: rootless and rootful builders agree, the exception is gone: {all:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let older = built.iter().filter(|((case, ..), _)| case == KEEPS_TIMES);
    assert!(older.into_iter().all(|(_, outcome)| outcome.warns_of("3 entries")), "the clamp's leavings are told");
}

/// Defect 18 of upstream.
#[test]
fn throw_away_state_gives_the_same_digest_and_keeps_nothing() {
    for way in &runtimes() {
        let bench = Bench::shared("no cache", *way);
        let context = bench.context(
            "context",
            &[("f", "x"), ("Dockerfile", "ARG BASE\nFROM $BASE\nCOPY f /\nRUN date > /dev/null; echo made > /made\n")],
        );
        let mut arguments = crate::harness::base();
        arguments.extend(crate::harness::words(&["--sde", "0"]));
        let kept = bench.build(*way, &bench.output(*way, "kept.tar"), &arguments, &context);
        arguments.push("--no-cache".into());
        let cold = bench.build(*way, &bench.output(*way, "cold.tar"), &arguments, &context);
        assert_eq!(kept.digest(), cold.digest(), "{}", way.name());
        let left = bench.state(*way).join("throw-away");
        let left = fs::read_dir(left).map(Iterator::count).unwrap_or_default();
        assert_eq!(left, 0, "{} left throw-away state behind", way.name());
    }
}
