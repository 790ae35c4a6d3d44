//! Further arguments for the builder's client: what `repro` has no flag for, and nothing that it decides itself.
//!
//! They stand last, and the last one counts: another builder would build than the one whose pin was proved, another epoch be
//! reached than the one that is reported, a cache be imported that nobody judges. So they are taken from a list; what is on it cannot undo what is proved.

use super::SettingsError;
use crate::settings::sources::Given;

/// What buildx may be told, with a value.
const BUILDX: [&str; 13] = [
    "add-host",
    "allow",
    "annotation",
    "build-arg",
    "cgroup-parent",
    "label",
    "network",
    "no-cache-filter",
    "progress",
    "secret",
    "shm-size",
    "ssh",
    "ulimit",
];
/// What buildctl may be told, with a value.
const BUILDCTL: [&str; 6] = ["allow", "debug-json-cache-metrics", "opt", "progress", "secret", "ssh"];
/// Options of the frontend.
const OPTIONS: [&str; 7] =
    ["add-hosts", "cgroup-parent", "force-network-mode", "image-resolve-mode", "no-cache", "shm-size", "ulimit"];

/// The words behind `--buildx-args`.
pub fn parse_buildx(given: Option<Given<'_, &str>>) -> Result<Vec<String>, SettingsError> {
    parse(given, &BUILDX)
}

/// The words behind `--buildkit-args`.
pub fn parse_buildctl(given: Option<Given<'_, &str>>) -> Result<Vec<String>, SettingsError> {
    parse(given, &BUILDCTL)
}

fn parse(given: Option<Given<'_, &str>>, known: &[&str]) -> Result<Vec<String>, SettingsError> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let wrong = |why| SettingsError::Extra { origin: given.origin, text: given.value.to_owned(), why };
    let words = shlex::split(given.value).ok_or_else(|| wrong("the quotes are not closed".to_owned()))?;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let name = word.strip_prefix("--").ok_or_else(|| wrong(format!("`{word}` is not a flag")))?;
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, value),
            None => (name, rest.next().ok_or_else(|| wrong(format!("--{name} has no value")))?.as_str()),
        };
        let sets_itself = || wrong(format!("--{name} is not among the flags that leave alone what repro proves"));
        if !known.contains(&name) {
            return Err(sets_itself());
        }
        let option = if name == "opt" { value } else { "" };
        let argument = if name == "build-arg" { value } else { option.strip_prefix("build-arg:").unwrap_or_default() };
        if ["SOURCE_DATE_EPOCH", "BUILDKIT_"].iter().any(|own| argument.starts_with(own)) {
            return Err(wrong(format!("build argument `{argument}` is repro's own")));
        }
        let key = option.split('=').next().unwrap_or_default();
        let is_open = key.starts_with("build-arg:") || key.starts_with("label:") || OPTIONS.contains(&key);
        if name == "opt" && !is_open {
            return Err(wrong(format!("option `{key}` is not among those that leave alone what repro proves")));
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::Origin;

    fn given(text: &str) -> Given<'_, &str> {
        Given { value: text, origin: Origin::Flag("--buildx-args"), directory: Path::new("/") }
    }

    #[test]
    fn what_is_proved_cannot_be_overridden() {
        for text in [
            "--builder other",
            "--builder=other",
            "--progress=plain -o type=local,dest=x",
            "-otype=local,dest=x",
            "-qotype=local,dest=x",
            "--push",
            "--allow network.host --push",
            "--cache-from=type=registry,ref=example.org/a",
            "--build-arg SOURCE_DATE_EPOCH=5",
            "--build-arg=SOURCE_DATE_EPOCH=5",
            "--build-arg=BUILDKIT_SYNTAX=evil",
            "--progress",
            "'unclosed",
            "word",
        ] {
            assert!(parse_buildx(Some(given(text))).is_err(), "{text}");
        }
        for text in [
            "--output=type=local,dest=x",
            "-output x",
            "--local context=/x",
            "--import-cache=type=registry,ref=example.org/a",
            "--opt build-arg:SOURCE_DATE_EPOCH=5",
            "--opt=filename=x",
            "--opt context:a=local:b",
            "--opt cmdline=evil",
        ] {
            assert!(parse_buildctl(Some(given(text))).is_err(), "{text}");
        }
    }

    #[test]
    fn the_rest_is_taken_as_it_is() {
        let words =
            parse_buildx(Some(given("--progress=rawjson --build-arg 'A=--push' --add-host a:1.2.3.4"))).unwrap();
        assert_eq!(words, ["--progress=rawjson", "--build-arg", "A=--push", "--add-host", "a:1.2.3.4"]);
        assert_eq!(parse_buildctl(Some(given("--opt build-arg:A=b --opt=label:c=d"))).unwrap().len(), 3);
        assert_eq!(parse_buildctl(None).unwrap(), [""; 0]);
    }
}
