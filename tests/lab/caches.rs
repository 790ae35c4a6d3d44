//! Caches that go from one builder to another: what they give is what a cold build gives.
//!
//! `make caches` sends the whole corpus through a registry's cache.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::corpus::Corpus;
use crate::harness::{Bench, Built, Way, base, lab, runtimes, said, ways, words};

const DOCKERFILE: &str = "ARG BASE\nFROM $BASE\nRUN true\nRUN echo x > /x\nCOPY f /\nWORKDIR /w\nRUN mkdir -p /w && cat /proc/sys/kernel/random/uuid > /random\n";

/// What RUN made by chance tells whether the cache was used.
#[test]
fn an_imported_cache_gives_what_was_exported() {
    for way in &runtimes() {
        let bench = Bench::shared("cache, exported", *way);
        let context = bench.context("context", &[("f", "x"), ("Dockerfile", DOCKERFILE)]);
        let output = bench.output(*way, "image.tar");
        let place = bench.output(*way, "cache, local");
        let name = format!("{}/cache/{}-{}:1", lab("LAB_REGISTRY"), way.name(), std::process::id());
        let build = |more: &[String]| {
            let mut arguments = words(&["--sde", "0", "--no-cache"]);
            arguments.extend(base());
            arguments.extend(more.iter().map(Into::into));
            let result = bench.try_build(*way, &output, &arguments, &context);
            assert!(result.status.success(), "{} {more:?}: {}", way.name(), said(&result));
            Built::read(&result).digest().to_owned()
        };
        let exported = build(&[
            format!("--cache-to=type=registry,ref={name},mode=max"),
            format!("--cache-to=\"type=local\",\"dest={}\",mode=max", place.display()),
        ]);
        let from_registry = build(&[format!("--cache-from=type=registry,ref={name}")]);
        let from_directory = build(&[format!("--cache-from=type=local,\"src={}\"", place.display())]);
        let found: BTreeSet<_> = [&exported, &from_registry, &from_directory].into_iter().collect();
        assert_eq!(found.len(), 1, "{}: {found:?}", way.name());
        assert_ne!(build(&[]), exported, "a build without the cache makes another random file");
    }
}

/// A cache in the laboratory's registry that nobody else has.
fn cache_name(way: Way, name: &str) -> String {
    format!("{}/cache/{}-{}-{name}", lab("LAB_REGISTRY"), way.name(), std::process::id())
}

/// One build on throw-away state: its digest, how many steps came from the cache, and whether it was built once more without.
struct Outcome {
    digest: String,
    cached: usize,
    again: bool,
}

fn build_fresh(bench: &Bench, way: Way, arguments: &[OsString], context: &Path) -> Outcome {
    let mut all = words(&["--no-cache", "--progress", "plain"]);
    all.extend_from_slice(arguments);
    let result = bench.try_build(way, &bench.output(way, "image.tar"), &all, context);
    assert!(result.status.success(), "{} {}: {}", way.name(), context.display(), said(&result));
    let built = Built::read(&result);
    let text = String::from_utf8_lossy(&result.stderr);
    let cached = text.lines().filter(|line| line.starts_with('#') && line.ends_with(" CACHED")).count();
    Outcome { digest: built.digest().to_owned(), cached, again: built.warns_of("building again without a cache") }
}

