//! Runs as they stand on the disk, so that what a killed one left behind is found and removed: by proof, never by name.
//!
//! `runs/UNIQUE.lock` is held while the run lives, and `runs/UNIQUE.json` says what it makes. Where the lock is free and the
//! record is there, the run was killed. A process that it started may still live and work on its files; such a one holds, as
//! its stdin, the lock that the record names as `held`.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::lock;
use crate::runtime::command::ToolCommand;
use crate::runtime::interrupt::Interrupt;

/// How long one command may take that cleans up after another run.
const LIMIT: Duration = Duration::from_secs(60);

/// What a run makes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Record {
    /// The process.
    pub pid: u32,
    /// Its private directory.
    pub private: OsString,
    /// Directories with temporary files of its own, named `.repro.UNIQUE.*.part`.
    pub places: Vec<OsString>,
    /// The names of the builders, volumes, directories and binaries that it uses; not known while it prepares.
    pub uses: Option<Vec<String>>,
    /// The commands that remove what it alone uses.
    pub cleanup: Vec<ToolCommand>,
    /// What buildx has where it made a builder for this run alone; without it there is nothing to remove.
    pub builder: Option<OsString>,
    /// The state of its daemon.
    pub state: Option<OsString>,
    /// Whether that state is its alone.
    pub throw_away: bool,
    /// The lock that its processes hold, where it is not the run's own.
    pub held: Option<OsString>,
}

/// A run that lives.
#[derive(Debug)]
pub struct Run {
    lock: File,
    lock_path: PathBuf,
    record_path: PathBuf,
    record: Record,
    unique: String,
    keep: bool,
}

impl Run {
    /// Writes down that a run begins, before it makes anything.
    pub fn begin(state: &Path, unique: &str, private: &Path) -> io::Result<Self> {
        let directory = directory(state);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let lock_path = directory.join(format!("{unique}.lock"));
        let lock = lock::take_new(&lock_path)?;
        let record = Record { pid: std::process::id(), private: private.into(), ..Record::default() };
        let record_path = directory.join(format!("{unique}.json"));
        let run = Self { lock, lock_path, record_path, record, unique: unique.to_owned(), keep: false };
        run.write()?;
        Ok(run)
    }

    /// Writes down more.
    pub fn note(&mut self, change: impl FnOnce(&mut Record)) -> io::Result<()> {
        change(&mut self.record);
        self.write()
    }

    /// How names of its temporary files begin.
    #[must_use]
    pub fn prefix(&self) -> String {
        part_prefix(&self.unique)
    }

    /// The lock, for a process that works for this run.
    pub fn lock(&self) -> io::Result<File> {
        self.lock.try_clone()
    }

    /// Something could not be removed: the record stays, for the next run to try.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    fn write(&self) -> io::Result<()> {
        let directory = self.record_path.parent().unwrap_or(Path::new("/"));
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&serde_json::to_vec(&self.record)?)?;
        file.persist(&self.record_path).map(|_| ()).map_err(|error| error.error)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_file(&self.record_path);
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

/// A run on the disk.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    pub unique: String,
    /// What it wrote down; nothing where it was killed before it could.
    pub record: Record,
    /// Whether it lives, or a process that works for it.
    pub lives: bool,
}

/// The runs that are written down.
#[must_use]
pub fn load_runs(state: &Path) -> Vec<Found> {
    let entries = fs::read_dir(directory(state)).into_iter().flatten().flatten();
    let mut found: Vec<Found> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let unique = name.to_str()?.strip_suffix(".lock")?.to_owned();
            // The lock first: a run that ends meanwhile has no record any more, and nothing to clean.
            let held = lock::is_held(&entry.path());
            let text = fs::read(entry.path().with_extension("json")).unwrap_or_default();
            let record: Record = serde_json::from_slice(&text).unwrap_or_default();
            let lives = held || record.held.as_deref().is_some_and(|path| lock::is_held(Path::new(path)));
            Some(Found { unique, record, lives })
        })
        .collect();
    found.sort_by(|a, b| a.unique.cmp(&b.unique));
    found
}

/// Whether a run that lives uses what has this name. One that has not said yet what it uses may use everything.
#[must_use]
pub fn is_in_use(runs: &[Found], name: &str) -> bool {
    let uses = |run: &Found| run.record.uses.as_ref().is_none_or(|uses| uses.iter().any(|used| used == name));
    runs.iter().any(|run| run.lives && uses(run))
}

