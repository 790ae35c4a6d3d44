//! One build: the plan is made, a runtime runs it, the archive is checked while it streams, and only a right archive gets
//! its name.

mod base;
mod check;
mod choose;
mod error;
mod follow;
mod frontend;
mod heard;
mod known;
mod lock;
mod outcome;
mod prepare;
mod solve;
mod tenant;

use std::path::Path;

pub use self::error::BuildError;
pub use self::known::load as known_layers;
pub use self::outcome::{BuildOutcome, BuiltFrontend, BuiltManifest, BuiltWith, PinProof, bytes};
pub use self::prepare::Prepared;

use self::lock::Locks;
use crate::environment::Environment;
use crate::kept::forget_builds;
use crate::kept::run::{remove_directory, sweep, unmount_below};
use crate::output::find_directory;
use crate::runtime::execute::Executor;
use crate::runtime::interrupt::Interrupt;
use crate::runtime::script::{Destination, Placeholder, render_script};
use crate::settings::{BuildSettings, Output};

/// Builds what the settings say, and returns what was built once its bytes are checked and in their place.
///
/// Where a cache holds a base layer in another compression, or may hold what was made before the epoch, the build is made once
/// more without any: the digest must not depend on what a builder did before.
pub async fn run(
    settings: &BuildSettings,
    environment: &Environment,
    interrupt: &Interrupt,
) -> Result<BuildOutcome, BuildError> {
    // On the heap: what waits for a build would hold all of its state, too.
    match Box::pin(run_once(settings, environment, interrupt)).await {
        // On a BuildKit that others share there is no throw-away state.
        Err(error) if settings.remote.is_some() => Err(error.on_shared()),
        Err(error @ (BuildError::BaseSubstituted(_) | BuildError::CachedBeforeEpoch { .. }))
            if !settings.no_cache.value || !settings.cache_from.is_empty() =>
        {
            tracing::warn!(
                "{error}; building again without a cache (`repro builder ls` lists caches, `rm` removes one)"
            );
            let mut cold = settings.clone();
            cold.no_cache.value = true;
            cold.cache_from.clear();
            Box::pin(run_once(&cold, environment, interrupt)).await
        }
        result => result,
    }
}

async fn run_once(
    settings: &BuildSettings,
    environment: &Environment,
    interrupt: &Interrupt,
) -> Result<BuildOutcome, BuildError> {
    let mut site = prepare::Grounds::make(settings, environment)?;
    sweep(&site.state, environment, interrupt).await;
    let runtime = choose::choose_runtime(settings, environment, interrupt).await?;
    let mut prepared = Prepared::new(settings, environment, interrupt, runtime, &site.names()).await?;
    site.write_down(&prepared)?;
    let mut locks = Locks::take(&prepared, &site, environment, interrupt).await?;
    let mut executor = Executor {
        environment,
        interrupt,
        engine: prepared.take_engine(),
        identity: None,
        anonymous: settings.anonymous,
    };
    let result = solve::build(&prepared, &site, &mut executor, &mut locks).await;
    let mut clean = result.is_ok() || executor.clean_up(&prepared.steps.abort).await;
    clean &= executor.clean_up(&prepared.steps.cleanup).await;
    if let (true, Some(state)) = (result.is_err(), &prepared.steps.state) {
        // A daemon that was killed leaves its file systems mounted.
        let ended = if state.throw_away { remove_directory(&state.path) } else { unmount_below(&state.path) };
        clean &= ended.inspect_err(|why| tracing::warn!("cleaning up: {why}")).is_ok();
    }
    if !clean {
        site.run.keep();
    }
    drop(locks);
    forget_builds(&site.state);
    // A killed run whose processes held the state until this one got it could not be swept before.
    sweep(&site.state, environment, interrupt).await;
    result
}

/// Whether the runtime that the settings ask for works here, and has a meaning for each of them. Nothing is built.
pub async fn can_build(
    settings: &BuildSettings,
    environment: &Environment,
    interrupt: &Interrupt,
) -> Result<(), BuildError> {
    choose::choose_runtime(settings, environment, interrupt).await.map(drop)
}

/// The script that does what [`run`] would do.
pub async fn dry_run(
    settings: &BuildSettings,
    environment: &Environment,
    interrupt: &Interrupt,
    program: &Path,
) -> Result<Vec<u8>, BuildError> {
    prepare::check_results(settings)?;
    let runtime = choose::choose_runtime(settings, environment, interrupt).await?;
    // What stands for the private directory must not occur in anything of the user's.
    let placeholder = Placeholder::new(&prepare::random_text()?);
    let names = prepare::Names::placeholder(environment, &placeholder)?;
    let prepared = Prepared::new(settings, environment, interrupt, runtime, &names).await?;
    let archive = match &settings.output.value {
        Output::Stdout => None,
        Output::File(path) => Some(path.as_path()),
    };
    let read: Vec<&Path> = prepared.plan.directories().collect();
    let directory = archive.and_then(Path::parent).map(|parent| find_directory(parent, &read)).transpose()?.flatten();
    let in_context = directory.is_some_and(|found| read.iter().any(|directory| found.starts_with(directory)));
    let runtime = match &prepared.address {
        Some(address) => format!("at {address}, of which nothing but the version is proved"),
        None => format!("through {}", prepared.runtime_name.name()),
    };
    let comments = [
        format!("repro {}: what `repro build` would run.", env!("CARGO_PKG_VERSION")),
        format!("BuildKit {} {runtime}, epoch {}.", prepared.plan.pin.source, prepared.plan.epoch),
    ];
    let destination = Destination { archive, in_context, read: &read, comments: &comments, program };
    Ok(render_script(&prepared.steps, &placeholder, &destination))
}
