//! What the cells of a run come to, beside each other and beside earlier runs.
//!
//! A pure function of the history. Cells of one image, platform and BuildKit are a group, and have to give one digest; with
//! `equal-everywhere` all BuildKits are one group. A cell is equal only where something else gave its digest: another cell, an
//! earlier run of the same source, or the matrix itself, which expects it.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::history::{BuildKitRecord, CauseRecord, DifferenceRecord, ImageRecord, Outcome, RunRecord};
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
fn buildkit_of<'a>(run: &'a RunRecord, name: Option<&str>) -> Option<&'a BuildKitRecord> {
    run.buildkits.get(name?)
}

#[derive(Debug, Clone, Copy)]
struct Known<'a> {
    run: &'a str,
    digest: u32,
    materials: Option<u32>,
    source: &'a ImageRecord,
    buildkit: Option<&'a BuildKitRecord>,
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
        let group = JudgedGroup { history, run, source, entries, known: earlier.find(&key, run, source), again, key };
        judgement.groups.push(group.judge(&mut judgement.cells));
        if let (Some(found), Some(source), None) = (group.found(), source, again) {
            let gave = entries.iter().find(|entry| entry.digest == Some(found.digest));
            // Where two digests stand against each other, neither is what later runs have to give.
            if let Some(gave) = gave.filter(|_| found.is_agreed) {
                let (run_record, run) = (run, run.record.id.as_str());
                let buildkit = buildkit_of(&run_record.record, key.buildkit);
                let known = Known { run, digest: found.digest, materials: gave.materials, source, buildkit };
                earlier.learn(key, known);
            }
        }
    }
    judgement
}

fn key_of<'a>(history: &'a History, source: Option<&ImageRecord>, entry: &Entry) -> GroupKey<'a> {
    let cell = history.cell(entry);
    let everywhere = source.is_some_and(|source| source.everywhere && source.name == cell.image);
    GroupKey { image: &cell.image, platform: &cell.platform, buildkit: (!everywhere).then_some(cell.buildkit.as_str()) }
}

/// The earlier run that is built again, where the history still has it.
#[derive(Clone, Copy)]
struct Again<'a> {
    of: &'a str,
    run: Option<&'a Run>,
}

/// The digest that a group has to give.
#[derive(Clone, Copy)]
struct Found {
    digest: u32,
    /// How many cells gave it.
    count: usize,
    /// Whether it stands alone, or above all others.
    is_agreed: bool,
}

struct JudgedGroup<'a, 'b> {
    history: &'a History,
    run: &'a Run,
    source: Option<&'a ImageRecord>,
    entries: &'b [Entry],
    known: Option<Known<'a>>,
    again: Option<Again<'a>>,
    key: GroupKey<'a>,
}

