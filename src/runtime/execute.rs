//! Runs the steps before and after a solve.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::{CommandError, ToolCommand};
use super::engine::{ContainerIdentity, Engine, EngineError};
use super::interrupt::Interrupt;
use super::steps::{ContainerProof, Step};
use crate::environment::Environment;

/// How long a step may take: pulling the pinned image over a slow line is the longest.
const STEP_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How long cleaning up may take.
const CLEANUP_LIMIT: Duration = Duration::from_secs(60);

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// A file or directory of our own cannot be made.
    #[error("cannot make `{path}`", path = path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The engine's answer was wrong.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The builder was replaced while it built.
    #[error(
        "the builder's container `{0}` was replaced or restarted during the build, so what built the image is not proved"
    )]
    Replaced(String),
    /// There is no engine to prove a container with.
    #[error("no Docker daemon is connected")]
    NoEngine,
}

/// Runs steps.
pub struct Executor<'a> {
    /// The caller's environment; each command sees the part of it that it names.
    pub environment: &'a Environment,
    /// Whether the user wants to stop.
    pub interrupt: &'a Interrupt,
    /// The Docker daemon, for proofs.
    pub engine: Option<Engine>,
    /// Which start of the builder's container was proved.
    pub identity: Option<ContainerIdentity>,
}

impl Executor<'_> {
    /// Runs one step.
    pub async fn step(&mut self, step: &Step) -> Result<(), ExecuteError> {
        match step {
            Step::Directory(path) => make_directory(path),
            Step::File { path, contents } | Step::DockerConfig { path, contents, .. } => write_private(path, contents),
            Step::Link { path, target } => {
                symlink(target, path).map_err(|source| ExecuteError::Io { path: path.clone(), source })
            }
            Step::Run { command, stdout } => {
                let output = command.run_checked(self.environment, self.interrupt, STEP_LIMIT).await?;
                stdout.as_ref().map_or(Ok(()), |path| write_private(path, &output.stdout))
            }
            Step::Ensure { probe, otherwise } => {
                if probe.run(self.environment, self.interrupt, STEP_LIMIT).await?.status.success() {
                    return Ok(());
                }
                otherwise.run_checked(self.environment, self.interrupt, STEP_LIMIT).await?;
                Ok(())
            }
            Step::ProveContainer(proof) => self.prove(proof).await,
        }
    }

    async fn prove(&mut self, proof: &ContainerProof) -> Result<(), ExecuteError> {
        let engine = self.engine.as_ref().ok_or(ExecuteError::NoEngine)?;
        let ask = || engine.prove_container(&proof.container, &proof.digest, proof.host_network);
        let identity = match (ask().await, &proof.replace) {
            (Err(EngineError::NotThePin { why, .. }), Some(replace)) => {
                tracing::warn!("the builder {} is made anew: {why}", proof.container);
                // It may be half there: then removing it fails, and making it anew tells what is wrong.
                let _ = replace.remove.run(self.environment, self.interrupt, STEP_LIMIT).await;
                replace.create.run_checked(self.environment, self.interrupt, STEP_LIMIT).await?;
                replace.start.run_checked(self.environment, self.interrupt, STEP_LIMIT).await?;
                ask().await?
            }
            (answer, _) => answer?,
        };
        if self.identity.as_ref().is_some_and(|before| *before != identity) {
            return Err(ExecuteError::Replaced(proof.container.clone()));
        }
        self.identity = Some(identity);
        Ok(())
    }

    /// Runs commands that clean up; what fails is said and does not stop the rest.
    pub async fn clean_up(&self, commands: &[ToolCommand]) {
        // What cleans up after an interrupt must not be interrupted by it.
        let interrupt = Interrupt::never();
        for command in commands {
            if let Err(error) = command.run_checked(self.environment, &interrupt, CLEANUP_LIMIT).await {
                tracing::warn!("cleaning up: {error}");
            }
        }
    }
}

fn make_directory(path: &Path) -> Result<(), ExecuteError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| ExecuteError::Io { path: path.to_owned(), source })
}

fn write_private(path: &Path, contents: &[u8]) -> Result<(), ExecuteError> {
    let wrong = |source| ExecuteError::Io { path: path.to_owned(), source };
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    opened.map_err(wrong)?.write_all(contents).map_err(wrong)
}
