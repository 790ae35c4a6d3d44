//! The commands of a shell script, as far as they can be told without running it.
//!
//! This knows words, quotes, lists, pipes, substitutions, redirections, here-documents and assignments, of POSIX and bash. It does
//! not know which branch of an `if` is taken, what a loop runs over, or what a function does when it is called: every command
//! that is written counts as one that runs. A variable has a value where one assignment, ARG or ENV gives it; else it is not
//! known, and neither is a word that holds it. Where quotes or parentheses do not close, nothing of the script is told.
//!
//! The crate `shlex` splits words but knows no operators; parsers of whole shells recurse without a bound, which a stranger's
//! file of 4 MiB would use.

mod command;
mod lexer;

use crate::dockerfile::Text;

use super::variables::Variables;

pub(super) use self::command::Command;

/// How deep scripts may stand in scripts: `$(…)`, `sh -c '…'`, here-documents of a shell. Each level costs stack.
const DEPTH: usize = 12;

/// A word, without its quotes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// Its text; what is not known stands as it is written.
    pub(super) text: String,
    /// Whether all of it is known.
    pub(super) is_known: bool,
    /// Whether a part of it is quoted.
    pub(super) is_quoted: bool,
    /// The line that it begins in.
    pub(super) line: usize,
    /// The commands that its substitutions run, by number.
    pub(super) inner: Vec<usize>,
}

/// All commands of a script, in the order in which they end; one inside another comes first.
pub(super) fn commands(text: &Text, variables: &mut Variables) -> Vec<Command> {
    let mut commands = Vec::new();
    command::read(text, variables, DEPTH, &mut commands);
    commands
}

/// The command that words make which no shell reads.
pub(super) fn exec(words: Vec<String>, line: usize, variables: &mut Variables) -> Vec<Command> {
    let word = |text| Word { text, is_known: true, is_quoted: true, line, inner: Vec::new() };
    let simple = lexer::Simple { words: words.into_iter().map(word).collect(), ..lexer::Simple::default() };
    let mut commands = Vec::new();
    command::resolve(simple, variables, DEPTH, &mut commands);
    commands
}

#[cfg(test)]
mod tests;
