//! `repro verify`: a published image is equal on the level that is told, different, or it could not be told, and nothing else.
//!
//! All of it goes through one runtime, the cheapest: what runtimes have in common is tested elsewhere.

mod images;
mod source;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use repro::digest::Digest;
use serde_json::{Value, json};

use crate::harness::{Bench, Way, base, lab, runtimes, said, ways, words};
use crate::support::registry::{Auth, FakeRegistry, Fault};
use crate::support::schema::violations;

const SCHEMA: &str = include_str!("../../../docs/schema/verify.v1.json");
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const EPOCH: &str = "1700000000";

/// The way that all this is tested on.
fn way() -> Option<Way> {
    ways().iter().copied().find(|way| *way == Way::Buildkitd).or_else(|| ways().first().copied())
}

/// A run that prints JSON: its status, its report, and all that it said.
fn verify(bench: &Bench, way: Way, subject: &str, more: &[&str], context: Option<&Path>) -> (i32, Value, Output) {
    let mut arguments: Vec<OsString> = words(&["verify", "--quiet", "--format", "json"]);
    arguments.extend(bench.arguments(way).into_iter().skip(1));
    arguments.extend(words(more));
    arguments.push(subject.into());
    arguments.extend(context.map(|context| context.as_os_str().to_owned()));
    let output = bench.repro(way).args(arguments).output().unwrap();
    let left = fs::read_dir(bench.state(way).join("tmp")).map(Iterator::count).unwrap_or_default();
    assert_eq!(left, 0, "sources or archives are left: {}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    if !report.is_null() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(violations(&schema, &report), Vec::<String>::new(), "{}", said(&output));
    }
    (output.status.code().unwrap(), report, output)
}

/// What is published for a test: the blobs of an OCI archive, as a registry has them.
struct Published {
    blobs: BTreeMap<String, Vec<u8>>,
    root: Value,
}

impl Published {
    /// Builds a context with `repro`, and takes the archive apart.
    fn build(bench: &Bench, way: Way, context: &Path, more: &[&str]) -> Self {
        let archive = bench.output(way, "published.tar");
        let arguments = [base(), words(&["--sde", EPOCH, "--archive", "oci"]), words(more)].concat();
        bench.build(way, &archive, &arguments, context);
        let published = Self::open(&archive);
        fs::remove_file(archive).unwrap();
        published
    }

    fn open(archive: &Path) -> Self {
        let mut blobs = BTreeMap::new();
        for entry in tar::Archive::new(fs::File::open(archive).unwrap()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            blobs.insert(path, bytes);
        }
        let index: Value = serde_json::from_slice(&blobs["index.json"]).unwrap();
        Self { root: index["manifests"][0].clone(), blobs }
    }

    fn blob(&self, digest: &str) -> &[u8] {
        &self.blobs[&digest.replacen("sha256:", "blobs/sha256/", 1)]
    }

    fn document(&self, digest: &Value) -> Value {
        serde_json::from_slice(self.blob(digest.as_str().unwrap())).unwrap()
    }

    /// Serves it as `NAME:v1`, and gives the reference.
    fn serve(&self, registry: &FakeRegistry, name: &str) -> String {
        for (path, bytes) in &self.blobs {
            if path.starts_with("blobs/") {
                registry.add_blob(name, bytes);
                registry.add_manifest(name, media_type(bytes), bytes);
            }
        }
        let digest = self.root["digest"].as_str().unwrap().to_owned();
        tag(registry, name, self.blob(&digest));
        format!("{}/{name}:v1", registry.host())
    }
}

fn media_type(bytes: &[u8]) -> &'static str {
    let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
    if document.get("manifests").is_some() { OCI_INDEX } else { OCI_MANIFEST }
}

fn tag(registry: &FakeRegistry, name: &str, bytes: &[u8]) {
    registry.put(&format!("/v2/{name}/manifests/v1"), media_type(bytes), bytes);
}

/// A document, stored and described.
fn store(registry: &FakeRegistry, name: &str, media_type: &str, document: &Value) -> Value {
    let bytes = serde_json::to_vec(document).unwrap();
    let digest = registry.add_blob(name, &bytes);
    registry.add_manifest(name, media_type, &bytes);
    json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
}

