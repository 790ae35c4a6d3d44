//! Where things are: the context, the Dockerfile, caches, results.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{Notes, SettingsError};
use crate::plan::{Cache, CacheKind, Direction};
use crate::settings::sources::Words;
use crate::settings::{Origin, Output, Setting};

pub fn resolve_context(word: &OsStr, directory: &Path) -> Result<PathBuf, SettingsError> {
    let text = word.to_string_lossy();
    let path = PathBuf::from(word);
    let wrong = |why| Err(SettingsError::Context { path: path.clone(), why });
    if word.is_empty() {
        return wrong("is empty");
    }
    if text == "-" {
        return wrong("is stdin, which cannot be built twice");
    }
    if text.contains("://") || text.starts_with("git@") {
        return wrong("is remote, and only directories are built");
    }
    match resolve_directory("context", &directory.join(&path)) {
        Err(SettingsError::Path { source, .. }) if source.kind() == std::io::ErrorKind::NotADirectory => {
            wrong("is not a directory")
        }
        // As it was given, not as it was understood.
        Err(SettingsError::Path { what, source, .. }) => Err(SettingsError::Path { what, path, source }),
        result => result,
    }
}

/// A directory with its links resolved: the same directory is the same project, whatever path leads to it.
pub fn resolve_directory(what: &'static str, path: &Path) -> Result<PathBuf, SettingsError> {
    let wrong = |source| SettingsError::Path { what, path: path.to_owned(), source };
    let resolved = path.canonicalize().map_err(wrong)?;
    if resolved.is_dir() { Ok(resolved) } else { Err(wrong(std::io::Error::from(std::io::ErrorKind::NotADirectory))) }
}

pub fn resolve_dockerfile(words: &Words<'_>, context: &Path) -> Result<PathBuf, SettingsError> {
    let given = words.either("--file", |words| words.file.as_ref());
    let path = given.map_or_else(|| context.join("Dockerfile"), |given| given.directory.join(given.value));
    let wrong = |source| SettingsError::Path { what: "Dockerfile", path: path.clone(), source };
    let metadata = path.metadata().map_err(wrong)?;
    if !metadata.is_file() {
        return Err(wrong(std::io::Error::other("not a file")));
    }
    require_findable(&path, given.map_or(Origin::Default, |given| given.origin))?;
    // The file itself may be a link: its name names the ignore file.
    let resolved = path.parent().and_then(|parent| parent.canonicalize().ok()).zip(path.file_name());
    Ok(resolved.map_or_else(|| path.clone(), |(parent, name)| parent.join(name)))
}

pub fn resolve_buildkitd_config(words: &Words<'_>) -> Result<Option<Vec<u8>>, SettingsError> {
    let Some(given) = words.either("--buildkitd-config", |words| words.buildkitd_config.as_ref()) else {
        return Ok(None);
    };
    let path = given.directory.join(given.value);
    let read = std::fs::read(&path);
    read.map(Some).map_err(|source| SettingsError::Path { what: "buildkitd configuration", path, source })
}

pub fn resolve_caches(words: &Words<'_>, direction: Direction, notes: &mut Notes) -> Result<Vec<Cache>, SettingsError> {
    let list = match direction {
        Direction::From => notes.list(words, "--cache-from", |words| &words.cache_from).collect::<Vec<_>>(),
        Direction::To => notes.list(words, "--cache-to", |words| &words.cache_to).collect(),
    };
    let mut caches = Vec::new();
    for given in list {
        if given.value.is_empty() {
            caches.clear();
            continue;
        }
        let mut cache = Cache::parse(given.value, direction, given.directory)?;
        // A cache that is not there yet is made when it is exported.
        if let (CacheKind::Local(path), Direction::From) = (&mut cache.kind, direction) {
            *path = resolve_directory("cache", path)?;
        }
        caches.push(cache);
    }
    Ok(caches)
}

pub fn resolve_output(words: &Words<'_>, directory: &Path) -> Setting<Output> {
    let Some(given) = words.either("--output", |words| words.output.as_ref()) else {
        return Setting { value: Output::File(directory.join("image.tar")), origin: Origin::Default };
    };
    let to_stdout = given.value.as_os_str() == "-";
    let value = if to_stdout { Output::Stdout } else { Output::File(given.directory.join(given.value)) };
    Setting { value, origin: given.origin }
}

pub fn resolve_metadata_file(words: &Words<'_>, notes: &mut Notes) -> Option<PathBuf> {
    let given = words.either("--metadata-file", |words| words.metadata_file.as_ref())?;
    let path = given.directory.join(given.value);
    notes.came_from("--metadata-file", &path.display().to_string(), given.origin);
    Some(path)
}

/// BuildKit sends the name of the Dockerfile, unlike its directory, in a header without control characters, and looks for it
/// as a pattern (moby/patternmatcher): it would not find the file.
fn require_findable(dockerfile: &Path, origin: Origin) -> Result<(), SettingsError> {
    let odd = |c: char| c.is_ascii_control() || matches!(c, '[' | '\\');
    let findable = |name: &str| !name.contains(odd) && !name.starts_with('!') && name.trim() == name;
    if dockerfile.file_name().and_then(OsStr::to_str).is_some_and(findable) {
        return Ok(());
    }
    let why = "BuildKit does not find a Dockerfile whose name is not UTF-8, begins with `!`, begins or ends with white space, \
               or holds `[`, `\\` or control characters";
    Err(SettingsError::Word { origin, text: dockerfile.display().to_string(), why })
}
