//! What the cells of a run come to, beside each other and beside earlier runs.
//!
//! A pure function of the history. Cells of one image, platform and BuildKit are a group, and have to give one digest; with
//! `equal-everywhere` all BuildKits are one group. A cell is equal only where something else gave its digest that no cache can have
//! handed on to it: another cell, an earlier run of the same source, or the matrix itself, which expects it.

use std::collections::HashMap;

use serde::Serialize;

use super::agree::Givers;
use super::group::{Again, JudgedGroup};
use super::history::{BuildKitRecord, CauseRecord, DifferenceRecord, ImageRecord, RunRecord};
use super::past::{Entry, History, Run};

/// What a cell came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Its digest is what others gave, or what is expected.
    Equal,
    /// It was built, and there is nothing to hold its digest against.
    Alone,
    /// Its digest is another one, and no input is known to be.
    NotReproducible,
    /// Its digest is another one, and so is an input.
    InputChanged,
    /// The build failed.
    BuildFailed,
    /// It could not be built here.
    EnvironmentMissing,
}

impl Verdict {
    /// All of them, the best first.
    pub const ALL: [Self; 6] = [
        Self::Equal,
        Self::Alone,
        Self::EnvironmentMissing,
        Self::BuildFailed,
        Self::InputChanged,
        Self::NotReproducible,
    ];

    /// The words for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Alone => "nothing to compare",
            Self::NotReproducible => "not reproducible",
            Self::InputChanged => "input changed",
            Self::BuildFailed => "build failed",
            Self::EnvironmentMissing => "environment missing",
        }
    }

    /// Whether a digest is another one than it has to be.
    #[must_use]
    pub const fn differs(self) -> bool {
        matches!(self, Self::NotReproducible | Self::InputChanged)
    }
}

/// A cell, judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The cell's end.
    pub entry: Entry,
    /// What it came to.
    pub verdict: Verdict,
    /// Why, in one sentence without its full stop; none for what is equal.
    pub why: Option<String>,
}

/// Cells that have to give one digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey<'a> {
    /// The image.
    pub image: &'a str,
    /// The platform.
    pub platform: &'a str,
    /// The BuildKit; none where all of them have to give one.
    pub buildkit: Option<&'a str>,
}

/// What a group came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<'a> {
    /// Which one.
    pub key: GroupKey<'a>,
    /// The digest that its cells have to give, where one is known.
    pub digest: Option<u32>,
    /// How many cells gave it.
    pub agreed: usize,
    /// The run whose digest is another one, for the same source.
    pub changed_since: Option<&'a str>,
}

/// A run, judged.
#[derive(Debug, Default)]
pub struct Judgement<'a> {
    /// The cells in their order.
    pub cells: Vec<Judged>,
    /// The groups in theirs.
    pub groups: Vec<Group<'a>>,
}

/// What earlier runs gave, filled by judging them one after another.
#[derive(Debug)]
pub struct Earlier<'a> {
    runs: HashMap<&'a str, &'a Run>,
    /// What each source of a group gave last; a branch beside the main one is another source.
    known: HashMap<GroupKey<'a>, Vec<Known<'a>>>,
}

impl<'a> Earlier<'a> {
    /// Before any run was judged.
    #[must_use]
    pub fn of(history: &'a History) -> Self {
        let runs = history.runs.iter().map(|run| (run.record.id.as_str(), run)).collect();
        Self { runs, known: HashMap::new() }
    }

    /// What the same source gave last, built with the same BuildKit.
    fn find(&self, key: &GroupKey<'a>, run: &'a Run, source: Option<&'a ImageRecord>) -> Option<Known<'a>> {
        let (source, buildkit) = (source?, buildkit_of(&run.record, key.buildkit));
        let same = |known: &&Known<'a>| source.is_same_source(known.source) && known.buildkit == buildkit;
        self.known.get(key)?.iter().rev().find(same).copied()
    }

    fn learn(&mut self, key: GroupKey<'a>, known: Known<'a>) {
        let of_group = self.known.entry(key).or_default();
        of_group.retain(|other| !(other.source.is_same_source(known.source) && other.buildkit == known.buildkit));
        if of_group.len() == SOURCES {
            of_group.remove(0);
        }
        of_group.push(known);
    }
}

/// How many sources of one group are remembered.
const SOURCES: usize = 16;

/// The BuildKit that a run had under a name.
pub(super) fn buildkit_of<'a>(run: &'a RunRecord, name: Option<&str>) -> Option<&'a BuildKitRecord> {
    run.buildkits.get(name?)
}

