//! Build again what is published, and say whether it is the same.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;

use super::build::{build_words, in_registry};
use super::exporter::{Exporter, check_destination};
use super::inputs::{Inputs, wrong};
use super::{Step, not_written};
use crate::cli::verify::VerifyCommand;
use crate::digest::Digest;
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure};
use crate::report::github::{annotations, error_command};
use crate::report::json::write_json;
use crate::report::sarif::sarif;
use crate::report::verify::{VerifyReport, render_markdown};
use crate::verify::Verdict;

/// Does what the inputs of `action/verify/action.yml` say.
pub fn run(inputs: Inputs<'_>, step: &mut Step, environment: &Environment) -> Result<ExitStatus, Failure> {
    let command = command(inputs, step, environment)?;
    let (report, failure) = command.report()?;
    tell(inputs, step, &report)?;
    command.print(&report, failure)
}

fn command(inputs: Inputs<'_>, step: &Step, environment: &Environment) -> Result<VerifyCommand, Failure> {
    let subject = subject(inputs)?;
    let mut words = build_words(inputs, step)?;
    let exporter = Exporter::parse(&inputs.list("outputs")?)?;
    exporter.to_words(&mut words);
    inputs.list("tags")?.into_iter().for_each(|tag| words.value("--tag", tag));
    for (input, flag) in [("cache", "--cache"), ("credentials", "--credentials")] {
        if inputs.switch(input)? == Some(true) {
            words.flag(flag);
        }
    }
    if inputs.switch("no-cache")? == Some(true) {
        words.flag("--no-cache");
    }
    for (input, flag) in [("ref", "--ref"), ("recipe", "--recipe")] {
        if let Some(value) = inputs.one(input)? {
            words.value(flag, value);
        }
    }
    if let Some(path) = inputs.one("output")? {
        check_destination("output", Path::new(path), environment)?;
        words.value("--output", path);
    }
    words.value("--report", step.file("differences"));
    words.value("--html", step.file("report.html"));
    words.operand(subject);
    if let Some(context) = inputs.one("context")? {
        words.operand(context);
    }
    words.parse()
}

/// What is verified. An empty digest is what a step gives that failed, and never equal to anything.
fn subject(inputs: Inputs<'_>) -> Result<String, Failure> {
    match (inputs.one("expected_digest")?, inputs.one("target_image")?) {
        (Some(digest), None) => match digest.trim().parse::<Digest>() {
            Ok(digest) => Ok(digest.to_string()),
            Err(error) => Err(wrong("expected_digest", &format!("is none: {error}"), "write it as sha256:0123…")),
        },
        (None, Some(image)) => Ok(in_registry(image.trim())),
        (None, None) => Err(wrong(
            "target_image",
            "is empty, and so is `expected_digest`",
            "say what is to be verified; an empty value often comes of a step before that gave none",
        )),
        (Some(_), Some(_)) => Err(wrong(
            "target_image",
            "says what is verified, and so does `expected_digest`",
            "give one of the two; `target_image: name@digest` holds an image against its digest",
        )),
    }
}

/// Tells what came out: to the job, to whoever looks at the run, and to other tools.
fn tell(inputs: Inputs<'_>, step: &mut Step, report: &VerifyReport) -> Result<(), Failure> {
    let dockerfile = inputs.one("file")?.unwrap_or("Dockerfile");
    write(&step.file("report.json"), report)?;
    write(&step.file("report.sarif"), &sarif(report.comparison.as_ref(), &[], Some(dockerfile)))?;
    let matches = match report.verdict {
        Verdict::Equal => "true",
        Verdict::Different => "false",
        Verdict::Unknown | Verdict::Corrupt => "unknown",
    };
    let text = |digest: Option<&Digest>| digest.map(ToString::to_string).unwrap_or_default();
    step.output("match", matches);
    step.output("level", report.level.map_or("", crate::verify::Level::name));
    step.output("digest", text(report.rebuilt.as_ref().map(|rebuilt| &rebuilt.digest)));
    step.output("expected", text(report.subject.digest.as_ref()));
    let directory = step.directory.to_string_lossy().into_owned();
    step.output("report", directory);
    step.summarize(&render_markdown(report));
    if report.verdict == Verdict::Different {
        step.commands += &error_command("repro verify", &report.headline());
        step.commands += &report.comparison.as_ref().map(annotations).unwrap_or_default();
    }
    Ok(())
}

fn write(path: &Path, report: &impl Serialize) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        let mut out = io::BufWriter::new(File::create_new(path)?);
        write_json(report, &mut out).map_err(io::Error::from)?;
        out.flush()
    };
    write().map_err(|error| not_written(path, &error))
}
