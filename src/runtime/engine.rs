//! The Docker Engine API: whether the daemon answers, and what the container of a builder really runs.

use std::io::Read as _;
use std::time::Duration;

use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::StreamExt as _;

use super::dial;
use super::docker_config::DockerConfig;
use crate::digest::Digest;
use crate::environment::Environment;

/// How long a daemon may take for an answer before it counts as hanging.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why the engine gave no answer, or the wrong one.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The current context cannot be resolved.
    #[error("Docker context `{0}` has no address")]
    Context(String),
    /// The daemon did not answer.
    #[error("the Docker daemon at `{address}` does not answer")]
    Unreachable {
        /// Its address.
        address: String,
        /// Why.
        #[source]
        source: bollard::errors::Error,
    },
    /// The daemon took too long.
    #[error("the Docker daemon at `{address}` gave no answer within {seconds} s")]
    Hangs {
        /// Its address.
        address: String,
        /// How long it had, in seconds.
        seconds: u64,
    },
    /// An inspection failed.
    #[error("cannot inspect `{name}`")]
    Inspect {
        /// The container or image.
        name: String,
        /// Why.
        #[source]
        source: bollard::errors::Error,
    },
    /// The container runs something else.
    #[error("the builder's container `{container}` is not what was pinned: {why}")]
    NotThePin {
        /// Its name.
        container: String,
        /// What is wrong.
        why: String,
    },
}

/// A connection to a Docker daemon.
pub struct Engine {
    docker: Docker,
    address: String,
}

/// What tells one start of a container from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerIdentity {
    /// The container's id.
    pub id: String,
    /// When it was started.
    pub started_at: String,
}

/// A container that is what it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvedContainer {
    /// Which container it is, and which start of it.
    pub identity: ContainerIdentity,
    /// Whether it runs now.
    pub running: bool,
}

/// What the daemon says about itself.
#[derive(Debug, Clone)]
pub struct EngineFacts {
    /// Its version.
    pub version: String,
    /// Whether it runs in a user namespace.
    pub rootless: bool,
    /// Where it keeps everything, on its own machine.
    pub root: String,
}

fn no_answer(address: &str, source: bollard::errors::Error) -> EngineError {
    let address = address.to_owned();
    match source {
        bollard::errors::Error::RequestTimeoutError => EngineError::Hangs { address, seconds: TIMEOUT.as_secs() },
        source => EngineError::Unreachable { address, source },
    }
}

impl Engine {
    /// Connects to the daemon that the configuration names, and settles on the API version that both sides speak.
    pub async fn connect(config: &DockerConfig, environment: &Environment) -> Result<Self, EngineError> {
        let address = config.endpoint_address().ok_or_else(|| EngineError::Context(config.buildx_endpoint()))?;
        let unreachable = |source| no_answer(&address, source);
        let connected = if address.starts_with("unix://") {
            Docker::connect_with_unix(&address, TIMEOUT.as_secs(), API_DEFAULT_VERSION)
        } else {
            dial::client(environment, TIMEOUT)
        };
        let negotiated = tokio::time::timeout(TIMEOUT, connected.map_err(unreachable)?.negotiate_version()).await;
        let hangs = |_| EngineError::Hangs { address: address.clone(), seconds: TIMEOUT.as_secs() };
        let docker = negotiated.map_err(hangs)?.map_err(unreachable)?;
        Ok(Self { docker, address })
    }

    /// The daemon's version and kind.
    pub async fn facts(&self) -> Result<EngineFacts, EngineError> {
        let info = tokio::time::timeout(TIMEOUT, self.docker.info()).await;
        let hangs = |_| EngineError::Hangs { address: self.address.clone(), seconds: TIMEOUT.as_secs() };
        let info = info.map_err(hangs)?.map_err(|source| no_answer(&self.address, source))?;
        let options = info.security_options.unwrap_or_default();
        Ok(EngineFacts {
            version: info.server_version.unwrap_or_default(),
            rootless: options.iter().any(|option| option.contains("rootless")),
            root: info.docker_root_dir.unwrap_or_default(),
        })
    }

    /// Whether a container of this name runs.
    pub async fn is_running(&self, name: &str) -> bool {
        let answer = tokio::time::timeout(TIMEOUT, self.docker.inspect_container(name, None)).await;
        let state = answer.ok().and_then(Result::ok).and_then(|container| container.state);
        state.and_then(|state| state.running).unwrap_or_default()
    }

    /// Whether there is a volume of this name; `None` where the daemon does not say.
    pub async fn has_volume(&self, name: &str) -> Option<bool> {
        match tokio::time::timeout(TIMEOUT, self.docker.inspect_volume(name)).await.ok()? {
            Ok(_) => Some(true),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Some(false),
            Err(_) => None,
        }
    }

    /// Whether the daemon runs on this machine, so that its directories can be looked at.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.address.starts_with("unix://")
    }

    /// Reads one small file of a container; `None` where there is no such file, or it is larger than `limit` bytes.
    pub async fn read_file(&self, container: &str, path: &str, limit: u64) -> Option<Vec<u8>> {
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let mut stream = self.docker.download_from_container(container, Some(options));
        let mut archive = Vec::new();
        // The answer is a tar with one member: a header, the file, and padding.
        while let Some(chunk) = stream.next().await {
            archive.extend_from_slice(&chunk.ok()?);
            if archive.len() as u64 > limit + 10_240 {
                return None;
            }
        }
        let mut archive = tar::Archive::new(archive.as_slice());
        let mut entry = archive.entries().ok()?.next()?.ok()?;
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).ok()?;
        Some(contents)
    }

    /// Proves that a container runs an image that was pulled by this digest, and says which start of it that was.
    pub async fn prove_container(
        &self,
        name: &str,
        digest: &Digest,
        host_network: bool,
    ) -> Result<ProvedContainer, EngineError> {
        let inspect = |source| EngineError::Inspect { name: name.to_owned(), source };
        let container = self.docker.inspect_container(name, None).await.map_err(inspect)?;
        let wrong = |why: String| EngineError::NotThePin { container: name.to_owned(), why };
        let suffix = format!("@{digest}");
        let configured = container.config.and_then(|config| config.image).unwrap_or_default();
        if !configured.ends_with(&suffix) {
            return Err(wrong(format!("it was made from `{configured}`, not from {digest}")));
        }
        let image = container.image.unwrap_or_default();
        let inspect = |source| EngineError::Inspect { name: image.clone(), source };
        let repo_digests = self.docker.inspect_image(&image).await.map_err(inspect)?.repo_digests.unwrap_or_default();
        if !repo_digests.iter().any(|repo_digest| repo_digest.ends_with(&suffix)) {
            return Err(wrong(format!("its image `{image}` was not pulled by {digest} but by {repo_digests:?}")));
        }
        let network = container.host_config.and_then(|config| config.network_mode).unwrap_or_default();
        if (network == "host") != host_network {
            return Err(wrong(format!("its network is `{network}`")));
        }
        let state = container.state.unwrap_or_default();
        let started_at = state.started_at.unwrap_or_default();
        let identity = ContainerIdentity { id: container.id.unwrap_or_default(), started_at };
        Ok(ProvedContainer { identity, running: state.running.unwrap_or_default() })
    }
}
