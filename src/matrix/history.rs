//! What is remembered: one line of JSON a fact, only ever added to. `docs/schema/matrix-history.v1.json` describes them.
//!
//! A verdict is no fact and stands in no line: [`super::verdict`] makes it of all that is known when it is asked for, so that
//! histories of several machines can be joined.
//!
//! **Crashes.** A line is written with one call, under a lock, and what could not be written whole is taken back. Where the
//! machine stopped in between, the end of the file is a piece of a line; the next one begins behind a line break of its own, and
//! the piece is counted and told by whoever reads.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::cell::{CacheState, Cell};
use crate::digest::Digest;
use crate::limits;

/// The name and version of a line's form.
pub const SCHEMA: &str = "repro.matrix-history.v1";

/// One line.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Line<'a> {
    /// [`SCHEMA`].
    #[serde(borrow)]
    pub schema: Cow<'a, str>,
    /// A run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunRecord>,
    /// A cell ended.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<CellRecord<'a>>,
    /// Two digests of one image were compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<DifferenceRecord>,
    /// A run ended: every cell that was asked for has its line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<EndRecord>,
}

impl<'a> Line<'a> {
    const fn empty() -> Self {
        Self { schema: Cow::Borrowed(SCHEMA), run: None, cell: None, difference: None, end: None }
    }

    /// The line of a run that begins. It does without the names of the cells where they would make it too long to be read again.
    #[must_use]
    pub fn of_run(mut run: RunRecord) -> Self {
        let length = serde_json::to_vec(&run).map_or(usize::MAX, |text| text.len());
        if length.saturating_add(limits::HISTORY_FRAME_BYTES) > limits::HISTORY_LINE_BYTES {
            run.planned = Vec::new();
        }
        Self { run: Some(run), ..Self::empty() }
    }

    /// The line of a cell that ended.
    #[must_use]
    pub fn of_cell(cell: CellRecord<'a>) -> Self {
        Self { cell: Some(cell), ..Self::empty() }
    }

    /// The line of two digests that were compared.
    #[must_use]
    pub fn of_difference(difference: DifferenceRecord) -> Self {
        Self { difference: Some(difference), ..Self::empty() }
    }

    /// The line of a run that ended.
    #[must_use]
    pub fn of_end(end: EndRecord) -> Self {
        Self { end: Some(end), ..Self::empty() }
    }
}

/// The beginning of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its name, which no other run has.
    pub id: String,
    /// When it began, RFC 3339 in UTC.
    pub time: String,
    /// The version of `repro`.
    pub program: String,
    /// How many cells were asked for that the run did not have before.
    pub cells: usize,
    /// The names of the cells that were asked for, sorted. Left out by older versions, and where a line cannot hold them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub planned: Vec<String>,
    /// What was built.
    pub images: Vec<ImageRecord>,
    /// The BuildKits by the name that the matrix gives them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub buildkits: BTreeMap<String, BuildKitRecord>,
    /// The earlier run that was built again from its own parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck: Option<RecheckRecord>,
}

/// The names of cells, as a beginning says them.
#[must_use]
pub fn names_of(cells: &[Cell]) -> Vec<String> {
    let mut names: Vec<String> = cells.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

/// BuildKit's images of one version.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BuildKitRecord {
    /// The image by digest; none where it is the one that `repro` brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Its rootless sister.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootless: Option<String>,
}

/// Which earlier run is built again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecheckRecord {
    /// Its name.
    pub of: String,
    /// When it was.
    pub time: String,
    /// How long ago that is, as it was asked for: `1 week`.
    pub age: String,
}

