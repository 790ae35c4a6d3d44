//! A BuildKit that somebody else runs and shares: a builder of buildx's driver `remote`, known to buildx for one build.
//!
//! The client is buildx, never buildctl: buildctl has no key of its own for the context, so that two tenants whose files are
//! of one size and time get each other's (measured). Nothing there is made, pruned or removed. It proves only its version.

use std::path::PathBuf;
use std::time::Duration;

use super::buildctl::{METADATA, SOLVE_LOG, VERSION};
use super::command::{CommandError, ToolCommand};
use super::docker::{build_arguments, client, context_link, context_links, docker_command, private_configuration};
use super::docker_config::DockerConfig;
use super::steps::{Documents, Findings, Query, RemoteBuilder, Step, Steps, joined};
use super::{Site, registry_options};
use crate::digest::Digest;
use crate::environment::Environment;
use crate::failure::chain;
use crate::network::Route;
use crate::pin::{PinError, Version, check_usable};
use crate::plan::{BuildPlan, NamedContext};
use crate::reference::ImageReference;
use crate::registry::{Blob, Options, RegistryError, Repository};
use crate::remote::{Remote, TLS_FILES};

/// How buildx calls it, in a directory that no other run has.
const BUILDER: &str = "repro";

/// The directory of certificates in the private one, whose path holds no odd characters.
const TLS: &str = "tls";

/// What buildx says about the daemon before the build.
const ANSWER: &str = "daemon";

/// Why a daemon is not built on.
#[derive(Debug, thiserror::Error)]
pub enum RemoteDaemonError {
    /// It does not answer.
    #[error("the BuildKit at `{address}` does not answer")]
    NoAnswer {
        /// Where it should be.
        address: String,
        /// Why.
        #[source]
        source: CommandError,
    },
    /// It answers, and says nothing of use.
    #[error("the BuildKit at `{0}` does not say which version it is")]
    NoVersion(String),
    /// It is another one than the pin.
    #[error("the BuildKit at `{address}` is {found}, and the pin is {expected}")]
    OtherVersion {
        /// Where it is.
        address: String,
        /// What it says.
        found: String,
        /// The pin's version.
        expected: Version,
    },
    /// It cannot build reproducibly.
    #[error("the BuildKit at `{address}`")]
    Unusable {
        /// Where it is.
        address: String,
        /// Why.
        #[source]
        source: PinError,
    },
}

/// The steps of a build on a BuildKit that somebody else runs.
#[must_use]
pub fn steps(plan: &BuildPlan, site: &Site<'_>, config: &DockerConfig, remote: &Remote) -> Steps {
    let own = site.private.join("buildx");
    let mut docker = docker_command(site.private, site.state, config).env("BUILDX_CONFIG", own.clone());
    // kubectl finds its cluster by it.
    docker.keep.push("KUBECONFIG".to_owned());
    let mut prepare = private_configuration(site.private, config, site.registries);
    prepare.push(Step::Directory(own));
    if let Some(tls) = &remote.tls {
        prepare.push(Step::Link { path: site.private.join(TLS), target: tls.directory.clone() });
    }
    let authorities = site.private.join("authorities");
    if !site.route.authorities.is_empty() {
        prepare.push(Step::Directory(authorities.clone()));
        let contents = site.route.authorities.clone();
        prepare.push(Step::File { path: authorities.join(super::buildctl::AUTHORITIES), contents });
    }
    let inspect = docker.clone().args(["buildx", "inspect", BUILDER]);
    prepare.push(Step::Remote(Box::new(RemoteBuilder {
        address: remote.address.to_string(),
        version: plan.pin.version,
        create: create(&docker, site, remote),
        inspect: inspect.clone(),
        // buildx's own waiting for a daemon ends after 20 s and never says why; a question of the API does at once.
        explain: docker.clone().args(["buildx", "du", "--builder", BUILDER]),
        answer: site.private.join(ANSWER),
    })));
    prepare.extend(context_links(plan, site));
    let version = site.private.join(VERSION);
    Steps {
        prepare,
        copy: Vec::new(),
        beside: vec![Query { command: inspect, stdout: version.clone() }],
        solve: client(docker, site, remote.address.host(), &authorities)
            .args(["buildx", "build"])
            .args(build_arguments(plan, site, BUILDER))
            .arg(context_link(site)),
        finish: Vec::new(),
        cleanup: Vec::new(),
        abort: Vec::new(),
        solve_log: site.quiet.then(|| site.private.join(SOLVE_LOG)),
        findings: Findings {
            metadata: site.private.join(METADATA),
            version,
            provenance: None,
            records: None,
            documents: Documents::Origin { layouts: layouts(plan) },
            user_ids: None,
        },
        lock: None,
        state: None,
        uses: remote.address.to_string(),
    }
}

