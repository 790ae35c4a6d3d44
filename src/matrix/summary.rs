//! What a history comes to: the grid of the last run, and how it got there. Every report is a rendering of this.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::Serialize;

use super::agree::independent;
use super::history::DifferenceRecord;
use super::past::{Entry, History, Run};
use super::verdict::{Earlier, Group, Judged, Judgement, Verdict, find_difference, judge};
use crate::digest::Digest;
use crate::pin::Version;

/// The name and version of the JSON form. See `docs/schema/matrix.v1.json`.
pub const SCHEMA: &str = "repro.matrix.v1";

/// How many runs of an image are told one by one. Whoever wants all of them has the history.
pub const POINTS: usize = 90;

/// What `repro matrix` reports.
#[derive(Debug, Clone, Serialize)]
pub struct MatrixReport {
    schema: &'static str,
    /// The run whose grid this is.
    pub run: Option<RunReport>,
    /// How many cells came to what.
    pub totals: BTreeMap<Verdict, usize>,
    /// The images, sorted.
    pub images: Vec<ImageReport>,
    /// Earlier runs that were built again, the newest first.
    pub rechecks: Vec<RecheckReport>,
    /// How many runs the history holds.
    pub runs: usize,
    /// How many of its lines cannot be read.
    pub unread_lines: u64,
    /// The first few of these.
    pub unread: Vec<String>,
}

/// A run.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// Its name.
    pub id: String,
    /// When it began.
    pub time: String,
    /// How many cells were asked for.
    pub planned: usize,
    /// How many have ended.
    pub done: usize,
    /// Whether it is over.
    pub ended: bool,
}

/// A run, and when it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct When {
    /// When it began.
    pub time: String,
    /// Its name.
    pub run: String,
}

/// One image.
#[derive(Debug, Clone, Serialize)]
pub struct ImageReport {
    /// Its name.
    pub name: String,
    /// The directory that is built, as the matrix says it.
    pub context: String,
    /// The commit that it is of.
    pub commit: Option<String>,
    /// Whether its files are those of the commit.
    pub clean: bool,
    /// The worst of its cells.
    pub verdict: Verdict,
    /// Its cells that are not equal, the one that has been so for longest first.
    pub bad: Vec<BadCell>,
    /// The first run ever in which one of its cells had another digest than it has to have.
    pub first_bad: Option<When>,
    /// By platform and BuildKit.
    pub groups: Vec<GroupReport>,
    /// From BuildKit to BuildKit, where the digest is another one.
    pub changes: Vec<ChangeReport>,
    /// Inputs that may be others tomorrow.
    pub moving: Vec<String>,
    /// The last runs, the oldest first.
    pub history: Vec<Point>,
}

/// A cell that is not equal.
#[derive(Debug, Clone, Serialize)]
pub struct BadCell {
    /// Its name.
    pub cell: String,
    /// What it came to.
    pub verdict: Verdict,
    /// Since which run.
    pub since: When,
    /// Why.
    pub why: Option<String>,
}

/// Cells that have to give one digest.
#[derive(Debug, Clone, Serialize)]
pub struct GroupReport {
    /// The platform.
    pub platform: String,
    /// The BuildKit; none where all have to give one digest.
    pub buildkit: Option<String>,
    /// What most cells gave.
    pub digest: Option<Digest>,
    /// How many.
    pub agreed: usize,
    /// How many runtimes gave it without a cache, each with a proved BuildKit; 0 where a cell gave another one.
    pub independent: usize,
    /// The cells.
    pub cells: Vec<CellReport>,
    /// Digests of this group that differ, and why.
    pub differences: Vec<DifferenceRecord>,
}

/// A cell.
#[derive(Debug, Clone, Serialize)]
pub struct CellReport {
    /// Its name.
    pub cell: String,
    /// The BuildKit.
    pub buildkit: String,
    /// Where and how, in words: `podman rootless cold`.
    pub builder: String,
    /// What it came to.
    pub verdict: Verdict,
    /// Its digest.
    pub digest: Option<Digest>,
    /// Why, where it is not equal.
    pub why: Option<String>,
    /// How long the build took, in seconds.
    pub seconds: f64,
    /// How often it was tried before without a result.
    pub tries: u32,
    /// Which BuildKit of a fleet built it.
    pub at: Option<String>,
    /// Whether nothing but the version of its BuildKit is proved.
    pub unproved: bool,
    /// Since which run it is so.
    pub since: When,
}

