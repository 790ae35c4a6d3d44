//! What a word on the command line means where an image is wanted: a pipe, a file, a directory, or a reference.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind::NotFound, Seek as _};
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::with_tokio;
use crate::digest::Digest;
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure, chain};
use crate::image::media_type::Compression;
use crate::image::source::{Container, DirectorySource, TarSource};
use crate::image::{
    Copies, CopyError, Image, ImageError, Platform, ReadOptions, copy_blobs, load_blobs, load_image, read_archive,
};
use crate::reference::{ImageReference, ReferenceError};
use crate::registry::{self, RegistryError, Repository, Supply};
use crate::runtime::interrupt::Interrupt;
use crate::runtime::registry_options;
use crate::settings::RouteWords;

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// `-`.
    Stdin,
    /// A file or a directory.
    Path(PathBuf),
    /// In a registry.
    Registry(ImageReference),
}

/// What stands in front of a reference that is meant to be one, in skopeo's and Podman's words.
pub(super) const TRANSPORT: &str = "docker://";

impl Subject {
    /// What `word` means. What exists as a path is that path, whatever else it could be.
    ///
    /// Without `docker://` only `REGISTRY/NAME…` is a reference: a bare word is much rather a file's name with a slip in it
    /// than an image of Docker Hub.
    pub fn parse(word: &OsStr) -> Result<Self, Failure> {
        let path = PathBuf::from(word);
        let Some(text) = word.to_str() else { return Ok(Self::Path(path)) };
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if let Some(reference) = text.strip_prefix(TRANSPORT) {
            let wrong = |error: ReferenceError| Failure::usage(error.to_string(), error.hint());
            return reference.parse().map(Self::Registry).map_err(wrong);
        }
        if path.symlink_metadata().is_ok() {
            if text.parse::<ImageReference>().is_ok() && names_registry(text) {
                tracing::info!(
                    "`{text}` is read as the path that it is; `docker://{text}` is the image in the registry"
                );
            }
            return Ok(Self::Path(path));
        }
        match text.parse() {
            Ok(reference) if names_registry(text) => {
                tracing::info!("there is no file `{text}`: it is read as an image in a registry");
                Ok(Self::Registry(reference))
            }
            _ => Ok(Self::Path(path)),
        }
    }
}

/// Whether the part in front of the first `/` can only be a registry.
pub(super) fn names_registry(text: &str) -> bool {
    text.split_once('/').is_some_and(|(first, _)| first == "localhost" || first.contains(['.', ':']))
}

/// Reads the image that `word` means and checks all of it, or all of one platform where it comes from a registry.
///
/// What is wrong with the image itself is the inner error, for the caller to tell.
pub fn load(
    word: &OsStr,
    route: &RouteWords,
    platform: Option<&Platform>,
    options: ReadOptions,
) -> Result<Result<Image, ImageError>, Failure> {
    match Subject::parse(word)? {
        Subject::Stdin => Ok(read_archive(wide(io::stdin().lock()), &options)),
        subject => Opened { place: Place::from(subject, word)?, route, platform }.load(options),
    }
}

/// An image that can be read more than once.
pub struct Opened<'a> {
    place: Place,
    route: &'a RouteWords,
    platform: Option<&'a Platform>,
}

enum Place {
    Path(PathBuf),
    Registry(ImageReference),
    /// What came through a pipe, in a temporary file without a name.
    Spooled(File),
}

impl Place {
    fn from(subject: Subject, word: &OsStr) -> Result<Self, Failure> {
        match subject {
            Subject::Stdin => spool(wide(io::stdin().lock()))
                .map(Self::Spooled)
                .map_err(|error| not_spooled("standard input", &error)),
            Subject::Path(path) if path.symlink_metadata().is_err_and(|error| error.kind() == NotFound) => {
                Err(missing(word))
            }
            Subject::Path(path) => Ok(Self::Path(path)),
            Subject::Registry(reference) => Ok(Self::Registry(reference)),
        }
    }
}

fn not_spooled(what: &str, error: &io::Error) -> Failure {
    Failure {
        status: ExitStatus::Unknown,
        message: format!("cannot keep what comes from {what}: {error}"),
        hint: Some("it is kept in a temporary file: look at the free space there (`TMPDIR` says where)".to_owned()),
    }
}

