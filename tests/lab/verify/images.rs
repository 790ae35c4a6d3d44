//! What plain buildx publishes with all kinds of options, and what comes of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{EPOCH, SCHEMA, way};
use crate::foreign::Daemon;
use crate::harness::{Bench, Way, lab, said, words};
use crate::support::schema::violations;

/// A builder of plain buildx on a BuildKit that `repro` knows nothing of.
struct Buildx<'a> {
    bench: &'a Bench,
    daemon: Daemon,
    name: String,
}

impl<'a> Buildx<'a> {
    fn start(bench: &'a Bench, version: &str) -> Self {
        let socket = bench.temporary().join(format!("{version}.sock"));
        let daemon = Daemon::start(version, &bench.temporary().join(version), &socket, &[]);
        let buildx = Self { bench, daemon, name: format!("verify-{version}") };
        let address = buildx.daemon.address();
        let made =
            buildx.command(&["buildx", "create", "--name", &buildx.name, "--driver", "remote", &address]).output();
        assert!(made.as_ref().unwrap().status.success(), "{}", said(&made.unwrap()));
        buildx
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(words).env("BUILDX_CONFIG", self.bench.temporary().join("buildx"));
        command.env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// Builds and pushes, and gives the reference.
    fn push(&self, name: &str, epoch: Option<&str>, output: &str, more: &[&str], context: &Path) -> String {
        let subject = format!("{}/verify/{name}:v1", lab("LAB_REGISTRY"));
        let output = format!("type=image,name={subject},push=true,{output}");
        let mut command = self.command(&["buildx", "build", "--builder", &self.name, "--output", &output]);
        command.args(more).arg(context).envs(epoch.map(|epoch| ("SOURCE_DATE_EPOCH", epoch)));
        let built = command.output().unwrap();
        assert!(built.status.success(), "{name}: {}", said(&built));
        subject
    }
}

/// What others publish, and what comes of it.
struct Case {
    name: &'static str,
    version: &'static str,
    epoch: Option<&'static str>,
    output: &'static str,
    options: &'static [&'static str],
    expected: (i32, &'static str, Option<&'static str>),
}

const REWRITE: &str = "rewrite-timestamp=true,oci-mediatypes=true";
const EQUAL: (i32, &str, Option<&str>) = (0, "equal", Some("image"));
const BUT_FOR_ATTESTATIONS: (i32, &str, Option<&str>) = (0, "equal", Some("manifest"));
const OLD: &str = "V0_19_0";
const NEW: &str = "V0_31_1";
const AT: Option<&str> = Some(EPOCH);

const fn case(
    name: &'static str,
    version: &'static str,
    epoch: Option<&'static str>,
    output: &'static str,
    options: &'static [&'static str],
    expected: (i32, &'static str, Option<&'static str>),
) -> Case {
    Case { name, version, epoch, output, options, expected }
}

const CASES: [Case; 12] = [
    // What upstream's actions ask for.
    case("docker", OLD, AT, "rewrite-timestamp=true", &["--provenance=false", "--build-arg=MODE=fast"], EQUAL),
    case(
        "max",
        NEW,
        AT,
        REWRITE,
        &["--provenance=mode=max", "--target=two", "--build-arg=MODE=fast"],
        BUT_FOR_ATTESTATIONS,
    ),
    case("clock", OLD, None, "oci-mediatypes=true", &["--provenance=mode=max"], (4, "unknown", None)),
    case("words", OLD, AT, REWRITE, &["--provenance=false", "--label=l=m n", "--annotation=a=b,c"], EQUAL),
    case(
        "zstd",
        OLD,
        AT,
        "rewrite-timestamp=true,oci-mediatypes=true,compression=zstd",
        &["--provenance=false"],
        EQUAL,
    ),
    case(
        "estargz",
        OLD,
        AT,
        "rewrite-timestamp=true,oci-mediatypes=true,compression=estargz",
        &["--provenance=false"],
        EQUAL,
    ),
    case(
        "plain",
        OLD,
        AT,
        "rewrite-timestamp=true,oci-mediatypes=true,compression=uncompressed",
        &["--provenance=false"],
        EQUAL,
    ),
    case("min", OLD, AT, REWRITE, &["--provenance=mode=min"], BUT_FOR_ATTESTATIONS),
    case(
        "min-new",
        NEW,
        AT,
        "rewrite-timestamp=true",
        &["--provenance=mode=min", "--sbom=false"],
        BUT_FOR_ATTESTATIONS,
    ),
    case("two", OLD, AT, REWRITE, &["--provenance=mode=max", "--platform=linux/amd64,linux/386"], BUT_FOR_ATTESTATIONS),
    case(
        "level",
        OLD,
        AT,
        "rewrite-timestamp=true,oci-mediatypes=true,compression-level=9",
        &["--provenance=false"],
        (1, "different", Some("config")),
    ),
    // A file that is copied keeps the time that it has here.
    case(
        "not-rewritten",
        OLD,
        AT,
        "oci-mediatypes=true",
        &["--provenance=mode=max", "--target=copied"],
        BUT_FOR_ATTESTATIONS,
    ),
];

