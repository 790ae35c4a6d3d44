//! One group of cells, judged: what of it agrees, what differs, and why.

use std::collections::BTreeSet;

use super::agree::{Givers, REMOTE, Witness, pieces};
use super::history::{CauseRecord, DifferenceRecord, ImageRecord, Outcome};
use super::join::Expected;
use super::past::{Entry, History, Run};
use super::verdict::{
    Group, GroupKey, Judged, Known, Verdict, buildkit_of, causes_in_words, find_difference, is_input,
};

/// The earlier run that is built again, where the history still has it.
#[derive(Clone, Copy)]
pub struct Again<'a> {
    pub of: &'a str,
    pub run: Option<&'a Run>,
}

/// A digest, and what speaks for it.
#[derive(Debug, Clone)]
struct Vote<'a> {
    digest: u32,
    witnesses: Vec<Witness<'a>>,
    /// How many of these cannot have it from each other. Copies of a cache are no majority.
    pieces: usize,
    /// Whether an earlier run gave it, too, and no cache has it from there.
    is_backed: bool,
}

impl Vote<'_> {
    /// How many gave it: `2 cells`.
    fn in_words(&self) -> String {
        let cells = self.witnesses.len();
        if cells == self.pieces {
            format!("{cells} cells")
        } else {
            format!("{} cells that share no cache", self.pieces)
        }
    }
}

/// The digest that a group has to give.
#[derive(Clone, Copy)]
struct Found<'b, 'a> {
    vote: &'b Vote<'a>,
    /// Whether it stands alone, or above all others.
    is_agreed: bool,
}

/// Cells that have to give one digest, and what they gave.
pub struct JudgedGroup<'a, 'b> {
    history: &'a History,
    run: &'a Run,
    source: Option<&'a ImageRecord>,
    entries: &'b [Entry],
    known: Option<Known<'a>>,
    again: Option<Again<'a>>,
    key: GroupKey<'a>,
    /// The digests in the order of their first cells.
    votes: Vec<Vote<'a>>,
}

impl<'a, 'b> JudgedGroup<'a, 'b> {
    pub fn new(
        history: &'a History,
        run: &'a Run,
        source: Option<&'a ImageRecord>,
        entries: &'b [Entry],
        (known, again): (Option<Known<'a>>, Option<Again<'a>>),
        key: GroupKey<'a>,
    ) -> Self {
        let mut group = Self { history, run, source, entries, known, again, key, votes: Vec::new() };
        let mut votes: Vec<Vote<'a>> = Vec::new();
        for entry in entries.iter().filter(|entry| group.is_held_against_others(entry)) {
            let Some(digest) = entry.digest else { continue };
            let witness = Witness::of(history, source, entry);
            match votes.iter_mut().find(|vote| vote.digest == digest) {
                Some(vote) => vote.witnesses.push(witness),
                None => votes.push(Vote { digest, witnesses: vec![witness], pieces: 0, is_backed: false }),
            }
        }
        for vote in &mut votes {
            vote.pieces = pieces(&vote.witnesses);
            let known = known.filter(|known| known.digest == vote.digest);
            vote.is_backed = known.is_some_and(|known| vote.witnesses.iter().any(|one| known.givers.back(one)));
        }
        group.votes = votes;
        group
    }

