//! How a build reaches the world, from words to settings.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are the help, where brackets mean that a part may be left out"
)]

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::resolve::Notes;
use super::resolve::variable;
use super::sources::Words;
use super::{Origin, Setting, SettingsError};
use crate::environment::Environment;
use crate::network::{HostEntry, NetworkError, PROXY_VARIABLE, Proxy, Route, RunNetwork, parse_authorities};

/// The network of RUN, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RunNetworkWord {
    /// What the runtime gives: the network outside, without this machine's loopback where that can be had
    Default,
    /// No network at all
    None,
    /// The network that BuildKit itself has
    Host,
}

impl RunNetworkWord {
    const fn network(self) -> RunNetwork {
        match self {
            Self::Default => RunNetwork::Default,
            Self::None => RunNetwork::None,
            Self::Host => RunNetwork::Host,
        }
    }
}

/// The arguments about networks.
#[derive(Debug, Clone, Default, Args)]
pub struct NetworkWords {
    /// Certificate authorities to trust besides the system's: PEM; may be given several times
    #[arg(long, value_name = "FILE", help_heading = "Networks")]
    pub ca: Vec<PathBuf>,

    /// The proxy that images and files are fetched through [env: REPRO_PROXY]
    ///
    /// http://[USER:PASSWORD@]HOST:PORT. One with a password is better given by the variable, which nobody else can read.
    #[arg(long, value_name = "URL", help_heading = "Networks")]
    pub proxy: Option<String>,

    /// Hosts, domains and networks to reach without the proxy; this machine's loopback always is
    #[arg(long, value_name = "HOST[,…]", help_heading = "Networks")]
    pub no_proxy: Vec<String>,

    /// Tell RUN the proxy, too (HTTP_PROXY and the like, which stay out of the image)
    #[arg(long, help_heading = "Networks")]
    pub proxy_in_run: bool,

    /// The network of RUN [default: default]
    #[arg(long, value_enum, value_name = "NETWORK", help_heading = "Networks")]
    pub network: Option<RunNetworkWord>,

    /// A host name that RUN knows, and its address
    #[arg(long, value_name = "HOST:IP", help_heading = "Networks")]
    pub add_host: Vec<String>,
}

impl NetworkWords {
    /// What of them is about the way to registries.
    #[must_use]
    pub fn to_route(&self) -> RouteWords {
        RouteWords { ca: self.ca.clone(), proxy: self.proxy.clone(), no_proxy: self.no_proxy.clone() }
    }
}

/// The arguments about how registries are reached, for commands that build nothing.
#[derive(Debug, Clone, Default, Args)]
pub struct RouteWords {
    /// Certificate authorities to trust besides the system's: PEM; may be given several times
    #[arg(long, value_name = "FILE", help_heading = "Networks")]
    ca: Vec<PathBuf>,

    /// The proxy that a registry is reached through [env: REPRO_PROXY]
    #[arg(long, value_name = "URL", help_heading = "Networks")]
    proxy: Option<String>,

    /// Hosts, domains and networks to reach without the proxy; this machine's loopback always is
    #[arg(long, value_name = "HOST[,…]", help_heading = "Networks")]
    no_proxy: Vec<String>,
}

impl RouteWords {
    /// The way to the registries: the flag, else the variable.
    pub fn resolve(&self, environment: &Environment) -> Result<Route, SettingsError> {
        let by_flag = self.proxy.as_deref().map(|text| (text, Origin::Flag("--proxy")));
        let by_variable = variable(environment, PROXY_VARIABLE)?.map(|text| (text, Origin::Variable(PROXY_VARIABLE)));
        let proxy = by_flag.or(by_variable).map(|(text, origin)| {
            Proxy::parse(text, &self.no_proxy.join(",")).map_err(|source| {
                let of_hosts = matches!(source, NetworkError::NoProxy { .. });
                let origin = if of_hosts { Origin::Flag("--no-proxy") } else { origin };
                SettingsError::Network { origin, source }
            })
        });
        let mut authorities = Vec::new();
        for file in &self.ca {
            authorities.extend(load_authorities(file)?);
        }
        Ok(Route { authorities, proxy: proxy.transpose()?, proxy_in_run: false })
    }
}

