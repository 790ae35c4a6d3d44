//! A night of the matrix, part by part as the jobs of `.github/workflows/nightly.yml` run it, on real engines and a real registry; and the
//! images of `nightly/debian`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::{Bench, Way, lab, run, said, ways};

/// GitHub's client, which knows of what is in a directory: the answers by the last part of a path, the questions in `asked`.
const GH: &str = r#"#!/bin/sh
set -eu
printf '%s\n' "$2" >>"$ANSWERS/asked"
case $2 in
    */zip) cat "$ANSWERS/zip" ;;
    *) name=${2%%\?*}; jq -r "$4" "$ANSWERS/${name##*/}" ;;
esac
"#;

struct Night {
    bench: Bench,
    place: PathBuf,
    repository: PathBuf,
    variables: BTreeMap<&'static str, OsString>,
}

impl Night {
    /// A repository with a matrix of two images, of which one is never the same twice.
    fn new(runtimes: &[&str]) -> Self {
        let bench = Bench::plain("night");
        let repository = bench.context(
            "repository",
            &[
                (
                    "same/Dockerfile",
                    "FROM scratch\nARG SOURCE_DATE_EPOCH\nCOPY busybox /bin/busybox\n\
                                     RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo $SOURCE_DATE_EPOCH >/epoch\"]\n",
                ),
                (
                    "differs/Dockerfile",
                    "FROM scratch\nCOPY busybox /bin/busybox\n\
                                        RUN [\"/bin/busybox\", \"cp\", \"/proc/sys/kernel/random/uuid\", \"/uuid\"]\n",
                ),
            ],
        );
        let place = repository.parent().unwrap().to_owned();
        for image in ["same", "differs"] {
            fs::copy(lab("LAB_BUSYBOX"), repository.join(image).join("busybox")).unwrap();
        }
        let mut matrix = format!(
            "[axes]\nruntime = {runtimes:?}\nbuildkit = [\"v0.19.0\"]\nplatform = [\"linux/amd64\"]\n[buildkit]\n\"v0.19.0\" = {:?}\n\
             [build]\nsource-date-epoch = \"git\"\nbuilder-network = \"host\"\nbuildkitd-config = {:?}\n",
            lab("LAB_BUILDKIT_V0_19_0"),
            lab("LAB_BUILDKITD_TOML"),
        );
        for image in ["same", "differs"] {
            let _ = write!(matrix, "[[image]]\nname = \"{image}\"\ncontext = \"{image}\"\n");
        }
        fs::write(repository.join("matrix.toml"), matrix).unwrap();
        let script = "git init -q; git add -A; git -c user.name=a -c user.email=a@b.example commit -q -m one";
        assert!(Command::new("sh").args(["-c", script]).current_dir(&repository).status().unwrap().success());
        fs::create_dir(place.join("bin")).unwrap();
        let gh = place.join("bin/gh");
        fs::write(&gh, GH).unwrap();
        fs::set_permissions(&gh, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", place.join("bin").display(), std::env::var("PATH").unwrap());
        let target = format!("{}/Night/{}", lab("LAB_REGISTRY"), std::process::id());
        let variables: [(&str, OsString); 9] = [
            ("PATH", path.into()),
            ("MATRIX", repository.join("matrix.toml").into()),
            ("REPRO", bench.home().join("repro").into()),
            ("PUBLISHED", "same differs".into()),
            ("TARGET", target.into()),
            ("GITHUB_REPOSITORY", "somebody/repro".into()),
            ("GITHUB_REF_NAME", "main".into()),
            ("GITHUB_RUN_ID", "100".into()),
            ("PLATFORM", "linux/amd64".into()),
        ];
        Self { bench, place, repository, variables: variables.into_iter().collect() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// Runs a part as a step of a job in a night does; gives what it put out, too.
    fn part(&self, night: &str, part: &str, more: &[(&str, &str)]) -> (Output, BTreeMap<String, String>) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("nightly/night");
        let mut command = self.bench.program(Way::Docker, &script);
        let outputs = self.at("outputs");
        fs::write(&outputs, "").unwrap();
        command.arg(part).envs(&self.variables).env("GITHUB_OUTPUT", &outputs).env("GITHUB_RUN_ATTEMPT", night);
        command
            .env("GITHUB_STEP_SUMMARY", self.at(&format!("{night}/summary-{part}.md")))
            .env("ANSWERS", self.at("answers"));
        for (variable, directory) in
            [("BEFORE", "before"), ("CELLS", "cells"), ("AFTER", "after"), ("PUBLISH", "publish"), ("OUT", "cells")]
        {
            command.env(variable, self.at(night).join(directory));
        }
        let output = command.envs(more.iter().copied()).current_dir(&self.repository).output().unwrap();
        let text = fs::read_to_string(&outputs).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        (output, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn must(&self, night: &str, part: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let (output, outputs) = self.part(night, part, more);
        assert!(output.status.success(), "{part}: {}", said(&output));
        outputs
    }

    /// What GitHub says of the runs of this workflow, and of the artifacts of each.
    fn answers(&self, runs: &Value, artifacts: &Value) {
        let place = self.bench.directory("answers");
        fs::write(place.join("runs"), json!({ "workflow_runs": runs }).to_string()).unwrap();
        fs::write(place.join("artifacts"), json!({ "artifacts": artifacts }).to_string()).unwrap();
        let _ = fs::remove_file(place.join("asked"));
    }

    fn json(&self, file: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.at(file)).unwrap()).unwrap()
    }

    /// All jobs that build, and the one that joins.
    fn build_and_join(&self, night: &str) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        let begun = self.must(night, "begin", &[]);
        let cells: Value = serde_json::from_str(&begun["cells"]).unwrap();
        for job in cells["include"].as_array().unwrap() {
            self.must(
                night,
                "cell",
                &[("CELL", job["cell"].as_str().unwrap()), ("RUN", &begun["run"]), ("EPOCH", &begun["epoch"])],
            );
        }
        let joined = self.must(night, "join", &[("RUN", &begun["run"]), ("DAY", &begun["day"])]);
        (begun, joined)
    }
}

#[test]
fn the_jobs_of_a_night_find_what_to_publish_and_the_next_night_builds_it_again() {
    let runtimes: Vec<&str> = [Way::Docker, Way::Podman, Way::Buildkitd]
        .into_iter()
        .filter(|way| ways().contains(way))
        .map(Way::runtime)
        .collect();
    if runtimes.len() < 2 {
        return;
    }
    let night = Night::new(&runtimes[..2]);
    night.answers(&json!([]), &json!([]));
    for part in ["1", "2"] {
        night.bench.directory(part);
    }

    let (begun, published) = first_night(&night);
    second_night(&night, &begun, &published);
}

/// Builds, joins and publishes; what the night began with, and what it published.
fn first_night(night: &Night) -> (BTreeMap<String, String>, Value) {
    let (output, _) = night.part("1", "restore", &[]);
    assert!(output.status.success() && said(&output).contains("begins a new one"), "{}", said(&output));
    let (begun, joined) = night.build_and_join("1");
    assert!(begun["epoch"].parse::<u64>().unwrap() % 86400 == 0 && begun["run"].ends_with("-100.1"), "{begun:?}");
    assert_eq!((joined["status"].as_str(), joined["images"].as_str()), ("1", "[\"same\"]"), "{joined:?}");
    let summary = fs::read_to_string(night.at("1/summary-join.md")).unwrap();
    assert!(summary.contains("differs") && summary.contains("not reproducible"), "{summary}");
    let report = night.json("1/after/report.json");
    assert_eq!((&report["run"]["done"], &report["run"]["planned"]), (&json!(4), &json!(4)));
    let group = |image: usize| &report["images"][image]["groups"][0];
    assert_eq!(
        (&report["images"][0]["name"], &group(0)["independent"], &group(1)["independent"]),
        (&json!("differs"), &json!(0), &json!(2))
    );
    // Both archives of what differs were there to be compared.
    assert!(report["images"][0].to_string().contains("uuid"), "{report}");
    let published = night.json("1/publish/published.json");
    let image = &published["images"][0];
    let name = image["reference"].as_str().unwrap();
    assert!(name.ends_with(&format!("/night/{}/same:{}", std::process::id(), begun["day"])), "{name}");
    night.must("1", "page", &[]);
    let packed = night.at("1/cells/artifact.tar");
    let page = run("tar", &["-xOf", packed.to_str().unwrap(), "./index.html"]);
    assert!(page.contains("not reproducible") && page.contains("same"), "{page}");
    assert_eq!(
        run("tar", &["-xOf", packed.to_str().unwrap(), "./history.jsonl"]),
        fs::read_to_string(night.at("1/after/history.jsonl")).unwrap()
    );
    night.must("1", "publish", &[]);
    let digest = image["platforms"][0]["digest"].as_str().unwrap();
    for tag in [name.to_owned(), format!("{}:latest", name.rsplit_once(':').unwrap().0)] {
        let index: Value = serde_json::from_str(&run(
            "skopeo",
            &["inspect", "--raw", "--tls-verify=false", &format!("docker://{tag}")],
        ))
        .unwrap();
        assert_eq!(index["manifests"][0]["digest"], digest, "{tag}");
    }
    // Another archive under the name of what was agreed on goes nowhere.
    let archive = night.at("1/publish").join(format!("{}.tar", digest.strip_prefix("sha256:").unwrap()));
    let other =
        report["images"][0]["groups"][0]["cells"][0]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    fs::copy(night.at("1/cells").join(format!("{other}.tar")), archive).unwrap();
    let (output, _) = night.part("1", "publish", &[]);
    assert!(!output.status.success() && said(&output).contains(digest), "{}", said(&output));
    (begun, published)
}

/// The next one, which knows of the first. What others left under the name of its artifact does not count.
fn second_night(night: &Night, begun: &BTreeMap<String, String>, published: &Value) {
    let name = published["images"][0]["reference"].as_str().unwrap();
    let zip = night.at("answers/zip");
    let after = night.at("1/after");
    run(
        "sh",
        &[
            "-c",
            "cd \"$0\" && zip -q - history.jsonl published.json >\"$1\"",
            after.to_str().unwrap(),
            zip.to_str().unwrap(),
        ],
    );
    let runs = json!([{ "id": 7, "event": "pull_request" }, { "id": 8, "event": "schedule" }, { "id": 6, "event": "schedule" }]);
    night.answers(&runs, &json!([{ "id": 30, "expired": true }, { "id": 31, "expired": false }]));
    night.must("2", "restore", &[]);
    let asked = fs::read_to_string(night.at("answers/asked")).unwrap();
    let asked: Vec<&str> =
        asked.lines().skip(1).map(|line| line.strip_prefix("repos/somebody/repro/actions/").unwrap()).collect();
    assert_eq!(asked, ["runs/8/artifacts?name=matrix-history", "artifacts/31/zip"]);
    assert_eq!(
        fs::read(night.at("1/after/history.jsonl")).unwrap(),
        fs::read(night.at("2/before/history.jsonl")).unwrap()
    );
    let recheck = |more: &[(&str, &str)]| {
        let _ = fs::remove_file(night.at("2/summary-recheck.md"));
        let (output, _) = night.part("2", "recheck", more);
        (output.status.code(), said(&output), fs::read_to_string(night.at("2/summary-recheck.md")).unwrap_or_default())
    };
    // One image differs again, and that is told; the published one is the same, and nothing is said of it but in the summary.
    let (status, text, summary) = recheck(&[("AGES", "0 hours")]);
    assert!(
        status == Some(1) && !text.contains("published last night") && summary.contains(name),
        "{status:?} {text} {summary}"
    );
    // No night is so old: only what is published is looked at, and now that is not what the commit gives.
    let epoch = format!("--source-date-epoch={}", begun["epoch"]);
    let wrong = published.to_string();
    assert!(wrong.contains(&epoch), "{wrong}");
    let wrong = wrong.replace(&epoch, "--source-date-epoch=5");
    let before = night.at("2/before/published.json");
    let right = fs::read(&before).unwrap();
    fs::write(&before, wrong).unwrap();
    let (status, text, _) = recheck(&[("AGES", "1 year")]);
    assert!(!text.contains("could be built again"), "being young is no fault: {text}");
    assert!(
        status == Some(1) && text.contains("published last night: verify ended with status 1"),
        "{status:?} {text}"
    );
    fs::write(&before, right).unwrap();
    let (status, text, _) = recheck(&[("AGES", "0 hours")]);
    assert_eq!(status, Some(1), "{text}");
    let (second, _) = night.build_and_join("2");
    let report = night.json("2/after/report.json");
    let again = report["rechecks"].as_array().unwrap();
    assert_eq!((&report["runs"], again.len()), (&json!(3), 1), "{report}");
    assert_eq!((&again[0]["survived"], &again[0]["changed"]), (&json!(2), &json!(2)), "{again:?}");
    // A job that was lost has left nothing, and is missed all the same.
    let begun: Value = serde_json::from_str(&second["cells"]).unwrap();
    let mut lost = begun["include"].as_array().unwrap().iter().map(|job| job["cell"].as_str().unwrap());
    let lost = lost.find(|cell| cell.starts_with("same.")).unwrap();
    let left = night.at(&format!("2/cells/{lost}.jsonl"));
    let kept = fs::read(&left).unwrap();
    fs::remove_file(&left).unwrap();
    let (output, joined) = night.part("2", "join", &[("RUN", &second["run"]), ("DAY", &second["day"])]);
    let said = said(&output);
    assert!(said.contains(&format!("::these cells have left nothing: {lost}\n")), "{said}");
    // One runtime alone agrees with nobody.
    assert_eq!((joined["status"].as_str(), joined["images"].as_str()), ("1", "[]"), "{joined:?} {said}");
    fs::write(&left, kept).unwrap();
    // What is remembered only grows, also behind a line that a crash cut off.
    let remembered = fs::read_to_string(night.at("1/after/history.jsonl")).unwrap();
    assert!(fs::read_to_string(night.at("2/after/history.jsonl")).unwrap().starts_with(&remembered));
    fs::write(night.at("2/before/history.jsonl"), remembered.clone() + "{").unwrap();
    let joined = night.must("2", "join", &[("RUN", &second["run"]), ("DAY", &second["day"])]);
    assert_eq!(joined["images"], "[\"same\"]");
    assert!(fs::read_to_string(night.at("2/after/history.jsonl")).unwrap().starts_with(&(remembered + "{\n")));
}

/// `ADDRESS/debian/DATE/…` is Debian's archive of today, for a machine that does not reach that of another day.
fn archive_of_today() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut request, mut byte) = (Vec::new(), [0]);
                while !request.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|count| count == 1) {
                    request.push(byte[0]);
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default();
                let mut parts = path.splitn(4, '/').skip(1);
                let (archive, _, file) = (parts.next(), parts.next(), parts.next());
                let (Some(archive), Some(file)) = (archive, file) else { return };
                let answer = format!(
                    "HTTP/1.1 301 Moved Permanently\r\nLocation: http://deb.debian.org/{archive}/{file}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                let _ = client.write_all(answer.as_bytes());
            });
        }
    });
    format!("http://{address}")
}

