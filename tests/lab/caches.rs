//! Caches that go from one builder to another: what they give is what a cold build gives.

use std::collections::BTreeSet;

use crate::harness::{Bench, base, lab, said, ways, words};

const DOCKERFILE: &str = "ARG BASE\nFROM $BASE\nRUN true\nRUN echo x > /x\nCOPY f /\nWORKDIR /w\nRUN mkdir -p /w && cat /proc/sys/kernel/random/uuid > /random\n";

/// What RUN made by chance tells whether the cache was used.
#[test]
fn an_imported_cache_gives_what_was_exported() {
    for way in ways() {
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
            crate::harness::Built::read(&result).digest().to_owned()
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
