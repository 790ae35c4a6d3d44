//! The form of a report.

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::{ExitStatus, Failure};
use crate::report::json::render_json;

/// What to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For machines; docs/schema describes it
    Json,
}

/// What to print of a comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ComparisonFormat {
    /// For people
    #[default]
    Text,
    /// For machines; docs/schema describes it
    Json,
    /// For code hosts, which show it on the lines of the Dockerfile: SARIF 2.1.0
    Sarif,
    /// For CI servers, which show it as a test: JUnit's XML
    Junit,
    /// For GitLab, which shows it on the lines of the Dockerfile: Code Quality
    Codequality,
}

impl Format {
    /// A report in this form.
    pub fn render<T: Serialize>(self, report: &T, text: fn(&T) -> String) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Text => Ok(text(report).into_bytes()),
            Self::Json => render_json(report).map_err(|error| Failure {
                status: ExitStatus::Unknown,
                message: format!("cannot render the report: {error}"),
                hint: None,
            }),
        }
    }
}
