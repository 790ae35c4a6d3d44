//! What two builds at once must not share.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::Utc;

use super::error::BuildError;
use super::prepare::{Grounds, Prepared};
use crate::digest::Digest;
use crate::environment::Environment;
use crate::kept::note::Note;
use crate::lock::try_take;
use crate::runtime::engine::Engine;
use crate::runtime::interrupt::Interrupt;
use crate::runtime::podman::podman_command;
use crate::runtime::steps::CachePlace;

/// How often a lock that another build holds is asked for again.
const PAUSE: Duration = Duration::from_millis(100);

/// How long Podman may take to say whether it has a volume.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// The locks of one build; dropping them lets others go on.
pub struct Locks {
    _context: File,
    daemon: Option<File>,
    made: Option<i64>,
    only_to_prepare: bool,
}

/// Where the lock of a daemon's state is that the processes of the build hold as well.
pub fn held_by_processes(prepared: &Prepared) -> Option<&Path> {
    prepared.steps.lock.as_ref().filter(|lock| !lock.only_to_prepare).map(|lock| lock.path.as_path())
}

impl Locks {
    /// Takes the lock of the context, and that of the daemon's state.
    ///
    /// A build that writes into its own context excludes every other build of that context: what it writes would be read.
    pub async fn take(
        prepared: &Prepared,
        grounds: &Grounds,
        environment: &Environment,
        interrupt: &Interrupt,
    ) -> Result<Self, BuildError> {
        let key = Digest::of(prepared.plan.context.as_os_str().as_encoded_bytes());
        let path = grounds.state.join("locks").join(format!("context-{}", key.short()));
        let what = "this context, into which one of them writes";
        let context = take(&path, grounds.writes_into_context(), what, interrupt).await?;
        let lock = prepared.steps.lock.as_ref();
        let (mut daemon, mut made) = (None, None);
        if let Some(lock) = lock {
            let file = take(&lock.path, true, lock.what, interrupt).await?;
            let now = Utc::now().timestamp();
            if file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
                // The lock may be younger than the cache: a home that is new, a daemon that is not; a dry run's script.
                let absent = is_absent(&lock.cache, prepared.engine(), environment, interrupt).await;
                let note = Note { made: absent.then_some(now), limit: prepared.cache_limit };
                note.write(&file).map_err(|source| BuildError::Own { path: lock.path.clone(), source })?;
            }
            // A clock that was ahead said nothing.
            made = Note::load(&lock.path).made.filter(|made| *made <= now);
            daemon = Some(file);
        }
        let only_to_prepare = lock.is_some_and(|lock| lock.only_to_prepare);
        Ok(Self { _context: context, daemon, made, only_to_prepare })
    }

    /// The lock that a process of this build holds until it ends: that of the daemon's state, so that no other daemon starts
    /// on it before; else that of the run.
    pub fn for_process(&self, grounds: &Grounds) -> std::io::Result<File> {
        match &self.daemon {
            Some(daemon) if !self.only_to_prepare => daemon.try_clone(),
            _ => grounds.run.lock(),
        }
    }

    /// When the cache was made that this build uses, in seconds since 1970, as far as that is known.
    pub const fn cache_made(&self) -> Option<i64> {
        self.made
    }

    /// The solve begins: a daemon that is shared may be used by others now.
    pub fn prepared(&mut self) {
        if self.only_to_prepare {
            self.daemon = None;
        }
    }
}

/// Whether a cache is not there yet. Who cannot tell says no.
async fn is_absent(
    cache: &CachePlace,
    engine: Option<&Engine>,
    environment: &Environment,
    interrupt: &Interrupt,
) -> bool {
    match cache {
        CachePlace::Directory(path) => match fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        },
        CachePlace::DockerVolume(name) => match engine {
            Some(engine) => engine.has_volume(name).await == Some(false),
            None => false,
        },
        CachePlace::PodmanVolume(name) => {
            let ask = podman_command().args(["volume", "exists", name.as_str()]);
            let answer = ask.run(environment, interrupt, ANSWER_LIMIT).await;
            answer.is_ok_and(|output| output.status.code() == Some(1))
        }
    }
}

async fn take(path: &Path, exclusive: bool, what: &str, interrupt: &Interrupt) -> Result<File, BuildError> {
    let own = |source| BuildError::Own { path: PathBuf::from(path), source };
    let mut told = false;
    loop {
        if let Some(file) = try_take(path, exclusive).map_err(own)? {
            return Ok(file);
        }
        if !told {
            tracing::warn!("waiting for another build that uses {what}");
            told = true;
        }
        interrupt.sleep(PAUSE).await.map_err(BuildError::Interrupted)?;
    }
}
