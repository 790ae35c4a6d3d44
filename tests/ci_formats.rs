//! What CI servers read, against schemas, with names and values that are hostile to each form.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod support;

use std::fs;
use std::process::{Command, Output};

use repro::report::ci::{Case, End, junit};
use serde_json::Value;
use support::image_builder::{ImageBuilder, file, plain, tar};
use support::said;
use support::schema::violations;

const HOSTILE: &str = "a\"b'<c>&]]>\u{1}\u{1b}\u{202e}\u{fffe}\r\nnext";

fn repro(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_repro")).args(arguments).output().unwrap()
}

/// Validates JUnit's XML, and gives the text of an XPath.
fn xpath(report: &[u8], path: &str) -> String {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("report.xml");
    fs::write(&file, report).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new("xmllint").args(["--nonet"]).args(arguments).arg(&file).output();
        let output = output.unwrap_or_else(|error| panic!("xmllint is needed (the laboratory installs it): {error}"));
        assert!(output.status.success(), "{}\n{}", said(&output), String::from_utf8_lossy(report));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["--noout", "--schema", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemas/junit.xsd")]);
    run(&["--xpath", &format!("string({path})")]).trim_end_matches('\n').to_owned()
}

#[test]
fn every_end_of_a_case_is_valid_and_says_what_was_said() {
    let case = |end| Case { name: HOSTILE.to_owned(), end };
    let ends = [End::Passed, End::Skipped, End::Failed(HOSTILE.to_owned()), End::Unknown(HOSTILE.to_owned())];
    let report = junit(HOSTILE, &ends.map(case));
    let said = "a\"b'<c>&]]>\\u{1}\\u{1b}\\u{202e}\\u{fffe}\\u{d}\nnext";
    assert_eq!(xpath(report.as_bytes(), "//testcase[1]/@name"), said);
    assert_eq!(xpath(report.as_bytes(), "//failure"), said);
    assert_eq!(xpath(report.as_bytes(), "//error/@message"), said.split('\n').next().unwrap());
    assert_eq!(
        xpath(report.as_bytes(), "concat(//testsuite/@tests, //testsuite/@failures, //testsuite/@errors)"),
        "411"
    );
}

#[test]
fn a_difference_is_told_in_each_form() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::write(&path, ImageBuilder::oci().layer(plain(tar([file(HOSTILE, text).at(5)]))).build().tar()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (a, b) = (write("a.tar", "x"), write("b.tar", "y"));
    let variables = place.path().join("repro.env");
    for (other, status, verdict, failures) in [(&a, 0, "equal", "0"), (&b, 1, "different", "1")] {
        let tested = repro(&["diff", "--format", "junit", "--dotenv", variables.to_str().unwrap(), &a, other]);
        assert_eq!(tested.status.code(), Some(status), "{}", said(&tested));
        assert_eq!(xpath(&tested.stdout, "/testsuites/@failures"), failures);
        let written = fs::read_to_string(&variables).unwrap();
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(lines[0], format!("REPRO_VERDICT={verdict}"));
        assert!(lines[1].strip_prefix("REPRO_DIGEST=sha256:").is_some_and(|hex| hex.len() == 64), "{written}");
        assert_eq!(lines.len(), 3);

        let listed = repro(&["diff", "--format", "codequality", &a, other]);
        assert_eq!(listed.status.code(), Some(status), "{}", said(&listed));
        let issues: Value = serde_json::from_slice(&listed.stdout).unwrap();
        let schema: Value = serde_json::from_str(include_str!("schemas/codequality.json")).unwrap();
        assert_eq!(violations(&schema, &issues), Vec::<String>::new());
        assert_eq!(issues.as_array().unwrap().is_empty(), status == 0, "{issues}");
    }
}

#[test]
fn no_verdict_is_an_error_of_the_test_and_no_empty_list() {
    let asked = |format: &str| {
        repro(&["verify", "--format", format, "--sde", "0", "/nonexistent/image.tar", env!("CARGO_MANIFEST_DIR")])
    };
    let tested = asked("junit");
    assert_eq!(tested.status.code(), Some(4), "{}", said(&tested));
    assert_eq!(xpath(&tested.stdout, "/testsuites/@errors"), "1");
    assert!(xpath(&tested.stdout, "//error/@message").contains("/nonexistent/image.tar"), "{}", said(&tested));
    let parse = |listed: Output| -> Value {
        assert_eq!(listed.status.code(), Some(4), "{}", said(&listed));
        serde_json::from_slice(&listed.stdout).unwrap()
    };
    let issues = parse(asked("codequality"));
    let schema: Value = serde_json::from_str(include_str!("schemas/codequality.json")).unwrap();
    assert_eq!(violations(&schema, &issues), Vec::<String>::new());
    let (issue, place) = (&issues[0], &issues[0]["location"]);
    assert_eq!((&issue["check_name"], &place["path"]), (&"verify/unknown".into(), &"Dockerfile".into()));
    assert_eq!(place["lines"]["begin"], 1);
    let log = parse(asked("sarif"));
    let result = &log["runs"][0]["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&"verify/unknown".into(), &"warning".into()));
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!((&place["artifactLocation"]["uri"], &place["region"]["startLine"]), (&"Dockerfile".into(), &1.into()));
    for text in [&issue["description"], &result["message"]["text"]] {
        assert!(text.as_str().unwrap().contains("/nonexistent/image.tar"), "{text}");
    }
}
