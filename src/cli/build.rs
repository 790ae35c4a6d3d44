//! `repro build`

use std::io::{self, Write as _};

use clap::Args;

use super::print;
use crate::build::{dry_run, run};
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure};
use crate::runtime::interrupt::Interrupt;
use crate::settings::{BuildWords, Output, resolve};

/// The arguments of `repro build`.
#[derive(Debug, Args)]
pub struct BuildCommand {
    #[command(flatten)]
    words: BuildWords,
}

impl BuildCommand {
    /// Builds, or prints the script of a dry run.
    pub async fn run(&self, environment: &Environment, interrupt: &Interrupt) -> Result<ExitStatus, Failure> {
        let here = |what: &str, error: io::Error| Failure {
            status: ExitStatus::Unknown,
            message: format!("cannot tell {what}: {error}"),
            hint: Some("run it from a directory that exists, by its full path".to_owned()),
        };
        let directory = std::env::current_dir().map_err(|error| here("the working directory", error))?;
        let settings = resolve(&self.words, environment, &directory, chrono::Utc::now())?;
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        for line in settings.provenance() {
            tracing::info!("{line}");
        }
        if self.words.dry {
            let program = std::env::current_exe().map_err(|error| here("where this program is", error))?;
            print(&dry_run(&settings, environment, interrupt, &program).await?)?;
            return Ok(ExitStatus::Success);
        }
        if settings.platforms.value.len() > 1 && self.words.archive.is_none() {
            tracing::warn!(
                "several platforms: the archive is an OCI layout (`--archive oci`), which `docker load` does not read"
            );
        }
        let outcome = run(&settings, environment, interrupt).await?;
        for warning in &outcome.warnings {
            tracing::warn!("{warning}");
        }
        match settings.output.value {
            // stdout holds the archive.
            Output::Stdout => {
                let _ = io::stderr().write_all(outcome.to_table().as_bytes());
            }
            Output::File(_) => print(outcome.to_table().as_bytes())?,
        }
        Ok(ExitStatus::Success)
    }
}
