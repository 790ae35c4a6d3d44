//! A history, read: everything that one needs of it for a verdict, small enough for years of nights.
//!
//! Texts, digests and cells are kept once each. 400,000 cells take some 40 MB.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use chrono::DateTime;

use super::cell::Cell;
use super::history::{CellRecord, DifferenceRecord, Line, Outcome, RunRecord, SCHEMA};
use super::join::{Dissent, join, join_images};
use crate::digest::Digest;
use crate::limits;

/// How many lines that cannot be read are told one by one.
const TOLD: usize = 20;

/// What is known of all runs.
#[derive(Debug, Default)]
pub struct History {
    /// Each cell that ever was, once.
    pub cells: Vec<Cell>,
    /// Each digest, once.
    pub digests: Vec<Digest>,
    /// Each text, once.
    pub texts: Vec<String>,
    /// The runs, the oldest first.
    pub runs: Vec<Run>,
    /// Lines that could not be read, the first few.
    pub unread: Vec<Unread>,
    /// How many these are.
    pub unread_lines: u64,
}

/// One run.
#[derive(Debug, Default)]
pub struct Run {
    /// How it began, all its parts together. Where that line is lost, the name and the time of its first cell.
    pub record: RunRecord,
    /// What its parts say each in another way.
    pub dissent: Dissent,
    /// Its cells, sorted. A cell that gave two digests is there twice.
    pub entries: Vec<Entry>,
    /// How many cells these are.
    pub done: usize,
    /// What differs.
    pub differences: Vec<DifferenceRecord>,
    /// Whether there is a line of its beginning.
    pub begun: bool,
    /// Whether there is a line of its end. A part that another machine builds may have none.
    pub ended: bool,
}

impl Run {
    /// Whether it is known what was asked for.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether all that was asked for has ended.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.begun && self.ended && self.done >= self.record.cells
    }
}

/// The end of a cell. Numbers are those of [`History`]'s lists.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// The cell.
    pub cell: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// The digest that it gave.
    pub digest: Option<u32>,
    /// What it was built from, as one text with a line each.
    pub materials: Option<u32>,
    /// Why it failed, or what is missing.
    pub why: Option<u32>,
    /// Which BuildKit of a fleet built it.
    pub at: Option<u32>,
    /// How often it was tried before without a result.
    pub tries: u32,
    /// How long the last try took.
    pub seconds: f32,
    /// Whether nothing but the version of its BuildKit is proved.
    pub unproved: bool,
}

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Its number, from 1.
    pub line: u64,
    /// Why.
    pub why: String,
}

impl History {
    /// Reads files, each of which adds to what the others say.
    pub fn load<'a>(paths: impl IntoIterator<Item = &'a Path>) -> io::Result<Self> {
        let mut reader = Reader::default();
        for path in paths {
            let told = |error: io::Error| io::Error::new(error.kind(), format!("`{}`: {error}", path.display()));
            reader.read(BufReader::with_capacity(1 << 20, File::open(path).map_err(told)?)).map_err(told)?;
        }
        Ok(reader.finish())
    }

    /// Takes bytes for the file.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut reader = Reader::default();
        // A slice cannot fail.
        let _ = reader.read(bytes);
        reader.finish()
    }

    /// A text.
    #[must_use]
    pub fn text(&self, number: Option<u32>) -> Option<&str> {
        self.texts.get(number? as usize).map(String::as_str)
    }

    /// A digest.
    #[must_use]
    pub fn digest(&self, number: Option<u32>) -> Option<&Digest> {
        self.digests.get(number? as usize)
    }

    /// The cell of an entry.
    #[must_use]
    pub fn cell(&self, entry: &Entry) -> &Cell {
        &self.cells[entry.cell as usize]
    }

    /// A run by its name.
    #[must_use]
    pub fn run(&self, id: &str) -> Option<&Run> {
        self.runs.iter().find(|run| run.record.id == id)
    }
}

#[derive(Default)]
struct Reader {
    history: History,
    runs: HashMap<String, usize>,
    cells: HashMap<String, u32>,
    digests: HashMap<Digest, u32>,
    texts: HashMap<String, u32>,
    /// Beginnings of runs that were read, each once.
    begun: HashSet<Digest>,
    /// The cells that each run was asked for.
    planned: Vec<Planned>,
    /// The names of cells, each once.
    names: HashMap<String, u32>,
    key: String,
}

/// The cells that a run was asked for.
#[derive(Default)]
struct Planned {
    /// Their names.
    names: Vec<u32>,
    /// Whether a part of it says how many, and not which.
    is_partial: bool,
}

