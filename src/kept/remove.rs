//! Removes what is kept: each thing only while its lock is held, so that no build begins to use it meanwhile, and nothing that
//! a build uses now.

use std::fs;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::directories::{CONTEXT, never};
use super::run::{clean, is_in_use, load_runs, remove_directory};
use super::{Activity, Ground, Item, Kind, names};
use crate::lock::try_existing;
use crate::runtime::binaries;
use crate::runtime::docker::{configuration_steps, docker_command, volume_of};
use crate::runtime::docker_config::DockerConfig;
use crate::runtime::execute::Executor;
use crate::runtime::podman::podman_command;

/// How long removing one thing may take: a cache of 100 GB has many files.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// What `prune` takes away.
#[derive(Debug, Clone, Copy)]
pub struct Criteria {
    /// Everything that no build uses now.
    pub all: bool,
    /// What no build used for so long.
    pub older_than: TimeDelta,
}

impl Criteria {
    /// Whether this is to go.
    #[must_use]
    pub fn hold_for(&self, item: &Item, now: DateTime<Utc>) -> bool {
        match (item.kind, item.state) {
            (_, Activity::InUse | Activity::Elsewhere) => false,
            // Nobody will ever use them again.
            (Kind::Leftover | Kind::Container, _) => true,
            _ => self.all || item.last_used.unwrap_or(never()) <= now - self.older_than,
        }
    }
}

