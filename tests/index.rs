//! `repro index create`: what is joined is what the registry has, and what cannot be joined is refused before anything is pushed.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod support;

use std::process::{Command, Output};

use repro::image::media_type::{OCI_INDEX, OCI_MANIFEST};
use repro::image::{ReadOptions, read_archive};
use repro::registry::Shipment;
use serde_json::{Value, json};
use support::image_builder::{ImageBuilder, Layout, file, gzip, plain, platforms, tar};
use support::registry::{Auth, FakeRegistry, Fault};
use support::{checked_report, said};

const SCHEMA: &str = include_str!("../docs/schema/index.v1.json");
const NAME: &str = "team/app";

fn image(os: &str, architecture: &str, variant: &str) -> ImageBuilder {
    let contents = format!("{os}/{architecture}/{variant}");
    ImageBuilder::oci().platform(os, architecture, variant).layer(gzip(tar([file("a", contents)])))
}

fn amd64() -> Layout {
    image("linux", "amd64", "").build()
}

fn arm64() -> Layout {
    image("linux", "arm64", "v8").build()
}

struct Place {
    home: tempfile::TempDir,
    registry: FakeRegistry,
}

impl Place {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), registry: FakeRegistry::start() }
    }

    fn reference(&self, tail: &str) -> String {
        format!("{}/{NAME}{tail}", self.registry.host())
    }

    /// Puts an image into a repository, as a push by digest does, and names it.
    fn has_in(&self, repository: &str, layout: &Layout) -> String {
        let image = read_archive(layout.tar().as_slice(), &ReadOptions::default()).unwrap();
        let shipment = Shipment::of(&image).unwrap();
        for document in shipment.documents() {
            self.registry.add_manifest(repository, &document.media_type, &document.bytes);
        }
        for (path, bytes) in &layout.members {
            let digest = path.strip_prefix("blobs/sha256/").map(|hex| format!("sha256:{hex}").parse().unwrap());
            if digest.is_some_and(|digest| shipment.blobs().contains_key(&digest)) {
                self.registry.add_blob(repository, bytes);
            }
        }
        format!("{}/{repository}@{}", self.registry.host(), shipment.root().digest)
    }

    fn has(&self, layout: &Layout) -> String {
        self.has_in(NAME, layout)
    }

    /// Runs the program with nobody's logins.
    fn create(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
        command.env_clear().env("HOME", self.home.path()).args(["index", "create"]).args(words);
        command.output().unwrap()
    }

    fn stored(&self, path: &str) -> Option<Vec<u8>> {
        self.registry.document(&format!("/v2/{NAME}/{path}"))
    }

    fn index(&self, tag: &str) -> Value {
        serde_json::from_slice(&self.stored(&format!("manifests/{tag}")).unwrap()).unwrap()
    }

    /// That this is refused, with this status and these words, and that nothing was written.
    fn refuses(&self, words: &[&str], status: i32, says: &str) {
        let before = self.registry.requests().len();
        let output = self.create(words);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(status), "{says}: {text}");
        assert!(text.contains(says) && text.contains("error: ") && !text.contains("panic"), "{says}: {text}");
        assert!(output.stdout.is_empty(), "{text}");
        let requests = self.registry.requests().split_off(before);
        assert!(requests.iter().all(|one| one.method != "PUT"), "{says}: {requests:?}");
    }
}

fn report(output: &Output) -> Value {
    checked_report(output, SCHEMA)
}

fn digest_of(reference: &str) -> String {
    reference.split_once('@').unwrap().1.to_owned()
}

