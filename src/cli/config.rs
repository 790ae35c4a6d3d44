//! Which file of settings a build reads, and the settings that come of it.

use std::io;
use std::path::PathBuf;

use clap::Args;

use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure};
use crate::settings::{
    BuildSettings, BuildWords, ConfigChoice, ImageWords, RecipeText, SettingsError, resolve_for_image,
};

/// Where settings are read from.
#[derive(Debug, Args)]
pub struct ConfigWords {
    /// Read settings from this file, and trust it [default: repro.toml beside the Dockerfile, which may not say everything]
    #[arg(long, value_name = "FILE", conflicts_with = "no_config", help_heading = "How it is said")]
    config: Option<PathBuf>,

    /// Read no repro.toml
    #[arg(long, help_heading = "How it is said")]
    no_config: bool,
}

impl ConfigWords {
    /// The settings of a build; tells what the user should know of them, and where each value came from.
    pub fn resolve(&self, words: &BuildWords, environment: &Environment) -> Result<BuildSettings, Failure> {
        self.resolve_for_image(words, None, None, environment)?.map_err(Failure::from)
    }

    /// The same to build an image again, which says what nobody else does; `recipe` stands for the file beside the Dockerfile. What is wrong with the words is the inner error.
    pub fn resolve_for_image(
        &self,
        words: &BuildWords,
        image: Option<&ImageWords>,
        recipe: Option<&RecipeText>,
        environment: &Environment,
    ) -> Result<Result<BuildSettings, SettingsError>, Failure> {
        let directory = std::env::current_dir().map_err(|error| unknown("the working directory", &error))?;
        let config = match &self.config {
            _ if self.no_config => ConfigChoice::None,
            Some(path) => ConfigChoice::Named(path.clone()),
            None => recipe.map_or(ConfigChoice::Found, |recipe| ConfigChoice::Recipe(recipe.clone())),
        };
        let settings = resolve_for_image(words, image, &config, environment, &directory, chrono::Utc::now());
        let settings = match settings {
            Ok(settings) => settings,
            Err(error) => return Ok(Err(error)),
        };
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        for line in settings.all_provenance() {
            tracing::info!("{line}");
        }
        Ok(Ok(settings))
    }

    /// The settings of the user's words alone: flags, variables, and files that the user names.
    pub fn resolve_own(
        &self,
        words: &BuildWords,
        recipe: Option<&RecipeText>,
        environment: &Environment,
    ) -> Result<BuildSettings, SettingsError> {
        let named = |path: &PathBuf| ConfigChoice::Named(path.clone());
        let of_recipe = || recipe.map_or(ConfigChoice::None, |recipe| ConfigChoice::Recipe(recipe.clone()));
        let config = self.config.as_ref().map_or_else(of_recipe, named);
        let directory = std::env::current_dir().unwrap_or_default();
        resolve_for_image(words, None, &config, environment, &directory, chrono::Utc::now())
    }
}

/// What this process is not told of itself.
pub fn unknown(what: &str, error: &io::Error) -> Failure {
    Failure {
        status: ExitStatus::Unknown,
        message: format!("cannot tell {what}: {error}"),
        hint: Some("run it from a directory that exists, by its full path".to_owned()),
    }
}
