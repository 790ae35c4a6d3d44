//! `repro analyze`: check every byte of an image, and tell what it is.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are the help, where brackets mean that a part may be left out"
)]

use std::ffi::OsString;
use std::io;

use super::print_with;
use super::subject::load;
use clap::{Args, ValueEnum};

use crate::analyze::{AnalyzeReport, ImageReport, Status, View, analyze, analyze_faults};
use crate::digest::Digest;
use crate::failure::{ExitStatus, Failure, chain};
use crate::image::{Entries, Image, ImageError, Layer, Listing, Platform, ReadOptions};
use crate::report::json::write_json;
use crate::report::text::write_analyze;
use crate::settings::RouteWords;

/// Arguments of `repro analyze`.
#[derive(Debug, Clone, Args)]
pub struct AnalyzeCommand {
    /// The image to read: an archive, a directory, `-` for standard input, or REGISTRY/NAME[:TAG][@DIGEST]
    ///
    /// Archives are tars as docker, podman, skopeo, buildah, crane, ctr and BuildKit write them, also in gzip or Zstandard;
    /// directories are OCI image layouts and skopeo's `dir:`. What exists as a path is read as that path; `docker://` in
    /// front says that a reference is meant.
    #[arg(value_name = "IMAGE")]
    pub image: OsString,

    /// Fail unless the image has this digest: of the image, an index, a manifest or a config
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

    #[command(flatten)]
    pub(super) route: RouteWords,
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
    /// Reads the image and prints the report.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        let expected = self.expected_image_digest.as_ref();
        let options = ReadOptions {
            listing: self.files.then(Listing::default),
            // What tools leave out on purpose is told, and judged by what is asked for.
            partial: true,
            ..ReadOptions::default()
        };
        let report = match load(&self.image, &self.route, self.platform.as_ref(), options)? {
            Ok(image) => {
                self.check_layer(&image)?;
                check_entries(&image)?;
                analyze(&image, expected, &self.view())
            }
            Err(error @ (ImageError::Open(_) | ImageError::Read { .. } | ImageError::Member { .. })) => {
                let message = format!("{}: {}", self.shown(), chain(&error));
                let hint = "look whether the path is spelt right and may be read".to_owned();
                return Err(Failure { status: ExitStatus::Unknown, message, hint: Some(hint) });
            }
            Err(error) => analyze_error(&error, expected),
        };
        print_with(|out| match self.format {
            Format::Text => write_analyze(out, &report),
            Format::Json => write_json(&report, out).map_err(io::Error::from),
        })?;
        self.judge(&report)
    }

    /// How the run ends.
    fn judge(&self, report: &AnalyzeReport) -> Result<ExitStatus, Failure> {
        let failure = |status, message: String, hint: &str| {
            let message = format!("{}: {message}", self.shown());
            Err(Failure { status, message, hint: Some(hint.to_owned()) })
        };
        match (report.status, &report.expected) {
            (Status::Mismatch, _) if self.lacks_platform(report) => failure(
                ExitStatus::Different,
                "no image for the platform that was asked for".to_owned(),
                "`repro analyze` without `--platform` shows all of them",
            ),
            (Status::Partial, _) if self.lacks_platform(report) => failure(
                ExitStatus::Unknown,
                "the image for the platform that was asked for is left out here".to_owned(),
                "get it with that platform, or with all of them",
            ),
            (Status::Ok | Status::Partial, None) => Ok(ExitStatus::Success),
            (Status::Ok | Status::Partial, Some(expected)) if expected.is_whole => Ok(ExitStatus::Success),
            (Status::Ok | Status::Partial, Some(expected)) => failure(
                ExitStatus::Unknown,
                format!("not all is there that `{}` stands for", expected.digest),
                "expect the digest of the manifest that is there, or get the image with all its platforms",
            ),
            (Status::Mismatch, expected) => {
                let found = report.image.as_ref().and_then(|image| image.digest.as_ref());
                let found = found.map_or_else(|| "no single image".to_owned(), |digest| format!("`{digest}`"));
                let expected = expected.as_ref().map(|expected| expected.digest.to_string()).unwrap_or_default();
                failure(
                    ExitStatus::Different,
                    format!("expected `{expected}`, found {found}"),
                    "`repro analyze` without the flag shows all digests of the archive",
                )
            }
            (Status::Corrupt, _) => {
                let count = report.faults.len();
                let faults = if count == 1 { "1 fault".to_owned() } else { format!("{count} faults") };
                failure(
                    ExitStatus::Corrupt,
                    format!("not a sound image: {faults}"),
                    "get the image again from where it came, and compare its checksum",
                )
            }
        }
    }

    fn shown(&self) -> String {
        format!("`{}`", self.image.to_string_lossy())
    }

    fn view(&self) -> View {
        View { contents: self.show_contents, platform: self.platform.clone(), layer: self.layer }
    }

    fn lacks_platform(&self, report: &AnalyzeReport) -> bool {
        let is_empty = |image: &ImageReport| image.manifests.is_empty() && image.docker_images.is_empty();
        self.platform.is_some() && report.image.as_ref().is_some_and(is_empty)
    }

    /// A number that no image reaches is a slip of whoever asks: an empty list would look like an empty layer.
    fn check_layer(&self, image: &Image) -> Result<(), Failure> {
        let most = image.layer_lists().map(<[Layer]>::len).max().unwrap_or_default();
        match self.layer {
            Some(number) if number >= most => {
                let message = format!("{}: there is no layer {number}", self.shown());
                let hint = if most == 0 { "it has none".to_owned() } else { format!("the last one is {}", most - 1) };
                Err(Failure::usage(message, hint))
            }
            _ => Ok(()),
        }
    }
}

/// Before anything is printed: half a list would look like a whole one.
fn check_entries(image: &Image) -> Result<(), Failure> {
    let mut entries = image.layer_lists().flatten().filter_map(|layer| layer.entries.as_ref());
    entries.try_for_each(Entries::check).map_err(|error| Failure {
        status: ExitStatus::Unknown,
        message: format!("cannot keep the list of entries: {error}"),
        hint: Some("it waits in a temporary file: look at the free space there (`TMPDIR` says where)".to_owned()),
    })
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
