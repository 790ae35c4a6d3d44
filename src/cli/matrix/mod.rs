//! `repro matrix`: the same images in many environments, night after night.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are the help, where brackets mean that a part may be left out"
)]

mod bisect;
mod cells;
mod guard;
mod merge;
mod progress;
mod report;
mod run;

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::failure::{ExitStatus, Failure};
use crate::matrix::past::History;
use crate::matrix::summary::MatrixReport;
use crate::matrix::verdict::Verdict;

/// The arguments of `repro matrix`.
#[derive(Debug, Args)]
pub struct MatrixCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Build the cells of a matrix, compare what they give, and remember it
    Run(run::RunCommand),
    /// Show what a history comes to: the grid now, since when, and why
    Report(report::ReportCommand),
    /// Find the BuildKit that changed the digest of an image
    Bisect(bisect::BisectCommand),
    /// List the cells of a matrix, for people or as the jobs of a workflow
    Cells(cells::CellsCommand),
    /// Join the histories of several machines, and compare the digests that differ between them
    Merge(merge::MergeCommand),
}

impl MatrixCommand {
    /// Runs the action.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        match &self.action {
            Action::Run(command) => command.run(),
            Action::Report(command) => command.run(),
            Action::Bisect(command) => command.run(),
            Action::Cells(command) => command.run(),
            Action::Merge(command) => command.run(),
        }
    }
}

/// The history of a matrix where nobody names one: beside its file.
fn history_beside(matrix: &Path) -> PathBuf {
    matrix.with_file_name("history.jsonl")
}

fn load_history<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<History, Failure> {
    History::load(paths).map_err(|error| unreadable(&error))
}

fn unreadable(error: &io::Error) -> Failure {
    Failure {
        status: ExitStatus::Unknown,
        message: format!("cannot read the history {error}"),
        hint: Some("`--history FILE` names it; `repro matrix run` makes it".to_owned()),
    }
}

/// How the program ends: what differs says more than what failed, and that more than what is missing.
/// What was never built, or never ended, is not equal.
fn status_of(report: &MatrixReport, allow_missing: bool) -> ExitStatus {
    let counts = |verdict: &&Verdict| report.totals.contains_key(*verdict);
    let left_out = |verdict: &&Verdict| !(allow_missing && **verdict == Verdict::EnvironmentMissing);
    let worst = Verdict::ALL.iter().rev().filter(counts).find(left_out);
    let is_whole = report.run.as_ref().is_some_and(|run| run.ended);
    match worst {
        Some(Verdict::NotReproducible | Verdict::InputChanged) => ExitStatus::Different,
        Some(Verdict::BuildFailed) => ExitStatus::BuildFailed,
        Some(Verdict::Equal) if is_whole => ExitStatus::Success,
        Some(_) | None => ExitStatus::Unknown,
    }
}
