//! The command line: one file a subcommand, each from arguments to a library call to rendering.

mod analyze;
mod build;
mod builder;
mod check;
mod completions;
mod config;
mod diff;
mod doctor;
mod files;
mod format;
mod github;
mod index;
mod man;
mod matrix;
mod push;
mod subject;
mod verify;

use std::io::{self, Write as _};

use clap::{Parser, Subcommand};

use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure};
use crate::runtime::interrupt::Interrupt;

/// Container images that are the same bit for bit on every machine and every engine, and the proof.
#[derive(Debug, Parser)]
#[command(name = "repro", version, propagate_version = true, disable_help_subcommand = true)]
#[command(
    after_help = "Exit status: 0 done and equal, 1 differs or not as expected, 2 wrong usage, 3 the build failed,\n4 could not tell, 5 the input is corrupt or not an image, 130 interrupted, 143 terminated."
)]
pub struct Cli {
    /// Say more: where each setting came from, which runtimes were passed over (-v); what is run (-vv)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build an image with the pinned BuildKit, check every byte of it, and print its digests
    Build(Box<build::BuildCommand>),
    /// Build several times under other conditions, compare, and say what makes the difference
    Check(Box<check::CheckCommand>),
    /// Build a published image again from its source, compare, and say on which level it is the same
    Verify(Box<verify::VerifyCommand>),
    /// Check every byte of an image in an archive, a directory or a registry, and print its digests
    Analyze(Box<analyze::AnalyzeCommand>),
    /// Compare two images: what differs on every level, why, and what to do about it
    Diff(Box<diff::DiffCommand>),
    /// Push an image from an archive or a directory to registries, every byte checked, its digest unchanged
    Push(Box<push::PushCommand>),
    /// Join images of single platforms, which are in a registry already, to one index
    Index(Box<index::IndexCommand>),
    /// Build images in many environments, night after night, and tell what differs, since when and why
    Matrix(matrix::MatrixCommand),
    /// Tell what works on this machine, and what to do about the rest
    Doctor(doctor::DoctorCommand),
    /// What repro keeps on this machine: builders, caches, binaries; list it, remove it
    Builder(builder::BuilderCommand),
    /// Print a script that completes commands and flags in a shell
    Completions(completions::CompletionsCommand),
    /// Write the manual, one page a command
    Man(man::ManCommand),
    /// What the GitHub actions call
    #[command(hide = true)]
    Github(github::GithubCommand),
}

/// Runs a command and says how the process ends.
#[must_use]
pub fn run(cli: &Cli) -> ExitStatus {
    let result = match &cli.command {
        Command::Analyze(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Push(command) => command.run(),
        Command::Index(command) => command.run(),
        Command::Matrix(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
        Command::Github(command) => command.run(),
        Command::Build(command) => with_tokio(async |environment, interrupt| command.run(environment, interrupt).await),
        Command::Doctor(command) => {
            with_tokio(async |environment, interrupt| command.run(environment, interrupt).await)
        }
        Command::Builder(command) => {
            with_tokio(async |environment, interrupt| command.run(environment, interrupt).await)
        }
    };
    result.unwrap_or_else(|failure| {
        let _ = io::stderr().write_all(failure.render().as_bytes());
        failure.status
    })
}

fn with_tokio<T>(work: impl AsyncFnOnce(&Environment, &Interrupt) -> Result<T, Failure>) -> Result<T, Failure> {
    let broken = |error: io::Error| Failure {
        status: ExitStatus::Unknown,
        message: format!("cannot start: {error}"),
        hint: Some("look at the limits of this user (`ulimit -a`)".to_owned()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    runtime.block_on(async {
        let interrupt = Interrupt::listen().map_err(broken)?;
        work(&Environment::of_this_process(), &interrupt).await
    })
}

/// Writes data to stdout; a reader that went away is no error.
fn print(data: &[u8]) -> Result<(), Failure> {
    print_with(|stdout| stdout.write_all(data))
}

/// The same for data that is made while it is written.
fn print_with(write: impl FnOnce(&mut io::BufWriter<io::StdoutLock<'_>>) -> io::Result<()>) -> Result<(), Failure> {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure {
            status: ExitStatus::Unknown,
            message: format!("cannot write to stdout: {error}"),
            hint: Some("look at the free space there (`df`)".to_owned()),
        }),
        _ => Ok(()),
    }
}
