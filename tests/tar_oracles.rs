//! Entries of layers as other readers see them: Go's `archive/tar`, which every engine uses, Python's `tarfile` and GNU tar.
//!
//! Archives are made at random, of headers and extensions of every kind, some of them broken. What is accepted here has to be
//! accepted by Go, with the same entries; to the others it has to be the same where nothing in it is what readers differ on.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use repro::image::tar::{Entry, TarReader};
use serde_json::Value;

/// Archives that are tried; `PROPTEST_CASES` says more.
const CASES: u32 = 3_000;

fn cases() -> Vec<Vec<Block>> {
    let count = std::env::var("PROPTEST_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count).map(|_| archive().new_tree(&mut runner).unwrap().current()).collect()
}

/// A header with its data.
#[derive(Clone)]
struct Block {
    kind: u8,
    name: String,
    prefix: String,
    link: String,
    /// The field as it stands, and no number at times.
    mtime: Vec<u8>,
    data: Vec<u8>,
    magic: &'static [u8; 8],
    /// `tar\0` at the end of the block: star.
    is_star: bool,
    times: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, prefix, link, mtime, data, magic, is_star, times } = self;
        write!(f, "{} {name:?} prefix {prefix:?} link {link:?} mtime {}", kind.escape_ascii(), mtime.escape_ascii())?;
        write!(f, " magic {} star {is_star} data {}", magic.escape_ascii(), data.escape_ascii())?;
        times
            .iter()
            .try_for_each(|(atime, ctime)| write!(f, " atime {} ctime {}", atime.escape_ascii(), ctime.escape_ascii()))
    }
}