impl Reader {
    fn read(&mut self, mut input: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if !next_line(&mut input, &mut line)? {
                return Ok(());
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            if text.is_empty() {
                continue;
            }
            if let Err(why) = self.take(text) {
                self.history.unread_lines += 1;
                if self.history.unread.len() < TOLD {
                    self.history.unread.push(Unread { line: number, why });
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, text: &[u8]) -> Result<(), String> {
        let line = parse_line(text)?;
        if let Some(record) = line.run {
            self.take_run(record);
        }
        if let Some(cell) = &line.cell {
            self.take_cell(cell);
        }
        if let Some(difference) = line.difference {
            let at = self.run(&difference.run);
            let known = &mut self.history.runs[at].differences;
            if !known.contains(&difference) {
                known.push(difference);
            }
        }
        if let Some(end) = line.end {
            let at = self.run(&end.run);
            self.history.runs[at].ended = true;
        }
        Ok(())
    }

    fn take_run(&mut self, mut record: RunRecord) {
        let at = self.run(&record.id);
        // The same line again says nothing new, be it that its spaces are others.
        let text = serde_json::to_vec(&record).unwrap_or_default();
        if !self.begun.insert(Digest::of(&text)) {
            return;
        }
        let names = std::mem::take(&mut record.planned);
        self.planned[at].is_partial |= names.is_empty() && record.cells > 0;
        for name in names {
            let number = self.name(name);
            self.planned[at].names.push(number);
        }
        for image in &mut record.images {
            // Anything else names a commit of today, and another one tomorrow.
            if !image.commit.as_deref().is_some_and(is_commit) {
                (image.commit, image.clean) = (None, false);
            }
        }
        let run = &mut self.history.runs[at];
        if std::mem::replace(&mut run.begun, true) {
            join(&mut run.record, record, &mut run.dissent);
        } else {
            let images = std::mem::take(&mut record.images);
            run.record = record;
            join_images(&mut run.record.images, images, &mut run.dissent);
        }
    }

    fn take_cell(&mut self, record: &CellRecord<'_>) {
        let at = self.run(&record.run);
        let materials = (!record.materials.is_empty()).then(|| record.materials.join("\n"));
        let entry = Entry {
            cell: self.cell(record),
            outcome: record.result,
            digest: record.digest.as_ref().map(|digest| self.digest(digest)),
            materials: materials.map(|materials| self.text(&materials)),
            why: record.why.as_deref().map(|why| self.text(why)),
            at: record.at.as_deref().map(|address| self.text(address)),
            tries: u32::try_from(record.tries.len()).unwrap_or(u32::MAX),
            #[expect(clippy::cast_possible_truncation, reason = "it is shown with one digit")]
            seconds: record.seconds.clamp(0.0, limits::HISTORY_SECONDS) as f32,
            unproved: record.unproved,
        };
        let run = &mut self.history.runs[at];
        if run.record.time.is_empty() && !run.begun {
            run.record.time = record.time.clone().into_owned();
        }
        run.entries.push(entry);
    }

    fn run(&mut self, id: &str) -> usize {
        if let Some(at) = self.runs.get(id) {
            return *at;
        }
        let at = self.history.runs.len();
        let record = RunRecord { id: id.to_owned(), ..RunRecord::default() };
        self.history.runs.push(Run { record, ..Run::default() });
        self.planned.push(Planned::default());
        self.runs.insert(id.to_owned(), at);
        at
    }

    fn cell(&mut self, record: &CellRecord<'_>) -> u32 {
        let (rootless, cache) = (if record.rootless { "1" } else { "0" }, record.cache.name());
        let address = record.address.as_deref().unwrap_or_default();
        self.key.clear();
        for part in [&record.image, &record.platform, &record.buildkit, &record.runtime, rootless, cache, address] {
            self.key.push_str(part);
            self.key.push('\n');
        }
        if let Some(number) = self.cells.get(&self.key) {
            return *number;
        }
        let number = count(self.history.cells.len());
        self.history.cells.push(record.cell());
        self.cells.insert(self.key.clone(), number);
        number
    }

    fn digest(&mut self, digest: &Digest) -> u32 {
        if let Some(number) = self.digests.get(digest) {
            return *number;
        }
        let number = count(self.history.digests.len());
        self.history.digests.push(digest.clone());
        self.digests.insert(digest.clone(), number);
        number
    }

    fn text(&mut self, text: &str) -> u32 {
        if let Some(number) = self.texts.get(text) {
            return *number;
        }
        let number = count(self.history.texts.len());
        self.history.texts.push(text.to_owned());
        self.texts.insert(text.to_owned(), number);
        number
    }

    fn name(&mut self, name: String) -> u32 {
        let next = count(self.names.len());
        *self.names.entry(name).or_insert(next)
    }

    fn finish(mut self) -> History {
        let cells = std::mem::take(&mut self.history.cells);
        let names: Vec<u32> = cells.iter().map(|cell| self.name(cell.to_string())).collect();
        let mut history = History { cells, ..self.history };
        let order = rank(&history.cells);
        for (run, planned) in history.runs.iter_mut().zip(self.planned) {
            run.entries
                .sort_unstable_by_key(|entry| (order[entry.cell as usize], entry.outcome, entry.digest, entry.why));
            // What two histories hold is one, and a cell that was built has ended well, however often it did not before. Two
            // digests of one cell are two: that is what one wants to know.
            run.entries.dedup_by(|b, a| a.cell == b.cell && (b.outcome != Outcome::Built || a.digest == b.digest));
            run.done = run.entries.chunk_by(|a, b| a.cell == b.cell).count();
            run.record.cells = planned.count(run, &names);
            run.entries.shrink_to_fit();
            run.differences
                .sort_by(|a, b| (&a.image, &a.platform, &a.a, &a.b).cmp(&(&b.image, &b.platform, &b.a, &b.b)));
        }
        // As moments and not as texts: `…51Z` is before `…51.200Z`.
        history.runs.sort_by_cached_key(|run| {
            let RunRecord { time, id, .. } = &run.record;
            (DateTime::parse_from_rfc3339(time).ok(), time.clone(), id.clone())
        });
        history
    }
}

impl Planned {
    /// How many cells a run was asked for, by their names. Those of a part that says none are counted as it counts them, where jobs that
    /// began at the same moment with the same words have left one line.
    fn count(mut self, run: &Run, names: &[u32]) -> usize {
        self.names.extend(run.entries.iter().map(|entry| names[entry.cell as usize]));
        self.names.sort_unstable();
        self.names.dedup();
        let known = self.names.len().max(run.done);
        if self.is_partial { known.max(run.record.cells.min(u32::MAX as usize)) } else { known }
    }
}

/// Reads a line, or says why it cannot be read.
pub fn parse_line(text: &[u8]) -> Result<Line<'_>, String> {
    if text.len() >= limits::HISTORY_LINE_BYTES {
        return Err("it is too long".to_owned());
    }
    let line: Line<'_> = serde_json::from_slice(text).map_err(|error| why_unread(text, &error))?;
    if line.schema != SCHEMA {
        return Err(other_form(&line.schema));
    }
    if line.cell.as_ref().is_some_and(|cell| (cell.result == Outcome::Built) != cell.digest.is_some()) {
        return Err("a cell has a digest where it was built, and nowhere else".to_owned());
    }
    Ok(line)
}

/// Whether a text is a commit, and no name that may be of another one tomorrow.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Why a line cannot be read: of another form, the form says more than what is not as it is in ours.
fn why_unread(text: &[u8], error: &serde_json::Error) -> String {
    #[derive(serde::Deserialize)]
    struct Form {
        schema: String,
    }
    match serde_json::from_slice::<Form>(text) {
        Ok(form) if form.schema != SCHEMA => other_form(&form.schema),
        _ => error.to_string(),
    }
}

fn other_form(form: &str) -> String {
    let form: String = form.chars().take(100).collect();
    format!("its form is `{}`, and this is `{SCHEMA}`", form.escape_debug())
}

/// Which place each cell has among all, in their order.
fn rank(cells: &[Cell]) -> Vec<u32> {
    let mut sorted: Vec<u32> = (0..count(cells.len())).collect();
    sorted.sort_unstable_by_key(|cell| &cells[*cell as usize]);
    let mut order = vec![0; cells.len()];
    for (place, cell) in sorted.into_iter().enumerate() {
        order[cell as usize] = count(place);
    }
    order
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The next line, cut where it is longer than any that is ours; the rest of it is passed over.
pub fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    let room = limits::HISTORY_LINE_BYTES.saturating_sub(line.len()) as u64;
    input.by_ref().take(room).read_until(b'\n', line)?;
    if !line.is_empty() && !line.ends_with(b"\n") {
        input.skip_until(b'\n')?;
    }
    Ok(!line.is_empty())
}
