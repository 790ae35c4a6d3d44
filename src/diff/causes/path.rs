//! Paths against patterns.

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

#[cfg(test)]
mod tests {
    use super::*;

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
