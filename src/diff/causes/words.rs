//! Words that change from build to build: times, random names, addresses.
//!
//! A line is taken apart into what stays and what may move. Two lines whose fixed parts are equal differ by nothing but the
//! moving words, and what these are says why. Everything is linear in the line, whatever stands in it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::bytes::{Captures, Regex};

/// What kind of word it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// `TRACEPARENT`, which RUN gets from the builder.
    Trace,
    /// A date, a time of day, or both.
    Time,
    /// Seconds, milli-, micro- or nanoseconds since 1970.
    Epoch,
    /// A UUID.
    Uuid,
    /// A path below a directory for temporary files.
    Temporary,
    /// A place in memory.
    Address,
    /// How long something took.
    Duration,
    /// A checksum, by its length or by what stands in front of it.
    Checksum,
    /// The id of a container or of a step of the build.
    Container,
    /// Letters and digits that nobody chose.
    Random,
}

/// One moving word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// What it is.
    pub word: Word,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// How two lines differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<'a> {
    /// By these words and nothing else.
    Words(Vec<(Found<'a>, Found<'a>)>),
    /// By something else.
    Other,
}

const MONTH: &str = "(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)";
const DAY: &str = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?:day|sday|nesday|rsday|urday)?";
const CLOCK: &str = r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[AaPp][Mm]\b)?";
const ZONE: &str = r"(?: ?Z\b| ?[+-]\d\d:?\d\d\b| [A-Z]{2,5}\b)";

/// The order matters: the first alternative that fits at a place is taken. A pattern that is none would find nothing: the tests see that.
static MOVING: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let pattern = [
        r"(?P<trace>\b00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\b)".to_owned(),
        r"(?P<uuid>\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b)".to_owned(),
        [
            "(?P<time>",
            // 2026-11-22T00:52:34.5Z, 2026/11/22 00:52, 2026-11-22
            &format!(r"\b\d{{4}}([-/.])\d\d[-/.]\d\d(?:(?:[T _]|, ){CLOCK}{ZONE}?)?\b"),
            // Sun Nov 22 00:52:34 UTC 2026, Sun, 22 Nov 2026 00:52:34 GMT, Nov 22 2026, Nov 22 00:52:34, November 22, 2026
            &format!(
                r"|\b(?:{DAY},? )?(?:{MONTH}[ -]+\d{{1,2}}\b|\d{{1,2}}[ /-]{MONTH}\b),?(?:[ /-]\d{{4}}\b)?(?:(?: at)?[ :]{CLOCK}{ZONE}?)?(?: \d{{4}}\b)?"
            ),
            // 22.11.2026 00:52, 11/22/26
            &format!(r"|\b\d{{1,2}}[./]\d{{1,2}}[./](?:20)?\d\d(?:,? {CLOCK}{ZONE}?)?\b"),
            // 20261122T005234Z, 20261122005234, 20261122-005234
            r"|\b[vVrR]?20[0-4]\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[T_.-]?\d{4}(?:\d\d)?Z?)?\b",
            // 00:52:34.5
            &format!(r"|\b\d\d:\d\d:\d\d(?:[.,]\d+)?{ZONE}?"),
            ")",
        ]
        .concat(),
        r"(?P<address>\b0x[0-9a-fA-F]{6,16}\b)".to_owned(),
        r"(?P<temporary>(?:/var)?/tmp/[^\s:;,/'\x22<>()\x00]+|\b[Tt]mp[._-]?[A-Za-z0-9_]{6,}\b)".to_owned(),
        r"(?P<duration>\b(?:\d+m ?)?\d+(?:\.\d+)? ?(?:ns|us|\xC2\xB5s|ms|s|secs?|seconds?|milliseconds?|mins?|minutes?)\b)".to_owned(),
        r"(?P<epoch>\b1[0-9]{9}(?:\.\d+|\d{3}|\d{6}|\d{9})?\b)".to_owned(),
        r"(?P<named>\b(?:md5|sha1|sha224|sha256|sha384|sha512|blake2b)[-:=][A-Za-z0-9+/_-]{20,}={0,2})".to_owned(),
        r"(?P<hex>\b(?:[0-9a-f]{8,128}|[0-9A-F]{8,128})\b)".to_owned(),
        r"(?P<token>[A-Za-z0-9+_-]{6,}(?:[/+][A-Za-z0-9+_-]+)*={0,2})".to_owned(),
    ]
    .join("|");
    Regex::new(&format!("(?-u){pattern}")).ok()
});