/// What a source gave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub run: &'a str,
    pub digest: u32,
    pub materials: Option<u32>,
    pub source: &'a ImageRecord,
    pub buildkit: Option<&'a BuildKitRecord>,
    /// Who gave it, in this run and in those before it that gave the same.
    pub givers: Givers<'a>,
}

/// Judges a run. `earlier` holds what the runs before it gave, and learns what this one gives.
#[must_use]
pub fn judge<'a>(history: &'a History, run: &'a Run, earlier: &mut Earlier<'a>) -> Judgement<'a> {
    let mut judgement = Judgement { cells: Vec::with_capacity(run.entries.len()), groups: Vec::new() };
    let again = run
        .record
        .recheck
        .as_ref()
        .map(|recheck| Again { of: &recheck.of, run: earlier.runs.get(recheck.of.as_str()).copied() });
    let mut source: Option<&ImageRecord> = None;
    // The order of cells is that of groups: the cells of one stand side by side.
    let mut rest = run.entries.as_slice();
    while let Some(first) = rest.first() {
        let image = &history.cell(first).image;
        if source.is_none_or(|source| source.name != *image) {
            source = run.record.images.iter().find(|source| source.name == *image);
        }
        let key = key_of(history, source, first);
        let end = rest.iter().position(|entry| key_of(history, source, entry) != key).unwrap_or(rest.len());
        let (entries, behind) = rest.split_at(end);
        rest = behind;
        let known = earlier.find(&key, run, source);
        let group = JudgedGroup::new(history, run, source, entries, (known, again), key);
        judgement.groups.push(group.judge(&mut judgement.cells));
        if let (Some(source), None) = (source, again)
            && let Some(gave) = group.gave(source)
        {
            earlier.learn(key, gave);
        }
    }
    judgement
}

fn key_of<'a>(history: &'a History, source: Option<&ImageRecord>, entry: &Entry) -> GroupKey<'a> {
    let cell = history.cell(entry);
    let everywhere = source.is_some_and(|source| source.everywhere && source.name == cell.image);
    GroupKey { image: &cell.image, platform: &cell.platform, buildkit: (!everywhere).then_some(cell.buildkit.as_str()) }
}

/// The record of two digests, whichever is first: of several the one that was compared.
#[must_use]
pub fn find_difference<'a>(
    differences: impl IntoIterator<Item = &'a DifferenceRecord>,
    a: &str,
    b: &str,
) -> Option<&'a DifferenceRecord> {
    let is =
        |one: &&DifferenceRecord| (one.a.digest == a && one.b.digest == b) || (one.a.digest == b && one.b.digest == a);
    differences.into_iter().filter(is).min_by_key(|one| one.why.is_some())
}

/// Causes that are another input: the build did what it had to with what it got.
const INPUTS: [&str; 8] = [
    "base-image",
    "add-url",
    "download",
    "context-file",
    "apt-packages",
    "apk-packages",
    "python-packages",
    "npm-packages",
];

pub(super) fn is_input(cause: &CauseRecord) -> bool {
    !cause.consequence && INPUTS.contains(&cause.id.as_str())
}

/// Causes as one reads them: `mtime (line 3), pyc-mtime`.
#[must_use]
pub fn causes_in_words<'a>(causes: impl IntoIterator<Item = &'a CauseRecord>) -> String {
    let own = causes.into_iter().filter(|cause| !cause.consequence);
    let word = |cause: &CauseRecord| match cause.line {
        Some(line) => format!("{} (line {line})", cause.id),
        None => cause.id.clone(),
    };
    own.map(word).collect::<Vec<_>>().join(", ")
}
