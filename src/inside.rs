//! Files below a directory, whatever links there say.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Nothing is waited for, not even where a FIFO lies there, and no terminal becomes ours.
fn to_read() -> OFlags {
    OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
}

/// Opens a file below `directory`, which is the root for every link on the way: none leads out of it.
#[cfg(target_os = "linux")]
pub fn open_inside(directory: impl AsFd, path: &Path) -> io::Result<File> {
    use rustix::fs::{ResolveFlags, openat2};
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(directory, path, to_read(), Mode::empty(), resolve)?.into())
}

/// Opens a file below `directory`. Other systems than Linux cannot follow links as if that were the root: none is followed.
#[cfg(not(target_os = "linux"))]
pub fn open_inside(directory: impl AsFd, path: &Path) -> io::Result<File> {
    use std::path::Component;

    use rustix::fs::openat;
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::CurDir | Component::RootDir => {}
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    let Some((last, above)) = names.split_last() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut below = directory.as_fd().try_clone_to_owned()?;
    for name in above {
        below = openat(&below, *name, to_read() | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(openat(&below, *last, to_read() | OFlags::NOFOLLOW, Mode::empty())?.into())
}
