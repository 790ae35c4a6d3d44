//! Where unpacked binaries are kept: `ROOT/buildkit/ALGORITHM-HEX/OS-ARCHITECTURE/`, one directory a pin and platform.
//!
//! A directory appears there whole, by one rename, and holds a record of what its files must be. It is used only while it and
//! everything from `ROOT` down belongs to this user and can be written by nobody else; and the files are hashed at each use,
//! which tells damage, not malice: who can change a file can change its record. Against others stands the ownership.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, Digest, HashingReader};
use crate::lock::try_take;

use super::error::io_error;
use super::unpack::{Unpacked, WANTED};
use super::{Binaries, BinariesError, Platform, limits};

/// The version of [`Record`].
const RECORD_VERSION: u32 = 1;
/// Its file name.
const RECORD: &str = "manifest.json";
/// The lock in a pin's directory that who unpacks holds.
const FILLING: &str = "lock";
/// The one that all share who run what is there.
const USED: &str = "used";
/// What has to be held to remove a pin's directory.
pub const LOCKS: [&str; 2] = [USED, FILLING];

/// What was unpacked, and from what.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) version: u32,
    pub(super) pin: Digest,
    pub(super) platform: String,
    pub(super) manifest: Digest,
    pub(super) config: Digest,
    pub(super) layers: Vec<Digest>,
    pub(super) binaries: BTreeMap<String, RecordedFile>,
}

/// One binary of a [`Record`].
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct RecordedFile {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

impl Record {
    pub(super) fn new(
        pin: &Digest,
        platform: &Platform,
        manifest: Digest,
        config: Digest,
        layers: Vec<Digest>,
    ) -> Self {
        let (pin, platform) = (pin.clone(), platform.to_string());
        Self { version: RECORD_VERSION, pin, platform, manifest, config, layers, binaries: BTreeMap::new() }
    }
}

/// The place of one pin and platform in the cache.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// The directory of the pin.
    parent: PathBuf,
    directory: PathBuf,
    platform: String,
    pin: Digest,
}

/// What is in a [`Slot`].
pub(super) enum State {
    Ready(Binaries),
    Empty,
    /// Something is wrong with it, and what.
    Damaged(String),
}

