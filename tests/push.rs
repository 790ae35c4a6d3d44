//! `repro push`: what is in the registry afterwards is what was checked, whatever the registry does meanwhile.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod support;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use repro::digest::Digest;
use repro::image::source::TarSource;
use repro::image::{KnownLayers, ReadOptions, read_archive};
use repro::reference::ImageReference;
use repro::registry::{
    CredentialSources, Options, PushError, RegistryError, Repository, Shipment, Supply, Target, push,
};
use serde_json::{Value, json};
use support::image_builder::{ImageBuilder, Layout, file, gzip, platforms, tar};
use support::registry::{Auth, FakeRegistry, Fault, Request};
use support::{checked_report, said};

const SCHEMA: &str = include_str!("../docs/schema/push.v1.json");
const NAME: &str = "team/app";

fn image() -> Layout {
    ImageBuilder::oci().layer(gzip(tar([file("a", "a")]))).layer(gzip(tar([file("b", "b")]))).build()
}

struct Place {
    directory: tempfile::TempDir,
    registry: FakeRegistry,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), registry: FakeRegistry::start() }
    }

    fn archive(&self, layout: &Layout) -> PathBuf {
        let path = self.directory.path().join("an image, really.tar");
        std::fs::write(&path, layout.tar()).unwrap();
        path
    }

    fn reference(&self, tail: &str) -> String {
        format!("{}/{NAME}{tail}", self.registry.host())
    }

    /// Runs the program with nobody's logins.
    fn push(&self, layout: &Layout, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
        command.env_clear().env("HOME", self.directory.path()).arg("push").arg(self.archive(layout)).args(more);
        command.output().unwrap()
    }

    fn stored(&self, path: &str) -> Option<Vec<u8>> {
        self.registry.document(&format!("/v2/{NAME}/{path}"))
    }
}

fn report(output: &Output) -> Value {
    checked_report(output, SCHEMA)
}

fn digest_of(layout: &Layout) -> String {
    layout.image.clone().unwrap().to_string()
}

#[test]
fn what_was_checked_is_there_afterwards() {
    let place = Place::new();
    for layout in [
        image(),
        ImageBuilder::docker().layer(gzip(tar([file("a", "a")]))).named("docker.io/library/x:1").build(),
        ImageBuilder::oci().layer(gzip(tar([file("c", "c")]))).attested().build(),
        platforms([
            ImageBuilder::oci().platform("linux", "amd64", "").layer(gzip(tar([file("a", "amd64")]))),
            ImageBuilder::oci().platform("linux", "arm64", "").layer(gzip(tar([file("a", "arm64")]))),
        ]),
    ] {
        let image = read_archive(layout.tar().as_slice(), &ReadOptions::default()).unwrap();
        let digest = image.digest().unwrap().to_string();
        let before = place.registry.requests().len();
        let pushed = place.push(&layout, &[&place.reference(":1")]);
        assert_eq!(pushed.status.code(), Some(0), "{}", said(&pushed));
        assert_eq!(String::from_utf8_lossy(&pushed.stdout), format!("{}@{digest}\n", place.reference(":1")));
        assert_eq!(place.stored("manifests/1"), place.stored(&format!("manifests/{digest}")));
        for (path, bytes) in &layout.members {
            let Some(hex) = path.strip_prefix("blobs/sha256/") else { continue };
            let stored = ["blobs", "manifests"].iter().find_map(|kind| place.stored(&format!("{kind}/sha256:{hex}")));
            assert_eq!(stored.as_ref(), Some(bytes), "{path}");
        }
        // What is named before what names it, the root last.
        let requests: Vec<_> = place.registry.requests().split_off(before);
        let puts: Vec<&str> =
            requests.iter().filter(|one| one.method == "PUT").map(|one| one.target.as_str()).collect();
        let first_document = puts.iter().position(|target| target.contains("/manifests/")).unwrap();
        assert!(puts[first_document..].iter().all(|target| target.contains("/manifests/")), "{puts:?}");
        assert!(puts.last().unwrap().ends_with("/manifests/1"), "{puts:?}");
        // Once more: nothing is sent.
        let before = place.registry.requests().len();
        let again = report(&place.push(&layout, &["--format", "json", &place.reference(":1")]));
        assert_eq!((&again["references"][0]["sent"], &again["references"][0]["changed"]), (&json!(0), &json!(false)));
        let requests = place.registry.requests().split_off(before);
        assert!(requests.iter().all(|one| matches!(one.method.as_str(), "GET" | "HEAD")), "{requests:?}");
    }
}