/// A context whose Dockerfile needs arguments, a target and a base.
fn stages(bench: &Bench) -> PathBuf {
    let dockerfile = format!(
        "FROM scratch AS copied\nCOPY f /f\nFROM {} AS one\nARG MODE=slow\nCOPY f /f\nRUN cp /f /g && echo $MODE >/mode\n\
         FROM one AS two\nLABEL made=here\n",
        lab("LAB_BASE_SMALL")
    );
    bench.context("stages", &[("f", "content\n"), ("Dockerfile", &dockerfile)])
}

fn verify_cases(bench: &Bench, way: Way, cases: &[Case]) {
    let context = stages(bench);
    for version in [OLD, NEW] {
        let of_version: Vec<&Case> = cases.iter().filter(|case| case.version == version).collect();
        if of_version.is_empty() {
            continue;
        }
        let buildx = Buildx::start(bench, version);
        let image = format!("--buildkit-image={}", lab(&format!("LAB_BUILDKIT_{version}")));
        for case in of_version {
            let subject = buildx.push(case.name, case.epoch, case.output, case.options, &context);
            let report = verify_case(bench, way, case.name, (&image, &subject), &context, case.expected);
            if case.name == "clock" {
                assert_eq!(report["missing"][0]["what"], "epoch", "{report:#}");
            }
        }
    }
}

/// Verifies what is published, with the BuildKit that built it.
fn verify_case(
    bench: &Bench,
    way: Way,
    name: &str,
    (image, subject): (&str, &str),
    context: &Path,
    expected: (i32, &str, Option<&str>),
) -> Value {
    let mut arguments: Vec<OsString> = words(&["verify", "--quiet", "--format", "json"]);
    let own = bench.arguments(way).into_iter().skip(1).collect::<Vec<_>>();
    let at = own.iter().position(|word| word == "--buildkit-image").unwrap();
    let others = own.iter().enumerate().filter(|(place, _)| *place != at && *place != at + 1);
    arguments.extend(others.map(|(_, word)| word.clone()));
    let output = bench.repro(way).args(arguments).args([image, subject]).arg(context).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let found = (output.status.code().unwrap(), report["verdict"].as_str().unwrap(), report["level"].as_str());
    assert_eq!(found, expected, "{name}: {}", said(&output));
    let violations = violations(&serde_json::from_str(SCHEMA).unwrap(), &report);
    assert_eq!(violations, Vec::<String>::new(), "{name}");
    report
}

/// What repro-build's own releases make, published as an archive is that others wrote.
#[test]
#[ignore = "builds with repro-build, one after the other: `make verify-images`"]
fn images_that_repro_build_made() {
    let Some(way) = way() else { return };
    let bench = Bench::alone("verify upstream");
    let (context, place) = (stages(&bench), bench.directory("upstream"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/upstream-images");
    let mut command = Command::new(script);
    command.arg(&context).arg(&place).args(["--source-date-epoch", EPOCH, "--build-arg", "MODE=fast"]);
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    for (release, version) in [("1.0.0", OLD), ("2.0.0", NEW)] {
        let subject = format!("{}/verify/upstream-{release}:v1", lab("LAB_REGISTRY"));
        let archive = format!("oci-archive:{}", place.join(format!("{release}.tar")).display());
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--preserve-digests", "--dest-tls-verify=false", &archive]);
        let copied = skopeo.arg(format!("docker://{subject}")).output().unwrap();
        assert!(copied.status.success(), "{release}: {}", said(&copied));
        let image = format!("--buildkit-image={}", lab(&format!("LAB_BUILDKIT_{version}")));
        // Such an image names neither its epoch nor its arguments where nothing else tells.
        verify_case(&bench, way, release, (&image, &subject), &context, EQUAL);
    }
}

#[test]
fn what_others_publish_is_built_again_by_what_it_says() {
    let Some(way) = way() else { return };
    verify_cases(&Bench::alone("verify short"), way, &CASES[..3]);
}

#[test]
#[ignore = "pushes and builds a dozen images: `make verify-images`"]
fn a_dozen_images_that_others_publish() {
    let Some(way) = way() else { return };
    verify_cases(&Bench::alone("verify images"), way, &CASES);
}