fn create(docker: &ToolCommand, site: &Site<'_>, remote: &Remote) -> ToolCommand {
    let mut create = docker.clone().args(["buildx", "create", "--driver=remote"]).arg(joined("--name", BUILDER));
    if let Some(tls) = &remote.tls {
        for (option, file) in ["cacert", "cert", "key"].into_iter().zip(TLS_FILES) {
            let mut value = std::ffi::OsString::from(format!("{option}="));
            value.push(site.private.join(TLS).join(file));
            create = create.arg(joined("--driver-opt", value));
        }
        if let Some(name) = &tls.server_name {
            create = create.arg(joined("--driver-opt", format!("servername={name}")));
        }
    }
    create.arg("--").arg(remote.address.as_str())
}

fn layouts(plan: &BuildPlan) -> Vec<PathBuf> {
    let contexts = plan.build_contexts.values().filter_map(|context| match context {
        NamedContext::Layout { directory, .. } => Some(directory.clone()),
        _ => None,
    });
    contexts.collect()
}

/// How long a registry may take until it answers: it is asked for what a check needs, not for the build.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A document of an image, from its registry: what BuildKit keeps of it is out of reach. A manifest, or, with a size, a blob.
pub async fn load_document(
    environment: &Environment,
    route: &Route,
    image: &ImageReference,
    digest: &Digest,
    size: Option<u64>,
) -> Option<Vec<u8>> {
    let options = registry_options(environment, route);
    let options = Options { attempts: 2, connect_timeout: CONNECT_TIMEOUT, ..options };
    let asked = async {
        let repository = Repository::open(image, options)?;
        match size {
            None => Ok(repository.manifest(digest).await?.bytes),
            Some(size) => repository.blob(&Blob { digest: digest.clone(), size }, size).await,
        }
    };
    let asked: Result<Vec<u8>, RegistryError> = asked.await;
    asked.inspect_err(|error| tracing::info!("{digest} of `{}`: {}", image.name(), chain(error))).ok()
}

/// What buildx says that a daemon is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Daemon {
    /// Whether it answered.
    pub running: bool,
    /// Its version, as it says it.
    pub version: Option<String>,
    /// What keeps its layers.
    pub snapshotter: Option<String>,
}

impl Daemon {
    /// Reads the answer of `docker buildx inspect`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.trim_start().strip_prefix(name))?;
            Some(line.trim().to_owned()).filter(|value| !value.is_empty())
        };
        Self {
            running: value("Status:").as_deref() == Some("running"),
            version: value("BuildKit version:"),
            snapshotter: value("org.mobyproject.buildkit.worker.snapshotter:"),
        }
    }

    /// The version, where it is that of a release: what is behind a dash is somebody's own, and proves nothing.
    #[must_use]
    pub fn release(&self) -> Option<Version> {
        let text = self.version.as_deref()?;
        Version::parse(text).filter(|version| version.to_string() == text)
    }

    /// Whether it is of the version that is wanted, and can build reproducibly.
    pub fn check(&self, address: &str, expected: Option<Version>) -> Result<(), RemoteDaemonError> {
        let address = || address.to_owned();
        let Some(found) = &self.version else { return Err(RemoteDaemonError::NoVersion(address())) };
        match (expected, self.release()) {
            (Some(expected), release) if release != Some(expected) => {
                Err(RemoteDaemonError::OtherVersion { address: address(), found: found.clone(), expected })
            }
            (_, Some(release)) => {
                check_usable(release).map_err(|source| RemoteDaemonError::Unusable { address: address(), source })
            }
            (_, None) => Err(RemoteDaemonError::NoVersion(address())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "Name:          repro\nDriver:        remote\n\nNodes:\nName:             repro0\n\
        Endpoint:         unix:///x\nStatus:           running\nBuildKit version: v0.19.0\nLabels:\n \
        org.mobyproject.buildkit.worker.network:          host\n \
        org.mobyproject.buildkit.worker.snapshotter:      native\n";

    #[test]
    fn what_a_daemon_is_stands_in_the_answer() {
        let daemon = Daemon::parse(ANSWER);
        assert!(daemon.running);
        assert_eq!(daemon.release(), Some(Version::new(0, 19, 0)));
        assert_eq!(daemon.snapshotter.as_deref(), Some("native"));
        assert_eq!(Daemon::parse("Name: x\nStatus:   inactive\n"), Daemon::default());
    }

    #[test]
    fn only_the_pins_release_is_built_on() {
        let check = |version: &str, expected| {
            let daemon = Daemon { running: true, version: Some(version.to_owned()), snapshotter: None };
            daemon.check("unix:///x", expected).map_err(|error| crate::failure::chain(&error))
        };
        let pin = Some(Version::new(0, 19, 0));
        assert_eq!(check("v0.19.0", pin), Ok(()));
        assert_eq!(check("v0.31.1", None), Ok(()));
        for other in ["v0.31.1", "v0.19.0-rc1", "v0.19.0-3-gabcdef", "0.19.0", "v0.19.0+own"] {
            let error = check(other, pin).unwrap_err();
            assert_eq!(error, format!("the BuildKit at `unix:///x` is {other}, and the pin is v0.19.0"));
        }
        assert!(check("v0.24.0", None).unwrap_err().contains("moby/buildkit#6217"));
        assert!(check("v0.20.0-rc1", None).unwrap_err().contains("does not say which version"));
        assert!(Daemon::default().check("x", None).is_err());
    }
}
