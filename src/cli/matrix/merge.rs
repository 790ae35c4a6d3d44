//! `repro matrix merge`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{history_beside, load_history, unreadable};
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
        let mut from = self.histories.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
        // A pipe may never end, and is read where a signal ends the program.
        let merged = copy_new(&mut from, &into).map_err(|error| not_written(&into, &error))?;
        // Whoever reads that the histories are one may stop what follows.
        with_tokio(async |environment, interrupt| {
            eprintln!("{} lines are new, {} were there, {} cannot be read", merged.added, merged.known, merged.unread);
            let Some(archives) = &self.archives else { return Ok(ExitStatus::Success) };
            let archives = std::path::absolute(archives).map_err(|error| unknown("the working directory", &error))?;
            let program = std::env::current_exe().map_err(|error| unknown("where this program is", &error))?;
            let history = load_history([into.as_path()])?;
            let (history, places) = ((&*into, &history), (&*archives, &*program));
            compare_missing(&matrix, history, &merged.runs, places, environment, interrupt).await?;
            Ok(ExitStatus::Success)
        })
    }
}

/// A history of which the first bytes are there: a directory, say, opens and cannot be read.
fn open(path: &Path) -> Result<impl Read + use<>, Failure> {
    let told = |error: io::Error| unreadable(&io::Error::new(error.kind(), format!("`{}`: {error}", path.display())));
    let mut file = File::open(path).map_err(told)?;
    let mut first = Vec::new();
    file.by_ref().take(1).read_to_end(&mut first).map_err(told)?;
    Ok(io::Cursor::new(first).chain(file))
}
