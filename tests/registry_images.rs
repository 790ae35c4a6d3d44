//! Images read straight from a registry: from an honest one, and from one that is not.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

#[path = "support/image_builder.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod image_builder;
#[path = "support/registry.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod registry;

use std::process::{Command, Output};
use std::time::Duration;

use image_builder::{ImageBuilder, Layout, file, gzip, platforms, tar};
use registry::{Auth, FakeRegistry, Fault};
use repro::digest::Digest;
use repro::image::{Container, Form, Image, ImageError as Broken, Platform, ReadOptions};
use repro::reference::ImageReference;
use repro::registry::{ImageError, Options, RegistryError, Repository, copy_blobs, load_image};
use serde_json::Value;

const NAME: &str = "team/app";

/// A registry with all of a layout, and the tag `1` for it.
fn stocked(layout: &Layout) -> FakeRegistry {
    let registry = FakeRegistry::start();
    for (path, bytes) in &layout.members {
        let Some(hex) = path.strip_prefix("blobs/sha256/") else { continue };
        let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
        if let Some(media_type) = value["mediaType"].as_str() {
            registry.add_manifest(NAME, media_type, bytes);
            if layout.image.as_ref().is_some_and(|image| image.hex() == hex) {
                registry.put(&format!("/v2/{NAME}/manifests/1"), media_type, bytes);
            }
        } else {
            registry.add_blob(NAME, bytes);
        }
    }
    registry
}

fn load(registry: &FakeRegistry, tail: &str, platform: Option<&str>) -> Result<Image, ImageError> {
    let reference: ImageReference = format!("{}/{NAME}{tail}", registry.host()).parse().unwrap();
    let options = Options {
        retry_delay: Duration::from_millis(5),
        stall_timeout: Duration::from_millis(400),
        ..Options::default()
    };
    let repository = Repository::open(&reference, options).unwrap();
    let platform: Option<Platform> = platform.map(|text| text.parse().unwrap());
    let read = ReadOptions { partial: true, ..ReadOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(load_image(&repository, &reference, platform.as_ref(), read))
}

fn faults(result: Result<Image, ImageError>) -> String {
    match result.unwrap_err() {
        ImageError::Image(Broken::Faults(faults)) => {
            faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        }
        other => format!("not a fault: {other}"),
    }
}

/// Bytes that do not get smaller by compressing.
fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect()
}

fn both() -> Layout {
    platforms([
        ImageBuilder::oci().layer(gzip(tar([file("a", noise(400_000))]))),
        ImageBuilder::oci().platform("linux", "arm", "v7").layer(gzip(tar([file("a", "arm")]))),
    ])
}

/// The path of the larger layer.
fn layer(layout: &Layout) -> String {
    let layers = layout.members.iter().filter(|(_, bytes)| bytes.starts_with(&[0x1f, 0x8b]));
    let (path, _) = layers.max_by_key(|(_, bytes)| bytes.len()).unwrap();
    format!("/blobs/sha256:{}", path.strip_prefix("blobs/sha256/").unwrap())
}

#[test]
fn an_image_of_a_registry_is_what_its_archive_is() {
    let layout = both();
    let registry = stocked(&layout);
    let digest = layout.image.clone().unwrap();
    for tail in [":1".to_owned(), format!("@{digest}"), format!(":gone@{digest}")] {
        let image = load(&registry, &tail, None).unwrap();
        assert_eq!((image.digest(), image.form, image.container), (Some(&digest), Form::Registry, Container::Registry));
        assert!(image.is_whole() && image.index.is_none() && image.manifests.len() == 2 && image.notes().is_empty());
        assert_eq!(image.roots[0].names, [format!("{}/{NAME}{tail}", registry.host())]);
    }
    registry.put(&format!("/v2/{NAME}/manifests/latest"), "", &manifest_bytes(&layout));
    assert_eq!(load(&registry, "", None).unwrap().digest(), layout.manifest.as_ref());
}

fn manifest_bytes(layout: &Layout) -> Vec<u8> {
    let path = format!("blobs/sha256/{}", layout.manifest.clone().unwrap().hex());
    layout.members.iter().find(|(name, _)| *name == path).unwrap().1.clone()
}

#[test]
fn of_one_platform_nothing_else_is_fetched() {
    let layout = both();
    let registry = stocked(&layout);
    let image = load(&registry, ":1", Some("linux/arm/v7")).unwrap();
    assert_eq!((image.manifests.len(), image.left_out.len(), image.is_whole()), (1, 1, false));
    assert_eq!(Some(&image.manifests[0].document.digest), layout.manifest.as_ref());
    assert_eq!(registry.count(&layer(&layout)), 0);
}

