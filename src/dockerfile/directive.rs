//! Parser directives: comments at the top of a Dockerfile that say how it is read.

/// Which directive it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectiveName {
    /// The image that reads the Dockerfile.
    Syntax,
    /// The escape character.
    Escape,
    /// What BuildKit's linter checks (from v0.15 on; before, it is a comment).
    Check,
}

impl DirectiveName {
    /// The name in lower case; it may be written in any.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Escape => "escape",
            Self::Check => "check",
        }
    }
}

/// A parser directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Which it is.
    pub name: DirectiveName,
    /// What stands behind the `=`, without white space around it.
    pub value: String,
    /// The line, counted from 1.
    pub line: usize,
}

/// Reads one line as a directive: `# name = value`, with the comment's beginning that is asked for.
///
/// `directives.go`: the first line that is no directive ends them, so a caller stops at the first `None`.
pub(super) fn parse(line: &[u8], comment: &[u8]) -> Option<(DirectiveName, String)> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let rest = super::trim_start(line.strip_prefix(comment)?);
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let (name, rest) = rest.split_at(length);
    let name = [DirectiveName::Syntax, DirectiveName::Escape, DirectiveName::Check]
        .into_iter()
        .find(|known| name.eq_ignore_ascii_case(known.name().as_bytes()))?;
    let value = rest.trim_ascii_start().strip_prefix(b"=")?;
    // White space alone is a value: an image that is called by it is asked for, and not found.
    let value = if value.trim_ascii().is_empty() { value } else { value.trim_ascii() };
    (!value.is_empty()).then(|| (name, String::from_utf8_lossy(value).into_owned()))
}
