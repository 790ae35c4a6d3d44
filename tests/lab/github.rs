//! What the actions do, on real engines, with a runner that takes commands and outputs as GitHub's does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::corpus::Corpus;
use crate::harness::{Bench, Way, base, lab, open_to_all, run, runtimes, said, ways};
use crate::support::runner::{Ended, Job};

/// A job with a workspace that is under git.
pub struct Runner<'a> {
    bench: &'a Bench,
    way: Way,
    pub job: Job,
}

impl<'a> Runner<'a> {
    pub fn new(bench: &'a Bench, way: Way, files: &[(&str, &str)]) -> Self {
        let job = Job::new(&bench.directory(&format!("job on {}", way.name())));
        for directory in [&job.root, &job.temp, &job.workspace] {
            open_to_all(directory, 0o777);
        }
        for (file, contents) in files {
            fs::write(job.workspace.join(file), contents).unwrap();
        }
        fs::write(job.workspace.join(".dockerignore"), ".git\n").unwrap();
        let runner = Self { bench, way, job };
        runner.git(&["init", "--quiet", "."]);
        runner.git(&["add", "--all"]);
        runner.git(&["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "a"]);
        runner
    }

    fn git(&self, words: &[&str]) {
        let git = Command::new("git").args(words).current_dir(&self.job.workspace).output().unwrap();
        assert!(git.status.success(), "{}", said(&git));
    }

    pub fn run(&self, action: &str, inputs: &[(&str, &str)]) -> Ended {
        let common = inputs_of_lab(self.bench, self.way);
        let given: BTreeSet<&str> = inputs.iter().map(|(name, _)| *name).collect();
        let mut all: Vec<(&str, &str)> = common.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        all.retain(|(name, _)| !given.contains(name));
        all.extend(inputs);
        let variables = self.job.variables(&all);
        let mut variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_os_str())).collect();
        // There is no input for it: whoever runs a runner that has one says so to all its steps.
        let address = (self.way == Way::Remote).then(|| self.bench.daemon().address());
        variables.extend(address.iter().map(|address| ("REPRO_ADDR", address.as_ref())));
        self.job.run(&mut self.bench.repro_with(self.way, &variables), action)
    }
}

/// The inputs that every build in the laboratory needs.
pub fn inputs_of_lab(bench: &Bench, way: Way) -> Vec<(String, String)> {
    let words: Vec<String> = bench.arguments(way).into_iter().map(|word| word.into_string().unwrap()).skip(1).collect();
    let name = |flag: &str| match flag {
        "--buildkit-image" => "buildkit_image".to_owned(),
        other => other.trim_start_matches("--").to_owned(),
    };
    // The one that is a switch comes last.
    let value = |pair: &[String]| pair.get(1).map_or_else(|| "true".to_owned(), String::clone);
    words.chunks(2).map(|pair| (name(&pair[0]), value(pair))).collect()
}

/// All files below a directory, with their contents.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.insert(path, bytes);
            }
        }
    }
    found
}

