//! What an image says of its own build, and what of that is believed. No engine is asked anything.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod support;

use std::path::Path;
use std::process::Command;

use repro::image::{Image, ReadOptions, read_archive};
use repro::provenance::Material;
use repro::settings::{CompressionWord, MediaTypesWord};
use repro::verify::{BuildRecord, Level, PlatformVerdict, Recipe, Verdict, compare, judge, moved, read};
use serde_json::{Value, json};
use support::image_builder::{ImageBuilder, file, gzip, platforms, tar, zstd};

const EPOCH: i64 = 1_700_000_000;
const DATE: &str = "2023-11-14T22:13:20Z";

fn image(builder: ImageBuilder) -> Image {
    read_archive(builder.build().tar().as_slice(), &ReadOptions::default()).unwrap()
}

fn recipe(image: &Image) -> Recipe {
    read(image, &[], &[])
}

fn layer() -> Vec<u8> {
    tar([file("f", "x").at(EPOCH.unsigned_abs())])
}

fn statement(arguments: &Value) -> BuildRecord {
    let predicate = json!({ "buildDefinition": { "externalParameters": { "request": { "frontend": "dockerfile.v0",
            "args": arguments } }, "internalParameters": { "dockerfileVersion": "1.25.0" } },
        "runDetails": { "metadata": { "buildkit_completeness": { "request": true } } } });
    let statement = json!({ "predicateType": "https://slsa.dev/provenance/v1", "predicate": predicate });
    BuildRecord::parse(statement.to_string().as_bytes()).unwrap()
}

