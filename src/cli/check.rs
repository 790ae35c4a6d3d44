//! `repro check`: is it reproducible, and if not, why?

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are the help, where brackets mean that a part may be left out"
)]

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::config::ConfigWords;
use super::diff::{compare, dockerfile_of, shown_below};
use super::files::{ComparisonFiles, ReportDirectory};
use super::format::ComparisonFormat;
use super::subject::Opened;
use super::{print_with, with_tokio};
use crate::check::{self, Check, CheckOutcome, Variation};
use crate::diff::{Comparison, Options};
use crate::failure::{ExitStatus, Failure};
use crate::report::check::{CheckReport, write_check};
use crate::report::ci::{code_quality, junit, level_name};
use crate::report::json::write_json;
use crate::report::sarif::sarif;
use crate::settings::{BuildSettings, BuildWords, RouteWords};

/// The arguments of `repro check`.
#[derive(Debug, Args)]
pub struct CheckCommand {
    /// How often to build, at least twice
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2,
        value_parser = clap::value_parser!(u8).range(2..),
        help_heading = "What is checked"
    )]
    times: u8,

    /// What the further builds have that the first one has not [default: all of it]
    #[arg(long, value_enum, value_name = "WHAT[,…]", value_delimiter = ',', help_heading = "What is checked")]
    vary: Vec<Variation>,

    /// What they have in common with it
    #[arg(long, value_enum, value_name = "WHAT[,…]", value_delimiter = ',', help_heading = "What is checked")]
    keep: Vec<Variation>,

    /// Fail also where an input moves: what is equal today need not be tomorrow
    #[arg(long, help_heading = "What is checked")]
    strict: bool,

    /// What to print
    #[arg(long, value_enum, default_value_t, help_heading = "How it is said")]
    format: ComparisonFormat,

    #[command(flatten)]
    files: ComparisonFiles,

    #[command(flatten)]
    words: BuildWords,

    #[command(flatten)]
    settings: ConfigWords,
}

impl ValueEnum for Variation {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.help()))
    }
}

impl CheckCommand {
    /// Builds, compares, and prints what came out.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        let mut directory = self.files.directory()?;
        let (settings, outcome) = with_tokio(async |environment, interrupt| {
            let settings = self.settings.resolve(&self.words, environment)?;
            let check = Check { settings, vary: self.variations(), times: usize::from(self.times) };
            let outcome = Box::pin(check::run(&check, environment, interrupt)).await?;
            Ok((check.settings, outcome))
        })?;
        for warning in &outcome.warnings {
            tracing::warn!("{warning}");
        }
        let comparison = compare_builds(&settings, &outcome, directory.as_mut())?;
        if let Some(comparison) = &comparison {
            self.files.write_page(comparison)?;
        }
        let report = CheckReport::new(&outcome, comparison);
        print_with(|out| match self.format {
            ComparisonFormat::Text => write_check(out, &report),
            ComparisonFormat::Json => write_json(&report, out).map_err(io::Error::from),
            ComparisonFormat::Sarif => {
                let log = sarif(
                    report.comparison(),
                    &outcome.moving,
                    None,
                    Some(&shown_below(&settings.dockerfile, &current_directory())),
                );
                write_json(&log, out).map_err(io::Error::from)
            }
            ComparisonFormat::Junit => out.write_all(junit("repro check", &report.cases()).as_bytes()),
            ComparisonFormat::Codequality => {
                let dockerfile = shown_below(&settings.dockerfile, &current_directory());
                let issues = code_quality(report.comparison(), &outcome.moving, None, Some(&dockerfile));
                write_json(&issues, out).map_err(io::Error::from)
            }
        })?;
        let verdict = if outcome.is_reproducible() { "reproducible" } else { "not-reproducible" };
        let digest = outcome.builds.first().map(|build| &build.image_digest).filter(|_| outcome.is_reproducible());
        self.files.write_dotenv(verdict, digest, report.comparison().map(|comparison| level_name(comparison.equal)))?;
        let is_good = outcome.is_reproducible() && !(self.strict && outcome.moves());
        Ok(if is_good { ExitStatus::Success } else { ExitStatus::Different })
    }

    fn variations(&self) -> BTreeSet<Variation> {
        let asked = if self.vary.is_empty() { Variation::ALL.to_vec() } else { self.vary.clone() };
        asked.into_iter().filter(|variation| !self.keep.contains(variation)).collect()
    }
}

/// What differs between the first build and the first other one.
fn compare_builds(
    settings: &BuildSettings,
    outcome: &CheckOutcome,
    directory: Option<&mut ReportDirectory>,
) -> Result<Option<Comparison>, Failure> {
    let Some([(one, a), (other, b)]) = outcome.differing() else { return Ok(None) };
    // Both are files.
    let route = RouteWords::default();
    let open = |path: &PathBuf| Opened::open(path.as_os_str(), &route, None);
    let opened = (open(&a.archive)?, open(&b.archive)?);
    let name = |number: usize, runtime: &str| OsString::from(format!("build {} ({runtime})", number + 1));
    let names = (name(one, a.runtime), name(other, b.runtime));
    let source = dockerfile_of(settings, &current_directory());
    let options = Options { source, ..Options::default() };
    let sides: [(&Opened<'_>, &OsStr); 2] = [(&opened.0, &names.0), (&opened.1, &names.1)];
    compare(sides, options, directory)
}

/// What the Dockerfile's name is told relative to.
fn current_directory() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}