/// An index of these descriptors as `NAME:v1`.
fn serve_index(registry: &FakeRegistry, name: &str, manifests: &[Value]) {
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
    tag(registry, name, &serde_json::to_vec(&index).unwrap());
}

/// Builds a context and serves it as `app:v1`: the registry, what is in it, and the reference.
fn publish(bench: &Bench, way: Way, context: &Path, more: &[&str]) -> (FakeRegistry, Published, String) {
    let registry = FakeRegistry::start();
    let published = Published::build(bench, way, context, more);
    let subject = published.serve(&registry, "app");
    (registry, published, subject)
}

/// Two images, one of them for another machine, without RUN.
fn context(bench: &Bench) -> PathBuf {
    bench.context("context", &[("f", "content\n"), ("Dockerfile", "ARG BASE\nFROM scratch\nCOPY f /f\n")])
}

fn with_platform(mut link: Value, architecture: &str) -> Value {
    link["platform"] = json!({ "os": "linux", "architecture": architecture });
    link
}

/// The manifest of a published image with something else in its config.
fn with_config(published: &Published, registry: &FakeRegistry, manifest: &Value, change: impl Fn(&mut Value)) -> Value {
    let mut manifest = published.document(manifest);
    let mut config = published.document(&manifest["config"]["digest"]);
    change(&mut config);
    let bytes = serde_json::to_vec(&config).unwrap();
    manifest["config"]["digest"] = registry.add_blob("app", &bytes).to_string().into();
    manifest["config"]["size"] = bytes.len().into();
    store(registry, "app", OCI_MANIFEST, &manifest)
}

fn with_other_config(published: &Published, registry: &FakeRegistry, manifest: &Value) -> Value {
    with_config(published, registry, manifest, |config| config["config"]["Env"] = json!(["PATH=/bin", "OTHER=1"]))
}

#[test]
fn each_level_is_told_and_attestations_count_for_nothing() {
    let Some(way) = way() else { return };
    let bench = Bench::shared("verified", way);
    let context = context(&bench);
    let (registry, published, subject) = publish(&bench, way, &context, &[]);
    let check = |subject: &str| verify(&bench, way, subject, &[], Some(&context));

    let (status, report, output) = check(&subject);
    assert_eq!(
        (status, &report["verdict"], &report["level"]),
        (0, &"equal".into(), &"image".into()),
        "{}",
        said(&output)
    );
    assert_eq!(report["subject"]["digest"], published.root["digest"]);
    assert_eq!(report["subject"]["tag"]["moved"], false);
    // Neither the signatures of cosign nor what a referrer says are even asked for.
    assert_eq!(registry.count(".sig") + registry.count("/referrers/"), 0);

    let image =
        json!({ "mediaType": OCI_MANIFEST, "digest": published.root["digest"], "size": published.root["size"] });
    let image = with_platform(image, "amd64");
    let statement = registry.add_blob("app", b"{}");
    let empty = store(
        &registry,
        "app",
        OCI_MANIFEST,
        &json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": statement.to_string(), "size": 2 },
        "layers": [{ "mediaType": "application/vnd.in-toto+json", "digest": statement.to_string(), "size": 2 }] }),
    );
    let mut attestation = with_platform(empty, "unknown");
    attestation["platform"]["os"] = "unknown".into();
    attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": published.root["digest"] });
    serve_index(&registry, "app", &[image.clone(), attestation.clone()]);
    let (status, report, output) = check(&subject);
    assert_eq!((status, &report["level"]), (0, &"manifest".into()), "{}", said(&output));
    assert_eq!(report["index"]["verdict"], "attestations-only", "{}", said(&output));

    // An image that says it is an attestation, and is one for a platform, is an image.
    let mut hidden = with_other_config(&published, &registry, &published.root["digest"]);
    hidden = with_platform(hidden, "amd64");
    hidden["annotations"] = attestation["annotations"].clone();
    serve_index(&registry, "app", &[image.clone(), hidden]);
    let (status, report, output) = check(&subject);
    assert_eq!((status, &report["verdict"]), (1, &"different".into()), "{}", said(&output));

    // What no build is for is no attestation without the annotation: the rest is equal, and that is not all.
    let odd = with_config(&published, &registry, &published.root["digest"], |config| {
        config["os"] = "unknown".into();
        config["architecture"] = "unknown".into();
    });
    let mut odd = with_platform(odd, "unknown");
    odd["platform"]["os"] = "unknown".into();
    serve_index(&registry, "app", &[image, odd]);
    let (status, report, output) = check(&subject);
    assert_eq!((status, &report["reason"]), (4, &"not-rebuilt".into()), "{}", said(&output));
    assert_eq!(report["platforms"][0]["verdict"], "equal", "{}", said(&output));
}