/// Two BuildKits that give two digests.
#[derive(Debug, Clone, Serialize)]
pub struct ChangeReport {
    /// The platform.
    pub platform: String,
    /// The older one.
    pub from: String,
    /// The newer one.
    pub to: String,
    /// What differs.
    pub difference: DifferenceRecord,
}

/// One run of one image.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// The run.
    #[serde(flatten)]
    pub when: When,
    /// The worst of the cells.
    pub verdict: Verdict,
    /// How many cells are equal.
    pub equal: usize,
    /// Of how many.
    pub cells: usize,
    /// The digests that most cells gave, one a group, short.
    pub digests: Vec<String>,
}

/// A run that built an earlier one again.
#[derive(Debug, Clone, Serialize)]
pub struct RecheckReport {
    /// This run.
    #[serde(flatten)]
    pub when: When,
    /// The earlier one.
    pub of: When,
    /// How long ago that was, as it was asked for.
    pub age: String,
    /// How many cells were to be built again.
    pub planned: usize,
    /// Whether it is over.
    pub ended: bool,
    /// How many cells gave the same digest again.
    pub survived: usize,
    /// How many gave another one.
    pub changed: usize,
    /// How many gave none, or none that proves anything: those that have not ended are among them.
    pub lost: usize,
    /// Those that did not survive.
    pub cells: Vec<BadCell>,
}

#[derive(Default)]
struct ImageState {
    points: VecDeque<Point>,
    first_bad: Option<When>,
}

impl MatrixReport {
    /// The report on a run: the one that is named, else the last that was no recheck.
    #[must_use]
    pub fn of(history: &History, run: Option<&str>) -> Self {
        let shown = history.runs.iter().rposition(|one| match run {
            Some(id) => one.record.id == id,
            None => one.record.recheck.is_none(),
        });
        let mut report = Self {
            schema: SCHEMA,
            run: None,
            totals: BTreeMap::new(),
            images: Vec::new(),
            rechecks: Vec::new(),
            runs: history.runs.len(),
            unread_lines: history.unread_lines,
            unread: history.unread.iter().map(|line| format!("line {}: {}", line.line, line.why)).collect(),
        };
        let mut earlier = Earlier::of(history);
        let mut since: HashMap<(u32, bool), (Verdict, usize)> = HashMap::new();
        let mut states: BTreeMap<String, ImageState> = BTreeMap::new();
        for (at, one) in history.runs.iter().enumerate() {
            let judgement = judge(history, one, &mut earlier);
            let is_recheck = one.record.recheck.is_some();
            // A cell that two histories tell of is as bad as the worse says.
            for cell in judgement.cells.chunk_by(|a, b| a.entry.cell == b.entry.cell) {
                let verdict = worst(cell.iter().map(|cell| cell.verdict));
                let known = since.entry((cell[0].entry.cell, is_recheck)).or_insert((verdict, at));
                if known.0 != verdict {
                    *known = (verdict, at);
                }
            }
            if is_recheck {
                report.rechecks.push(recheck(history, one, &judgement));
            } else {
                note(history, one, &judgement, &mut states);
            }
            if Some(at) == shown {
                let when = |cell: u32| since.get(&(cell, is_recheck)).map_or(at, |(_, at)| *at);
                let since = |cell: u32| when_of(&history.runs[when(cell)]);
                report.show(history, one, &judgement, &states, &since);
            }
        }
        report.rechecks.reverse();
        report
    }

