//! `repro build`

use std::io::{self, Write as _};

use clap::Args;

use super::config::{ConfigWords, unknown};
use super::print;
use crate::build::{BuildOutcome, dry_run, run};
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure};
use crate::runtime::interrupt::Interrupt;
use crate::settings::{BuildSettings, BuildWords, Origin, Output};

/// The arguments of `repro build`.
#[derive(Debug, Args)]
pub struct BuildCommand {
    #[command(flatten)]
    words: BuildWords,

    /// Print the commands as a shell script instead of running them
    #[arg(long, visible_alias = "dry-run", conflicts_with = "metadata_file", help_heading = "How it is said")]
    dry: bool,

    /// Build with a BuildKit that is known not to repeat itself: what comes out proves nothing
    #[arg(long, hide = true)]
    any_buildkit: bool,

    #[command(flatten)]
    settings: ConfigWords,
}

impl BuildCommand {
    /// Builds, or prints the script of a dry run.
    pub async fn run(&self, environment: &Environment, interrupt: &Interrupt) -> Result<ExitStatus, Failure> {
        let mut settings = self.resolve(environment)?;
        settings.any_buildkit = self.any_buildkit;
        if self.dry {
            if let Some(file) = &settings.metadata_file {
                // A key of repro.toml, for which every dry run would have to fail.
                tracing::warn!("the script does not write `{}`: only a build can tell what it made", file.display());
            }
            let program = std::env::current_exe().map_err(|error| unknown("where this program is", &error))?;
            print(&dry_run(&settings, environment, interrupt, &program).await?)?;
            return Ok(ExitStatus::Success);
        }
        build(&settings, environment, interrupt).await?;
        Ok(ExitStatus::Success)
    }

    /// What its words mean here.
    pub(super) fn resolve(&self, environment: &Environment) -> Result<BuildSettings, Failure> {
        self.settings.resolve(&self.words, environment)
    }
}

/// Builds, prints what came out, and gives it.
pub(super) async fn build(
    settings: &BuildSettings,
    environment: &Environment,
    interrupt: &Interrupt,
) -> Result<BuildOutcome, Failure> {
    if settings.platforms.value.len() > 1 && settings.archive.origin == Origin::Flag("--platform") {
        tracing::warn!(
            "several platforms: the archive is an OCI layout (`--archive oci`), which `docker load` does not read"
        );
    }
    let outcome = run(settings, environment, interrupt).await?;
    for warning in &outcome.warnings {
        tracing::warn!("{warning}");
    }
    let text = if settings.quiet { format!("{}\n", outcome.image_digest) } else { outcome.to_table() };
    match settings.output.value {
        // stdout holds the archive.
        Output::Stdout => {
            let _ = io::stderr().write_all(text.as_bytes());
        }
        Output::File(_) => print(text.as_bytes())?,
    }
    Ok(outcome)
}
