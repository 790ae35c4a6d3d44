//! The defects 27 to 34 and 44 to 46 of upstream (analysis, and its verify action), each as what a user sees of this program.
//! Those before are in `tests/lab/defects`, for they need BuildKit; what needs a registry that lies is in `tests/lab/verify`.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod support;

use std::path::PathBuf;
use std::process::Command;

use repro::environment::Environment;
use repro::settings::{BuildWords, ConfigChoice, resolve};
use serde_json::Value;
use support::image_builder::{ImageBuilder, Layout, file, gzip, platforms, tar};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn archive(&self, layout: &Layout) -> String {
        let path: PathBuf = self.0.path().join("image.tar");
        std::fs::write(&path, layout.tar()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn run(words: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_repro")).args(words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn image(content: &str) -> ImageBuilder {
    ImageBuilder::oci().layer(gzip(tar([file("a", content)])))
}

fn both() -> Layout {
    platforms([image("one").platform("linux", "amd64", ""), image("two").platform("linux", "arm", "v7")])
}

fn report(archive: &str) -> Value {
    let (status, out, error) = run(&["analyze", "--format", "json", archive]);
    assert_eq!(status, 0, "{out}{error}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn defect_27_every_blob_is_held_against_its_digest() {
    let place = Place::new();
    let layout = image("a").build();
    for path in layout.members.iter().map(|(path, _)| path).filter(|path| path.starts_with("blobs/")) {
        let tampered = layout.clone().change(path, |bytes| *bytes.last_mut().unwrap() ^= 1);
        assert_eq!(run(&["analyze", &place.archive(&tampered)]).0, 5, "{path} is another");
        assert_eq!(run(&["analyze", &place.archive(&layout.clone().without(path))]).0, 5, "{path} is missing");
    }
}

#[test]
fn defect_28_digests_and_references_are_read_by_the_specification() {
    let place = Place::new();
    let archive = place.archive(&image("a").build());
    let hex = "0a".repeat(32);
    for word in [format!("sha512:{hex}"), format!("sha256:{}", hex.to_uppercase()), format!("md5:{hex}"), hex.clone()] {
        let (status, _, error) = run(&["analyze", "--expected-image-digest", &word, &archive]);
        assert!(status == 2 && error.contains("digest"), "{word}: {status} {error}");
        if word.starts_with("sha") {
            let (status, _, error) = run(&["verify", &word, "."]);
            assert!(status == 2 && error.contains("hint: "), "{word}: {status} {error}");
        }
    }
    // A port is no tag. Nobody listens there, which is no wrong usage.
    let (status, _, error) = run(&["analyze", &format!("127.0.0.1:1/x@sha256:{hex}")]);
    assert!(status == 4 && error.contains("cannot reach `127.0.0.1:1`"), "{status} {error}");
}

#[test]
fn defect_29_an_empty_digest_equals_nothing() {
    let place = Place::new();
    let archive = place.archive(&image("a").build());
    assert_eq!(run(&["analyze", "--expected-image-digest", "", &archive]).0, 2);
    assert_eq!(run(&["verify", "", "."]).0, 2);
}

#[test]
fn defect_30_a_digest_matches_on_a_level_that_is_told() {
    let place = Place::new();
    let archive = place.archive(&both());
    let found = report(&archive);
    let index = found["image"]["digest"].as_str().unwrap();
    let manifest = found["image"]["manifests"][1]["digest"].as_str().unwrap();
    let config = found["image"]["manifests"][1]["config"]["digest"].as_str().unwrap();
    for (digest, level) in [(index, "index"), (manifest, "manifest"), (config, "config")] {
        let (status, out, error) = run(&["analyze", "--expected-image-digest", digest, &archive]);
        assert!(status == 0 && out.contains(level), "{level}: {out}{error}");
    }
    let other = format!("sha256:{}", "0a".repeat(32));
    assert_eq!(run(&["analyze", "--expected-image-digest", &other, &archive]).0, 1);
    let empty = both().edit("index.json", |index| index["manifests"] = Value::Array(Vec::new()));
    let (status, _, error) = run(&["analyze", &place.archive(&empty)]);
    assert!(status == 5 && error.contains("hint: "), "{status} {error}");
}

#[test]
fn defect_31_media_types_that_may_be_left_out_are_inferred() {
    let place = Place::new();
    let untyped = image("a").manifest(|manifest| drop(manifest.as_object_mut().unwrap().remove("mediaType")));
    let untyped = untyped.index(|index| drop(index.as_object_mut().unwrap().remove("mediaType")));
    assert_eq!(report(&place.archive(&untyped.build()))["status"], "ok");
}

#[test]
fn defect_32_platforms_are_whole_and_attestations_are_no_images() {
    let place = Place::new();
    let found = report(&place.archive(&both()));
    let whole = serde_json::json!({ "os": "linux", "architecture": "arm", "variant": "v7" });
    assert_eq!(found["image"]["manifests"][1]["platform"], whole, "{found:#}");
    let attested = report(&place.archive(&image("a").attested().build()));
    assert_eq!(attested["image"]["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(attested["image"]["attestations"].as_array().unwrap().len(), 1);
}

/// Documents are read up to a size and a depth, and a name that is there twice has no content.
#[test]
fn defect_33_nothing_is_read_without_an_end() {
    let place = Place::new();
    let layout = image("a").build();
    let large = layout.clone().change("index.json", |bytes| bytes.extend(vec![b' '; 5 << 20]));
    let deep = layout.clone().with("manifest.json", "[".repeat(100_000) + &"]".repeat(100_000));
    let mut twice = layout.clone();
    twice.members.push(twice.members[0].clone());
    for (what, broken) in [("large", large), ("deep", deep), ("twice", twice)] {
        let (status, out, error) = run(&["analyze", &place.archive(&broken)]);
        assert_eq!(status, 5, "{what}: {out}{error}");
    }
}

#[test]
fn defect_34_the_exit_status_tells_what_it_is() {
    let place = Place::new();
    let archive = place.archive(&image("a").build());
    let zeros = format!("sha256:{}", "0".repeat(64));
    assert_eq!(run(&["analyze", &archive]).0, 0);
    assert_eq!(run(&["analyze", "--expected-image-digest", &zeros, &archive]).0, 1);
    assert_eq!(run(&["analyze", "--no-such-flag", &archive]).0, 2);
    assert_eq!(run(&["analyze", "/nowhere.tar"]).0, 4);
    std::fs::write(&archive, "no tar").unwrap();
    assert_eq!(run(&["analyze", &archive]).0, 5);
}

/// Lists of words are repeated flags, and lists in `repro.toml`: nothing is split.
#[test]
fn defect_44_values_with_commas_and_lines_stay_whole() {
    let place = Place::new();
    let context = place.0.path().join("context");
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("Dockerfile"), "FROM scratch\nARG A\nARG B\nLABEL a=$A\n").unwrap();
    let resolved = || {
        let words = BuildWords {
            context: context.clone().into(),
            source_date_epoch: Some("0".to_owned()),
            build_arg: vec!["A=x,y z,B=no\nC=no".to_owned()],
            ..BuildWords::default()
        };
        let now = chrono::Utc::now();
        resolve(&words, &ConfigChoice::Found, &Environment::default(), &context, now).unwrap().build_args
    };
    let given = ("A".to_owned(), "x,y z,B=no\nC=no".to_owned());
    assert_eq!(resolved().into_iter().collect::<Vec<_>>(), std::slice::from_ref(&given));
    std::fs::write(context.join("repro.toml"), "build-arg = ['B=one,two']\n").unwrap();
    assert_eq!(resolved().into_iter().collect::<Vec<_>>(), [given, ("B".to_owned(), "one,two".to_owned())]);
}

/// Whatever changes an image can be said to whoever builds it again.
#[test]
fn defect_45_an_image_can_be_verified_with_the_words_that_it_was_built_with() {
    let (_, of_build, _) = run(&["build", "--help"]);
    let (_, of_verify, _) = run(&["verify", "--help"]);
    let flags = |help: &str| -> Vec<String> {
        let words = help.split_whitespace().filter(|word| word.starts_with("--"));
        words.map(|word| word.trim_end_matches([',', ')', ']', ';', ':', '.']).to_owned()).collect()
    };
    let known = flags(&of_verify);
    let missing: Vec<String> = flags(&of_build).into_iter().filter(|flag| !known.contains(flag)).collect();
    // Which verify nothing.
    assert!(missing.iter().all(|flag| ["--dry", "--dry-run"].contains(&flag.as_str())), "{missing:?}");
    for flag in
        ["--target", "--label", "--datetime", "--secret", "--no-cache", "--build-context", "--output", "--rootless"]
    {
        assert!(known.iter().any(|known| known == flag), "{flag}");
    }
}

/// Nothing but the program is needed, and a name that moves is asked once: its digest counts from there.
#[test]
fn defect_46_no_other_program_is_asked_for_a_digest() {
    let hex = "0a".repeat(32);
    let output = Command::new(env!("CARGO_BIN_EXE_repro"))
        .env_clear()
        .args(["analyze", &format!("127.0.0.1:1/x@sha256:{hex}")])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(4) && text.contains("cannot reach"), "{text}");
}