    /// Judges its cells.
    pub fn judge(&self, cells: &mut Vec<Judged>) -> Group<'a> {
        let found = self.found();
        // A group that is of one mind and of another than before has changed as a whole.
        let changed = self.known.filter(|known| found.is_some_and(|found| found.vote.digest != known.digest));
        let gave = self.gave_before();
        for entry in self.entries {
            let (verdict, why) = match entry.outcome {
                Outcome::Failed => (Verdict::BuildFailed, self.told(entry)),
                Outcome::Missing => (Verdict::EnvironmentMissing, self.told(entry)),
                Outcome::Built => self.judge_built(entry, found, changed, &gave),
            };
            cells.push(Judged { entry: *entry, verdict, why });
        }
        Group {
            key: self.key,
            digest: found.map(|found| found.vote.digest),
            agreed: found.map_or(0, |found| found.vote.witnesses.len()),
            changed_since: changed.map(|known| known.run),
        }
    }

    /// What later runs of the same source have to give. Where two digests stand against each other, neither.
    pub fn gave(&self, source: &'a ImageRecord) -> Option<Known<'a>> {
        let vote = self.found().filter(|found| found.is_agreed)?.vote;
        let entry = self.entries.iter().find(|entry| entry.digest == Some(vote.digest))?;
        let before = self.known.filter(|known| known.digest == vote.digest).map(|known| known.givers);
        let givers = Givers::of(&vote.witnesses)?;
        Some(Known {
            run: &self.run.record.id,
            digest: vote.digest,
            materials: entry.materials,
            source,
            buildkit: buildkit_of(&self.run.record, self.key.buildkit),
            givers: before.map_or(givers, |before| before.and(givers)),
        })
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

    /// The digest that most speaks for. Of several the one that an earlier run of the same source gave, else that of the first
    /// cell, which nothing speaks for.
    fn found(&self) -> Option<Found<'_, 'a>> {
        let most = self.votes.iter().map(|vote| vote.pieces).max()?;
        let mut first = self.votes.iter().filter(|vote| vote.pieces == most);
        if let Some(vote) = first.clone().find(|vote| vote.is_backed) {
            return Some(Found { vote, is_agreed: true });
        }
        let vote = first.next()?;
        Some(Found { vote, is_agreed: first.next().is_none() })
    }

    /// Why it is not known what a cell was built with, or what it has to give.
    fn unknown(&self, entry: &Entry) -> Option<String> {
        if self.source.is_none() {
            // Neither a digest that is expected nor what has to be equal is known.
            return Some("the history has lost how its run began, and with it what it has to give".to_owned());
        }
        self.run.dissent.about(self.history.cell(entry))
    }

    fn has_sources(&self) -> bool {
        self.run.dissent.has_sources(self.key.image)
    }

    fn is_held_against_others(&self, entry: &Entry) -> bool {
        let expected = self.expected(entry);
        self.unknown(entry).is_none() && !self.has_sources() && expected != Expected::Several
    }

    /// The digest that the matrix expects of a cell.
    fn expected(&self, entry: &Entry) -> Expected<'a> {
        let cell = self.history.cell(entry);
        self.source.map_or(Expected::Nothing, |source| self.run.dissent.expected(source, cell))
    }

    fn judge_built(
        &self,
        entry: &Entry,
        found: Option<Found<'_, 'a>>,
        changed: Option<Known<'a>>,
        gave: &[&Entry],
    ) -> (Verdict, Option<String>) {
        let alone = |why: &str| (Verdict::Alone, Some(why.to_owned()));
        if let Some(why) = self.unknown(entry) {
            return (Verdict::Alone, Some(why));
        }
        let sources = "it was built from different sources in this run, and nothing of one is held against the others";
        if let Some(again) = self.again {
            return if self.has_sources() { alone(sources) } else { self.judge_again(entry, again, gave) };
        }
        match self.expected(entry) {
            Expected::Several => return alone("the parts of this run expect different digests of it"),
            Expected::Digest(digest) => {
                let own = self.history.digest(entry.digest).map(ToString::to_string);
                return match own.is_some_and(|own| own == digest) {
                    true => (Verdict::Equal, None),
                    false if self.has_sources() => {
                        (Verdict::Alone, Some(format!("{digest} is expected, but {sources}")))
                    }
                    false => self.judge_other(entry, None, &format!("{digest} is expected")),
                };
            }
            Expected::Nothing if self.has_sources() => return alone(sources),
            Expected::Nothing => {}
        }
        let Some(Found { vote, is_agreed }) = found else { return (Verdict::Alone, None) };
        if entry.digest != Some(vote.digest) || !is_agreed {
            return self.judge_beside_others(entry, vote, is_agreed);
        }
        match changed {
            Some(known) => self.judge_changed(entry, known, vote),
            None if vote.pieces > 1 || vote.is_backed => (Verdict::Equal, None),
            None if self.known.is_some() => alone("nothing but its own cache gave it before"),
            None if vote.witnesses.len() > 1 => {
                alone("no other builder and no earlier run built the same source, and its own cache proves nothing")
            }
            None => alone("no other cell and no earlier run built the same source"),
        }
    }

    /// A cell of a group of several minds that did not give what it has to, or does not know what.
    fn judge_beside_others(&self, entry: &Entry, vote: &Vote<'_>, is_agreed: bool) -> (Verdict, Option<String>) {
        let is_other = |other: &&Entry| {
            let wanted = !is_agreed || other.digest == Some(vote.digest);
            wanted && other.digest.is_some() && other.digest != entry.digest && self.is_held_against_others(other)
        };
        let others = || self.entries.iter().filter(is_other);
        // Of several that are as good, one that it was compared with.
        let compared = others().find(|other| self.difference(entry, other).is_some_and(|found| found.why.is_none()));
        let other = compared.or_else(|| others().next());
        let is_first = self.votes.iter().any(|own| Some(own.digest) == entry.digest && own.pieces == vote.pieces);
        let who = match other {
            Some(_) if vote.pieces > 1 && (is_agreed || !is_first) => {
                format!("{} agree on another digest", vote.in_words())
            }
            Some(_) if vote.pieces > 1 => {
                format!("{} agree on this digest, and as many on another one", vote.in_words())
            }
            Some(other) => format!("{} gave another digest", self.name(other)),
            None => String::new(),
        };
        self.judge_other(entry, other, &who)
    }

    /// What was found where the digests of two cells were compared.
    fn difference(&self, entry: &Entry, other: &Entry) -> Option<&'a DifferenceRecord> {
        let digest = |entry: &Entry| self.history.digest(entry.digest).map(ToString::to_string);
        find_difference(&self.run.differences, &digest(other)?, &digest(entry)?)
    }

    fn name(&self, entry: &Entry) -> String {
        let cell = self.history.cell(entry);
        match self.key.buildkit {
            Some(_) => cell.builder(),
            None => format!("{} with {}", cell.builder(), cell.buildkit),
        }
    }

    /// A cell that gave something else than others of this run.
    fn judge_other(&self, entry: &Entry, other: Option<&Entry>, why: &str) -> (Verdict, Option<String>) {
        if let Some(moved) = other.and_then(|other| self.moved(other.materials, entry.materials)) {
            return (Verdict::InputChanged, Some(format!("{why}: {moved}")));
        }
        let difference = other.and_then(|other| self.difference(entry, other)).filter(|found| found.why.is_none());
        let Some(difference) = difference else {
            if other.is_some() && self.run.dissent.is_uncommitted(self.key.image) {
                let unknown = "its files are those of no commit, and may have been others in another part of this run";
                return (Verdict::Alone, Some(format!("{why}, but {unknown}")));
            }
            return (Verdict::NotReproducible, Some(why.to_owned()));
        };
        let inputs: Vec<&CauseRecord> = difference.causes.iter().filter(|cause| is_input(cause)).collect();
        if inputs.is_empty() {
            let causes = causes_in_words(&difference.causes);
            let why = if causes.is_empty() { why.to_owned() } else { format!("{why}: {causes}") };
            return (Verdict::NotReproducible, Some(why));
        }
        (Verdict::InputChanged, Some(format!("{why}: {}", causes_in_words(inputs.into_iter()))))
    }

    /// A group that gives another digest than the same source gave before.
    fn judge_changed(&self, entry: &Entry, known: Known<'_>, vote: &Vote<'_>) -> (Verdict, Option<String>) {
        let since = format!("run {} gave another digest for the same source", known.run);
        if let Some(moved) = self.moved(known.materials, entry.materials) {
            return (Verdict::InputChanged, Some(format!("{since}: {moved}")));
        }
        let moving = self.source.map(|source| source.moving.as_slice()).unwrap_or_default();
        // Builds of today that agree with each other are made alike from what there is today.
        if vote.pieces > 1 && !moving.is_empty() {
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
            return if self.is_backed_again(entry, gave) {
                (Verdict::Equal, None)
            } else {
                (Verdict::Alone, Some("nothing but its own cache gave it before".to_owned()))
            };
        }
        let why = format!("run {of} gave another digest");
        match self.moved(other.materials, entry.materials) {
            Some(moved) => (Verdict::InputChanged, Some(format!("{why}: {moved}"))),
            None => (Verdict::NotReproducible, Some(why)),
        }
    }

    /// Whether a cell that is built again can have its digest from no cache. What is built again is built cold but on a shared daemon,
    /// whatever its name says.
    fn is_backed_again(&self, entry: &Entry, gave: &[&Entry]) -> bool {
        let today = Witness::of(self.history, self.source, entry);
        if self.history.cell(entry).runtime != REMOTE {
            return true;
        }
        let same = gave.iter().filter(|other| other.digest == entry.digest);
        let before: Vec<Witness<'_>> = same.map(|other| Witness::of(self.history, self.source, other)).collect();
        Givers::of(&before).is_some_and(|givers| givers.back(&today))
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
