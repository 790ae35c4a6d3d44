//! `repro builder`

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are the help, where brackets mean that a part may be left out"
)]

use clap::{Args, Subcommand};

use super::print;
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure};
use crate::network::Route;
use crate::pin::{Pin, Variant};
use crate::runtime::credentials::client_config;
use crate::runtime::interrupt::Interrupt;
use crate::runtime::{binaries, binaries_options};

/// The arguments of `repro builder`.
#[derive(Debug, Args)]
pub struct BuilderCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Fetch the binaries of a pinned BuildKit into the cache, check them, and print their directory
    Fetch {
        /// The BuildKit image: NAME[:TAG]@DIGEST, oci:DIR@DIGEST or oci-archive:FILE@DIGEST
        #[arg(value_name = "IMAGE", env = "REPRO_BUILDKIT_IMAGE", hide_env_values = true)]
        image: Option<String>,
    },
    /// Print the Docker configuration that builds use: yours without proxies, headers and defaults, with credentials
    DockerConfig {
        /// Look up the credentials of this registry, in Podman's files and with helpers too; may be given several times
        #[arg(long, value_name = "HOST[:PORT]")]
        registry: Vec<String>,
        /// Only these credentials, for a client where there are neither helpers nor plugins
        #[arg(long)]
        credentials_only: bool,
    },
}

impl BuilderCommand {
    /// Runs the action.
    pub async fn run(&self, environment: &Environment, interrupt: &Interrupt) -> Result<ExitStatus, Failure> {
        match &self.action {
            Action::Fetch { image } => fetch(image.as_deref(), environment, interrupt).await,
            Action::DockerConfig { registry, credentials_only } => {
                let config = client_config(environment, registry, *credentials_only).await.map_err(|error| {
                    Failure::usage(format!("{error}"), "mend the file, or set DOCKER_CONFIG to another directory")
                })?;
                print(&config)?;
                Ok(ExitStatus::Success)
            }
        }
    }
}

async fn fetch(image: Option<&str>, environment: &Environment, interrupt: &Interrupt) -> Result<ExitStatus, Failure> {
    let variant = if rustix::process::geteuid().is_root() { Variant::Plain } else { Variant::Rootless };
    let pin = match image.filter(|image| !image.is_empty()) {
        Some(image) => Pin::parse(image).map_err(|error| Failure::usage(error.to_string(), "append `@sha256:…`"))?,
        None => Pin::default_for(variant),
    };
    let cache = environment.cache_directory().ok_or_else(|| Failure::usage("HOME is not set", "set HOME"))?;
    let options = binaries_options(environment, &Route::default());
    let found = tokio::select! {
        found = binaries::ensure(&pin.source, &cache, &options) => found?,
        interruption = interrupt.wait() => {
            return Err(Failure { status: interruption.status(), message: "stopped".to_owned(), hint: None });
        }
    };
    print(format!("{}\n", found.dir.display()).as_bytes())?;
    Ok(ExitStatus::Success)
}
