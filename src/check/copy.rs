//! A copy of a directory under other conditions, as another checkout of the same source would be.
//!
//! What a version control keeps stays: names, contents, links, and whether the owner may execute a file. Everything else is
//! what another machine would have given it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::CheckError;

/// What is other in the copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Modification times.
    pub times: bool,
    /// Modes, as another umask leaves them.
    pub umask: bool,
    /// The order in which names are made in their directories.
    pub order: bool,
}

/// What the umask of the copy is: that of somebody who hides everything from others, where most hide nothing.
const UMASK: u32 = 0o077;
/// That of somebody who shares with a group, for files that are hidden already.
const OTHER_UMASK: u32 = 0o002;

/// How much is copied, to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files, directories and links.
    pub entries: u64,
    /// What no checkout has: sockets, devices and pipes, which were left out.
    pub left_out: u64,
}

struct Copier {
    conditions: Conditions,
    /// The time that files get.
    now: SystemTime,
    /// Files with several names, by device and inode.
    linked: BTreeMap<(u64, u64), PathBuf>,
    copied: Copied,
}

/// Copies the directory `from` to `to`, which does not exist yet.
pub fn copy(from: &Path, to: &Path, conditions: Conditions) -> Result<Copied, CheckError> {
    let mut copier = Copier { conditions, now: SystemTime::now(), linked: BTreeMap::new(), copied: Copied::default() };
    copier.directory(from, to)?;
    Ok(copier.copied)
}

impl Copier {
    fn directory(&mut self, from: &Path, to: &Path) -> Result<(), CheckError> {
        let at = |source| CheckError::Copy { path: from.to_owned(), source };
        let metadata = fs::symlink_metadata(from).map_err(at)?;
        fs::create_dir(to).map_err(at)?;
        let names = fs::read_dir(from).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<OsString>>>()
        });
        let mut names = names.map_err(at)?;
        names.sort();
        if self.conditions.order {
            names.reverse();
        }
        for name in names {
            self.entry(&from.join(&name), &to.join(&name))?;
        }
        self.finish(&metadata, to).map_err(at)
    }

    fn entry(&mut self, from: &Path, to: &Path) -> Result<(), CheckError> {
        let at = |source| CheckError::Copy { path: from.to_owned(), source };
        let metadata = fs::symlink_metadata(from).map_err(at)?;
        let kind = metadata.file_type();
        if kind.is_socket() || kind.is_fifo() || kind.is_block_device() || kind.is_char_device() {
            self.copied.left_out += 1;
            return Ok(());
        }
        self.copied.entries += 1;
        if kind.is_dir() {
            return self.directory(from, to);
        }
        if kind.is_symlink() {
            fs::read_link(from).and_then(|target| symlink(target, to)).map_err(at)?;
            return self.finish(&metadata, to).map_err(at);
        }
        if metadata.nlink() > 1 {
            let id = (metadata.dev(), metadata.ino());
            if let Some(first) = self.linked.get(&id) {
                return fs::hard_link(first, to).map_err(at);
            }
            self.linked.insert(id, to.to_owned());
        }
        // Not `fs::copy`: that would fail on a file without the right to write it, and take its mode.
        let copied = File::open(from).and_then(|mut from| io::copy(&mut from, &mut File::create_new(to)?));
        copied.map_err(at)?;
        self.finish(&metadata, to).map_err(at)
    }

    /// Gives what is at `path` its mode and its time.
    fn finish(&self, metadata: &Metadata, path: &Path) -> io::Result<()> {
        if !metadata.is_symlink() {
            let mode = metadata.mode() & 0o7777;
            let mode = if self.conditions.umask { under_another_umask(mode, metadata.is_dir()) } else { mode };
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        let time = if self.conditions.times {
            let since = self.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Timespec { tv_sec: i64::try_from(since.as_secs()).unwrap_or_default(), tv_nsec: 987_654_321 }
        } else {
            Timespec { tv_sec: metadata.mtime(), tv_nsec: metadata.mtime_nsec() }
        };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }
}

/// The mode that a checkout under another umask gives: what git keeps is whether the owner may execute a file.
fn under_another_umask(mode: u32, is_directory: bool) -> u32 {
    let whole = if is_directory || mode & 0o100 != 0 { 0o777 } else { 0o666 };
    let first = whole & !UMASK;
    if first == mode { whole & !OTHER_UMASK } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("a");
        fs::create_dir_all(root.join("d")).unwrap();
        fs::write(root.join("d/f"), "content").unwrap();
        fs::write(root.join("run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(root.join("d/f"), Permissions::from_mode(0o444)).unwrap();
        fs::set_permissions(root.join("run"), Permissions::from_mode(0o755)).unwrap();
        fs::hard_link(root.join("run"), root.join("same")).unwrap();
        symlink("nowhere", root.join("link")).unwrap();
        rustix::fs::mknodat(CWD, root.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        directory
    }

    fn modes(root: &Path) -> Vec<u32> {
        ["", "d", "d/f", "run"].map(|name| fs::symlink_metadata(root.join(name)).unwrap().mode() & 0o7777).to_vec()
    }

    #[test]
    fn a_plain_copy_has_the_times_modes_and_links_of_its_source() {
        let place = tree();
        let (from, to) = (place.path().join("a"), place.path().join("b"));
        let copied = copy(&from, &to, Conditions::default()).unwrap();
        assert_eq!(copied, Copied { entries: 5, left_out: 1 });
        assert_eq!(modes(&from), modes(&to));
        assert_eq!(fs::read(to.join("d/f")).unwrap(), b"content");
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("nowhere"));
        assert!(!to.join("pipe").exists());
        let inode = |name: &str| fs::metadata(to.join(name)).unwrap().ino();
        assert_eq!(inode("run"), inode("same"));
        for name in ["d", "d/f", "link"] {
            let times = [&from, &to].map(|root| {
                let metadata = fs::symlink_metadata(root.join(name)).unwrap();
                (metadata.mtime(), metadata.mtime_nsec())
            });
            assert_eq!(times[0], times[1], "{name}");
        }
    }

    #[test]
    fn another_checkout_has_other_times_and_modes_and_the_same_content() {
        let place = tree();
        let (from, to) = (place.path().join("a"), place.path().join("b"));
        let old = Timespec { tv_sec: 1, tv_nsec: 0 };
        let times = Timestamps { last_access: old, last_modification: old };
        utimensat(CWD, from.join("d/f"), &times, AtFlags::empty()).unwrap();
        let all = Conditions { times: true, umask: true, order: true };
        copy(&from, &to, all).unwrap();
        assert_eq!(modes(&to), [0o700, 0o700, 0o600, 0o700]);
        assert!(fs::metadata(to.join("d/f")).unwrap().mtime() > 1_700_000_000);
        // One that is hidden from others already gets yet other modes.
        let third = place.path().join("c");
        copy(&to, &third, all).unwrap();
        assert_eq!(modes(&third), [0o775, 0o775, 0o664, 0o775]);
    }
}
