//! Which image a file asks to be read by, before anything else of it is known (BuildKit's `parser.DetectSyntax`).

use serde_json::{Map, Value};

use super::directive::{self, DirectiveName};
use super::{lines, without_mark};

/// What a file says about who reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Syntax {
    /// Nothing: the frontend that is part of BuildKit reads it.
    Builtin,
    /// An image reads it.
    Image {
        /// The image and, behind a space, arguments for it.
        command: String,
        /// The line, counted from 1.
        line: usize,
    },
    /// It begins as JSON does, and it cannot be told which image, if any, each version of BuildKit would take from it.
    Unreadable,
}

/// Finds the image that a file asks to be read by.
///
/// Versions of BuildKit differ in what they see: a mark in front, a `check` directive before, capital letters in JSON. What
/// any of them (v0.13 to v0.32) would take is told here, so that nothing gets past a judgement by being odd. JSON is no
/// Dockerfile, so what is not clear about it hides no build that could have worked.
#[must_use]
pub fn detect_syntax(bytes: &[u8]) -> Syntax {
    let bytes = without_mark(bytes);
    let (bytes, skipped) = match lines(bytes).next() {
        Some(first) if first.starts_with(b"#!") => (bytes.get(first.len() + 1..).unwrap_or_default(), 1),
        _ => (bytes, 0),
    };
    for comment in [b"#".as_slice(), b"//"] {
        let mut directives = lines(bytes).map_while(|line| directive::parse(line, comment)).zip(1..);
        let found = directives.find(|((name, _), _)| *name == DirectiveName::Syntax);
        if let Some(((_, command), line)) = found {
            return Syntax::Image { command, line: line + skipped };
        }
    }
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Syntax::Builtin;
    }
    from_json(bytes).map_or(Syntax::Unreadable, |command| Syntax::Image { command, line: 1 + skipped })
}

/// The one member called `syntax`. Go takes other capitals, and letters that only look like these, for the same name.
fn from_json(bytes: &[u8]) -> Option<String> {
    let members: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
    let is_like = |name: &&String| name.chars().count() == "syntax".len() && folded(name) == "syntax";
    if members.keys().filter(is_like).any(|name| name != "syntax") {
        return None;
    }
    Some(members.get("syntax")?.as_str()?.to_owned())
}

/// In lower case, with the long s as an s (Go's `encoding/json`, `foldFunc`).
fn folded(name: &str) -> String {
    name.chars().map(|letter| if letter == 'ſ' { 's' } else { letter.to_ascii_lowercase() }).collect()
}
