//! `repro analyze`: check every byte of an archive, and tell what it is.

use std::io;
use std::path::PathBuf;

use super::print_with;
use clap::{Args, ValueEnum};

use crate::analyze::{AnalyzeReport, Status, View, analyze, analyze_faults};
use crate::digest::Digest;
use crate::failure::{ExitStatus, Failure};
use crate::image::{Entries, Image, ImageError, Listing, Platform, ReadOptions, load_archive, read_archive};
use crate::report::json::write_json;
use crate::report::text::write_analyze;

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

    /// Show only the image for this platform, and fail where there is none
    #[arg(long, value_name = "OS/ARCHITECTURE[/VARIANT]")]
    pub platform: Option<Platform>,

    /// Show only the layer with this number, counted from 0
    #[arg(long, value_name = "NUMBER")]
    pub layer: Option<usize>,

    /// List the entries of the layers
    #[arg(long)]
    pub files: bool,

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
            Ok(image) => {
                self.check_layer(&image)?;
                check_entries(&image)?;
                analyze(&image, expected, &self.view())
            }
            Err(error @ (ImageError::Open(_) | ImageError::Read { .. })) => {
                let message = format!("`{file}`: {:#}", anyhow::Error::new(error));
                let hint = "look whether the path is spelt right and may be read".to_owned();
                return Err(Failure { status: ExitStatus::Unknown, message, hint: Some(hint) });
            }
            Err(error) => analyze_error(&error, expected),
        };
        print_with(|out| match self.format {
            Format::Text => write_analyze(out, &report),
            Format::Json => write_json(&report, out).map_err(io::Error::from),
        })?;
        match report.status {
            Status::Mismatch if self.lacks_platform(&report) => Err(Failure {
                status: ExitStatus::Different,
                message: format!("`{file}`: no image for the platform that was asked for"),
                hint: Some("`repro analyze` without `--platform` shows all of them".to_owned()),
            }),
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

    fn view(&self) -> View {
        View { contents: self.show_contents, platform: self.platform.clone(), layer: self.layer }
    }

    fn lacks_platform(&self, report: &AnalyzeReport) -> bool {
        self.platform.is_some() && report.image.as_ref().is_some_and(|image| image.manifests.is_empty())
    }

    /// A number that no image reaches is a slip of whoever asks: an empty list would look like an empty layer.
    fn check_layer(&self, image: &Image) -> Result<(), Failure> {
        let most = image.manifests.iter().map(|manifest| manifest.layers.len()).max().unwrap_or_default();
        match self.layer {
            Some(number) if number >= most => {
                let message = format!("`{}`: there is no layer {number}", self.file.display());
                let hint = if most == 0 { "it has none".to_owned() } else { format!("the last one is {}", most - 1) };
                Err(Failure::usage(message, hint))
            }
            _ => Ok(()),
        }
    }
}

/// Before anything is printed: half a list would look like a whole one.
fn check_entries(image: &Image) -> Result<(), Failure> {
    let layers = image.manifests.iter().flat_map(|manifest| &manifest.layers);
    let mut entries = layers.filter_map(|layer| layer.entries.as_ref());
    entries.try_for_each(Entries::check).map_err(|error| Failure {
        status: ExitStatus::Unknown,
        message: format!("cannot keep the list of entries: {error}"),
        hint: Some("it waits in a temporary file: look at the free space there (`TMPDIR` says where)".to_owned()),
    })
}

fn load(args: &AnalyzeCommand) -> Result<Image, ImageError> {
    let options = ReadOptions { listing: args.files.then(Listing::default), ..ReadOptions::default() };
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

/// An empty digest is refused here: a variable that is not set must never verify anything.
fn parse_digest(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|error: crate::digest::DigestError| error.to_string())
}
