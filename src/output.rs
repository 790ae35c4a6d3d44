//! Where the archive goes: written beside its place, renamed when it is right, and never an input of a build.
//!
//! The rules when the place lies inside the build context: the temporary file lies outside; the old archive is removed
//! before the build reads the context; the times of the directory are put back after every change, because they are bytes
//! of the image; a directory that is not there yet is not made, because it would be in the next build and was not in this.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{Timespec, Timestamps};
use tempfile::NamedTempFile;

use crate::environment::Environment;
use crate::failure::{Diagnose, ExitStatus};

/// Why a file cannot be put where it should go.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The directory cannot be made, or is none.
    #[error("cannot write into `{path}`", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory inside the context would have to be made.
    #[error("directory `{path}` does not exist, and it would lie in the build context: the next build would hold it", path = path.display())]
    WouldChangeContext {
        /// The directory.
        path: PathBuf,
    },
    /// The path names something that is not a file.
    #[error("`{path}` is not a file", path = path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The path names something that the build reads, or its other result.
    #[error("`{path}` is {what}, and writing there would destroy it", path = path.display())]
    Taken {
        /// The path.
        path: PathBuf,
        /// What lies there.
        what: &'static str,
    },
    /// stdout is a file that the build would read.
    #[error("stdout is `{path}`, which lies in the build context: the image would hold it", path = path.display())]
    Redirected {
        /// The file.
        path: PathBuf,
    },
    /// Writing failed.
    #[error("cannot write `{path}`", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Our own state lies in the context.
    #[error("the build context `{context}` holds `{path}`, where repro keeps what it needs itself", context = context.display(), path = path.display())]
    StateInContext {
        /// The context.
        context: PathBuf,
        /// What lies in it.
        path: PathBuf,
    },
}

impl Diagnose for OutputError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::WouldChangeContext { .. }
            | Self::NotAFile { .. }
            | Self::Taken { .. }
            | Self::Redirected { .. }
            | Self::StateInContext { .. } => ExitStatus::Usage,
            Self::Directory { .. } | Self::Write { .. } => ExitStatus::Unknown,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::WouldChangeContext { .. } => "make the directory first, or choose an output outside of the context",
            Self::NotAFile { .. } => "give the path of a file, or `--output -` for stdout",
            Self::Redirected { .. } => "give the path with `--output`: repro itself keeps it out of the image",
            Self::Taken { .. } => "choose another place with `--output` and `--metadata-file`",
            Self::StateInContext { .. } => {
                "build a smaller directory, or set XDG_STATE_HOME, XDG_CACHE_HOME and TMPDIR to places outside of it"
            }
            Self::Directory { .. } | Self::Write { .. } => {
                "look at the permissions and the free space there (`df`), or choose another place with `--output`"
            }
        };
        Some(text.to_owned())
    }
}

/// The header of a tar archive's first entry, in bytes.
const TAR_BLOCK: u64 = 512;

/// The metadata of a build have some kB; larger ones are not looked at, in bytes.
const LARGEST_METADATA: u64 = 1 << 20;

/// A place for one file.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    directory: PathBuf,
    in_context: bool,
    owner: Option<Invoker>,
    scratch: Scratch,
}

/// Who called `sudo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invoker {
    user: u32,
    group: u32,
}

impl Invoker {
    /// The user behind `sudo`, as its variables tell root.
    #[must_use]
    pub fn of(environment: &Environment) -> Option<Self> {
        let number = |name| environment.get(name)?.to_str()?.parse().ok();
        let invoker = Self { user: number("SUDO_UID")?, group: number("SUDO_GID")? };
        rustix::process::geteuid().is_root().then_some(invoker)
    }

    fn owns(self, directory: &Path) -> bool {
        directory.metadata().is_ok_and(|metadata| metadata.uid() == self.user)
    }
}

/// Where temporary files of a run lie, and how their names begin: they are found by it where the run is killed.
#[derive(Debug, Clone)]
pub struct Scratch {
    /// A directory outside of the context.
    pub directory: PathBuf,
    /// The beginning of each name.
    pub prefix: String,
}

impl Scratch {
    /// A new temporary file in a directory.
    pub fn file_in(&self, directory: &Path) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(&self.prefix).suffix(".part").tempfile_in(directory)
    }
}

