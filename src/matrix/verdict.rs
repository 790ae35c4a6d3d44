//! What the cells of a run come to, beside each other and beside earlier runs.
//!
//! A pure function of the history. Cells of one image, platform and BuildKit are a group, and have to give one digest; with
//! `equal-everywhere` all BuildKits are one group. A cell is equal only where something else gave its digest: another cell, an
//! earlier run of the same source, or the matrix itself, which expects it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::history::{CauseRecord, DifferenceRecord, ImageRecord, Outcome};
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The image.
    pub image: String,
    /// The platform.
    pub platform: String,
    /// The BuildKit; none where all of them have to give one.
    pub buildkit: Option<String>,
}

/// What a group came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The digest that its cells have to give, where one is known.
    pub digest: Option<u32>,
    /// How many cells gave it.
    pub agreed: usize,
    /// The run whose digest is another one, for the same source.
    pub changed_since: Option<String>,
}

/// A run, judged.
#[derive(Debug, Default)]
pub struct Judgement {
    /// The cells in their order.
    pub cells: Vec<Judged>,
    /// The groups.
    pub groups: BTreeMap<GroupKey, Group>,
}

impl Judgement {
    /// The worst of all verdicts.
    #[must_use]
    pub fn worst(&self) -> Option<Verdict> {
        let worst = |verdict: &Verdict| Verdict::ALL.iter().position(|known| known == verdict);
        self.cells.iter().map(|cell| cell.verdict).max_by_key(worst)
    }
}

/// What earlier runs gave, filled by judging them one after another.
#[derive(Debug, Default)]
pub struct Earlier(BTreeMap<GroupKey, Known>);

#[derive(Debug, Clone)]
struct Known {
    run: String,
    digest: u32,
    materials: Option<u32>,
    source: ImageRecord,
}

/// Of a cell, with the digest that it gave, and how it ended.
type Verdicts = BTreeMap<(u32, Option<u32>, Outcome), (Verdict, Option<String>)>;

/// Judges a run. `earlier` holds what the runs before it gave, and learns what this one gives.
#[must_use]
pub fn judge(history: &History, run: &Run, earlier: &mut Earlier) -> Judgement {
    let mut groups: BTreeMap<GroupKey, Vec<&Entry>> = BTreeMap::new();
    for entry in &run.entries {
        groups.entry(key_of(history, run, entry)).or_default().push(entry);
    }
    let mut judgement = Judgement::default();
    let mut verdicts: Verdicts = BTreeMap::new();
    for (key, entries) in groups {
        let source = run.record.images.iter().find(|image| image.name == key.image);
        let judged =
            JudgedGroup { history, run, source, entries: &entries, known: earlier.0.get(&key).cloned() }.judge();
        for (entry, verdict, why) in judged.cells {
            verdicts.insert((entry.cell, entry.digest, entry.outcome), (verdict, why));
        }
        if let (Some(digest), Some(source), None) = (judged.group.digest, source, &run.record.recheck) {
            let materials = entries.iter().find(|entry| entry.digest == Some(digest)).and_then(|entry| entry.materials);
            let gave = entries.iter().any(|entry| entry.digest == Some(digest));
            if gave {
                let known = Known { run: run.record.id.clone(), digest, materials, source: source.clone() };
                earlier.0.insert(key.clone(), known);
            }
        }
        judgement.groups.insert(key, judged.group);
    }
    judgement.cells = run
        .entries
        .iter()
        .filter_map(|entry| {
            let (verdict, why) = verdicts.get(&(entry.cell, entry.digest, entry.outcome))?.clone();
            Some(Judged { entry: *entry, verdict, why })
        })
        .collect();
    judgement
}

fn key_of(history: &History, run: &Run, entry: &Entry) -> GroupKey {
    let cell = history.cell(entry);
    let everywhere = run.record.images.iter().any(|image| image.name == cell.image && image.everywhere);
    GroupKey {
        image: cell.image.clone(),
        platform: cell.platform.clone(),
        buildkit: (!everywhere).then(|| cell.buildkit.clone()),
    }
}

struct JudgedGroup<'a> {
    history: &'a History,
    run: &'a Run,
    source: Option<&'a ImageRecord>,
    entries: &'a [&'a Entry],
    known: Option<Known>,
}

struct Outcomes<'a> {
    group: Group,
    cells: Vec<(&'a Entry, Verdict, Option<String>)>,
}