/// Defects 36, 42 and 46 of upstream.
#[test]
fn what_is_built_is_pushed_and_is_what_the_command_line_builds() {
    let bench = Bench::plain("github-build");
    for way in runtimes() {
        let runner =
            Runner::new(&bench, way, &[("Dockerfile", "FROM scratch\nCOPY . /files\n"), ("a", "text\n"), ("b c", "")]);
        let before = contents(&runner.job.workspace);
        let name = format!("{}/github/{}-{}", lab("LAB_REGISTRY"), way.name(), std::process::id());
        let tags = format!("{name}:1\n{name}:latest\n");
        let platforms = "linux/amd64\nlinux/arm64";
        let inputs = [
            ("tags", tags.as_str()),
            ("push", "true"),
            ("source_date_epoch", "7"),
            ("platforms", platforms),
            ("context", "."),
        ];
        let first = runner.run("build", &inputs);
        assert_eq!(first.status, Some(0), "{}", first.text);
        assert!(first.commands.is_empty(), "{:?}", first.commands);
        let digest = &first.outputs["digest"];
        let output = bench.output(way, "github.tar");
        let words = ["--sde", "7", "--platform", "linux/amd64,linux/arm64"].map(Into::into);
        let built = bench.build(way, &output, &words, &runner.job.workspace);
        assert_eq!(built.digest(), digest, "{}", way.name());
        for tag in ["1", "latest"] {
            assert_eq!(run("crane", &["digest", &format!("{name}:{tag}")]).trim(), digest);
        }
        assert_eq!(first.outputs["changed"], "true");
        let metadata: Value = serde_json::from_str(&first.outputs["metadata"]).unwrap();
        assert_eq!(metadata["image_digest"], **digest);
        assert!(first.summary.contains(digest) && first.summary.contains("which is new"), "{}", first.summary);
        // Nothing is new the second time; what is deployed is something else.
        let again = runner.run("build", &inputs);
        assert_eq!((again.status, again.outputs["changed"].as_str()), (Some(0), "false"), "{}", again.text);
        let other = runner.run("build", &[("source_date_epoch", "8"), ("deployed", &format!("{name}:1"))]);
        assert_eq!((other.status, other.outputs["changed"].as_str()), (Some(0), "true"), "{}", other.text);
        assert_eq!(run("crane", &["digest", &format!("{name}:1")]).trim(), digest);
        assert_eq!(contents(&runner.job.workspace), before, "{}", way.name());
    }
}

/// Defects 28 to 32 and 44 to 46 of upstream.
#[test]
fn what_is_published_is_verified_and_what_differs_is_on_its_line() {
    let bench = Bench::plain("github-verify");
    // What runtimes have in common is tested on all of them by building; act verifies on two.
    for way in ways().iter().copied().filter(|way| *way == Way::Buildkitd) {
        let files = [("Dockerfile", "FROM scratch\nLABEL a=b\nCOPY a /\n"), ("a", "text\n")];
        let runner = Runner::new(&bench, way, &files);
        let name = format!("{}/github/verify-{}-{}:1", lab("LAB_REGISTRY"), way.name(), std::process::id());
        let common =
            [("source_date_epoch", "7"), ("platforms", "linux/amd64"), ("context", "."), ("build-args", "A=1, 2\nB=3")];
        let inputs = [&common[..], &[("tags", name.as_str()), ("push", "true")]].concat();
        let built = runner.run("build", &inputs);
        assert_eq!(built.status, Some(0), "{}", built.text);
        let inputs = [&common[..], &[("target_image", name.as_str())]].concat();
        let equal = runner.run("verify", &inputs);
        assert_eq!(equal.status, Some(0), "{}", equal.text);
        assert_eq!((equal.outputs["match"].as_str(), equal.outputs["level"].as_str()), ("true", "image"));
        assert_eq!(equal.outputs["digest"], built.outputs["digest"]);
        assert!(equal.commands.is_empty() && equal.summary.contains("✅"), "{:?}", equal.commands);
        // Somebody changed the source.
        fs::write(runner.job.workspace.join("a"), "other\n").unwrap();
        let different = runner.run("verify", &inputs);
        assert_eq!(different.status, Some(1), "{}", different.text);
        assert_eq!(different.outputs["match"], "false");
        assert_eq!(different.outputs["expected"], built.outputs["digest"]);
        let line = "::error file=Dockerfile,line=3,endLine=3,title=context-file::";
        assert!(different.commands.iter().any(|command| command.starts_with(line)), "{:?}", different.commands);
        assert!(different.summary.contains("cause: context-file (Dockerfile:3)"), "{}", different.summary);
        let report = Path::new(&different.outputs["report"]);
        assert!(report.starts_with(&runner.job.temp), "{}", report.display());
        let sarif: Value = serde_json::from_slice(&fs::read(report.join("report.sarif")).unwrap()).unwrap();
        assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "context-file");
        let rebuilt = contents(&report.join("differences/b"));
        assert!(rebuilt.values().any(|bytes| bytes == b"other\n"), "{:?}", rebuilt.keys());
        // By its digest alone, and by one that is not there.
        fs::write(runner.job.workspace.join("a"), "text\n").unwrap();
        let digest = built.outputs["digest"].as_str();
        let by_digest = runner.run("verify", &[&common[..], &[("expected_digest", digest)]].concat());
        assert_eq!((by_digest.status, by_digest.outputs["match"].as_str()), (Some(0), "true"), "{}", by_digest.text);
        let missing = runner.run("verify", &[&common[..], &[("target_image", &format!("{name}-missing"))]].concat());
        assert_eq!((missing.status, missing.outputs["match"].as_str()), (Some(4), "unknown"), "{}", missing.text);
        assert_eq!(missing.commands.len(), 1, "{:?}", missing.commands);
    }
}

