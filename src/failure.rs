//! How a run ends: the exit status, and what a failure tells the user.

use std::error::Error;
use std::fmt::Write as _;

/// The exit statuses of `repro`, the same for every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// Done, and equal where something was compared.
    Success = 0,
    /// It differs, is not reproducible, or is not what was expected.
    Different = 1,
    /// The command line, a variable or a file of settings is wrong; nothing was run.
    Usage = 2,
    /// The build failed.
    BuildFailed = 3,
    /// It could not be told: no runtime, a registry or daemon out of reach, information missing.
    Unknown = 4,
    /// The input is corrupt or not an image.
    Corrupt = 5,
    /// Ctrl-C.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

/// What every error enum of the library can say about itself besides its message.
pub trait Diagnose: Error + Send + Sync + 'static {
    /// The exit status that this error leads to.
    fn status(&self) -> ExitStatus;

    /// What the user can do about it, in one or two sentences.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// A failure on its way to the user.
#[derive(Debug)]
pub struct Failure {
    /// How the process exits.
    pub status: ExitStatus,
    /// The error and its causes, one line.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A wrong command line, variable or setting.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: ExitStatus::Usage, message: message.into(), hint: Some(hint.into()) }
    }

    /// The text for stderr: `error: what: why`, an empty line, `hint: what to do`.
    ///
    /// Control characters are escaped, because messages quote file names and answers from the network.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = format!("error: {}\n", one_line(&self.message));
        if let Some(hint) = &self.hint {
            let _ = write!(text, "\nhint: {}\n", one_line(hint));
        }
        text
    }
}

impl<E: Diagnose> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { status: error.status(), hint: error.hint(), message: chain(&error) }
    }
}

/// An error and its causes.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        // Some libraries repeat their cause in their own message.
        if !message.contains(&text) {
            let _ = write!(message, ": {text}");
        }
        cause = next.source();
    }
    message
}

fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.trim_end().chars() {
        if character == '\n' {
            line.push_str("\n  ");
        } else if character.is_control() {
            let _ = write!(line, "{}", character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_cannot_steer_the_terminal() {
        let failure = Failure::usage("`a\u{1b}[2Jb`\nnext", "do\u{7} it");
        assert_eq!(failure.render(), "error: `a\\u{1b}[2Jb`\n  next\n\nhint: do\\u{7} it\n");
    }
}
