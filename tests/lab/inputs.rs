//! What `repro analyze` reads: archives, directories and registries as the real tools write them, each held against what other
//! tools say of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use repro::digest::Digest;
use serde_json::Value;

use crate::foreign::Daemon;
use crate::harness::{Bench, Way, lab, said, ways};

/// What has to be found in one input.
struct Case {
    /// Who wrote it.
    name: String,
    /// What `repro analyze` is given.
    word: String,
    /// The digest of the image, where it has a manifest.
    digest: Option<String>,
    /// The image ID, where there is one image.
    config: Option<String>,
    /// What the report has as its status.
    status: &'static str,
}

/// Runs a program to its end.
fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}\n{}", said(&output));
    output.stdout
}

fn text(program: &str, arguments: &[&str]) -> String {
    String::from_utf8(run(program, arguments)).unwrap().trim().to_owned()
}

/// The digest of what skopeo reads as the manifest, or as the config.
fn skopeo(place: &str, of_config: bool) -> String {
    let mut arguments = vec!["--insecure-policy", "inspect", "--tls-verify=false", "--raw"];
    arguments.extend(of_config.then_some("--config"));
    arguments.push(place);
    Digest::of(&run("skopeo", &arguments)).to_string()
}

struct Tools {
    place: PathBuf,
    bench: Bench,
    daemon: Daemon,
    cases: Vec<Case>,
}

impl Tools {
    fn path(&self, name: &str) -> String {
        self.place.join(name).to_str().unwrap().to_owned()
    }

    /// An input with a manifest: skopeo reads it through `transport`, in its words.
    fn whole(&mut self, name: &str, transport: &str) {
        let word = self.path(name);
        let place = format!("{transport}:{word}");
        let is_index = run("skopeo", &["--insecure-policy", "inspect", "--raw", &place]);
        let is_index = serde_json::from_slice::<Value>(&is_index).unwrap()["manifests"].is_array();
        let config = (!is_index).then(|| skopeo(&place, true));
        self.add(name, word, Some(skopeo(&place, false)), config);
    }

    /// An archive without a manifest: skopeo reads the config, and the engine that it is loaded into says the same.
    fn docker_archive(&mut self, name: &str, tag: &str) {
        let word = self.path(name);
        let config = skopeo(&format!("docker-archive:{word}{tag}"), true);
        self.add(name, word, None, Some(config));
    }

    fn add(&mut self, name: &str, word: String, digest: Option<String>, config: Option<String>) {
        self.cases.push(Case { name: name.to_owned(), word, digest, config, status: "ok" });
    }

    /// Builds with BuildKit; the epoch makes the same bytes of it each time.
    fn build(&self, arguments: &[&str]) {
        let context = self.path("context");
        let (local, dockerfile) = (format!("context={context}"), format!("dockerfile={context}"));
        let common =
            ["build", "--frontend", "dockerfile.v0", "--opt", "build-arg:SOURCE_DATE_EPOCH=0", "--local", &local];
        let output = self.daemon.buildctl(&[&common[..], &["--local", &dockerfile], arguments].concat());
        assert!(output.status.success(), "{}", said(&output));
    }

