//! `repro doctor`: tells what works, changes nothing.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Bench, Way, said, ways};
use crate::support::schema;

const SCHEMA: &str = include_str!("../../docs/schema/doctor.v1.json");

#[test]
fn what_works_is_told_and_what_does_not_with_a_hint() {
    for way in ways() {
        let bench = Bench::alone("doctor");
        let examined = |command: &mut std::process::Command| {
            let output = command.output().unwrap();
            let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
            let violations = schema::violations(&serde_json::from_str(SCHEMA).unwrap(), &report);
            assert!(violations.is_empty(), "{violations:?}");
            for finding in report["findings"].as_array().unwrap() {
                assert!(finding["health"] == "ok" || finding["hint"].is_string(), "{finding} has no hint");
            }
            (output.status.code(), report)
        };
        let (status, report) = examined(bench.repro(*way).args(["doctor", "--format", "json"]));
        assert_eq!(status, Some(0), "{}: {report:#}", way.name());
        assert!(report["runtimes"].as_array().unwrap().contains(&way.runtime().into()), "{}: {report:#}", way.name());
        assert!(!bench.state(*way).exists(), "{}: it makes nothing", way.name());

        // Without any tool nothing works.
        let mut bare = bench.program(*way, Path::new("/usr/bin/env"));
        bare.arg("PATH=/nonexistent").arg(bench.home().join("repro")).args(["doctor", "--format", "json"]);
        let (status, report) = examined(&mut bare);
        assert_eq!(status, Some(4), "{}: {report:#}", way.name());
        assert_eq!(report["runtimes"], serde_json::json!([]), "{}: {report:#}", way.name());
    }
    if ways().contains(&Way::Docker) {
        // A socket that takes connections and never answers.
        let bench = Bench::alone("doctor hangs");
        let socket = bench.temporary().join("silent.sock");
        let listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let mut command = bench.repro(Way::Docker);
        let text = command.env("DOCKER_HOST", format!("unix://{}", socket.display())).arg("doctor").output().unwrap();
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(text.contains("gave no answer within 10 s") && text.contains("hint: start the daemon"), "{text}");
        drop(listening);
    }
}