/// Hash lengths in hexadecimal digits: MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512.
const CHECKSUMS: [usize; 6] = [32, 40, 56, 64, 96, 128];

/// The moving words of a line, and what stays.
fn split(line: &[u8]) -> (Vec<Found<'_>>, Vec<u8>) {
    let (mut words, mut fixed, mut at, mut from) = (Vec::new(), Vec::new(), 0, 0);
    let Some(moving) = MOVING.as_ref() else { return (words, line.to_vec()) };
    while let Some(captures) = moving.captures_at(line, from) {
        let Some(whole) = captures.get(0) else { break };
        let bytes = whole.as_bytes();
        let Some(word) = word_of(&captures, bytes) else {
            // There may be another one within: `run-20261122` is no random token, and holds a date. Lines are cut before they come
            // here, so that beginning again costs little.
            let part = bytes.iter().position(|byte| !byte.is_ascii_alphanumeric()).map_or(bytes.len(), |end| end + 1);
            from = whole.start() + part;
            continue;
        };
        fixed.extend_from_slice(&line[at..whole.start()]);
        // What stays has a mark where a word was, so that words do not wander.
        fixed.push(0);
        (at, from) = (whole.end(), whole.end());
        words.push(Found { word, bytes });
    }
    fixed.extend_from_slice(&line[at..]);
    (words, fixed)
}

/// What kind of word was found, if it is one.
fn word_of(captures: &Captures<'_>, bytes: &[u8]) -> Option<Word> {
    let names = [
        ("trace", Word::Trace),
        ("uuid", Word::Uuid),
        ("time", Word::Time),
        ("address", Word::Address),
        ("temporary", Word::Temporary),
        ("duration", Word::Duration),
        ("epoch", Word::Epoch),
        ("named", Word::Checksum),
    ];
    if let Some((_, word)) = names.into_iter().find(|(name, _)| captures.name(name).is_some()) {
        return Some(word);
    }
    if captures.name("hex").is_none() {
        return looks_random(bytes).then_some(Word::Random);
    }
    match bytes.len() {
        length if !bytes.iter().any(u8::is_ascii_alphabetic) && length < CHECKSUMS[0] => None,
        length if CHECKSUMS.contains(&length) => Some(Word::Checksum),
        12 => Some(Word::Container),
        // Words such as `deadbeef` and `facade`: a hash has digits.
        _ => bytes.iter().any(u8::is_ascii_digit).then_some(Word::Random),
    }
}

/// Whether letters and digits look like nobody chose them: at least two kinds of characters that change often.
fn looks_random(bytes: &[u8]) -> bool {
    let kind = |byte: &u8| match byte {
        b'a'..=b'z' => 0_u8,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let changes = bytes.windows(2).filter(|pair| kind(&pair[0]) != kind(&pair[1])).count();
    let kinds: BTreeSet<u8> = bytes.iter().map(kind).filter(|kind| *kind < 3).collect();
    // A version such as `app-1.0-2` changes often, too, but has few letters and digits for it.
    let plain = bytes.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
    bytes.len() >= 12 && kinds.len() >= 2 && changes * 5 >= bytes.len() && plain * 6 >= bytes.len() * 5
}

/// How two lines differ. Equal lines differ by no words.
#[must_use]
pub fn compare<'a>(a: &'a [u8], b: &'a [u8]) -> Change<'a> {
    let ((words_a, fixed_a), (words_b, fixed_b)) = (split(a), split(b));
    if fixed_a == fixed_b && words_a.len() == words_b.len() {
        let pairs = words_a.into_iter().zip(words_b).filter(|(a, b)| a.bytes != b.bytes);
        let pairs: Option<Vec<_>> = pairs.map(|(a, b)| agree(a, b)).collect();
        if let Some(pairs) = pairs {
            return Change::Words(pairs);
        }
    }
    token(a, b).unwrap_or(Change::Other)
}

/// Two words at one place are of one kind, or of two that look alike at times.
fn agree<'a>(a: Found<'a>, b: Found<'a>) -> Option<(Found<'a>, Found<'a>)> {
    let word = match (a.word, b.word) {
        (one, other) if one == other => one,
        (Word::Checksum | Word::Container | Word::Random, Word::Checksum | Word::Container | Word::Random) => {
            Word::Random
        }
        _ => return None,
    };
    // Numbers of ten digits are times only if they lie near each other: within some ten years.
    if word == Word::Epoch && !near(a.bytes, b.bytes) {
        return None;
    }
    Some((Found { word, ..a }, Found { word, ..b }))
}