/// Removes what killed runs left behind. Tells each of them, and what could not be removed.
pub async fn sweep(state: &Path, environment: &Environment, interrupt: &Interrupt) {
    for found in load_runs(state).into_iter().filter(|found| !found.lives) {
        let pid = found.record.pid;
        match clean(state, &found.unique, environment, interrupt).await {
            Ok(true) => tracing::warn!("removed what a run that was killed had left behind (process {pid})"),
            Ok(false) => {}
            Err(why) => tracing::warn!(
                "what a run that was killed left behind (process {pid}) cannot be removed now: {why}; `repro builder prune` tries again"
            ),
        }
    }
}

/// Removes what one killed run left behind; `false` where it turns out to live, or somebody else is at it.
pub async fn clean(
    state: &Path,
    unique: &str,
    environment: &Environment,
    interrupt: &Interrupt,
) -> Result<bool, String> {
    let lock_path = directory(state).join(format!("{unique}.lock"));
    let record_path = lock_path.with_extension("json");
    let Some(_lock) = lock::try_existing(&lock_path).map_err(|error| error.to_string())? else { return Ok(false) };
    let record: Record = serde_json::from_slice(&fs::read(&record_path).unwrap_or_default()).unwrap_or_default();
    let held = record.held.as_ref().map(Path::new).filter(|held| held.exists());
    let taken = held.map(lock::try_existing).transpose().map_err(|error| error.to_string())?.flatten();
    if held.is_some() && taken.is_none() {
        return Ok(false);
    }
    let made = record.builder.as_ref().is_none_or(|path| Path::new(path).exists());
    for command in record.cleanup.iter().filter(|_| made) {
        command.run_checked(environment, interrupt, LIMIT).await.map_err(|error| error.to_string())?;
    }
    if let Some(path) = record.state.as_ref().map(Path::new) {
        if record.throw_away { remove_directory(path) } else { unmount_below(path) }?;
    }
    let own = format!("repro.{unique}");
    let private = Path::new(&record.private);
    if private.file_name() == Some(OsStr::new(&own)) {
        remove_directory(private)?;
    }
    for place in record.places.iter().map(Path::new) {
        remove_parts(place, unique);
    }
    let _ = fs::remove_file(record_path);
    let _ = fs::remove_file(lock_path);
    drop(taken);
    Ok(true)
}

/// Removes a directory with all that is in it, unless something is still mounted below it: then removing would go through.
pub fn remove_directory(path: &Path) -> Result<(), String> {
    let real = match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|error| format!("`{}`: {error}", path.display()))?,
    };
    unmount_below(&real)?;
    fs::remove_dir_all(&real).map_err(|error| format!("`{}`: {error}", path.display()))
}

/// Unmounts what a daemon that was killed left mounted below its state.
pub fn unmount_below(path: &Path) -> Result<(), String> {
    let Ok(path) = path.canonicalize() else { return Ok(()) };
    for mount in mounts_below(&path) {
        detach(&mount);
    }
    match mounts_below(&path).first() {
        Some(mount) => Err(format!("`{}` is mounted", mount.display())),
        None => Ok(()),
    }
}

/// Lazily: whoever still uses it keeps it, and nobody else sees it any more.
#[cfg(target_os = "linux")]
fn detach(mount: &Path) {
    let _ = rustix::mount::unmount(mount, rustix::mount::UnmountFlags::DETACH);
}

/// No daemon of ours runs elsewhere.
#[cfg(not(target_os = "linux"))]
const fn detach(_: &Path) {}

/// The newest first.
fn mounts_below(path: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| PathBuf::from(unescape(point)));
    let mut points: Vec<PathBuf> = points.filter(|point| point.starts_with(path) && point != path).collect();
    points.reverse();
    points
}

/// The kernel writes spaces, tabs, newlines and backslashes of a path as three octal digits.
fn unescape(text: &str) -> String {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.iter().fold(text.to_owned(), |text, (code, character)| text.replace(code, character))
}

fn remove_parts(place: &Path, unique: &str) {
    let prefix = part_prefix(unique);
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.starts_with(prefix.as_bytes()) && bytes.ends_with(b".part") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn part_prefix(unique: &str) -> String {
    format!(".repro.{unique}.")
}

/// Sixteen characters that no other run has.
pub fn random_name() -> io::Result<String> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex::encode(bytes))
}

fn directory(state: &Path) -> PathBuf {
    state.join("runs")
}
