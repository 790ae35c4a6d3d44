//! The examples for Python, with packages from PyPI: reproducible, up to date, and without a trace of the building machine.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Bench, Built, Way, lab, said, ways, words};

/// PyPI is asked by each, for half a minute: two ways suffice, others for the other example.
const UV: [(Way, usize); 2] = [(Way::Buildkitd, 0), (Way::Docker, 1)];
const LAMBDA: [(Way, usize); 2] = [(Way::Podman, 2), (Way::Buildkitd, 0)];
/// What no image may hold: the certificates that a build is given begin with it.
const MARKER: &str = "certificates of the building machine";

/// The times and modes that a checkout has are those of whoever made it.
const CHECKOUTS: [(&str, &str, &str); 3] = [
    ("2024-06-07T08:09:10Z", "644", "755"),
    ("2025-01-02T03:04:05Z", "600", "700"),
    ("2025-10-11T12:13:14Z", "664", "2775"),
];

fn checkout(bench: &Bench, example: &str, number: usize) -> PathBuf {
    let (time, file, directory) = CHECKOUTS[number];
    let place = bench.directory(&format!("{example} {number}")).join(example);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
    let script = "set -e; cp -r \"$1\" \"$2\"; cd \"$2\"; rm -rf .venv; find . -type f -exec chmod \"$3\" {} +; \
                  find . -type d -exec chmod \"$4\" {} +; find . -exec touch -d \"$5\" {} +";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(source).arg(&place).args([file, directory, time]);
    assert!(command.status().unwrap().success());
    place
}

fn arguments(bench: &Bench) -> Vec<OsString> {
    let certificates = bench.directory("secrets").join("ca.crt");
    let bundle = fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap();
    fs::write(&certificates, format!("# {MARKER}\n{bundle}")).unwrap();
    let mut arguments = words(&["--sde", "1700000000", "--secret"]);
    arguments.push(format!("id=ca,\"src={}\"", certificates.display()).into());
    arguments.extend(["--build-arg".into(), format!("BASE={}", lab("LAB_BASE_PYTHON")).into()]);
    arguments
}

/// Each way builds from the checkout of that number, with nothing kept from before. `then` goes on where the first has built.
fn one_digest(example: &str, tested: [(Way, usize); 2], prove: &[&str], expected: &str, then: impl Fn(&Kept<'_>)) {
    let mut digest = None;
    for (way, number) in tested.iter().filter(|(way, _)| ways().contains(way)) {
        let bench = Bench::shared(&format!("{example} {number}"), *way);
        let archive = bench.output(*way, "image.tar");
        let mut arguments = arguments(&bench);
        let context = checkout(&bench, example, *number);
        // No other test has built it: there is nothing in the cache but what this build leaves there.
        if *number > 0 {
            arguments.push("--no-cache".into());
        }
        let built = bench.build(*way, &archive, &arguments, &context);
        let digest: &String = digest.get_or_insert_with(|| built.digest().to_owned());
        assert_eq!(built.digest(), digest, "{example}: {}, checkout {number}", way.name());
        assert_no_trace(&archive);
        if *number == 0 && ways().contains(&Way::Docker) {
            assert_works(&archive, prove, expected);
        }
        fs::remove_file(archive).unwrap();
        if *number == 0 {
            then(&Kept { bench: &bench, way: *way, context: &context, arguments: &arguments, digest });
        }
    }
}

/// A build of which everything is in the cache.
struct Kept<'a> {
    bench: &'a Bench,
    way: Way,
    context: &'a Path,
    arguments: &'a [OsString],
    digest: &'a str,
}

impl Kept<'_> {
    fn build(&self) -> Built {
        self.bench.build(self.way, &self.bench.output(self.way, "image.tar"), self.arguments, self.context)
    }
}

fn assert_no_trace(archive: &Path) {
    let script = "set -e; d=$(mktemp -d); trap 'rm -rf \"$d\"' EXIT; tar -C \"$d\" -xf \"$1\"; \
                  for b in \"$d\"/blobs/sha256/*; do gzip -dcf \"$b\"; done | grep -aqF -- \"$2\" && echo found || echo clean";
    for (text, found) in [(MARKER, "clean\n"), ("site-packages", "found\n")] {
        let output = Command::new("sh").args(["-c", script, "sh"]).arg(archive).arg(text).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), found, "{text}: {}", said(&output));
    }
}

/// An image that is the same everywhere is worth nothing where it does not run.
fn assert_works(archive: &Path, arguments: &[&str], expected: &str) {
    let loaded = Command::new("docker").args(["load", "--quiet", "--input"]).arg(archive).output().unwrap();
    let text = String::from_utf8_lossy(&loaded.stdout).into_owned();
    let image = text.trim().rsplit_once(' ').unwrap_or_else(|| panic!("{}", said(&loaded))).1;
    let mut run = Command::new("docker");
    let (options, command) = arguments.split_at(arguments.iter().position(|word| *word == "IMAGE").unwrap());
    let run =
        run.args(["run", "--rm", "--network=none"]).args(options).arg(image).args(&command[1..]).output().unwrap();
    let removed = Command::new("docker").args(["rmi", image]).output().unwrap();
    assert!(removed.status.success(), "{}", said(&removed));
    assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), expected, "{}", said(&run));
}

#[test]
fn a_uv_workspace_has_one_digest_and_a_changed_source_reaches_it_though_everything_is_cached() {
    let expected = "2027-01-01  New Year\n2027-03-14  Pi Day\n2027-03-28  Easter\n2027-10-01  Coffee Day";
    one_digest("python-uv", UV, &["IMAGE", "2027"], expected, |kept| {
        assert_eq!(kept.build().digest(), kept.digest, "from the cache");
        // Its pyproject.toml stays as it is.
        let source = kept.context.join("packages/almanac-core/src/almanac_core/days.yaml");
        let text = fs::read_to_string(&source).unwrap();
        fs::write(&source, text.replace("Pi Day", "Day of Pi")).unwrap();
        assert_ne!(kept.build().digest(), kept.digest, "the change is not in the image");
    });
}

#[test]
#[ignore = "as the one above, which is tested: make real-images"]
fn a_function_for_lambda_has_one_digest() {
    let program = "import handler; print(handler.handler({'year': 2027}, None))";
    let prove = ["--entrypoint=python3", "IMAGE", "-c", program];
    one_digest("python-lambda", LAMBDA, &prove, "easter: 2027-03-28", |_| {});
}
