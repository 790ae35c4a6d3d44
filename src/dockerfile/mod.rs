//! Dockerfiles, line by line: parser directives, instructions, here-documents and stages, each with its line numbers.
//!
//! This reads; it builds nothing and expands nothing. It follows BuildKit's own reader (`frontend/dockerfile/parser` and
//! `frontend/dockerfile/shell/lex.go`, v0.13 to v0.32): what that one takes as one instruction is one here, with the same
//! first and last line. Where versions differ, the newer rule holds: a Dockerfile that both read means the same to both.
//!
//! Dockerfiles come from strangers. Everything here is linear in the size of the file, and the file is bounded.

mod directive;
mod flags;
mod heredoc;
mod instruction;
mod stage;
mod syntax;
mod text;
mod words;

pub use self::directive::{Directive, DirectiveName};
pub use self::instruction::{Heredoc, Instruction, Lines};
pub use self::stage::Stage;
pub use self::syntax::{Syntax, detect_syntax};
pub use self::text::{Source, Text};

use crate::limits::DOCKERFILE_BYTES;

/// The first bytes of a file that some editors write: no part of its text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A Dockerfile, read but not interpreted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// The parser directives at the top.
    pub directives: Vec<Directive>,
    /// What ends a line that goes on, and quotes a character: a backslash or a backtick.
    pub escape: char,
    /// The instructions, in order.
    pub instructions: Vec<Instruction>,
    /// The stages, in order.
    pub stages: Vec<Stage>,
}

/// Why a file cannot be read as a Dockerfile. BuildKit refuses it as well, but for the ceilings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DockerfileError {
    /// The file is too large.
    #[error("it has {0} bytes, of at most {DOCKERFILE_BYTES}")]
    TooLarge(usize),
    /// There are too many instructions.
    #[error("line {0}: more than {limit} instructions", limit = instruction::INSTRUCTIONS)]
    TooMany(usize),
    /// One line is too long.
    #[error("line {0} is longer than {limit} bytes", limit = instruction::LINE_BYTES)]
    LongLine(usize),
    /// A directive stands there twice.
    #[error("line {line}: there is a second `{name}` directive")]
    Twice {
        /// The line of the second.
        line: usize,
        /// Its name.
        name: &'static str,
    },
    /// The escape character is neither of the two.
    #[error("line {line}: the escape character is a backslash or a backtick, not `{value}`")]
    Escape {
        /// The line.
        line: usize,
        /// What stands there.
        value: String,
    },
    /// A here-document has no end.
    #[error("line {line}: there is no line `{name}` that ends the here-document")]
    NoEnd {
        /// The line of its instruction.
        line: usize,
        /// What would end it.
        name: String,
    },
}

impl Dockerfile {
    /// Reads a Dockerfile.
    pub fn parse(bytes: &[u8]) -> Result<Self, DockerfileError> {
        if bytes.len() as u64 > DOCKERFILE_BYTES {
            return Err(DockerfileError::TooLarge(bytes.len()));
        }
        let (directives, escape, instructions) = instruction::read(without_mark(bytes))?;
        let stages = stage::find(&instructions);
        Ok(Self { directives, escape: char::from(escape), instructions, stages })
    }

    /// Whether a build of it may run commands: by RUN, or by ONBUILD RUN in a stage that another one begins with.
    #[must_use]
    pub fn may_run(&self) -> bool {
        self.instructions.iter().any(|instruction| {
            let deferred = || instruction.arguments.split_whitespace().next();
            instruction.is("run")
                || instruction.is("onbuild") && deferred().is_some_and(|word| word.eq_ignore_ascii_case("run"))
        })
    }
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// The lines of a file, without the newline; nothing follows the last one.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// Without white space in front, as Unicode knows it. What is not UTF-8 is none.
fn trim_start(mut bytes: &[u8]) -> &[u8] {
    const LONGEST_CHARACTER: usize = 4;
    loop {
        let start = &bytes[..bytes.len().min(LONGEST_CHARACTER)];
        let valid = match std::str::from_utf8(start) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default(),
        };
        let Some(first) = valid.chars().next().filter(|first| first.is_whitespace()) else { return bytes };
        bytes = &bytes[first.len_utf8()..];
    }
}

#[cfg(test)]
mod tests;