impl<'a> JudgedGroup<'a> {
    fn judge(&self) -> Outcomes<'a> {
        let majority = self.majority();
        // A group that is of one mind and of another than before has changed as a whole.
        let earlier =
            self.known.as_ref().filter(|known| self.source.is_some_and(|source| source.is_same_source(&known.source)));
        let changed = earlier.filter(|known| majority.is_some_and(|(digest, _)| digest != known.digest));
        let mut cells = Vec::new();
        for entry in self.entries {
            let (verdict, why) = match entry.outcome {
                Outcome::Failed => (Verdict::BuildFailed, self.told(entry)),
                Outcome::Missing => (Verdict::EnvironmentMissing, self.told(entry)),
                Outcome::Built => self.judge_built(entry, majority, earlier, changed),
            };
            cells.push((*entry, verdict, why));
        }
        let group = Group {
            digest: majority.map(|(digest, _)| digest),
            agreed: majority.map_or(0, |(_, count)| count),
            changed_since: changed.map(|known| known.run.clone()),
        };
        Outcomes { group, cells }
    }

    fn told(&self, entry: &Entry) -> Option<String> {
        self.history.text(entry.why).map(str::to_owned)
    }

    /// The digest that most cells gave, and how many; of several the one of the first cell.
    fn majority(&self) -> Option<(u32, usize)> {
        let mut counts: Vec<(u32, usize)> = Vec::new();
        for digest in self.entries.iter().filter_map(|entry| entry.digest) {
            match counts.iter_mut().find(|(known, _)| *known == digest) {
                Some((_, count)) => *count += 1,
                None => counts.push((digest, 1)),
            }
        }
        let most = counts.iter().map(|(_, count)| *count).max()?;
        counts.into_iter().find(|(_, count)| *count == most)
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
        majority: Option<(u32, usize)>,
        earlier: Option<&Known>,
        changed: Option<&Known>,
    ) -> (Verdict, Option<String>) {
        if let Some(expected) = self.expected(entry) {
            let is_expected = self.history.digest(entry.digest).is_some_and(|digest| digest.to_string() == expected);
            if is_expected {
                return (Verdict::Equal, None);
            }
            return self.judge_other(entry, None, &format!("{expected} is expected"));
        }
        if let Some(recheck) = &self.run.record.recheck {
            return self.judge_again(entry, &recheck.of);
        }
        let Some((most, count)) = majority else { return (Verdict::Alone, None) };
        if entry.digest != Some(most) || (count == 1 && self.built() > 1) {
            let other = self.entries.iter().copied().find(|other| other.digest == Some(most) && *other != entry);
            let other = other.or_else(|| {
                self.entries.iter().copied().find(|other| other.digest.is_some() && other.digest != entry.digest)
            });
            let who = other.map_or_else(String::new, |other| format!("{} gave another digest", self.name(other)));
            let who = if count > 1 { format!("{count} cells agree on another digest") } else { who };
            return self.judge_other(entry, other, &who);
        }
        match changed {
            Some(known) => self.judge_changed(entry, known, count),
            None if count > 1 || earlier.is_some() => (Verdict::Equal, None),
            None => (Verdict::Alone, Some("no other cell and no earlier run built the same source".to_owned())),
        }
    }

    fn built(&self) -> usize {
        self.entries.iter().filter(|entry| entry.outcome == Outcome::Built).count()
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
    fn judge_changed(&self, entry: &Entry, known: &Known, count: usize) -> (Verdict, Option<String>) {
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
    fn judge_again(&self, entry: &Entry, of: &str) -> (Verdict, Option<String>) {
        let Some(earlier) = self.history.run(of) else {
            return (Verdict::Alone, Some(format!("run {of} is not in this history")));
        };
        let gave: BTreeSet<u32> = earlier
            .entries
            .iter()
            .filter(|other| key_of(self.history, earlier, other) == key_of(self.history, self.run, entry))
            .filter_map(|other| other.digest)
            .collect();
        match entry.digest {
            Some(digest) if gave.contains(&digest) => (Verdict::Equal, None),
            _ if gave.is_empty() => (Verdict::Alone, Some(format!("run {of} gave no digest for it"))),
            _ => {
                let others =
                    earlier.entries.iter().find(|other| other.digest.is_some_and(|digest| gave.contains(&digest)));
                let why = format!("run {of} gave another digest");
                match others.and_then(|other| self.moved(other.materials, entry.materials)) {
                    Some(moved) => (Verdict::InputChanged, Some(format!("{why}: {moved}"))),
                    None => (Verdict::NotReproducible, Some(why)),
                }
            }
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
pub fn find_difference<'a>(differences: &'a [DifferenceRecord], a: &str, b: &str) -> Option<&'a DifferenceRecord> {
    let is =
        |one: &&DifferenceRecord| (one.a.digest == a && one.b.digest == b) || (one.a.digest == b && one.b.digest == a);
    differences.iter().find(is)
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
