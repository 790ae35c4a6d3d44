//! `repro matrix merge`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{history_beside, load_history};
use crate::cli::config::unknown;
use crate::cli::files::not_written;
use crate::cli::with_tokio;
use crate::failure::{ExitStatus, Failure};
use crate::matrix::file::Matrix;
use crate::matrix::merge::{compare_missing, copy_new};

/// The arguments of `repro matrix merge`.
#[derive(Debug, Args)]
pub struct MergeCommand {
    /// The matrix
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The histories of other machines
    #[arg(value_name = "HISTORY", required = true)]
    histories: Vec<PathBuf>,

    /// The history that they are added to [default: history.jsonl beside the matrix]
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,

    /// Where the archives of their digests are, as `repro matrix run --keep` leaves them: what differs is compared
    #[arg(long, value_name = "DIR")]
    archives: Option<PathBuf>,
}

impl MergeCommand {
    /// Adds what is new, and compares what differs.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        let matrix = Matrix::load(&self.file)?;
        let into = self.history.clone().unwrap_or_else(|| history_beside(&matrix.path));
        // What cannot be read is told before anything is written.
        load_history(self.histories.iter().map(PathBuf::as_path))?;
        let from: Vec<&Path> = self.histories.iter().map(PathBuf::as_path).collect();
        let merged = copy_new(&from, &into).map_err(|error| not_written(&into, &error))?;
        eprintln!("{} lines are new, {} were there, {} cannot be read", merged.added, merged.known, merged.unread);
        let Some(archives) = &self.archives else { return Ok(ExitStatus::Success) };
        let archives = std::path::absolute(archives).map_err(|error| unknown("the working directory", &error))?;
        let program = std::env::current_exe().map_err(|error| unknown("where this program is", &error))?;
        let history = load_history([into.as_path()])?;
        with_tokio(async |environment, interrupt| {
            let (history, places) = ((&*into, &history), (&*archives, &*program));
            compare_missing(&matrix, history, &merged.runs, places, environment, interrupt).await?;
            Ok(ExitStatus::Success)
        })
    }
}
