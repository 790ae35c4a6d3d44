//! What `repro check` found, as text and as JSON.

use std::io;

use serde::Serialize;

use super::ci::{Case, End, causes};
use super::diff::write_diff;
use crate::check::{CheckOutcome, CheckedBuild, NotVaried, Variation};
use crate::diff::Comparison;
use crate::moving::{Moving, Severity};

/// The name and version of the JSON form. See `docs/schema/check.v1.json`.
const SCHEMA: &str = "repro.check.v1";

/// What `repro check` prints.
#[derive(Debug, Serialize)]
pub struct CheckReport<'a> {
    schema: &'static str,
    verdict: CheckVerdict,
    builds: &'a [CheckedBuild],
    varied: Vec<Variation>,
    not_varied: &'a [NotVaried],
    moving: &'a [Moving],
    comparison: Option<Comparison>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum CheckVerdict {
    Reproducible,
    NotReproducible,
}

impl<'a> CheckReport<'a> {
    /// The report of an outcome, with what differs where something does.
    #[must_use]
    pub fn new(outcome: &'a CheckOutcome, comparison: Option<Comparison>) -> Self {
        let is_reproducible = outcome.is_reproducible();
        let varied = Variation::ALL.into_iter();
        let was_varied = |variation: &Variation| outcome.builds.iter().any(|build| build.varied.contains(variation));
        Self {
            schema: SCHEMA,
            verdict: if is_reproducible { CheckVerdict::Reproducible } else { CheckVerdict::NotReproducible },
            builds: &outcome.builds,
            varied: varied.filter(was_varied).collect(),
            not_varied: &outcome.not_varied,
            moving: &outcome.moving,
            comparison,
        }
    }
}

impl CheckReport<'_> {
    /// The builds as cases: each further one against the first.
    #[must_use]
    pub fn cases(&self) -> Vec<Case> {
        let Some((first, others)) = self.builds.split_first() else { return Vec::new() };
        let mut cases = Vec::new();
        // What was compared is the first that differs.
        let mut why = self.comparison.as_ref().map(causes);
        for (number, build) in others.iter().enumerate() {
            let varied: Vec<&str> = build.varied.iter().map(|variation| variation.name()).collect();
            let varied = if varied.is_empty() { String::new() } else { format!(", with other {}", varied.join(", ")) };
            let digests = format!("{} instead of {}", build.image_digest, first.image_digest);
            let end = if build.image_digest == first.image_digest {
                End::Passed
            } else {
                End::Failed(format!("{digests}\n{}", why.take().unwrap_or_default()))
            };
            cases.push(Case { name: format!("build {} is build 1 ({}{varied})", number + 2, build.runtime), end });
        }
        cases
    }

    /// What differs, where something does.
    #[must_use]
    pub const fn comparison(&self) -> Option<&Comparison> {
        self.comparison.as_ref()
    }
}

/// Writes the report for people.
pub fn write_check(out: &mut impl io::Write, report: &CheckReport<'_>) -> io::Result<()> {
    let builds = report.builds.len();
    match (report.verdict, report.builds.first()) {
        (CheckVerdict::Reproducible, Some(first)) => {
            writeln!(out, "Reproducible: {builds} builds gave {}", first.image_digest)?;
        }
        _ => writeln!(out, "Not reproducible: {builds} builds did not give the same image")?,
    }
    writeln!(out)?;
    for (number, build) in report.builds.iter().enumerate() {
        let varied: Vec<&str> = build.varied.iter().map(|variation| variation.name()).collect();
        let varied = if varied.is_empty() { String::new() } else { format!(", with other {}", varied.join(", ")) };
        writeln!(out, "build {}  {}  {}{varied}", number + 1, build.image_digest, build.runtime)?;
    }
    for not_varied in report.not_varied {
        writeln!(out, "the same   {}: {}", not_varied.what, not_varied.why)?;
    }
    write_moving(out, report.moving)?;
    match &report.comparison {
        Some(comparison) => {
            writeln!(out)?;
            write_diff(out, comparison)
        }
        None => Ok(()),
    }
}

fn write_moving(out: &mut impl io::Write, moving: &[Moving]) -> io::Result<()> {
    if moving.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nInputs that may be others tomorrow")?;
    for input in moving {
        let lines = if input.first_line == input.last_line {
            format!("line {}", input.first_line)
        } else {
            format!("lines {}-{}", input.first_line, input.last_line)
        };
        let word = match input.severity {
            Severity::Moves => "moves",
            Severity::MayMove => "may move",
        };
        writeln!(out, "  {lines}: {} {word} ({})", input.what, input.id)?;
        writeln!(out, "    {}", input.why)?;
        writeln!(out, "    fix: {}", input.fix)?;
    }
    Ok(())
}