    fn buildkit(&mut self) {
        const BOTH: &str = "platform=linux/amd64,linux/arm64";
        const PROVENANCE: &str = "attest:provenance=mode=max";
        let context = self.place.join("context");
        fs::create_dir(&context).unwrap();
        fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY a /a\nCOPY a /a\nCOPY b /b\n").unwrap();
        fs::write(context.join("a"), "a\n").unwrap();
        fs::write(context.join("b"), "b\n").unwrap();
        // Their times are in the layers.
        for name in ["a", "b"] {
            run("touch", &["--date=@0", context.join(name).to_str().unwrap()]);
        }
        let to = |name: &str, more: &str| format!("{more},dest={}", self.path(name));
        self.build(&["--output", &to("buildkit-docker.tar", "type=docker,name=inputs/one:1")]);
        self.build(&["--output", &to("buildkit-docker-types.tar", "type=docker,oci-mediatypes=false")]);
        self.build(&["--output", &to("buildkit-oci.tar", "type=oci")]);
        self.build(&["--output", &to("buildkit-dir", "type=oci,tar=false")]);
        self.build(&["--opt", BOTH, "--output", &to("buildkit-platforms.tar", "type=oci,name=inputs/both:1")]);
        self.build(&["--opt", BOTH, "--opt", PROVENANCE, "--output", &to("buildkit-provenance.tar", "type=oci")]);
        for compression in ["uncompressed", "zstd", "estargz"] {
            let output = format!("type=oci,force-compression=true,compression={compression}");
            self.build(&["--output", &to(&format!("buildkit-{compression}.tar"), &output)]);
        }
        let registry = lab("LAB_REGISTRY");
        let sbom = format!("attest:sbom=generator={}", self.scanner(&registry));
        self.build(&[
            "--opt",
            BOTH,
            "--opt",
            &sbom,
            "--opt",
            PROVENANCE,
            "--output",
            &to("buildkit-sbom.tar", "type=oci"),
        ]);
        for (name, more) in
            [("one", &[][..]), ("both", &["--opt", BOTH]), ("attested", &["--opt", BOTH, "--opt", PROVENANCE])]
        {
            let output = format!("type=image,push=true,name={registry}/inputs/{name}:1");
            self.build(&[more, &["--output", &output]].concat());
        }
        for name in
            ["docker", "docker-types", "oci", "platforms", "provenance", "sbom", "uncompressed", "zstd", "estargz"]
        {
            self.whole(&format!("buildkit-{name}.tar"), "oci-archive");
        }
        self.whole("buildkit-dir", "oci");
    }

    /// What BuildKit runs to list the contents of an image, in the registry: a shell instead of a program that knows packages.
    fn scanner(&self, registry: &str) -> String {
        let context = self.place.join("scanner");
        fs::create_dir(&context).unwrap();
        let statement = r#"{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":{"spdxVersion":"SPDX-2.3"}}"#;
        let script = format!("#!/bin/sh\necho '{statement}' >$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json\n");
        fs::write(context.join("scan"), script).unwrap();
        let dockerfile = format!("FROM {}\nCOPY --chmod=755 scan /scan\nENTRYPOINT [\"/scan\"]\n", lab("LAB_BASE"));
        fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        let reference = format!("{registry}/inputs/scanner:1");
        let local = |name: &str| format!("{name}={}", context.display());
        let output = format!("type=image,push=true,name={reference}");
        let output = self.daemon.buildctl(&[
            "build",
            "--frontend",
            "dockerfile.v0",
            "--local",
            &local("context"),
            "--local",
            &local("dockerfile"),
            "--output",
            &output,
        ]);
        assert!(output.status.success(), "{}", said(&output));
        reference
    }

    fn registry(&mut self) {
        let registry = lab("LAB_REGISTRY");
        for name in ["one", "both", "attested"] {
            let reference = format!("{registry}/inputs/{name}:1");
            let digest = text("crane", &["digest", &reference]);
            assert_eq!(skopeo(&format!("docker://{reference}"), false), digest);
            self.add(&format!("registry {name}"), reference.clone(), Some(digest.clone()), None);
            let pinned = format!("docker://{registry}/inputs/{name}@{digest}");
            self.add(&format!("registry {name} by digest"), pinned, Some(digest), None);
        }
    }

    fn skopeo(&mut self) {
        let registry = lab("LAB_REGISTRY");
        let copy = |image: &str, place: &str, more: &[&str]| {
            let from = format!("docker://{registry}/inputs/{image}:1");
            let common = ["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"];
            run("skopeo", &[&common[..], more, &[&from, place]].concat());
        };
        copy("one", &format!("oci:{}:image", self.path("skopeo-oci")), &[]);
        copy("one", &format!("oci-archive:{}:image", self.path("skopeo-oci.tar")), &[]);
        copy("one", &format!("docker-archive:{}:one:1", self.path("skopeo-docker.tar")), &[]);
        copy("one", &format!("dir:{}", self.path("skopeo-dir")), &[]);
        copy("both", &format!("oci:{}:image", self.path("skopeo-oci-all")), &["--all"]);
        copy("attested", &format!("dir:{}", self.path("skopeo-dir-all")), &["--all"]);
        for name in ["skopeo-oci", "skopeo-oci-all"] {
            self.whole(name, "oci");
        }
        for name in ["skopeo-dir", "skopeo-dir-all"] {
            self.whole(name, "dir");
        }
        self.whole("skopeo-oci.tar", "oci-archive");
        self.docker_archive("skopeo-docker.tar", "");
    }

