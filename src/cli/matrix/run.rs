//! `repro matrix run`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Args;

use super::guard::{check_places, look, planned_of, refuse_another, refuse_one_daemon_twice};
use super::progress::Progress;
use super::report::{MatrixFormat, show};
use super::{history_beside, load_history, status_of};
use crate::cli::config::unknown;
use crate::cli::with_tokio;
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure};
use crate::image::escape::escape;
use crate::kept::run::random_name;
use crate::matrix::age::{Age, find_run, recheck};
use crate::matrix::cell::Cell;
use crate::matrix::file::Matrix;
use crate::matrix::past::{History, Run};
use crate::matrix::run::{Again, Request, run};
use crate::matrix::summary::MatrixReport;
use crate::plan::Platform;

/// The arguments of `repro matrix run`.
#[derive(Debug, Args)]
pub struct RunCommand {
    /// The matrix: images, axes, limits; docs/matrix.md describes it
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Build these cells alone, by the names that `repro matrix cells` prints
    #[arg(long, value_name = "CELL", help_heading = "What is built")]
    cell: Vec<String>,

    /// Build the cells of these images alone
    #[arg(long, value_name = "NAME", help_heading = "What is built")]
    image: Vec<String>,

    /// Build the cells of these platforms alone
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',', help_heading = "What is built")]
    platform: Vec<Platform>,

    /// The epoch, in seconds since 1970, of images that say `git` or none: what is computed once for all jobs of a night
    #[arg(long, alias = "sde", value_name = "SECONDS", conflicts_with = "recheck", help_heading = "What is built")]
    source_date_epoch: Option<u64>,

    /// Build what the history says of runs that are this old again, from their own commit and options: `1 day`, `2 weeks`, `1 year`
    #[arg(long, value_name = "AGE", value_delimiter = ',', conflicts_with_all = ["cell", "image", "resume", "run"], help_heading = "What is built")]
    recheck: Vec<Age>,

    /// Go on with the last run of the history that was stopped
    #[arg(long, conflicts_with = "run", help_heading = "What is built")]
    resume: bool,

    /// Cells that are built at a time on this machine [default: `limits.parallel` of the matrix, else the number of processors]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..), help_heading = "How it is built")]
    parallel: Option<u16>,

    /// What is remembered, as JSON lines that are only added to [default: history.jsonl beside the matrix]
    #[arg(long, value_name = "FILE", help_heading = "What comes out")]
    history: Option<PathBuf>,

    /// The name of the run, which jobs on several machines share [default: the time, and random letters]
    #[arg(long, value_name = "NAME", value_parser = parse_run, help_heading = "What comes out")]
    run: Option<String>,

    /// Keep the archive of every digest in DIR, as DIGEST.tar, and what failing builds said, as CELL.log
    #[arg(long, value_name = "DIR", help_heading = "What comes out")]
    keep: Option<PathBuf>,

    /// Cells that cannot be built on this machine, and ages that no run has yet, do not change the exit status
    #[arg(long, help_heading = "What comes out")]
    allow_missing: bool,

    /// What to print
    #[arg(long, value_enum, default_value_t, help_heading = "What comes out")]
    format: MatrixFormat,
}

/// A name that stands in file names and tables.
fn parse_run(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(is_plain) {
        return Err("it is letters, digits, `.`, `_` and `-`, at most 64".to_owned());
    }
    Ok(text.to_owned())
}

