//! Inputs that move: what a Dockerfile takes from the world without saying exactly which bytes.
//!
//! Two builds of today may be equal and those of next month differ, because a tag was moved or a package has a new version.
//! [`find`] reads what such inputs can be told from: the Dockerfile, the values given to it, and files of the context that
//! name versions (`requirements.txt`, `package.json`, `pom.xml`, whether a lock file is there). `docs/moving-inputs.md` lists
//! the rules.
//!
//! **Where the line is.** A finding is meant to be right for whoever wrote the line, so what cannot be told is no finding:
//!
//! - RUN is read as a shell script (POSIX and bash): lists, pipes, quotes, substitutions, here-documents, `sh -c '…'`, `sudo` and
//!   the like. Nothing is run: every command counts, in whichever branch or function it is. Other shells (SHELL of PowerShell,
//!   `cmd`), other languages (`RUN python <<EOF`), scripts that are files, and programs that fetch by themselves are not read.
//! - Variables have the value that one ARG, ENV or assignment gives them. A version, name or address that depends on any other
//!   one is taken for pinned. An image that does is told as one that cannot be resolved.
//! - A checksum or signature that is checked after a download counts for all downloads before it in the same RUN, and for those of the RUN
//!   before if it downloads nothing itself; a commit that git is told to take counts for a clone before it in the stage. Whether the checksum is a good one is not asked.
//! - A version counts as a pin, although packages that it needs may move. Whether a registry lets a version be replaced is not asked.
//! - A file of the image is one of the context where COPY and ADD tell so; files that RUN writes are not known.
//! - Stages that the wanted one does not need are not read, because they are not built.

mod download;
mod files;
mod hit;
mod images;
mod packages;
mod rule;
mod shell;
mod stage;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use self::rule::Rule;
use crate::dockerfile::Dockerfile;
use crate::limits::MOVING_FINDINGS;

/// How likely another input is tomorrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It is likely.
    Moves,
    /// It is possible: somebody would have to replace what has a name or version, or a lock file would have to be out of date.
    MayMove,
}

/// An input that moves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Moving {
    /// The first line of it in the Dockerfile, counted from 1.
    pub first_line: usize,
    /// The last line.
    pub last_line: usize,
    /// The rule, as [`Rule::id`] names it.
    pub id: &'static str,
    /// How likely another input is.
    pub severity: Severity,
    /// What moves, in a few words, without control characters.
    pub what: String,
    /// Why, in one sentence without its full stop.
    pub why: &'static str,
    /// How to pin it.
    pub fix: String,
}

/// What is read.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The bytes of the Dockerfile.
    pub text: &'a [u8],
    /// The same, read.
    pub dockerfile: &'a Dockerfile,
    /// The stage that is built; the last one where none is named.
    pub target: Option<&'a str>,
    /// The build arguments that are given.
    pub arguments: &'a BTreeMap<String, String>,
    /// The names of named contexts that are given, as BuildKit looks them up. What they stand for cannot move: a directory or a digest.
    pub contexts: &'a BTreeSet<String>,
    /// The image that reads the Dockerfile instead of the one that it names; `builtin` for the one in BuildKit.
    pub frontend: Option<&'a str>,
    /// Reads a file of the context by its path in it, such as `app/package.json`: `None` where there is none, or an ignore file
    /// leaves it out.
    pub files: &'a dyn Fn(&str) -> Option<Vec<u8>>,
}

/// Finds the inputs that move, in the order of their lines; at most [`MOVING_FINDINGS`].
#[must_use]
pub fn find(inputs: &Inputs) -> Vec<Moving> {
    let mut found = images::frontend(inputs);
    found.extend(stage::find(inputs));
    found.sort();
    found.dedup();
    found.truncate(MOVING_FINDINGS);
    found
}

/// Whether a name has one of these endings, in lower case as programs look for them.
fn has_ending(name: &str, endings: &[&str]) -> bool {
    endings.iter().any(|ending| name.ends_with(ending))
}

/// Whether this is the whole hash of a git commit.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
