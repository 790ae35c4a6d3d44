//! `repro builder`

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are the help, where brackets mean that a part may be left out"
)]

use chrono::TimeDelta;
use clap::{Args, Subcommand};

use super::format::Format;
use super::print;
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure};
use crate::kept::remove::{Criteria, parse_age, remove};
use crate::kept::{Ground, Item, Kind, list};
use crate::network::Route;
use crate::pin::{Pin, Variant};
use crate::report::kept::render_kept;
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
    /// List what repro keeps: builders, containers, volumes, state, binaries, locks, what a killed run left behind
    Ls {
        /// What to print
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Remove something of it by its name, unless a build uses it
    Rm {
        /// The names, as `ls` prints them
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
    /// Remove what killed runs left behind, and what no build used for some time
    Prune {
        /// Everything that no build uses now
        #[arg(long, conflicts_with = "older_than")]
        all: bool,
        /// What no build used for so long: a number with s, m, h, d or w
        #[arg(long, value_name = "AGE", default_value = "30d", value_parser = parse_age_word)]
        older_than: TimeDelta,
        /// Print what would be removed
        #[arg(long, visible_alias = "dry-run")]
        dry: bool,
    },
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
            Action::Ls { format } => {
                print(&format.render(&list(&ground(environment, interrupt)?).await, render_kept)?)?;
                Ok(ExitStatus::Success)
            }
            Action::Rm { names } => rm(names, &ground(environment, interrupt)?).await,
            Action::Prune { all, older_than, dry } => {
                let criteria = Criteria { all: *all, older_than: *older_than };
                prune(criteria, *dry, &ground(environment, interrupt)?).await
            }
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

fn parse_age_word(text: &str) -> Result<TimeDelta, String> {
    parse_age(text).ok_or_else(|| "a number with s, m, h, d or w behind it, such as 12h or 30d".to_owned())
}

fn ground<'a>(environment: &'a Environment, interrupt: &'a Interrupt) -> Result<Ground<'a>, Failure> {
    let no_home = || Failure::usage("HOME is not set", "set HOME, or XDG_STATE_HOME and XDG_CACHE_HOME");
    Ok(Ground {
        state: environment.state_directory().ok_or_else(no_home)?,
        cache: environment.cache_directory().ok_or_else(no_home)?,
        environment,
        interrupt,
    })
}

async fn rm(names: &[String], ground: &Ground<'_>) -> Result<ExitStatus, Failure> {
    let kept = list(ground).await;
    let mut chosen = Vec::new();
    for name in names {
        let found = kept.items.iter().filter(|item| item.name == *name);
        let before = chosen.len();
        chosen.extend(found);
        if chosen.len() == before {
            let asked: Vec<String> = kept
                .not_asked
                .iter()
                .map(|runtime| format!("; {} could not be asked: {}", runtime.runtime, runtime.why))
                .collect();
            let message = format!("repro keeps nothing called `{name}`{}", asked.concat());
            return Err(Failure::usage(message, "`repro builder ls` lists what it keeps"));
        }
    }
    remove_all(&chosen, ground).await
}

async fn prune(criteria: Criteria, dry: bool, ground: &Ground<'_>) -> Result<ExitStatus, Failure> {
    let kept = list(ground).await;
    for runtime in &kept.not_asked {
        tracing::warn!("{} could not be asked, nothing of it is removed: {}", runtime.runtime, runtime.why);
    }
    let now = chrono::Utc::now();
    let mut chosen: Vec<&Item> = kept.items.iter().filter(|item| criteria.hold_for(item, now)).collect();
    // What a killed run left behind may use the rest.
    chosen.sort_by_key(|item| item.kind != Kind::Leftover);
    if dry {
        let lines: Vec<String> = chosen.iter().map(|item| line(item)).collect();
        print(lines.concat().as_bytes())?;
        return Ok(ExitStatus::Success);
    }
    remove_all(&chosen, ground).await
}

fn line(item: &Item) -> String {
    format!("{} {}\n", item.kind.name(), item.name)
}

/// Removes them, prints each that is gone, and fails with the first that is not.
async fn remove_all(items: &[&Item], ground: &Ground<'_>) -> Result<ExitStatus, Failure> {
    let mut failed = Vec::new();
    for item in items {
        match remove(ground, item).await {
            Ok(()) => print(line(item).as_bytes())?,
            Err(why) => failed.push(format!("{} `{}` stays: {why}", item.kind.name(), item.name)),
        }
    }
    if failed.is_empty() {
        return Ok(ExitStatus::Success);
    }
    Err(Failure {
        status: ExitStatus::Unknown,
        message: failed.join("\n"),
        hint: Some("wait for the builds that use it (`repro builder ls` shows them), and try again".to_owned()),
    })
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