impl Place {
    /// Looks whether `path` can be written, without changing anything but making its directory where that is harmless.
    ///
    /// `read` are the directories that the build reads: the context, and others that it was given. `scratch` is for temporary
    /// files, outside of them. In a directory of the `invoker` the file is theirs and not root's.
    pub fn prepare(
        path: &Path,
        read: &[&Path],
        scratch: &Scratch,
        invoker: Option<Invoker>,
    ) -> Result<Self, OutputError> {
        let name = path.file_name().ok_or_else(|| OutputError::NotAFile { path: path.to_owned() })?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        let wrong = |source| OutputError::Directory { path: parent.to_owned(), source };
        let directory = match find_directory(parent, read)? {
            Some(directory) => directory,
            None => fs::create_dir_all(parent).and_then(|()| parent.canonicalize()).map_err(wrong)?,
        };
        if !directory.is_dir() {
            return Err(wrong(io::Error::from(io::ErrorKind::NotADirectory)));
        }
        rustix::fs::access(&directory, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
            .map_err(|errno| wrong(errno.into()))?;
        let path = directory.join(name);
        require_replaceable(&path)?;
        let in_context = is_in(read, &directory);
        let owner = invoker.filter(|invoker| invoker.owns(&directory));
        Ok(Self { path, directory, in_context, owner, scratch: scratch.clone() })
    }

    /// The final path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that it lies in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the place lies inside the build context.
    #[must_use]
    pub const fn is_in_context(&self) -> bool {
        self.in_context
    }

    /// Removes the file of an earlier build: a build that fails must not leave it looking new, and a build must not read it.
    pub fn remove_stale(&self) -> Result<(), OutputError> {
        self.keeping_times(|| match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .map_err(|source| OutputError::Write { path: self.path.clone(), source })
    }

    /// A temporary file that can become this one.
    pub fn temporary(&self) -> Result<NamedTempFile, OutputError> {
        let directory = if self.in_context { &self.scratch.directory } else { &self.directory };
        self.scratch.file_in(directory).map_err(|source| OutputError::Directory { path: directory.clone(), source })
    }

    /// Puts a finished temporary file into its place: synced, readable, then renamed.
    pub fn commit(&self, temporary: NamedTempFile) -> Result<(), OutputError> {
        let wrong = |source| OutputError::Write { path: self.path.clone(), source };
        self.finish(temporary.as_file()).map_err(wrong)?;
        self.keeping_times(|| match temporary.persist(&self.path) {
            Ok(_) => Ok(()),
            // The scratch directory may lie on another file system.
            Err(error) if error.error.kind() == io::ErrorKind::CrossesDevices => {
                let mut beside = self.scratch.file_in(&self.directory)?;
                io::copy(&mut File::open(error.file.path())?, beside.as_file_mut())?;
                self.finish(beside.as_file())?;
                beside.persist(&self.path).map(|_| ()).map_err(|error| error.error)
            }
            Err(error) => Err(error.error),
        })
        .map_err(wrong)?;
        // The rename itself must survive a power cut as well.
        File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(wrong)
    }

    fn finish(&self, file: &File) -> io::Result<()> {
        // Temporary files are made for the owner alone; an archive is as readable as any other file.
        file.set_permissions(fs::Permissions::from_mode(0o666 & !umask()))?;
        if let Some(owner) = self.owner {
            fchown(file, Some(owner.user), Some(owner.group))?;
        }
        file.sync_all()
    }

    /// A temporary file with all that a small file holds, on the disk: little is left then that can fail in `commit`.
    pub fn filled(&self, contents: &[u8]) -> Result<NamedTempFile, OutputError> {
        let mut temporary = self.temporary()?;
        let written = io::Write::write_all(&mut temporary, contents).and_then(|()| temporary.as_file().sync_all());
        written.map_err(|source| OutputError::Write { path: self.path.clone(), source })?;
        Ok(temporary)
    }

    /// Does something in the directory and, inside the context, puts its modification time back afterwards.
    fn keeping_times(&self, action: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if !self.in_context {
            return action();
        }
        let before = self.directory.metadata()?;
        action()?;
        let keep = |tv_sec: i64, tv_nsec: i64| Timespec { tv_sec, tv_nsec };
        let times = Timestamps {
            last_access: keep(before.atime(), before.atime_nsec()),
            last_modification: keep(before.mtime(), before.mtime_nsec()),
        };
        if let Err(error) =
            rustix::fs::utimensat(rustix::fs::CWD, &self.directory, &times, rustix::fs::AtFlags::empty())
        {
            // Only the owner of a directory may do this.
            let directory = self.directory.display();
            tracing::warn!(
                "the modification time of `{directory}` in the build context cannot be put back ({error}): with an epoch later than it, the next build differs"
            );
        }
        Ok(())
    }
}

/// The file mode creation mask, read without changing it: changing it would race with other threads.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o022)
}

/// The directory that a file goes into, with its links resolved, or `None` where it has to be made; in what a build `read`s
/// none is made.
pub fn find_directory(parent: &Path, read: &[&Path]) -> Result<Option<PathBuf>, OutputError> {
    match parent.canonicalize() {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if is_in(read, &resolve_existing(parent)) {
                return Err(OutputError::WouldChangeContext { path: parent.to_owned() });
            }
            Ok(None)
        }
        Err(source) => Err(OutputError::Directory { path: parent.to_owned(), source }),
    }
}

