//! The shell parts of the examples for other CI servers, run as they stand there.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Bench, Way, every_way, lab, run, said};
use crate::support::schema::violations;

fn example(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci").join(name)).unwrap()
}

/// What stands behind `key` in lines that are further in, without that indentation.
fn block(text: &str, key: &str) -> String {
    let mut lines = text.lines().skip_while(|line| line.trim() != key).skip(1).peekable();
    let indent = lines.peek().unwrap().len() - lines.peek().unwrap().trim_start().len();
    let inside = lines.take_while(|line| line.is_empty() || line.len() - line.trim_start().len() >= indent);
    inside.map(|line| line.get(indent..).unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

struct Job {
    bench: Bench,
    directory: PathBuf,
}

impl Job {
    fn new(name: &str) -> Self {
        let bench = Bench::alone(name);
        let directory = bench.context("work", &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
        Self { bench, directory }
    }

    fn run(&self, script: &str, reference: &str, result: &Path) -> std::process::Output {
        let mut command = self.bench.program(Way::Remote, Path::new("sh"));
        let programs = Path::new(env!("CARGO_BIN_EXE_repro")).parent().unwrap();
        command.env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()));
        command.env("REPRO_IN_REFERENCE", reference).env("REPRO_IN_SUBJECT", reference).env("REPRO_IN_CONTEXT", ".");
        command.env("REPRO_IN_EPOCH", "0").env("REPRO_IN_PLATFORM", "").env("REPRO_IN_RESULT", result);
        command.env("REPRO_IN_ADDRESS", self.bench.daemon().address());
        command.env("REPRO_IN_BUILDKIT", lab("LAB_BUILDKIT_V0_19_0"));
        command.args(["-euc", script]).current_dir(&self.directory).output().unwrap()
    }
}

#[test]
fn the_task_for_tekton_pushes_and_the_component_for_gitlab_verifies_it() {
    if !every_way().contains(&Way::Remote) {
        // Said by the harness: all of them build on somebody else's daemon.
        return;
    }
    let job = Job::new("ci");
    let result = job.bench.directory("result").join("digest");
    let reference = format!("{}/ci/tekton:{}", lab("LAB_REGISTRY"), std::process::id());
    let task = block(&example("tekton/task.yaml"), "script: |");
    let pushed = job.run(&task, &reference, &result);
    assert!(pushed.status.success(), "{}", said(&pushed));
    let digest = fs::read_to_string(&result).unwrap();
    let shown =
        run("skopeo", &["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &format!("docker://{reference}")]);
    assert_eq!(digest, shown.trim());

    let verify = block(&example("gitlab/templates/verify.yml"), "- >-").replace('\n', " ");
    let verified = job.run(&verify, &reference, &result);
    assert!(verified.status.success(), "{}", said(&verified));
    let report = fs::read_to_string(job.directory.join("repro.xml")).unwrap();
    assert!(report.contains("failures=\"0\" errors=\"0\""), "{report}");
    let variables = fs::read_to_string(job.directory.join("repro.env")).unwrap();
    assert!(variables.starts_with(&format!("REPRO_VERDICT=equal\nREPRO_DIGEST={digest}\n")), "{variables}");

    let check = block(&example("gitlab/templates/check.yml"), "- >-").replace('\n', " ");
    let checked = job.run(&check, &reference, &result);
    // Modes of the checkout are in this image: that is found, and is on its line.
    assert_eq!(checked.status.code(), Some(1), "{}", said(&checked));
    let issues: Value = serde_json::from_slice(&fs::read(job.directory.join("repro.json")).unwrap()).unwrap();
    let schema: Value = serde_json::from_str(include_str!("../schemas/codequality.json")).unwrap();
    assert_eq!(violations(&schema, &issues), Vec::<String>::new());
    assert_eq!((&issues[0]["check_name"], &issues[0]["location"]["lines"]["begin"]), (&"umask".into(), &2.into()));
    assert_eq!(issues[0]["location"]["path"], "Dockerfile");
    let variables = fs::read_to_string(job.directory.join("repro.env")).unwrap();
    assert_eq!(variables, "REPRO_VERDICT=not-reproducible\nREPRO_DIGEST=\nREPRO_LEVEL=none\n");

    for script in [&task, &verify] {
        for hostile in ["$(touch owned)", "\"; touch owned; #", "`touch owned`", "--help", "a\ntouch owned"] {
            let refused = job.run(script, hostile, &result);
            assert!(!refused.status.success(), "{hostile}: {}", said(&refused));
            assert!(!job.directory.join("owned").exists(), "{hostile} was executed");
        }
    }
}