#[test]
fn only_what_is_missing_is_sent() {
    let place = Place::new();
    let (first, second) = (image(), ImageBuilder::oci().layer(gzip(tar([file("a", "a")]))).build());
    let first = report(&place.push(&first, &["--format", "json", &place.reference(":1")]));
    assert_eq!((&first["references"][0]["sent"], &first["references"][0]["previous"]), (&json!(3), &Value::Null));
    let other = format!("{}/other/app", place.registry.host());
    let both = report(&place.push(&second, &["--format", "json", &place.reference(":1"), &other]));
    let [one, two] = both["references"].as_array().unwrap().as_slice() else { panic!("{both}") };
    assert_eq!((&one["sent"], &one["present"], &one["changed"]), (&json!(1), &json!(1), &json!(true)));
    assert_eq!(one["previous"], first["digest"]);
    assert_eq!((&two["sent"], &two["mounted"]), (&json!(0), &json!(2)), "{both}");
    assert_eq!(two["reference"], format!("{other}:latest@{}", digest_of(&second)));
    let third = format!("{}/third", place.registry.host());
    let mounted = report(&place.push(&second, &["--format", "json", "--mount-from", NAME, &third]));
    assert_eq!(mounted["references"][0]["mounted"], 2, "{mounted}");
}

#[test]
fn what_a_registry_lost_is_sent_again() {
    let place = Place::new();
    let layout = platforms([
        ImageBuilder::oci().platform("linux", "amd64", "").layer(gzip(tar([file("a", "amd64")]))),
        ImageBuilder::oci().platform("linux", "arm64", "").layer(gzip(tar([file("a", "arm64")]))),
    ]);
    let push = || report(&place.push(&layout, &["--format", "json", &place.reference(":1")]));
    push();
    let shipment = shipment(&layout);
    let blob = format!("blobs/{}", shipment.blobs().keys().next().unwrap());
    let child = format!("manifests/{}", shipment.documents()[0].digest);
    for lost in [&blob, &child] {
        place.registry.lose(&format!("/v2/{NAME}/{lost}"));
        let again = push();
        assert_eq!(again["references"][0]["changed"], false);
        assert!(place.stored(lost).is_some(), "{lost} is still lost");
    }
}

#[test]
fn what_is_not_given_by_another_repository_is_sent() {
    let place = Place::new();
    report(&place.push(&image(), &["--format", "json", &place.reference(":1")]));
    place.registry.fail("mount=", Fault::Status(403, None, String::new()), 9);
    let other = format!("{}/other", place.registry.host());
    let pushed = report(&place.push(&image(), &["--format", "json", "--mount-from", NAME, &other]));
    assert_eq!((&pushed["references"][0]["mounted"], &pushed["references"][0]["sent"]), (&json!(0), &json!(3)));
}

