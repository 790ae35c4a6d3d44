//! The dry run: a script that does what a run does, and tells no secret.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::harness::{Bench, Way, base, every_way, said, ways, words};

/// Defect 26 of upstream.
#[test]
fn the_script_gives_the_digest_of_the_run() {
    for way in every_way() {
        let bench = Bench::shared("dry run, odd 'path'", *way);
        let context = bench.context(
            "con text",
            &[
                ("f", "x"),
                ("Dockerfile", "ARG BASE\nFROM $BASE\nCOPY f /\nRUN --mount=type=secret,id=s cp /run/secrets/s /s\n"),
            ],
        );
        let secret = bench.context("secrets", &[("s", "swordfish")]).join("s");
        fs::set_permissions(context.join("f"), Permissions::from_mode(0o664)).unwrap();
        let mut arguments = base();
        arguments.extend(words(&["--sde", "1700000000", "--label", "a=b 'c'", "--context-modes", "git", "--secret"]));
        arguments.push(format!("id=s,\"src={}\"", secret.display()).into());
        let expected = bench.build(*way, &bench.output(*way, "run.tar"), &arguments, &context);

        arguments.push("--dry".into());
        // In a directory that has to be made, as a run makes it.
        let output = bench.output(*way, "new").join("script.tar");
        let dry = bench.try_build(*way, &output, &arguments, &context);
        assert!(dry.status.success(), "{}", said(&dry));
        assert!(!output.exists(), "a dry run builds nothing");
        assert!(!String::from_utf8_lossy(&dry.stdout).contains("swordfish"));
        let script = bench.output(*way, "script.sh");
        fs::write(&script, &dry.stdout).unwrap();
        crate::harness::open_to_all(&script, 0o644);
        // Twice: nothing in it belongs to one run.
        for _ in 0..2 {
            let ran = bench.program(*way, Path::new("sh")).arg(&script).output().unwrap();
            assert!(ran.status.success(), "{}: {}\n{}", way.name(), said(&ran), String::from_utf8_lossy(&dry.stdout));
            let analyzed = bench
                .repro(*way)
                .arg("analyze")
                .arg(&output)
                .args(["--expected-image-digest", expected.digest()])
                .output()
                .unwrap();
            assert!(analyzed.status.success(), "{}: {}", way.name(), said(&analyzed));
        }
    }
}

/// Defect 24 of upstream.
#[test]
fn a_dry_run_names_secrets_of_the_environment_and_does_not_tell_them() {
    for way in every_way() {
        let bench = Bench::shared("dry secret", *way);
        let files =
            [("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n"), ("repro.toml", "metadata-file = 'out.json'\n")];
        let context = bench.context("context", &files);
        let mut command = bench.repro(*way);
        command.env("TOKEN", "swordfish").args(bench.arguments(*way));
        let dry = command.args(["--sde", "0", "--secret", "id=t,env=TOKEN", "--dry"]).arg(&context).output().unwrap();
        assert!(dry.status.success(), "{}", said(&dry));
        let warning = String::from_utf8_lossy(&dry.stderr).contains("the script does not write");
        assert!(warning, "{}: a key that has no effect is told: {}", way.name(), said(&dry));
        let script = String::from_utf8(dry.stdout).unwrap();
        assert!(script.contains("env=TOKEN") && !script.contains("swordfish"), "{script}");
    }
}

#[test]
fn the_script_leaves_no_lock_behind() {
    for way in ways().iter().filter(|way| **way != Way::Docker) {
        let bench = Bench::alone("dry lock");
        let context = bench.context("context", &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
        let output = bench.output(*way, "image.tar");
        let dry = bench.try_build(*way, &output, &words(&["--sde", "0", "--dry"]), &context);
        let script = bench.output(*way, "script.sh");
        fs::write(&script, &dry.stdout).unwrap();
        crate::harness::open_to_all(&script, 0o644);
        let ran = bench.program(*way, Path::new("sh")).arg(&script).output().unwrap();
        assert!(ran.status.success(), "{}: {}", way.name(), said(&ran));
        let locks: Vec<_> = fs::read_dir(bench.state(*way).join("locks")).unwrap().flatten().collect();
        assert!(!locks.is_empty(), "{}", way.name());
        for lock in locks {
            let free = Command::new("flock").arg("--nonblock").arg(lock.path()).arg("true").status().unwrap();
            assert!(free.success(), "{}: {} is held after the script ended", way.name(), lock.path().display());
        }
    }
}
