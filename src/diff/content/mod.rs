//! What differs inside of two files.
//!
//! The contents are read out of the layers a second time, into a temporary file without a name. What is known is looked into,
//! within the ceilings of [`crate::limits`]: nobody's archive is inflated without end. What is not known is told by the first
//! byte that differs.

mod binary;
mod extract;
mod formats;
mod members;
mod packages;
mod strings;
mod text;

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::Serialize;

pub(super) use extract::{Looker, SideFiles};

use super::model::{Difference, Kind, Text};
use crate::limits;

/// What was found inside of two files that differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Content {
    /// What the files are; that of the first, where they are not the same.
    pub format: Format,
    /// What differs, in the words of the format; members of archives with `!` between archive and member.
    pub parts: Vec<Difference>,
    /// How many parts are not told.
    pub more: u64,
    /// Of which kinds these are, and how many of each.
    #[serde(skip)]
    pub more_kinds: BTreeMap<Kind, u64>,
    /// A unified diff, for text: its lines, cut where there are many.
    pub lines: Vec<Text>,
    /// How many lines are not told.
    pub more_lines: u64,
    /// Whether the same lines stand in another order in a text.
    #[serde(skip)]
    pub is_reordered: bool,
    /// Whether nothing but these lines differs in a binary file, of which they are the texts.
    #[serde(skip)]
    pub is_only_texts: bool,
    /// The first byte that differs, counted from 0. None where the files were not read again.
    pub first_difference: Option<u64>,
    /// Why nothing more is told.
    pub note: Option<String>,
}

impl Content {
    const fn new(format: Format, first_difference: Option<u64>) -> Self {
        Self {
            format,
            parts: Vec::new(),
            more: 0,
            more_kinds: BTreeMap::new(),
            lines: Vec::new(),
            more_lines: 0,
            is_reordered: false,
            is_only_texts: false,
            first_difference,
            note: None,
        }
    }

    /// Nothing found yet, for tests of what is said of it.
    #[cfg(test)]
    pub(in crate::diff) const fn for_test(format: Format) -> Self {
        Self::new(format, Some(0))
    }

    fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    fn push(&mut self, difference: Difference) {
        if self.parts.len() < limits::LOOK_PARTS {
            self.parts.push(difference);
        } else {
            *self.more_kinds.entry(difference.kind).or_default() += 1;
            self.more += 1;
        }
    }

    /// Counts what another content does not tell to what this one does not tell.
    fn leave_out(&mut self, other: &Self) {
        self.more += other.more;
        for (kind, count) in &other.more_kinds {
            *self.more_kinds.entry(*kind).or_default() += count;
        }
    }
}

/// What a file is, by its first bytes or by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Lines of text.
    Text,
    /// Compiled Python.
    Pyc,
    /// A zip, such as a jar or a wheel.
    Zip,
    /// gzip.
    Gzip,
    /// An archive of `ar`, such as a static library or a package of Debian.
    Ar,
    /// A tar.
    Tar,
    /// A program or library.
    Elf,
    /// A SQLite database.
    Sqlite,
    /// dpkg's list of packages.
    DpkgStatus,
    /// apk's list of packages.
    ApkInstalled,
    /// Anything else.
    Binary,
}

impl Format {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Pyc => "compiled Python",
            Self::Zip => "zip",
            Self::Gzip => "gzip",
            Self::Ar => "ar archive",
            Self::Tar => "tar",
            Self::Elf => "ELF",
            Self::Sqlite => "SQLite database",
            Self::DpkgStatus => "list of Debian packages",
            Self::ApkInstalled => "list of Alpine packages",
            Self::Binary => "binary",
        }
    }
}

/// Looks into two contents of a path.
pub(super) fn compare(path: &[u8], a: &mut dyn Read, b: &mut dyn Read, sizes: (u64, u64)) -> io::Result<Content> {
    if sizes.0.max(sizes.1) > limits::LOOK_BYTES {
        let first = first_difference(a, b)?;
        let note = format!("files of more than {} bytes are not looked into", limits::LOOK_BYTES);
        return Ok(Content::new(Format::Binary, Some(first)).noted(note));
    }
    let (mut one, mut other) = (Vec::new(), Vec::new());
    a.read_to_end(&mut one)?;
    b.read_to_end(&mut other)?;
    let mut budget = formats::Budget { bytes: limits::LOOK_INFLATED_BYTES, depth: 0 };
    Ok(formats::look(path, &one, &other, &mut budget))
}

/// The first byte in which two readers differ; that of the end, where one of them goes on.
fn first_difference(a: &mut dyn Read, b: &mut dyn Read) -> io::Result<u64> {
    let (mut one, mut other) = (vec![0; limits::CHUNK_BYTES], vec![0; limits::CHUNK_BYTES]);
    let mut offset = 0;
    loop {
        let (count_a, count_b) = (fill(a, &mut one)?, fill(b, &mut other)?);
        let common = count_a.min(count_b);
        let differs = one[..common].iter().zip(&other[..common]).position(|(one, other)| one != other);
        if let Some(at) = differs {
            return Ok(offset + at as u64);
        }
        offset += common as u64;
        if count_a != count_b || count_a < one.len() {
            return Ok(offset);
        }
    }
}

fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// The first byte in which two slices differ.
fn first_of(a: &[u8], b: &[u8]) -> u64 {
    a.iter().zip(b).take_while(|(one, other)| one == other).count() as u64
}