/// A job has somebody's checkout as its directory: what lies there stands for nothing that is published.
#[test]
fn a_file_is_not_taken_for_what_is_published() {
    let Some(way) = ways().iter().copied().find(|way| *way == Way::Buildkitd) else { return };
    let bench = Bench::plain("github-decoy");
    let runner = Runner::new(&bench, way, &[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "evil\n")]);
    let name = format!("{}/github/decoy-{}:1", lab("LAB_REGISTRY"), std::process::id());
    let common = [("source_date_epoch", "7"), ("context", "src")];
    let good = runner.job.workspace.join("src");
    fs::create_dir(&good).unwrap();
    for (file, text) in [("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "good\n")] {
        fs::write(good.join(file), text).unwrap();
    }
    let evil = runner.run("build", &[("source_date_epoch", "7"), ("tags", &name), ("push", "true")]);
    assert_eq!(evil.status, Some(0), "{}", evil.text);
    let built = runner.run("build", &common);
    assert_eq!(built.status, Some(0), "{}", built.text);
    let digest = evil.outputs["digest"].as_str();
    for decoy in [name.as_str(), digest] {
        let decoy = runner.job.workspace.join(decoy);
        fs::create_dir_all(decoy.parent().unwrap()).unwrap();
        fs::copy(&built.outputs["archive"], decoy).unwrap();
    }
    for subject in [("target_image", name.as_str()), ("expected_digest", digest)] {
        let ended = runner.run("verify", &[&common[..], &[subject]].concat());
        assert_eq!((ended.status, ended.outputs["match"].as_str()), (Some(1), "false"), "{}", ended.text);
        assert_eq!(ended.outputs["expected"], digest, "{}", ended.text);
        // Its Dockerfile is not the one at the top.
        let files = ended.commands.iter().filter(|command| command.contains("file="));
        assert!(files.clone().all(|command| command.contains("file=src/Dockerfile,line=2,")), "{:?}", ended.commands);
        assert_eq!(files.count(), usize::from(subject.0 == "target_image"), "{:?}", ended.commands);
    }
    // On the command line, too.
    let ask = |subject: &str| {
        let mut command = bench.repro(way);
        command.args(["verify", "--sde", "7", subject, "src"]).current_dir(&runner.job.workspace).output().unwrap()
    };
    let ambiguous = ask(&name);
    assert!(ambiguous.status.code() == Some(2) && said(&ambiguous).contains("docker://"), "{}", said(&ambiguous));
}