#[test]
fn images_are_joined_in_the_order_given() {
    let place = Place::new();
    let (amd64, arm64) = (place.has(&amd64()), place.has(&arm64()));
    let output = place.create(&[
        &place.reference(":1"),
        &arm64,
        &amd64,
        "--annotation=index:a=<b>",
        "--annotation=c=d",
        "--annotation=manifest-descriptor[linux/amd64]:e=f",
        "--annotation=manifest-descriptor:e=g",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let index = place.index("1");
    let size = |reference: &str| place.stored(&format!("manifests/{}", digest_of(reference))).unwrap().len();
    let manifest = |reference: &str, architecture: &str, value: &str| {
        json!({"mediaType": OCI_MANIFEST, "digest": digest_of(reference), "size": size(reference),
            "annotations": {"e": value}, "platform": {"architecture": architecture, "os": "linux"}})
    };
    let expected = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "annotations": {"a": "<b>", "c": "d"},
        "manifests": [manifest(&arm64, "arm64", "g"), manifest(&amd64, "amd64", "f")]});
    assert_eq!(index, expected);
    let printed = String::from_utf8(output.stdout).unwrap();
    let digest = digest_of(printed.trim_end());
    assert_eq!(printed, format!("{}@{digest}\n", place.reference(":1")));
    assert_eq!(place.stored("manifests/1"), place.stored(&format!("manifests/{digest}")));
    let put: Vec<_> = place.registry.requests().into_iter().filter(|one| one.method == "PUT").collect();
    assert!(put.len() == 1 && put[0].content_type == OCI_INDEX, "{put:?}");
}

#[test]
fn what_the_tag_named_before_is_told() {
    let place = Place::new();
    let (amd64, arm64) = (place.has(&amd64()), place.has(&arm64()));
    let create = |words: &[&str]| report(&place.create(&[&["--format=json", &place.reference(":1")], words].concat()));
    let first = create(&[&amd64]);
    assert_eq!((&first["previous"], &first["changed"], &first["present"]), (&Value::Null, &json!(true), &json!(2)));
    let second = create(&[&amd64, &arm64]);
    assert_eq!((&second["previous"], &second["changed"]), (&first["digest"], &json!(true)));
    let images = second["images"].as_array().unwrap();
    let told: Vec<_> = images.iter().map(|one| (one["platform"].as_str(), one["source"].as_str())).collect();
    assert_eq!(told, [(Some("linux/amd64"), Some(amd64.as_str())), (Some("linux/arm64"), Some(arm64.as_str()))]);
    let again = create(&[&amd64, &arm64]);
    assert_eq!((&again["previous"], &again["changed"]), (&second["digest"], &json!(false)));
}

#[test]
fn a_digest_alone_moves_no_tag() {
    let place = Place::new();
    let (amd64, arm64) = (place.has(&amd64()), place.has(&arm64()));
    let untagged = report(&place.create(&["--format=json", "--by-digest", &place.reference(""), &amd64, &arm64]));
    let digest = untagged["digest"].as_str().unwrap();
    assert!(place.stored(&format!("manifests/{digest}")).is_some() && place.stored("manifests/latest").is_none());
    let named = place.create(&[&place.reference(&format!(":1@{digest}")), &amd64, &arm64]);
    assert_eq!(said(&named), format!("{}@{digest}\n", place.reference(":1")));
    // In the other order it is another index.
    place.refuses(&[&place.reference(&format!(":2@{digest}")), &arm64, &amd64], 1, "nothing was pushed");
    place.refuses(&["--by-digest", &place.reference(":1"), &amd64], 2, "--by-digest makes no tag");
}

#[test]
fn indexes_are_taken_over_with_their_attestations() {
    let place = Place::new();
    let attested = |architecture: &str| place.has(&image("linux", architecture, "").attested().build());
    let (amd64, riscv64) = (attested("amd64"), attested("riscv64"));
    let joined = report(&place.create(&["--format=json", &place.reference(":1"), &amd64, &riscv64]));
    assert_eq!(joined["attestations"], 2);
    let index = place.index("1");
    let architectures: Vec<_> =
        index["manifests"].as_array().unwrap().iter().map(|one| &one["platform"]["architecture"]).collect();
    assert_eq!(architectures, ["amd64", "riscv64", "unknown", "unknown"]);
    // An index of its own members is itself.
    let digest = joined["digest"].as_str().unwrap();
    let again = place.create(&[&place.reference(":2"), &place.reference(&format!("@{digest}"))]);
    assert_eq!(said(&again), format!("{}@{digest}\n", place.reference(":2")));
    let both = platforms([image("linux", "s390x", ""), image("linux", "386", "")]);
    let third = place.create(&[&place.reference(":3"), &place.reference(&format!("@{digest}")), &place.has(&both)]);
    assert_eq!(third.status.code(), Some(0), "{}", said(&third));
    assert_eq!(place.index("3")["manifests"].as_array().unwrap().len(), 6);
}