/// What one image was built from: enough to build it again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Its name.
    pub name: String,
    /// The directory, as the matrix says it.
    pub context: String,
    /// The same as git says it: from the top of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The commit that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether its files are those of the commit. Nobody can build anything else again.
    #[serde(default)]
    pub clean: bool,
    /// The flags of its build, without those of the axes.
    pub flags: Vec<String>,
    /// Whether its `repro.toml` names a cache that others may have filled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub found_cache: bool,
    /// The epoch, in seconds since 1970.
    pub epoch: i64,
    /// Whether all BuildKits have to give one digest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everywhere: bool,
    /// The digests that are expected; the first that is for a cell counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<ExpectedRecord>,
    /// Inputs of its Dockerfile that may be others tomorrow, in the order of their lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moving: Vec<String>,
}

impl ImageRecord {
    /// Whether another build of it has to give what this one gives, as far as is known here: the same files and the same words.
    #[must_use]
    pub fn is_same_source(&self, other: &Self) -> bool {
        self.clean && other.clean && self.commit.is_some() && self.source() == other.source()
    }

    /// What it was built from, as far as words say it.
    #[must_use]
    pub fn source(&self) -> (&str, Option<&str>, Option<&str>, &[String], i64) {
        (&self.context, self.directory.as_deref(), self.commit.as_deref(), &self.flags, self.epoch)
    }

    /// Whether its builds read a cache that others may have filled, whatever builds them.
    #[must_use]
    pub fn shares_cache(&self) -> bool {
        self.found_cache || self.flags.iter().any(|flag| flag.starts_with("--cache-from"))
    }
}

/// A digest that is expected.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExpectedRecord {
    /// Of this platform alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Of this BuildKit alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildkit: Option<String>,
    /// The digest.
    pub digest: String,
}

/// How the build of a cell ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It gave a digest.
    Built,
    /// The build failed.
    Failed,
    /// It could not be tried to its end: no engine, no emulator, no registry, no daemon.
    Missing,
}

/// The end of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellRecord<'a> {
    /// The run.
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    /// As in [`Cell`].
    #[serde(borrow)]
    pub image: Cow<'a, str>,
    /// As in [`Cell`].
    #[serde(borrow)]
    pub platform: Cow<'a, str>,
    /// As in [`Cell`].
    #[serde(borrow)]
    pub buildkit: Cow<'a, str>,
    /// As in [`Cell`].
    #[serde(borrow)]
    pub runtime: Cow<'a, str>,
    /// As in [`Cell`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rootless: bool,
    /// As in [`Cell`].
    #[serde(default)]
    pub cache: CacheState,
    /// As in [`Cell`].
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Cow<'a, str>>,
    /// When it ended, RFC 3339 in UTC.
    #[serde(borrow)]
    pub time: Cow<'a, str>,
    /// How long the last try took.
    pub seconds: f64,
    /// How it ended.
    pub result: Outcome,
    /// The digest that a registry would show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What BuildKit says it was built from: images by digest, downloads by checksum.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub materials: Vec<String>,
    /// Of somebody else's BuildKit: nothing but its version is proved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unproved: bool,
    /// Which BuildKit of a fleet built it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Cow<'a, str>>,
    /// Why earlier tries ended without a result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<String>,
    /// Why it failed, or what is missing.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Cow<'a, str>>,
}

impl CellRecord<'_> {
    /// A cell that was built at this time, and nothing more that is known.
    #[must_use]
    pub fn of(run: &str, cell: &Cell, time: String) -> Self {
        let text = |text: &str| Cow::Owned(text.to_owned());
        Self {
            run: text(run),
            image: text(&cell.image),
            platform: text(&cell.platform),
            buildkit: text(&cell.buildkit),
            runtime: text(&cell.runtime),
            rootless: cell.rootless,
            cache: cell.cache,
            address: cell.address.as_deref().map(text),
            time: Cow::Owned(time),
            seconds: 0.0,
            result: Outcome::Built,
            digest: None,
            materials: Vec::new(),
            unproved: false,
            at: None,
            tries: Vec::new(),
            why: None,
        }
    }

    /// Which cell it was.
    #[must_use]
    pub fn cell(&self) -> Cell {
        Cell {
            image: self.image.clone().into_owned(),
            platform: self.platform.clone().into_owned(),
            buildkit: self.buildkit.clone().into_owned(),
            runtime: self.runtime.clone().into_owned(),
            rootless: self.rootless,
            cache: self.cache,
            address: self.address.clone().map(Cow::into_owned),
        }
    }
}