    fn docker(&mut self) {
        let (one, two) = ("inputs/one:1", format!("{}/inputs/attested:1", lab("LAB_REGISTRY")));
        run("docker", &["load", "--quiet", "--input", &self.path("buildkit-docker.tar")]);
        run("docker", &["pull", "--quiet", &two]);
        run("docker", &["save", "--output", &self.path("docker.tar"), one]);
        run("docker", &["save", "--output", &self.path("docker-two.tar"), one, &two]);
        let id = text("docker", &["inspect", "--format", "{{.Id}}", one]);
        run("docker", &["image", "rm", one, &two]);
        self.docker_archive("docker.tar", "");
        assert_eq!(self.cases.last().unwrap().config.as_ref(), Some(&id), "docker and skopeo mean the same");
        self.add("docker-two.tar", self.path("docker-two.tar"), None, None);
    }

    fn podman(&mut self) {
        let reference = format!("{}/inputs/one:1", lab("LAB_REGISTRY"));
        run("podman", &["pull", "--quiet", &reference]);
        for format in ["docker-archive", "oci-archive", "oci-dir", "docker-dir"] {
            let output = self.path(&format!("podman-{format}"));
            run("podman", &["save", "--quiet", "--format", format, "--output", &output, &reference]);
        }
        let id = text("podman", &["image", "inspect", "--format", "{{.Id}}", &reference]);
        run("podman", &["image", "rm", &reference]);
        self.docker_archive("podman-docker-archive", "");
        assert_eq!(self.cases.last().unwrap().config, Some(format!("sha256:{id}")), "podman and skopeo mean the same");
        self.whole("podman-oci-archive", "oci-archive");
        self.whole("podman-oci-dir", "oci");
        self.whole("podman-docker-dir", "dir");
    }

    fn buildah(&mut self) {
        let (root, run_root) = (self.path("buildah/root"), self.path("buildah/run"));
        let store = ["--root", &root, "--runroot", &run_root, "--storage-driver", "vfs"];
        let buildah = |arguments: &[&str]| text("buildah", &[&store[..], arguments].concat());
        let base = format!("{}/inputs/one:1", lab("LAB_REGISTRY"));
        let container = buildah(&["from", "--quiet", "--tls-verify=false", &base]);
        buildah(&["copy", "--quiet", &container, &self.path("context/b"), "/c"]);
        let image = buildah(&["commit", "--quiet", &container, "inputs-buildah:1"]);
        for (transport, name, tag) in [
            ("docker-archive", "buildah-docker.tar", ":one:1"),
            ("oci-archive", "buildah-oci.tar", ":one"),
            ("oci", "buildah-oci", ":one"),
            ("dir", "buildah-dir", ""),
        ] {
            buildah(&["push", "--quiet", &image, &format!("{transport}:{}{tag}", self.path(name))]);
        }
        buildah(&["rm", "--all"]);
        buildah(&["rmi", "--all"]);
        self.docker_archive("buildah-docker.tar", "");
        self.whole("buildah-oci.tar", "oci-archive");
        self.whole("buildah-oci", "oci");
        self.whole("buildah-dir", "dir");
    }

    fn umoci(&mut self) {
        let (layout, bundle) = (self.path("umoci"), self.path("umoci-bundle"));
        let image = format!("{layout}:one");
        run("umoci", &["init", "--layout", &layout]);
        run("umoci", &["new", "--image", &image]);
        run("umoci", &["unpack", "--image", &image, &bundle]);
        fs::write(Path::new(&bundle).join("rootfs/a"), "a").unwrap();
        run("umoci", &["repack", "--image", &image, &bundle]);
        // Leaves what it was before in the layout.
        run("umoci", &["config", "--image", &image, "--config.cmd", "/a"]);
        self.whole("umoci", "oci");
        run("cp", &["-r", &layout, &self.path("umoci-clean")]);
        run("umoci", &["gc", "--layout", &self.path("umoci-clean")]);
        run("tar", &["-C", &self.path("umoci-clean"), "-cf", &self.path("umoci.tar"), "."]);
        self.whole("umoci.tar", "oci-archive");
    }