#[test]
fn what_is_in_another_repository_is_mounted() {
    let place = Place::new();
    let (amd64, arm64) = (place.has_in("ci/amd64", &amd64()), place.has_in("ci/arm64", &arm64()));
    let joined = report(&place.create(&["--format=json", &place.reference(":1"), &amd64, &arm64]));
    assert_eq!((&joined["mounted"], &joined["present"]), (&json!(4), &json!(0)));
    for reference in [&amd64, &arm64] {
        assert!(place.stored(&format!("manifests/{}", digest_of(reference))).is_some(), "{reference}");
    }
    // One that mounts nothing is sent what it has elsewhere.
    let place = Place::new();
    let amd64 = place.has_in("ci/amd64", &self::amd64());
    place.registry.fail("mount=", Fault::Status(403, None, String::new()), 9);
    let joined = report(&place.create(&["--format=json", &place.reference(":1"), &amd64]));
    assert_eq!((&joined["sent"], &joined["mounted"], &joined["present"]), (&json!(2), &json!(0), &json!(0)));
}

/// Everything that is named below a tag is there, as it was in the other registry.
#[test]
fn what_is_in_another_registry_is_copied() {
    let (place, other) = (Place::new(), Place::new());
    let noise: Vec<u8> = (0..900_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let large = ImageBuilder::oci().platform("linux", "s390x", "").layer(plain(tar([file("a", noise)]))).build();
    let (amd64, large) = (place.has(&amd64()), (other.has_in("ci/large", &large), large));
    let create = || place.create(&["--format=json", &place.reference(":1"), &amd64, &large.0]);
    // What arrives is what its digest says, or nothing is named.
    let blob =
        large.1.members.iter().find(|(path, bytes)| path.starts_with("blobs/") && bytes.len() > 900_000).unwrap();
    let hex = blob.0.strip_prefix("blobs/sha256/").unwrap();
    let address = format!("/v2/ci/large/blobs/sha256:{hex}");
    for at in [0, blob.1.len() - 1] {
        let mut forged = blob.1.clone();
        forged[at] ^= 1;
        other.registry.put(&address, "application/octet-stream", &forged);
        let refused = create();
        let text = said(&refused);
        let told = format!("blob `sha256:{hex}` from `{}` has digest", other.registry.host());
        assert!(refused.status.code() == Some(4) && text.contains(&told), "{text}");
        assert!(place.stored(&format!("blobs/sha256:{hex}")).is_none() && place.stored("manifests/1").is_none());
    }
    other.registry.lose(&address);
    let lost = create();
    assert!(lost.status.code() == Some(4) && said(&lost).contains("not where the image"), "{}", said(&lost));
    other.registry.put(&address, "application/octet-stream", &blob.1);
    let place = Place::new();
    let amd64 = place.has(&self::amd64());
    let create = || place.create(&["--format=json", &place.reference(":1"), &amd64, &large.0]);
    // A connection that breaks, there or here, costs a second attempt.
    other.registry.fail(hex, Fault::Status(503, None, String::new()), 1);
    place.registry.fail("blobs/uploads", Fault::Status(502, None, String::new()), 1);
    let joined = report(&create());
    assert_eq!((&joined["sent"], &joined["present"]), (&json!(2), &json!(2)));
    for (path, bytes) in large.1.members.iter().filter(|(path, _)| path.starts_with("blobs/")) {
        let hex = path.strip_prefix("blobs/sha256/").unwrap();
        let there = [format!("blobs/sha256:{hex}"), format!("manifests/sha256:{hex}")];
        assert!(there.iter().any(|path| place.stored(path).as_ref() == Some(bytes)), "{path}");
    }
    assert!(other.registry.requests().iter().all(|one| one.method == "GET"), "nothing is written there");
    assert_eq!(report(&create())["sent"], 0);
}

#[test]
fn what_the_registry_lost_is_told() {
    let place = Place::new();
    let layout = amd64();
    let reference = place.has(&layout);
    let layer = layout.members.iter().filter_map(|(path, _)| path.strip_prefix("blobs/sha256/"));
    let layer = layer.map(|hex| format!("blobs/sha256:{hex}")).find(|path| {
        let config = layout.config.clone().unwrap();
        !path.ends_with(config.hex()) && place.stored(path).is_some()
    });
    place.registry.lose(&format!("/v2/{NAME}/{}", layer.unwrap()));
    place.refuses(&[&place.reference(":1"), &reference], 4, "is not there");
    let missing = place.reference(&format!("@sha256:{}", "0".repeat(64)));
    place.refuses(&[&place.reference(":1"), &missing], 4, "404");
}

#[test]
fn wrong_words_are_refused_before_anything_is_asked() {
    let place = Place::new();
    let amd64 = place.has(&amd64());
    let (one, tagged) = (place.reference(":1"), place.reference(":amd64"));
    for (words, says) in [
        (vec![one.as_str()], "<SOURCE>"),
        (vec![&one, &tagged], "a tag may be moved"),
        (vec![&one, "busybox"], "write REGISTRY/NAME"),
        (vec![&one, &amd64, "--annotation=manifest:a=b"], "manifests stay as they are"),
        (vec![&one, &amd64, "--annotation=index-descriptor:a=b"], "in a registry nothing names the index"),
        (vec![&one, &amd64, "--annotation=index[linux/amd64]:a=b"], "for all platforms"),
        (vec![&one, &amd64, "--annotation=a"], "there is no `=`"),
    ] {
        place.refuses(&words, 2, says);
    }
    assert_eq!(place.registry.requests().len(), 0);
}

#[test]
fn what_makes_no_index_is_refused() {
    let place = Place::new();
    let one = place.reference(":1");
    let (amd64, arm64) = (place.has(&amd64()), place.has(&arm64()));
    let other = place.has(&ImageBuilder::oci().layer(gzip(tar([file("b", "b")]))).build());
    place.refuses(&[&one, &amd64, &arm64, &other], 2, "are both for linux/amd64");
    place.refuses(&[&one, &amd64, &amd64], 2, "are both for linux/amd64");
    let docker = ImageBuilder::docker().platform("linux", "s390x", "").layer(gzip(tar([file("c", "c")])));
    let docker = place.has(&docker.build());
    place.refuses(&[&one, &amd64, &docker], 2, "has the media types of OCI");
    place.refuses(&[&one, &docker, "--annotation=a=b"], 2, "holds no annotations");
    place.refuses(&[&one, &amd64, "--annotation=manifest-descriptor[linux/arm/v7]:a=b"], 2, "no image is");
    let list = place.create(&[&one, &docker]);
    assert_eq!(list.status.code(), Some(0), "{}", said(&list));
    assert_eq!(place.index("1")["mediaType"], "application/vnd.docker.distribution.manifest.list.v2+json");
}

#[test]
fn nothing_is_believed() {
    let place = Place::new();
    let one = place.reference(":1");
    let nameless = place.has(&image("linux", "amd64", "").build());
    let put = |document: Value| {
        let digest = place.registry.add_manifest(NAME, OCI_INDEX, document.to_string().as_bytes());
        place.reference(&format!("@{digest}"))
    };
    let size = place.stored(&format!("manifests/{}", digest_of(&nameless))).unwrap().len();
    let index = |change: &dyn Fn(&mut Value)| {
        let mut member = json!({"mediaType": OCI_MANIFEST, "digest": digest_of(&nameless), "size": size,
            "platform": {"architecture": "amd64", "os": "linux"}});
        change(&mut member);
        put(json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [member]}))
    };
    let refuses = |source: &str, says: &str| place.refuses(&[&one, source], 5, says);
    refuses(&index(&|member| member["platform"]["architecture"] = "arm64".into()), "the index says linux/arm64");
    refuses(&index(&|member| member["size"] = 1.into()), "and the index says 1");
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    refuses(&index(&|member| member["mediaType"] = docker.into()), "and the index says `application/vnd.docker");
    refuses(&index(&|member| member["urls"] = json!(["https://example.org"])), "would be lost");
    refuses(&index(&|member| member["mediaType"] = OCI_INDEX.into()), "no manifest by its media type");
    let sound = index(&|_| {});
    refuses(&index(&|member| member["digest"] = digest_of(&sound).into()), "is not taken over");
    refuses(&put(json!({"schemaVersion": 2})), "neither an index nor the manifest");
    let artifact = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(&nameless), "size": 2}});
    refuses(&put(artifact), "it is no image");
    let silent = image("linux", "amd64", "").config(|config| config["architecture"] = "".into()).manifest(|_| {});
    let silent = silent.build();
    for (path, bytes) in &silent.members {
        if path.starts_with("blobs/") {
            place.registry.add_blob(NAME, bytes);
            place.registry.add_manifest(NAME, OCI_MANIFEST, bytes);
        }
    }
    refuses(&place.reference(&format!("@{}", silent.manifest.unwrap())), "for which platform");
    // Other bytes than asked for.
    place.registry.put(&format!("/v2/{NAME}/manifests/{}", digest_of(&nameless)), OCI_MANIFEST, b"{}");
    place.refuses(&[&one, &nameless], 4, "has digest");
}

