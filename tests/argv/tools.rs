//! The programs of the laboratory that read argument vectors as the real tools do.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

/// The tools, each a child that answers one line for each line.
pub struct Tools {
    /// buildx and Podman.
    pub buildx: Tool,
    pub buildctl: Vec<(&'static str, Tool)>,
}

impl Tools {
    /// Nothing where `REPRO_TEST_ENGINES` leaves the laboratory out, which is printed.
    pub fn start() -> Option<Self> {
        if std::env::var("REPRO_TEST_ENGINES").is_ok_and(|ways| ways == "none") {
            // Not with println!, which a test that passes keeps to itself.
            writeln!(io::stderr().lock(), "left out: the parsers of the real tools, by REPRO_TEST_ENGINES").unwrap();
            return None;
        }
        Some(Self {
            buildx: Tool::start("LAB_ARGV_BUILDX"),
            buildctl: vec![
                ("buildctl v0.19.0", Tool::start("LAB_ARGV_BUILDCTL_V0_19_0")),
                ("buildctl v0.31.1", Tool::start("LAB_ARGV_BUILDCTL_V0_31_1")),
            ],
        })
    }
}

pub struct Tool {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Line {
    values: Option<Vec<(String, String)>>,
    error: String,
}

/// What a tool understood, by names.
#[derive(Debug)]
pub struct Answer(BTreeMap<Vec<u8>, Vec<u8>>);

impl Tool {
    fn start(variable: &str) -> Self {
        let program = std::env::var_os(variable).unwrap_or_else(|| {
            panic!(
                "the laboratory is not there: {variable} is not set. Run `make test`, or `tests/lab/lab up` and \
                 `eval \"$(tests/lab/lab env)\"`; REPRO_TEST_ENGINES=none leaves these tests out by name"
            )
        });
        let mut command = Command::new(program);
        command.env_clear().env("SECRET", "swordfish").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    /// An error where the tool refuses the words: then they should have been refused before.
    pub fn ask(&mut self, words: &[OsString]) -> Result<Answer, String> {
        let encoded: Vec<String> = words.iter().map(|word| BASE64_STANDARD.encode(word.as_bytes())).collect();
        let mut line = serde_json::to_vec(&encoded).unwrap();
        line.push(b'\n');
        self.stdin.as_mut().unwrap().write_all(&line).unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let answer: Line = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}`"));
        if !answer.error.is_empty() {
            return Err(format!("refused only by the tool: {}\n{words:?}", answer.error));
        }
        let decode = |text: &str| BASE64_STANDARD.decode(text).unwrap();
        let values = answer.values.unwrap_or_default();
        Ok(Answer(values.iter().map(|(name, value)| (decode(name), decode(value))).collect()))
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

impl Answer {
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    pub fn has(&self, tool: &str, name: &str, value: &OsStr) -> Result<(), String> {
        let found = self.value(name.as_bytes()).map(OsStr::from_bytes);
        let expected = Some(value).filter(|value| !value.is_empty() || found.is_some());
        if found == expected { Ok(()) } else { Err(format!("{tool}: `{name}` is {found:?} instead of {value:?}")) }
    }

    /// All that has a name with one of these beginnings, and nothing else.
    pub fn compare(
        &self,
        tool: &str,
        expected: &BTreeMap<Vec<u8>, Vec<u8>>,
        beginnings: &[&[u8]],
    ) -> Result<(), String> {
        let named = |name: &[u8]| beginnings.iter().any(|beginning| name.starts_with(beginning));
        let found: BTreeMap<_, _> = self.0.iter().filter(|(name, _)| named(name)).collect();
        let expected: BTreeMap<_, _> = expected.iter().filter(|(name, _)| named(name)).collect();
        if found == expected {
            return Ok(());
        }
        let show = |map: &BTreeMap<&Vec<u8>, &Vec<u8>>, other: &BTreeMap<&Vec<u8>, &Vec<u8>>| {
            let only = map.iter().filter(|(name, value)| other.get(*name) != Some(*value));
            only.map(|(name, value)| format!("{:?} = {:?}", OsStr::from_bytes(name), OsStr::from_bytes(value)))
                .collect::<Vec<_>>()
        };
        Err(format!("{tool} understood {:#?} instead of {:#?}", show(&found, &expected), show(&expected, &found)))
    }
}

/// The words of the build in a script of `repro`, as the shell reads them.
pub fn solve_words(script: &[u8]) -> Vec<OsString> {
    let (start, end) = (b"\nsolve() { exec ".as_slice(), b"; }\ndiscard() { ".as_slice());
    let find = |needle: &[u8]| script.windows(needle.len()).position(|window| window == needle).unwrap();
    let mut text = b"say() { for word; do printf '%s\\0' \"$word\"; done; }\nsay ".to_vec();
    text.extend_from_slice(&script[find(start) + start.len()..find(end)]);
    let said = Command::new("/bin/sh").arg("-c").arg(OsString::from_vec(text)).output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
    let words = said.stdout.strip_suffix(b"\0").unwrap();
    words.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect()
}
