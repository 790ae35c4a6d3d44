//! What an image of a matrix is built from, looked at before anything is built.

use std::path::{Path, PathBuf};

use chrono::Utc;

use super::file::{Expect, Image, Matrix};
use super::history::{ExpectedRecord, ImageRecord};
use crate::check::find_moving;
use crate::environment::Environment;
use crate::failure::chain;
use crate::git::{Files, state_of};
use crate::moving::{Moving, Severity};
use crate::settings::{BuildSettings, ConfigChoice, read_line, resolve};

/// An image, and what is known of its source.
#[derive(Debug, Clone)]
pub struct Source {
    /// What the history remembers.
    pub record: ImageRecord,
    /// Its Dockerfile and the stage that is built, for whoever compares; or why nothing can be built.
    pub dockerfile: Result<(PathBuf, Option<String>), String>,
    /// The directories that its builds read.
    pub reads: Vec<PathBuf>,
}

impl Source {
    /// Looks at the source of an image. What is wrong with it is wrong with its cells, and with no others.
    #[must_use]
    pub fn look(matrix: &Matrix, image: &Image, environment: &Environment) -> Self {
        let context = matrix.directory.join(&image.context);
        let state = state_of(&context, environment);
        let mut record = ImageRecord {
            name: image.name.clone(),
            context: image.context.display().to_string(),
            directory: state.as_ref().map(|state| state.directory.clone()),
            commit: state.as_ref().map(|state| state.commit.clone()),
            clean: state.is_some_and(|state| state.files == Files::Committed),
            flags: image.flags.clone(),
            everywhere: image.expect == Expect::EqualEverywhere,
            ..ImageRecord::default()
        };
        if let Expect::Digests(digests) = &image.expect {
            let expected = digests.iter().map(|(of, digest)| ExpectedRecord {
                platform: of.platform.clone(),
                buildkit: of.buildkit.clone(),
                digest: digest.to_string(),
            });
            record.expected = expected.collect();
        }
        let settings = match settings(matrix, image, environment) {
            Ok(settings) => settings,
            Err(why) => return Self { record, dockerfile: Err(why), reads: Vec::new() },
        };
        record.epoch = settings.epoch.value.seconds();
        record.found_cache = !settings.cache_from.is_empty() && !record.shares_cache();
        // What lies elsewhere is not what git was asked about.
        record.clean &= settings.dockerfile.starts_with(&settings.context) && settings.directories().count() == 1;
        let moves = |input: &Moving| input.severity == Severity::Moves;
        let line = |input: Moving| format!("line {}: {}", input.first_line, input.what);
        record.moving = find_moving(&settings).into_iter().filter(moves).map(line).collect();
        let reads = settings.directories().map(Path::to_owned).collect();
        Self { record, dockerfile: Ok((settings.dockerfile, settings.target)), reads }
    }
}

fn settings(matrix: &Matrix, image: &Image, environment: &Environment) -> Result<BuildSettings, String> {
    let mut words = read_line(&matrix.path, image.flags.clone()).map_err(|error| chain(&error))?;
    words.context = image.context.clone().into_os_string();
    resolve(&words, &ConfigChoice::Found, environment, &matrix.directory, Utc::now()).map_err(|error| chain(&error))
}