#[test]
fn the_same_layers_with_another_config_are_another_image() {
    let Some(way) = way() else { return };
    let bench = Bench::shared("other config", way);
    let context = context(&bench);
    let (registry, published, subject) = publish(&bench, way, &context, &[]);
    let other = with_other_config(&published, &registry, &published.root["digest"]);
    let digest = other["digest"].as_str().unwrap();
    let (status, report, output) =
        verify(&bench, way, &format!("{}@{digest}", subject.trim_end_matches(":v1")), &[], Some(&context));
    assert_eq!(
        (status, &report["verdict"], &report["level"]),
        (1, &"different".into(), &"layers".into()),
        "{}",
        said(&output)
    );
    let differences = report["comparison"]["platforms"][0]["config"].to_string();
    assert!(differences.contains("OTHER=1"), "{}", said(&output));

    // A digest alone: the image's, the config's, and one that nothing has.
    let manifest = published.document(&published.root["digest"]);
    for (digest, expected, level) in [
        (published.root["digest"].as_str().unwrap(), 0, json!("image")),
        (manifest["config"]["digest"].as_str().unwrap(), 0, json!("config")),
        (digest, 1, Value::Null),
    ] {
        let more = ["--sde", EPOCH, "--media-types", "oci"];
        let (status, report, output) = verify(&bench, way, digest, &more, Some(&context));
        assert_eq!((status, &report["level"]), (expected, &level), "{}", said(&output));
    }
    for wrong in ["", "sha256:", "sha256:ABC"] {
        let (status, _, output) = verify(&bench, way, wrong, &["--sde", EPOCH], Some(&context));
        assert_eq!(status, 2, "`{wrong}`: {}", said(&output));
    }
}