impl Block {
    fn write(&self, out: &mut Vec<u8>) {
        let mut block = [0_u8; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, self.name.as_bytes());
        put(100, b"0000644\x000000000\x000000000\x00");
        put(124, format!("{:011o}\0", self.data.len()).as_bytes());
        put(136, &self.mtime);
        put(156, &[self.kind]);
        put(157, self.link.as_bytes());
        put(257, self.magic);
        put(345, self.prefix.as_bytes());
        if let Some((atime, ctime)) = &self.times {
            let at = if self.is_star { 476 } else { 345 };
            put(at, atime);
            put(at + 12, ctime);
        }
        if self.is_star {
            put(508, b"tar\0");
        }
        put(148, b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend(block);
        out.extend(&self.data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
}

fn bytes_of(blocks: &[Block]) -> Vec<u8> {
    let mut out = Vec::new();
    for block in blocks {
        block.write(&mut out);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn archive() -> impl Strategy<Value = Vec<Block>> {
    prop::collection::vec(block(), 1..5)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-c]{1,3}(/[a-c]{1,3}){0,2}/?", 1 => Just(String::new()), 1 => "\\PC{1,20}", 1 => "(\\.\\./){0,2}x"]
}

fn number() -> impl Strategy<Value = Vec<u8>> {
    let octal = (0_u64..0o77_777_777_777).prop_map(|seconds| format!("{seconds:011o}\0").into_bytes());
    let binary = any::<i64>().prop_map(|seconds| {
        let fill = if seconds < 0 { 0xff } else { 0 };
        let mut field = vec![fill; 4];
        field.extend(seconds.to_be_bytes());
        field[0] |= 0x80;
        field
    });
    let odd = prop_oneof![
        Just(b"            ".to_vec()),
        Just(b" 123 \0      ".to_vec()),
        Just(b"\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
        Just(b"-0000000001\0".to_vec()),
        Just(b"99999999999\0".to_vec()),
        Just(b"0000001\x0099\0\0".to_vec()),
        Just(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
    ];
    prop_oneof![12 => octal, 2 => binary, 1 => odd]
}

fn record() -> impl Strategy<Value = Vec<u8>> {
    let time = prop_oneof![8 => "-?[0-9]{1,10}(\\.[0-9]{0,12})?", 1 => "[0-9.+-]{0,5}"];
    let text = |key: &'static str, value: BoxedStrategy<String>| value.prop_map(move |value| (key, value.into_bytes()));
    let pair = prop_oneof![
        4 => text("path", name().boxed()),
        2 => text("linkpath", name().boxed()),
        2 => text("mtime", time.clone().boxed()),
        1 => text("atime", time.clone().boxed()),
        1 => text("ctime", time.boxed()),
        1 => text("size", "[0-9]{0,2}".boxed()),
        1 => text("uid", "[+-]?[0-9]{0,3}x?".boxed()),
        1 => text("comment", "[a\n=]{0,8}".boxed()),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(|value| ("SCHILY.xattr.security.capability", value)),
        1 => text("GNU.sparse.name", name().boxed()),
        1 => text("GNU.sparse.major", "[012]?".boxed()),
        1 => text("GNU.sparse.minor", "[012]?".boxed()),
        1 => Just(("path", b"a\0b".to_vec())),
    ];
    pair.prop_map(|(key, value)| {
        let rest = key.len() + value.len() + 3;
        let length = (rest..=rest + 20).find(|length| length.to_string().len() + rest == *length).unwrap();
        [format!("{length} {key}=").as_bytes(), &value, b"\n"].concat()
    })
}

fn block() -> impl Strategy<Value = Block> {
    let records = || prop::collection::vec(record(), 0..4).prop_map(|records| records.concat());
    let data = prop_oneof![3 => Just(Vec::new()), 2 => prop::collection::vec(any::<u8>(), 0..700)];
    let long = prop_oneof![4 => "[a-d/]{90,130}\0", 1 => name()].prop_map(String::into_bytes);
    let kind_and_data = prop_oneof![
        10 => (prop::sample::select(vec![b'0', b'0', b'0', 0, b'5', b'1', b'2', b'7']), data).boxed(),
        6 => (Just(b'x'), records()).boxed(),
        1 => (Just(b'g'), records()).boxed(),
        2 => (prop::sample::select(b"LK".to_vec()), long).boxed(),
    ];
    let magic = prop::sample::select(vec![
        b"ustar\x0000",
        b"ustar  \0",
        b"ustar\x0000",
        b"ustar  \0",
        b"\0\0\0\0\0\0\0\0",
        b"ustar\0  ",
        b"ustar 00",
    ]);
    let prefix = prop_oneof![6 => Just(String::new()), 1 => "[a-d/]{1,130}"];
    let times = prop::option::weighted(0.2, (number(), number()));
    (kind_and_data, name(), prefix, name(), number(), magic, prop::bool::weighted(0.1), times).prop_map(
        |((kind, data), name, prefix, link, mtime, magic, is_star, times)| {
            let times = times.filter(|_| prefix.is_empty());
            Block { kind, name, prefix, link, mtime, data, magic, is_star, times }
        },
    )
}

/// The entries as they are read here, or why not.
fn ours(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let mut tar = TarReader::of_layer(bytes);
    let mut found = Vec::new();
    while let Some(entry) = tar.next_entry().map_err(|error| error.to_string())? {
        found.push(entry);
    }
    Ok(found)
}

/// What a program says to all archives, in the form of `tests/oracles/entries.go`.
fn ask(mut command: Command, archives: &[Vec<u8>]) -> Vec<Value> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            for archive in archives {
                stdin.write_all(&(archive.len() as u64).to_be_bytes()).unwrap();
                stdin.write_all(archive).unwrap();
            }
        });
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{command:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let said: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said.len(), archives.len());
    said
}

/// Whether a program is there. What is left out is said.
fn is_there(program: &str, argument: &str) -> bool {
    let is_there = Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success());
    if !is_there {
        // Not with println!, which a test that passes keeps to itself.
        writeln!(io::stderr().lock(), "left out: `{program}` is not installed, entries are not held against it")
            .unwrap();
    }
    is_there
}

fn oracle(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles").join(file)
}

fn text(entry: &Value, field: &str) -> Vec<u8> {
    hex::decode(entry[field].as_str().unwrap()).unwrap()
}

fn flag(entry: &Entry) -> u8 {
    if entry.flag == 0 { b'0' } else { entry.flag }
}

/// Entries that another reader gives, in a form that can be compared and shown.
fn entries(said: &Value) -> Option<&Vec<Value>> {
    if said["Error"] == "" { Some(said["Entries"].as_array().unwrap_or(const { &Vec::new() })) } else { None }
}

#[test]
fn go_reads_what_is_read_here() {
    if !is_there("go", "version") {
        return;
    }
    let cases = cases();
    let archives: Vec<Vec<u8>> = cases.iter().map(|blocks| bytes_of(blocks)).collect();
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("entries");
    let mut build = Command::new("go");
    let build = build.arg("build").arg("-o").arg(&program).arg(oracle("entries.go")).env("GOTOOLCHAIN", "local");
    assert!(build.env("GOFLAGS", "").status().unwrap().success());
    let said = ask(Command::new(&program), &archives);
    let mut accepted = 0;
    for ((blocks, bytes), said) in cases.iter().zip(&archives).zip(&said) {
        let Ok(found) = ours(bytes) else { continue };
        accepted += 1;
        let others = entries(said).unwrap_or_else(|| panic!("Go refuses it: {said}: {blocks:#?}"));
        assert_eq!(found.len(), others.len(), "{blocks:#?}");
        for (entry, other) in found.iter().zip(others) {
            let is_sparse = entry.is_ambiguous;
            let shown = || format!("{entry:?}\n{other}\n{blocks:#?}");
            assert_eq!(entry.path, text(other, "Name"), "{}", shown());
            assert_eq!(entry.link, text(other, "Link"), "{}", shown());
            assert_eq!(other["Flag"], flag(entry), "{}", shown());
            if flag(entry) == b'0' && !is_sparse {
                assert_eq!(other["Size"], entry.size, "{}", shown());
            }
            assert_eq!(other["Seconds"], entry.mtime.seconds, "{}", shown());
            assert_eq!(other["Nanos"], entry.mtime.nanos, "{}", shown());
            let seconds = |time: Option<repro::image::tar::Time>| time.map(|time| time.seconds);
            assert_eq!(other["Atime"].as_i64(), seconds(entry.atime), "{}", shown());
            assert_eq!(other["Ctime"].as_i64(), seconds(entry.ctime), "{}", shown());
        }
    }
    assert!(accepted * 4 > archives.len(), "{accepted} of {} are sound: too few to tell anything", archives.len());
}

/// Archives of which no two readers differ by what they are: whoever reads them to the end has to find the same.
fn undisputed(cases: &[Vec<Block>]) -> Vec<(Vec<u8>, Vec<Entry>)> {
    let is_plain = |block: &Block| {
        // Python and GNU tar know neither star nor the mistakes of old Go, and apply global headers.
        let is_known = block.kind != b'g' && !block.is_star && block.times.is_none();
        let is_whole = matches!(block.magic, b"ustar\x0000" | b"ustar  \0" | b"\0\0\0\0\0\0\0\0");
        // A prefix is one with the magic of ustar alone, and a name alone is needed for it.
        is_known && is_whole && (block.prefix.is_empty() || block.magic == b"ustar\x0000") && !block.name.is_empty()
    };
    let archives = cases.iter().filter(|blocks| blocks.iter().all(is_plain)).map(|blocks| bytes_of(blocks));
    let read = archives.filter_map(|bytes| Some((ours(&bytes).ok()?, bytes)));
    read.filter(|(entries, _)| entries.iter().all(|entry| !entry.is_ambiguous))
        .map(|(entries, bytes)| (bytes, entries))
        .collect()
}

/// A name without the slash that only tells a directory.
fn trimmed(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    &path[..end]
}

#[test]
fn python_reads_what_is_read_here() {
    if !is_there("python3", "--version") {
        return;
    }
    let cases = undisputed(&cases());
    let archives: Vec<Vec<u8>> = cases.iter().map(|(bytes, _)| bytes.clone()).collect();
    let mut python = Command::new("python3");
    python.arg(oracle("entries.py"));
    let mut compared = 0;
    for ((_, found), said) in cases.iter().zip(ask(python, &archives)) {
        // It stops at some things that no other reader minds.
        let Some(others) = entries(&said).filter(|others| others.len() == found.len()) else { continue };
        compared += 1;
        for (entry, other) in found.iter().zip(others) {
            let shown = || format!("{entry:?}\n{other}");
            assert_eq!(trimmed(&entry.path), trimmed(&text(other, "Name")), "{}", shown());
            if flag(entry) == b'0' {
                assert_eq!(other["Size"], entry.size, "{}", shown());
            }
            assert_eq!(other["Seconds"], entry.mtime.seconds, "{}", shown());
        }
    }
    assert!(compared * 4 > archives.len() * 3, "{compared} of {} could be compared: too few", archives.len());
}

#[test]
fn gnu_tar_lists_what_is_read_here() {
    if !is_there("tar", "--version") {
        return;
    }
    let mut compared = 0;
    let cases = undisputed(&cases());
    for (bytes, found) in cases.iter().take(400) {
        let mut tar = Command::new("tar");
        tar.args(["--list", "--verbose", "--full-time", "--numeric-owner", "--quoting-style=escape", "--file=-"]);
        let mut child = tar
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(bytes);
        let output = child.wait_with_output().unwrap();
        let listed = String::from_utf8(output.stdout).unwrap();
        if !output.status.success() || listed.lines().count() != found.len() {
            continue;
        }
        compared += 1;
        for (entry, line) in found.iter().zip(listed.lines()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_plain = |path: &[u8]| {
                !path.is_empty() && path.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/.".contains(byte))
            };
            // A date in thousands of years is one word.
            if !is_plain(&entry.path) || !words[4].contains(':') {
                continue;
            }
            assert_eq!(trimmed(words[5].as_bytes()), trimmed(&entry.path), "{line}\n{entry:?}");
            if flag(entry) == b'0' {
                assert_eq!(words[2], entry.size.to_string(), "{line}\n{entry:?}");
            }
            let date = chrono::DateTime::from_timestamp(entry.mtime.seconds, 0)
                .map(|date| date.format("%Y-%m-%d %H:%M:%S").to_string());
            let said = format!("{} {}", words[3], words[4].split('.').next().unwrap());
            if let Some(date) = date.filter(|_| entry.mtime.nanos == 0 && !said.starts_with('-')) {
                assert_eq!(said, date, "{line}\n{entry:?}");
            }
        }
    }
    assert!(compared * 2 > cases.len().min(400), "{compared} of {} could be compared: too few", cases.len());
}
