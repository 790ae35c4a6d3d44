//! Where words come from: the command line, and below it a `repro.toml`.

use std::path::Path;

use super::file::SettingsFile;
use super::{BuildWords, Origin};

/// The words of a build with the places they come from.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    flags: &'a BuildWords,
    directory: &'a Path,
    file: Option<&'a SettingsFile>,
}

/// A word, and where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a, T> {
    /// The word.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
    /// What a path in it is relative to.
    pub directory: &'a Path,
}

impl<'a> Words<'a> {
    /// The words of a command line that was given in `directory`, above those of a file.
    pub const fn new(flags: &'a BuildWords, directory: &'a Path, file: Option<&'a SettingsFile>) -> Self {
        Self { flags, directory, file }
    }

    /// What paths of the command line and of variables are relative to.
    pub const fn directory(&self) -> &'a Path {
        self.directory
    }

    /// What the command line says.
    pub fn flag<T>(&self, name: &'static str, get: impl Fn(&'a BuildWords) -> Option<T>) -> Option<Given<'a, T>> {
        get(self.flags).map(|value| Given { value, origin: Origin::Flag(name), directory: self.directory })
    }

    /// What the file says.
    pub fn key<T>(&self, name: &'static str, get: impl Fn(&'a BuildWords) -> Option<T>) -> Option<Given<'a, T>> {
        let file = self.file?;
        get(&file.words).map(|value| Given { value, origin: Origin::Key(name), directory: &file.directory })
    }

    /// What either says: the command line, else the file.
    pub fn either<T>(&self, name: &'static str, get: impl Fn(&'a BuildWords) -> Option<T>) -> Option<Given<'a, T>> {
        self.flag(name, &get).or_else(|| self.key(name, &get))
    }

    /// A list: the command line's, else the file's.
    pub fn list(
        &self,
        name: &'static str,
        get: impl Fn(&'a BuildWords) -> &'a [String],
    ) -> Option<Given<'a, &'a [String]>> {
        self.either(name, |words| Some(get(words)).filter(|list| !list.is_empty()))
    }

    /// The items of both lists, the file's first, so that what comes later wins by its name.
    pub fn items(
        &self,
        name: &'static str,
        get: impl Fn(&'a BuildWords) -> &'a [String],
    ) -> impl Iterator<Item = Given<'a, &'a str>> {
        let lists = [self.key(name, |words| Some(get(words))), self.flag(name, |words| Some(get(words)))];
        lists.into_iter().flatten().flat_map(|list| {
            list.value.iter().map(move |item| Given {
                value: item.as_str(),
                origin: list.origin,
                directory: list.directory,
            })
        })
    }
}