/// The exclusive right to fill a pin's slots; given back when dropped, or when the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Slot {
    /// The slot of a pin, which need not be there.
    fn locate(cache_root: &Path, pin: &Digest, platform: &Platform) -> Self {
        let key = format!("{}-{}", pin.algorithm().name(), pin.hex());
        let parent = cache_root.join("buildkit").join(key);
        let directory = parent.join(platform.to_string().replace('/', "-"));
        Self { parent, directory, platform: platform.to_string(), pin: pin.clone() }
    }

    /// The same with its parents made, private, where they were missing.
    pub(super) fn create(cache_root: &Path, pin: &Digest, platform: &Platform) -> Result<Self, BinariesError> {
        make_directory(cache_root)?;
        let root = cache_root.canonicalize().map_err(io_error("find", cache_root))?;
        let slot = Self::locate(&root, pin, platform);
        make_directory(&slot.parent)?;
        check_trust(&root, &slot.parent)?;
        Ok(slot)
    }

    /// The same without making anything; an error where something on the way is not there or not trusted.
    pub(super) fn find(root: &Path, pin: &Digest, platform: &Platform) -> Result<Self, BinariesError> {
        let slot = Self::locate(root, pin, platform);
        check_trust(root, &slot.parent)?;
        Ok(slot)
    }

    /// What to say when a slot that was just filled is not usable.
    pub(super) fn vanished(&self, reason: &str) -> BinariesError {
        let reason = format!("it was changed while it was filled: {reason}");
        BinariesError::Untrusted { path: self.directory.clone(), reason }
    }

    /// Looks into the slot and hashes what is there.
    pub(super) fn inspect(&self) -> Result<State, BinariesError> {
        match fs::symlink_metadata(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Empty),
            Err(error) => return Err(io_error("look at", &self.directory)(error)),
            Ok(metadata) => check_owner(&self.directory, &metadata)?,
        }
        let record = self.directory.join(RECORD);
        let record: Record = match fs::read(&record)
            .map_err(|error| error.to_string())
            .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()))
        {
            Ok(record) => record,
            Err(reason) => return Ok(State::Damaged(format!("`{RECORD}`: {reason}"))),
        };
        if record.version != RECORD_VERSION || record.pin != self.pin || record.platform != self.platform {
            return Ok(State::Damaged(format!("`{RECORD}` is about something else")));
        }
        for wanted in WANTED.iter().filter(|wanted| wanted.required) {
            if !record.binaries.contains_key(wanted.name) {
                return Ok(State::Damaged(format!("`{RECORD}` knows no `{}`", wanted.name)));
            }
        }
        match self.check_files(&record)? {
            Some(damage) => Ok(State::Damaged(damage)),
            None => Ok(State::Ready(self.binaries(&record))),
        }
    }

    /// Hashes all files, each on a thread of its own.
    fn check_files(&self, record: &Record) -> Result<Option<String>, BinariesError> {
        let known = WANTED.iter().filter_map(|wanted| Some((wanted.name, record.binaries.get(wanted.name)?)));
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = known
                .map(|(name, recorded)| scope.spawn(move || check_file(&self.directory.join(name), recorded)))
                .collect();
            // A thread that panicked proves nothing: its file counts as damaged.
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Ok(Some("not read".into())))).collect()
        });
        for result in results {
            if let Some(damage) = result? {
                return Ok(Some(damage));
            }
        }
        Ok(None)
    }

    fn binaries(&self, record: &Record) -> Binaries {
        let path = |name: &str| self.directory.join(name);
        Binaries {
            buildkitd: path("buildkitd"),
            buildctl: path("buildctl"),
            runc: path("buildkit-runc"),
            rootlesskit: record.binaries.contains_key("rootlesskit").then(|| path("rootlesskit")),
            dir: self.directory.clone(),
            image_digest: self.pin.clone(),
            manifest_digest: record.manifest.clone(),
        }
    }

    /// Waits until no other process fills a slot of this pin.
    pub(super) async fn lock(&self, wait: Duration) -> Result<Lock, BinariesError> {
        Ok(Lock { _file: self.wait_for(FILLING, true, wait).await? })
    }

    /// Waits until nobody removes this pin; while the file lives, nobody does.
    pub(super) async fn hold(&self, wait: Duration) -> Result<File, BinariesError> {
        self.wait_for(USED, false, wait).await
    }

    async fn wait_for(&self, name: &str, exclusive: bool, wait: Duration) -> Result<File, BinariesError> {
        let path = self.parent.join(name);
        let start = Instant::now();
        loop {
            if let Some(file) = try_take(&path, exclusive).map_err(io_error("lock", &path))? {
                return Ok(file);
            }
            if start.elapsed() >= wait {
                return Err(BinariesError::Locked { path, waited: wait });
            }
            tokio::time::sleep(limits::LOCK_POLL).await;
        }
    }

    /// A private directory beside the slot, gone when dropped. What a process that was killed left there goes now: under the
    /// lock nobody else works there.
    pub(super) fn workspace(&self, _lock: &Lock) -> Result<tempfile::TempDir, BinariesError> {
        for entry in fs::read_dir(&self.parent).map_err(io_error("read", &self.parent))?.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b".new-") {
                fs::remove_dir_all(entry.path()).map_err(io_error("remove", &entry.path()))?;
            }
        }
        tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&self.parent)
            .map_err(io_error("create a directory in", &self.parent))
    }

    /// Moves unpacked files into the slot, all at once, durably.
    pub(super) fn install(
        &self,
        _lock: &Lock,
        workspace: &Path,
        mut record: Record,
        files: &[Option<Unpacked>; WANTED.len()],
    ) -> Result<(), BinariesError> {
        let new = workspace.join("slot");
        DirBuilder::new().mode(0o700).create(&new).map_err(io_error("create", &new))?;
        for (wanted, file) in WANTED.iter().zip(files) {
            let Some(unpacked) = file else { continue };
            let place = new.join(wanted.name);
            // A copy, not a rename: two names can come from one file by way of a link.
            fs::copy(&unpacked.file, &place).map_err(io_error("write", &place))?;
            fs::set_permissions(&place, Permissions::from_mode(0o755)).map_err(io_error("write", &place))?;
            sync(&place)?;
            let recorded = RecordedFile { digest: unpacked.digest.clone(), size: unpacked.size };
            record.binaries.insert(wanted.name.to_owned(), recorded);
        }
        let place = new.join(RECORD);
        let text = serde_json::to_vec_pretty(&record).map_err(|error| io_error("write", &place)(error.into()))?;
        fs::write(&place, text).map_err(io_error("write", &place))?;
        sync(&place)?;
        sync(&new)?;
        if fs::symlink_metadata(&self.directory).is_ok() {
            let old = workspace.join("old");
            fs::rename(&self.directory, &old).map_err(io_error("replace", &self.directory))?;
        }
        fs::rename(&new, &self.directory).map_err(io_error("create", &self.directory))?;
        sync(&self.parent)
    }
}