    fn crane(&mut self) {
        let reference = format!("{}/inputs/one:1", lab("LAB_REGISTRY"));
        let digest = text("crane", &["digest", &reference]);
        let config = Digest::of(&run("crane", &["config", &reference])).to_string();
        for (format, name) in [("tarball", "crane.tar"), ("legacy", "crane-legacy.tar"), ("oci", "crane-oci")] {
            run("crane", &["pull", "--format", format, &reference, &self.path(name)]);
            let digest = (format == "oci").then(|| digest.clone());
            self.add(name, self.path(name), digest, Some(config.clone()));
        }
        let all = format!("{}/inputs/attested:1", lab("LAB_REGISTRY"));
        run("crane", &["pull", "--format", "oci", &all, &self.path("crane-oci-all")]);
        self.add("crane-oci-all", self.path("crane-oci-all"), Some(text("crane", &["digest", &all])), None);
    }

    fn ctr(&mut self) {
        let (socket, space) = (lab("LAB_CONTAINERD"), format!("inputs-{}", std::process::id()));
        let ctr = |arguments: &[&str]| run("ctr", &[&["-a", &socket, "-n", &space, "image"][..], arguments].concat());
        let reference = format!("{}/inputs/both:1", lab("LAB_REGISTRY"));
        // containerd before 2.0 cannot unpack attestations.
        ctr(&["pull", "--plain-http", "--all-platforms", &reference]);
        ctr(&["export", "--all-platforms", &self.path("ctr.tar"), &reference]);
        ctr(&["export", "--platform", "linux/arm64", &self.path("ctr-arm64.tar"), &reference]);
        // Its blobs and layers go with it, or the namespace would not be empty.
        ctr(&["rm", "--sync", &reference]);
        run("ctr", &["-a", &socket, "namespace", "remove", &space]);
        let digest = text("crane", &["digest", &reference]);
        self.add("ctr.tar", self.path("ctr.tar"), Some(digest.clone()), None);
        // It has the index, and one of the images that this names.
        self.add("ctr-arm64.tar", self.path("ctr-arm64.tar"), Some(digest), None);
        self.cases.last_mut().unwrap().status = "partial";
    }

    /// Some of them once more, packed.
    fn packed(&mut self) {
        for (program, suffix, name) in
            [("gzip", "gz", "docker.tar"), ("zstd", "zst", "crane.tar"), ("gzip", "gz", "skopeo-oci.tar")]
        {
            let packed = self.path(&format!("{name}.{suffix}"));
            let bytes = run(program, &["-c", &self.path(name)]);
            fs::write(&packed, bytes).unwrap();
            let case = self.cases.iter().find(|case| case.name == name).unwrap();
            let (digest, config) = (case.digest.clone(), case.config.clone());
            self.add(&format!("{name}.{suffix}"), packed, digest, config);
        }
    }

    /// Pushes what has a digest and lies here, and asks others what arrived.
    fn push(&self, number: usize, case: &Case) {
        let Some(digest) = &case.digest else { return };
        if case.status != "ok" || !Path::new(&case.word).exists() {
            return;
        }
        let reference = format!("{}/pushed/case{number}:1", lab("LAB_REGISTRY"));
        for sends_again in [false, true] {
            let mut command = self.bench.repro(Way::Docker);
            let output = command.args(["push", "--format", "json", &case.word, &reference]).output().unwrap();
            assert!(output.status.success(), "{}: {}", case.name, said(&output));
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            let sent = report["references"][0]["sent"].as_u64().unwrap();
            assert!(!sends_again || sent == 0, "{}: {report:#}", case.name);
        }
        assert_eq!(text("crane", &["digest", &reference]), *digest, "{}", case.name);
        // Both hold every blob that they get against its digest.
        let copy = self.path(&format!("pulled-{number}"));
        run("crane", &["pull", "--format", "oci", &reference, &copy]);
        fs::remove_dir_all(&copy).unwrap();
        let from = format!("docker://{reference}");
        let words = ["--insecure-policy", "copy", "--quiet", "--all", "--preserve-digests", "--src-tls-verify=false"];
        run("skopeo", &[&words[..], &[&from, &format!("dir:{copy}")]].concat());
        fs::remove_dir_all(copy).unwrap();
    }

