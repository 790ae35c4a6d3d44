//! What other tools say to archives with one fault each, the ones of `tests/image_mutations.rs`.
//!
//! `make peers` runs it. A tool that cannot read the archive without the fault either is not held to see the fault: not every
//! tool reads every form.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use repro::digest::Digest;

use crate::harness::lab;
use crate::support::mutations::mutations;

/// A tool, and how it is asked about an archive.
struct Tool {
    name: String,
    ask: Box<dyn Fn(&Path) -> bool>,
}

/// What a tool says to an archive with a fault.
#[derive(Clone, Copy, PartialEq)]
enum Said {
    Refused,
    Passed,
    /// It does not read the archive without the fault.
    Unable,
}

impl Said {
    const fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Passed => "passed",
            Self::Unable => "-",
        }
    }
}

fn run(program: impl AsRef<Path>, arguments: &[&str], archive: &str) -> Output {
    let archive = arguments.iter().map(|argument| argument.replace("ARCHIVE", archive));
    let program = program.as_ref();
    Command::new(program).args(archive).output().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// Asks by one command, with the archive in the place of the word `ARCHIVE`.
fn tool(name: &str, program: impl Into<PathBuf>, arguments: &'static [&'static str]) -> Tool {
    let program = program.into();
    let ask = move |archive: &Path| run(&program, arguments, archive.to_str().unwrap()).status.success();
    Tool { name: name.to_owned(), ask: Box::new(ask) }
}

/// `docker load`, with what it loaded removed again.
fn docker() -> Tool {
    let ask = |archive: &Path| {
        let output = run("docker", &["load", "--quiet", "--input", "ARCHIVE"], archive.to_str().unwrap());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        for line in said.lines() {
            let loaded = line.strip_prefix("Loaded image: ").or_else(|| line.strip_prefix("Loaded image ID: "));
            if let Some(image) = loaded {
                run("docker", &["image", "rm", "--force", "ARCHIVE"], image);
            }
        }
        output.status.success() && said.contains("Loaded image")
    };
    Tool { name: "docker load".to_owned(), ask: Box::new(ask) }
}

/// `skopeo copy` into a directory, which reads every blob.
fn skopeo(target: PathBuf) -> Tool {
    let ask = move |archive: &Path| {
        let _ = fs::remove_dir_all(&target);
        let arguments = ["copy", "--quiet", "--insecure-policy"];
        let source = format!("oci-archive:{}", archive.display());
        let target = format!("dir:{}", target.display());
        let output = Command::new("skopeo").args(arguments).args([source, target]).output();
        output.unwrap_or_else(|error| panic!("skopeo: {error}")).status.success()
    };
    Tool { name: "skopeo copy".to_owned(), ask: Box::new(ask) }
}

fn tools(directory: &Path) -> Vec<Tool> {
    let upstream = format!("repro-build {}", lab("UPSTREAM_RELEASE"));
    let mut tools = vec![
        tool("repro", env!("CARGO_BIN_EXE_repro"), &["analyze", "ARCHIVE"]),
        tool(&upstream, lab("UPSTREAM"), &["analyze", "ARCHIVE"]),
    ];
    if Command::new("crane").arg("version").output().is_ok_and(|output| output.status.success()) {
        tools.push(tool("crane validate", "crane", &["validate", "--tarball", "ARCHIVE"]));
    } else {
        println!("left out: crane is not installed");
    }
    tools.push(skopeo(directory.join("skopeo")));
    tools.push(docker());
    tools
}

#[test]
#[ignore = "`make peers` runs it: it needs upstream's release"]
fn archives() {
    let directory = tempfile::tempdir().unwrap();
    let tools = tools(directory.path());
    let file = directory.path().join("archive.tar");
    let mut takes_sound: BTreeMap<(usize, Digest), bool> = BTreeMap::new();
    let mut counts = vec![[0; 3]; tools.len()];
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    println!("  {:<55} {}", "archive with one fault", names.join("  "));
    let mutations = mutations();
    for mutation in &mutations {
        let mut row = format!("  {:<55}", mutation.name.escape_debug().to_string());
        for (at, tool) in tools.iter().enumerate() {
            let ask = |bytes: &[u8]| {
                fs::write(&file, bytes).unwrap();
                (tool.ask)(&file)
            };
            let key = (at, Digest::of(&mutation.sound));
            let takes_sound = *takes_sound.entry(key).or_insert_with(|| ask(&mutation.sound));
            let said = match takes_sound && ask(&mutation.broken) {
                true => Said::Passed,
                false if takes_sound => Said::Refused,
                false => Said::Unable,
            };
            counts[at][said as usize] += 1;
            row = format!("{row} {:<width$}", said.word(), width = tool.name.len() + 1);
        }
        println!("{}", row.trim_end());
    }
    for (tool, [refused, passed, unable]) in tools.iter().zip(&counts) {
        println!(
            "{}: {refused} of {} refused, {passed} passed, {unable} in a form that it does not read",
            tool.name,
            mutations.len()
        );
    }
    assert_eq!(counts[0], [mutations.len(), 0, 0], "`repro` has to refuse all of them, and none without the fault");
}