/// What differs between two digests of one image, as `repro diff` finds it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferenceRecord {
    /// The run.
    pub run: String,
    /// The image.
    pub image: String,
    /// The platform.
    pub platform: String,
    /// The one that most cells gave.
    pub a: SideRecord,
    /// The other one.
    pub b: SideRecord,
    /// Why they differ; what explains most comes first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<CauseRecord>,
    /// How many differences no cause explains.
    #[serde(default)]
    pub unexplained: u64,
    /// Why they could not be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// One of two digests.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SideRecord {
    /// The BuildKit that gave it.
    pub buildkit: String,
    /// The digest.
    pub digest: String,
}

/// A cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseRecord {
    /// As `docs/sources-of-nondeterminism.md` names it.
    pub id: String,
    /// What happened.
    pub what: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The line of the Dockerfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Whether it only follows from another one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub consequence: bool,
}

/// The end of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndRecord {
    /// The run.
    pub run: String,
    /// When.
    pub time: String,
}

/// A history that lines are added to.
#[derive(Debug)]
pub struct Writer(File);

impl Writer {
    /// Opens it, or makes it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).read(true).append(true).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is no regular file, and would remember nothing",
            ));
        }
        Ok(Self(file))
    }

    /// How long a build that is held against what is remembered has to wait, so that it reads another time.
    #[must_use]
    pub fn rest(&self) -> Duration {
        let since = || {
            let metadata = self.0.metadata().ok().filter(|metadata| metadata.len() > 0)?;
            Some(metadata.modified().ok()?.elapsed().unwrap_or_default())
        };
        since().map_or(Duration::ZERO, |since| limits::CLOCK_APART.saturating_sub(since))
    }

    /// Adds a line, whoever else adds some, and waits until it is on the disk.
    pub fn add(&mut self, line: &Line<'_>) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        if text.len() >= limits::HISTORY_LINE_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a line of it would be too long to be read again"));
        }
        self.add_text(&text)
    }

    /// Adds lines that are whole already.
    pub fn add_text(&mut self, text: &[u8]) -> io::Result<()> {
        let file = &mut self.0;
        loop {
            match flock(&*file, FlockOperation::LockExclusive) {
                Err(rustix::io::Errno::INTR) => {}
                taken => break taken?,
            }
        }
        let written = (|| {
            let length = file.metadata()?.len();
            let mut whole = Vec::with_capacity(text.len() + 1);
            if length > 0 {
                let mut last = [0];
                file.seek(SeekFrom::Start(length - 1))?;
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    whole.push(b'\n');
                }
            }
            whole.extend_from_slice(text);
            file.write_all(&whole).and_then(|()| file.sync_data()).inspect_err(|_| {
                // Half a line is worse than none: nobody else has added anything, for this one has the lock.
                let _ = file.set_len(length);
            })
        })();
        let _ = flock(&*file, FlockOperation::Unlock);
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_on_at_once_waits() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.jsonl");
        let mut writer = Writer::open(&path).unwrap();
        assert_eq!(writer.rest(), Duration::ZERO, "there is nothing to be held against");
        writer.add_text(b"{}\n").unwrap();
        assert!(Writer::open(&path).unwrap().rest() > Duration::from_secs(1));
        let (now, minute) = (std::time::SystemTime::now(), Duration::from_secs(60));
        // A clock that was ahead says nothing.
        for (time, expected) in [(now - minute, Duration::ZERO), (now + minute, limits::CLOCK_APART)] {
            writer.0.set_modified(time).unwrap();
            assert_eq!(writer.rest(), expected, "{time:?}");
        }
    }
}
