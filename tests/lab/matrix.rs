//! `repro matrix` on real engines: what is equal, what is not and why, what is remembered, and what a stop leaves.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::{Bench, Way, lab, lab_script, said, ways, words};
use crate::traces::Traces;

/// The runtimes that are tested, as a matrix names them.
fn runtimes() -> Vec<&'static str> {
    let wanted = [(Way::Docker, "docker"), (Way::Podman, "podman"), (Way::Buildkitd, "buildkitd")];
    wanted.into_iter().filter(|(way, _)| ways().contains(way)).map(|(_, name)| name).collect()
}

fn list(values: &[&str]) -> String {
    values.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>().join(", ")
}

/// The laboratory's BuildKits by their version: those that are there.
fn buildkits() -> BTreeMap<String, [String; 2]> {
    let names = std::env::vars().filter_map(|(name, value)| {
        let version = name.strip_prefix("LAB_BUILDKIT_V")?;
        if version.contains("BIN") || version.contains("ROOTLESS") {
            return None;
        }
        let version = format!("v{}", version.replace('_', "."));
        Some((version, [value, lab(&format!("{name}_ROOTLESS"))]))
    });
    names.collect()
}

/// The beginning of a matrix: axes, the laboratory's BuildKits, and how its registry is reached.
fn head(bench: &Bench, axes: &str) -> String {
    let mut text = format!("[axes]\n{axes}\n");
    for (version, [image, rootless]) in buildkits() {
        let _ = writeln!(text, "[buildkit.\"{version}\"]\nimage = \"{image}\"\nrootless = \"{rootless}\"");
    }
    let toml = bench.home().join("buildkitd.toml");
    let _ = writeln!(
        text,
        "[build]\nbuilder-network = \"host\"\nbuildkitd-config = \"{}\"\nsource-date-epoch = 0",
        toml.display()
    );
    text
}

/// A repository with these files, and a matrix in it.
fn write(bench: &Bench, name: &str, text: &str, files: &[(&str, &str)]) -> PathBuf {
    let place = bench.context(name, files);
    fs::write(place.join("matrix.toml"), text).unwrap();
    fs::write(place.join(".gitignore"), "history.jsonl\nkept/\n").unwrap();
    commit(&place);
    place.join("matrix.toml")
}

fn commit(place: &Path) {
    let script = "set -e; [ -d .git ] || git init -q; git add -A; \
                  git -c user.name=a -c user.email=a@b.example commit -q --allow-empty -m more";
    assert!(Command::new("sh").args(["-c", script]).current_dir(place).status().unwrap().success());
}

fn matrix(bench: &Bench, words: &[&str], file: &Path) -> Output {
    let mut command = bench.repro(Way::Buildkitd);
    command.arg("matrix").args(words).arg(file).output().unwrap()
}

fn report(bench: &Bench, file: &Path) -> Value {
    let output = matrix(bench, &["report", "--format", "json"], file);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
}

