//! SBOMs that the build action attaches to what it pushed: by a scanner of BuildKit's protocol that is a shell, on real engines, in a
//! real registry, looked up as any client does that knows nothing but the specification.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::github::Runner;
use crate::harness::{Bench, Way, base, lab, run, said, ways, words};

/// Lists the packages of Debian in the image that it is shown.
const LISTS: &str = r#"
source=$BUILDKIT_SCAN_SOURCE
{
    printf '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","subject":[{"name":"x","digest":{"sha256":"00"}}],'
    printf '"predicate":{"spdxVersion":"SPDX-2.3","name":"%s","packages":[' "$source"
    awk '/^Package: /{name=$2} /^Version: /{printf "%s{\"name\":\"%s\",\"versionInfo\":\"%s\"}", comma, name, $2; comma=","}' "$source/var/lib/dpkg/status"
    printf ']}}'
} >"$BUILDKIT_SCAN_DESTINATION/$(basename "$source").spdx.json"
# It may read the image and no more.
if touch "$source/written" 2>/dev/null; then exit 7; fi
[ "$(id -u)" = 0 ]
"#;

/// Puts a scanner into the registry that runs this script, and gives the input that names it.
pub fn generator(bench: &Bench, way: Way, name: &str, script: &str) -> String {
    let script = format!("#!/bin/sh\nset -eu\ncd \"$BUILDKIT_SCAN_DESTINATION\"\n{script}");
    let dockerfile = "ARG BASE\nFROM $BASE\nCOPY scan /scan\nUSER 1000\nENTRYPOINT [\"/bin/sh\"]\nCMD [\"/scan\"]\n";
    let context = bench.context(&format!("scanner {name}"), &[("Dockerfile", dockerfile), ("scan", &script)]);
    let archive = bench.output(way, &format!("scanner-{name}.tar"));
    bench.build(way, &archive, &[base(), words(&["--sde", "0"])].concat(), &context);
    let reference = format!("{}/sbom/scanner-{name}-{}-{}:1", lab("LAB_REGISTRY"), way.name(), std::process::id());
    let pushed = bench.repro(way).arg("push").arg(&archive).arg(&reference).output().unwrap();
    assert!(pushed.status.success(), "{}", said(&pushed));
    format!("generator={reference}")
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The list of what refers to a digest, where there is one.
fn referrers(name: &str, digest: &str) -> Option<String> {
    let crane = Command::new("crane").args(["manifest", &tag_of(name, digest)]).output().unwrap();
    crane.status.success().then(|| String::from_utf8(crane.stdout).unwrap())
}

fn tag_of(name: &str, digest: &str) -> String {
    format!("{name}:{}", digest.replace(':', "-"))
}

/// Stores a manifest as a client does that is not ours.
fn put(place: &Path, name: &str, tag: &str, media_type: &str, bytes: &str) {
    fs::write(place, bytes).unwrap();
    let (registry, repository) = name.split_once('/').unwrap();
    let (header, data) = (format!("Content-Type: {media_type}"), format!("@{}", place.display()));
    let url = format!("http://{registry}/v2/{repository}/manifests/{tag}");
    run(
        "curl",
        &[
            "--silent",
            "--show-error",
            "--fail",
            "--noproxy",
            "*",
            "-X",
            "PUT",
            "-H",
            &header,
            "--data-binary",
            &data,
            &url,
        ],
    );
}

/// Defect 43 of upstream.
#[test]
fn an_sbom_is_attached_to_what_was_pushed_and_moves_no_digest() {
    let bench = Bench::plain("sbom");
    for way in ways().iter().copied() {
        let files = [
            ("Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /var/lib/dpkg/status\nONBUILD RUN exit 7\n"),
            ("amd64", "Package: one\nVersion: 1-amd64\n"),
            ("arm64", "Package: one\nVersion: 1-arm64\n\nPackage: two\nVersion: 2\n"),
        ];
        let runner = Runner::new(&bench, way, &files);
        let generator = generator(&bench, way, "lists", LISTS);
        let name = format!("{}/sbom/app-{}-{}", lab("LAB_REGISTRY"), way.name(), std::process::id());
        let tags = format!("{name}:1\n{name}:latest");
        let inputs = [
            ("tags", tags.as_str()),
            ("push", "true"),
            ("source_date_epoch", "7"),
            ("platforms", "linux/amd64\nlinux/arm64"),
        ];
        let without = runner.run("build", &inputs);
        assert_eq!((without.status, without.outputs["sbom"].as_str()), (Some(0), ""), "{}", without.text);
        let digest = without.outputs["digest"].as_str();
        let build = || runner.run("build", &[&inputs[..], &[("sbom", &generator)]].concat());
        let with = build();
        assert_eq!(with.status, Some(0), "{}", with.text);
        assert!(with.commands.is_empty(), "{:?}", with.commands);
        assert_eq!(
            (with.outputs["digest"].as_str(), with.outputs["changed"].as_str()),
            (digest, "false"),
            "{}",
            way.name()
        );
        assert_eq!(run("crane", &["digest", &format!("{name}:1")]).trim(), digest);
        let metadata = parse(&with.outputs["metadata"]);
        let names: Vec<&str> = with.outputs["sbom"].lines().collect();
        for (at, packages) in [
            json!([{"name": "one", "versionInfo": "1-amd64"}]),
            json!([{"name": "one", "versionInfo": "1-arm64"}, {"name": "two", "versionInfo": "2"}]),
        ]
        .into_iter()
        .enumerate()
        {
            let manifest = metadata["manifests"][at]["digest"].as_str().unwrap();
            let list = parse(&referrers(&name, manifest).unwrap());
            let [entry] = list["manifests"].as_array().unwrap().as_slice() else { panic!("{list}") };
            assert_eq!(entry["artifactType"], "application/vnd.in-toto+json");
            assert_eq!(entry["annotations"]["in-toto.io/predicate-type"], "https://spdx.dev/Document");
            let reference = format!("{name}@{}", entry["digest"].as_str().unwrap());
            assert_eq!(names[at], reference);
            assert!(with.summary.contains(entry["digest"].as_str().unwrap()), "{}", with.summary);
            let artifact = parse(&run("crane", &["manifest", &reference]));
            assert_eq!(artifact["artifactType"], entry["artifactType"]);
            assert_eq!(artifact["subject"]["digest"], manifest);
            let stored = run("crane", &["manifest", &format!("{name}@{manifest}")]);
            assert_eq!(artifact["subject"]["size"], stored.len());
            assert_eq!(artifact["subject"]["mediaType"], parse(&stored)["mediaType"]);
            let layer = &artifact["layers"][0];
            assert_eq!(layer["mediaType"], "application/vnd.in-toto+json");
            let statement = run("crane", &["blob", &format!("{name}@{}", layer["digest"].as_str().unwrap())]);
            let statement = parse(&statement);
            // The scanner named another one.
            assert_eq!(statement["subject"], json!([{"name": "_", "digest": {"sha256": &manifest[7..]}}]));
            assert_eq!(statement["predicate"]["packages"], packages, "{}", way.name());
        }
        others_are_kept(
            &bench.output(way, "document"),
            &name,
            metadata["manifests"][0]["digest"].as_str().unwrap(),
            &|| {
                let again = build();
                assert_eq!(again.status, Some(0), "{}", again.text);
                again.outputs["sbom"].lines().next().unwrap().to_owned()
            },
        );
    }
}

/// What somebody else attached stays as it is, and what is attached already is so once.
fn others_are_kept(place: &Path, name: &str, manifest: &str, attach: &dyn Fn() -> String) {
    let before = referrers(name, manifest).unwrap();
    let ours = attach();
    assert_eq!(referrers(name, manifest).unwrap(), before, "the second time nothing is new");
    let foreign = run("crane", &["manifest", &ours]).replace("spdx.dev/Document", "example.com/signature");
    let digest = repro::digest::Digest::of(foreign.as_bytes()).to_string();
    put(place, name, &digest, "application/vnd.oci.image.manifest.v1+json", &foreign);
    let entry = format!(
        r#"{{"size":{},"digest":"{digest}","mediaType":"application/vnd.oci.image.manifest.v1+json","com.example/x":[1]}}"#,
        foreign.len()
    );
    let index = "application/vnd.oci.image.index.v1+json";
    let list =
        format!(r#"{{"schemaVersion":2,"mediaType":"{index}","manifests":[{entry}],"annotations":{{"a":"b"}}}}"#);
    put(place, name, &manifest.replace(':', "-"), index, &list);
    assert_eq!(attach(), ours);
    let list = referrers(name, manifest).unwrap();
    let ours = ours.split_once('@').unwrap().1;
    assert!(list.contains(&entry) && list.contains(ours) && list.contains(r#""annotations":{"a":"b"}"#), "{list}");
    assert_eq!(parse(&list)["manifests"].as_array().unwrap().len(), 2, "{list}");
}

#[test]
fn what_is_no_sbom_is_told_and_the_image_is_pushed() {
    let Some(way) = ways().iter().copied().find(|way| *way == Way::Buildkitd) else { return };
    let bench = Bench::plain("sbom-broken");
    let runner = Runner::new(&bench, way, &[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "text\n")]);
    for (case, script, status, why) in [
        ("fails", "exit 3", 3, "the build failed"),
        ("silent", "true", 4, "wrote nothing"),
        ("empty", ": >sbom.spdx.json", 4, "wrote a file that is no SBOM: "),
        ("bare", r#"echo '{"spdxVersion":"SPDX-2.3"}' >sbom.spdx.json"#, 4, "wrote a file that is no SBOM: "),
        (
            "escapes",
            r#"printf '{"predicateType":"\033[31m","predicate":1}' >sbom.spdx.json"#,
            4,
            "wrote a file that is no SBOM: ",
        ),
        ("links", "ln -s /etc/passwd sbom.spdx.json", 4, "wrote `sbom.spdx.json`, which is no file"),
        ("large", "head -c 41943041 /dev/zero >sbom.spdx.json", 4, "wrote more than 41943040 bytes"),
        ("many", "for i in $(seq 17); do echo {} >$i; done", 4, "wrote more than 16 files"),
    ] {
        let generator = generator(&bench, way, case, script);
        let name = format!("{}/sbom/broken-{case}-{}", lab("LAB_REGISTRY"), std::process::id());
        let tag = format!("{name}:1");
        let inputs = [("tags", tag.as_str()), ("push", "true"), ("source_date_epoch", "7"), ("sbom", &generator)];
        let ended = runner.run("build", &inputs);
        assert_eq!(ended.status, Some(status), "{case}: {}", ended.text);
        let told: Vec<&str> =
            ended.text.lines().filter(|line| line.starts_with("error: the image is pushed, ")).collect();
        assert!(told.len() == 1 && told[0].contains(why) && !told[0].contains('\u{1b}'), "{case}: {}", ended.text);
        assert!(
            ended.commands.len() == 1 && ended.summary.contains("### ❌ the image is pushed"),
            "{case}: {}",
            ended.summary
        );
        // The image is there all the same, with nothing attached.
        let digest = ended.outputs["digest"].as_str();
        assert_eq!((ended.outputs["changed"].as_str(), ended.outputs["sbom"].as_str()), ("true", ""), "{case}");
        assert_eq!(run("crane", &["digest", &tag]).trim(), digest, "{case}");
        assert_eq!(referrers(&name, digest), None, "{case}");
    }
}

#[test]
fn a_scanner_that_cannot_run_is_told_before_anything_is_built() {
    let Some(way) = ways().iter().copied().find(|way| *way == Way::Buildkitd) else { return };
    let bench = Bench::plain("sbom-absent");
    let runner = Runner::new(&bench, way, &[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "text\n")]);
    let name = format!("{}/sbom/absent-{}:1", lab("LAB_REGISTRY"), std::process::id());
    let inputs = [("tags", name.as_str()), ("push", "true"), ("source_date_epoch", "7")];
    let plain = runner.run("build", &inputs);
    assert_eq!(plain.status, Some(0), "{}", plain.text);
    let other = name.replace(":1", ":2");
    for (generator, status, why) in [
        (name.as_str(), 2, "which has no command for linux/"),
        (&name.replace("absent", "missing"), 4, "answers status 404"),
    ] {
        let generator = format!("generator={generator}");
        let ended = runner.run("build", &[&inputs[1..], &[("tags", other.as_str()), ("sbom", &generator)]].concat());
        assert!(ended.status == Some(status) && ended.text.contains(why), "{}", ended.text);
        assert!(!ended.outputs.contains_key("digest"), "{:?}", ended.outputs);
    }
    assert!(!Command::new("crane").args(["digest", &other]).output().unwrap().status.success());
}