/// The program, with a home of its own and without any engine.
fn repro(more: &[&str]) -> (i32, Value, String) {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
    command.env_clear().envs([("HOME", home.path()), ("PATH", Path::new("/usr/bin:/bin"))]);
    let output = command.args(["verify", "--format", "json"]).args(more).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap(), report, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_is_missing_is_listed() {
    const ARCHIVE: &str = "fuzz/corpus/archive/docker-v0.19.tar";
    let schema: Value = serde_json::from_str(include_str!("../docs/schema/verify.v1.json")).unwrap();
    let digest = format!("sha256:{}", "0".repeat(64));
    for (subject, expected) in [(ARCHIVE, vec!["source"]), (&digest, vec!["source", "epoch"])] {
        let (status, report, said) = repro(&[subject]);
        assert_eq!(
            (status, &report["verdict"], &report["reason"]),
            (4, &"unknown".into(), &"missing".into()),
            "{said}"
        );
        let missing: Vec<&str> =
            report["missing"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
        assert_eq!(missing, expected, "{said}");
        assert_eq!(support::schema::violations(&schema, &report), Vec::<String>::new());
        assert!(said.contains("hint: "), "{said}");
    }
    let (status, report, _) = repro(&["nowhere.example/none"]);
    assert_eq!((status, &report["reason"]), (4, &"subject".into()));
    let (status, report, said) = repro(&["Cargo.toml", "."]);
    assert_eq!((status, &report["verdict"]), (5, &"corrupt".into()), "{said}");
    // Somebody else's BuildKit could hand back what it is to prove.
    let context = tempfile::tempdir().unwrap();
    std::fs::write(context.path().join("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    let words = [ARCHIVE, context.path().to_str().unwrap(), "--addr", "unix:///nowhere"];
    let (status, _, said) = repro(&words);
    assert!(status == 4 && said.contains("--accept-unproved-pin"), "{said}");
}

#[test]
fn layers_show_how_they_were_exported() {
    let rewritten = recipe(&image(ImageBuilder::oci().layer_created(gzip(layer()).rewritten(EPOCH), DATE)));
    let words = &rewritten.words.words;
    assert_eq!(words.source_date_epoch.as_deref(), Some("1700000000"));
    assert_eq!((words.media_types, words.compression), (Some(MediaTypesWord::Oci), Some(CompressionWord::Gzip)));
    assert!(!words.no_rewrite_timestamp);
    assert_eq!(words.platform.as_deref(), Some("linux/amd64"));

    let zipped = recipe(&image(ImageBuilder::oci().layer_created(zstd(layer()).rewritten(EPOCH), DATE)));
    assert_eq!(zipped.words.words.compression, Some(CompressionWord::Zstd));
}

#[test]
fn the_date_of_a_clock_is_no_epoch() {
    let created = |date: &'static str| {
        let builder = ImageBuilder::oci().layer_created(gzip(layer()), date);
        let built = image(builder.config(move |config| config["created"] = date.into()));
        recipe(&built).words.words.source_date_epoch
    };
    assert_eq!(created(DATE).as_deref(), Some("1700000000"));
    assert_eq!(created("2023-11-14T22:13:20.123456789Z"), None);
    // What nothing but a word says is a guess, and called one.
    let builder = ImageBuilder::oci().layer_created(gzip(layer()), "2023-11-14T22:13:20.5Z");
    let guessed = recipe(&image(builder.config(|config| {
        config["created"] = "2023-11-14T22:13:20.5Z".into();
        config["config"]["Labels"] = json!({ "org.opencontainers.image.created": DATE });
    })));
    assert_eq!(guessed.words.words.source_date_epoch.as_deref(), Some("1700000000"));
    assert!(guessed.notes.iter().any(|note| note.contains("guess")), "{:?}", guessed.notes);
}

#[test]
fn arguments_of_strangers_are_looked_at_before_they_are_used() {
    let built = image(ImageBuilder::oci().layer_created(gzip(layer()).rewritten(EPOCH), DATE));
    let record = statement(&json!({
        "build-arg:MODE": "fast; touch /x",
        "build-arg:HTTP_PROXY": "http://evil.example",
        "build-arg:https_proxy": "http://evil.example",
        "build-arg:BUILDKIT_SYNTAX": "evil.example/frontend",
        "build-arg:BUILDKIT_CACHE_MOUNT_NS": "other",
        "build-arg:SOURCE_DATE_EPOCH": "1700000000",
        "build-arg:TARGETARCH": "arm64",
        "target": "two",
        "context:other": "local:other",
    }));
    let recipe = read(&built, &[(None, record)], &[]);
    assert_eq!(recipe.words.words.build_arg, ["MODE=fast; touch /x"]);
    assert_eq!(recipe.words.words.target.as_deref(), Some("two"));
    assert_eq!(recipe.needs, [("--build-context", "other".to_owned())]);
    for name in ["HTTP_PROXY", "https_proxy", "BUILDKIT_SYNTAX", "BUILDKIT_CACHE_MOUNT_NS"] {
        assert!(recipe.notes.iter().any(|note| note.contains(name)), "{name}: {:?}", recipe.notes);
    }
    // v1.25 of the frontend is that of BuildKit v0.31.
    assert!(recipe.words.words.buildkit_image.unwrap().contains(":v0.31.0@sha256:"));
    // What is about another manifest is about another image.
    let other = statement(&json!({ "build-arg:MODE": "fast" }));
    let other = read(&built, &[(Some(format!("sha256:{}", "0".repeat(64))), other)], &[]);
    assert!(other.words.words.build_arg.is_empty());
}

#[test]
fn the_history_tells_arguments_of_this_build_alone() {
    let builder = ImageBuilder::oci()
        .layer_of(gzip(layer()), "2020-01-01T00:00:00Z", "RUN |1 BASE=old /bin/sh -c x")
        .layer_of(gzip(layer()).rewritten(EPOCH), DATE, "RUN |2 MODE=fast N=3 /bin/sh -c x")
        .layer_of(gzip(layer()).rewritten(EPOCH), DATE, "RUN |1 WITH=a space /bin/sh -c x");
    let recipe = recipe(&image(builder));
    assert_eq!(recipe.words.words.build_arg, ["MODE=fast", "N=3"], "{:?}", recipe.notes);
}

#[test]
fn platforms_that_are_not_there_are_never_equal() {
    let one = |architecture: &str| {
        ImageBuilder::oci().layer_created(gzip(layer()).rewritten(EPOCH), DATE).platform("linux", architecture, "")
    };
    let two = platforms([one("amd64"), one("arm64")]);
    let two = read_archive(two.tar().as_slice(), &ReadOptions::default()).unwrap();
    let single = image(one("amd64"));
    let wanted = ["linux/amd64".parse().unwrap()];

    let both = compare(&two, &two, &[], |_| false);
    assert_eq!(judge(&both, &two), (Verdict::Equal, None, Some(Level::Image)));
    let half = compare(&two, &single, &[], |_| false);
    assert_eq!(judge(&half, &two).0, Verdict::Unknown);
    let asked = compare(&two, &single, &wanted, |_| false);
    assert_eq!(judge(&asked, &two), (Verdict::Equal, None, Some(Level::Manifest)));
    assert_eq!(asked.platforms[1].verdict, PlatformVerdict::NotRebuilt);

    let other = image(one("amd64").config(|config| config["config"]["Env"] = json!(["A=b"])));
    let differs = compare(&single, &other, &[], |_| false);
    assert_eq!(judge(&differs, &single), (Verdict::Different, None, Some(Level::Layers)));
    let emulated = compare(&single, &other, &[], |_| true);
    assert_eq!(judge(&emulated, &single).0, Verdict::Unknown);
    // Whatever emulates: what is equal is equal.
    assert_eq!(judge(&compare(&single, &single, &[], |_| true), &single).0, Verdict::Equal);
}

#[test]
fn a_base_that_moved_is_named() {
    let base = |name: &str, hex: &str, platform: &str| Material {
        uri: format!("pkg:docker/{name}?digest=sha256:{hex}&platform={platform}"),
        digest: [("sha256".to_owned(), hex.to_owned())].into(),
    };
    let before =
        [base("debian@12", "aa", "linux%2Famd64"), base("debian@12", "bb", "linux%2Farm64"), base("gone@1", "cc", "x")];
    let now = [base("debian@12", "dd", "linux%2Famd64"), base("debian@12", "bb", "linux%2Farm64")];
    let found = moved(&before, &now);
    assert!(matches!(found.as_slice(), [one] if one.contains("`pkg:docker/debian@12` was `aa`")), "{found:?}");
    assert!(moved(&before, &before).is_empty());
}