fn cells(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file.with_file_name("history.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| line.get("cell").cloned()).collect()
}

#[test]
fn equal_is_told_from_what_differs_and_why() {
    let runtimes = runtimes();
    if runtimes.len() < 2 {
        return;
    }
    let bench = Bench::shared("matrix, verdicts", Way::Buildkitd);
    let axes = format!("runtime = [{}]\nbuildkit = [\"v0.19.0\"]", list(&runtimes[..2]));
    let base = lab("LAB_BASE_SMALL");
    let text = head(&bench, &axes)
        + "[limits]\nparallel = 4\n[[image]]\nname = \"steady\"\ncontext = \"steady\"\n\
           [[image]]\nname = \"random\"\ncontext = \"random\"\n\
           [[image]]\nname = \"timed\"\ncontext = \"timed\"\n\
           [[image]]\nname = \"broken\"\ncontext = \"broken\"\naxes = { runtime = [\"buildkitd\"] }\n";
    let random = format!("FROM {base}\nRUN cat /proc/sys/kernel/random/uuid > /id\n");
    let timed = format!("FROM {base}\nRUN echo $(($(date +%s) / 2)) > /time\n");
    let broken = format!("FROM {base}\nRUN echo about to fail && exit 7\n");
    let files = [
        ("steady/Dockerfile", "FROM scratch\nCOPY f /f\n"),
        ("steady/f", "x"),
        ("random/Dockerfile", random.as_str()),
        ("timed/Dockerfile", timed.as_str()),
        ("broken/Dockerfile", broken.as_str()),
    ];
    let file = write(&bench, "verdicts", &text, &files);
    let output = matrix(&bench, &["run"], &file);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let report = report(&bench, &file);
    let image = |name: &str| {
        let images = report["images"].as_array().unwrap();
        images.iter().find(|image| image["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
    };
    assert_eq!(image("steady")["verdict"], "equal", "{text}");
    assert_eq!(image("steady")["groups"][0]["agreed"], 2, "{text}");
    assert_eq!(image("random")["verdict"], "not-reproducible", "{text}");
    let causes = image("random")["groups"][0]["differences"][0]["causes"].to_string();
    assert!(causes.contains("\"uuid\"") && causes.contains("\"line\":2"), "{causes}");
    assert_eq!(image("timed")["verdict"], "not-reproducible", "built at one time: {text}");
    assert_eq!(image("broken")["verdict"], "build-failed", "{text}");
    let why = image("broken")["bad"][0]["why"].as_str().unwrap();
    assert!(why.contains("exit code: 7") && !why.contains("/tmp/"), "{why}");
    for cell in cells(&file) {
        assert!(cell.get("tries").is_none(), "a difference or a failure is not tried again: {cell}");
    }
}

#[test]
fn what_a_shared_cache_hands_on_is_not_taken_for_built() {
    let runtimes = runtimes();
    if runtimes.len() < 2 {
        return;
    }
    let bench = Bench::shared("matrix, cache", Way::Buildkitd);
    let axes = format!("runtime = [{}]\nbuildkit = [\"v0.19.0\"]", list(&runtimes[..2]));
    let text = head(&bench, &axes) + "[[image]]\nname = \"random\"\ncontext = \"random\"\n";
    let random = format!("FROM {}\nRUN cat /proc/sys/kernel/random/uuid > /id\n", lab("LAB_BASE_SMALL"));
    let cache = format!("type=registry,ref={}/matrix/cache:{}", lab("LAB_REGISTRY"), std::process::id());
    // What a repro.toml says of where is built does not count either: Podman without root would fail here, and the names of cells lie.
    let toml = format!("cache-from = [\"{cache}\"]\nrootless = true\nno-cache = true\n");
    let file = write(&bench, "cache", &text, &[("random/Dockerfile", &random), ("random/repro.toml", &toml)]);
    let context = file.with_file_name("random");
    let exporting = words(&["--no-config", "--sde", "0", &format!("--cache-to={cache},mode=max")]);
    bench.build(Way::Buildkitd, &bench.output(Way::Buildkitd, "filled.tar"), &exporting, &context);
    let output = matrix(&bench, &["run"], &file);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let digests: Vec<Value> = cells(&file).into_iter().map(|cell| cell["digest"].clone()).collect();
    assert!(digests.len() == 2 && digests[0] != digests[1], "each was built: {}", said(&output));
    let bisected = matrix(&bench, &["bisect", "--buildkit", "v0.19.0,v0.31.1"], &file);
    let text = said(&bisected);
    assert!(text.contains("v0.19.0 does not repeat itself"), "{text}");
}

#[test]
fn what_was_stopped_goes_on_and_leaves_nothing() {
    if !ways().contains(&Way::Buildkitd) {
        return;
    }
    let bench = Bench::alone("matrix, stopped");
    let axes = "runtime = [\"buildkitd\"]\nbuildkit = [\"v0.19.0\"]";
    let mut text = head(&bench, axes) + "[limits]\nparallel = 1\n";
    for number in 0..4 {
        let _ = writeln!(
            text,
            "[[image]]\nname = \"i{number}\"\ncontext = \"c\"\nbuild = {{ build-arg = {{ N = \"{number}\" }} }}"
        );
    }
    let file = write(&bench, "stopped", &text, &[("c/Dockerfile", "FROM scratch\nARG N\nLABEL n=$N\n")]);
    let before = Traces::of(&bench, Way::Buildkitd);
    let mut command = bench.repro(Way::Buildkitd);
    let mut run = command.args(["matrix", "run"]).arg(&file).stderr(std::process::Stdio::piped()).spawn().unwrap();
    // The first cell has its line: the second is being built.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(run.stderr.take().unwrap()));
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with("[1/4] i0."), "{first}");
    assert!(Command::new("kill").args(["-s", "INT", &run.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(run.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(rest.join("\n").contains("of 4 cells have ended") && rest.join("\n").contains("--resume"), "{rest:?}");
    crate::traces::wait_for_the_end(&bench, Way::Buildkitd, &before);
    let ended = cells(&file).len();
    assert!(ended < 4, "{ended}");
    let output = matrix(&bench, &["run", "--resume"], &file);
    let text = said(&output);
    let cells = cells(&file);
    let mut images: Vec<&str> = cells.iter().map(|cell| cell["image"].as_str().unwrap()).collect();
    images.sort_unstable();
    assert_eq!(images, ["i0", "i1", "i2", "i3"], "each once: {text}");
    assert!(cells.iter().all(|cell| cell["run"] == cells[0]["run"]), "{text}");
    let again = matrix(&bench, &["run", "--resume"], &file);
    assert_eq!(again.status.code(), Some(2), "nothing was stopped: {}", said(&again));
}

#[test]
fn what_was_kept_before_a_stop_is_compared_with_what_came_behind_it() {
    let runtimes = runtimes();
    if runtimes.len() < 2 {
        return;
    }
    let bench = Bench::shared("matrix, two parts", Way::Buildkitd);
    let axes = format!("runtime = [{}]\nbuildkit = [\"v0.19.0\"]", list(&runtimes[..2]));
    let text = head(&bench, &axes) + "[[image]]\nname = \"random\"\ncontext = \"random\"\n";
    let random = format!("FROM {}\nRUN cat /proc/sys/kernel/random/uuid > /id\n", lab("LAB_BASE_SMALL"));
    let file = write(&bench, "parts", &text, &[("random/Dockerfile", &random)]);
    let names = matrix(&bench, &["cells"], &file);
    let names = String::from_utf8(names.stdout).unwrap();
    let kept = bench.directory("kept");
    let part =
        |name: &str| matrix(&bench, &["run", "--run", "both", "--keep", kept.to_str().unwrap(), "--cell", name], &file);
    let (first, second) = names.trim().split_once('\n').unwrap();
    let first = part(first);
    assert_eq!(first.status.code(), Some(4), "{}", said(&first));
    let second = part(second);
    assert_eq!(second.status.code(), Some(1), "{}", said(&second));
    let report = report(&bench, &file);
    let differences = &report["images"][0]["groups"][0]["differences"];
    assert!(differences[0]["causes"].to_string().contains("\"uuid\""), "{report}");
}

#[test]
fn an_input_that_changed_is_named() {
    if !ways().contains(&Way::Buildkitd) {
        return;
    }
    let bench = Bench::shared("matrix, input", Way::Buildkitd);
    let axes = "runtime = [\"buildkitd\"]\nbuildkit = [\"v0.19.0\"]";
    let tag = format!("{}/matrix/base:moving-{}", lab("LAB_REGISTRY"), std::process::id());
    let base = |image: &str| {
        let output = Command::new("crane").args(["copy", "--insecure", image, &tag]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    };
    base(&lab("LAB_BASE_SMALL"));
    let text = head(&bench, axes) + "[[image]]\nname = \"moving\"\ncontext = \"c\"\n";
    let file = write(&bench, "input", &text, &[("c/Dockerfile", &format!("FROM {tag}\nLABEL a=b\n"))]);
    let alone = matrix(&bench, &["run"], &file);
    assert_eq!(alone.status.code(), Some(4), "there is nothing to compare with: {}", said(&alone));
    let same = matrix(&bench, &["run"], &file);
    assert_eq!(same.status.code(), Some(0), "the run before gave the same: {}", said(&same));
    base(&lab("LAB_BASE_UNREWRITTEN"));
    let moved = matrix(&bench, &["run"], &file);
    assert_eq!(moved.status.code(), Some(1), "{}", said(&moved));
    let report = report(&bench, &file);
    let bad = &report["images"][0]["bad"][0];
    assert_eq!(bad["verdict"], "input-changed", "{report}");
    let why = bad["why"].as_str().unwrap();
    assert!(why.contains("matrix/base") && why.contains("was sha256:"), "{why}");
    // The last run, from its own commit, while the base is what it was.
    let recheck = matrix(&bench, &["run", "--recheck", "0 days"], &file);
    let text = said(&recheck);
    assert_eq!(recheck.status.code(), Some(0), "the last run's own digest comes again: {text}");
    assert!(text.contains("built again after 0 days: 1 of 1 gave the same digest"), "{text}");
    base(&lab("LAB_BASE_SMALL"));
    let recheck = matrix(&bench, &["run", "--recheck", "0 days", "--format", "json"], &file);
    assert_eq!(recheck.status.code(), Some(1), "{}", said(&recheck));
    let last = cells(&file).pop().unwrap()["run"].as_str().unwrap().to_owned();
    let again = matrix(&bench, &["report", "--run", &last], &file);
    let text = said(&again);
    assert!(text.contains("input changed") && text.contains("matrix/base"), "{text}");
    // Without its registry nothing is told of the image.
    let text = head(&bench, axes) + "[limits]\nretries = 0\n[[image]]\nname = \"moving\"\ncontext = \"c\"\n";
    let gone = format!("FROM 127.0.0.1:9/matrix/base@{}\n", no_digest());
    let file = write(&bench, "gone", &text, &[("c/Dockerfile", &gone)]);
    let gone = matrix(&bench, &["run"], &file);
    let text = said(&gone);
    assert!(gone.status.code() == Some(4) && text.contains("1 environment missing"), "{text}");
    // What a program says is no registry, and no other architecture.
    let words = format!("FROM {}\nRUN echo exec /x: exec format error; exit 1\n", lab("LAB_BASE_SMALL"));
    let text = head(&bench, axes) + "[[image]]\nname = \"loud\"\ncontext = \"c\"\n";
    let file = write(&bench, "loud", &text, &[("c/Dockerfile", &words)]);
    let loud = matrix(&bench, &["run", "--allow-missing"], &file);
    assert_eq!(loud.status.code(), Some(3), "{}", said(&loud));
}

#[test]
fn the_buildkit_that_changed_a_digest_is_found() {
    if !ways().contains(&Way::Buildkitd) {
        return;
    }
    let bench = Bench::shared("matrix, bisect", Way::Buildkitd);
    let all = buildkits();
    let names: Vec<&str> = all.keys().map(String::as_str).collect();
    let axes = format!("runtime = [\"buildkitd\"]\nbuildkit = [{}]", list(&names));
    // One that cannot be had.
    let image = format!("{}/moby/buildkit@{}", lab("LAB_REGISTRY"), no_digest());
    let absent = format!("[buildkit.\"v0.26.9\"]\nimage = \"{image}\"\nrootless = \"{image}\"\n");
    let text = head(&bench, &axes) + &absent + "[[image]]\nname = \"expose\"\ncontext = \"c\"\n";
    let file = write(&bench, "bisect", &text, &[("c/Dockerfile", "FROM scratch\nCOPY Dockerfile /d\nEXPOSE 80\n")]);
    let has_v0_24 = ["v0.23.2", "v0.24.0", "v0.25.2"].iter().all(|name| all.contains_key(*name));
    let words = if has_v0_24 {
        vec!["bisect", "--format", "json", "--buildkit", "v0.23.2,v0.24.0,v0.25.2"]
    } else {
        vec!["bisect", "--format", "json", "--buildkit", "v0.19.0,v0.31.1"]
    };
    let output = matrix(&bench, &words, &file);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let change = &found["changes"][0];
    let (before, first, builds) = if has_v0_24 { ("v0.23.2", "v0.24.0", 5) } else { ("v0.19.0", "v0.31.1", 4) };
    assert_eq!((change["before"].as_str(), change["first"].as_str()), (Some(before), Some(first)), "{found}");
    assert_eq!(found["builds"], builds, "both ends twice, and one for each halving: {found}");
    let causes = change["difference"]["causes"].to_string();
    assert!(causes.contains("buildkit-version") && causes.contains("\"line\":3"), "{causes}");
    let absent = matrix(&bench, &["bisect", "--buildkit", "v0.19.0,v0.26.9,v0.31.1"], &file);
    let text = said(&absent);
    assert!(absent.status.code() == Some(1) && text.contains("passed over: BuildKit v0.26.9"), "{text}");
    assert!(
        text.contains("may have changed in one that could not be built") && text.contains("--media-types=oci"),
        "{text}"
    );
    if has_v0_24 {
        assert!(found["notes"].to_string().contains("moby/buildkit#6217"), "{found}");
        let end = matrix(&bench, &["bisect", "--buildkit", "v0.23.2,v0.24.0"], &file);
        let text = said(&end);
        assert!(end.status.code() == Some(1) && text.contains("v0.24.0 does not repeat itself"), "{text}");
    }
}

/// A digest of nothing.
fn no_digest() -> String {
    format!("sha256:{}", "0".repeat(64))
}

#[test]
fn files_that_are_changed_meanwhile_are_those_of_no_commit() {
    let runtimes = runtimes();
    if runtimes.len() < 2 {
        return;
    }
    let bench = Bench::shared("matrix, changed", Way::Buildkitd);
    let axes = format!("runtime = [{}]\nbuildkit = [\"v0.19.0\"]", list(&runtimes[..2]));
    let text = head(&bench, &axes) + "[limits]\nparallel = 1\n[[image]]\nname = \"app\"\ncontext = \"c\"\n";
    let file = write(&bench, "changed", &text, &[("c/Dockerfile", "FROM scratch\nCOPY f /\n"), ("c/f", "x")]);
    let mut command = bench.repro(Way::Buildkitd);
    let mut run = command.args(["matrix", "run"]).arg(&file).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(run.stderr.take().unwrap()));
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with("[1/2]"), "{first}");
    fs::write(file.with_file_name("c/f"), "y").unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    run.wait().unwrap();
    assert!(rest.iter().any(|line| line.contains("app: its files were changed meanwhile")), "{rest:?}");
    let history = fs::read_to_string(file.with_file_name("history.jsonl")).unwrap();
    let runs = history.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let clean: Vec<Value> =
        runs.filter_map(|line| line.get("run").map(|run| run["images"][0]["clean"].clone())).collect();
    assert_eq!(clean, [true, false]);
}

#[test]
fn an_archive_that_cannot_be_kept_loses_no_digest() {
    if !ways().contains(&Way::Buildkitd) {
        return;
    }
    let bench = Bench::shared("matrix, full", Way::Buildkitd);
    let text = head(&bench, "runtime = [\"buildkitd\"]\nbuildkit = [\"v0.19.0\"]")
        + "[[image]]\nname = \"large\"\ncontext = \"c\"\nbuild = { compression = \"uncompressed\" }\n";
    let large = "x".repeat(3 << 20);
    let file = write(&bench, "full", &text, &[("c/Dockerfile", "FROM scratch\nCOPY f /\n"), ("c/f", &large)]);
    let keep = bench.directory("small");
    let mount =
        |words: &[&str]| assert!(Command::new(words[0]).args(&words[1..]).arg(&keep).status().unwrap().success());
    mount(&["mount", "-t", "tmpfs", "-o", "size=1m", "none"]);
    let output = matrix(&bench, &["run", "--keep", keep.to_str().unwrap()], &file);
    let left = fs::read_dir(&keep).unwrap().count();
    mount(&["umount"]);
    let text = said(&output);
    assert!(output.status.code() == Some(4) && text.contains("cannot keep an archive in `"), "{text}");
    assert!(left == 0 && cells(&file)[0]["digest"].is_string(), "{left} {text}");
}

/// Images of the project's own matrix: what Dockerfiles do most, and nothing that needs the world.
const OWN: [(&str, &str); 5] = [
    ("copy", "FROM scratch\nCOPY . /srv\n"),
    (
        "run",
        "ARG BASE\nFROM $BASE\nRUN mkdir -p /srv/a && echo x > /srv/a/f && ln -s f /srv/a/l\nCOPY --chmod=755 f /usr/bin/f\n",
    ),
    (
        "config",
        "FROM scratch\nARG A=b\nENV A=$A\nLABEL x=y\nEXPOSE 80\nHEALTHCHECK CMD [\"/f\"]\nCOPY f /f\nUSER 1000\n",
    ),
    ("stages", "ARG BASE\nFROM $BASE AS one\nRUN echo made > /made\nFROM scratch\nCOPY --from=one /made /\n"),
    ("heredoc", "ARG BASE\nFROM $BASE\nCOPY <<EOF /etc/motd\nhello\nEOF\nRUN <<EOF\nset -e\necho a > /a\nEOF\n"),
];

/// Acceptance 1 and 2 of the matrix: 5 images on each runtime with each BuildKit of the laboratory. `make nightly` builds the
/// versions that are not always there; `make nightly-short` takes two images and the two that are.
#[test]
#[ignore = "minutes: `make nightly`, or `make nightly-short`"]
fn the_own_matrix_is_equal_or_has_named_causes() {
    let short = std::env::var_os("REPRO_TEST_MATRIX") == Some(OsString::from("short"));
    let bench = Bench::alone("own matrix");
    let all = buildkits();
    // v0.24 gives another digest each time.
    let names: Vec<&str> = all
        .keys()
        .map(String::as_str)
        .filter(|name| !name.starts_with("v0.24.") && !name.starts_with("v0.23."))
        .collect();
    let axes = |of: &str| format!("{of}\nbuildkit = [{}]\nplatform = [\"linux/amd64\"]", list(&names));
    let as_root = head(&bench, &axes(&format!("runtime = [{}]", list(&runtimes())))) + "[limits]\ntimeout = 600\n";
    let as_user = head(&bench, &axes("runtime = [\"podman\"]\nrootless = [true]"));
    let mut text = String::new();
    let mut files: Vec<(String, &str)> = Vec::new();
    for (name, dockerfile) in OWN.iter().take(if short { 3 } else { OWN.len() }) {
        files.extend([(format!("{name}/Dockerfile"), *dockerfile), (format!("{name}/f"), "#!/bin/sh\n")]);
        let base = lab("LAB_BASE_SMALL");
        let _ = writeln!(text, "[[image]]\nname = \"{name}\"\ncontext = \"{name}\"");
        if dockerfile.contains("ARG BASE") {
            let _ = writeln!(text, "build = {{ build-arg = {{ BASE = \"{base}\" }} }}");
        }
        // Without RUN any machine builds for any platform.
        if !dockerfile.contains("RUN") {
            let _ = writeln!(text, "axes = {{ platform = [\"linux/amd64\", \"linux/arm64\"] }}");
        }
    }
    // That version's rootless image may not mount what the kernel of today lets only root mount, where RUN follows on a base.
    let excluded: String =
        ["run", "heredoc"].map(|image| format!("[[exclude]]\nbuildkit = \"v0.13.2\"\nimage = \"{image}\"\n")).concat();
    println!("left out: run and heredoc with v0.13.2 on podman rootless, which that BuildKit cannot build here");
    fs::write(bench.directory("own").join("user.toml"), as_user + &text + &excluded).unwrap();
    // With RUN it needs an emulator, and says so where there is none.
    text += "[[image]]\nname = \"foreign\"\ncontext = \"foreign\"\naxes = { platform = [\"linux/arm64\"], buildkit = [\"v0.19.0\"] }\n";
    files.push((
        "foreign/Dockerfile".to_owned(),
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"touch\", \"/x\"]\n",
    ));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let place = bench.context("own", &files);
    // A program of another architecture: eight bytes of the header decide.
    let mut foreign = fs::read(lab("LAB_BUSYBOX")).unwrap();
    foreign[18] = 183;
    fs::write(place.join("foreign/busybox"), foreign).unwrap();
    Command::new("chmod").arg("755").arg(place.join("foreign/busybox")).status().unwrap();
    let file = write(&bench, "own", &(as_root + &text), &[]);
    let output = matrix(&bench, &["run", "--run", "own", "--allow-missing"], &file);
    println!("{}", String::from_utf8_lossy(&output.stderr));
    if ways().contains(&Way::PodmanRootless) && !short {
        // Another user is another machine: its history is merged.
        let history = bench.output(Way::PodmanRootless, "history.jsonl");
        let mut command = bench.repro(Way::PodmanRootless);
        command
            .args(["matrix", "run", "--run", "own", "--history"])
            .arg(&history)
            .arg(file.with_file_name("user.toml"));
        println!("{}", String::from_utf8_lossy(&command.output().unwrap().stderr));
        let merged = bench.repro(Way::Buildkitd).args(["matrix", "merge"]).arg(&file).arg(history).output().unwrap();
        assert!(merged.status.success(), "{}", said(&merged));
    }
    let told = said(&matrix(&bench, &["report"], &file));
    println!("{told}");
    let report = report(&bench, &file);
    for image in report["images"].as_array().unwrap() {
        if image["name"] == "foreign" {
            let why = image["bad"][0]["why"].as_str().unwrap_or_default();
            assert_eq!(image["verdict"], "environment-missing", "{told}");
            assert!(why.contains("programs of this platform do not run here"), "{why}");
            continue;
        }
        assert_eq!(image["verdict"], "equal", "{}: {told}", image["name"]);
        for change in image["changes"].as_array().unwrap() {
            let causes = change["difference"]["causes"].as_array().cloned().unwrap_or_default();
            assert!(!causes.is_empty() && change["difference"]["unexplained"] == 0, "{}: {change}", image["name"]);
        }
    }
    let first = output.status.code();
    assert_eq!(first, Some(0), "{}", said(&output));
}

/// Acceptance 2 of the matrix: RUN for another platform. Without an emulator its cells say so, and with Debian's they are equal.
#[test]
#[ignore = "wants an emulator: `make nightly`, or `make nightly-short`"]
fn run_for_another_platform_is_equal_under_an_emulator_and_missing_without() {
    let runtimes =
        [(Way::BuildkitdUser, "buildkitd", "buildkitd rootless"), (Way::PodmanRootless, "podman", "podman rootless")];
    let runtimes: Vec<_> = runtimes.into_iter().filter(|(way, ..)| ways().contains(way)).collect();
    let Some(&(way, ..)) = runtimes.first() else { return };
    let bench = Bench::alone("emulated");
    let names: Vec<&str> = runtimes.iter().map(|(_, name, _)| *name).collect();
    // Two BuildKits on each, as a plain user: only that may use an emulator that is there in one user namespace.
    let axes = format!(
        "runtime = [{}]\nrootless = [true]\nbuildkit = [\"v0.19.0\", \"v0.31.1\"]\nplatform = [\"linux/arm64\"]\ncache = [\"cold\", \"warm\"]",
        list(&names)
    );
    let dockerfile = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY empty /sys/\n\
                      RUN [\"/bin/busybox\", \"sh\", \"-c\", \"test $(busybox uname -m) = aarch64 && busybox seq 9 >/nine\"]\n";
    let place = bench.context("emulated", &[("c/Dockerfile", dockerfile), ("c/empty/x", "")]);
    fs::copy(lab("LAB_BUSYBOX_ARM64"), place.join("c/busybox")).unwrap();
    let text = head(&bench, &axes)
        + "[[image]]\nname = \"foreign\"\ncontext = \"c\"\nexpect = \"equal-everywhere\"\nbuild = { media-types = \"oci\" }\n";
    let file = write(&bench, "emulated", &text, &[]);
    let run = |emulated: bool| {
        let history = bench.output(way, &format!("{emulated}.jsonl"));
        let call = |words: &[&str]| {
            let mut command = bench.repro(way);
            command.arg("matrix").args(words).arg(&file).arg("--history").arg(&history);
            let mut words = vec![command.get_program().to_owned()];
            words.extend(command.get_args().map(ToOwned::to_owned));
            if emulated {
                words.splice(..0, [lab_script().into_os_string(), "emulated".into()]);
            }
            Command::new(&words[0]).args(&words[1..]).output().unwrap()
        };
        let output = call(&["run"]);
        println!("{}", said(&output));
        let report = call(&["report", "--format", "json"]);
        (output.status.code(), serde_json::from_slice::<Value>(&report.stdout).unwrap()["images"][0].take())
    };
    let (status, image) = run(true);
    assert_eq!((status, &image["verdict"]), (Some(0), &Value::from("equal")), "{image}");
    let (cells, agreed) = (runtimes.len() * 4, &image["groups"][0]["agreed"]);
    assert_eq!(*agreed, cells, "{image}");
    let (status, image) = run(false);
    assert_eq!((status, &image["verdict"]), (Some(4), &Value::from("environment-missing")), "{image}");
    let why = image["bad"][0]["why"].as_str().unwrap();
    assert!(why.contains("programs of this platform do not run here"), "{why}");
}