#[test]
fn a_push_that_fails_is_told_as_one() {
    let Some(way) = ways().iter().copied().find(|way| *way == Way::Buildkitd) else { return };
    let bench = Bench::plain("github-failed");
    let runner = Runner::new(&bench, way, &[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "text\n")]);
    let name = format!("{}/github/failed-{}", lab("LAB_REGISTRY"), std::process::id());
    let run = |tags: &str, more: &[(&str, &str)]| {
        runner.run("build", &[&[("source_date_epoch", "7"), ("push", "true"), ("tags", tags)], more].concat())
    };
    let nothing = run("127.0.0.1:1/a:1", &[("deployed", &format!("{name}:1"))]);
    assert_eq!((nothing.status, nothing.outputs["changed"].as_str()), (Some(4), ""), "{}", nothing.text);
    assert!(nothing.summary.contains("### ❌ "), "{}", nothing.summary);
    let half = run(&format!("{name}:1\n127.0.0.1:1/a:1"), &[]);
    assert_eq!((half.status, half.outputs["changed"].as_str()), (Some(4), "true"), "{}", half.text);
    assert!(half.summary.contains("### ❌ ") && half.summary.contains("failed-"), "{}", half.summary);
    // What is deployed may be told by its digest; names of what is not pushed are those in the archive.
    let digest = format!("{name}@{}", half.outputs["digest"]);
    fs::write(runner.job.workspace.join("repro.toml"), "metadata-file = \"metadata.json\"\n").unwrap();
    let inputs = [("source_date_epoch", "7"), ("deployed", digest.as_str()), ("outputs", "type=docker,name=foo:1")];
    let named = runner.run("build", &inputs);
    assert_eq!((named.status, named.outputs["changed"].as_str()), (Some(0), "false"), "{}", named.text);
    assert!(!runner.job.workspace.join("metadata.json").exists());
    let listed = Command::new("tar").args(["-xOf", &named.outputs["archive"], "manifest.json"]).output().unwrap();
    assert!(said(&listed).contains("\"foo:1\""), "{}", said(&listed));
}

#[test]
fn what_run_prints_cannot_command_the_runner() {
    let bench = Bench::plain("github-commands");
    for way in runtimes() {
        let forged = "::set-output name=digest::forged";
        let dockerfile = format!(
            "FROM {}\nRUN printf '{forged}\\n  ::error::x\\n##[error]x\\n::stop-commands::x\\n::x::\\r{forged}\\n' && echo '{forged}' >&2\n",
            base()[1].to_string_lossy().strip_prefix("BASE=").unwrap()
        );
        let runner = Runner::new(&bench, way, &[("Dockerfile", &dockerfile)]);
        let inputs = [("source_date_epoch", "7"), ("context", "."), ("no-cache", "true")];
        let ended = runner.run("build", &inputs);
        assert_eq!(ended.status, Some(0), "{}", ended.text);
        assert!(ended.text.contains(forged), "{}", ended.text);
        assert!(ended.commands.is_empty(), "{:?}", ended.commands);
        assert!(ended.outputs["digest"].starts_with("sha256:"));
    }
}

/// The inputs that are the words of a case of the corpus.
fn as_inputs(words: &[std::ffi::OsString]) -> Vec<(&'static str, String)> {
    let mut inputs: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for pair in words.chunks(2) {
        let [flag, value] = [&pair[0], &pair[1]].map(|word| word.to_str().unwrap());
        let (input, value) = match flag {
            "--sde" => ("source_date_epoch", value.to_owned()),
            "--build-arg" => ("build-args", value.to_owned()),
            "--label" => ("labels", value.to_owned()),
            "--annotation" => ("annotations", value.to_owned()),
            "--platform" => ("platforms", value.to_owned()),
            "--target" => ("target", value.to_owned()),
            "-f" => ("file", value.to_owned()),
            "--secret" => ("secret-files", value.strip_prefix("id=").unwrap().replace(",src=", "=")),
            other => panic!("{other} is no input that this test knows"),
        };
        inputs.entry(input).or_default().push(value);
    }
    inputs.into_iter().map(|(input, values)| (input, values.join("\n"))).collect()
}

