//! Entries in the order of their paths, however many there are.
//!
//! What fits into memory is sorted there. What does not is written in sorted runs to a temporary file without a name, and
//! merged when it is read: 128 MB have to do for layers of any size.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::entry::EntryFacts;
use crate::limits;

/// Takes entries in any order.
pub struct Sorter {
    order: Order,
    entries: Vec<EntryFacts>,
    weight: usize,
    most: usize,
    runs: Vec<(u64, u64)>,
    file: Option<File>,
    written: u64,
}

impl Default for Sorter {
    fn default() -> Self {
        Self::with(Order::Path, limits::DIFF_SORT_MEMORY)
    }
}

impl Sorter {
    /// In the order in which they stand in their layer.
    pub const fn by_index() -> Self {
        Self::with(Order::Index, limits::DIFF_ORDER_MEMORY)
    }

    /// In some order, with at most about so many bytes of memory.
    const fn with(order: Order, most: usize) -> Self {
        Self { order, entries: Vec::new(), weight: 0, most, runs: Vec::new(), file: None, written: 0 }
    }

    /// Takes an entry.
    pub fn push(&mut self, entry: EntryFacts) -> io::Result<()> {
        self.weight += entry.weight();
        self.entries.push(entry);
        if self.weight > self.most { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        self.order.sort(&mut self.entries);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        let start = self.written;
        let mut out = BufWriter::new(&*file);
        self.entries.drain(..).try_for_each(|entry| entry.write(&mut out))?;
        out.flush()?;
        drop(out);
        self.written = file.seek(SeekFrom::End(0))?;
        self.runs.push((start, self.written));
        self.weight = 0;
        if self.written > limits::DIFF_SORT_BYTES {
            let why = format!("the entries of a layer take more than {} bytes", limits::DIFF_SORT_BYTES);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        Ok(())
    }

    /// All entries, sorted by path, those of one path in the order in which they came.
    pub fn finish(mut self) -> io::Result<Sorted> {
        if self.runs.is_empty() {
            self.order.sort(&mut self.entries);
            return Ok(Sorted::Memory(self.entries.into_iter()));
        }
        if !self.entries.is_empty() {
            self.spill()?;
        }
        let file = Arc::new(self.file.ok_or(io::ErrorKind::NotFound)?);
        let mut runs = Vec::new();
        let mut heap = BinaryHeap::new();
        for (at, (start, end)) in self.runs.into_iter().enumerate() {
            let part = Part { file: Arc::clone(&file), at: start, end };
            let mut run = Run(BufReader::with_capacity(limits::DIFF_RUN_BUFFER, part));
            if let Some(entry) = run.next()? {
                heap.push(Reverse(Head { order: self.order, entry, run: at }));
            }
            runs.push(run);
        }
        Ok(Sorted::Runs { runs, heap })
    }
}

/// What entries are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Their paths, those of one path as they came.
    Path,
    /// Their numbers.
    Index,
}

impl Order {
    fn of(self, one: &EntryFacts, other: &EntryFacts) -> std::cmp::Ordering {
        let by_path = match self {
            Self::Path => one.key().cmp(other.key()),
            Self::Index => std::cmp::Ordering::Equal,
        };
        by_path.then(one.index.cmp(&other.index))
    }

    fn sort(self, entries: &mut [EntryFacts]) {
        entries.sort_by(|one, other| self.of(one, other));
    }
}

/// Entries in order.
pub enum Sorted {
    /// All of them were in memory.
    Memory(std::vec::IntoIter<EntryFacts>),
    /// They wait in a file.
    Runs {
        /// What is still to come of each run.
        runs: Vec<Run>,
        /// The first of each.
        heap: BinaryHeap<Reverse<Head>>,
    },
}

impl Sorted {
    /// The next one.
    pub fn next(&mut self) -> io::Result<Option<EntryFacts>> {
        match self {
            Self::Memory(entries) => Ok(entries.next()),
            Self::Runs { runs, heap } => {
                let Some(Reverse(Head { order, entry, run })) = heap.pop() else { return Ok(None) };
                if let Some(next) = runs[run].next()? {
                    heap.push(Reverse(Head { order, entry: next, run }));
                }
                Ok(Some(entry))
            }
        }
    }
}

/// A sorted part of the file.
pub struct Run(BufReader<Part>);

impl Run {
    fn next(&mut self) -> io::Result<Option<EntryFacts>> {
        if self.0.fill_buf()?.is_empty() { Ok(None) } else { EntryFacts::read(&mut self.0).map(Some) }
    }
}

/// Bytes of a file that others read, too, at other places.
struct Part {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// The first entry of a run.
pub struct Head {
    order: Order,
    entry: EntryFacts,
    run: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order.of(&self.entry, &other.entry)
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}
