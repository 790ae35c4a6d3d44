//! Histories of several machines become one: each job of a workflow builds one cell, and none sees the others.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::archives::archive_name;
use super::attempt::Program;
use super::cell::Cell;
use super::compare::compare;
use super::file::Matrix;
use super::history::{ImageRecord, Line, Writer};
use super::past::{History, next_line, parse_line};
use super::source::Source;
use super::verdict::find_difference;
use crate::digest::Digest;
use crate::environment::Environment;
use crate::failure::{Diagnose, ExitStatus};
use crate::limits;
use crate::runtime::interrupt::{Interrupt, Interruption};

/// What was merged.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Lines that were not there.
    pub added: usize,
    /// Lines that were.
    pub known: usize,
    /// Lines that cannot be read or are too long, and are left out.
    pub unread: usize,
    /// The runs that they are of.
    pub runs: BTreeSet<String>,
}

/// Adds the lines of histories to another one that are not in it, as they are. Each is read once: it may be a pipe.
pub fn copy_new(from: &mut [impl Read], into: &Path) -> io::Result<Merged> {
    let mut writer = Writer::open(into)?;
    let mut known: HashSet<Digest> = HashSet::new();
    each_line(File::open(into)?, |line| {
        known.extend(line.map(Digest::of));
        Ok(())
    })?;
    let mut merged = Merged::default();
    let mut new = Vec::new();
    for history in from {
        each_line(history, |line| {
            let read = line.and_then(|line| Some((line, parse_line(line).ok()?)));
            let Some((line, read)) = read else {
                merged.unread += 1;
                return Ok(());
            };
            let run = read.run.map(|run| run.id).or_else(|| read.cell.map(|cell| cell.run.into_owned()));
            let run = run.or_else(|| read.difference.map(|one| one.run)).or_else(|| read.end.map(|end| end.run));
            merged.runs.extend(run);
            if !known.insert(Digest::of(line)) {
                merged.known += 1;
                return Ok(());
            }
            merged.added += 1;
            new.extend_from_slice(line);
            new.push(b'\n');
            // Each time waits for the disk: many lines at once, and never more than fit into memory.
            if new.len() < limits::HISTORY_BATCH_BYTES { Ok(()) } else { writer.add_text(&std::mem::take(&mut new)) }
        })?;
    }
    if !new.is_empty() {
        writer.add_text(&new)?;
    }
    Ok(merged)
}

/// Hands each line over, or nothing for one that is too long.
fn each_line(input: impl Read, mut take: impl FnMut(Option<&[u8]>) -> io::Result<()>) -> io::Result<()> {
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    loop {
        line.clear();
        if !next_line(&mut input, &mut line)? {
            return Ok(());
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if !text.is_empty() {
            take((text.len() < limits::HISTORY_LINE_BYTES).then_some(text))?;
        }
    }
}

/// Why comparing ends early.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The history cannot be written.
    #[error("cannot write the history `{path}`", path = path.display())]
    History {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The user wanted to stop.
    #[error("stopped: the histories are one, and {done} comparisons are written")]
    Stopped {
        /// How the program ends.
        interruption: Interruption,
        /// How many comparisons were done.
        done: usize,
    },
}

impl Diagnose for MergeError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::History { .. } => ExitStatus::Unknown,
            Self::Stopped { interruption, .. } => interruption.status(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::History { .. } => "look at the directory and at the free space there (`df`)",
            Self::Stopped { .. } => "the same command compares the rest",
        };
        Some(hint.to_owned())
    }
}

/// Compares digests of runs that differ and were never compared, as far as their archives are there, and adds what comes out to
/// the history at `into`.
pub async fn compare_missing(
    matrix: &Matrix,
    (into, history): (&Path, &History),
    runs: &BTreeSet<String>,
    (archives, program): (&Path, &Path),
    environment: &Environment,
    interrupt: &Interrupt,
) -> Result<(), MergeError> {
    let told = |source: io::Error| MergeError::History { path: into.to_owned(), source };
    let mut writer = Writer::open(into).map_err(told)?;
    let program = Program::new(program, &matrix.directory, environment);
    let scrubbed = Program::environment(environment);
    let mut done = 0;
    for run in history.runs.iter().filter(|run| runs.contains(&run.record.id)) {
        let mut gave: BTreeMap<(String, String), Vec<(Cell, Digest)>> = BTreeMap::new();
        for entry in &run.entries {
            let cell = history.cell(entry).clone();
            if let Some(digest) = history.digest(entry.digest) {
                gave.entry((cell.image.clone(), cell.platform.clone())).or_default().push((cell, digest.clone()));
            }
        }
        for (part, gave) in gave {
            let found = |digest: &Digest| {
                let path: PathBuf = archives.join(archive_name(digest));
                path.is_file().then(|| (digest.clone(), path))
            };
            let there: BTreeMap<Digest, PathBuf> = gave.iter().filter_map(|(_, digest)| found(digest)).collect();
            let source = matrix.image(&part.0).map(|image| Source::look(matrix, image, &scrubbed));
            let source = source.and_then(|source| source.dockerfile.ok());
            let source = source.as_ref().map(|(dockerfile, target)| (dockerfile.as_path(), target.as_deref()));
            let of_image = run.record.images.iter().find(|image| image.name == part.0);
            let shares_cache = of_image.is_some_and(ImageRecord::shares_cache);
            for pair in matrix.pairs(&part, shares_cache, &gave, &there) {
                let is_known = find_difference(&run.differences, &pair.a.0.digest, &pair.b.0.digest)
                    .is_some_and(|known| known.why.is_none());
                if is_known || pair.a.1.is_none() || pair.b.1.is_none() {
                    continue;
                }
                let limit = matrix.limits.time();
                let compared = compare(&program, &run.record.id, &pair, source, limit, interrupt).await;
                let compared = compared.map_err(|interruption| MergeError::Stopped { interruption, done })?;
                writer.add(&Line::of_difference(compared)).map_err(told)?;
                done += 1;
            }
        }
    }
    Ok(())
}