#[test]
#[ignore = "builds the corpus twice on each runtime: make actions"]
fn the_corpus_has_the_digests_of_the_command_line() {
    let bench = Bench::plain("github-corpus");
    let corpus = Corpus::make(&bench, "corpus");
    let mut wrong = Vec::new();
    for way in runtimes() {
        let runner = Runner::new(&bench, way, &[("a", "")]);
        for case in &corpus.cases {
            let (words, context) = (corpus.arguments(case), corpus.directory.join(case));
            let built = bench.build(way, &bench.output(way, "corpus.tar"), &words, &context);
            let inputs = as_inputs(&words);
            let mut inputs: Vec<_> = inputs.iter().map(|(name, value)| (*name, value.as_str())).collect();
            inputs.push(("context", context.to_str().unwrap()));
            let ended = runner.run("build", &inputs);
            if ended.outputs.get("digest").map(String::as_str) != Some(built.digest()) {
                wrong.push(format!("{case} on {}: {}\n{}", way.name(), built.digest(), ended.text));
            }
        }
        println!("{}: {} contexts have the same digest both ways", way.name(), corpus.cases.len() - wrong.len());
    }
    assert!(wrong.is_empty() && corpus.cases.len() >= 15, "{}", wrong.join("\n"));
}

/// Serves a directory over TLS as `localhost`, with an authority of its own, until it is dropped.
struct Server {
    process: std::process::Child,
    port: u16,
    authority: PathBuf,
}

