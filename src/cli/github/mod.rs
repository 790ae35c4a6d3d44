//! `repro github`: what the actions in `action/` call, and nobody else.
//!
//! An action is a shell around this: inputs come through the environment, no shell sees them, and the command that runs is the
//! one that a user would type. The runner takes lines that are printed for commands; so everything that a build prints stands
//! between marks that it cannot know.

mod build;
mod cache_map;
mod cache_mounts;
mod exporter;
mod inputs;
mod own;
mod sbom;
mod verify;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tempfile::TempDir;

use self::inputs::Inputs;
use super::config::unknown;
use super::files::{append, not_written};
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure};
use crate::report::github::{error_command, failure_markdown, output, resume_commands, stop_commands};

/// The arguments of `repro github`.
#[derive(Debug, Clone, Copy, Args)]
pub struct GithubCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// What `action/action.yml` does
    Build,
    /// What `action/verify/action.yml` does
    Verify,
}

impl GithubCommand {
    /// Does what the inputs say, and tells the runner.
    pub fn run(self) -> Result<ExitStatus, Failure> {
        let environment = Environment::of_this_process();
        let mut step = Step::new(&environment)?;
        let token = random()?;
        // One stream for both: where there are two, the runner may read them in another order than they were written in.
        rustix::stdio::dup2_stderr(io::stdout()).map_err(|error| unknown("where stdout goes", &error.into()))?;
        say(&stop_commands(&token));
        let inputs = Inputs::new(&environment);
        let ended = match self.action {
            Action::Build => build::run(inputs, &mut step, &environment),
            Action::Verify => verify::run(inputs, &mut step, &environment),
        };
        if let Err(failure) = &ended {
            say(&failure.render());
        }
        say(&resume_commands(&token));
        say(&step.commands);
        let status = match ended {
            Ok(status) => status,
            Err(failure) => {
                say(&error_command("repro", &failure.message));
                if !step.has_summary {
                    step.summary.push_str(&failure_markdown(&failure.message, failure.hint.as_deref()));
                }
                failure.status
            }
        };
        step.write()?;
        Ok(status)
    }
}

/// What a step leaves behind.
struct Step {
    /// A directory of this step, below `RUNNER_TEMP`.
    directory: PathBuf,
    /// Another one, which goes with the step.
    secrets: TempDir,
    outputs: BTreeMap<&'static str, String>,
    summary: String,
    has_summary: bool,
    /// Commands for the runner.
    commands: String,
    output_file: PathBuf,
    summary_file: Option<PathBuf>,
}

impl Step {
    fn new(environment: &Environment) -> Result<Self, Failure> {
        let path = |name: &str| {
            environment.path(name).ok_or_else(|| {
                Failure::usage(format!("{name} is not set"), "this is for GitHub's runner; others use `repro build`")
            })
        };
        let (temp, output_file) = (path("RUNNER_TEMP")?, path("GITHUB_OUTPUT")?);
        // Before anything is done that nobody would hear of.
        append(&output_file, "")?;
        let make = |prefix| {
            let mut builder = tempfile::Builder::new();
            let made = builder.prefix(prefix).permissions(Permissions::from_mode(0o700)).tempdir_in(&temp);
            made.map_err(|error| not_written(&temp, &error))
        };
        Ok(Self {
            directory: make("repro-")?.keep(),
            secrets: make("repro-secrets-")?,
            outputs: BTreeMap::new(),
            summary: String::new(),
            has_summary: false,
            commands: String::new(),
            output_file,
            summary_file: environment.path("GITHUB_STEP_SUMMARY"),
        })
    }

    /// Sets an output; what was said of it before is forgotten.
    fn output(&mut self, name: &'static str, value: impl Into<String>) {
        self.outputs.insert(name, value.into());
    }

    /// What the summary of the step says.
    fn summarize(&mut self, markdown: &str) {
        self.summary.push_str(markdown);
        self.has_summary = true;
    }

    /// A file in the directory of the step.
    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn write(&self) -> Result<(), Failure> {
        let mut text = String::new();
        for (name, value) in &self.outputs {
            text += &output(name, value, &random()?);
        }
        append(&self.output_file, &text)?;
        self.summary_file.as_ref().map_or(Ok(()), |file| append(file, &self.summary))
    }
}

/// Prints for the runner, who may have gone.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// What nobody can guess.
fn random() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| unknown("a random number", &io::Error::other(error)))?;
    Ok(format!("repro_{}", hex::encode(bytes)))
}