/// How a build reaches the world.
#[derive(Debug, Clone)]
pub struct NetworkSettings {
    /// How servers are reached.
    pub route: Route,
    /// The network of RUN.
    pub run: RunNetwork,
    /// What RUN's `/etc/hosts` holds besides.
    pub hosts: Vec<HostEntry>,
}

impl NetworkSettings {
    pub(super) fn resolve(
        words: &Words<'_>,
        environment: &Environment,
        notes: &mut Notes,
    ) -> Result<Self, SettingsError> {
        let proxy = resolve_proxy(words, environment)?;
        let proxy_in_run = words.either("--proxy-in-run", |words| words.network.proxy_in_run.then_some(()));
        let no_proxy = words.list("--no-proxy", |words| &words.network.no_proxy);
        if let Some(Setting { value, origin }) = &proxy {
            notes.came_from("--proxy", value.shown(), *origin);
        } else {
            let unused = [no_proxy.map(|given| given.origin), proxy_in_run.map(|given| given.origin)];
            let unused = unused.into_iter().flatten();
            notes
                .warnings
                .extend(unused.map(|origin| format!("{origin} says nothing without a proxy: give `--proxy`")));
        }
        let mut authorities = Vec::new();
        if let Some(files) = words.either("--ca", |words| Some(&words.network.ca).filter(|files| !files.is_empty())) {
            notes.came_from("--ca", &format!("{} given", files.value.len()), files.origin);
            for file in files.value {
                authorities.extend(load_authorities(&files.directory.join(file))?);
            }
        }
        let network = words.either("--network", |words| words.network.network);
        if let Some(given) = &network {
            notes.came_from("--network", given.value.network().name(), given.origin);
        }
        let hosts = words.items("--add-host", |words| &words.network.add_host).map(|given| {
            let wrong = |source| SettingsError::Network { origin: given.origin, source };
            notes.came_from("--add-host", given.value, given.origin);
            HostEntry::parse(given.value).map_err(wrong)
        });
        Ok(Self {
            route: Route {
                authorities,
                proxy_in_run: proxy_in_run.is_some() && proxy.is_some(),
                proxy: proxy.map(|proxy| proxy.value),
            },
            run: network.map(|given| given.value.network()).unwrap_or_default(),
            hosts: hosts.collect::<Result<_, _>>()?,
        })
    }
}

fn resolve_proxy(words: &Words<'_>, environment: &Environment) -> Result<Option<Setting<Proxy>>, SettingsError> {
    const FLAG: &str = "--proxy";
    let by_flag = words.flag(FLAG, |words| words.network.proxy.as_deref()).map(|given| (given.value, given.origin));
    let by_key = || words.key(FLAG, |words| words.network.proxy.as_deref()).map(|given| (given.value, given.origin));
    let by_variable = variable(environment, PROXY_VARIABLE)?.map(|text| (text, Origin::Variable(PROXY_VARIABLE)));
    let Some((text, origin)) = by_flag.or(by_variable).or_else(by_key) else { return Ok(None) };
    let direct = words.list("--no-proxy", |words| &words.network.no_proxy);
    let hosts = direct.as_ref().map(|given| given.value.join(",")).unwrap_or_default();
    let proxy = Proxy::parse(text, &hosts).map_err(|source| {
        let of_hosts = matches!(source, NetworkError::NoProxy { .. });
        let origin = direct.filter(|_| of_hosts).map_or(origin, |given| given.origin);
        SettingsError::Network { origin, source }
    })?;
    Ok(Some(Setting { value: proxy, origin }))
}

/// What a file of `--ca` is called in messages.
pub(super) const AUTHORITIES: &str = "file of certificate authorities";

fn load_authorities(path: &Path) -> Result<Vec<u8>, SettingsError> {
    let wrong = |source| SettingsError::Path { what: AUTHORITIES, path: path.to_owned(), source };
    let pem = std::fs::read(path).map_err(wrong)?;
    parse_authorities(&pem).map_err(|error| wrong(std::io::Error::other(error)))
}