impl Server {
    fn start(directory: &Path, place: &Path) -> Self {
        let (key, authority) = (place.join("key.pem"), place.join("ca.pem"));
        let words = "req -x509 -newkey ed25519 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 2";
        let mut made = Command::new("openssl");
        made.args(words.split(' ')).arg("-keyout").arg(&key).arg("-out").arg(&authority);
        assert!(made.output().unwrap().status.success());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Command::new("openssl");
        server.args(["s_server", "-quiet", "-WWW", "-accept", &format!("127.0.0.1:{port}"), "-key"]).arg(&key);
        server.arg("-cert").arg(&authority).current_dir(directory).stdin(Stdio::null());
        let process = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let listens =
            || TcpStream::connect(("127.0.0.1", port)).is_ok() || Command::new("sleep").arg("0.05").status().is_err();
        assert!((0..200).any(|_| listens()));
        Self { process, port, authority }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Getting the program: out of the tool cache, or a released archive that is the one that the action names, and no other.
#[test]
fn the_program_is_the_one_that_the_action_names() {
    if ways().is_empty() {
        return;
    }
    let bench = Bench::plain("github-install");
    let project = bench.directory("project");
    for (path, text) in [("src/main.rs", ""), ("Cargo.toml", ""), ("Cargo.lock", "")] {
        fs::create_dir_all(project.join("src")).unwrap();
        fs::write(project.join(path), text).unwrap();
    }
    let action = Path::new(env!("CARGO_MANIFEST_DIR")).join("action");
    assert!(Command::new("cp").arg("-a").arg(action).arg(&project).status().unwrap().success());
    let served = bench.directory("served");
    fs::write(served.join("repro"), "#!/bin/sh\necho released\n").unwrap();
    let pack = "chmod 755 repro && tar -czf repro.tar.gz repro && sha256sum repro.tar.gz";
    let packed = Command::new("sh").args(["-c", pack]).current_dir(&served).output().unwrap();
    let digest = String::from_utf8_lossy(&packed.stdout).split_whitespace().next().unwrap().to_owned();
    let host = Server::start(&served, &bench.directory("tls"));
    let machine = std::env::consts::ARCH;
    let releases = |digest: &str| {
        let line = format!("{machine}-unknown-linux-musl {digest} https://localhost:{}/repro.tar.gz\n", host.port);
        fs::write(
            project.join("action/releases"),
            format!("# comment\nother-unknown-linux-musl 00 https://x.invalid/\n{line}"),
        )
    };
    let install = |name: &str, tool_cache: Option<&Path>| {
        let temp = bench.directory(name);
        let mut install = Command::new(project.join("action/install"));
        install.env("RUNNER_TEMP", &temp).env("GITHUB_OUTPUT", temp.join("output")).env_remove("RUNNER_TOOL_CACHE");
        install.env("CURL_CA_BUNDLE", &host.authority).envs(tool_cache.map(|place| ("RUNNER_TOOL_CACHE", place)));
        let output = install.output().unwrap();
        (output.status.code(), said(&output), fs::read_to_string(temp.join("output")).unwrap_or_default())
    };
    releases(&digest).unwrap();
    let (status, text, output) = install("right", None);
    assert!(status == Some(0) && text.contains("released"), "{text}");
    let program = output.trim().strip_prefix("program=").unwrap();
    assert!(program.starts_with(bench.directory("right").to_str().unwrap()), "{program}");
    releases(&digest.replace(|c: char| c.is_ascii_digit(), "0")).unwrap();
    let (status, text, output) = install("wrong", None);
    assert!(status == Some(4) && text.contains("is not the one that this version of the action names"), "{text}");
    assert!(output.is_empty(), "{output}");
    // What the runner has from before comes first, under the key of these sources alone.
    let key = Command::new(project.join("action/install")).arg("--key").output().unwrap();
    let key = String::from_utf8(key.stdout).unwrap();
    let tool_cache = bench.directory("tools");
    fs::create_dir_all(tool_cache.join("repro").join(key.trim())).unwrap();
    let kept = tool_cache.join("repro").join(key.trim()).join("repro");
    fs::write(&kept, "#!/bin/sh\necho kept\n").unwrap();
    fs::set_permissions(&kept, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (status, text, _) = install("kept", Some(&tool_cache));
    assert!(status == Some(0) && text.contains("kept"), "{text}");
    fs::write(project.join("src/main.rs"), "fn main() {}").unwrap();
    let (status, text, _) = install("changed", Some(&tool_cache));
    assert!(status == Some(4) && !text.contains("kept"), "{text}");
}

/// What might be executed, written, or taken for an output.
fn hostile(canary: &Path) -> Vec<String> {
    let canary = canary.display();
    [
        format!("\"; touch {canary}; #"),
        format!("$(touch {canary})"),
        format!("`touch {canary}`"),
        format!("a\ntouch {canary}\n"),
        "a\nEOF\ndigest=forged\n".to_owned(),
        "a\n::set-output name=digest::forged".to_owned(),
        "%0A::set-output name=digest::forged%0A".to_owned(),
        "--privileged".to_owned(),
        format!("-o {canary}"),
        "a,b,,c=d".to_owned(),
        format!("type=local,dest={}", canary.to_string().trim_end_matches("canary")),
        "'\"\\' \"".to_owned(),
        "\u{202e}abc\u{2066}\u{200b}".to_owned(),
        "${{ secrets.X }}".to_owned(),
    ]
    .to_vec()
}

fn inputs_of(file: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("action").join(file)).unwrap();
    text.lines().filter_map(|line| Some(line.split_once("${{ inputs.")?.1.strip_suffix(" }}")?.to_owned())).collect()
}

/// Every input with hostile values: `REPRO_TEST_INJECTION=all` takes each value, otherwise each input gets one of them.
#[test]
fn no_input_is_executed_written_or_forged() {
    if ways().is_empty() {
        return;
    }
    let is_all = std::env::var("REPRO_TEST_INJECTION").is_ok_and(|value| value == "all");
    let bench = Bench::plain("github-injection");
    let way = runtimes()[0];
    let way = if ways().contains(&Way::Buildkitd) { Way::Buildkitd } else { way };
    let runner = Runner::new(&bench, way, &[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "text\n")]);
    let place = bench.directory("untouched");
    let canary = place.join("canary");
    let values = hostile(&canary);
    let before = contents(&runner.job.workspace);
    let usual = [("source_date_epoch", "7"), ("context", ".")];
    let published = format!("{}/github/injection-{}:1", lab("LAB_REGISTRY"), std::process::id());
    let built = runner.run("build", &[&usual[..], &[("tags", published.as_str()), ("push", "true")]].concat());
    assert_eq!(built.status, Some(0), "{}", built.text);
    let known = ["digest", "imageid", "metadata", "archive", "changed", "match", "level", "expected", "report", "sbom"];
    let (mut tried, mut passed, mut refused) = (0, 0, 0);
    for (action, file) in [("build", "action.yml"), ("verify", "verify/action.yml")] {
        for (number, input) in inputs_of(file).iter().enumerate() {
            for (at, value) in values.iter().enumerate() {
                // Another one from input to input.
                if !is_all && at != number % values.len() {
                    continue;
                }
                let mut inputs = usual.to_vec();
                if action == "verify" && input != "expected_digest" {
                    inputs.push(("target_image", published.as_str()));
                }
                inputs.retain(|(name, _)| name != input && !(input == "timestamp" && *name == "source_date_epoch"));
                // Of the form that it has, hostile where it is not.
                let value = match input.as_str() {
                    "labels" | "annotations" | "build-args" | "secrets" | "secret-files" => format!("k={value}"),
                    "sbom" => format!("generator={value}"),
                    "cache-map" => {
                        let kept = runner.job.temp.join("kept").display().to_string();
                        serde_json::json!({kept: {"target": "/kept", "id": value}}).to_string()
                    }
                    _ => value.clone(),
                };
                inputs.push((input, &value));
                let ended = runner.run(action, &inputs);
                let what = format!("{action} {input}={value:?}: {:?}\n{}", ended.status, ended.text);
                tried += 1;
                match ended.status {
                    Some(0) => passed += 1,
                    Some(1..=5) => refused += 1,
                    _ => panic!("{what}"),
                }
                assert!(ended.status != Some(0) || ended.outputs["digest"].starts_with("sha256:"), "{what}");
                assert!(ended.outputs.keys().all(|name| known.contains(&name.as_str())), "{what}");
                assert!(ended.outputs.get("digest").is_none_or(|digest| digest != "forged"), "{what}");
                assert!(
                    ended.commands.iter().all(|one| one.starts_with("::error ") || one.starts_with("::warning ")),
                    "{what}"
                );
                assert!(ended.status == Some(0) || !ended.commands.is_empty(), "{what}");
                assert!(fs::read_dir(&place).unwrap().next().is_none(), "written: {what}");
                // An archive goes where it is told to go, in the workspace.
                let named = runner.job.workspace.join(&value);
                if input == "output" && ended.status == Some(0) && named.is_file() {
                    fs::remove_file(named).unwrap();
                }
                // An only entry of one line is passed on as it is.
                if action == "build" && ended.status == Some(0) && input == "labels" && !value.contains('\n') {
                    let labels = config(Path::new(&ended.outputs["archive"]))["config"]["Labels"].clone();
                    assert_eq!(labels["k"], *value.strip_prefix("k=").unwrap(), "{what}");
                }
            }
        }
    }
    let after = contents(&runner.job.workspace);
    let added: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    assert!(after == before, "{added:?}");
    println!("injection: {tried} hostile inputs, {refused} refused, {passed} passed on as they are");
    assert!(refused > 0 && passed > 0 && tried >= if is_all { 12 * 60 } else { 60 }, "{tried}");
}

/// The config of the only image of an archive.
fn config(archive: &Path) -> Value {
    let read = |path: &str| {
        let tar = Command::new("tar").arg("-xOf").arg(archive).arg(path).output().unwrap();
        assert!(tar.status.success(), "{}", said(&tar));
        serde_json::from_slice::<Value>(&tar.stdout).unwrap()
    };
    let blob =
        |descriptor: &Value| read(&format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/")));
    blob(&blob(&read("index.json")["manifests"][0])["config"])
}
