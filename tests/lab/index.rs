//! `repro index create` against BuildKit: what was built and pushed one by one and is joined then has the digest of what is built
//! at once, in an archive of `repro build` and as BuildKit itself pushes it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use repro::digest::Digest;
use serde_json::Value;

use crate::foreign::Daemon;
use crate::harness::{Bench, Way, lab, run, said, ways, words};
use crate::support::image_builder::{ImageBuilder, file, gzip, platforms, tar};

const VERSIONS: [&str; 2] = ["V0_19_0", "V0_31_1"];
const PLATFORMS: [&str; 3] = ["linux/arm64", "linux/amd64", "linux/arm/v7"];
/// The same and Windows, whose layers hold the time of the build whatever the epoch is (`LIBARCHIVE.creationtime`): they are the
/// same only while they are in one cache.
const WITH_WINDOWS: [&str; 4] = ["windows/amd64", "linux/arm64", "linux/amd64", "linux/arm/v7"];

/// Words for `repro build` of all platforms and for `repro index create`; and options of BuildKit's exporter that say the same.
const CASES: [(&str, &[&str], &[&str]); 3] = [
    ("oci", &[], &["oci-mediatypes=true"]),
    ("docker", &[], &["oci-mediatypes=false"]),
    (
        "oci",
        &[
            "--annotation=index:org.example.b=<&> \"ü\" \u{2028}",
            "--annotation=index:org.example.a=b=c",
            "--annotation=manifest-descriptor[linux/arm/v7]:org.example.c=one",
            "--annotation=manifest-descriptor:org.example.c=all",
        ],
        &[
            "oci-mediatypes=true",
            "\"annotation-index.org.example.b=<&> \"\"ü\"\" \u{2028}\"",
            "annotation-index.org.example.a=b=c",
            "annotation-manifest-descriptor[linux/arm/v7].org.example.c=one",
            "annotation-manifest-descriptor.org.example.c=all",
        ],
    ),
];

/// What BuildKit is asked to say besides.
const ANNOTATED: [&str; 3] =
    ["oci-mediatypes=true", "annotation-index.org.example.a=b", "annotation-manifest-descriptor.org.example.c=d"];

struct Place {
    bench: Bench,
    context: PathBuf,
    name: String,
}

impl Place {
    /// A context on a base whose configs say more than which platform they are for.
    fn new(test: &str) -> Self {
        let bench = Bench::plain(test);
        let name = format!("{}/joined/{test}-{}", lab("LAB_REGISTRY"), std::process::id());
        let of = |os: &str, architecture: &str, variant: &str| {
            let layer = gzip(tar([file("base", format!("{os}/{architecture}"))]));
            ImageBuilder::oci().platform(os, architecture, variant).layer(layer)
        };
        let windows = of("windows", "amd64", "").config(|config| {
            config["os.version"] = "10.0.17763.2114".into();
            config["os.features"] = vec!["win32k"].into();
        });
        let base = platforms([of("linux", "amd64", ""), of("linux", "arm64", "v8"), of("linux", "arm", "v7"), windows]);
        let archive = bench.directory("base").join("base.tar");
        fs::write(&archive, base.tar()).unwrap();
        let place = Self { context: bench.directory("context"), bench, name };
        let base = place.repro(&["push", archive.to_str().unwrap(), &format!("{}-base", place.name)]);
        fs::write(place.context.join("Dockerfile"), format!("FROM {base}\nCOPY f /f\n")).unwrap();
        fs::write(place.context.join("f"), "hello\n").unwrap();
        place
    }

