//! What the README and the tutorial show is what happens: each block of `console` is run, and its output compared.
//!
//! Blocks of `console buildkit` build for real, in the laboratory's environment (`eval "$(tests/lab/lab env)"`), unless
//! `REPRO_TEST_ENGINES` leaves the runtime `buildkitd` out. `[..]` in the README stands for anything. In the tutorial the blocks
//! come one after the other, and a block of `dockerfile PATH` is what the file holds from there on; its digests and times are
//! those of another day.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// The archive of `examples/hello` with `--sde 0` by BuildKit v0.19.0.
const HELLO: &str = "tests/cmd/analyze.in/image.tar";
/// Where the README says that it is.
const PLACE: &str = "/src/repro";

#[test]
fn the_readme_without_a_builder() {
    let sandbox = sandbox();
    fs::copy(root().join(HELLO), sandbox.path().join("image.tar")).unwrap();
    let commands = commands("console");
    assert!(commands.len() >= 3, "the README's blocks are not found: {}", commands.len());
    for command in commands {
        command.check(sandbox.path());
    }
}

#[test]
fn the_readme_with_buildkit() {
    if !has_buildkit("the builds of the README") {
        return;
    }
    let sandbox = sandbox();
    let commands = commands("console buildkit");
    assert!(commands.len() >= 3, "the README's blocks are not found: {}", commands.len());
    for command in commands {
        command.check(sandbox.path());
        // Every build in it is the same one, and what the other tests read is what it gives.
        let (built, kept) =
            (fs::read(sandbox.path().join("image.tar")).unwrap(), fs::read(root().join(HELLO)).unwrap());
        assert!(built == kept, "`{}` gave another archive than {HELLO}", command.line);
    }
}

#[test]
fn the_tutorial() {
    if !has_buildkit("the tutorial") {
        return;
    }
    let text = fs::read_to_string(root().join("docs/tutorial.md")).unwrap();
    let sandbox = tempfile::tempdir().unwrap();
    let blocks = blocks(&text);
    assert!(blocks.len() >= 8, "the tutorial's blocks are not found: {}", blocks.len());
    for (info, lines) in blocks {
        if let Some(file) = info.strip_prefix("dockerfile ") {
            fs::write(sandbox.path().join(file), lines.join("\n") + "\n").unwrap();
        }
        if info.starts_with("console") {
            for command in shown(&lines) {
                command.check_masked(sandbox.path());
            }
        }
    }
}

/// Whether the builds of a document are to be made; what is left out is said.
fn has_buildkit(what: &str) -> bool {
    let asked = std::env::var("REPRO_TEST_ENGINES").unwrap_or_default();
    if !asked.is_empty() && !asked.split([',', ' ']).any(|way| way == "buildkitd") {
        // Not with println!, which a test that passes keeps to itself.
        let mut out = std::io::stderr();
        writeln!(out, "left out: {what}, by REPRO_TEST_ENGINES").unwrap();
        return false;
    }
    assert!(
        std::env::var("REPRO_BUILDKIT_IMAGE").is_ok(),
        "the laboratory is not there: `make test`, or `tests/lab/lab up` and `eval \"$(tests/lab/lab env)\"`; \
         REPRO_TEST_ENGINES=none leaves this out by name"
    );
    true
}

#[test]
fn the_example_is_made_from_its_source() {
    let directory = tempfile::tempdir().unwrap();
    let script = "as \"$1\"/hello.s -o hello.o && ld --oformat binary -Ttext=0x400000 hello.o -o hello";
    let example = root().join("examples/hello");
    let made =
        Command::new("sh").args(["-c", script, "sh"]).arg(&example).current_dir(directory.path()).status().unwrap();
    assert!(made.success(), "`as` and `ld` (binutils) are needed");
    assert!(fs::read(directory.path().join("hello")).unwrap() == fs::read(example.join("hello")).unwrap());
}

struct Shown {
    line: String,
    output: String,
}

