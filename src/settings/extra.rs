//! Further arguments for the builder's client: anything but what `repro` itself decides.
//!
//! They stand last, and the last one counts: another builder would build than the one whose pin was proved, another epoch be
//! reached than the one that is reported.

use super::SettingsError;

const BUILDX_FLAG: &str = "--buildx-args";
/// What buildx must not be told twice. `load` and `push` are outputs by another name; `call` and its short forms build nothing.
const BUILDX: [&str; 16] = [
    "builder",
    "output",
    "o",
    "load",
    "push",
    "file",
    "f",
    "platform",
    "metadata-file",
    "provenance",
    "sbom",
    "attest",
    "no-cache",
    "call",
    "check",
    "print",
];
/// What buildctl must not be told twice.
const BUILDCTL: [&str; 7] = ["output", "o", "frontend", "local", "metadata-file", "ref-file", "no-cache"];
/// Options of the frontend that are flags of ours.
const OPTIONS: [&str; 6] = ["filename", "platform", "target", "context", "source", "cmdline"];

/// The words behind `--buildx-args`.
pub fn parse_buildx(text: Option<&str>) -> Result<Vec<String>, SettingsError> {
    parse(BUILDX_FLAG, text, &BUILDX)
}

/// The words behind `--buildkit-args`.
pub fn parse_buildctl(text: Option<&str>) -> Result<Vec<String>, SettingsError> {
    parse("--buildkit-args", text, &BUILDCTL)
}

fn parse(flag: &'static str, text: Option<&str>, decided: &[&str]) -> Result<Vec<String>, SettingsError> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let wrong = |why| SettingsError::Word { flag, text: text.to_owned(), why };
    let words = shlex::split(text).ok_or_else(|| wrong("the quotes are not closed"))?;
    for (at, word) in words.iter().enumerate() {
        let Some(name) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else { continue };
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, value),
            None => (name, words.get(at + 1).map_or("", String::as_str)),
        };
        // buildx takes the value of a short flag from the same word; to buildctl one dash is as good as two.
        let is_short = flag == BUILDX_FLAG && !word.starts_with("--");
        let short = name.get(..1).filter(|_| is_short).unwrap_or(name);
        if decided.contains(&name) || decided.contains(&short) {
            return Err(wrong(
                "it holds a flag that repro itself sets: what it proves and reports would be something else",
            ));
        }
        let option = if name == "opt" { value } else { "" };
        let argument = if name == "build-arg" { value } else { option.strip_prefix("build-arg:").unwrap_or_default() };
        if OPTIONS.iter().any(|decided| option.split('=').next() == Some(decided))
            || argument.starts_with("SOURCE_DATE_EPOCH")
        {
            return Err(wrong("it holds an option that repro itself sets, by a flag of its own"));
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_proved_cannot_be_overridden() {
        for text in [
            "--builder other",
            "--builder=other",
            "--progress=plain -o type=local,dest=x",
            "-otype=local,dest=x",
            "--push",
            "--build-arg SOURCE_DATE_EPOCH=5",
            "--build-arg=SOURCE_DATE_EPOCH=5",
            "'unclosed",
        ] {
            assert!(parse_buildx(Some(text)).is_err(), "{text}");
        }
        for text in [
            "--output=type=local,dest=x",
            "-output x",
            "--local context=/x",
            "--opt build-arg:SOURCE_DATE_EPOCH=5",
            "--opt=filename=x",
        ] {
            assert!(parse_buildctl(Some(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn the_rest_is_taken_as_it_is() {
        let words = parse_buildx(Some("--progress=rawjson --build-arg 'A=--push' --add-host a:1.2.3.4")).unwrap();
        assert_eq!(words, ["--progress=rawjson", "--build-arg", "A=--push", "--add-host", "a:1.2.3.4"]);
        assert_eq!(parse_buildctl(Some("--opt build-arg:A=b --trace x")).unwrap().len(), 4);
        assert_eq!(parse_buildctl(None).unwrap(), [""; 0]);
    }
}