    fn show(
        &mut self,
        history: &History,
        run: &Run,
        judgement: &Judgement<'_>,
        states: &BTreeMap<String, ImageState>,
        since: &dyn Fn(u32) -> When,
    ) {
        self.run = Some(RunReport {
            id: run.record.id.clone(),
            time: run.record.time.clone(),
            planned: run.record.cells,
            done: run.done,
            ended: run.is_whole(),
        });
        let mut images: BTreeMap<&str, Vec<&Judged>> = BTreeMap::new();
        for judged in &judgement.cells {
            *self.totals.entry(judged.verdict).or_default() += 1;
            images.entry(&history.cell(&judged.entry).image).or_default().push(judged);
        }
        for (name, cells) in images {
            let source = run.record.images.iter().find(|image| image.name == name).cloned().unwrap_or_default();
            let mut bad: Vec<BadCell> = cells
                .iter()
                .filter(|judged| judged.verdict != Verdict::Equal)
                .map(|judged| bad_cell(history, judged, since(judged.entry.cell)))
                .collect();
            bad.sort_by(|a, b| (&a.since, &a.cell).cmp(&(&b.since, &b.cell)));
            let state = states.get(name);
            self.images.push(ImageReport {
                name: name.to_owned(),
                context: source.context,
                commit: source.commit,
                clean: source.clean,
                verdict: worst(cells.iter().map(|judged| judged.verdict)),
                bad,
                first_bad: state.and_then(|state| state.first_bad.clone()),
                groups: groups(history, run, judgement, &cells, since),
                changes: changes(history, run, judgement, name),
                moving: source.moving,
                history: state.map(|state| state.points.iter().cloned().collect()).unwrap_or_default(),
            });
        }
    }
}

fn worst(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let rank = |verdict: &Verdict| Verdict::ALL.iter().position(|known| known == verdict);
    verdicts.max_by_key(rank).unwrap_or(Verdict::Equal)
}

fn when_of(run: &Run) -> When {
    When { time: run.record.time.clone(), run: run.record.id.clone() }
}

fn bad_cell(history: &History, judged: &Judged, since: When) -> BadCell {
    BadCell { cell: history.cell(&judged.entry).to_string(), verdict: judged.verdict, since, why: judged.why.clone() }
}

fn note(history: &History, run: &Run, judgement: &Judgement<'_>, states: &mut BTreeMap<String, ImageState>) {
    let mut counts: BTreeMap<&str, (Vec<Verdict>, Vec<String>)> = BTreeMap::new();
    for judged in &judgement.cells {
        counts.entry(&history.cell(&judged.entry).image).or_default().0.push(judged.verdict);
    }
    for group in &judgement.groups {
        if let (Some((_, digests)), Some(digest)) = (counts.get_mut(group.key.image), history.digest(group.digest)) {
            digests.push(digest.short().to_owned());
        }
    }
    for (image, (verdicts, digests)) in counts {
        let verdict = worst(verdicts.iter().copied());
        let when = when_of(run);
        if !states.contains_key(image) {
            states.insert(image.to_owned(), ImageState::default());
        }
        let Some(state) = states.get_mut(image) else { continue };
        if verdict.differs() && state.first_bad.is_none() {
            state.first_bad = Some(when.clone());
        }
        let equal = verdicts.iter().filter(|verdict| **verdict == Verdict::Equal).count();
        if state.points.len() == POINTS {
            state.points.pop_front();
        }
        state.points.push_back(Point { when, verdict, equal, cells: verdicts.len(), digests });
    }
}

fn recheck(history: &History, run: &Run, judgement: &Judgement<'_>) -> RecheckReport {
    let record = run.record.recheck.clone().unwrap_or_default();
    // A cell that gave two digests has not given the same again.
    let cells = judgement.cells.chunk_by(|a, b| a.entry.cell == b.entry.cell);
    let verdicts: Vec<Verdict> = cells.map(|cell| worst(cell.iter().map(|judged| judged.verdict))).collect();
    let when = when_of(run);
    let survived = verdicts.iter().filter(|verdict| **verdict == Verdict::Equal).count();
    let changed = verdicts.iter().filter(|verdict| verdict.differs()).count();
    let planned = run.record.cells.max(verdicts.len());
    let dead = judgement.cells.iter().filter(|cell| cell.verdict != Verdict::Equal);
    RecheckReport {
        of: When { time: record.time, run: record.of },
        age: record.age,
        planned,
        ended: run.is_whole(),
        survived,
        changed,
        lost: planned - survived - changed,
        cells: dead.map(|judged| bad_cell(history, judged, when.clone())).collect(),
        when,
    }
}

