//! The digest does not depend on what a builder did before.

use crate::harness::{Bench, lab, ways, words};

/// Defect 19 of upstream: what a warm builder gives, a cold one gives.
#[test]
fn a_base_in_another_compression_in_the_cache_does_not_reach_the_image() {
    for way in ways() {
        let (bench, clean) = (Bench::alone("substitution"), Bench::shared("substitution, clean", *way));
        let arguments = |base: &str| {
            let mut arguments = words(&["--sde", "0", "--build-arg"]);
            arguments.push(format!("BASE={}", lab(base)).into());
            arguments
        };
        let dockerfile = [("Dockerfile", "ARG BASE\nFROM $BASE\nENV A=b\n")];
        let expected = clean.build(
            *way,
            &clean.output(*way, "image.tar"),
            &arguments("LAB_BASE_SMALL"),
            &clean.context("context", &dockerfile),
        );
        let context = bench.context("context", &dockerfile);
        let output = bench.output(*way, "image.tar");
        let zstd = bench.build(*way, &output, &arguments("LAB_BASE_SMALL_ZSTD"), &context);
        assert_ne!(zstd.digest(), expected.digest());
        let built = bench.build(*way, &output, &arguments("LAB_BASE_SMALL"), &context);
        assert_eq!(built.digest(), expected.digest(), "{}", way.name());
        assert!(built.warns_of("building again without a cache"), "{}: {:?}", way.name(), built.warnings);
    }
}