fn spool(mut reader: impl io::Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut reader, &mut file)?;
    Ok(file)
}

impl<'a> Opened<'a> {
    /// What `word` means.
    pub fn open(word: &OsStr, route: &'a RouteWords, platform: Option<&'a Platform>) -> Result<Self, Failure> {
        let place = match Place::from(Subject::parse(word)?, word)? {
            // A named pipe gives what it has only once.
            Place::Path(path) if path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) => {
                let spooled = File::open(&path).and_then(|file| spool(wide(file)));
                Place::Spooled(spooled.map_err(|error| not_spooled(&path.display().to_string(), &error))?)
            }
            place => place,
        };
        Ok(Self { place, route, platform })
    }

    /// Reads it to its end and checks all of it.
    pub fn load(&self, options: ReadOptions) -> Result<Result<Image, ImageError>, Failure> {
        match &self.place {
            Place::Path(path) => Ok(load_image(path, &options)),
            Place::Spooled(file) => Ok(rewound(file).and_then(|file| read_archive(file, &options))),
            Place::Registry(reference) => with_tokio(async |environment, interrupt| {
                let repository = self.repository(reference, environment)?;
                let loading = registry::load_image(&repository, reference, self.platform, options);
                match until_interrupted(loading, interrupt).await? {
                    Ok(image) => Ok(Ok(image)),
                    Err(registry::ImageError::Image(error)) => Ok(Err(error)),
                    Err(registry::ImageError::Registry(error)) => Err(failed(reference, &error)),
                }
            }),
        }
    }

    /// Reads blobs of it again. They are what they were, or it is an error.
    pub fn copy_blobs(&self, wanted: &BTreeMap<Digest, u64>) -> Result<Copies, Failure> {
        if wanted.is_empty() {
            return Ok(Copies::default());
        }
        let copied = match &self.place {
            Place::Path(path) => load_blobs(path, wanted),
            Place::Spooled(file) => rewound(file)
                .and_then(TarSource::new)
                .map_err(CopyError::from)
                .and_then(|mut source| copy_blobs(&mut source, wanted)),
            Place::Registry(reference) => {
                return with_tokio(async |environment, interrupt| {
                    let repository = self.repository(reference, environment)?;
                    match until_interrupted(registry::copy_blobs(&repository, wanted), interrupt).await? {
                        Ok(copies) => Ok(copies),
                        Err(registry::CopyError::Copy(error)) => Err(not_copied(&error)),
                        Err(registry::CopyError::Registry(error)) => Err(failed(reference, &error)),
                    }
                });
            }
        };
        copied.map_err(|error| not_copied(&error))
    }

    /// The reference, where it is in a registry.
    pub const fn reference(&self) -> Option<&ImageReference> {
        match &self.place {
            Place::Registry(reference) => Some(reference),
            Place::Path(_) | Place::Spooled(_) => None,
        }
    }

    /// From now on only what has this digest is asked for, wherever a tag goes meanwhile.
    pub fn pin(&mut self, digest: &Digest) {
        if let Place::Registry(reference) = &mut self.place {
            *reference = reference.with_digest(digest.clone());
        }
    }

    /// How to read it from its beginning once more, `image` being what was read; nothing where it is in a registry.
    pub fn supply(&self, image: &Image) -> Option<Supply> {
        match &self.place {
            Place::Path(path) => {
                let path = path.clone();
                let supply = Supply::new(move || {
                    if path.is_dir() {
                        return Ok(Box::new(DirectorySource::open(&path)?));
                    }
                    Ok(Box::new(TarSource::of_file(File::open(&path).map_err(ImageError::Open)?)?))
                });
                // What is compressed as a whole has to be inflated up to the blob that is wanted.
                let is_plain = matches!(image.container, Container::Directory | Container::Tar(Compression::None));
                let supply = supply.with_unread(image.unread.clone());
                Some(if is_plain { supply.parallel() } else { supply })
            }
            Place::Spooled(file) => {
                let file = file.try_clone().ok()?;
                let supply = Supply::new(move || Ok(Box::new(TarSource::of_file(rewound(&file)?)?)));
                Some(supply.with_unread(image.unread.clone()))
            }
            Place::Registry(_) => None,
        }
    }

    /// What a tag of the same repository names now.
    pub fn resolve(&self, tag: &str) -> Option<Result<Digest, Failure>> {
        let reference = self.reference()?;
        Some(with_tokio(async |environment, interrupt| {
            let repository = self.repository(reference, environment)?;
            let resolved = until_interrupted(repository.resolve(tag), interrupt).await?;
            resolved.map(|manifest| manifest.digest).map_err(|error| failed(reference, &error))
        }))
    }

    fn repository(&self, reference: &ImageReference, environment: &Environment) -> Result<Repository, Failure> {
        let route = self.route.resolve(environment)?;
        Repository::open(reference, registry_options(environment, &route)).map_err(|error| failed(reference, &error))
    }
}