impl<'a> JudgedGroup<'a, '_> {
    fn judge(&self, cells: &mut Vec<Judged>) -> Group<'a> {
        let found = self.found();
        let earlier = self.earlier();
        // A group that is of one mind and of another than before has changed as a whole.
        let changed = earlier.filter(|known| found.is_some_and(|found| found.digest != known.digest));
        let gave = self.gave_before();
        for entry in self.entries {
            let (verdict, why) = match entry.outcome {
                Outcome::Failed => (Verdict::BuildFailed, self.told(entry)),
                Outcome::Missing => (Verdict::EnvironmentMissing, self.told(entry)),
                Outcome::Built => self.judge_built(entry, found, (earlier, changed), &gave),
            };
            cells.push(Judged { entry: *entry, verdict, why });
        }
        Group {
            key: self.key,
            digest: found.map(|found| found.digest),
            agreed: found.map_or(0, |found| found.count),
            changed_since: changed.map(|known| known.run),
        }
    }

    /// What an earlier run of the same source gave.
    fn earlier(&self) -> Option<Known<'a>> {
        self.known
    }

    /// What the run that is built again gave for this group.
    fn gave_before(&self) -> Vec<&'a Entry> {
        let Some(run) = self.again.and_then(|again| again.run) else { return Vec::new() };
        let is_of_group = |entry: &&Entry| {
            let cell = self.history.cell(entry);
            entry.digest.is_some()
                && (cell.image.as_str(), cell.platform.as_str()) == (self.key.image, self.key.platform)
                && self.key.buildkit.is_none_or(|buildkit| buildkit == cell.buildkit)
        };
        run.entries.iter().filter(is_of_group).collect()
    }

    fn told(&self, entry: &Entry) -> Option<String> {
        self.history.text(entry.why).map(str::to_owned)
    }

    /// The digest that most cells gave. Of several the one that an earlier run of the same source gave, else that of the first
    /// cell, which nothing speaks for.
    fn found(&self) -> Option<Found> {
        let mut counts: Vec<(u32, usize)> = Vec::new();
        for digest in self.entries.iter().filter_map(|entry| entry.digest) {
            match counts.iter_mut().find(|(known, _)| *known == digest) {
                Some((_, count)) => *count += 1,
                None => counts.push((digest, 1)),
            }
        }
        let count = counts.iter().map(|(_, count)| *count).max()?;
        counts.retain(|one| one.1 == count);
        let known = self.earlier().map(|known| known.digest);
        match counts.iter().find(|one| Some(one.0) == known) {
            Some((digest, _)) => Some(Found { digest: *digest, count, is_agreed: true }),
            None => counts.first().map(|(digest, _)| Found { digest: *digest, count, is_agreed: counts.len() == 1 }),
        }
    }

    /// The digest that the matrix expects of a cell.
    fn expected(&self, entry: &Entry) -> Option<&'a str> {
        let cell = self.history.cell(entry);
        let is_for = |wanted: &Option<String>, value: &String| wanted.as_ref().is_none_or(|wanted| wanted == value);
        let mut expected = self.source?.expected.iter();
        let found =
            expected.find(|one| is_for(&one.platform, &cell.platform) && is_for(&one.buildkit, &cell.buildkit))?;
        Some(&found.digest)
    }

    fn judge_built(
        &self,
        entry: &Entry,
        found: Option<Found>,
        (earlier, changed): (Option<Known<'a>>, Option<Known<'a>>),
        gave: &[&Entry],
    ) -> (Verdict, Option<String>) {
        if self.source.is_none() {
            // Neither a digest that is expected nor what has to be equal is known.
            let why = "the history has lost how its run began, and with it what it has to give";
            return (Verdict::Alone, Some(why.to_owned()));
        }
        if let Some(expected) = self.expected(entry) {
            let is_expected = self.history.digest(entry.digest).is_some_and(|digest| digest.to_string() == expected);
            if is_expected {
                return (Verdict::Equal, None);
            }
            return self.judge_other(entry, None, &format!("{expected} is expected"));
        }
        if let Some(again) = self.again {
            return self.judge_again(entry, again, gave);
        }
        let Some(Found { digest, count, is_agreed }) = found else { return (Verdict::Alone, None) };
        if entry.digest != Some(digest) || !is_agreed {
            let is_other = |other: &&Entry| other.digest.is_some() && other.digest != entry.digest;
            let other =
                self.entries.iter().find(|other| is_other(other) && (other.digest == Some(digest) || !is_agreed));
            let who = match other {
                Some(_) if count > 1 && is_agreed => format!("{count} cells agree on another digest"),
                Some(_) if count > 1 => format!("{count} cells agree on this digest, and as many on another one"),
                Some(other) => format!("{} gave another digest", self.name(other)),
                None => String::new(),
            };
            return self.judge_other(entry, other, &who);
        }
        match changed {
            Some(known) => self.judge_changed(entry, known, count),
            None if count > 1 || earlier.is_some() => (Verdict::Equal, None),
            None => (Verdict::Alone, Some("no other cell and no earlier run built the same source".to_owned())),
        }
    }

    fn name(&self, entry: &Entry) -> String {
        self.history.cell(entry).builder()
    }

    /// A cell that gave something else than others of this run.
    fn judge_other(&self, entry: &Entry, other: Option<&Entry>, why: &str) -> (Verdict, Option<String>) {
        if let Some(moved) = other.and_then(|other| self.moved(other.materials, entry.materials)) {
            return (Verdict::InputChanged, Some(format!("{why}: {moved}")));
        }
        let digest = |entry: &Entry| self.history.digest(entry.digest).map(ToString::to_string).unwrap_or_default();
        let pair = other.map(|other| [digest(other), digest(entry)]);
        let difference = pair.and_then(|[a, b]| find_difference(&self.run.differences, &a, &b));
        let Some(difference) = difference else { return (Verdict::NotReproducible, Some(why.to_owned())) };
        let inputs: Vec<&CauseRecord> = difference.causes.iter().filter(|cause| is_input(cause)).collect();
        if inputs.is_empty() {
            let causes = causes_in_words(&difference.causes);
            let why = if causes.is_empty() { why.to_owned() } else { format!("{why}: {causes}") };
            return (Verdict::NotReproducible, Some(why));
        }
        (Verdict::InputChanged, Some(format!("{why}: {}", causes_in_words(inputs.into_iter()))))
    }

    /// A group that gives another digest than the same source gave before.
    fn judge_changed(&self, entry: &Entry, known: Known<'_>, count: usize) -> (Verdict, Option<String>) {
        let since = format!("run {} gave another digest for the same source", known.run);
        if let Some(moved) = self.moved(known.materials, entry.materials) {
            return (Verdict::InputChanged, Some(format!("{since}: {moved}")));
        }
        let moving = self.source.map(|source| source.moving.as_slice()).unwrap_or_default();
        // Builds of today that agree with each other are made alike from what there is today.
        if count > 1 && !moving.is_empty() {
            let text = format!("{since}, and today's agree: perhaps {}", moving.join(", or "));
            return (Verdict::InputChanged, Some(text));
        }
        (Verdict::NotReproducible, Some(since))
    }

    /// A cell that builds again what an earlier run gave.
    fn judge_again(&self, entry: &Entry, again: Again<'_>, gave: &[&Entry]) -> (Verdict, Option<String>) {
        let of = again.of;
        if again.run.is_none() {
            return (Verdict::Alone, Some(format!("run {of} is not in this history")));
        }
        // What this very cell gave; where there was none such, what its group did.
        let own: Vec<&Entry> = gave.iter().copied().filter(|other| other.cell == entry.cell).collect();
        let held_against = if own.is_empty() { gave } else { &own };
        let Some(other) = held_against.first() else {
            return (Verdict::Alone, Some(format!("run {of} gave no digest for it")));
        };
        if held_against.iter().any(|other| other.digest == entry.digest) {
            return (Verdict::Equal, None);
        }
        let why = format!("run {of} gave another digest");
        match self.moved(other.materials, entry.materials) {
            Some(moved) => (Verdict::InputChanged, Some(format!("{why}: {moved}"))),
            None => (Verdict::NotReproducible, Some(why)),
        }
    }

    /// What one build was made from and the other was not.
    fn moved(&self, a: Option<u32>, b: Option<u32>) -> Option<String> {
        if a == b {
            return None;
        }
        let lines = |number| self.history.text(number).map(|text| text.lines().collect::<BTreeSet<_>>());
        let (a, b) = (lines(a)?, lines(b)?);
        let moved: Vec<String> = b
            .difference(&a)
            .map(|now| {
                let (name, digest) = now.rsplit_once(' ').unwrap_or((now, ""));
                let before = a.iter().find_map(|before| before.strip_prefix(name)?.strip_prefix(' '));
                match before {
                    Some(before) => format!("`{name}` was {before} and is {digest}"),
                    None => format!("`{now}` is new"),
                }
            })
            .collect();
        let gone = a.difference(&b).map(|before| format!("`{before}` is gone"));
        let moved = if moved.is_empty() { gone.collect() } else { moved };
        Some(moved.join(", "))
    }
}

/// The record of two digests, whichever is first.
#[must_use]
pub fn find_difference<'a>(
    differences: impl IntoIterator<Item = &'a DifferenceRecord>,
    a: &str,
    b: &str,
) -> Option<&'a DifferenceRecord> {
    let is =
        |one: &&DifferenceRecord| (one.a.digest == a && one.b.digest == b) || (one.a.digest == b && one.b.digest == a);
    differences.into_iter().find(is)
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

fn is_input(cause: &CauseRecord) -> bool {
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