    /// What it prints, without the end of the line.
    fn repro(&self, words: &[&str]) -> String {
        let output = self.bench.repro(Way::Buildkitd).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn build(&self, version: &str, platforms: &str, media_types: &str, more: &[&str]) -> (PathBuf, String) {
        let archive = self.bench.output(Way::Buildkitd, "image.tar");
        let image = lab(&format!("LAB_BUILDKIT_{version}"));
        let mut command = self.bench.repro(Way::Buildkitd);
        command.args(self.bench.arguments_with(Way::Buildkitd, &image)).arg("-o").arg(&archive);
        command.args(["--sde=0", "--archive=oci", "--platform", platforms, "--media-types", media_types]).args(more);
        let output = command.arg(&self.context).output().unwrap();
        assert!(output.status.success(), "{version} {platforms}: {}", said(&output));
        let built = crate::harness::Built::read(&output);
        (archive, built.digest().to_owned())
    }

    /// Builds each platform alone and pushes it without a tag, as a runner of its own would.
    fn runners(&self, version: &str, media_types: &str) -> Vec<String> {
        let one = |platform: &&str| {
            let (archive, _) = self.build(version, platform, media_types, &[]);
            self.repro(&["push", "--by-digest", archive.to_str().unwrap(), &self.name])
        };
        PLATFORMS.iter().map(one).collect()
    }

    fn create(&self, tag: &str, sources: &[String], more: &[&str]) -> String {
        let reference = format!("{}:{tag}", self.name);
        let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
        let printed = self.repro(&[&["index", "create", &reference], sources.as_slice(), more].concat());
        assert!(printed.starts_with(&format!("{reference}@sha256:")), "{printed}");
        digest_of(&printed)
    }

    /// Lets a BuildKit push by itself, and says which digest the registry has then.
    fn buildkit_pushes(&self, daemon: &Daemon, tag: &str, platforms: &str, options: &[&str], more: &[&str]) -> String {
        let reference = format!("{}:{tag}", self.name);
        let local = |name: &str| format!("--local={name}={}", self.context.display());
        let output =
            format!("--output=type=image,name={reference},push=true,rewrite-timestamp=true,{}", options.join(","));
        let platform = format!("--opt=platform={platforms}");
        let mut arguments = vec!["build", "--frontend=dockerfile.v0", "--opt=build-arg:SOURCE_DATE_EPOCH=0", &platform];
        let (context, dockerfile) = (local("context"), local("dockerfile"));
        arguments.extend([context.as_str(), &dockerfile, &output]);
        arguments.extend(more);
        let pushed = daemon.buildctl(&arguments);
        assert!(pushed.status.success(), "{}", said(&pushed));
        run("crane", &["digest", &reference]).trim().to_owned()
    }

    fn manifest(&self, tag_or_digest: &str) -> Value {
        let separator = if tag_or_digest.contains(':') { "@" } else { ":" };
        let reference = format!("{}{separator}{tag_or_digest}", self.name);
        serde_json::from_str(&run("crane", &["manifest", &reference])).unwrap()
    }
}

fn digest_of(reference: &str) -> String {
    reference.rsplit_once('@').unwrap().1.to_owned()
}

fn daemon(bench: &Bench, version: &str) -> Daemon {
    let name = format!("joined-{version}");
    Daemon::start(version, &bench.home().join(&name), &bench.temporary().join(format!("{name}.sock")), &[])
}

#[test]
fn what_is_joined_is_what_buildkit_pushes() {
    if !ways().contains(&Way::Buildkitd) {
        return;
    }
    let place = Place::new("index");
    for version in VERSIONS {
        let daemon = daemon(&place.bench, version);
        for (at, (media_types, annotations, options)) in CASES.iter().enumerate() {
            let case = format!("{version}-{at}");
            let sources = place.runners(version, media_types);
            let joined = place.create(&case, &sources, annotations);
            let (_, built) = place.build(version, &PLATFORMS.join(","), media_types, annotations);
            assert_eq!(joined, built, "{case}");
            let pushed = place.buildkit_pushes(&daemon, &format!("{case}-pushed"), &PLATFORMS.join(","), options, &[]);
            assert_eq!(joined, pushed, "{case}");
            let mut turned = sources.clone();
            turned.reverse();
            assert_ne!(place.create(&format!("{case}-turned"), &turned, annotations), built, "the order counts");
            others_read_it(&format!("{}:{case}", place.name), &joined);
        }
    }
}

fn others_read_it(reference: &str, digest: &str) {
    assert_eq!(run("crane", &["digest", reference]).trim(), digest);
    run("crane", &["validate", "--remote", reference]);
    let there = format!("docker://{reference}");
    let raw = run("skopeo", &["inspect", "--raw", "--tls-verify=false", &there]);
    assert_eq!(Digest::of(raw.as_bytes()).to_string(), digest);
    for (architecture, variant) in [("arm64", ""), ("arm", "v7")] {
        let (of, form) = (format!("--override-arch={architecture}"), format!("--override-variant={variant}"));
        let seen = run("skopeo", &["inspect", "--tls-verify=false", &of, &form, &there]);
        let seen: Value = serde_json::from_str(&seen).unwrap();
        assert_eq!(seen["Architecture"], architecture);
    }
}

#[test]
fn what_buildkit_pushes_one_by_one_is_joined_as_it_pushes_it_at_once() {
    if !ways().contains(&Way::Buildkitd) {
        return;
    }
    let place = Place::new("index-pushed");
    for version in VERSIONS {
        let daemon = daemon(&place.bench, version);
        let push = |tag: &str, platforms: &str, options: &[&str], attest: &[&str]| {
            place.buildkit_pushes(&daemon, tag, platforms, options, attest)
        };
        let join = |options: &[&str], attest: &[&str], annotations: &[&str]| {
            let one = |platform: &&str| {
                let digest = push(&platform.replace('/', "-"), platform, options, attest);
                format!("{}@{digest}", place.name)
            };
            place.create("joined", &WITH_WINDOWS.iter().map(one).collect::<Vec<_>>(), annotations)
        };
        let at_once = |attest: &[&str]| push("at-once", &WITH_WINDOWS.join(","), &ANNOTATED, attest);
        // What makes an index of one platform is an attestation alone: without one, nothing keeps what is said of the index.
        let words = ["--annotation=index:org.example.a=b", "--annotation=manifest-descriptor:org.example.c=d"];
        assert_eq!(join(&ANNOTATED[..1], &[], &words), at_once(&[]), "{version}");
        // Provenance holds times, so that no two of them are equal: what is compared is the index around them.
        let around_attestations = |digest: &str| {
            let mut index = place.manifest(digest);
            let members = index["manifests"].as_array_mut().unwrap();
            assert_eq!(members.len(), 2 * WITH_WINDOWS.len());
            for attestation in &mut members[WITH_WINDOWS.len()..] {
                assert!(attestation["digest"].take().is_string() && attestation["size"].take().is_u64());
            }
            index
        };
        let attest = ["--opt=attest:provenance=mode=min"];
        let (joined, at_once) = (join(&ANNOTATED, &attest, &[]), at_once(&attest));
        assert_eq!(around_attestations(&joined), around_attestations(&at_once), "{version}");
        // An index of one index is that index, byte for byte.
        assert_eq!(place.create("same", &[format!("{}@{at_once}", place.name)], &[]), at_once, "{version}");
        run("crane", &["validate", "--remote", &format!("{}:joined", place.name)]);
    }
}

/// Of images on two registries one with everything, which an engine's tools pull.
#[test]
fn runners_may_have_registries_of_their_own() {
    if !ways().contains(&Way::Buildkitd) {
        return;
    }
    let place = Place::new("index-copied");
    let sources = place.runners(VERSIONS[0], "oci");
    // A second registry, which has nothing of it.
    let directory = place.bench.directory("registry");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let configuration = directory.join("registry.yml");
    let settings = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
        directory.join("blobs").display()
    );
    std::fs::write(&configuration, settings).unwrap();
    let mut registry = std::process::Command::new("docker-registry");
    registry.arg("serve").arg(&configuration).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut registry = registry.spawn().unwrap();
    let answers = || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
            || std::process::Command::new("sleep").arg("0.05").status().is_err()
    };
    assert!((0..200).any(|_| answers()));
    let other = format!("127.0.0.1:{port}/team/app:1");
    let mut arguments = words(&["index", "create", "--format=json", &other]);
    arguments.extend(sources.iter().map(OsString::from));
    let output = place.bench.repro(Way::Buildkitd).args(arguments).output().unwrap();
    let there = format!("docker://{other}");
    let copy = format!("oci:{}", place.bench.directory("copy").join("layout").display());
    let pulled = std::process::Command::new("skopeo")
        .args(["copy", "--quiet", "--all", "--preserve-digests", "--src-tls-verify=false", &there, &copy])
        .output()
        .unwrap();
    let validated = std::process::Command::new("crane").args(["validate", "--remote", &other]).output().unwrap();
    registry.kill().unwrap();
    registry.wait().unwrap();
    for output in [&output, &pulled, &validated] {
        assert!(output.status.success(), "{}", said(output));
    }
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["sent"].as_u64().unwrap() > 0 && report["mounted"] == 0, "{report}");
    assert_eq!(report["digest"], place.create("own", &sources, &[]).as_str());
}

#[test]
fn runners_may_have_repositories_of_their_own() {
    if !ways().contains(&Way::Buildkitd) {
        return;
    }
    let place = Place::new("index-mounted");
    let sources = place.runners(VERSIONS[0], "oci");
    let other = format!("{}-other:1", place.name);
    let mut arguments = words(&["index", "create", "--format=json", &other]);
    arguments.extend(sources.iter().map(OsString::from));
    let output = place.bench.repro(Way::Buildkitd).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["mounted"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["digest"], place.create("own", &sources, &[]).as_str());
    run("crane", &["validate", "--remote", &other]);
    let copy = place.bench.directory("copy").join("layout");
    let copy = format!("oci:{}", Path::new(&copy).display());
    let there = format!("docker://{other}");
    run("skopeo", &["copy", "--quiet", "--all", "--preserve-digests", "--src-tls-verify=false", &there, &copy]);
}
