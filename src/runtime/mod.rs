//! Where BuildKit runs. A runtime turns a plan into steps, a pure function; the steps are rendered either to processes
//! ([`execute`]) or to the dry run's script ([`script`]).

pub mod binaries;
pub mod buildctl;
pub mod buildkitd;
pub mod command;
pub mod detect;
mod dial;
pub mod docker;
pub mod docker_config;
pub mod engine;
pub mod execute;
pub mod guard;
pub mod interrupt;
pub mod podman;
pub mod script;
pub mod steps;

use std::path::Path;

use crate::digest::Digest;
use crate::environment::Environment;
use crate::failure::{Diagnose, ExitStatus};
use crate::registry::CredentialSources;

/// What the pure functions of the runtimes know about this machine and this run.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The private directory of this run.
    pub private: &'a Path,
    /// Where builders, caches and locks are kept.
    pub state: &'a Path,
    /// A text that no other run has.
    pub unique: &'a str,
    /// The BuildKit image as `NAME@DIGEST`, for engines.
    pub image: &'a str,
    /// Whether that image comes from a registry on this machine's loopback, which speaks plain http.
    pub image_on_loopback: bool,
    /// Whether BuildKit shares the host's network.
    pub host_network: bool,
    /// The content of the buildkitd.toml.
    pub buildkitd_config: Option<&'a [u8]>,
    /// Further arguments for the client.
    pub extra_args: &'a [String],
    /// Whether the client's messages are kept back unless it fails.
    pub quiet: bool,
    /// The client's `--progress`.
    pub progress: &'a str,
    /// The socket of the caller's SSH agent.
    pub ssh_agent: Option<&'a Path>,
}

/// Eight digits that differ where the configuration of a daemon differs: builders and caches are never shared across it.
#[must_use]
pub fn configuration_slug(site: &Site<'_>, more: &[u8]) -> String {
    let mut text = vec![u8::from(site.host_network)];
    for part in [site.buildkitd_config.unwrap_or_default(), site.image.as_bytes(), more] {
        text.extend_from_slice(&part.len().to_le_bytes());
        text.extend_from_slice(part);
    }
    Digest::of(&text).short()[..8].to_owned()
}

/// How the binaries of a pin are got: with the credentials that the caller's environment leads to.
#[must_use]
pub fn binaries_options(environment: &Environment) -> binaries::Options {
    let credentials = CredentialSources::from_env(|name| environment.get(name).map(std::ffi::OsStr::to_owned));
    let registry = crate::registry::Options { credentials, ..crate::registry::Options::default() };
    binaries::Options { registry, ..binaries::Options::default() }
}

impl Diagnose for binaries::BinariesError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::NotPinned(_) | Self::Ambiguous { .. } | Self::Missing { .. } | Self::Platform { .. } => {
                ExitStatus::Usage
            }
            Self::Registry(_) | Self::Locked { .. } | Self::Untrusted { .. } | Self::Foreign { .. } => {
                ExitStatus::Unknown
            }
            _ => ExitStatus::Corrupt,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(Self::hint(self).to_owned())
    }
}