impl Shown {
    /// Runs it in `directory`; stderr counts only where it fails, for BuildKit tells its progress there.
    fn check(&self, directory: &Path) {
        snapbox::assert_data_eq!(self.run(directory), self.output.clone());
    }

    /// The same for what is another digest, time or place in each run.
    fn check_masked(&self, directory: &Path) {
        let moving = r"[0-9a-f]{64}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|byte that differs is number \d+";
        let moving = regex::Regex::new(moving).unwrap();
        let masked = |text: &str| moving.replace_all(text, "…").into_owned();
        snapbox::assert_data_eq!(masked(&self.run(directory)), masked(&self.output));
    }

    fn run(&self, directory: &Path) -> String {
        let program = Path::new(env!("CARGO_BIN_EXE_repro")).parent().unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path =
            std::env::join_paths(std::iter::once(program.to_owned()).chain(std::env::split_paths(&path))).unwrap();
        let run = Command::new("bash")
            .args(["-o", "pipefail", "-c", &self.line])
            .current_dir(directory)
            .env("PATH", path)
            .env("HOME", directory.join("home"))
            .env_remove("SOURCE_DATE_EPOCH")
            .env_remove("REPRO_SOURCE_DATE_EPOCH")
            .env_remove("REPRO_DATETIME")
            .env_remove("REPRO_RUNTIME")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_STATE_HOME")
            .output()
            .unwrap();
        let mut said = String::from_utf8_lossy(&run.stdout).into_owned();
        let shows_error = self.output.contains("error: ");
        let shows_failure =
            shows_error || ["Not reproducible", "Different"].iter().any(|verdict| self.output.starts_with(verdict));
        let stderr = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.success(), !shows_failure, "`{}`: {}\n{said}{stderr}", self.line, run.status);
        if shows_error {
            said.push_str(&stderr);
        }
        as_elsewhere(&said, directory)
    }
}

/// What differs by where it runs: the directory, and the laboratory's own image of the same BuildKit.
fn as_elsewhere(said: &str, directory: &Path) -> String {
    let said = said.replace(directory.canonicalize().unwrap().to_str().unwrap(), PLACE);
    let official = repro::pin::Pin::default_for(repro::pin::Variant::Plain).digest.to_string();
    let used = std::env::var("REPRO_BUILDKIT_IMAGE")
        .ok()
        .and_then(|image| image.split_once('@').map(|(_, digest)| digest.to_owned()));
    used.map_or(said.clone(), |used| said.replace(&used, &official))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sandbox() -> TempDir {
    let sandbox = tempfile::tempdir().unwrap();
    symlink(root().join("examples"), sandbox.path().join("examples")).unwrap();
    sandbox
}

/// The commands of all blocks of the README that begin with exactly these words.
fn commands(info: &str) -> Vec<Shown> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = blocks(&readme).into_iter().filter(|(words, _)| *words == info);
    blocks.flat_map(|(_, lines)| shown(&lines)).collect()
}

/// Each block of a document: the words that it begins with, and its lines.
fn blocks(document: &str) -> Vec<(&str, Vec<&str>)> {
    let (mut blocks, mut inside): (Vec<(&str, Vec<&str>)>, bool) = (Vec::new(), false);
    for line in document.lines() {
        if let Some(words) = line.strip_prefix("```") {
            inside = !inside;
            if inside {
                blocks.push((words, Vec::new()));
            }
        } else if let (true, Some((_, lines))) = (inside, blocks.last_mut()) {
            lines.push(line);
        }
    }
    blocks
}

/// The commands of a block, each with the lines below it.
fn shown(lines: &[&str]) -> Vec<Shown> {
    let mut commands: Vec<Shown> = Vec::new();
    for line in lines {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push(Shown { line: command.to_owned(), output: String::new() });
        } else if let Some(command) = commands.last_mut() {
            command.output.push_str(line);
            command.output.push('\n');
        }
    }
    commands
}
