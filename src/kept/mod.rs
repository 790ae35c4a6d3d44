//! What `repro` keeps on a machine between builds, found again and removed again: builders of Docker, volumes and containers of
//! Podman, the state and the binaries of a buildkitd of its own, locks, and what a killed run left behind.
//!
//! What is listed is `repro`'s by proof: buildx has a record of it in `repro`'s own directory, it carries the label with that
//! directory, or it lies in it; a volume of Podman has the name of a lock there. A name alone proves nothing.

mod directories;
mod docker;
pub mod limit;
pub mod note;
pub mod place;
mod podman;
pub mod remove;
pub mod run;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use serde::Serialize;

pub use self::directories::known_layers;
pub use self::docker::forget_builds;
use self::note::Note;
use self::run::Found;
use crate::environment::Environment;
use crate::pin::Version;
use crate::runtime::interrupt::Interrupt;
use crate::settings::RuntimeName;

/// The name and version of the form that a [`Kept`] has as JSON.
pub const SCHEMA: &str = "repro.builders.v1";

/// What kind of thing is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A builder of buildx, with its container and volume.
    Builder,
    /// A container for one build.
    Container,
    /// The cache of a BuildKit in a volume.
    Volume,
    /// The cache of a BuildKit in a directory.
    State,
    /// The programs of a pinned BuildKit.
    Binaries,
    /// What was found in layers, so that they need not be inflated again.
    Layers,
    /// Files that builds exclude each other with.
    Locks,
    /// What a killed run left behind.
    Leftover,
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Builder => "builder",
            Self::Container => "container",
            Self::Volume => "volume",
            Self::State => "state",
            Self::Binaries => "binaries",
            Self::Layers => "layers",
            Self::Locks => "locks",
            Self::Leftover => "leftover",
        }
    }
}

/// What it is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activity {
    /// A build uses it now.
    InUse,
    /// It runs, and no build of this user uses it.
    Running,
    /// It does not run.
    Stopped,
    /// It belongs to another daemon than the one that is selected, and nothing is known of it.
    Elsewhere,
}

impl Activity {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InUse => "in use",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// One thing that is kept.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// What kind of thing it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The runtime that it is for, where it is for one.
    pub runtime: Option<&'static str>,
    /// The version of its BuildKit, where the name tells.
    pub version: Option<String>,
    /// The digest of its BuildKit, or the beginning of it.
    pub pin: Option<String>,
    /// What it is doing.
    pub state: Activity,
    /// Its size in bytes, where that can be told.
    pub size: Option<u64>,
    /// The size in bytes that BuildKit lets its cache grow to: what a `--buildkitd-config` says, else its own default.
    pub cache_limit: Option<u64>,
    /// When a build used it last.
    pub last_used: Option<DateTime<Utc>>,
    /// Where it is: a path, or the daemon.
    pub place: String,
}

/// A runtime that could not be asked.
#[derive(Debug, Clone, Serialize)]
pub struct NotAsked {
    /// The runtime.
    pub runtime: &'static str,
    /// Why.
    pub why: String,
}

/// Everything that is kept.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Where builders, locks and records are.
    pub state_directory: String,
    /// Where binaries are.
    pub cache_directory: String,
    /// In the order of their kinds and names.
    pub items: Vec<Item>,
    /// Runtimes that have something of ours, and could not be asked about it.
    pub not_asked: Vec<NotAsked>,
}

/// Where things are kept.
#[derive(Clone)]
pub struct Ground<'a> {
    /// Builders, locks, records.
    pub state: PathBuf,
    /// Binaries.
    pub cache: PathBuf,
    /// The caller's environment.
    pub environment: &'a Environment,
    /// Whether the user wants to stop.
    pub interrupt: &'a Interrupt,
}

impl Ground<'_> {
    fn lock_path(&self, name: &str) -> PathBuf {
        self.state.join("locks").join(name)
    }

    /// The limit of the cache of this name, which lies in this directory.
    fn cache_limit(&self, name: &str, place: &Path) -> Option<u64> {
        Note::load(&self.lock_path(name)).limit.at(place)
    }

    /// When a build took the lock of this name last.
    fn last_used(&self, name: &str) -> Option<DateTime<Utc>> {
        modified(&self.lock_path(name))
    }
}

/// Looks for everything, and changes nothing.
pub async fn list(ground: &Ground<'_>) -> Kept {
    let runs = run::load_runs(&ground.state);
    let (mut items, mut not_asked) = (Vec::new(), Vec::new());
    docker::list(ground, &runs, &mut items, &mut not_asked).await;
    podman::list(ground, &runs, &mut items, &mut not_asked).await;
    directories::list(ground, &runs, &mut items);
    items.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Kept {
        schema: SCHEMA,
        state_directory: ground.state.display().to_string(),
        cache_directory: ground.cache.display().to_string(),
        items,
        not_asked,
    }
}

fn modified(path: &Path) -> Option<DateTime<Utc>> {
    path.metadata().and_then(|metadata| metadata.modified()).map(to_date).ok()
}

fn to_date(time: SystemTime) -> DateTime<Utc> {
    time.into()
}

/// An item with what its name and its lock tell. Names are `repro-v0.19.0-14aa1b4dd92e-…`, with or without the first word.
fn item(ground: &Ground<'_>, runs: &[Found], kind: Kind, runtime: RuntimeName, name: &str) -> Item {
    let (version, pin) = parse_name(name);
    let busy = run::is_in_use(runs, name) || crate::lock::is_held(&ground.lock_path(name));
    Item {
        kind,
        name: name.to_owned(),
        runtime: Some(runtime.name()),
        version,
        pin,
        state: if busy { Activity::InUse } else { Activity::Stopped },
        size: None,
        cache_limit: None,
        last_used: ground.last_used(name),
        place: String::new(),
    }
}

fn parse_name(name: &str) -> (Option<String>, Option<String>) {
    let words = name.split('-').skip_while(|word| matches!(*word, "repro" | "rootless"));
    let version = words.clone().find(|word| word.starts_with('v') && Version::parse(word).is_some());
    let pin = words.clone().find(|word| word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
    (version.map(str::to_owned), pin.map(str::to_owned))
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_version_and_pin() {
        let told = |name| {
            let (version, pin) = parse_name(name);
            (version.unwrap_or_default(), pin.unwrap_or_default())
        };
        let expected = ("v0.19.0".to_owned(), "14aa1b4dd92e".to_owned());
        assert_eq!(told("repro-v0.19.0-14aa1b4dd92e-78580e07"), expected);
        assert_eq!(told("v0.19.0-14aa1b4dd92e-root-9346c270"), expected);
        assert_eq!(told("repro-v0.19.0-14aa1b4dd92e-rootless-9346c270"), expected);
        assert_eq!(told("repro-14aa1b4dd92e-9346c270").1, "14aa1b4dd92e");
        assert_eq!(told("something-else"), (String::new(), String::new()));
    }
}
