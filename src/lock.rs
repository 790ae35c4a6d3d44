//! Files that one process has at a time (`flock`). The kernel lets go of them when their holder ends, however it ends: a lock
//! that is free is the proof that nobody is left who took it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Takes the lock if it is free; `None` where somebody holds it. Makes the file and its directory.
///
/// Its modification time tells afterwards when it was taken last.
pub fn try_take(path: &Path, exclusive: bool) -> io::Result<Option<File>> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    loop {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        if !try_lock(&file, exclusive)? {
            return Ok(None);
        }
        // Whoever held it before may have removed it: then the next one makes a file of its own, and both would hold one.
        if file.metadata()?.nlink() > 0 {
            file.set_modified(std::time::SystemTime::now())?;
            return Ok(Some(file));
        }
    }
}

/// Makes a lock under a name that nobody else has, and that nobody sees before it is taken.
///
/// Whoever asks whether a lock is held takes it for a moment: one that is made first and taken then is found taken by its owner.
pub fn take_new(path: &Path) -> io::Result<File> {
    let made = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new("/")))?;
    if !try_lock(made.as_file(), true)? {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    made.persist(path).map_err(|error| error.error)
}

/// Takes the lock of a file that is there, and leaves its time as it is. `None` where somebody holds it or it is gone.
pub fn try_existing(path: &Path) -> io::Result<Option<File>> {
    let file = match File::options().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let free = try_lock(&file, true)? && file.metadata()?.nlink() > 0;
    Ok(free.then_some(file))
}

/// Whether somebody holds the lock.
#[must_use]
pub fn is_held(path: &Path) -> bool {
    File::options().write(true).open(path).is_ok_and(|file| try_lock(&file, true).is_ok_and(|free| !free))
}

fn try_lock(file: &File, exclusive: bool) -> io::Result<bool> {
    let operation =
        if exclusive { FlockOperation::NonBlockingLockExclusive } else { FlockOperation::NonBlockingLockShared };
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn who_looks_does_not_keep_the_owner_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = |number| directory.path().join(format!("{number}.lock"));
        let (next, done) = (AtomicUsize::new(0), AtomicBool::new(false));
        let refused = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let _ = is_held(&path(next.load(Ordering::Relaxed)));
                    }
                });
            }
            let take = |number| {
                next.store(number, Ordering::Relaxed);
                take_new(&path(number)).err()
            };
            let refused: Vec<io::Error> = (0..200).filter_map(take).collect();
            done.store(true, Ordering::Relaxed);
            refused
        });
        assert!(refused.is_empty(), "{} of 200: {:?}", refused.len(), refused.first());
    }

    #[test]
    fn one_holds_it_and_a_removed_file_is_nobodys_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("locks/a");
        let first = try_take(&path, true).unwrap().unwrap();
        assert!(try_take(&path, true).unwrap().is_none() && try_existing(&path).unwrap().is_none() && is_held(&path));
        fs::remove_file(&path).unwrap();
        let second = try_take(&path, true).unwrap();
        assert!(second.is_some(), "the next one has a file of its own");
        drop(first);
        assert!(is_held(&path));
        drop(second);
        assert!(!is_held(&path) && try_existing(&path).unwrap().is_some());
        let shared = try_take(&path, false).unwrap();
        assert!(try_take(&path, false).unwrap().is_some() && try_take(&path, true).unwrap().is_none());
        drop(shared);
    }
}
