//! `repro analyze`: check every byte of an archive, and tell what it is.

use std::io;
use std::path::PathBuf;

use super::print;
use clap::{Args, ValueEnum};

use crate::analyze::{AnalyzeReport, Status, analyze, analyze_faults};
use crate::digest::Digest;
use crate::failure::{ExitStatus, Failure};
use crate::image::{Image, ImageError, ReadOptions, load_archive, read_archive};
use crate::report::json::render_json;
use crate::report::text::render_analyze;

/// Arguments of `repro analyze`.
#[derive(Debug, Clone, Args)]
pub struct AnalyzeCommand {
    /// The archive to read; `-` for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Fail unless the archive holds this digest: of the image, an index, a manifest or a config
    #[arg(long, value_name = "DIGEST", value_parser = parse_digest)]
    pub expected_image_digest: Option<Digest>,

    /// Show the index, the manifests and the configs themselves
    #[arg(long)]
    pub show_contents: bool,

    /// What to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For machines; see docs/schema/analyze.v1.json
    Json,
}

impl AnalyzeCommand {
    /// Reads the archive and prints the report.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        let expected = self.expected_image_digest.as_ref();
        let file = self.file.display();
        let report = match load(self) {
            Ok(image) => analyze(&image, expected, self.show_contents),
            Err(error @ (ImageError::Open(_) | ImageError::Read { .. })) => {
                let message = format!("`{file}`: {:#}", anyhow::Error::new(error));
                let hint = "look whether the path is spelt right and may be read".to_owned();
                return Err(Failure { status: ExitStatus::Unknown, message, hint: Some(hint) });
            }
            Err(error) => analyze_error(&error, expected),
        };
        print(&render(&report, self.format)?)?;
        match report.status {
            Status::Ok => Ok(ExitStatus::Success),
            Status::Mismatch => {
                let found = report.image.and_then(|image| image.digest);
                let found = found.map_or_else(|| "no single image".to_owned(), |digest| format!("`{digest}`"));
                let expected = expected.map(Digest::to_string).unwrap_or_default();
                Err(Failure {
                    status: ExitStatus::Different,
                    message: format!("`{file}`: expected `{expected}`, found {found}"),
                    hint: Some("`repro analyze` without the flag shows all digests of the archive".to_owned()),
                })
            }
            Status::Corrupt => {
                let count = report.faults.len();
                let faults = if count == 1 { "1 fault".to_owned() } else { format!("{count} faults") };
                Err(Failure {
                    status: ExitStatus::Corrupt,
                    message: format!("`{file}`: not a sound image archive: {faults}"),
                    hint: Some("get the archive again from where it came, and compare its checksum".to_owned()),
                })
            }
        }
    }
}

fn load(args: &AnalyzeCommand) -> Result<Image, ImageError> {
    let options = ReadOptions::default();
    if args.file.as_os_str() == "-" {
        return read_archive(io::stdin().lock(), &options);
    }
    load_archive(&args.file, &options)
}

/// An archive that could not be read to its end has one fault: that.
fn analyze_error(error: &ImageError, expected: Option<&Digest>) -> AnalyzeReport {
    let mut report = analyze_faults(error.faults(), expected);
    if report.faults.is_empty() {
        let fault = crate::analyze::FaultReport { place: "archive".to_owned(), message: error.to_string() };
        report.faults.push(fault);
    }
    report
}

fn render(report: &AnalyzeReport, format: Format) -> Result<Vec<u8>, Failure> {
    match format {
        Format::Text => Ok(render_analyze(report).into_bytes()),
        Format::Json => render_json(report).map_err(|error| Failure {
            status: ExitStatus::Unknown,
            message: format!("cannot render the report: {error}"),
            hint: None,
        }),
    }
}

/// An empty digest is refused here: a variable that is not set must never verify anything.
fn parse_digest(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|error: crate::digest::DigestError| error.to_string())
}