fn groups(
    history: &History,
    run: &Run,
    judgement: &Judgement<'_>,
    cells: &[&Judged],
    since: &dyn Fn(u32) -> When,
) -> Vec<GroupReport> {
    let Some(first) = cells.first() else { return Vec::new() };
    let image = &history.cell(&first.entry).image;
    let mut groups: Vec<GroupReport> = Vec::new();
    for group in judgement.groups.iter().filter(|group| group.key.image == image) {
        let key = group.key;
        let of_group = cells.iter().filter(|judged| {
            let cell = history.cell(&judged.entry);
            cell.platform == key.platform && key.buildkit.is_none_or(|buildkit| buildkit == cell.buildkit)
        });
        let mut of_group: Vec<&&Judged> = of_group.collect();
        of_group.sort_by_key(|judged| order(Some(&history.cell(&judged.entry).buildkit)));
        let digest = history.digest(group.digest).cloned();
        let own = of_group.iter().filter_map(|judged| history.digest(judged.entry.digest));
        let digests: BTreeSet<String> = own.map(ToString::to_string).collect();
        let differences = differences_of(run, digest.as_ref(), &digests);
        groups.push(GroupReport {
            platform: key.platform.to_owned(),
            buildkit: key.buildkit.map(str::to_owned),
            digest,
            agreed: group.agreed,
            independent: independent(history, group.digest, of_group.iter().copied().copied()),
            cells: of_group.iter().map(|judged| cell_report(history, judged, since(judged.entry.cell))).collect(),
            differences,
        });
    }
    groups.sort_by_key(|group| (group.platform.clone(), order(group.buildkit.as_deref())));
    groups
}

/// Why the digests of a group differ from the one that it has to give; those of which nobody knows that, from each other.
fn differences_of(run: &Run, digest: Option<&Digest>, digests: &BTreeSet<String>) -> Vec<DifferenceRecord> {
    let digest = digest.map(ToString::to_string);
    let mut differences: Vec<DifferenceRecord> = Vec::new();
    for other in digests.iter().filter(|other| Some(*other) != digest.as_ref()) {
        let own = digest.as_ref().and_then(|digest| find_difference(&run.differences, digest, other));
        let found = own.or_else(|| digests.iter().find_map(|known| find_difference(&run.differences, known, other)));
        differences.extend(found.filter(|found| !differences.contains(*found)).cloned());
    }
    differences
}

/// Versions by their numbers, other names behind them.
fn order(buildkit: Option<&str>) -> (bool, Option<Version>, String) {
    let name = buildkit.unwrap_or_default();
    let version = Version::parse(name);
    (version.is_none(), version, name.to_owned())
}

fn cell_report(history: &History, judged: &Judged, since: When) -> CellReport {
    let Judged { entry, verdict, why } = judged;
    let cell = history.cell(entry);
    CellReport {
        cell: cell.to_string(),
        buildkit: cell.buildkit.clone(),
        builder: cell.builder(),
        verdict: *verdict,
        digest: history.digest(entry.digest).cloned(),
        why: why.clone(),
        seconds: seconds(entry),
        tries: entry.tries,
        at: history.text(entry.at).map(str::to_owned),
        unproved: entry.unproved,
        since,
    }
}

/// With the one digit that it was written with.
fn seconds(entry: &Entry) -> f64 {
    (f64::from(entry.seconds) * 10.0).round() / 10.0
}

/// What most cells of one BuildKit gave, beside what most of the next one did.
fn changes(history: &History, run: &Run, judgement: &Judgement<'_>, image: &str) -> Vec<ChangeReport> {
    let of_image = judgement.groups.iter().filter(|group| group.key.image == image);
    let mut groups: Vec<(&Group<'_>, &Digest)> =
        of_image.filter_map(|group| Some((group, history.digest(group.digest)?))).collect();
    groups.sort_by_key(|(group, _)| (group.key.platform, order(group.key.buildkit)));
    let differ =
        groups.windows(2).filter(|pair| pair[0].0.key.platform == pair[1].0.key.platform && pair[0].1 != pair[1].1);
    differ
        .map(|pair| {
            let name = |at: usize| pair[at].0.key.buildkit.unwrap_or_default().to_owned();
            let [a, b] = [pair[0].1.to_string(), pair[1].1.to_string()];
            let found = find_difference(&run.differences, &a, &b).cloned();
            let difference = found.unwrap_or_else(|| DifferenceRecord {
                why: Some("they were not compared".to_owned()),
                ..DifferenceRecord::default()
            });
            ChangeReport { platform: pair[0].0.key.platform.to_owned(), from: name(0), to: name(1), difference }
        })
        .collect()
}
