//! Runs the steps before and after a solve.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::{CommandError, ToolCommand};
use super::credentials::{anonymous_config, client_config};
use super::docker_config::DockerConfigError;
use super::engine::{ContainerIdentity, Engine, EngineError, ProvedContainer};
use super::interrupt::Interrupt;
use super::remote::{Daemon, RemoteDaemonError};
use super::steps::{Builder, ContainerProof, Query, RemoteBuilder, Step};
use crate::environment::Environment;

/// How long a step may take: pulling the pinned image over a slow line is the longest.
const STEP_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How long a question beside the solve may take.
const QUERY_LIMIT: Duration = Duration::from_secs(60);
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
    /// The user's Docker configuration cannot be read.
    #[error(transparent)]
    Config(#[from] DockerConfigError),
    /// The engine's answer was wrong.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The builder was replaced while it built.
    #[error(
        "the builder's container `{0}` was replaced or restarted during the build, so what built the image is not proved"
    )]
    Replaced(String),
    /// Somebody else's BuildKit is not built on.
    #[error(transparent)]
    Remote(#[from] RemoteDaemonError),
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
    /// Whether registries are asked without the user's credentials.
    pub anonymous: bool,
}

impl Executor<'_> {
    /// Runs one step.
    pub async fn step(&mut self, step: &Step) -> Result<(), ExecuteError> {
        match step {
            Step::Directory(path) => make_directory(path),
            Step::File { path, contents } => write_private(path, contents),
            Step::DockerConfig { path, registries, credentials_only } => {
                let config = if self.anonymous {
                    anonymous_config(self.environment, *credentials_only)?
                } else {
                    client_config(self.environment, registries, *credentials_only).await?
                };
                write_private(path, &config)
            }
            Step::Link { path, target } => {
                symlink(target, path).map_err(|source| ExecuteError::Io { path: path.clone(), source })
            }
            Step::Command(command) => self.run(command).await,
            Step::Ensure { probe, otherwise } => {
                if probe.run(self.environment, self.interrupt, STEP_LIMIT).await?.status.success() {
                    return Ok(());
                }
                self.run(otherwise).await
            }
            Step::Ask(query) => {
                let output = query.command.run(self.environment, self.interrupt, QUERY_LIMIT).await?;
                let answer = if output.status.success() { output.stdout } else { Vec::new() };
                write_private(&query.stdout, &answer)
            }
            Step::Builder(builder) => self.builder(builder).await,
            Step::Remote(remote) => self.remote(remote).await,
            Step::ProveContainer(proof) => self.prove(proof).await,
        }
    }

    /// Asks what is asked while the solve runs.
    pub async fn ask(&self, queries: &[Query]) -> Result<(), ExecuteError> {
        for query in queries {
            let answer = query.command.run_checked(self.environment, self.interrupt, QUERY_LIMIT).await?;
            write_private(&query.stdout, &answer.stdout)?;
        }
        Ok(())
    }

    async fn remote(&self, remote: &RemoteBuilder) -> Result<(), ExecuteError> {
        self.run(&remote.create).await?;
        let answer = remote.inspect.run_checked(self.environment, self.interrupt, STEP_LIMIT).await?;
        let daemon = Daemon::parse(&String::from_utf8_lossy(&answer.stdout));
        if !daemon.running {
            let explained = remote.explain.run_checked(self.environment, self.interrupt, STEP_LIMIT).await;
            return match explained {
                Err(CommandError::Interrupted(interruption)) => Err(CommandError::Interrupted(interruption).into()),
                Err(source) => Err(RemoteDaemonError::NoAnswer { address: remote.address.clone(), source }.into()),
                Ok(_) => Err(RemoteDaemonError::NoVersion(remote.address.clone()).into()),
            };
        }
        daemon.check(&remote.address, remote.version)?;
        tracing::info!(
            "the BuildKit at {} says that it is {}; nothing proves that it is the pinned image",
            remote.address,
            daemon.version.unwrap_or_default()
        );
        Ok(())
    }

    async fn builder(&mut self, builder: &Builder) -> Result<(), ExecuteError> {
        let proved = if let Some(proved) = self.running(builder).await { proved } else { self.start(builder).await? };
        self.identity = Some(proved.identity);
        Ok(())
    }

    /// The container of a builder that needs nothing: the daemon says so in a tenth of the time that buildx takes.
    async fn running(&self, builder: &Builder) -> Option<ProvedContainer> {
        if builder.throw_away || !builder.record.exists() {
            return None;
        }
        self.inspect(&builder.proof).await.ok().filter(|proved| proved.running)
    }

    async fn start(&self, builder: &Builder) -> Result<ProvedContainer, ExecuteError> {
        let known = !builder.throw_away
            && builder.inspect.run(self.environment, self.interrupt, STEP_LIMIT).await?.status.success();
        if !known {
            self.run(&builder.create).await?;
        }
        self.run(&builder.start).await?;
        match self.inspect(&builder.proof).await {
            Err(ExecuteError::Engine(EngineError::NotThePin { why, .. })) => {
                tracing::warn!("the builder {} is made anew: {why}", builder.proof.container);
                // It may be half there: then removing it fails, and making it anew tells what is wrong.
                let _ = builder.remove.run(self.environment, self.interrupt, STEP_LIMIT).await;
                self.run(&builder.create).await?;
                self.run(&builder.start).await?;
                self.inspect(&builder.proof).await
            }
            answer => answer,
        }
    }

    async fn run(&self, command: &ToolCommand) -> Result<(), ExecuteError> {
        command.run_checked(self.environment, self.interrupt, STEP_LIMIT).await?;
        Ok(())
    }

    async fn prove(&mut self, proof: &ContainerProof) -> Result<(), ExecuteError> {
        let identity = self.inspect(proof).await?.identity;
        if self.identity.as_ref() != Some(&identity) {
            return Err(ExecuteError::Replaced(proof.container.clone()));
        }
        Ok(())
    }

    async fn inspect(&self, proof: &ContainerProof) -> Result<ProvedContainer, ExecuteError> {
        let engine = self.engine.as_ref().ok_or(ExecuteError::NoEngine)?;
        Ok(engine.prove_container(&proof.container, &proof.digest, proof.host_network).await?)
    }

    /// Runs commands that clean up; what fails is said and does not stop the rest. Tells whether all went well.
    pub async fn clean_up(&self, commands: &[ToolCommand]) -> bool {
        // What cleans up after an interrupt must not be interrupted by it.
        let interrupt = Interrupt::never();
        let mut all = true;
        for command in commands {
            if let Err(error) = command.run_checked(self.environment, &interrupt, CLEANUP_LIMIT).await {
                tracing::warn!("cleaning up: {error}");
                all = false;
            }
        }
        all
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