#[test]
fn what_a_registry_serves_wrongly_is_a_fault_of_the_image() {
    let layout = both();
    let blob = layer(&layout);
    let size = layout.members.iter().map(|(_, bytes)| bytes.len()).max().unwrap();
    for (fault, expected) in [
        (Fault::Body(noise(u32::try_from(size).unwrap())), "the name says `sha256:"),
        (Fault::Body(vec![0; 7]), "has only 7 bytes, its descriptor says"),
        (Fault::Body(noise(900_000)), "has at least 900000 bytes, its descriptor says"),
        (Fault::Unsized(noise(900_000)), "bytes, its descriptor says"),
        (Fault::Unsized(vec![0; 7]), "has only 7 bytes, its descriptor says"),
    ] {
        let registry = stocked(&layout);
        registry.fail(&blob, fault, 9);
        let found = faults(load(&registry, ":1", None));
        assert!(found.contains(expected), "{expected}: {found}");
    }
    // A manifest under a digest that is not its own.
    let registry = stocked(&layout);
    registry.fail(&format!("/manifests/{}", layout.manifest.clone().unwrap()), Fault::Body(b"{}".to_vec()), 9);
    assert!(faults(load(&registry, ":1", None)).contains("has digest `sha256:44136fa355b"));
    // A blob that is not there, in a manifest that is.
    let registry = stocked(&layout);
    registry.fail(&blob, Fault::Status(404, None, String::new()), 9);
    assert!(faults(load(&registry, ":1", None)).ends_with("is missing"));
}

#[test]
fn a_size_that_lies_is_found_though_the_digest_is_right() {
    let layer = gzip(tar([file("a", "a")]));
    for wrong in [1_i64, -1] {
        let size = i64::try_from(layer.blob.len()).unwrap() + wrong;
        let layout = ImageBuilder::oci()
            .layer(layer.clone())
            .manifest(move |manifest| manifest["layers"][0]["size"] = size.into())
            .build();
        let registry = stocked(&layout);
        // Without a length in the answer, only counting tells.
        registry.fail(&self::layer(&layout), Fault::Unsized(layer.blob.clone()), 9);
        let found = faults(load(&registry, ":1", None));
        assert!(found.contains(&format!("bytes, its descriptor says {size}")), "{found}");
    }
}

#[test]
fn a_broken_connection_is_taken_up_again() {
    let layout = both();
    let registry = stocked(&layout);
    let blobs = layout.members.iter().filter(|(_, bytes)| bytes.starts_with(&[0x1f, 0x8b]));
    let size = blobs.map(|(_, bytes)| bytes.len()).max().unwrap();
    registry.fail(&layer(&layout), Fault::Truncate(size / 2), 1);
    registry.fail(&layer(&layout), Fault::Truncate(size / 3), 1);
    assert_eq!(load(&registry, ":1", None).unwrap().digest(), layout.image.as_ref());
    assert_eq!(registry.count(&layer(&layout)), 3);
    registry.fail(&layer(&layout), Fault::Truncate(size / 2), 9);
    let error = load(&registry, ":1", None).unwrap_err();
    assert!(matches!(error, ImageError::Registry(RegistryError::Broken { .. })), "{error}");
}

#[test]
fn an_index_that_never_ends_is_not_followed() {
    // Each index names the next; their digests cannot go round in a circle, but be many.
    let registry = FakeRegistry::start();
    let media_type = "application/vnd.oci.image.index.v1+json";
    let mut bytes = br#"{"schemaVersion":2,"manifests":[]}"#.to_vec();
    for _ in 0..40 {
        let digest = registry.add_manifest(NAME, media_type, &bytes);
        let size = bytes.len();
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}]}}"#
        );
        bytes = text.into_bytes();
    }
    registry.put(&format!("/v2/{NAME}/manifests/1"), media_type, &bytes);
    assert!(faults(load(&registry, ":1", None)).contains("nested deeper"));
    assert!(registry.requests().len() < 12, "{}", registry.requests().len());
}

/// The command, with an address of its own for the registry in what it prints.
fn analyze(registry: &FakeRegistry, tail: &str, words: &[&str]) -> (Option<i32>, String, String) {
    let word = format!("{}/{NAME}{tail}", registry.host());
    let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
    command.args(["analyze", &word]).args(words).env_clear().env("HOME", "/nowhere");
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&registry.host(), "REGISTRY");
    (status.code(), text(stdout), text(stderr))
}

