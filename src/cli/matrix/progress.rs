//! How far a run is: a table that is redrawn on a terminal, a line for each thing that happens elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::image::escape::escape;
use crate::matrix::history::{CellRecord, Outcome};
use crate::matrix::run::Event;
use crate::matrix::schedule::Place;
use crate::report::matrix::difference_in_words;

/// Tells how far a run is, on stderr.
pub struct Progress {
    table: Option<Table>,
}

struct Table {
    all: MultiProgress,
    total: ProgressBar,
    running: BTreeMap<String, ProgressBar>,
}

impl Progress {
    /// For so many cells.
    #[must_use]
    pub fn new(total: usize) -> Self {
        let table = std::io::stderr().is_terminal().then(|| {
            let all = MultiProgress::new();
            let bar = all.add(ProgressBar::new(total as u64));
            let style = ProgressStyle::with_template("{pos}/{len} cells  {elapsed}  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(500));
            Table { all, total: bar, running: BTreeMap::new() }
        });
        Self { table }
    }

    /// Tells what happened.
    pub fn tell(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { cell, place } => {
                let at = match place {
                    Place::Here => String::new(),
                    Place::At(address) => format!(" at {}", escape(address)),
                };
                if let Some(table) = &mut self.table {
                    let bar = table.all.add(ProgressBar::new_spinner());
                    let style = ProgressStyle::with_template("  {elapsed:>5}  {msg}");
                    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
                    bar.enable_steady_tick(Duration::from_millis(500));
                    bar.set_message(format!("{cell}{at}"));
                    table.running.insert(cell.to_string(), bar);
                }
            }
            Event::Ended { record, done, total } => {
                self.end(&record.cell().to_string());
                if let Some(table) = &self.table {
                    table.total.set_position(*done as u64);
                }
                let cell = record.cell().to_string();
                self.say(&format!("[{done}/{total}] {}: {}", escape(&cell), outcome(record)));
            }
            Event::Again { cell, why } => {
                self.end(&cell.to_string());
                self.say(&format!("{cell}: once more: {}", escape(why)));
            }
            Event::Silent { address, why } => self.say(&format!("{}: no answer: {}", escape(address), escape(why))),
            Event::Answers { address } => self.say(&format!("{}: answers again", escape(address))),
            Event::Changed { image } => {
                self.say(&format!("{}: its files were changed meanwhile: they are those of no commit", escape(image)));
            }
            Event::Compared { difference } => {
                let (a, b) = (&difference.a, &difference.b);
                let who = if a.buildkit == b.buildkit {
                    a.buildkit.clone()
                } else {
                    format!("{} and {}", a.buildkit, b.buildkit)
                };
                let why = difference_in_words(difference);
                self.say(&format!("{} ({}, {who}) differs: {why}", difference.image, difference.platform));
            }
        }
    }

    /// Takes the table away.
    pub fn finish(&mut self) {
        if let Some(table) = self.table.take() {
            table.running.values().for_each(ProgressBar::finish_and_clear);
            table.total.finish_and_clear();
        }
    }

    fn end(&mut self, cell: &str) {
        let bar = self.table.as_mut().and_then(|table| table.running.remove(cell));
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }

    fn say(&self, line: &str) {
        match &self.table {
            Some(table) => {
                let _ = table.all.println(line);
            }
            None => eprintln!("{line}"),
        }
    }
}

fn outcome(record: &CellRecord<'_>) -> String {
    let why = record.why.as_deref().map(escape).unwrap_or_default();
    match (record.result, &record.digest) {
        (Outcome::Built, Some(digest)) => format!("{digest} ({} s)", record.seconds),
        (Outcome::Built | Outcome::Failed, _) => format!("failed: {why}"),
        (Outcome::Missing, _) => format!("missing: {why}"),
    }
}
