//! What two builds at once must not share.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::error::BuildError;
use super::prepare::{Grounds, Prepared};
use crate::digest::Digest;
use crate::runtime::interrupt::Interrupt;

/// How often a lock that another build holds is asked for again.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes the lock of the daemon's state, and that of the context; held until the files are dropped.
///
/// A build that writes into its own context excludes every other build of that context: what it writes would be read.
pub async fn take_locks(
    prepared: &Prepared,
    grounds: &Grounds,
    interrupt: &Interrupt,
) -> Result<Vec<File>, BuildError> {
    let key = Digest::of(prepared.plan.context.as_os_str().as_encoded_bytes());
    let path = grounds.state.join("locks").join(format!("context-{}", key.short()));
    let exclusive = grounds.writes_into_context();
    let mut locks = vec![take(&path, exclusive, "this context, into which one of them writes", interrupt).await?];
    if let Some((path, what)) = &prepared.steps.lock {
        locks.push(take(path, true, what, interrupt).await?);
    }
    Ok(locks)
}

async fn take(path: &Path, exclusive: bool, what: &str, interrupt: &Interrupt) -> Result<File, BuildError> {
    let own = |source| BuildError::Own { path: PathBuf::from(path), source };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(own)?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(own)?;
    let operation =
        if exclusive { FlockOperation::NonBlockingLockExclusive } else { FlockOperation::NonBlockingLockShared };
    let mut told = false;
    loop {
        match flock(&file, operation) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(own(errno.into())),
        }
        if !told {
            tracing::warn!("waiting for another build that uses {what}");
            told = true;
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            interruption = interrupt.wait() => return Err(BuildError::Interrupted(interruption)),
        }
    }
}