/// Layers that differ are fetched a second time, by digest, and are still what they were.
#[test]
fn images_of_a_registry_are_compared() {
    let (one, other) = (both(), platforms([ImageBuilder::oci().layer(gzip(tar([file("a", "other")])))]));
    let (registry, second) = (stocked(&one), stocked(&other));
    let diff = |a: &str, b: &str, words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
        command.args(["diff", a, b]).args(words).env_clear().env("HOME", "/nowhere");
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    };
    let (a, b) = (format!("{}/{NAME}:1", registry.host()), format!("{}/{NAME}:1", second.host()));
    assert_eq!(diff(&a, &a, &[]).0, Some(0));
    let (code, stdout, stderr) = diff(&a, &b, &["--platform", "linux/amd64"]);
    assert_eq!((code, stderr.as_str()), (Some(1), ""));
    assert!(stdout.contains("1 of 1 entries differ: content 1"), "{stdout}");
    let archive = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(archive.path(), one.tar()).unwrap();
    let (code, stdout, stderr) = diff(&a, archive.path().to_str().unwrap(), &[]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
}

/// A registry that gives something else when it is asked again: what was checked is not what would be compared.
#[test]
fn a_blob_that_is_another_one_the_second_time_is_an_error() {
    let layout = both();
    let registry = stocked(&layout);
    let image = load(&registry, ":1", None).unwrap();
    let blob = &image.manifests[0].layers[0].descriptor;
    let wanted = std::collections::BTreeMap::from([(blob.digest.clone(), blob.size)]);
    let reference: ImageReference = format!("{}/{NAME}:1", registry.host()).parse().unwrap();
    let options = Options { retry_delay: Duration::from_millis(5), ..Options::default() };
    let repository = Repository::open(&reference, options).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(copy_blobs(&repository, &wanted)).unwrap().open(&blob.digest).is_ok());
    registry.fail(&layer(&layout), Fault::Body(vec![0; usize::try_from(blob.size).unwrap()]), 1);
    let error = runtime.block_on(copy_blobs(&repository, &wanted)).unwrap_err().to_string();
    assert!(error.contains("is not there any more"), "{error}");
}

#[test]
fn the_command_tells_a_registry_that_fails_from_an_image_that_is_wrong() {
    let layout = both();
    let registry = stocked(&layout);
    let digest = layout.image.clone().unwrap().to_string();
    let (code, stdout, stderr) = analyze(&registry, ":1", &["--expected-image-digest", &digest]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(
        stdout.starts_with(&format!("Image digest    {digest}\nName            REGISTRY/{NAME}:1\nRegistry ")),
        "{stdout}"
    );
    assert!(stdout.ends_with(&format!("\nDigest matches: {digest} is that of the image\n")), "{stdout}");
    // A part of it is not all that the digest stands for, and its own digest is enough for itself.
    let manifest = layout.manifest.clone().unwrap().to_string();
    let one = ["--platform", "linux/arm/v7", "--expected-image-digest"];
    let (code, stdout, stderr) = analyze(&registry, ":1", &[&one[..], &[&digest]].concat());
    assert_eq!(code, Some(4), "{stdout}{stderr}");
    assert!(stderr.contains(&format!("not all is there that `{digest}` stands for")), "{stderr}");
    assert_eq!(analyze(&registry, ":1", &[&one[..], &[&manifest]].concat()).0, Some(0));
    // What is not there may be of what was not fetched; but not where the question is about what was.
    let nothing = Digest::of(b"").to_string();
    assert_eq!(analyze(&registry, ":1", &[&one[..], &[&nothing]].concat()).0, Some(1));
    let (code, stdout, _) = analyze(&registry, ":1", &["--expected-image-digest", &nothing]);
    assert_eq!((code, stdout.contains("Digest differs")), (Some(1), true));
    registry.fail(&layer(&layout), Fault::Body(vec![0; 7]), 1);
    assert_eq!(analyze(&registry, ":1", &[]).0, Some(5));
    let (code, _, stderr) = analyze(&registry, ":2", &[]);
    assert_eq!(code, Some(4));
    assert!(stderr.contains("answers status 404") && stderr.contains("\nhint: check repository"), "{stderr}");
    registry.require(Auth::Basic("Basic eDp5".to_owned()));
    let (code, _, stderr) = analyze(&registry, ":1", &[]);
    assert_eq!(code, Some(4));
    assert!(stderr.contains("status 401 without credentials") && stderr.contains("hint: log in"), "{stderr}");
}