/// Removes one thing; the error says why it stays.
pub async fn remove(ground: &Ground<'_>, item: &Item) -> Result<(), String> {
    match (item.kind, item.state) {
        (_, Activity::InUse) => return Err("a build uses it now".to_owned()),
        (_, Activity::Elsewhere) => {
            return Err(format!("it is on another Docker daemon, `{}`: select that one first", item.place));
        }
        (Kind::Leftover, _) => {
            let cleaned = clean(&ground.state, &item.name, ground.environment, ground.interrupt).await?;
            return if cleaned { Ok(()) } else { Err("a process of that run still lives".to_owned()) };
        }
        (Kind::Locks, _) => return remove_context_locks(ground),
        (Kind::Layers, _) => return fs::remove_file(&item.place).map_err(|error| error.to_string()),
        _ => {}
    }
    // Builds with another state directory may use the same binaries: those have locks of their own, beside them.
    let (name, lock_paths) = match item.kind {
        Kind::Binaries => {
            let hex = item.name.rsplit_once('-').map_or("", |(_, hex)| hex);
            (hex, binaries::LOCKS.map(|lock| Path::new(&item.place).join(lock)).to_vec())
        }
        _ => (item.name.as_str(), vec![ground.lock_path(&item.name)]),
    };
    let mut locks = Vec::new();
    for path in &lock_paths {
        match try_existing(path).map_err(|error| error.to_string())? {
            None if path.exists() => return Err("a build uses it now".to_owned()),
            lock => locks.push(lock),
        }
    }
    // Only now: who takes the lock later, or has it for its preparations alone, has written down before what it uses.
    if is_in_use(&load_runs(&ground.state), name) {
        return Err("a build uses it now".to_owned());
    }
    match item.kind {
        Kind::Builder => remove_builder(ground, &item.name).await?,
        Kind::Container => {
            podman(ground, &["rm", "--force", "--ignore", "--volumes", "--time=0", &item.name]).await?;
        }
        Kind::Volume => podman(ground, &["volume", "rm", "--", &item.name]).await?,
        // Out of the way first: who waits for the lock begins anew, in a directory that nobody removes.
        Kind::Binaries => {
            let place = Path::new(&item.place);
            let aside = place.with_file_name(format!("{}.removed", item.name));
            let failed = |error: std::io::Error| format!("`{}`: {error}", place.display());
            fs::rename(place, &aside).map_err(failed)?;
            fs::remove_dir_all(&aside).map_err(failed)?;
        }
        _ => remove_state(ground, item).await?,
    }
    if item.kind != Kind::Binaries {
        for path in lock_paths {
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

async fn podman(ground: &Ground<'_>, arguments: &[&str]) -> Result<(), String> {
    let command = podman_command().args(arguments);
    let ran = command.run_checked(ground.environment, ground.interrupt, LIMIT).await;
    ran.map(|_| ()).map_err(|error| error.to_string())
}

async fn remove_builder(ground: &Ground<'_>, name: &str) -> Result<(), String> {
    let config = DockerConfig::load(ground.environment).map_err(|error| error.to_string())?;
    let private = tempfile::Builder::new().prefix("repro.").tempdir().map_err(|error| error.to_string())?;
    let mut executor = Executor {
        environment: ground.environment,
        interrupt: ground.interrupt,
        engine: None,
        identity: None,
        anonymous: false,
    };
    for step in configuration_steps(private.path(), &ground.state, &config, &[]) {
        executor.step(&step).await.map_err(|error| error.to_string())?;
    }
    let docker = docker_command(private.path(), &ground.state, &config);
    let volume = volume_of(name);
    // buildx leaves the cache where the container is gone already.
    for remove in [["buildx", "rm", "--force", name], ["volume", "rm", "--force", &volume]] {
        let remove = docker.clone().args(remove);
        let ran = remove.run_checked(ground.environment, ground.interrupt, LIMIT).await;
        ran.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Files of a plain user's daemon belong to ids that only a user namespace maps: Podman's, or rootlesskit's.
async fn remove_state(ground: &Ground<'_>, item: &Item) -> Result<(), String> {
    let path = Path::new(&item.place);
    let failed = match remove_directory(path) {
        Ok(()) => return Ok(()),
        Err(why) => why,
    };
    let rootlesskit = super::directories::rootlesskits(ground);
    let Some(rootlesskit) = rootlesskit.first() else { return Err(failed) };
    let work = tempfile::Builder::new().prefix("repro.").tempdir().map_err(|error| error.to_string())?;
    let command = crate::runtime::buildkitd::remove_in_namespace(rootlesskit, &work.path().join("state"), path);
    let ran = command.run_checked(ground.environment, ground.interrupt, LIMIT).await;
    ran.map(|_| ()).map_err(|error| error.to_string())
}

fn remove_context_locks(ground: &Ground<'_>) -> Result<(), String> {
    for name in names(&ground.state.join("locks")).into_iter().filter(|name| name.starts_with(CONTEXT)) {
        let path = ground.lock_path(&name);
        if let Some(_lock) = try_existing(&path).map_err(|error| error.to_string())? {
            fs::remove_file(&path).map_err(|error| format!("`{}`: {error}", path.display()))?;
        }
    }
    Ok(())
}

/// A length of time as users write it: `90s`, `45m`, `12h`, `30d`, `2w`.
#[must_use]
pub fn parse_age(text: &str) -> Option<TimeDelta> {
    let unit = text.chars().next_back()?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().ok().filter(|number| *number >= 0)?;
    match unit {
        's' => TimeDelta::try_seconds(number),
        'm' => TimeDelta::try_minutes(number),
        'h' => TimeDelta::try_hours(number),
        'd' => TimeDelta::try_days(number),
        'w' => TimeDelta::try_weeks(number),
        _ => None,
    }
    // Before the year 1 nobody built anything, and dates end some time before that.
    .filter(|age| *age <= TimeDelta::days(700_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        assert_eq!(parse_age("90s"), TimeDelta::try_seconds(90));
        assert_eq!(parse_age("0d"), Some(TimeDelta::zero()));
        assert_eq!(parse_age("2w"), TimeDelta::try_days(14));
        for wrong in ["", "d", "-1d", "5", "1y", "99999999999999999999d", "9999999999d", "1 d", "é"] {
            assert_eq!(parse_age(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_in_use_stays_and_leftovers_go() {
        let now = DateTime::from_timestamp(1_000_000_000, 0).unwrap();
        let old = Criteria { all: false, older_than: TimeDelta::days(30) };
        let all = Criteria { all: true, ..old };
        let item = |kind, state, days: i64| Item {
            kind,
            name: String::new(),
            runtime: None,
            version: None,
            pin: None,
            state,
            size: None,
            cache_limit: None,
            last_used: Some(now - TimeDelta::days(days)),
            place: String::new(),
        };
        assert!(!old.hold_for(&item(Kind::State, Activity::Stopped, 29), now));
        assert!(old.hold_for(&item(Kind::State, Activity::Stopped, 31), now));
        assert!(all.hold_for(&item(Kind::Builder, Activity::Running, 0), now));
        assert!(old.hold_for(&item(Kind::Leftover, Activity::Stopped, 0), now));
        for kind in [Kind::Builder, Kind::Volume, Kind::State, Kind::Binaries, Kind::Container] {
            assert!(!all.hold_for(&item(kind, Activity::InUse, 99), now), "{kind:?}");
            assert!(!all.hold_for(&item(kind, Activity::Elsewhere, 99), now), "{kind:?}");
        }
    }
}