fn is_in(read: &[&Path], path: &Path) -> bool {
    read.iter().any(|directory| path.starts_with(directory))
}

/// Looks whether a file may be put at `path`: nothing is there, or a file, or a link to one.
///
/// The old file is removed before the build. Root can remove devices, too: `--output /dev/null` must not be the end of it, nor
/// of `/dev/stdout`, a link to what may be a file.
pub fn require_replaceable(path: &Path) -> Result<(), OutputError> {
    let there = path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_symlink());
    let leads_elsewhere = path.metadata().is_ok_and(|metadata| !metadata.is_file());
    let directory = path.parent().and_then(|parent| parent.canonicalize().ok()).unwrap_or_default();
    let of_the_kernel = directory == Path::new("/dev") || directory.starts_with("/proc");
    if there || leads_elsewhere || of_the_kernel {
        return Err(OutputError::NotAFile { path: path.to_owned() });
    }
    Ok(())
}

/// Whether a file is what a build left: an archive as BuildKit writes it, or the metadata of one. Anything else in a context is
/// somebody's.
#[must_use]
pub fn is_result(path: &Path) -> bool {
    let read = |most: u64| {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| io::Read::read_to_end(&mut io::Read::take(file, most), &mut bytes))
            .map(|_| bytes)
    };
    let Ok(head) = read(TAR_BLOCK) else { return false };
    if head.starts_with(b"blobs/") || head.starts_with(b"oci-layout\0") || head.starts_with(b"manifest.json\0") {
        return head.get(257..262) == Some(b"ustar");
    }
    let metadata = head.starts_with(b"{").then(|| read(LARGEST_METADATA).ok()).flatten();
    let metadata: Option<serde_json::Value> = metadata.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    metadata.is_some_and(|metadata| metadata.get("image_digest").is_some())
}

/// The path with the links of its directory resolved, as far as they exist; what it names itself may be a link.
#[must_use]
pub fn resolve_directory(path: &Path) -> PathBuf {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => resolve_existing(parent).join(name),
        _ => path.to_owned(),
    }
}