fn near(a: &[u8], b: &[u8]) -> bool {
    const YEARS: u64 = 20 * 365 * 86_400;
    let seconds = |bytes: &[u8]| std::str::from_utf8(bytes.get(..10)?).ok()?.parse::<u64>().ok();
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match (seconds(a), seconds(b)) {
        (Some(x), Some(y)) => digits(a) == digits(b) && x.abs_diff(y) < YEARS,
        _ => false,
    }
}

/// The one place where two lines differ, if it is in one long word on both sides that looks random on both.
fn token<'a>(a: &'a [u8], b: &'a [u8]) -> Option<Change<'a>> {
    let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let most = a.len().min(b.len()) - start;
    let end = a.iter().rev().zip(b.iter().rev()).take(most).take_while(|(x, y)| x == y).count();
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-$.".contains(byte);
    let start = start - a[..start].iter().rev().take_while(|byte| is_part(byte)).count();
    let end = end - a[a.len() - end..].iter().take_while(|byte| is_part(byte)).count();
    let (one, other) = (&a[start..a.len() - end], &b[start..b.len() - end]);
    let is_word = |bytes: &[u8]| bytes.len() >= 16 && bytes.iter().all(is_part) && looks_random(bytes);
    let found = |bytes| Found { word: Word::Random, bytes };
    (is_word(one) && is_word(other)).then(|| Change::Words(vec![(found(one), found(other))]))
}

/// What stays of a line when its moving words are taken out.
#[must_use]
pub fn fixed_parts(line: &[u8]) -> Vec<u8> {
    split(line).1
}

