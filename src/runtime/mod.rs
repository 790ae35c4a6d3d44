//! Where BuildKit runs. A runtime turns a plan into steps, a pure function; the steps are rendered either to processes
//! ([`execute`]) or to the dry run's script ([`script`]).

pub mod binaries;
pub mod buildctl;
pub mod buildkitd;
pub mod command;
pub mod copies;
pub mod credentials;
pub mod detect;
mod dial;
pub mod docker;
pub mod docker_config;
pub mod engine;
pub mod execute;
pub mod guard;
pub mod interrupt;
pub mod isolate;
pub mod podman;
pub mod remote;
pub mod script;
pub mod steps;
pub mod voice;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use self::command::ToolCommand;
use crate::digest::Digest;
use crate::environment::Environment;
use crate::failure::{Diagnose, ExitStatus};
use crate::network::{Proxy, Route, RunNetwork};
use crate::plan::BuildPlan;
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
    /// How servers are reached.
    pub route: &'a Route,
    /// Whether RUN of a child process can get a network without this machine's loopback.
    pub can_isolate: bool,
    /// The registries that the build may need credentials for.
    pub registries: &'a [String],
    /// Further arguments for the client.
    pub extra_args: &'a [String],
    /// Whether the client's messages are kept back unless it fails.
    pub quiet: bool,
    /// The client's `--progress`.
    pub progress: &'a str,
    /// The socket of the caller's SSH agent.
    pub ssh_agent: Option<&'a Path>,
}

/// Eight digits that differ where the configuration of a daemon differs: builders and caches are never shared across it. Nor are
/// they by two users of one engine, or two state directories of a user: locks are kept there, so that one would not know
/// what the other uses.
#[must_use]
pub fn configuration_slug(plan: &BuildPlan, site: &Site<'_>, more: &[u8]) -> String {
    let mut text = vec![u8::from(site.host_network)];
    let mut add = |part: &[u8]| {
        text.extend_from_slice(&part.len().to_le_bytes());
        text.extend_from_slice(part);
    };
    let state = site.state.as_os_str().as_bytes();
    for part in [site.buildkitd_config.unwrap_or_default(), site.image.as_bytes(), state, more] {
        add(part);
    }
    if !site.route.authorities.is_empty() {
        add(b"authorities");
        add(&site.route.authorities);
    }
    if let Some(proxy) = &site.route.proxy {
        // Without its password, which nobody may guess at by a name that engines show to everybody.
        add(b"proxy");
        add(proxy.shown().as_bytes());
        add(proxy.no_proxy().as_bytes());
    }
    if plan.network == RunNetwork::Host {
        add(b"network.host");
    }
    if !plan.cache_from.is_empty() {
        // BuildKit writes what it imports into its own cache, whose age then says nothing of what is in it.
        add(b"imports");
    }
    Digest::of(&text).short()[..8].to_owned()
}

/// How registries are spoken to: with the credentials that the caller's environment leads to, and on the way that was given.
#[must_use]
pub fn registry_options(environment: &Environment, route: &Route) -> crate::registry::Options {
    let credentials = CredentialSources::from_env(|name| environment.get(name).map(std::ffi::OsStr::to_owned));
    let authorities = &route.authorities;
    let extra_roots = if authorities.is_empty() { Vec::new() } else { vec![authorities.clone()] };
    let proxy = route.proxy.clone();
    crate::registry::Options { credentials, extra_roots, proxy, ..crate::registry::Options::default() }
}

/// Tells a tool the proxy by the variables that it reads.
#[must_use]
pub fn with_proxy(mut command: ToolCommand, proxy: Option<&Proxy>) -> ToolCommand {
    let Some(proxy) = proxy else { return command };
    for (name, value) in proxy.variables() {
        command = command.env(name, value);
    }
    command.hidden = proxy.hidden();
    command
}

/// Where Go's programs look for certificate authorities: in `directory` besides the system's (crypto/x509, root_linux.go).
#[must_use]
pub fn authority_directories(directory: &Path) -> OsString {
    let mut list = directory.as_os_str().to_owned();
    list.push(":/etc/ssl/certs:/etc/pki/tls/certs");
    list
}

/// How the binaries of a pin are got.
#[must_use]
pub fn binaries_options(environment: &Environment, route: &Route) -> binaries::Options {
    binaries::Options { registry: registry_options(environment, route), ..binaries::Options::default() }
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