#[test]
#[ignore = "minutes, and Debian's archive: make nightly-images"]
fn debian_is_the_same_on_two_runtimes() {
    let archive = archive_of_today();
    let epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();
    let releases = [
        ("bookworm", "LAB_BASE", [Way::Docker, Way::PodmanRootless]),
        ("trixie", "LAB_BASE_TRIXIE", [Way::Podman, Way::Buildkitd]),
    ];
    for (release, base, of_release) in releases {
        let of_release: Vec<Way> = of_release.into_iter().filter(|way| ways().contains(way)).collect();
        let build = |way: Way| {
            let bench = Bench::shared(release, way);
            let context = bench.directory("context");
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("nightly/debian");
            run("cp", &["-r", &format!("{}/.", source.display()), context.to_str().unwrap()]);
            let mut more: Vec<OsString> =
                ["--no-cache", "--network=host", "--context-modes=git", "--sde", &epoch].map(OsString::from).to_vec();
            more.push(format!("--file={}", context.join(format!("{release}.Dockerfile")).display()).into());
            more.extend(["--build-arg".into(), format!("BASE={}", lab(base)).into()]);
            more.extend(["--build-arg".into(), format!("ARCHIVE={archive}").into()]);
            let output = bench.output(way, "image.tar");
            let digest = bench.build(way, &output, &more, &context).digest().to_owned();
            (output, digest)
        };
        let images: Vec<(PathBuf, String)> = std::thread::scope(|scope| {
            let threads: Vec<_> = of_release.iter().map(|way| scope.spawn(|| build(*way))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        println!("{release}: {images:?}");
        for (archive, digest) in images.iter().skip(1) {
            let difference =
                Command::new(env!("CARGO_BIN_EXE_repro")).arg("diff").arg(&images[0].0).arg(archive).output().unwrap();
            assert_eq!(*digest, images[0].1, "{release}: {}", said(&difference));
        }
        // Whoever starts it has apt and its keys, and sources that are of today.
        let Some((archive, _)) = images.first() else { continue };
        let listing = run(
            "sh",
            &[
                "-c",
                "mkdir \"$1.d\" && tar -xf \"$0\" -C \"$1.d\" && cd \"$1.d\" && for blob in blobs/sha256/*; do tar -tzf \"$blob\" 2>/dev/null || :; done",
                archive.to_str().unwrap(),
                archive.to_str().unwrap(),
            ],
        );
        let has = |file: &str| listing.lines().any(|line| line == file);
        assert!(has("usr/bin/apt-get") && has("etc/apt/sources.list.d/debian.sources") && has("etc/machine-id"));
        assert!(
            !has("etc/resolv.conf")
                && !has("var/log/dpkg.log")
                && !listing.contains("/lists/deb.")
                && !listing.contains("dev/null")
        );
    }
}