/// The kinds of words by which two texts of one line each differ; empty where they differ by something else.
#[must_use]
pub fn kinds(a: &[u8], b: &[u8]) -> BTreeSet<Word> {
    match compare(a, b) {
        Change::Words(pairs) => pairs.iter().map(|(a, _)| a.word).collect(),
        Change::Other => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(a: &str, b: &str) -> Vec<Word> {
        kinds(a.as_bytes(), b.as_bytes()).into_iter().collect()
    }

    #[test]
    fn times_are_found_in_the_forms_that_tools_write() {
        for (a, b) in [
            ("Sun Nov 22 00:52:34 UTC 2026", "Mon Nov 23 01:02:03 UTC 2026"),
            ("built: 2026-11-22T00:52:34Z,", "built: 2026-11-22T00:52:37Z,"),
            ("2026-11-22 00:52:34.123456", "2026-11-22 00:52:35.654321"),
            ("2026-11-22T00:52:34+00:00", "2026-11-22T00:53:34+00:00"),
            ("Date: Sun, 22 Nov 2026 00:52:34 GMT", "Date: Sun, 22 Nov 2026 00:52:39 GMT"),
            ("x Nov 22 2026 00:52:34", "x Nov 23 2026 00:52:34"),
            ("Nov 22 00:52:34 host app", "Nov 22 00:53:34 host app"),
            ("[22/Nov/2026:00:52:34 +0000] GET", "[22/Nov/2026:00:53:34 +0000] GET"),
            ("at November 22, 2026", "at November 23, 2026"),
            ("on 2026-11-22", "on 2026-11-23"),
            ("srv/run-20261122005234", "srv/run-20261122005239"),
            ("00:52:34", "00:52:35"),
            ("22 Nov 2026 00:52:34", "22 Nov 2026 00:52:35"),
            ("v20261122005234", "v20261122005236"),
            ("build 20261122-0052", "build 20261123-0052"),
            ("11/22/26 00:52", "11/22/26 00:53"),
            ("22.11.2026", "23.11.2026"),
            ("Sun 22 Nov 2026 12:52:34 AM UTC", "Sun 22 Nov 2026 12:52:35 AM UTC"),
        ] {
            assert_eq!(only(a, b), [Word::Time], "{a} | {b}");
        }
    }

    #[test]
    fn other_words_are_told_apart() {
        for (a, b, word) in [
            ("BUILD=1795308754", "BUILD=1795308757", Word::Epoch),
            ("t=1795308754123", "t=1795308757999", Word::Epoch),
            ("t: 1795308754.123", "t: 1795308757.9", Word::Epoch),
            ("id 6ba7b810-9dad-11d1-80b4-00c04fd430c8", "id 7ba7b810-9dad-11d1-80b4-00c04fd430c8", Word::Uuid),
            ("prefix=/tmp/tmp.aBcDeF/x", "prefix=/tmp/tmp.gHiJkL/x", Word::Temporary),
            ("<object at 0x7f3a2b1c4d50>", "<object at 0x7f9a2b1c4d50>", Word::Address),
            ("3 passed in 0.12s", "3 passed in 0.15s", Word::Duration),
            ("took 12 ms", "took 15 ms", Word::Duration),
            ("d41d8cd98f00b204e9800998ecf8427e  a", "e41d8cd98f00b204e9800998ecf8427e  a", Word::Checksum),
            (
                "app/built.py,sha256=3vYQ0vLNjZMWhE9nFoY1s4kYgaI9RLAfT9l4sM3a0XQ,30",
                "app/built.py,sha256=4vYQ0vLNjZMWhE9nFoY1s4kYgaI9RLAfT9l4sM3a0XQ,30",
                Word::Checksum,
            ),
            ("SECRET_KEY=pJ5uYJ8q0cWkx2Tn6Zb1eQ==", "SECRET_KEY=aB3+YJ9q1cWkx2Tn7Zb8eR==", Word::Random),
            (
                "TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "TRACEPARENT=00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01",
                Word::Trace,
            ),
            ("src=main.3f2a9c1b.js", "src=main.9f2a9c1e.js", Word::Random),
        ] {
            assert_eq!(only(a, b), [word], "{a} | {b}");
        }
    }

    #[test]
    fn what_somebody_chose_is_no_moving_word() {
        for (a, b) in [
            ("version 1.0.1", "version 1.0.2"),
            ("mode=fast", "mode=slow"),
            ("port 8080", "port 9090"),
            ("COPY=yes", "COPY=no"),
            ("abcdefghijklmnop", "abcdefghijklmnoq"),
            ("libfoo-1.2.3-dev", "libfoo-1.2.4-dev"),
            ("id 1000000001", "id 1999999999"),
            ("total 12345678", "total 12345679"),
            ("timeout = 30", "timeout = 60"),
            ("feature-12", "feature-13"),
        ] {
            assert_eq!(only(a, b), [], "{a} | {b}");
        }
    }

    #[test]
    fn equal_lines_differ_by_no_words() {
        assert_eq!(compare(b"a 2026-11-22", b"a 2026-11-22"), Change::Words(Vec::new()));
    }

    #[test]
    fn a_line_may_hold_several() {
        assert_eq!(
            only(
                "2026-11-22T00:52:34Z id=6ba7b810-9dad-11d1-80b4-00c04fd430c8",
                "2026-11-22T00:52:37Z id=7ba7b810-9dad-11d1-80b4-00c04fd430c8"
            ),
            [Word::Time, Word::Uuid]
        );
    }
}
