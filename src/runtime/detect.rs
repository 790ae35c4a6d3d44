//! Which runtime works here: asked, not guessed from what is on PATH.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::{CommandError, ToolCommand};
use super::docker_config::{DockerConfig, DockerConfigError};
use super::engine::{Engine, EngineError};
use super::interrupt::Interrupt;
use super::podman::podman_command;
use crate::environment::Environment;
use crate::failure::chain;
use crate::settings::RuntimeName;

/// How long a probe may take.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// A runtime that works here.
pub enum Runtime {
    /// Docker, with its configuration and a connection to its daemon.
    Docker {
        /// The user's configuration, as far as a build may know it.
        config: DockerConfig,
        /// The daemon.
        engine: Engine,
        /// Whether the daemon runs in a user namespace.
        rootless: bool,
    },
    /// Podman.
    Podman,
    /// A BuildKit that somebody else runs.
    Remote {
        /// The user's configuration, as far as a build may know it.
        config: DockerConfig,
    },
    /// A child process.
    Buildkitd {
        /// Whether it runs in a user namespace, through rootlesskit.
        rootless: bool,
    },
}

impl Runtime {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> RuntimeName {
        match self {
            Self::Docker { .. } => RuntimeName::Docker,
            Self::Podman => RuntimeName::Podman,
            Self::Buildkitd { .. } => RuntimeName::Buildkitd,
            Self::Remote { .. } => RuntimeName::Remote,
        }
    }

    /// Whether RUN happens in a user namespace, where that can be known before. Podman's container itself tells, when it runs.
    #[must_use]
    pub const fn is_rootless(&self) -> Option<bool> {
        match self {
            Self::Docker { rootless, .. } | Self::Buildkitd { rootless } => Some(*rootless),
            Self::Podman | Self::Remote { .. } => None,
        }
    }
}