/// The path with the links of what exists of it resolved.
fn resolve_existing(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let (Ok(resolved), Ok(rest)) = (ancestor.canonicalize(), path.strip_prefix(ancestor)) {
            return resolved.join(rest);
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn place(output: &Path, context: &Path, scratch: &Path) -> Result<Place, OutputError> {
        let scratch = Scratch { directory: scratch.to_owned(), prefix: ".repro.test.".to_owned() };
        Place::prepare(output, &[context], &scratch, None)
    }

    #[test]
    fn a_result_is_told_from_a_file_of_somebody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        let is_result = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            super::is_result(&path)
        };
        let archive = |name: &str| {
            let mut archive = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_ustar();
            header.set_size(0);
            archive.append_data(&mut header, name, &[][..]).unwrap();
            archive.into_inner().unwrap()
        };
        for name in ["blobs/sha256/x", "oci-layout", "manifest.json"] {
            assert!(is_result(&archive(name)), "{name}");
        }
        assert!(is_result(br#"{"schema":"repro.v1","image_digest":"sha256:0"}"#));
        for name in ["rootfs/bin", "manifest.json.bak"] {
            assert!(!is_result(&archive(name)), "{name}");
        }
        for text in [&b""[..], b"{}", b"{\"image_digest", b"blobs/ are not enough", b"int main"] {
            assert!(!is_result(text));
        }
        assert!(!super::is_result(Path::new("/nowhere")));
    }

    #[test]
    fn inside_the_context_nothing_is_left_to_see() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (context, scratch) = (root.join("context"), root.join("scratch"));
        fs::create_dir_all(&context).unwrap();
        fs::create_dir_all(&scratch).unwrap();
        fs::write(context.join("image.tar"), "old").unwrap();
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::open(&context).unwrap().set_modified(old).unwrap();

        let place = place(&context.join("image.tar"), &context, &scratch).unwrap();
        assert!(place.is_in_context());
        place.remove_stale().unwrap();
        let temporary = place.temporary().unwrap();
        assert!(temporary.path().starts_with(&scratch));
        assert_eq!(fs::read_dir(&context).unwrap().count(), 0, "the build reads an empty context");
        place.commit(temporary).unwrap();
        assert!(context.join("image.tar").is_file());
        assert_eq!(
            context.metadata().unwrap().modified().unwrap(),
            old,
            "the time of the directory is a byte of the image"
        );
    }

    #[test]
    fn a_directory_is_made_only_where_no_build_sees_it() {
        let root = tempfile::tempdir().unwrap();
        let context = root.path().canonicalize().unwrap().join("context");
        fs::create_dir_all(&context).unwrap();
        let inside = place(&context.join("out/image.tar"), &context, root.path());
        assert!(matches!(inside, Err(OutputError::WouldChangeContext { .. })));
        assert!(!context.join("out").exists());
        let outside = place(&root.path().join("new/dir/image.tar"), &context, root.path()).unwrap();
        outside.commit(outside.filled(b"x").unwrap()).unwrap();
        assert_eq!(fs::read(outside.path()).unwrap(), b"x");
    }

    /// Defect 13 of upstream: what `sudo repro build` makes in a directory of the caller is the caller's.
    #[test]
    fn behind_sudo_a_file_is_the_callers_where_the_directory_is() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let scratch = Scratch { directory: place.path().to_owned(), prefix: "test".to_owned() };
        let sudo: Environment = [("SUDO_UID", "1234"), ("SUDO_GID", "4321")].into_iter().collect();
        let invoker = Invoker::of(&sudo);
        for (owner, expected) in [(1234, (1234, 4321)), (0, (0, 0)), (77, (0, 0))] {
            std::os::unix::fs::chown(place.path(), Some(owner), Some(owner)).unwrap();
            let file = Place::prepare(&place.path().join("f"), &[], &scratch, invoker).unwrap();
            file.commit(file.filled(b"x").unwrap()).unwrap();
            let metadata = file.path().metadata().unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), expected, "in a directory of {owner}");
        }
        assert_eq!(Invoker::of(&Environment::default()), None);
    }

    #[test]
    fn a_directory_is_not_a_file() {
        let root = tempfile::tempdir().unwrap();
        let context = root.path().join("context");
        fs::create_dir_all(root.path().join("image.tar")).unwrap();
        let result = place(&root.path().join("image.tar"), &context, root.path());
        assert!(matches!(result, Err(OutputError::NotAFile { .. })));
    }

    #[test]
    fn only_a_file_is_ever_replaced() {
        let root = tempfile::tempdir().unwrap();
        let (context, at) = (root.path().join("context"), |name: &str| root.path().join(name));
        fs::create_dir_all(at("directory")).unwrap();
        fs::write(at("file"), "old").unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), rustix::fs::Mode::RWXU).unwrap();
        for (link, target) in
            [("to-directory", at("directory")), ("to-device", "/dev/null".into()), ("to-file", at("file"))]
        {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        let refused = |path: &Path| matches!(place(path, &context, root.path()), Err(OutputError::NotAFile { .. }));
        for name in ["directory", "fifo", "to-directory", "to-device"] {
            assert!(refused(&at(name)), "{name}");
        }
        for path in ["/dev/null", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/image.tar"] {
            assert!(refused(Path::new(path)), "{path}");
        }
        for name in ["file", "to-file", "new"] {
            assert!(!refused(&at(name)), "{name}");
        }
    }
}
