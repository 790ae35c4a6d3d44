//! Archives of real builds, with planted faults: told apart rightly.

use std::fs;
use std::process::Command;

use crate::harness::{Bench, Way, base, lab, said, ways, words};

fn way() -> Option<Way> {
    ways().first().copied()
}

#[test]
fn a_changed_byte_of_a_real_archive_is_found() {
    let Some(way) = way() else { return };
    let bench = Bench::shared("tampered", way);
    let context = bench.context("context", &[("f", "some content"), ("Dockerfile", "FROM scratch\nCOPY f /\n")]);
    let archive = bench.output(way, "image.tar");
    bench.build(way, &archive, &words(&["--sde", "0"]), &context);
    let original = fs::read(&archive).unwrap();
    let analyze = |bytes: &[u8]| {
        let copy = bench.output(way, "tampered.tar");
        fs::write(&copy, bytes).unwrap();
        Command::new(env!("CARGO_BIN_EXE_repro")).arg("analyze").arg(&copy).output().unwrap()
    };
    assert!(analyze(&original).status.success());
    // In the middle of every member that holds something: each is a document or a blob.
    let mut at = 0;
    let mut tampered = 0;
    while at + 512 <= original.len() && original[at] != 0 {
        let size = usize::from_str_radix(std::str::from_utf8(&original[at + 124..at + 135]).unwrap(), 8).unwrap();
        let name = String::from_utf8_lossy(&original[at..at + 100]).trim_end_matches('\0').to_owned();
        // The other members are named by no digest: what is wrong there shows in what they say.
        if size > 0 && name.starts_with("blobs/") {
            let mut bytes = original.clone();
            bytes[at + 512 + size / 2] ^= 1;
            let output = analyze(&bytes);
            assert!(matches!(output.status.code(), Some(5)), "{name}: {}", said(&output));
            tampered += 1;
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    assert_eq!(tampered, 3, "manifest, config, layer");
}

#[test]
fn a_base_with_an_epoch_but_without_rewriting_is_no_fault_of_the_build() {
    for way in ways() {
        for media_types in ["docker", "oci"] {
            let bench = Bench::shared("unrewritten", *way);
            let context =
                bench.context("context", &[("f", "x"), ("Dockerfile", "ARG BASE\nFROM $BASE\nCOPY f /new/\n")]);
            let mut arguments = words(&["--sde", "0", "--media-types", media_types, "--build-arg"]);
            arguments.push(format!("BASE={}", lab("LAB_BASE_UNREWRITTEN")).into());
            let built = bench.build(*way, &bench.output(*way, "image.tar"), &arguments, &context);
            let layers = built.row("layers");
            assert!(layers.contains("of the base)"), "{} {media_types}: {layers}", way.name());
        }
    }
}

#[test]
fn the_version_of_the_builder_is_held_against_the_tag() {
    for way in ways() {
        let bench = Bench::shared("version", *way);
        let context = bench.context("context", &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
        let output = bench.output(*way, "image.tar");
        let mut command = bench.repro(*way);
        let lie = |argument: std::ffi::OsString| argument.to_string_lossy().replace(":v0.19.0", ":v0.18.2");
        command.args(bench.arguments(*way).into_iter().map(lie));
        let result = command.args(["--sde", "0", "-o"]).arg(&output).arg(&context).output().unwrap();
        assert_eq!(result.status.code(), Some(4), "{}: {}", way.name(), said(&result));
        let stderr = String::from_utf8_lossy(&result.stderr);
        assert!(stderr.contains("BuildKit v0.19.0 built") && stderr.contains("is v0.18.2"), "{stderr}");
        assert!(!output.exists(), "what is not proved is not kept");
    }
}

/// Defect 13 of upstream.
#[test]
fn a_failed_build_leaves_no_archive_not_even_the_old_one() {
    for way in ways() {
        let bench = Bench::shared("failed", *way);
        let context = bench.context("context", &[("Dockerfile", "ARG BASE\nFROM $BASE\nRUN exit 7\n")]);
        let output = bench.output(*way, "image.tar");
        fs::write(&output, "the archive of an earlier build").unwrap();
        crate::harness::open_to_all(&output, 0o666);
        let mut arguments = base();
        arguments.extend(words(&["--sde", "0"]));
        let result = bench.try_build(*way, &output, &arguments, &context);
        assert_eq!(result.status.code(), Some(3), "{}: {}", way.name(), said(&result));
        assert!(!output.exists(), "{}: an old archive looks new", way.name());
        let stderr = String::from_utf8_lossy(&result.stderr);
        assert!(stderr.contains("error: the build failed") && stderr.contains("hint: "), "{stderr}");
    }
}