/// Why a runtime does not work here.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// A tool is missing or does not work.
    #[error("{runtime} does not work here")]
    Command {
        /// The runtime.
        runtime: &'static str,
        /// Why.
        #[source]
        source: CommandError,
    },
    /// The buildx plugin is missing.
    #[error("docker has no buildx")]
    NoBuildx(#[source] CommandError),
    /// The daemon does not answer.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The Docker configuration cannot be read.
    #[error(transparent)]
    Config(#[from] DockerConfigError),
    /// Something that a child buildkitd needs is missing.
    #[error("buildkitd does not work here: {0}")]
    Buildkitd(&'static str),
    /// None of them works.
    #[error("no runtime works here\n{0}")]
    None(String),
    /// The user wanted to stop.
    #[error("stopped")]
    Interrupted(super::interrupt::Interruption),
}

/// The runtime asked for, or the first that works; never a BuildKit of somebody else that nobody asked for. Why others were passed over is told at the level `info`.
pub async fn detect(
    asked: Option<RuntimeName>,
    environment: &Environment,
    interrupt: &Interrupt,
) -> Result<Runtime, DetectError> {
    if let Some(name) = asked {
        return probe(name, environment, interrupt).await;
    }
    let mut reasons = Vec::new();
    for name in [RuntimeName::Docker, RuntimeName::Podman, RuntimeName::Buildkitd] {
        match probe(name, environment, interrupt).await {
            Ok(runtime) => return Ok(runtime),
            Err(DetectError::Interrupted(interruption)) => return Err(DetectError::Interrupted(interruption)),
            Err(error) => {
                let reason = chain(&error);
                tracing::info!("{} is passed over: {reason}", name.name());
                reasons.push(format!("{}: {reason}", name.name()));
            }
        }
    }
    Err(DetectError::None(reasons.join("\n")))
}

async fn probe(name: RuntimeName, environment: &Environment, interrupt: &Interrupt) -> Result<Runtime, DetectError> {
    let failed = |source| match source {
        CommandError::Interrupted(interruption) => DetectError::Interrupted(interruption),
        source => DetectError::Command { runtime: name.name(), source },
    };
    match name {
        RuntimeName::Docker => probe_docker(environment, interrupt).await,
        RuntimeName::Podman => {
            // It opens its storage and looks for its runtime for this as for a build. `podman info` takes ten times as long: it
            // asks the system's package manager where each of its programs comes from.
            podman_command()
                .args(["ps", "--quiet"])
                .run_checked(environment, interrupt, PROBE_LIMIT)
                .await
                .map_err(failed)?;
            Ok(Runtime::Podman)
        }
        RuntimeName::Buildkitd => probe_buildkitd(environment),
        RuntimeName::Remote => {
            // Whether the BuildKit answers is seen when it is asked for its version.
            let config = DockerConfig::load(environment)?;
            probe_buildx(&config, environment, interrupt).await?;
            Ok(Runtime::Remote { config })
        }
    }
}

async fn probe_docker(environment: &Environment, interrupt: &Interrupt) -> Result<Runtime, DetectError> {
    let config = DockerConfig::load(environment)?;
    let daemon = async {
        let engine = Engine::connect(&config, environment).await?;
        let facts = engine.facts().await?;
        Ok((engine, facts))
    };
    let ((), (engine, facts)) = tokio::try_join!(probe_buildx(&config, environment, interrupt), daemon)?;
    tracing::info!("docker {} answers", facts.version);
    Ok(Runtime::Docker { config, engine, rootless: facts.rootless })
}

/// Asks for buildx: the plugin that docker would run, which is what docker itself asks of each plugin it finds, and docker
/// where that is not to be found. Asking docker takes three times as long, because it asks all its plugins first.
pub async fn probe_buildx(
    config: &DockerConfig,
    environment: &Environment,
    interrupt: &Interrupt,
) -> Result<(), DetectError> {
    let docker = find_on_path(environment, "docker");
    let plugin = config.plugin_directories().into_iter().map(|directory| directory.join("docker-buildx"));
    if let (Some(_), Some(plugin)) = (docker, plugin.into_iter().find(|plugin| is_executable(plugin))) {
        let ask = ToolCommand::new(plugin, &["PATH", "HOME"]).arg("docker-cli-plugin-metadata");
        match ask.run_checked(environment, interrupt, PROBE_LIMIT).await {
            Ok(_) => return Ok(()),
            Err(CommandError::Interrupted(interruption)) => return Err(DetectError::Interrupted(interruption)),
            // Docker says best what is wrong with it.
            Err(_) => {}
        }
    }
    // Only to learn that the plugin is there; builds use a private configuration that leads to the same plugins.
    let ask = ToolCommand::new("docker", &["PATH", "HOME", "DOCKER_CONFIG"]).args(["buildx", "version"]);
    match ask.run_checked(environment, interrupt, PROBE_LIMIT).await {
        Ok(_) => Ok(()),
        Err(CommandError::Interrupted(interruption)) => Err(DetectError::Interrupted(interruption)),
        Err(source @ CommandError::Failed { .. }) => Err(DetectError::NoBuildx(source)),
        Err(source) => Err(DetectError::Command { runtime: "docker", source }),
    }
}

fn probe_buildkitd(environment: &Environment) -> Result<Runtime, DetectError> {
    if !cfg!(target_os = "linux") {
        return Err(DetectError::Buildkitd("it needs Linux"));
    }
    if rustix::process::geteuid().is_root() {
        if find_on_path(environment, "unshare").is_none() {
            return Err(DetectError::Buildkitd("it needs `unshare` (package util-linux)"));
        }
        return Ok(Runtime::Buildkitd { rootless: false });
    }
    if find_on_path(environment, "newuidmap").is_none() {
        return Err(DetectError::Buildkitd("a plain user needs `newuidmap` and `newgidmap` (package uidmap)"));
    }
    Ok(Runtime::Buildkitd { rootless: true })
}

/// The first executable of this name on the caller's PATH.
#[must_use]
pub fn find_on_path(environment: &Environment, program: &str) -> Option<PathBuf> {
    let path = environment.get("PATH")?;
    std::env::split_paths(path).map(|directory| directory.join(program)).find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
