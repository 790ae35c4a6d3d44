//! `repro matrix report`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{history_beside, load_history, status_of};
use crate::cli::files::write_page;
use crate::cli::print;
use crate::failure::{ExitStatus, Failure};
use crate::image::escape::escape;
use crate::matrix::summary::MatrixReport;
use crate::report::json::render_json;
use crate::report::matrix::{render_matrix, render_matrix_markdown};
use crate::report::matrix_html::write_matrix_html;

/// What to print of a matrix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum MatrixFormat {
    /// For people
    #[default]
    Text,
    /// For machines; docs/schema describes it
    Json,
    /// For a pull request, or the summary of a step
    Markdown,
}

/// The arguments of `repro matrix report`.
#[derive(Debug, Args)]
pub struct ReportCommand {
    /// The matrix; only where its history is follows from it
    #[arg(value_name = "FILE", required_unless_present = "history")]
    file: Option<PathBuf>,

    /// The history; given several times, what all of them know counts [default: history.jsonl beside the matrix]
    #[arg(long, value_name = "FILE")]
    history: Vec<PathBuf>,

    /// The run whose grid is shown [default: the last that is no recheck]
    #[arg(long, value_name = "NAME")]
    run: Option<String>,

    /// Cells that could not be built do not change the exit status
    #[arg(long)]
    allow_missing: bool,

    /// What to print
    #[arg(long, value_enum, default_value_t)]
    format: MatrixFormat,

    /// Write the report as a page, too, that needs nothing else
    #[arg(long, value_name = "PAGE")]
    html: Option<PathBuf>,
}

impl ReportCommand {
    /// Reads, and prints.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        let beside = self.file.as_deref().map(history_beside);
        let paths: Vec<&Path> = match beside.as_deref() {
            Some(path) if self.history.is_empty() => vec![path],
            _ => self.history.iter().map(PathBuf::as_path).collect(),
        };
        let history = load_history(paths)?;
        if let Some(run) = self.run.as_deref().filter(|run| history.run(run).is_none()) {
            let last = history.runs.last().map_or_else(
                || "it holds none".to_owned(),
                |run| format!("the last one is {}", escape(&run.record.id)),
            );
            return Err(Failure::usage(format!("no run of the history is called `{}`", escape(run)), last));
        }
        let report = MatrixReport::of(&history, self.run.as_deref());
        if let Some(path) = &self.html {
            write_page(path, |out| write_matrix_html(out, &report))?;
        }
        show(&report, self.format)?;
        Ok(status_of(&report, self.allow_missing))
    }
}

/// Prints a report.
pub fn show(report: &MatrixReport, format: MatrixFormat) -> Result<(), Failure> {
    let text = match format {
        MatrixFormat::Text => render_matrix(report).into_bytes(),
        MatrixFormat::Markdown => render_matrix_markdown(report).into_bytes(),
        MatrixFormat::Json => render_json(report).map_err(|error| Failure {
            status: ExitStatus::Unknown,
            message: format!("cannot render the report: {error}"),
            hint: None,
        })?,
    };
    print(&text)
}
