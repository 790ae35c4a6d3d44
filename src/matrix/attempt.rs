//! One try to build a cell: this very program, as a user would call it, in a process of its own.
//!
//! A process, so that nothing that happens to one cell reaches another; and the command line is what anyone repeats by hand.
//! See `docs/decisions/010-a-cell-is-a-process.md`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::cell::Cell;
use super::file::Matrix;
use super::schedule::Place;
use crate::digest::Digest;
use crate::environment::Environment;
use crate::failure::{ExitStatus, chain};
use crate::image::escape::escape;
use crate::limits;
use crate::plan::Platform;
use crate::runtime::command::{CommandError, ToolCommand};
use crate::runtime::interrupt::Interrupt;
use crate::runtime::steps::joined;

/// Variables that say what a matrix says itself.
const DECIDED: [&str; 9] = [
    "REPRO_RUNTIME",
    "REPRO_DATETIME",
    "REPRO_SOURCE_DATE_EPOCH",
    "REPRO_CACHE",
    "REPRO_BUILDKIT_IMAGE",
    "REPRO_ROOTLESS",
    "REPRO_ADDR",
    "REPRO_ADDR_TLS",
    "SOURCE_DATE_EPOCH",
];

/// This program, to be called for parts of a run.
#[derive(Clone)]
pub struct Program {
    command: ToolCommand,
    directory: PathBuf,
    environment: Environment,
}

impl Program {
    /// The program at a path, called in a directory, with all of an environment but what the matrix decides.
    #[must_use]
    pub fn new(path: &Path, directory: &Path, environment: &Environment) -> Self {
        let environment = Self::environment(environment);
        let names: Vec<&str> = environment.iter().filter_map(|(name, _)| name.to_str()).collect();
        let command = ToolCommand::new(path, &names);
        Self { command, directory: directory.to_owned(), environment: environment.clone() }
    }

    /// What of an environment counts for the builds of a matrix. Switches of a `repro.toml` that are axes here are off, but where a
    /// cell has them on.
    #[must_use]
    pub fn environment(environment: &Environment) -> Environment {
        let kept = environment.iter().filter(|(name, _)| !DECIDED.iter().any(|decided| name == decided));
        let mut kept: Environment = kept.collect();
        kept.set("REPRO_ROOTLESS", "false");
        kept.set("REPRO_CACHE", "true");
        kept
    }

    /// The environment that it is called in.
    #[must_use]
    pub const fn sees(&self) -> &Environment {
        &self.environment
    }

    /// Calls it.
    pub async fn call(
        &self,
        words: impl IntoIterator<Item = OsString>,
        interrupt: &Interrupt,
        limit: Duration,
    ) -> Result<Output, CommandError> {
        let command = self.command.clone().args(words);
        let kept = limits::REPORT_BYTES;
        command.run_in((&self.directory, kept), &self.environment, interrupt, limit).await
    }
}

/// What a try came to.
#[derive(Debug)]
pub enum Tried {
    /// There is a digest.
    Built(Built),
    /// The build itself failed.
    Failed(Reason),
    /// It could not be tried to its end.
    Missing(Reason),
    /// It was stopped.
    Stopped,
}

/// Why there is no digest.
#[derive(Debug)]
pub struct Reason {
    /// In one line.
    pub why: String,
    /// Whether the network or a daemon fell away, so that another try may go better.
    pub passes: bool,
    /// Whether it took longer than it may.
    pub timed_out: bool,
    /// All that was said.
    pub log: Vec<u8>,
}

impl Reason {
    /// A reason that another try would not change.
    #[must_use]
    pub fn new(why: &str) -> Self {
        Self { why: cut(why), passes: false, timed_out: false, log: Vec::new() }
    }
}

