//! Where the results of a build may go, as far as it is told before any engine is asked.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

fn repro(root: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
    command.current_dir(root).args(["build", "--sde", "0"]).args(arguments);
    command.env("XDG_STATE_HOME", root.join("state")).env("XDG_CACHE_HOME", root.join("cache"));
    command
}

fn site() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("context")).unwrap();
    fs::write(root.path().join("context/Dockerfile"), "FROM scratch\nCOPY . /\n").unwrap();
    root
}

fn refused(output: &Output, why: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && stderr.contains(why), "{why}: {stderr}");
}

#[test]
fn nothing_that_a_build_reads_is_its_output() {
    let root = site();
    let context = root.path().join("context");
    fs::write(root.path().join("secret"), "s").unwrap();
    for ignore_file in [".dockerignore", "Dockerfile.dockerignore"] {
        fs::write(context.join(ignore_file), "").unwrap();
    }
    symlink("context", root.path().join("link")).unwrap();
    symlink("context/Dockerfile", root.path().join("other.Dockerfile")).unwrap();
    for (arguments, why) in [
        (["--output", "link/Dockerfile", "context"].as_slice(), "is the Dockerfile"),
        (&["--metadata-file", "context/Dockerfile", "context"], "is the Dockerfile"),
        (&["--file", "other.Dockerfile", "--output", "context/Dockerfile", "context"], "is the Dockerfile"),
        (&["--output", "context/.dockerignore", "link"], "ignore file"),
        (&["--output", "context/Dockerfile.dockerignore", "context"], "ignore file"),
        (&["--output", "secret", "--secret", "id=s,src=context/../secret", "context"], "is what the build reads"),
        (&["--output", "x", "--metadata-file", "context/../x", "context"], "is the archive"),
    ] {
        refused(&repro(root.path(), arguments).output().unwrap(), why);
        let mut dry = repro(root.path(), arguments);
        let why = if arguments.contains(&"--metadata-file") { "cannot be used with '--dry'" } else { why };
        refused(&dry.arg("--dry").output().unwrap(), why);
    }
    assert!(context.join("Dockerfile").exists() && context.join(".dockerignore").exists());
}

#[test]
fn a_redirection_into_the_context_is_no_way_around_that() {
    let root = site();
    let file = File::create(root.path().join("context/image.tar")).unwrap();
    let output = repro(root.path(), &["--output", "-", "context"]).stdout(file).output().unwrap();
    refused(&output, "which lies in the build context");
}
