//! Where words come from: the command line, below it a `repro.toml`, and below that an image that tells how it was built.

use std::collections::BTreeMap;
use std::path::Path;

use super::file::SettingsFile;
use super::{BuildWords, Origin};

/// The words of a build with the places they come from.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    flags: &'a BuildWords,
    directory: &'a Path,
    file: Option<&'a SettingsFile>,
    image: Option<(&'a ImageWords, &'a Path)>,
}

/// What an image says of its own build, in the words of a command line. Whoever made the image chose them: they name nothing
/// but what is built, and nothing of this machine.
#[derive(Debug, Clone, Default)]
pub struct ImageWords {
    /// The words. A Dockerfile is named as it is called in the context.
    pub words: BuildWords,
    /// What of the image says each, by the name of the flag.
    pub whence: BTreeMap<&'static str, &'static str>,
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
        Self { flags, directory, file, image: None }
    }

    /// The same above what an image says, whose paths lie in `context`.
    pub const fn above(self, image: Option<&'a ImageWords>, context: &'a Path) -> Self {
        let image = match image {
            Some(image) => Some((image, context)),
            None => None,
        };
        Self { image, ..self }
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
        let origin = self.origin_of_key()(name);
        get(&file.words).map(|value| Given { value, origin, directory: &file.directory })
    }

    /// What a key of the file is called by.
    pub fn origin_of_key(&self) -> fn(&'static str) -> Origin {
        if self.file.is_some_and(|file| file.is_recipe) { Origin::Recipe } else { Origin::Key }
    }

    /// What the image says.
    pub fn image<T>(&self, name: &'static str, get: impl Fn(&'a BuildWords) -> Option<T>) -> Option<Given<'a, T>> {
        let (image, directory) = self.image?;
        let whence = image.whence.get(name).copied().unwrap_or("its documents");
        get(&image.words).map(|value| Given { value, origin: Origin::Image(whence), directory })
    }

    /// What any of them says: the command line, else the file, else the image.
    pub fn either<T>(&self, name: &'static str, get: impl Fn(&'a BuildWords) -> Option<T>) -> Option<Given<'a, T>> {
        self.flag(name, &get).or_else(|| self.key(name, &get)).or_else(|| self.image(name, &get))
    }

    /// A list: the command line's, else the file's, else the image's.
    pub fn list(
        &self,
        name: &'static str,
        get: impl Fn(&'a BuildWords) -> &'a [String],
    ) -> Option<Given<'a, &'a [String]>> {
        self.either(name, |words| Some(get(words)).filter(|list| !list.is_empty()))
    }

    /// The items of all lists, the image's first and then the file's, so that what comes later wins by its name.
    pub fn items(
        &self,
        name: &'static str,
        get: impl Fn(&'a BuildWords) -> &'a [String] + Copy,
    ) -> impl Iterator<Item = Given<'a, &'a str>> {
        let get = |words| Some(get(words));
        let lists = [self.image(name, get), self.key(name, get), self.flag(name, get)];
        lists.into_iter().flatten().flat_map(|list| {
            list.value.iter().map(move |item| Given {
                value: item.as_str(),
                origin: list.origin,
                directory: list.directory,
            })
        })
    }
}