fn rewound(file: &File) -> Result<File, ImageError> {
    let mut file = file.try_clone().map_err(ImageError::Open)?;
    file.rewind().map_err(ImageError::Open)?;
    Ok(file)
}

pub(super) async fn until_interrupted<T>(work: impl Future<Output = T>, interrupt: &Interrupt) -> Result<T, Failure> {
    tokio::select! {
        done = work => Ok(done),
        interruption = interrupt.wait() => {
            Err(Failure { status: interruption.status(), message: "stopped".to_owned(), hint: None })
        }
    }
}

pub(super) fn failed(reference: &ImageReference, error: &RegistryError) -> Failure {
    Failure {
        status: ExitStatus::Unknown,
        hint: Some(error.hint().to_owned()),
        message: format!("`{reference}`: {}", chain(error)),
    }
}

fn not_copied(error: &CopyError) -> Failure {
    let hint = match error {
        CopyError::Changed(_) | CopyError::Image(_) => "compare again when nobody writes to it",
        CopyError::TooLarge { .. } | CopyError::File(_) => {
            "layers that differ wait in temporary files: look at the free space there (`TMPDIR` says where)"
        }
    };
    Failure { status: ExitStatus::Unknown, message: chain(error), hint: Some(hint.to_owned()) }
}

/// Makes a pipe take more at once: with the usual 64 KiB, writer and reader wait for each other most of the time.
fn wide<P: AsFd>(pipe: P) -> P {
    // What is no pipe has no such size, and needs none.
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(&pipe, crate::limits::PIPE_BYTES);
    pipe
}

/// For a path that is not there, what else could have been meant.
fn missing(word: &OsStr) -> Failure {
    let text = word.to_string_lossy();
    Failure {
        status: ExitStatus::Unknown,
        message: format!("there is no file `{text}`"),
        hint: Some(format!("an image in a registry is `REGISTRY/NAME[:TAG]`, or `{TRANSPORT}…` for one of Docker Hub")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_path_before_it_is_a_reference() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image.tar");
        std::fs::write(&path, "").unwrap();
        let parse = |word: &str| Subject::parse(OsStr::new(word)).unwrap();
        let registry = |text: &str| Subject::Registry(text.parse().unwrap());
        let hex = "0a".repeat(32);
        assert_eq!(parse("-"), Subject::Stdin);
        assert_eq!(parse(path.to_str().unwrap()), Subject::Path(path));
        for word in
            ["image.tar", "./image.tar", "../image.tar", "images/app.tar", "/nowhere/image.tar", "debian", "a/b:1"]
        {
            assert_eq!(parse(word), Subject::Path(word.into()), "{word}");
        }
        for word in ["localhost/a", "localhost:5000/a:1", "ghcr.io/a/b", &format!("ghcr.io/a/b@sha256:{hex}")] {
            assert_eq!(parse(word), registry(word), "{word}");
            assert_eq!(parse(&format!("docker://{word}")), registry(word), "{word}");
        }
        assert_eq!(parse("docker://debian"), registry("docker.io/library/debian"));
        for word in ["docker://", "docker://A", "docker://a@sha256:0"] {
            assert_eq!(Subject::parse(OsStr::new(word)).unwrap_err().status, ExitStatus::Usage, "{word}");
        }
    }
}