/// Every context, exported with the layers of the result alone and with all of them, and imported on state that has nothing
/// else.
#[test]
#[ignore = "`make caches` runs it: it takes a quarter of an hour"]
fn an_imported_cache_gives_the_digest_of_a_cold_build_over_the_corpus() {
    let mut wrong = Vec::new();
    for way in ways() {
        let bench = Bench::alone("caches");
        let corpus = Corpus::make(&bench, "corpus");
        let (mut imported, mut again) = (BTreeMap::<&str, usize>::new(), Vec::new());
        for (number, case) in corpus.cases.iter().enumerate() {
            let context = corpus.directory.join(case);
            let mut arguments = corpus.arguments(case);
            let modes = ["min", "max"].map(|mode| (mode, cache_name(*way, &format!("{mode}:{case}"))));
            arguments.extend(
                modes
                    .iter()
                    .map(|(mode, name)| OsString::from(format!("--cache-to=type=registry,ref={name},mode={mode}"))),
            );
            let cold = build_fresh(&bench, *way, &arguments, &context);
            for (mode, name) in &modes {
                let mut arguments = corpus.arguments(case);
                arguments.push(format!("--cache-from=type=registry,ref={name}").into());
                let warm = build_fresh(&bench, *way, &arguments, &context);
                if warm.digest != cold.digest {
                    wrong.push(format!(
                        "{} {case} mode={mode}: {} cold, {} imported",
                        way.name(),
                        cold.digest,
                        warm.digest
                    ));
                }
                if warm.again {
                    again.push(format!("{case} mode={mode}"));
                } else {
                    *imported.entry(mode).or_default() += usize::from(warm.cached > cold.cached);
                }
            }
            eprintln!("caches: {}, {} of {}: {case}", way.name(), number + 1, corpus.cases.len());
        }
        eprintln!("caches: {}: contexts that used what was imported: {imported:?}, built again: {again:?}", way.name());
        assert!(imported.values().all(|count| *count > corpus.cases.len() / 2), "{}: {imported:?}", way.name());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// What a cached step wrote has a time of its own then, which rewriting leaves.
#[test]
fn what_a_cache_kept_from_before_the_epoch_does_not_reach_the_image() {
    for way in &runtimes() {
        let bench = Bench::shared("before the epoch", *way);
        let dockerfile =
            format!("ARG BASE\nFROM $BASE\nRUN echo {} > /etc/made && mkdir /etc/new\n", std::process::id());
        let context = bench.context("context", &[("Dockerfile", &dockerfile)]);
        let output = bench.output(*way, "image.tar");
        let name = cache_name(*way, "before:1");
        let build = |epoch: &str, more: &[String]| {
            let mut arguments = words(&["--sde", epoch]);
            arguments.extend(base());
            arguments.extend(more.iter().map(Into::into));
            bench.build(*way, &output, &arguments, &context)
        };
        build("0", &[format!("--cache-to=type=registry,ref={name}")]);
        let before = now();
        while now() == before {
            std::thread::yield_now();
        }
        let epoch = now().to_string();
        let cold = build(&epoch, &["--no-cache".to_owned()]);
        for more in [vec![], vec!["--no-cache".to_owned(), format!("--cache-from=type=registry,ref={name}")]] {
            let warm = build(&epoch, &more);
            assert_eq!(warm.digest(), cold.digest(), "{} {more:?}", way.name());
            assert!(warm.warns_of("building again without a cache"), "{}: {:?}", way.name(), warm.warnings);
        }
        assert!(!build("0", &[]).warns_of("building again"), "{}: nothing is older than this epoch", way.name());
    }
}

/// Whether a build warns that what it holds may be from a cache that is older than the epoch.
fn is_built_again(bench: &Bench, way: Way, epoch: &str, context: &Path) -> bool {
    bench.build(way, &bench.output(way, "image.tar"), &words(&["--sde", epoch]), context).warns_of("building again")
}

/// A home may be younger than the daemon that it uses: then nothing says how old the cache is.
#[test]
fn a_cache_that_was_there_before_its_lock_is_of_unknown_age() {
    for way in &runtimes() {
        let bench = Bench::alone("older cache");
        let context = bench.context("context", &[("f", "x"), ("Dockerfile", "FROM scratch\nCOPY f /\n")]);
        let epoch = now();
        let file = fs::File::options().write(true).open(context.join("f")).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(epoch - 7200)).unwrap();
        let epoch = epoch.to_string();
        assert!(!is_built_again(&bench, *way, &epoch, &context), "{}: older than the cache", way.name());
        for lock in fs::read_dir(bench.state(*way).join("locks")).unwrap().flatten() {
            fs::remove_file(lock.path()).unwrap();
        }
        assert!(is_built_again(&bench, *way, &epoch, &context), "{}: nobody knows", way.name());
        // Not the binaries that all tests share: the next one would unpack them again.
        let cache = [("XDG_CACHE_HOME", bench.temporary().as_os_str())];
        let listed = bench.repro_with(*way, &cache).args(["builder", "prune", "--all"]).output().unwrap();
        assert!(listed.status.success(), "{}", said(&listed));
        assert!(!is_built_again(&bench, *way, &epoch, &context), "{}: the cache is new", way.name());
    }
}
