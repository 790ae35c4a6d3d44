//! Paths against patterns.

use std::ops::Range;

use crate::diff::model::Confidence;

/// The first of the patterns that fits a path: one that fits from the root is sure, one that fits the end of a path, as in a root file
/// system inside of an image, is likely.
///
/// `*` stands for anything within a name, `**` for any number of names.
#[must_use]
pub fn fits(path: &[u8], patterns: &[&str]) -> Option<Confidence> {
    let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".").collect();
    let fits_from = |start: usize| {
        patterns.iter().any(|pattern| {
            let pattern: Vec<&[u8]> = pattern.as_bytes().split(|byte| *byte == b'/').collect();
            names_fit(&names[start..], &pattern)
        })
    };
    if fits_from(0) {
        return Some(Confidence::High);
    }
    // `run` and `tmp` stand in the middle of many a path; two names one after the other say more.
    let patterns: Vec<&str> = patterns
        .iter()
        .copied()
        .filter(|pattern| pattern.split('/').filter(|name| *name != "**").count() > 1)
        .collect();
    let fits_from = |start: usize| {
        patterns.iter().any(|pattern| {
            let pattern: Vec<&[u8]> = pattern.as_bytes().split(|byte| *byte == b'/').collect();
            names_fit(&names[start..], &pattern)
        })
    };
    // At most as many as a path has names; a path of thousands of them is nobody's.
    (1..names.len().min(32)).any(fits_from).then_some(Confidence::Medium)
}

fn names_fit(names: &[&[u8]], pattern: &[&[u8]]) -> bool {
    match pattern.split_first() {
        None => names.is_empty(),
        Some((first, rest)) if *first == b"**" => (0..=names.len()).any(|at| names_fit(&names[at..], rest)),
        Some((first, rest)) => {
            names.split_first().is_some_and(|(name, names)| name_fits(name, first) && names_fit(names, rest))
        }
    }
}

/// Whether a name fits a pattern with stars.
fn name_fits(name: &[u8], pattern: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let Some(mut rest) = parts.next().and_then(|start| name.strip_prefix(start)) else { return false };
    let parts: Vec<&[u8]> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = (0..=rest.len()).find(|at| rest[*at..].starts_with(part)) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// The last name of a path.
#[must_use]
pub fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Where in the path of a file that a bundler of JavaScript wrote the hash of its content stands: eight letters, digits, `-` and `_` in
/// front of the ending (Vite, Rollup, esbuild). A word of one kind of letters is none.
#[must_use]
pub fn hash_in_name(path: &[u8]) -> Option<Range<usize>> {
    const LENGTH: usize = 8;
    let first = path.len() - name(path).len();
    let mut end = path.len();
    while let Some(dot) = path[first..end].iter().rposition(|byte| *byte == b'.') {
        if !BUNDLED.contains(&&path[first + dot + 1..end]) {
            break;
        }
        end = first + dot;
    }
    let start = end.checked_sub(LENGTH).filter(|start| *start > first && end < path.len())?;
    let hash = &path[start..end];
    let kinds: [fn(&u8) -> bool; 4] =
        [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit, |byte| b"-_".contains(byte)];
    let is_hash = hash.iter().all(|byte| kinds.iter().any(|kind| kind(byte)))
        && kinds[..3].iter().filter(|kind| hash.iter().any(kind)).count() >= 2;
    (is_hash && b"-._".contains(&path[start - 1])).then_some(start..end)
}

/// Endings of what bundlers of JavaScript write.
pub const BUNDLED: [&[u8]; 13] =
    [b"js", b"mjs", b"cjs", b"css", b"map", b"json", b"html", b"wasm", b"svg", b"png", b"woff2", b"woff", b"txt"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_in_a_name_may_hold_what_separates_words() {
        for (path, hash) in [
            ("dist/assets/index-DnUna6iJ.js", Some("DnUna6iJ")),
            ("dist/assets/index-D_x-uJQ2.js", Some("D_x-uJQ2")),
            ("dist/assets/index--5x_uJQ2.js.map", Some("-5x_uJQ2")),
            ("dist/chunk.ABCD2345.css", Some("ABCD2345")),
            ("dist/main-settings.js", None),
            ("dist/DnUna6iJ.js", None),
            ("dist/index-DnUna6iJ", None),
            ("dist/index-DnUna6iJ.conf", None),
        ] {
            let found = hash_in_name(path.as_bytes()).map(|range| &path[range]);
            assert_eq!(found, hash, "{path}");
        }
    }

    #[test]
    fn patterns_fit_whole_names() {
        for (path, pattern, confidence) in [
            ("etc/shadow", "etc/shadow", Some(Confidence::High)),
            ("rootfs/etc/shadow", "etc/shadow", Some(Confidence::Medium)),
            ("etc/shadow-", "etc/shadow", None),
            ("xetc/shadow", "etc/shadow", None),
            ("var/log/apt/history.log", "var/log/apt/*.log", Some(Confidence::High)),
            ("var/log/apt/history.log.1", "var/log/apt/*.log", None),
            ("a/b/__pycache__/x.cpython-311.pyc", "**/__pycache__/*.pyc", Some(Confidence::High)),
            ("etc/ssh/ssh_host_rsa_key.pub", "etc/ssh/ssh_host_*_key*", Some(Confidence::High)),
            ("root/.npm/_cacache/a/b/c", "**/_cacache/**", Some(Confidence::High)),
            ("srv/run/data", "run/**", None),
            ("", "**", Some(Confidence::High)),
        ] {
            assert_eq!(fits(path.as_bytes(), &[pattern]), confidence, "{path} {pattern}");
        }
    }
}
