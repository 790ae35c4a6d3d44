//! Build again what is published, and say whether it is the same.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Step;
use super::build::{build_words, in_registry};
use super::exporter::{Exporter, check_destination};
use super::inputs::{Inputs, wrong};
use crate::cli::files::not_written;
use crate::cli::verify::VerifyCommand;
use crate::diff::model::Text;
use crate::digest::Digest;
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure};
use crate::report::github::{annotations, error_command};
use crate::report::json::write_json;
use crate::report::sarif::sarif;
use crate::report::verify::{VerifyReport, render_markdown, told};
use crate::verify::{GitSource, Verdict};

/// Does what the inputs of `action/verify/action.yml` say.
pub fn run(inputs: Inputs<'_>, step: &mut Step, environment: &Environment) -> Result<ExitStatus, Failure> {
    step.output("match", "unknown");
    let command = command(inputs, step, environment)?;
    let (mut report, failure) = command.report()?;
    let shown = shown(inputs, environment)?;
    let findings = report.comparison.iter_mut().flat_map(|comparison| &mut comparison.findings);
    for instruction in findings.flat_map(|finding| &mut finding.instructions) {
        instruction.file = instruction
            .file
            .take()
            .and_then(|file| shown.of(&file.to_string()))
            .map(|file| Text::whole(file.as_bytes()));
    }
    tell(step, &report, shown.of_input.as_deref())?;
    command.print(&report, failure)
}

fn context(inputs: Inputs<'_>) -> Result<&str, Failure> {
    Ok(inputs.one("context")?.unwrap_or("."))
}

/// Where files are for whoever looks at the run: relative to the workspace.
struct Shown {
    /// What names of files are told relative to, where that is part of the workspace.
    root: Option<PathBuf>,
    workspace: PathBuf,
    /// The Dockerfile, by the inputs.
    of_input: Option<String>,
}

impl Shown {
    fn of(&self, file: &str) -> Option<String> {
        let path = self.root.as_ref()?.join(file);
        path.strip_prefix(&self.workspace).ok()?.to_str().map(str::to_owned)
    }
}

fn shown(inputs: Inputs<'_>, environment: &Environment) -> Result<Shown, Failure> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let here = std::env::current_dir().unwrap_or_default();
    let workspace = environment.path("GITHUB_WORKSPACE").unwrap_or_else(|| here.clone());
    let context = context(inputs)?;
    let directory = absolute(Path::new(context));
    let file = inputs.one("file")?;
    let root = match inputs.one("ref")? {
        _ if GitSource::is_address(context) => None,
        // The whole repository is checked out.
        Some(_) => Some(workspace.clone()),
        None => Some(directory.clone()),
    };
    let mut shown = Shown { root, workspace, of_input: None };
    let dockerfile = file.map_or_else(|| directory.join("Dockerfile"), |file| here.join(file));
    shown.of_input = shown.of(&dockerfile.to_string_lossy());
    Ok(shown)
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
    // Nothing would be whatever the image names as its source.
    words.operand(context(inputs)?);
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
fn tell(step: &mut Step, report: &VerifyReport, dockerfile: Option<&str>) -> Result<(), Failure> {
    write(&step.file("report.json"), report)?;
    write(&step.file("report.sarif"), &sarif(report.comparison.as_ref(), &[], told(report).as_ref(), dockerfile))?;
    let matches = match report.verdict {
        Verdict::Equal => "true",
        Verdict::Different => "false",
        Verdict::Unknown | Verdict::Corrupt => "unknown",
    };
    let text = |digest: Option<&Digest>| digest.map(ToString::to_string).unwrap_or_default();
    step.output("match", matches);
    step.output("level", report.level.map_or("", crate::verify::Level::name));
    step.output("digest", text(report.rebuilt.as_ref().map(|rebuilt| &rebuilt.digest)));
    step.output("expected", text(report.covered()));
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
