//! The actions themselves: built and pushed for two platforms, verified, tampered with; with the program from the runner's tool cache.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::github::inputs_of_lab;
use crate::harness::{Bench, Way, lab, run, said, ways};
use crate::sbom::generator;

use super::act::{Ran, User};

/// Says what one file of the image holds.
const SCANS: &str = r#"printf '{"predicateType":"https://spdx.dev/Document","predicate":{"spdxVersion":"SPDX-2.3","name":"%s"}}' "$(cat "$BUILDKIT_SCAN_SOURCE/file")" >app.spdx.json"#;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// Puts the program of these tests where a runner's tool cache has it for the sources as they are.
fn provide(user: &User) {
    let key = Command::new(Path::new(PROJECT).join("action/install")).arg("--key").output().unwrap();
    assert!(key.status.success(), "{}", said(&key));
    let directory = user.tool_cache().join("repro").join(String::from_utf8(key.stdout).unwrap().trim());
    fs::create_dir_all(&directory).unwrap();
    symlink(env!("CARGO_BIN_EXE_repro"), directory.join("repro")).unwrap();
}

/// The inputs that are the laboratory's, as lines of a workflow.
fn of_lab(bench: &Bench, way: Way) -> String {
    let inputs = inputs_of_lab(bench, way);
    inputs.iter().fold(String::new(), |lines, (name, value)| lines + &format!("          {name}: '{value}'\n"))
}

fn workflow(bench: &Bench, way: Way, name: &str) -> String {
    let common = of_lab(bench, way);
    let scanner = generator(bench, way, "act", SCANS);
    format!(
        r"
name: user
on: push
permissions:
  contents: read
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - id: build
        uses: owner/repro/action@v1
        with:
{common}          source_date_epoch: git
          platforms: |
            linux/amd64
            linux/arm64
          labels: |
            one=two, three
          push: true
          tags: |
            {name}:1
            {name}:latest
          sbom: '{scanner}'
      - id: again
        uses: owner/repro/action@v1
        with:
{common}          source_date_epoch: git
          platforms: linux/amd64,linux/arm64
          labels: one=two, three
          deployed: {name}:latest
      - id: verify
        uses: owner/repro/action/verify@v1
        with:
{common}          source_date_epoch: git
          platforms: linux/amd64,linux/arm64
          target_image: {name}:1
      - run: echo tampered >file
      - id: tampered
        continue-on-error: true
        uses: owner/repro/action/verify@v1
        with:
{common}          source_date_epoch: git
          platforms: linux/amd64,linux/arm64
          target_image: {name}:1
      - run: git checkout --quiet file
"
    )
}

fn expect(ran: &Ran, id: &str, name: &str, value: &str) {
    assert_eq!(ran.output(id, name), value, "{id} {name}:\n{ran}");
}

#[test]
#[ignore = "needs act: make actions"]
fn built_pushed_verified_and_tampered_with() {
    for way in [Way::Docker, Way::Podman].into_iter().filter(|way| ways().contains(way)) {
        let bench = Bench::plain("actions-real");
        let dockerfile = "FROM scratch\nLABEL a=b\nCOPY file /\n";
        let user = User::new(Path::new(PROJECT), &[("Dockerfile", dockerfile), ("file", "text\n")]);
        provide(&user);
        let name = format!("{}/actions/{}-{}", lab("LAB_REGISTRY"), way.name(), std::process::id());
        let ran = user.run(&workflow(&bench, way, &name));
        assert!(ran.status.success(), "{ran}");
        let digest = ran.output("build", "digest").to_owned();
        assert_eq!(run("crane", &["digest", &format!("{name}:latest")]).trim(), digest, "{ran}");
        let sboms: Vec<&str> = ran.output("build", "sbom").lines().collect();
        assert_eq!(sboms.len(), 2, "one for each platform: {ran}");
        for (sbom, platform) in sboms.into_iter().zip(["linux/amd64", "linux/arm64"]) {
            let of_platform = run("crane", &["digest", "--platform", platform, &format!("{name}:1")]);
            let sbom: Value = serde_json::from_str(&run("crane", &["manifest", sbom])).unwrap();
            assert_eq!(sbom["subject"]["digest"], of_platform.trim(), "{ran}");
            let statement = format!("{name}@{}", sbom["layers"][0]["digest"].as_str().unwrap());
            let statement: Value = serde_json::from_str(&run("crane", &["blob", &statement])).unwrap();
            assert_eq!(statement["predicate"]["name"], "text", "{ran}");
        }
        expect(&ran, "build", "changed", "true");
        expect(&ran, "again", "changed", "false");
        expect(&ran, "again", "digest", &digest);
        expect(&ran, "verify", "match", "true");
        expect(&ran, "verify", "level", "image");
        expect(&ran, "verify", "digest", &digest);
        expect(&ran, "tampered", "match", "false");
        expect(&ran, "tampered", "expected", &digest);
        assert_eq!(
            (ran.step("tampered").outcome.as_str(), ran.step("verify").outcome.as_str()),
            ("failure", "success")
        );
        let status = |id: &str| ran.step(id).status;
        assert_eq!(status("tampered/verify").or(status("tampered")), Some(1), "{ran}");
        for said in [digest.as_str(), "✅ Equal", "❌ Different", "cause: context-file (Dockerfile:3)"] {
            assert!(ran.summary().contains(said), "{said}:\n{ran}");
        }
        let errors = ran.commands("error");
        let at_line = errors.iter().find(|error| error.properties.get("line").is_some_and(|line| line == "3"));
        assert_eq!(at_line.unwrap().properties["file"], "Dockerfile", "{ran}");
        // What the path of the report is called there, this test sees elsewhere.
        let report = Path::new(ran.output("tampered", "report")).file_name().unwrap().to_owned();
        let report = fs::read(ran.temporary().join(report).join("report.sarif")).unwrap();
        let sarif: Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "context-file");
        assert_eq!(ran.changes(), BTreeSet::default(), "{ran}");
        // What is act's own, and the home's from the beginning.
        let below = |name: &str| -> Vec<String> {
            let entries = fs::read_dir(user.home().join(name)).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let written: Vec<String> =
            below("").into_iter().filter(|name| name != ".docker" && name != ".config").collect();
        assert!(written.is_empty() && below(".config").iter().all(|name| name == "act"), "{written:?}");
    }
}