fn sync(path: &Path) -> Result<(), BinariesError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io_error("write to disk", path))
}

fn check_file(path: &Path, recorded: &RecordedFile) -> Result<Option<String>, BinariesError> {
    let damage = |reason: String| Ok(Some(format!("`{}` {reason}", path.display())));
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return damage(format!("cannot be read: {error}")),
    };
    if !metadata.is_file() {
        return damage("is no regular file".to_owned());
    }
    check_owner(path, &metadata)?;
    if metadata.permissions().mode() & 0o777 != 0o755 {
        return damage(format!("has mode {:o}", metadata.permissions().mode() & 0o7777));
    }
    if metadata.size() != recorded.size {
        return damage(format!("has {} bytes, {} were unpacked", metadata.size(), recorded.size));
    }
    let digest = File::open(path).and_then(|file| {
        let mut reader = HashingReader::new(file, Algorithm::Sha256);
        let mut buffer = vec![0; 256 << 10];
        while io::Read::read(&mut reader, &mut buffer)? > 0 {}
        Ok(reader.finish().0)
    });
    match digest {
        Ok(digest) if digest == recorded.digest => Ok(None),
        Ok(digest) => damage(format!("has digest `{digest}`, `{}` was unpacked", recorded.digest)),
        Err(error) => damage(format!("cannot be read: {error}")),
    }
}

fn make_directory(path: &Path) -> Result<(), BinariesError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error("create", path))
}

/// Everything from `root` down to `last` must be this user's alone, and nobody else may replace `root` itself.
fn check_trust(root: &Path, last: &Path) -> Result<(), BinariesError> {
    for directory in last.ancestors() {
        let metadata = fs::symlink_metadata(directory).map_err(io_error("look at", directory))?;
        if directory.starts_with(root) {
            check_owner(directory, &metadata)?;
        } else if metadata.mode() & 0o1002 == 0o002 {
            return untrusted(directory, "everybody can replace what is in it".to_owned());
        }
    }
    Ok(())
}

fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), BinariesError> {
    let me = rustix::process::geteuid().as_raw();
    if metadata.is_symlink() {
        return untrusted(path, "it is a symbolic link".to_owned());
    }
    if metadata.uid() != me {
        return untrusted(path, format!("it belongs to user {}, not to user {me}", metadata.uid()));
    }
    if metadata.mode() & 0o022 != 0 {
        return untrusted(path, format!("others can write to it (mode {:o})", metadata.mode() & 0o7777));
    }
    Ok(())
}

fn untrusted<T>(path: &Path, reason: String) -> Result<T, BinariesError> {
    Err(BinariesError::Untrusted { path: path.to_owned(), reason })
}
