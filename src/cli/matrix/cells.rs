//! `repro matrix cells`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cli::print;
use crate::failure::{ExitStatus, Failure};
use crate::matrix::file::Matrix;

/// The arguments of `repro matrix cells`.
#[derive(Debug, Args)]
pub struct CellsCommand {
    /// The matrix
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// What to print
    #[arg(long, value_enum, default_value_t)]
    format: CellsFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum CellsFormat {
    /// One name a line
    #[default]
    Text,
    /// For `strategy.matrix` of a workflow: `{"include": […]}` in one line
    Github,
}

#[derive(Serialize)]
struct Jobs<'a> {
    include: Vec<Job<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Job<'a> {
    cell: String,
    image: &'a str,
    platform: &'a str,
    runtime: &'a str,
    runs_on: String,
}

/// GitHub takes so many jobs of one matrix.
const JOBS: usize = 256;

impl CellsCommand {
    /// Prints the cells.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        let matrix = Matrix::load(&self.file)?;
        if self.format == CellsFormat::Text {
            let names: Vec<String> = matrix.cells.iter().map(|cell| format!("{cell}\n")).collect();
            print(names.concat().as_bytes())?;
            return Ok(ExitStatus::Success);
        }
        if matrix.cells.len() > JOBS {
            return Err(Failure::usage(
                format!("{} cells, and a workflow's matrix has at most {JOBS} jobs", matrix.cells.len()),
                "split the matrix, or have each job run the cells of one image (`repro matrix run --image`)",
            ));
        }
        let include = matrix.cells.iter().map(|cell| {
            let runs_on = matrix.runners.get(&cell.platform).cloned();
            Job {
                cell: cell.to_string(),
                image: &cell.image,
                platform: &cell.platform,
                runtime: &cell.runtime,
                runs_on: runs_on.unwrap_or_else(|| default_runner(&cell.platform).to_owned()),
            }
        });
        let jobs = Jobs { include: include.collect() };
        let mut line = serde_json::to_vec(&jobs).unwrap_or_default();
        line.push(b'\n');
        print(&line)?;
        Ok(ExitStatus::Success)
    }
}

/// The runner of GitHub's that has this platform's processor.
fn default_runner(platform: &str) -> &'static str {
    if platform.starts_with("linux/arm64") { "ubuntu-24.04-arm" } else { "ubuntu-24.04" }
}