#[test]
fn what_has_no_end_is_given_up() {
    let place = Place::new();
    let large = |at: usize| {
        let variant = format!("v{at}");
        let note = move |manifest: &mut Value| manifest["annotations"] = json!({"a": "x".repeat(3_900_000)});
        place.has(&image("linux", "amd64", &variant).manifest(note).build())
    };
    let sources: Vec<String> = (1..8).map(large).collect();
    let one = place.reference(":1");
    let words: Vec<&str> = std::iter::once(&one).chain(&sources).map(String::as_str).collect();
    place.refuses(&words, 5, "are larger than 25165824 bytes together");
    // Six of them are an index.
    assert_eq!(place.create(&words[..7]).status.code(), Some(0));
    place.registry.fail("/manifests/sha256", Fault::Announced(5 << 20), 1);
    place.refuses(&words[..2], 4, "4194304 are allowed");
}

#[test]
fn a_registry_that_says_something_else_is_told() {
    let place = Place::new();
    let amd64 = place.has(&amd64());
    let wrong = format!("sha256:{}", "0".repeat(64));
    // Whether it is there, twice; then it is taken.
    place.registry.fail("/manifests/1", Fault::Status(404, None, String::new()), 2);
    place.registry.fail("/manifests/1", Fault::Told("Docker-Content-Digest", wrong), 1);
    let output = place.create(&[&place.reference(":1"), &amd64]);
    assert!(output.status.code() == Some(4) && said(&output).contains("`sha256:0000"), "{}", said(&output));
    let wait = Some(("Retry-After", "0".to_owned()));
    place.registry.fail("/manifests/", Fault::Status(503, wait, String::new()), 1);
    place.registry.fail("/blobs/", Fault::Hangup, 1);
    let output = place.create(&[&place.reference(":1"), &amd64]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn logins_are_those_of_push() {
    let place = Place::new();
    let (amd64, arm64) = (place.has(&amd64()), place.has_in("ci/arm64", &arm64()));
    let tokens = FakeRegistry::start();
    tokens.serve_tokens(Some("Basic dXNlcjpodW50ZXIy"), r#"{"token":"t0ken"}"#);
    place.registry.require(Auth::Token { realm: tokens.url("/token"), token: "t0ken".to_owned() });
    place.refuses(&[&place.reference(":1"), &amd64, &arm64], 4, "docker login");
    let login = json!({ "auths": { place.registry.host(): { "auth": "dXNlcjpodW50ZXIy" } } });
    std::fs::create_dir(place.home.path().join(".docker")).unwrap();
    std::fs::write(place.home.path().join(".docker/config.json"), login.to_string()).unwrap();
    let output = place.create(&[&place.reference(":1"), &amd64, &arm64]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let scopes = "scope=repository%3Ateam%2Fapp%3Apull%2Cpush&scope=repository%3Aci%2Farm64%3Apull";
    assert!(tokens.requests().last().unwrap().target.ends_with(scopes), "{:?}", tokens.requests());
}