#[test]
fn what_was_pushed_before_a_failure_is_told() {
    let place = Place::new();
    place.registry.fail("/v2/denied/manifests", Fault::Status(403, None, String::new()), 9);
    let denied = format!("{}/denied:1", place.registry.host());
    let output = place.push(&image(), &[&place.reference(":1"), &denied, &place.reference(":2")]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert_eq!(told, format!("{}@{}\n", place.reference(":1"), digest_of(&image())));
    assert!(place.stored("manifests/2").is_none());
}

#[test]
fn a_file_too_many_is_no_reference() {
    let place = Place::new();
    let output = place.push(&image(), &["other.tar", &place.reference(":1")]);
    assert!(output.status.code() == Some(2) && said(&output).contains("docker://other.tar"), "{}", said(&output));
    assert_eq!(place.registry.requests().len(), 0);
}

#[test]
fn a_named_pipe_is_read_once() {
    let place = Place::new();
    let (archive, pipe) = (place.archive(&image()), place.directory.path().join("pipe"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut writer = Command::new("sh").args(["-c", "cat \"$0\" >\"$1\""]).arg(&archive).arg(&pipe).spawn().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
    let output = command.arg("push").arg(&pipe).arg(place.reference(":1")).output().unwrap();
    writer.wait().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn a_digest_alone_moves_no_tag() {
    let place = Place::new();
    let digest = digest_of(&image());
    let pushed = place.push(&image(), &["--by-digest", &place.reference("")]);
    assert_eq!(String::from_utf8_lossy(&pushed.stdout), format!("{}@{digest}\n", place.reference("")));
    assert!(place.stored(&format!("manifests/{digest}")).is_some() && place.stored("manifests/latest").is_none());
    let named = place.push(&image(), &[&place.reference(&format!("@{digest}"))]);
    assert_eq!(named.status.code(), Some(0), "{}", said(&named));
    let other = format!("@sha256:{}", "0".repeat(64));
    let other = place.push(&image(), &[&place.reference(&other)]);
    assert!(other.status.code() == Some(1) && said(&other).contains("nothing was pushed"), "{}", said(&other));
    let both = place.push(&image(), &["--by-digest", &place.reference(":1")]);
    assert_eq!(both.status.code(), Some(2), "{}", said(&both));
}

#[test]
fn what_has_no_digest_of_its_own_is_refused() {
    let place = Place::new();
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let old = Layout::default()
        .with("config.json", config)
        .with("manifest.json", br#"[{"Config":"config.json","RepoTags":null,"Layers":[]}]"#);
    let refused = place.push(&old, &[&place.reference(":1")]);
    assert!(refused.status.code() == Some(4) && said(&refused).contains("has no manifest"), "{}", said(&refused));
    let broken = image().change("index.json", |bytes| bytes.truncate(10));
    let refused = place.push(&broken, &[&place.reference(":1")]);
    assert!(refused.status.code() == Some(5) && said(&refused).contains("hint: "), "{}", said(&refused));
    let nobody = Command::new(env!("CARGO_BIN_EXE_repro"))
        .args(["push", &format!("docker://{}", place.reference(":1")), &place.reference(":2")])
        .output()
        .unwrap();
    assert!(nobody.status.code() == Some(2) && said(&nobody).contains("in a registry already"), "{}", said(&nobody));
    assert_eq!(place.registry.requests().len(), 0);
}

#[test]
fn what_fails_for_a_moment_is_tried_again() {
    let place = Place::new();
    for (part, status) in
        [("/blobs/sha256", 502), ("/uploads/?", 429), ("/uploads/", 500), ("digest=", 503), ("/manifests/1", 500)]
    {
        let wait = Some(("Retry-After", "0".to_owned()));
        place.registry.fail(part, Fault::Status(status, wait, String::new()), 1);
    }
    // Another one behind the same name, which knows nothing of the upload; and a token that ran out.
    place.registry.fail("digest=", Fault::Status(404, None, String::new()), 1);
    place.registry.fail("digest=", Fault::Status(401, Some(("Retry-After", "0".to_owned())), String::new()), 1);
    // Connections that end without an answer.
    place.registry.fail("digest=", Fault::Hangup, 2);
    place.registry.fail("/manifests/sha256", Fault::Hangup, 1);
    let pushed = report(&place.push(&image(), &["--format", "json", &place.reference(":1")]));
    assert_eq!(pushed["references"][0]["sent"], 3, "{pushed}");
    assert!(place.stored("manifests/1").is_some());
}

#[test]
fn what_a_registry_refuses_is_told() {
    let refused = |part: &str, fault: Fault, says: &str| {
        let place = Place::new();
        place.registry.fail(part, fault, 1);
        let output = place.push(&image(), &[&place.reference(":1")]);
        let text = said(&output);
        assert!(output.status.code() == Some(4) && text.contains(says) && text.contains("hint: "), "{part}: {text}");
        assert!(!text.contains("secret"), "{text}");
        assert!(place.stored("manifests/1").is_none(), "{part}");
    };
    let status = |status, body: &str| Fault::Status(status, None, body.to_owned());
    let denied = r#"{"errors":[{"code":"DENIED","message":"\u001b[31mno"}]}"#;
    refused("/uploads/", status(403, denied), "status 403 for an upload of blob");
    refused("digest=", status(400, denied), "DENIED");
    refused("/uploads/", status(202, ""), "there is no valid `Location`");
    let elsewhere = Fault::Status(202, Some(("Location", "http://example.com/x?secret".to_owned())), String::new());
    refused("/uploads/", elsewhere, "it is not encrypted and leaves this machine");
    let wrong = format!("sha256:{}", "0".repeat(64));
    refused("digest=", Fault::Told("Docker-Content-Digest", wrong), "`sha256:0000");
}

#[test]
fn a_tag_that_somebody_else_moves_is_told() {
    let place = Place::new();
    place.registry.fail("/manifests/1", Fault::Status(404, None, String::new()), 1);
    let pushed = place.push(&image(), &[&place.reference(":1")]);
    assert_eq!(pushed.status.code(), Some(0), "{}", said(&pushed));
    let place = Place::new();
    // Not there before, also not at the last moment; taken; and then something else.
    place.registry.fail("/manifests/1", Fault::Status(404, None, String::new()), 2);
    place.registry.fail("/manifests/1", Fault::Told("X", String::new()), 1);
    place.registry.fail("/manifests/1", Fault::Body(br#"{"schemaVersion":2}"#.to_vec()), 1);
    let moved = place.push(&image(), &[&place.reference(":1")]);
    let text = said(&moved);
    assert!(moved.status.code() == Some(4) && text.contains("somebody else pushed at the same time"), "{text}");
}

fn shipment(layout: &Layout) -> Shipment {
    Shipment::of(&read_archive(layout.tar().as_slice(), &ReadOptions::default()).unwrap()).unwrap()
}

fn push_from(place: &Place, layout: &Layout, archive: Vec<u8>) -> Result<(), PushError> {
    let reference: ImageReference = place.reference(":1").parse().unwrap();
    let options = Options { retry_delay: Duration::from_millis(5), ..Options::default() };
    let repository = Repository::open_to_write(&reference, options, &[]).unwrap();
    let archive: Arc<[u8]> = archive.into();
    let supply =
        Supply::new(move || Ok(Box::new(TarSource::new(std::io::Cursor::new(Arc::clone(&archive)))?))).parallel();
    let target = Target { tag: Some("1".to_owned()), ..Target::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(push(&shipment(layout), &repository, &target, &supply)).map(drop)
}

#[test]
fn an_archive_that_is_changed_after_the_check_never_arrives() {
    let layout = ImageBuilder::oci().layer(gzip(tar([file("a", vec![7; 3_000_000])]))).build();
    let path = layout.members.iter().map(|(path, _)| path.clone()).find(|path| path.starts_with("blobs/")).unwrap();
    for at_end in [false, true] {
        let place = Place::new();
        let changed = layout.clone().change(&path, |bytes| {
            let at = if at_end { bytes.len() - 1 } else { 0 };
            bytes[at] ^= 1;
        });
        let error = push_from(&place, &layout, changed.tar()).unwrap_err();
        assert!(matches!(error, PushError::Read(_)), "{error}");
        let hex = path.strip_prefix("blobs/sha256/").unwrap();
        assert!(place.stored(&format!("blobs/sha256:{hex}")).is_none() && place.stored("manifests/1").is_none());
        assert!(error.hint().contains("push again"));
    }
    let place = Place::new();
    let error = push_from(&place, &layout, layout.clone().without(&path).tar()).unwrap_err();
    assert!(error.to_string().contains("not there any more"), "{error}");
    push_from(&place, &layout, layout.tar()).unwrap();
}

/// Bytes that do not compress: a layer that is worth remembering.
fn noise() -> Vec<u8> {
    let next = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*state >> 24) as u8)
    };
    let mut state = 7;
    std::iter::from_fn(|| next(&mut state)).take(1_500_000).collect()
}

/// What an earlier build leaves behind, for images whose layers it looked through.
fn remember(place: &Place, layout: &Layout) {
    let mut known = KnownLayers::default();
    assert!(known.learn(&read_archive(layout.tar().as_slice(), &ReadOptions::default()).unwrap()));
    let known = serde_json::to_string(&known).unwrap();
    let state = place.directory.path().join(".local/state/repro");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::write(state.join("layers.v1"), format!("{}\n{known}", Digest::of(known.as_bytes()))).unwrap();
}

/// Layers that are known are hashed on their way, or beside it where the registry has them: no manifest names them before.
#[test]
fn a_known_layer_that_is_broken_is_named_by_no_manifest() {
    let layout = ImageBuilder::oci().layer(gzip(tar([file("a", noise())]))).layer(gzip(tar([file("b", "b")]))).build();
    let is_layer = |(_, bytes): &&(String, Vec<u8>)| bytes.len() > 1 << 20;
    let path = layout.members.iter().find(is_layer).map(|(path, _)| path.clone()).unwrap();
    let blob = path.replace("blobs/sha256/", "blobs/sha256:");
    for at in [0, 600_000, layout.bytes(&path).len() - 1] {
        let broken = layout.clone().change(&path, |bytes| bytes[at] ^= 1);
        let place = Place::new();
        remember(&place, &layout);
        let refused = place.push(&broken, &[&place.reference(":1")]);
        let text = said(&refused);
        assert!(refused.status.code() == Some(5) && text.contains("have another digest"), "{at}: {text}");
        assert!(place.stored(&blob).is_none() && place.stored("manifests/1").is_none());
        let named =
            |requests: &[Request]| requests.iter().any(|one| one.method == "PUT" && one.target.contains("manifests"));
        assert!(!named(&place.registry.requests()));
        // Of a registry that has the layer nothing is sent, and the archive is as broken.
        place.registry.add_blob(NAME, layout.bytes(&path));
        let refused = place.push(&broken, &[&place.reference(":1")]);
        assert!(refused.status.code() == Some(5) && said(&refused).contains("repro analyze"), "{}", said(&refused));
        assert!(place.stored("manifests/1").is_none());
    }
    let place = Place::new();
    remember(&place, &layout);
    let archive = layout.tar();
    let middle = archive.len() / 2;
    std::fs::write(place.archive(&layout), &archive[..middle]).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
    command
        .env_clear()
        .env("HOME", place.directory.path())
        .arg("push")
        .arg(place.directory.path().join("an image, really.tar"));
    let cut = command.arg(place.reference(":1")).output().unwrap();
    assert!(cut.status.code() == Some(5) && place.registry.requests().is_empty(), "{}", said(&cut));
    let pushed = report(&place.push(&layout, &[&place.reference(":1"), &place.reference("-too:1"), "--format=json"]));
    let counts = |at: usize| ["sent", "mounted", "present"].map(|key| pushed["references"][at][key].clone());
    assert_eq!((counts(0), counts(1)), ([3, 0, 0].map(Value::from), [0, 3, 0].map(Value::from)));
    assert_eq!(place.stored(&blob).as_deref(), Some(layout.bytes(&path)));
}

#[test]
fn a_token_is_asked_for_what_is_done() {
    let place = Place::new();
    let tokens = FakeRegistry::start();
    tokens.serve_tokens(Some("Basic dXNlcjpodW50ZXIy"), r#"{"token":"t0ken"}"#);
    place.registry.require(Auth::Token { realm: tokens.url("/token"), token: "t0ken".to_owned() });
    let login = json!({ "auths": { place.registry.host(): { "auth": "dXNlcjpodW50ZXIy" } } });
    std::fs::create_dir(place.directory.path().join(".docker")).unwrap();
    std::fs::write(place.directory.path().join(".docker/config.json"), login.to_string()).unwrap();
    let pushed = place.push(&image(), &["--mount-from", "base/debian", &place.reference(":1")]);
    assert_eq!(pushed.status.code(), Some(0), "{}", said(&pushed));
    let asked = tokens.requests();
    assert_eq!(asked.len(), 1, "{asked:?}");
    let scopes = "scope=repository%3Ateam%2Fapp%3Apull%2Cpush&scope=repository%3Abase%2Fdebian%3Apull";
    assert!(asked[0].target.ends_with(scopes), "{}", asked[0].target);
    std::fs::remove_dir_all(place.directory.path().join(".docker")).unwrap();
    let refused = place.push(&image(), &[&place.reference(":2")]);
    assert!(refused.status.code() == Some(4) && said(&refused).contains("docker login"), "{}", said(&refused));
    let options = Options { credentials: CredentialSources::none(), ..Options::default() };
    let reference: ImageReference = place.reference(":1").parse().unwrap();
    let repository = Repository::open_to_write(&reference, options, &[]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(repository.find(Some("1"), &digest_of(&image()).parse().unwrap())).unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error}");
}