#[test]
fn of_two_platforms_the_wrong_one_is_named() {
    let Some(way) = way() else { return };
    let bench = Bench::shared("two platforms", way);
    let context = context(&bench);
    let (registry, published, subject) = publish(&bench, way, &context, &["--platform", "linux/amd64,linux/arm64"]);
    let (status, report, output) = verify(&bench, way, &subject, &[], Some(&context));
    assert_eq!((status, &report["level"]), (0, &"image".into()), "{}", said(&output));

    let index = published.document(&published.root["digest"]);
    let mut links = index["manifests"].as_array().unwrap().clone();
    let other = with_other_config(&published, &registry, &links[1]["digest"]);
    links[1] = with_platform(other, "arm64");
    serve_index(&registry, "app", &links);
    let (status, report, output) = verify(&bench, way, &subject, &[], Some(&context));
    assert_eq!(status, 1, "{}", said(&output));
    let verdicts: Vec<(&str, &str)> = report["platforms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["platform"].as_str().unwrap(), one["verdict"].as_str().unwrap()))
        .collect();
    assert_eq!(verdicts, [("linux/amd64", "equal"), ("linux/arm64", "different")], "{}", said(&output));
    // Whoever asks for the right one alone is told of it alone.
    let (status, report, output) = verify(&bench, way, &subject, &["--platform", "linux/amd64"], Some(&context));
    assert_eq!((status, &report["level"]), (0, &"manifest".into()), "{}", said(&output));
    assert_eq!(report["platforms"][1]["verdict"], "not-rebuilt");
    assert_eq!(report["index"]["verdict"], "not-compared");
    let (status, _, output) = verify(&bench, way, &subject, &["--platform", "linux/s390x"], Some(&context));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(status == 4 && text.contains("it has linux/amd64, linux/arm64"), "{text}");
}

#[test]
fn what_a_registry_does_is_no_difference() {
    let Some(way) = way() else { return };
    let bench = Bench::shared("registry", way);
    let context = context(&bench);
    let (registry, published, subject) = publish(&bench, way, &context, &[]);
    let root = published.blob(published.root["digest"].as_str().unwrap()).to_vec();

    // A tag that somebody moves after the first look: the verdict is about what it named then.
    let moved = {
        let mut manifest = published.document(&published.root["digest"]);
        manifest["annotations"] = json!({ "moved": "yes" });
        serde_json::to_vec(&manifest).unwrap()
    };
    tag(&registry, "app", &moved);
    registry.fail("/manifests/v1", Fault::Body(root.clone()), 1);
    let (status, report, output) = verify(&bench, way, &subject, &[], Some(&context));
    assert_eq!((status, &report["verdict"]), (0, &"equal".into()), "{}", said(&output));
    assert_eq!(report["subject"]["digest"], published.root["digest"]);
    assert_eq!(report["subject"]["tag"]["moved"], true);
    assert_eq!(report["subject"]["tag"]["at_end"], Digest::of(&moved).to_string());
    tag(&registry, "app", &root);

    // A blob that is not what its digest says.
    let layer = published.document(&published.root["digest"])["layers"][0]["digest"].as_str().unwrap().to_owned();
    let mut bytes = published.blob(&layer).to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    registry.fail(&format!("/blobs/{layer}"), Fault::Body(bytes), 9);
    let (status, report, output) = verify(&bench, way, &subject, &[], Some(&context));
    assert_eq!(
        (status, &report["verdict"], &report["reason"]),
        (5, &"corrupt".into(), &Value::Null),
        "{}",
        said(&output)
    );

    let closed = FakeRegistry::start();
    published.serve(&closed, "app");
    closed.require(Auth::Basic("Basic bWU6c3dvcmRmaXNo".to_owned()));
    let dead = FakeRegistry::start().host();
    for (host, text) in [(closed.host(), "401"), (dead, "cannot reach")] {
        let (status, report, output) = verify(&bench, way, &format!("{host}/app:v1"), &[], Some(&context));
        assert_eq!((status, &report["verdict"], &report["reason"]), (4, &"unknown".into(), &"subject".into()));
        let message = report["error"]["message"].as_str().unwrap();
        assert!(message.contains(text) && report["error"]["hint"].is_string(), "{}", said(&output));
    }
}

#[test]
fn a_difference_under_emulation_is_none() {
    let Some(way) = way() else { return };
    let bench = Bench::shared("emulated", way);
    let dockerfile =
        "ARG BASE\nFROM $BASE\nARG TARGETARCH\nRUN test $TARGETARCH = 386 && head -c 8 /dev/urandom >/stamp\n";
    let context = bench.context("random", &[("Dockerfile", dockerfile)]);
    let more = ["--platform", "linux/386"];
    let (registry, published, subject) = publish(&bench, way, &context, &more);
    let base = format!("BASE={}", lab("LAB_BASE_SMALL"));
    let (status, report, output) = verify(&bench, way, &subject, &["--build-arg", &base], Some(&context));
    assert_eq!(
        (status, &report["verdict"], &report["reason"]),
        (4, &"unknown".into(), &"emulated".into()),
        "{}",
        said(&output)
    );
    assert!(report["comparison"]["findings"].is_array(), "what differs is told all the same: {}", said(&output));

    // What fails on another platform than this machine's says nothing of the image.
    let foreign = with_config(&published, &registry, &published.root["digest"], |config| {
        config["architecture"] = "s390x".into();
    });
    let subject = format!("{}@{}", subject.trim_end_matches(":v1"), foreign["digest"].as_str().unwrap());
    let (status, report, output) = verify(&bench, way, &subject, &["--build-arg", &base], Some(&context));
    let message = report["error"]["message"].as_str().unwrap_or_default();
    assert!(status == 4 && report["reason"] == "build" && message.contains("linux/s390x"), "{}", said(&output));
}

#[test]
fn what_was_published_this_second_is_not_called_equal_for_it() {
    let Some(way) = way() else { return };
    let bench = Bench::shared("this second", way);
    // As coarse as the times in a zip archive.
    let dockerfile = "ARG BASE\nFROM $BASE\nRUN echo $(($(date +%s) / 2)) >/now\n";
    let context = bench.context("timed", &[("Dockerfile", dockerfile)]);
    let base = format!("BASE={}", lab("LAB_BASE_SMALL"));
    for _ in 0..2 {
        let (_registry, _, subject) = publish(&bench, way, &context, &["--no-cache"]);
        let (status, report, output) = verify(&bench, way, &subject, &["--build-arg", &base], Some(&context));
        assert_eq!((status, &report["verdict"]), (1, &"different".into()), "{}", said(&output));
    }
}

#[test]
fn a_strangers_dockerfile_gets_no_credentials() {
    for way in runtimes() {
        let bench = Bench::shared("anonymous", way);
        let private = lab("LAB_BASE_SMALL").replace(&lab("LAB_REGISTRY"), &lab("LAB_PRIVATE_REGISTRY"));
        let dockerfile = format!("FROM {private}\nCOPY Dockerfile /\n");
        let context = bench.context("private", &[("Dockerfile", &dockerfile)]);
        let config = bench.directory("docker");
        let auths = json!({ "auths": { lab("LAB_PRIVATE_REGISTRY"): { "auth": "bGFiOnN3b3JkZmlzaA==" } } });
        let own = fs::read_to_string(Path::new(&std::env::var("DOCKER_CONFIG").unwrap()).join("config.json"))
            .unwrap_or_default();
        let mut all: Value = serde_json::from_str(&own).unwrap_or_else(|_| json!({}));
        all["auths"] = auths["auths"].clone();
        all["cliPluginsExtraDirs"] = json!([format!("{}/cli-plugins", std::env::var("DOCKER_CONFIG").unwrap())]);
        fs::write(config.join("config.json"), all.to_string()).unwrap();
        let variables = [("DOCKER_CONFIG", config.as_os_str())];
        let archive = bench.output(way, "private.tar");
        let mut build = bench.repro_with(way, &variables);
        build.args(bench.arguments(way)).args(["--quiet", "--sde", EPOCH, "-o"]).arg(&archive).arg(&context);
        let first = build.output().unwrap();
        assert!(first.status.success(), "{}: {}", way.name(), said(&first));
        let verify = |more: &[&str]| {
            let mut command = bench.repro_with(way, &variables);
            command.args(["verify", "--quiet"]).args(bench.arguments(way).into_iter().skip(1)).args(more);
            command.arg(&archive).arg(&context).output().unwrap()
        };
        let (anonymous, trusted) = (verify(&[]), verify(&["--credentials"]));
        let text = String::from_utf8_lossy(&anonymous.stderr);
        assert_eq!(anonymous.status.code(), Some(3), "{}: {}", way.name(), said(&anonymous));
        assert!(text.contains("`--credentials`"), "{text}");
        assert_eq!(trusted.status.code(), Some(0), "{}: {}", way.name(), said(&trusted));
        fs::remove_file(archive).unwrap();
    }
}

#[test]
fn what_comes_out_is_written_for_others() {
    let Some(way) = way() else { return };
    let bench = Bench::shared("written", way);
    let context = context(&bench);
    let archive = bench.output(way, "app.tar");
    bench.build(way, &archive, &[base(), words(&["--sde", EPOCH])].concat(), &context);
    let place = bench.directory("out");
    let path = |name: &str| place.join(name).display().to_string();
    fs::write(place.join("summary.md"), "before\n").unwrap();
    let run = |more: &[&str]| {
        let mut command = bench.repro(way);
        command.args(["verify", "--quiet"]).args(bench.arguments(way).into_iter().skip(1)).args(more);
        command.arg(&archive).arg(&context).output().unwrap()
    };
    let equal =
        run(&["--summary", &path("summary.md"), "--attestation", &path("vsa.json"), "--output", &path("kept.tar")]);
    assert_eq!(equal.status.code(), Some(0), "{}", said(&equal));
    let summary = fs::read_to_string(place.join("summary.md")).unwrap();
    assert!(summary.starts_with("before\n### ✅ Equal: ") && summary.contains("| published | sha256:"), "{summary}");
    let statement: Value = serde_json::from_slice(&fs::read(place.join("vsa.json")).unwrap()).unwrap();
    assert_eq!(statement["predicate"]["verificationResult"], "PASSED");
    let digest = Digest::of(&fs::read(place.join("kept.tar")).unwrap());
    assert_eq!(digest, Digest::of(&fs::read(&archive).unwrap()), "the archive is the same, too");
    assert!(statement["subject"][0]["digest"]["sha256"].is_string());
    assert_eq!(statement["predicate"]["verifiedLevels"][0], "REPRO_REBUILT_IMAGE_FROM_UNNAMED_SOURCE");
    let told = statement["predicate"]["pkg:cargo/repro#verify/v1"]["words"].to_string();
    assert!(told.contains("source-date-epoch") && told.contains("buildkit-image"), "{told}");

    // An archive of old Docker has no manifest: its image ID is all that can be equal.
    let old = bench.output(way, "old.tar");
    let copy = |from: String, to: String| {
        let output =
            std::process::Command::new("skopeo").args(["copy", "--quiet", "--insecure-policy", &from, &to]).output();
        assert!(output.as_ref().unwrap().status.success(), "{}", said(&output.unwrap()));
    };
    copy(format!("docker-archive:{}", archive.display()), format!("docker-archive:{}", old.display()));
    let (status, report, output) = verify(&bench, way, old.to_str().unwrap(), &[], Some(&context));
    assert_eq!((status, &report["level"]), (0, &"config".into()), "{}", said(&output));
    fs::remove_file(old).unwrap();

    fs::write(context.join("f"), "other\n").unwrap();
    let different =
        run(&["--attestation", &path("failed.json"), "--report", &path("report"), "--html", &path("page.html")]);
    assert_eq!(different.status.code(), Some(1), "{}", said(&different));
    let statement: Value = serde_json::from_slice(&fs::read(place.join("failed.json")).unwrap()).unwrap();
    assert_eq!(statement["predicate"]["verificationResult"], "FAILED");
    assert_eq!(fs::read_to_string(place.join("report/a/0-layer-0/f")).unwrap(), "content\n");
    assert_eq!(fs::read_to_string(place.join("report/b/0-layer-0/f")).unwrap(), "other\n");
    assert!(fs::read_to_string(place.join("page.html")).unwrap().contains("published"));
    // What cannot be written changes no verdict; what nobody said does.
    let unwritten = run(&["--html", &path("no/page.html"), "--summary", &path("no/summary.md")]);
    assert_eq!(unwritten.status.code(), Some(1), "{}", said(&unwritten));
    let dockerfile = fs::read_to_string(context.join("Dockerfile")).unwrap();
    fs::write(context.join("Dockerfile"), format!("{dockerfile}ARG MODE\n")).unwrap();
    let assumed = run(&["--attestation", &path("assumed.json")]);
    assert_eq!(assumed.status.code(), Some(4), "{}", said(&assumed));
    assert!(said(&assumed).contains("--build-arg MODE=VALUE") && !place.join("assumed.json").exists());
    let given = run(&["--build-arg", "MODE=a"]);
    assert_eq!(given.status.code(), Some(1), "{}", said(&given));
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    // Somebody else's file may say what was built, and nothing of this machine.
    fs::write(context.join("f"), "content\n").unwrap();
    fs::write(place.join("recipe.toml"), format!("sde = {EPOCH}\noutput = 'elsewhere.tar'\n")).unwrap();
    let by_recipe = run(&["--recipe", &path("recipe.toml")]);
    assert_eq!(by_recipe.status.code(), Some(0), "{}", said(&by_recipe));
    assert!(!context.join("elsewhere.tar").exists(), "a file decides where nothing goes");
    let web = FakeRegistry::start();
    web.put("/recipe.toml", "text/plain", &fs::read(place.join("recipe.toml")).unwrap());
    let by_address = run(&["--recipe", &web.url("/recipe.toml")]);
    assert_eq!(by_address.status.code(), Some(0), "{}", said(&by_address));
    let nowhere = run(&["--recipe", &web.url("/other.toml")]);
    assert!(nowhere.status.code() == Some(4) && said(&nowhere).contains("answers status 404"), "{}", said(&nowhere));
    fs::write(place.join("recipe.toml"), "secret = 'id=a,src=/etc/shadow'\n").unwrap();
    let greedy = run(&["--recipe", &path("recipe.toml")]);
    assert_eq!(greedy.status.code(), Some(2), "{}", said(&greedy));
    for (more, why) in [
        (["--cache-to", "type=local,dest=x"], "--cache-to has no meaning here"),
        (["--cache-from", "127.0.0.1:1/x"], "--cache-from has no meaning here"),
        (["--output", "-"], "--output - has no meaning here"),
    ] {
        let refused = run(&more);
        let text = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(2) && text.contains(why), "{text}");
    }
    fs::remove_file(archive).unwrap();
}
