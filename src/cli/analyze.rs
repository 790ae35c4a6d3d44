//! `repro analyze`: check every byte of an archive, and tell what it is.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::analyze::{AnalyzeReport, Status, analyze, analyze_faults};
use crate::digest::Digest;
use crate::image::{Image, ImageError, ReadOptions, load_archive, read_archive};
use crate::report::json::render_json;
use crate::report::text::render_analyze;

/// Arguments of `repro analyze`.
#[derive(Debug, Clone, Args)]
pub struct AnalyzeArgs {
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

/// How `repro analyze` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnalyzeExit {
    /// Sound, and of the digest that was expected, if one was: exit status 0.
    Ok,
    /// Sound, but another image than expected: exit status 1.
    Differs,
    /// The archive cannot be opened or read: exit status 4.
    Unreadable,
    /// Not an archive of an image, or a broken one: exit status 5.
    Corrupt,
}

impl AnalyzeExit {
    /// The exit status of the process.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Differs => 1,
            Self::Unreadable => 4,
            Self::Corrupt => 5,
        }
    }
}

/// Reads the archive and prints the report on `stdout`, and what is wrong on `stderr`.
pub fn run(args: &AnalyzeArgs, stdout: &mut dyn Write, stderr: &mut dyn Write) -> anyhow::Result<AnalyzeExit> {
    let expected = args.expected_image_digest.as_ref();
    let report = match load(args) {
        Ok(image) => analyze(&image, expected, args.show_contents),
        Err(error @ (ImageError::Open(_) | ImageError::Read { .. })) => {
            writeln!(stderr, "error: `{}`: {:#}", args.file.display(), anyhow::Error::new(error))?;
            return Ok(AnalyzeExit::Unreadable);
        }
        Err(error) => analyze_error(&error, expected),
    };
    print(&report, args.format, stdout)?;
    match report.status {
        Status::Ok => Ok(AnalyzeExit::Ok),
        Status::Mismatch => {
            let found = report.image.and_then(|image| image.digest);
            let found = found.map_or_else(|| "no single image".to_owned(), |digest| format!("`{digest}`"));
            let expected = expected.map(Digest::to_string).unwrap_or_default();
            writeln!(stderr, "error: `{}`: expected `{expected}`, found {found}", args.file.display())?;
            Ok(AnalyzeExit::Differs)
        }
        Status::Corrupt => {
            let count = report.faults.len();
            let faults = if count == 1 { "1 fault".to_owned() } else { format!("{count} faults") };
            writeln!(stderr, "error: `{}`: not a sound image archive: {faults}", args.file.display())?;
            Ok(AnalyzeExit::Corrupt)
        }
    }
}

fn load(args: &AnalyzeArgs) -> Result<Image, ImageError> {
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

fn print(report: &AnalyzeReport, format: Format, stdout: &mut dyn Write) -> anyhow::Result<()> {
    let bytes = match format {
        Format::Text => render_analyze(report).into_bytes(),
        Format::Json => render_json(report).context("cannot render the report")?,
    };
    stdout.write_all(&bytes).and_then(|()| stdout.flush()).context("cannot print the report")
}

/// An empty digest is refused here: a variable that is not set must never verify anything.
fn parse_digest(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|error: crate::digest::DigestError| error.to_string())
}
