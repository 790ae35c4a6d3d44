//! What lies in our own directories: state and binaries of a buildkitd that is a child, locks, records of runs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chrono::DateTime;

use super::run::{Found, is_in_use};
use super::{Activity, Ground, Item, Kind, item, modified, names};
use crate::lock::is_held;
use crate::runtime::binaries;
use crate::settings::RuntimeName;

/// How names of locks begin that belong to a context, not to a daemon.
pub(super) const CONTEXT: &str = "context-";

/// The file in which is kept what was found in layers. Its name changes with what is looked for in them.
#[must_use]
pub fn known_layers(state: &Path) -> PathBuf {
    state.join("layers.v1")
}

pub(super) fn list(ground: &Ground<'_>, runs: &[Found], items: &mut Vec<Item>) {
    let root = ground.state.join("buildkitd");
    for name in names(&root) {
        let path = root.join(&name);
        let mut item = item(ground, runs, Kind::State, RuntimeName::Buildkitd, &name);
        item.size = size_of(&path);
        item.cache_limit = ground.cache_limit(&name, &path);
        item.place = path.display().to_string();
        items.push(item);
    }
    list_binaries(ground, runs, items);
    let layers = known_layers(&ground.state);
    if layers.is_file() {
        items.push(Item {
            kind: Kind::Layers,
            name: "known".to_owned(),
            runtime: None,
            version: None,
            pin: None,
            state: Activity::Stopped,
            size: layers.metadata().map(|metadata| metadata.blocks() * 512).ok(),
            cache_limit: None,
            last_used: modified(&layers),
            place: layers.display().to_string(),
        });
    }
    let locks: Vec<_> =
        names(&ground.state.join("locks")).into_iter().filter(|name| name.starts_with(CONTEXT)).collect();
    if !locks.is_empty() {
        let held = locks.iter().any(|name| is_held(&ground.lock_path(name)));
        items.push(Item {
            kind: Kind::Locks,
            name: "contexts".to_owned(),
            runtime: None,
            version: None,
            pin: None,
            state: if held { Activity::InUse } else { Activity::Stopped },
            size: Some(0),
            cache_limit: None,
            last_used: locks.iter().filter_map(|name| ground.last_used(name)).max(),
            place: format!("{} ({} files)", ground.state.join("locks").display(), locks.len()),
        });
    }
    items.extend(runs.iter().filter(|run| !run.lives).map(|run| leftover(ground, run)));
}

fn list_binaries(ground: &Ground<'_>, runs: &[Found], items: &mut Vec<Item>) {
    let root = ground.cache.join("buildkit");
    for name in names(&root) {
        let path = root.join(&name);
        let Some((algorithm, hex)) = name.split_once('-').filter(|_| path.is_dir()) else { continue };
        let busy = is_in_use(runs, hex) || binaries::LOCKS.iter().any(|lock| is_held(&path.join(lock)));
        items.push(Item {
            kind: Kind::Binaries,
            runtime: Some(RuntimeName::Buildkitd.name()),
            version: None,
            pin: Some(format!("{algorithm}:{hex}")),
            state: if busy { Activity::InUse } else { Activity::Stopped },
            size: size_of(&path),
            cache_limit: None,
            last_used: modified(&path),
            place: path.display().to_string(),
            name,
        });
    }
}

fn leftover(ground: &Ground<'_>, run: &Found) -> Item {
    let record = &run.record;
    let paths = [Some(&record.private), record.state.as_ref().filter(|_| record.throw_away)];
    let sizes = paths.into_iter().flatten().map(Path::new).filter(|path| path.exists()).map(size_of);
    Item {
        kind: Kind::Leftover,
        name: run.unique.clone(),
        runtime: None,
        version: None,
        pin: None,
        state: Activity::Stopped,
        size: sizes.sum(),
        cache_limit: None,
        last_used: modified(&ground.state.join("runs").join(format!("{}.lock", run.unique))),
        place: record.private.to_string_lossy().into_owned(),
    }
}

/// The rootlesskit of each of our pins that has one.
pub(super) fn rootlesskits(ground: &Ground<'_>) -> Vec<PathBuf> {
    let root = ground.cache.join("buildkit");
    let platforms = names(&root).into_iter().flat_map(|pin| {
        let pin = root.join(pin);
        names(&pin).into_iter().map(move |platform| pin.join(platform).join("rootlesskit"))
    });
    platforms.filter(|path| path.is_file()).collect()
}

/// The bytes that a directory takes on the disk; `None` where a part of it cannot be read, as with another user's ids.
pub(super) fn size_of(path: &Path) -> Option<u64> {
    let mut total = 0;
    let mut seen = std::collections::HashSet::new();
    let mut directories = vec![path.to_owned()];
    let device = path.symlink_metadata().ok()?.dev();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).ok()? {
            let entry = entry.ok()?;
            // What vanishes meanwhile has no size.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.dev() == device && (metadata.nlink() == 1 || metadata.is_dir() || seen.insert(metadata.ino())) {
                total += metadata.blocks() * 512;
                if metadata.is_dir() {
                    directories.push(entry.path());
                }
            }
        }
    }
    Some(total)
}

/// The oldest time there is, for what nobody knows to have been used.
pub(super) const fn never() -> DateTime<chrono::Utc> {
    DateTime::<chrono::Utc>::MIN_UTC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_links_count_once() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("below")).unwrap();
        let file = directory.path().join("below/a");
        fs::write(&file, vec![1; 100_000]).unwrap();
        let one = size_of(directory.path()).unwrap();
        fs::hard_link(&file, directory.path().join("b")).unwrap();
        assert_eq!(size_of(directory.path()).unwrap(), one);
        assert!(one >= 100_000);
        assert_eq!(size_of(&directory.path().join("none")), None);
    }
}