    fn analyze(&self, case: &Case, from_pipe: bool) -> Value {
        let mut command = self.bench.repro(Way::Docker);
        command.args(["analyze", "--format", "json"]);
        if from_pipe {
            let mut cat = Command::new("cat").arg(&case.word).stdout(Stdio::piped()).spawn().unwrap();
            command.arg("-").stdin(cat.stdout.take().unwrap());
            let output = command.output().unwrap();
            cat.wait().unwrap();
            assert!(output.status.success(), "{} by a pipe: {}", case.name, said(&output));
            return serde_json::from_slice(&output.stdout).unwrap();
        }
        let output = command.arg(&case.word).output().unwrap();
        assert!(output.status.success(), "{}: {}", case.name, said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn what_tools_write_has_the_digests_that_tools_say() {
    // They write with all engines, so all have to be there, or none is asked for.
    if ways().is_empty() {
        return;
    }
    let bench = Bench::plain("inputs");
    let place = bench.directory("written");
    let daemon = Daemon::start("V0_31_1", &place.join("daemon"), &bench.temporary().join("inputs.sock"), &[]);
    let mut tools = Tools { place, bench, daemon, cases: Vec::new() };
    tools.buildkit();
    tools.registry();
    tools.skopeo();
    tools.docker();
    tools.podman();
    tools.buildah();
    tools.umoci();
    tools.crane();
    tools.ctr();
    tools.packed();
    assert!(tools.cases.len() >= 40, "{}", tools.cases.len());
    for (number, case) in tools.cases.iter().enumerate() {
        tools.push(number, case);
        let is_file = Path::new(&case.word).is_file();
        for from_pipe in [false, true] {
            if from_pipe && !is_file {
                continue;
            }
            let report = tools.analyze(case, from_pipe);
            let image = &report["image"];
            assert_eq!(report["status"], case.status, "{}", case.name);
            assert_eq!(image["digest"].as_str(), case.digest.as_deref(), "{}", case.name);
            let found = [&image["manifests"], &image["docker_images"]];
            let mut found = found.into_iter().flat_map(|list| list.as_array().unwrap());
            let config = case.config.as_deref();
            let has_config = found.any(|one| config.is_none_or(|config| one["config"]["digest"] == *config));
            assert!(has_config, "{}: no config {config:?} in {image:#}", case.name);
        }
    }
}

#[test]
fn a_private_registry_is_read_with_the_login_of_podman() {
    if ways().is_empty() {
        return;
    }
    let bench = Bench::plain("inputs-private");
    let (registry, base) = (lab("LAB_PRIVATE_REGISTRY"), lab("LAB_BASE_SMALL"));
    let digest = base.split_once('@').unwrap().1;
    let word = format!("{registry}/small:latest");
    let auth = bench.directory("login").join("auth.json");
    // lab:swordfish
    fs::write(&auth, format!(r#"{{"auths":{{"{registry}":{{"auth":"bGFiOnN3b3JkZmlzaA=="}}}}}}"#)).unwrap();
    let analyze = |login: &Path| {
        let mut command = bench.repro_with(Way::Docker, &[("REGISTRY_AUTH_FILE", login.as_os_str())]);
        command.args(["analyze", &word, "--expected-image-digest", digest]).output().unwrap()
    };
    let output = analyze(&auth);
    assert!(output.status.success(), "{}", said(&output));
    let refused = analyze(&bench.directory("login").join("none.json"));
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
    assert!(said(&refused).contains("status 401 without credentials"), "{}", said(&refused));
}