impl RunCommand {
    /// Builds, and prints what came out.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        let mut matrix = Matrix::load(&self.file)?;
        if let Some(parallel) = self.parallel {
            matrix.limits.parallel = usize::from(parallel);
        }
        if let Some(epoch) = self.source_date_epoch {
            matrix.set_epoch(epoch);
        }
        let history = self.history.clone().unwrap_or_else(|| history_beside(&matrix.path));
        let before = if history.exists() { load_history([history.as_path()])? } else { History::default() };
        if self.recheck.is_empty() {
            let request = self.request(&matrix, &before, history)?;
            return self.build(&matrix, &request, true);
        }
        self.check_again(&matrix, &before, &history)
    }

    fn build(&self, matrix: &Matrix, request: &Request, show_report: bool) -> Result<ExitStatus, Failure> {
        with_tokio(async |environment, interrupt| {
            let mut progress = Progress::new(request.cells.len());
            let built = run(matrix, request, environment, interrupt, &mut |event| progress.tell(event)).await;
            progress.finish();
            Ok(built?)
        })?;
        let report = MatrixReport::of(&load_history([request.history.as_path()])?, Some(&request.run));
        if show_report {
            show(&report, self.format)?;
        }
        Ok(status_of(&report, self.allow_missing))
    }

    fn request(&self, matrix: &Matrix, before: &History, history: PathBuf) -> Result<Request, Failure> {
        let mut cells = self.cells(matrix)?;
        let mut name = self.run.clone();
        if self.resume {
            let stopped = before.runs.iter().rev().find(|run| !run.is_whole() && run.record.recheck.is_none());
            let stopped = stopped.ok_or_else(|| {
                Failure::usage("no run of this history was stopped", "leave `--resume` out to begin a new run")
            })?;
            name = Some(stopped.record.id.clone());
            if self.image.is_empty() && self.cell.is_empty() && stopped.has_begun() {
                // The rest of what was asked for, not of the matrix.
                let planned = planned_of(&history, &stopped.record.id);
                cells.retain(|cell| match &planned {
                    Some(names) => names.contains(&cell.to_string()),
                    None => is_known(stopped, &cell.image),
                });
            }
        }
        refuse_one_daemon_twice(matrix, &cells)?;
        let sources = look(matrix, &cells);
        check_places(&[Some(&history), self.keep.as_ref()], &sources)?;
        let known = name.as_deref().and_then(|name| before.run(name));
        let (mut added, mut planned, mut earlier) = (cells.len(), cells.len(), Vec::new());
        if let Some(known) = known {
            refuse_another(known, &sources)?;
            // What has ended has ended: none is twice in a history.
            let gone: BTreeSet<&Cell> = known.entries.iter().map(|entry| before.cell(entry)).collect();
            cells.retain(|cell| !gone.contains(cell));
            let ended = known.entries.iter();
            earlier = ended.map(|entry| (before.cell(entry).clone(), before.digest(entry.digest).cloned())).collect();
            let (old, new): (Vec<&Cell>, Vec<&Cell>) = cells.iter().partition(|cell| is_known(known, &cell.image));
            added = new.len() + (earlier.len() + old.len()).saturating_sub(known.record.cells);
            planned = known.record.cells + added;
        }
        Ok(Request {
            run: name.map_or_else(new_name, Ok)?,
            added,
            planned,
            earlier,
            cells,
            sources,
            history,
            keep: self.keep.clone(),
            again: None,
            program: program()?,
        })
    }

    fn is_of_platform(&self, cell: &Cell) -> bool {
        self.platform.is_empty() || self.platform.iter().any(|platform| platform.to_string() == cell.platform)
    }

    fn cells(&self, matrix: &Matrix) -> Result<Vec<Cell>, Failure> {
        let all: BTreeMap<String, &Cell> = matrix.cells.iter().map(|cell| (cell.to_string(), cell)).collect();
        for name in &self.cell {
            if !all.contains_key(name) {
                let hint = "`repro matrix cells FILE` prints their names";
                return Err(Failure::usage(format!("the matrix has no cell `{name}`"), hint));
            }
        }
        for name in &self.image {
            if matrix.image(name).is_none() {
                let names: Vec<&str> = matrix.images.iter().map(|image| image.name.as_str()).collect();
                let hint = format!("its images are {}", names.join(", "));
                return Err(Failure::usage(format!("the matrix has no image `{name}`"), hint));
            }
        }
        let wanted = |(name, cell): &(&String, &&Cell)| {
            (self.cell.is_empty() || self.cell.contains(name))
                && (self.image.is_empty() || self.image.contains(&cell.image))
                && self.is_of_platform(cell)
        };
        let cells: BTreeSet<&Cell> = all.iter().filter(wanted).map(|(_, cell)| *cell).collect();
        if cells.is_empty() {
            return Err(Failure::usage(
                "no cell is left to build",
                "`--cell`, `--image` and `--platform` have to name the same cells",
            ));
        }
        // The order of the matrix, not of the names.
        Ok(matrix.cells.iter().filter(|cell| cells.contains(cell)).cloned().collect())
    }

    /// Builds earlier runs again.
    fn check_again(&self, matrix: &Matrix, before: &History, history: &Path) -> Result<ExitStatus, Failure> {
        let now: DateTime<Utc> = Utc::now();
        let (mut done, mut is_young) = (BTreeSet::new(), true);
        let mut status = ExitStatus::Success;
        for age in &self.recheck {
            let Some(found) = find_run(before, age, now) else {
                tracing::warn!("no run of the history is {age} old yet");
                continue;
            };
            is_young = false;
            if done.contains(&found.record.id) {
                tracing::warn!("the run that is {age} old is built again already: {}", escape(&found.record.id));
                continue;
            }
            let mut again = recheck(before, found, age);
            again.trust(matrix, found);
            again.leave_strangers(matrix, &Environment::of_this_process());
            again.digests.retain(|cell, _| self.is_of_platform(cell));
            for why in &again.left_out {
                tracing::warn!("{}", escape(why));
                status = worse(status, ExitStatus::Unknown);
            }
            let mut old = matrix.clone();
            old.buildkits = again.buildkits(found);
            let cells: Vec<Cell> = again.digests.keys().cloned().collect();
            if cells.is_empty() {
                tracing::warn!("nothing of run {} can be built again here", escape(&found.record.id));
                status = worse(status, ExitStatus::Unknown);
                continue;
            }
            done.insert(found.record.id.clone());
            let request = Request {
                run: new_name()?,
                added: cells.len(),
                planned: cells.len(),
                earlier: Vec::new(),
                cells,
                sources: again.sources,
                history: history.to_owned(),
                keep: self.keep.clone(),
                again: Some(Again { record: again.record, digests: again.digests }),
                program: program()?,
            };
            status = worse(status, self.build(&old, &request, false)?);
        }
        show(&MatrixReport::of(&load_history([history])?, None), self.format)?;
        // Nothing was built again, and so nothing is known to survive.
        Ok(if is_young && !self.allow_missing { ExitStatus::Unknown } else { status })
    }
}

/// The worse of two ends: what differs says most, what could not be told least.
fn worse(a: ExitStatus, b: ExitStatus) -> ExitStatus {
    let order = [ExitStatus::Different, ExitStatus::BuildFailed, ExitStatus::Unknown];
    order.into_iter().find(|status| *status == a || *status == b).unwrap_or(a)
}

/// Whether a run was asked for cells of an image.
fn is_known(run: &Run, image: &str) -> bool {
    run.record.images.iter().any(|record| record.name == image)
}

fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| unknown("where this program is", &error))
}

fn new_name() -> Result<String, Failure> {
    let random = random_name().map_err(|error| unknown("a random name", &error))?;
    Ok(format!("{}-{}", Utc::now().format("%Y%m%dT%H%M%SZ"), &random[..6]))
}
