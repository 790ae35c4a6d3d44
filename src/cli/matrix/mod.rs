//! `repro matrix`: the same images in many environments, night after night.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are the help, where brackets mean that a part may be left out"
)]

mod bisect;
mod cells;
mod merge;
mod progress;
mod report;
mod run;

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::failure::{ExitStatus, Failure};
use crate::matrix::past::History;
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
fn status_of(worst: Option<Verdict>, allow_missing: bool) -> ExitStatus {
    match worst {
        Some(Verdict::NotReproducible | Verdict::InputChanged) => ExitStatus::Different,
        Some(Verdict::BuildFailed) => ExitStatus::BuildFailed,
        Some(Verdict::EnvironmentMissing) if allow_missing => ExitStatus::Success,
        Some(Verdict::EnvironmentMissing | Verdict::Alone) | None => ExitStatus::Unknown,
        Some(Verdict::Equal) => ExitStatus::Success,
    }
}