/// What was built.
#[derive(Debug)]
pub struct Built {
    /// The digest.
    pub digest: Digest,
    /// What it was built from.
    pub materials: Vec<String>,
    /// Whether nothing but the version of its BuildKit is proved.
    pub unproved: bool,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// The flags that say where a cell is built.
#[must_use]
pub fn flags_at(matrix: &Matrix, cell: &Cell, place: &Place) -> Vec<OsString> {
    let mut flags: Vec<OsString> = matrix.flags_of(cell).into_iter().map(OsString::from).collect();
    if let Place::At(address) = place {
        flags.extend(matrix.fleet.flags_of(address));
    }
    flags
}

/// Builds a cell. `stem` is a path without ending, for an archive and what is told of it.
pub async fn build(
    program: &Program,
    flags: Vec<OsString>,
    context: &Path,
    stem: &Path,
    limit: Duration,
    interrupt: &Interrupt,
) -> Tried {
    let metadata = stem.with_extension("json");
    let mut words: Vec<OsString> = vec!["build".into()];
    words.extend(flags);
    words.extend([joined("--output", stem.with_extension("tar")), joined("--metadata-file", &metadata)]);
    words.extend(["--quiet".into(), "--".into(), context.into()]);
    let foreign = is_foreign(&words);
    let began = Instant::now();
    let result = program.call(words, interrupt, limit).await;
    let seconds = began.elapsed().as_secs_f64();
    match judge(result, limit, foreign) {
        Ok(_) => read_metadata(&metadata, seconds),
        Err(tried) => tried,
    }
}

/// Builds what an earlier run gave again, from the commit that it was built from.
pub async fn build_again(
    program: &Program,
    flags: Vec<OsString>,
    (context, commit, digest): (&Path, &str, &str),
    limit: Duration,
    interrupt: &Interrupt,
) -> Tried {
    let mut words: Vec<OsString> = vec!["verify".into(), "--format=json".into(), "--quiet".into()];
    // It imports and exports nothing, whatever the source's words are.
    let is_of_cache = |flag: &OsString| ["--cache-from=", "--cache-to="].iter().any(|name| starts_with(flag, name));
    words.extend(flags.into_iter().filter(|flag| !is_of_cache(flag)));
    words.extend(["--accept-unproved-pin".into(), format!("--ref={commit}").into()]);
    words.extend(["--".into(), digest.into(), context.into()]);
    let foreign = is_foreign(&words);
    let began = Instant::now();
    let result = program.call(words, interrupt, limit).await;
    let seconds = began.elapsed().as_secs_f64();
    // Another digest is a result, and so is one that verify does not dare to judge.
    let rebuilt = result.as_ref().ok().and_then(|output| {
        let report: Verified = serde_json::from_slice(&output.stdout).ok()?;
        report.rebuilt
    });
    if let Some(rebuilt) = rebuilt {
        let unproved = rebuilt.pin == "unproved";
        let materials = lines_of(&rebuilt.materials);
        return Tried::Built(Built { digest: rebuilt.digest, materials, unproved, seconds });
    }
    match judge(result, limit, foreign) {
        Ok(output) => missing("verify says nothing of what it built", output.stderr),
        Err(tried) => tried,
    }
}

fn starts_with(flag: &OsStr, name: &str) -> bool {
    flag.as_encoded_bytes().starts_with(name.as_bytes())
}

#[derive(Deserialize)]
struct Verified {
    rebuilt: Option<Rebuilt>,
}

#[derive(Deserialize)]
struct Rebuilt {
    digest: Digest,
    pin: String,
    materials: Vec<Material>,
}

#[derive(Deserialize)]
struct Metadata {
    image_digest: Digest,
    built_with: BuiltWith,
    materials: Vec<Material>,
}

#[derive(Deserialize)]
struct BuiltWith {
    pin: String,
}

#[derive(Deserialize)]
struct Material {
    uri: String,
    digest: BTreeMap<String, String>,
}

/// Materials, as a history has them.
fn lines_of(materials: &[Material]) -> Vec<String> {
    let line = |material: &Material| {
        let digests: Vec<String> = material.digest.iter().map(|(name, hex)| format!("{name}:{hex}")).collect();
        cut(&escape(&format!("{} {}", material.uri, digests.join(","))))
    };
    let mut lines: Vec<String> = materials.iter().map(line).collect();
    lines.sort();
    lines
}

fn read_metadata(path: &Path, seconds: f64) -> Tried {
    let read = fs::read(path).map_err(|error| error.to_string());
    let parsed = read.and_then(|bytes| serde_json::from_slice::<Metadata>(&bytes).map_err(|error| error.to_string()));
    let _ = fs::remove_file(path);
    match parsed {
        Ok(metadata) => {
            let materials = lines_of(&metadata.materials);
            let unproved = metadata.built_with.pin == "unproved";
            Tried::Built(Built { digest: metadata.image_digest, materials, unproved, seconds })
        }
        Err(error) => missing(&format!("what the build says of itself cannot be read: {error}"), Vec::new()),
    }
}

fn missing(why: &str, log: Vec<u8>) -> Tried {
    Tried::Missing(Reason { log, ..Reason::new(why) })
}

const INTERRUPTED: i32 = ExitStatus::Interrupted as i32;
const TERMINATED: i32 = ExitStatus::Terminated as i32;
const UNKNOWN: i32 = ExitStatus::Unknown as i32;

/// How the process ended, where that is no success.
fn judge(result: Result<Output, CommandError>, limit: Duration, foreign: bool) -> Result<Output, Tried> {
    let output = match result {
        Err(CommandError::Interrupted(_)) => return Err(Tried::Stopped),
        Err(CommandError::TimedOut { .. }) => {
            let why = format!("it took longer than {} s", limit.as_secs());
            return Err(Tried::Failed(Reason { timed_out: true, ..Reason::new(&why) }));
        }
        Err(error) => return Err(missing(&chain(&error), Vec::new())),
        Ok(output) if output.status.success() => return Ok(output),
        Ok(output) => output,
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let why = cut(&error_of(&said));
    // A program of another architecture, and nobody to run it.
    if foreign && said.lines().any(is_of_another_architecture) {
        let why = format!("programs of this platform do not run here: {why}");
        return Err(missing(&why, output.stderr));
    }
    let is_unreachable = is_unreachable(&why);
    let reason = Reason { why, passes: is_passing(&said), timed_out: false, log: output.stderr.clone() };
    Err(match (output.status.code(), output.status.signal()) {
        (Some(INTERRUPTED | TERMINATED), _) => Tried::Stopped,
        (Some(UNKNOWN), _) => Tried::Missing(reason),
        // What it is to be built from is out of reach: that is no fault of the build.
        (Some(_), _) if reason.passes && is_unreachable => Tried::Missing(reason),
        (Some(_), _) => Tried::Failed(reason),
        (None, signal) => {
            let why = format!("the build was killed (signal {})", signal.unwrap_or_default());
            Tried::Missing(Reason { why, passes: true, ..reason })
        }
    })
}

/// Whether a build is for another platform than this machine's.
fn is_foreign(words: &[OsString]) -> bool {
    let of = |word: &OsString| word.to_str()?.strip_prefix("--platform=").map(str::to_owned);
    words.iter().find_map(of).is_some_and(|platform| platform != Platform::of_this_machine().to_string())
}

/// Whether a line is what the kernel says where nobody runs such a program: the last words of a step, and no line of the Dockerfile,
/// which BuildKit quotes where a build fails.
fn is_of_another_architecture(line: &str) -> bool {
    let quoted =
        line.trim_start().split_once(" | ").is_some_and(|(number, _)| number.bytes().all(|b| b.is_ascii_digit()));
    !quoted && line.trim_end().ends_with(": exec format error") && line.contains("exec ")
}

/// Whether BuildKit itself could not ask a registry. What a program in a RUN says of its network is the build's.
fn is_unreachable(why: &str) -> bool {
    let asks = [
        "failed to resolve source metadata",
        "failed to do request",
        "failed to fetch anonymous token",
        "failed to authorize",
    ];
    asks.iter().any(|words| why.contains(words)) && !why.contains("did not complete successfully")
}

/// The one line that says what went wrong: the error, and what BuildKit says of the step that failed.
fn error_of(said: &str) -> String {
    let line = said.lines().rev().find_map(|line| line.strip_prefix("error: "));
    let last = || said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    let step = said.lines().find_map(|line| {
        let (number, why) = line.strip_prefix('#')?.split_once(" ERROR: ")?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then_some(why)
    });
    let line = match (line, step) {
        // The command that ended is the builder's, in a directory that is gone.
        (Some(line), Some(step)) if line.starts_with("the build failed") => format!("the build failed: {step}"),
        // What an engine says of itself.
        (Some(line), None) if line.contains("ended with exit status") => {
            let own = said.lines().rev().find(|line| line.starts_with("Error: "));
            own.map_or_else(|| line.to_owned(), |own| format!("{line}: {own}"))
        }
        (Some(line), _) => line.to_owned(),
        (None, _) => last().to_owned(),
    };
    escape(&line).into_owned()
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(limits::HISTORY_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// What networks, registries and daemons say when they fall away, in the words of Go's libraries, of apt and of curl.
const PASSING: [&str; 24] = [
    "connection refused",
    "connection reset by peer",
    "connection timed out",
    "could not resolve",
    "temporary failure resolving",
    "temporary failure in name resolution",
    "no such host",
    "network is unreachable",
    "no route to host",
    "i/o timeout",
    "tls handshake timeout",
    "context deadline exceeded",
    "unexpected eof",
    "error reading from server: eof",
    "code = unavailable",
    "broken pipe",
    "500 internal server error",
    "502 bad gateway",
    "503 service unavailable",
    "504 gateway time",
    "429 too many requests",
    "toomanyrequests",
    "connection failed",
    "does not answer",
];

fn is_passing(said: &str) -> bool {
    let end = said.char_indices().rev().nth(16 << 10).map_or(0, |(at, _)| at);
    let tail = said[end..].to_lowercase();
    PASSING.iter().any(|words| tail.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, said: &str) -> Tried {
        let status = std::process::ExitStatus::from_raw(code);
        let output = Output { status, stdout: Vec::new(), stderr: said.as_bytes().to_vec() };
        judge(Ok(output), Duration::from_secs(1), true).unwrap_err()
    }

    #[test]
    fn a_failure_is_the_builds_the_environments_or_the_networks() {
        let of = |code: i32, said: &str| match ended(code, said) {
            Tried::Failed(reason) => ("failed", reason.why, reason.passes),
            Tried::Missing(reason) => ("missing", reason.why, reason.passes),
            Tried::Stopped => ("stopped", String::new(), false),
            Tried::Built(_) => ("built", String::new(), false),
        };
        let exit = |code: i32| code << 8;
        let said = "#5 [2/2] RUN x\nerror: the build failed: no such file\n\nhint: look\n";
        assert_eq!(of(exit(3), said), ("failed", "the build failed: no such file".to_owned(), false));
        assert_eq!(of(exit(4), "error: no Docker daemon\n").0, "missing");
        let network = "E: Temporary failure resolving 'deb.example'\nerror: the build failed: exit 100\n";
        assert_eq!(of(exit(3), network), ("failed", "the build failed: exit 100".to_owned(), true));
        let emulated = of(exit(3), "exec /bin/sh: exec format error\nerror: the build failed\n");
        assert!(emulated.0 == "missing" && !emulated.2, "{emulated:?}");
        // A word is not what the kernel says.
        for said in [
            "   2 | >>> RUN exec /x: exec format error",
            "#5 0.1 exec format error",
            "#5 0.1 exec format error: exec y",
        ] {
            assert_eq!(of(exit(3), &format!("{said}\nerror: the build failed\n")).0, "failed", "{said}");
        }
        let registry = "#2 ERROR: x/y: failed to resolve source metadata for x/y: failed to do request: Head: dial tcp: connection refused\n";
        assert_eq!(of(exit(3), &format!("{registry}error: the build failed\n")).0, "missing");
        let step = "#2 ERROR: process \"echo failed to do request: connection refused\" did not complete successfully: exit code: 1\n";
        assert_eq!(of(exit(3), &format!("{step}error: the build failed\n")).0, "failed");
        assert_eq!(of(exit(143), "").0, "stopped");
        assert_eq!(of(9, ""), ("missing", "the build was killed (signal 9)".to_owned(), true));
        let step = "#5 ERROR: process \"false\" did not complete\n------\nerror: the build failed\n";
        assert_eq!(of(exit(3), step).1, "the build failed: process \"false\" did not complete");
        assert_eq!(of(exit(2), "error: a\u{1b}[2J\n").1, "a\\u{1b}[2J");
    }
}
